//! Which device nodes a group's processes may open or make: a list that is allowed, everything else denied.
//!
//! v1 takes the list as lines of text. v2 has no such file: the list becomes a small program that the kernel asks at
//! each open and mknod.

use super::{Error, Group, write_value};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use sys::device_filter::Instruction;

/// Devices that are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Block devices (otherwise character devices).
    pub block: bool,
    /// The major number; none for any.
    pub major: Option<u32>,
    /// The minor number; none for any.
    pub minor: Option<u32>,
    /// May be opened for reading.
    pub read: bool,
    /// May be opened for writing.
    pub write: bool,
    /// May be made by mknod(2).
    pub make: bool,
}

impl DeviceRule {
    const fn character(major: u32, minor: Option<u32>) -> DeviceRule {
        DeviceRule { block: false, major: Some(major), minor, read: true, write: true, make: true }
    }

    const fn make_any(block: bool) -> DeviceRule {
        DeviceRule { block, major: None, minor: None, read: false, write: false, make: true }
    }

    /// What every container may use: null, zero, full, random, urandom, tty, console, ptmx and its terminals. Nodes
    /// of every number may be made; without permission to open them that gives nothing.
    pub const DEFAULT: [DeviceRule; 10] = [
        DeviceRule::make_any(false),
        DeviceRule::make_any(true),
        DeviceRule::character(1, Some(3)),
        DeviceRule::character(1, Some(5)),
        DeviceRule::character(1, Some(7)),
        DeviceRule::character(1, Some(8)),
        DeviceRule::character(1, Some(9)),
        DeviceRule::character(5, Some(0)),
        DeviceRule::character(5, Some(2)),
        DeviceRule::character(136, None),
    ];

    /// As the `devices.allow` file of v1 wants it.
    fn line(&self) -> String {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let mut access = String::new();
        for (allowed, letter) in [(self.read, 'r'), (self.write, 'w'), (self.make, 'm')] {
            if allowed {
                access.push(letter);
            }
        }
        let kind = if self.block { 'b' } else { 'c' };
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

impl Group {
    /// Denies every device but these. An empty list leaves all allowed.
    pub(super) fn set_devices(&self, rules: &[DeviceRule]) -> Result<(), Error> {
        if rules.is_empty() {
            return Ok(());
        }
        if !self.layout.is_v1() {
            return self.attach_filter(rules);
        }
        let Some(hierarchy) = self.layout.hierarchy("devices") else {
            return Err(Error::NoController { controller: "devices" });
        };
        let directory = hierarchy.mount.join(&self.path);
        write_value(&directory.join("devices.deny"), "a")?;
        rules.iter().try_for_each(|rule| write_value(&directory.join("devices.allow"), &rule.line()))
    }

    fn attach_filter(&self, rules: &[DeviceRule]) -> Result<(), Error> {
        let Some(path) = self.unified() else { return Err(Error::NotMounted) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&path, flags, Mode::empty())
            .and_then(|directory| sys::device_filter::attach(directory.as_fd(), &program(rules)))
            .map_err(|error| Error::DeviceFilter { path, source: error.into() })
    }
}

/// Operations of the extended BPF machine, linux/bpf.h.
const LOAD_WORD: u8 = 0x61;
const SHIFT_RIGHT: u8 = 0x77;
const AND: u8 = 0x57;
const MOVE: u8 = 0xb7;
const COPY: u8 = 0xbf;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// Registers: the result, the context that the kernel passes, and what is taken out of it.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// What the kernel passes in `struct bpf_cgroup_dev_ctx`: kinds, and ways of access.
const KIND_BLOCK: i32 = 1;
const KIND_CHARACTER: i32 = 2;
const ACCESS_MAKE: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;

const fn instruction(code: u8, to: u8, from: u8, offset: i16, operand: i32) -> Instruction {
    Instruction { code, registers: to | from << 4, offset, operand }
}

/// The rules as a program: the first that fits allows, the end denies.
fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut code = vec![
        // The first word holds the way of access above the kind; major and minor number follow it.
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(COPY, ACCESS, KIND, 0, 0),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules {
        code.extend(one_rule(rule));
    }
    code.push(instruction(MOVE, RESULT, 0, 0, 0));
    code.push(instruction(EXIT, 0, 0, 0, 0));
    code
}

fn one_rule(rule: &DeviceRule) -> Vec<Instruction> {
    let kind = if rule.block { KIND_BLOCK } else { KIND_CHARACTER };
    let allowed = [(rule.make, ACCESS_MAKE), (rule.read, ACCESS_READ), (rule.write, ACCESS_WRITE)];
    let denied: i32 = allowed.iter().filter(|(is_allowed, _)| !is_allowed).map(|(_, bit)| bit).sum();
    let mut code = vec![instruction(JUMP_UNLESS_EQUAL, KIND, 0, 0, kind)];
    if denied != 0 {
        code.push(instruction(COPY, RESULT, ACCESS, 0, 0));
        code.push(instruction(AND, RESULT, 0, 0, denied));
        code.push(instruction(JUMP_UNLESS_EQUAL, RESULT, 0, 0, 0));
    }
    for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
        if let Some(number) = number {
            code.push(instruction(JUMP_UNLESS_EQUAL, register, 0, 0, number.cast_signed()));
        }
    }
    code.push(instruction(MOVE, RESULT, 0, 0, 1));
    code.push(instruction(EXIT, 0, 0, 0, 0));
    // Each jump leads behind the rule.
    let length = code.len();
    for (at, instruction) in code.iter_mut().enumerate() {
        if instruction.code == JUMP_UNLESS_EQUAL {
            instruction.offset = (length - at - 1) as i16;
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The machine, as far as these programs use it.
    fn allows(code: &[Instruction], kind: i32, access: i32, major: i32, minor: i32) -> bool {
        let mut registers = [0i64; 6];
        let context = [i64::from(access << 16 | kind), i64::from(major), i64::from(minor)];
        let mut at = 0;
        loop {
            let Instruction { code: operation, registers: both, offset, operand } = code[at];
            let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
            at += 1;
            match operation {
                LOAD_WORD => registers[to] = context[offset as usize / 4],
                COPY => registers[to] = registers[from],
                MOVE => registers[to] = i64::from(operand),
                AND => registers[to] &= i64::from(operand),
                SHIFT_RIGHT => registers[to] >>= operand,
                JUMP_UNLESS_EQUAL if registers[to] != i64::from(operand) => at += offset as usize,
                JUMP_UNLESS_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    #[test]
    fn the_program_allows_what_the_rules_allow() {
        let code = program(&DeviceRule::DEFAULT);
        assert!(allows(&code, KIND_CHARACTER, ACCESS_READ | ACCESS_WRITE, 1, 3), "null");
        assert!(allows(&code, KIND_CHARACTER, ACCESS_READ, 136, 7), "a terminal");
        assert!(allows(&code, KIND_BLOCK, ACCESS_MAKE, 8, 0), "a disk's node");
        assert!(!allows(&code, KIND_BLOCK, ACCESS_READ, 8, 0), "a disk");
        assert!(!allows(&code, KIND_CHARACTER, ACCESS_READ | ACCESS_MAKE, 1, 11), "the kernel's log");
    }

    #[test]
    fn a_rule_is_written_as_the_kernel_reads_it() {
        let lines: Vec<String> = DeviceRule::DEFAULT.iter().map(DeviceRule::line).collect();
        assert_eq!(lines[0], "c *:* m");
        assert_eq!(lines[2], "c 1:3 rwm");
        assert_eq!(lines[9], "c 136:* rwm");
    }
}
