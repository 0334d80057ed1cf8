//! Device rules as a program of the extended BPF machine, for v2. Pure.
//!
//! The kernel may ask for several ways of access at once (open for reading and writing), and different rules may
//! decide them. So the program goes through the rules from the last to the first and keeps, in one register, what has
//! not been decided yet: a rule that allows takes its part away, a rule that denies ends with no if its part is
//! still there. What no rule decided is allowed.

use super::resources::{DeviceEntry, DeviceKind};
use sys::device_filter::Instruction;

/// Operations of the extended BPF machine, linux/bpf.h.
const LOAD_WORD: u8 = 0x61;
const SHIFT_RIGHT: u8 = 0x77;
const AND: u8 = 0x57;
const MOVE: u8 = 0xb7;
const COPY: u8 = 0xbf;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const JUMP_IF_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

/// Registers: the result, the context that the kernel passes, and what is taken out of it.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const UNDECIDED: u8 = 3;
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

/// The rules as a program.
pub(super) fn program(rules: &[DeviceEntry]) -> Vec<Instruction> {
    let mut code = vec![
        // The first word holds the way of access above the kind; major and minor number follow it.
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(COPY, UNDECIDED, KIND, 0, 0),
        instruction(SHIFT_RIGHT, UNDECIDED, 0, 0, 16),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules.iter().rev() {
        code.extend(one_rule(rule));
    }
    code.extend(answer(true));
    code
}

fn answer(is_allowed: bool) -> [Instruction; 2] {
    [instruction(MOVE, RESULT, 0, 0, i32::from(is_allowed)), instruction(EXIT, 0, 0, 0, 0)]
}

fn one_rule(rule: &DeviceEntry) -> Vec<Instruction> {
    let access = [(rule.make, ACCESS_MAKE), (rule.read, ACCESS_READ), (rule.write, ACCESS_WRITE)];
    let access: i32 = access.iter().filter(|(is_meant, _)| *is_meant).map(|(_, bit)| bit).sum();
    let mut code = Vec::new();
    match rule.kind {
        DeviceKind::Any => {}
        DeviceKind::Block => code.push(instruction(JUMP_UNLESS_EQUAL, KIND, 0, 0, KIND_BLOCK)),
        DeviceKind::Character => code.push(instruction(JUMP_UNLESS_EQUAL, KIND, 0, 0, KIND_CHARACTER)),
    }
    for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
        if let Some(number) = number {
            code.push(instruction(JUMP_UNLESS_EQUAL, register, 0, 0, number.cast_signed()));
        }
    }
    if rule.allow {
        code.push(instruction(AND, UNDECIDED, 0, 0, !access));
        code.push(instruction(JUMP_UNLESS_EQUAL, UNDECIDED, 0, 0, 0));
    } else {
        code.push(instruction(COPY, RESULT, UNDECIDED, 0, 0));
        code.push(instruction(AND, RESULT, 0, 0, access));
        code.push(instruction(JUMP_IF_EQUAL, RESULT, 0, 0, 0));
    }
    code.extend(answer(rule.allow));
    // Each jump leads behind the rule.
    let length = code.len();
    for (at, instruction) in code.iter_mut().enumerate() {
        if matches!(instruction.code, JUMP_UNLESS_EQUAL | JUMP_IF_EQUAL) {
            instruction.offset = (length - at - 1) as i16;
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::super::DeviceRule;
    use super::super::devices::tests::rule;
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
                JUMP_IF_EQUAL if registers[to] == i64::from(operand) => at += offset as usize,
                JUMP_UNLESS_EQUAL | JUMP_IF_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    #[test]
    fn the_program_allows_what_the_default_rules_allow() {
        let mut rules = vec![DeviceEntry::DENY_ALL];
        rules.extend(DeviceRule::DEFAULT.iter().map(DeviceEntry::from));
        let code = program(&rules);
        assert!(allows(&code, KIND_CHARACTER, ACCESS_READ | ACCESS_WRITE, 1, 3), "null");
        assert!(allows(&code, KIND_CHARACTER, ACCESS_READ, 136, 7), "a terminal");
        assert!(allows(&code, KIND_BLOCK, ACCESS_MAKE, 8, 0), "a disk's node");
        assert!(!allows(&code, KIND_BLOCK, ACCESS_READ, 8, 0), "a disk");
        assert!(!allows(&code, KIND_CHARACTER, ACCESS_READ | ACCESS_MAKE, 1, 11), "the kernel's log");
    }

    #[test]
    fn the_last_rule_that_fits_decides_each_way_of_access() {
        let code = program(&["deny a *:* rwm", "allow c 1:* rw", "deny c 1:11 w", "allow b 8:* m"].map(rule));
        assert!(allows(&code, KIND_CHARACTER, ACCESS_READ, 1, 11));
        assert!(!allows(&code, KIND_CHARACTER, ACCESS_READ | ACCESS_WRITE, 1, 11));
        assert!(allows(&code, KIND_CHARACTER, ACCESS_READ | ACCESS_WRITE, 1, 3));
        assert!(!allows(&code, KIND_CHARACTER, ACCESS_READ | ACCESS_MAKE, 1, 3));
        assert!(allows(&code, KIND_BLOCK, ACCESS_MAKE, 8, 1));
    }

    #[test]
    fn ways_of_access_that_different_rules_allow_go_together() {
        let code = program(&["deny a *:* rwm", "allow c 1:* r", "allow c 1:3 w"].map(rule));
        assert!(allows(&code, KIND_CHARACTER, ACCESS_READ | ACCESS_WRITE, 1, 3));
    }

    #[test]
    fn what_no_rule_is_about_is_allowed() {
        let code = program(&["deny b 8:* rw"].map(rule));
        assert!(allows(&code, KIND_CHARACTER, ACCESS_READ, 1, 11));
        assert!(allows(&code, KIND_BLOCK, ACCESS_MAKE, 8, 1));
        assert!(!allows(&code, KIND_BLOCK, ACCESS_MAKE | ACCESS_READ, 8, 1));
    }
}
