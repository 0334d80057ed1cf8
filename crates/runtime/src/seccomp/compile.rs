//! A profile as a program for the kernel's classic BPF machine.
//!
//! ```text
//! architecture? ── native ──> number ── binary search ──> verdict
//!       │                                    └─ calls with conditions ──> each rule in turn ──> verdict
//!       ├── 32-bit of the family ──> the same with its own numbers
//!       └── anything else ──> the process is killed
//! ```
//!
//! The search is over ranges of numbers with the same verdict, so that a call costs about eight comparisons, and the
//! kernel, which tries each number once when it loads a filter, is done quickly. A call of the x32 family (bit 30
//! set) is said not to exist.

use super::Error;
use super::profile::{Comparison, Condition, Entry, Profile, Verdict};
use super::syscalls::SYSTEM_CALLS;
use sys::filter::{INSTRUCTIONS_MAX, Instruction};

/// Operations of the classic BPF machine, linux/bpf_common.h.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Bit 30 marks a call of the x32 family.
const X32: u32 = 0x4000_0000;
/// The answer to one: "Function not implemented".
const NO_SUCH_CALL: Verdict = Verdict::refuse(38);

/// An architecture whose calls are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    I386,
    Aarch64,
}

impl Architecture {
    /// The one this program was built for.
    pub(super) const NATIVE: Architecture =
        if cfg!(target_arch = "aarch64") { Architecture::Aarch64 } else { Architecture::X86_64 };

    /// `AUDIT_ARCH` of linux/audit.h.
    const fn audit(self) -> u32 {
        match self {
            Architecture::X86_64 => 0xc000_003e,
            Architecture::I386 => 0x4000_0003,
            Architecture::Aarch64 => 0xc000_00b7,
        }
    }

    /// Go's name and libseccomp's.
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Architecture::X86_64 => ("amd64", "SCMP_ARCH_X86_64"),
            Architecture::I386 => ("386", "SCMP_ARCH_X86"),
            Architecture::Aarch64 => ("arm64", "SCMP_ARCH_AARCH64"),
        }
    }

    fn number(self, name: &str) -> Option<u32> {
        let at = SYSTEM_CALLS.binary_search_by_key(&name, |call| call.0).ok()?;
        let (_, x86_64, i386, aarch64) = SYSTEM_CALLS[at];
        let number = match self {
            Architecture::X86_64 => x86_64,
            Architecture::I386 => i386,
            Architecture::Aarch64 => aarch64,
        };
        u32::try_from(number).ok()
    }
}

/// Compiles a profile for an architecture and, where the profile wants it, the 32-bit one of its family.
pub(super) fn compile(profile: &Profile, native: Architecture) -> Result<Vec<Instruction>, Error> {
    let mut code = vec![plain(LOAD, ARCHITECTURE)];
    let mut families = vec![native];
    if native == Architecture::X86_64 && profile.compatible {
        families.push(Architecture::I386);
    }
    for family in families {
        let block = calls(profile, family);
        code.push(branch(IF_EQUAL, family.audit(), 1, 0));
        code.push(plain(JUMP, block.len() as u32));
        code.extend(block);
    }
    code.push(plain(RETURN, Verdict::KILL_PROCESS.0));
    if code.len() > INSTRUCTIONS_MAX {
        return Err(Error::TooLong { instructions: code.len() });
    }
    Ok(code)
}

const fn plain(code: u16, operand: u32) -> Instruction {
    Instruction { code, yes: 0, no: 0, operand }
}

const fn branch(code: u16, operand: u32, yes: u8, no: u8) -> Instruction {
    Instruction { code, yes, no, operand }
}

/// What happens from one number on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    from: u32,
    code: Vec<Instruction>,
}

/// The code for one architecture's calls. It returns on every path.
fn calls(profile: &Profile, architecture: Architecture) -> Vec<Instruction> {
    let otherwise = vec![plain(RETURN, profile.otherwise.0)];
    let mut numbers: Vec<(u32, Vec<&Entry>)> = Vec::new();
    for entry in &profile.entries {
        for number in entry.names.iter().filter_map(|name| architecture.number(name)) {
            match numbers.iter_mut().find(|(known, _)| *known == number) {
                Some((_, entries)) => entries.push(entry),
                None => numbers.push((number, vec![entry])),
            }
        }
    }
    numbers.sort_by_key(|(number, _)| *number);
    let mut ranges = vec![Range { from: 0, code: otherwise.clone() }];
    for (number, entries) in numbers {
        add(&mut ranges, number, leaf(&entries, profile.otherwise));
        add(&mut ranges, number + 1, otherwise.clone());
    }
    let mut code = vec![plain(LOAD, NUMBER)];
    if architecture == Architecture::X86_64 {
        code.push(branch(IF_GREATER_OR_EQUAL, X32, 0, 1));
        code.push(plain(RETURN, NO_SUCH_CALL.0));
    }
    code.extend(search(&ranges));
    code
}

/// Begins a range at `from`. One that is empty or says the same as the one before it vanishes.
fn add(ranges: &mut Vec<Range>, from: u32, code: Vec<Instruction>) {
    if ranges.last().is_some_and(|last| last.from == from) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|last| last.code != code) {
        ranges.push(Range { from, code });
    }
}

/// Halves the ranges until one is left.
fn search(ranges: &[Range]) -> Vec<Instruction> {
    match ranges {
        [] => Vec::new(),
        [one] => one.code.clone(),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let (left, right) = (search(low), search(high));
            let mut code = Vec::with_capacity(left.len() + right.len() + 2);
            match u8::try_from(left.len()) {
                Ok(over) => code.push(branch(IF_GREATER_OR_EQUAL, high[0].from, over, 0)),
                Err(_) => {
                    code.push(branch(IF_GREATER_OR_EQUAL, high[0].from, 0, 1));
                    code.push(plain(JUMP, left.len() as u32));
                }
            }
            code.extend(left);
            code.extend(right);
            code
        }
    }
}

/// The code for one call: its rules in turn. A rule without conditions is the last word on it.
fn leaf(entries: &[&Entry], otherwise: Verdict) -> Vec<Instruction> {
    if let Some(always) = entries.iter().find(|entry| entry.conditions.is_empty()) {
        return vec![plain(RETURN, always.verdict.0)];
    }
    let mut code = Vec::new();
    for entry in entries {
        code.extend(rule(&entry.conditions, entry.verdict));
    }
    code.push(plain(RETURN, otherwise.0));
    code
}

/// Where a comparison goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Go {
    /// To the next instruction.
    On,
    /// Behind this condition: it holds.
    Holds,
    /// Behind this rule: it does not apply.
    Fails,
}

/// An instruction whose jumps are not numbers yet.
type Draft = (u16, u32, Go, Go);

/// All conditions, then the verdict. Falls through where one fails.
fn rule(conditions: &[Condition], verdict: Verdict) -> Vec<Instruction> {
    let drafts: Vec<Vec<Draft>> = conditions.iter().map(draft).collect();
    let length: usize = drafts.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(length);
    for draft in &drafts {
        let behind = code.len() + draft.len();
        for (operation, operand, yes, no) in draft {
            let from = code.len() + 1;
            let to = |go: &Go| match go {
                Go::On => 0,
                Go::Holds => (behind - from) as u8,
                // Six conditions of eight instructions are far from the 255 that a jump reaches.
                Go::Fails => (length - from) as u8,
            };
            code.push(branch(*operation, *operand, to(yes), to(no)));
        }
    }
    code.push(plain(RETURN, verdict.0));
    code
}

/// One comparison of 64 bits by two of 32, the high half first.
fn draft(condition: &Condition) -> Vec<Draft> {
    // Both architectures are little-endian: the low half stands first.
    let low_at = ARGUMENTS + 8 * u32::from(condition.argument);
    let low = (LOAD, low_at, Go::On, Go::On);
    let high = (LOAD, low_at + 4, Go::On, Go::On);
    let halves = |value: u64| (value as u32, (value >> 32) as u32);
    let ordered = |value: u64, above: Go, below: Go, last: u16, yes: Go, no: Go| {
        let (value_low, value_high) = halves(value);
        vec![
            high,
            (IF_GREATER, value_high, above, Go::On),
            (IF_EQUAL, value_high, Go::On, below),
            low,
            (last, value_low, yes, no),
        ]
    };
    match condition.comparison {
        Comparison::Equal(value) => {
            let (value_low, value_high) = halves(value);
            vec![
                high,
                (IF_EQUAL, value_high, Go::On, Go::Fails),
                low,
                (IF_EQUAL, value_low, Go::On, Go::Fails),
            ]
        }
        Comparison::NotEqual(value) => {
            let (value_low, value_high) = halves(value);
            vec![
                high,
                (IF_EQUAL, value_high, Go::On, Go::Holds),
                low,
                (IF_EQUAL, value_low, Go::Fails, Go::On),
            ]
        }
        Comparison::MaskedEqual { mask, value } => {
            let ((mask_low, mask_high), (value_low, value_high)) = (halves(mask), halves(value));
            vec![
                high,
                (AND, mask_high, Go::On, Go::On),
                (IF_EQUAL, value_high, Go::On, Go::Fails),
                low,
                (AND, mask_low, Go::On, Go::On),
                (IF_EQUAL, value_low, Go::On, Go::Fails),
            ]
        }
        Comparison::Greater(value) => ordered(value, Go::Holds, Go::Fails, IF_GREATER, Go::On, Go::Fails),
        Comparison::GreaterOrEqual(value) => {
            ordered(value, Go::Holds, Go::Fails, IF_GREATER_OR_EQUAL, Go::On, Go::Fails)
        }
        Comparison::Less(value) => {
            ordered(value, Go::Fails, Go::Holds, IF_GREATER_OR_EQUAL, Go::Fails, Go::On)
        }
        Comparison::LessOrEqual(value) => ordered(value, Go::Fails, Go::Holds, IF_GREATER, Go::Fails, Go::On),
    }
}

#[cfg(test)]
mod tests {
    use super::super::default;
    use super::*;
    use proptest::prelude::*;

    /// The kernel's machine, as far as filters use it.
    fn interpret(code: &[Instruction], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut accumulator = 0;
        let mut at = 0;
        loop {
            let Instruction { code: operation, yes, no, operand } = code[at];
            at += 1;
            let holds = match operation {
                LOAD => {
                    accumulator = match operand {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        offset => {
                            let argument = arguments[(offset as usize - 16) / 8];
                            if offset % 8 == 0 { argument as u32 } else { (argument >> 32) as u32 }
                        }
                    };
                    continue;
                }
                AND => {
                    accumulator &= operand;
                    continue;
                }
                JUMP => {
                    at += operand as usize;
                    continue;
                }
                RETURN => return operand,
                IF_EQUAL => accumulator == operand,
                IF_GREATER => accumulator > operand,
                IF_GREATER_OR_EQUAL => accumulator >= operand,
                other => panic!("unknown operation {other:#x}"),
            };
            at += usize::from(if holds { yes } else { no });
        }
    }

    const CALLED_ON: u32 = Architecture::X86_64.audit();

    fn default_verdict(capabilities: &[&str], name: &str, first: u64) -> u32 {
        let capabilities: Vec<String> = capabilities.iter().map(|name| (*name).to_owned()).collect();
        let code = compile(&default::profile(&capabilities), Architecture::X86_64).unwrap();
        let number = Architecture::X86_64.number(name).unwrap();
        interpret(&code, CALLED_ON, number, [first, 0, 0, 0, 0, 0])
    }

    const ALLOWED: u32 = Verdict::ALLOW.0;
    const REFUSED: u32 = Verdict::refuse(1).0;

    #[test]
    fn the_default_allows_what_programs_need_and_refuses_the_rest() {
        for name in ["read", "execve", "openat2", "ptrace", "futex", "writev", "mseal"] {
            assert_eq!(default_verdict(&[], name, 0), ALLOWED, "{name}");
        }
        for name in
            ["mount", "keyctl", "bpf", "io_uring_setup", "kexec_load", "setns", "reboot", "userfaultfd"]
        {
            assert_eq!(default_verdict(&[], name, 0), REFUSED, "{name}");
        }
    }

    #[test]
    fn arguments_decide_where_the_call_alone_does_not() {
        assert_eq!(default_verdict(&[], "clone", 0x1100), ALLOWED);
        assert_eq!(default_verdict(&[], "clone", 0x1000_0000), REFUSED, "a new user namespace");
        assert_eq!(default_verdict(&[], "clone3", 0), Verdict::refuse(38).0);
        assert_eq!(default_verdict(&[], "socket", 2), ALLOWED);
        assert_eq!(default_verdict(&[], "socket", AF_VSOCK), REFUSED);
        assert_eq!(default_verdict(&[], "personality", 0x2_0008), ALLOWED);
        assert_eq!(default_verdict(&[], "personality", 0x4_0000), REFUSED);
    }

    const AF_VSOCK: u64 = 40;

    #[test]
    fn a_capability_brings_its_calls() {
        assert_eq!(default_verdict(&["CAP_SYS_ADMIN"], "mount", 0), ALLOWED);
        assert_eq!(default_verdict(&["CAP_SYS_ADMIN"], "clone3", 0), ALLOWED);
        assert_eq!(default_verdict(&["CAP_SYS_ADMIN"], "clone", 0x1000_0000), ALLOWED);
        assert_eq!(default_verdict(&["CAP_SYS_TIME"], "settimeofday", 0), ALLOWED);
    }

    #[test]
    fn other_families_have_their_own_numbers_or_none() {
        let code = compile(&default::profile(&[]), Architecture::X86_64).unwrap();
        let at = |architecture, number| interpret(&code, architecture, number, [0; 6]);
        assert_eq!(at(Architecture::I386.audit(), 102), ALLOWED, "socketcall");
        assert_eq!(at(Architecture::I386.audit(), 21), REFUSED, "mount");
        assert_eq!(at(CALLED_ON, X32 | 1), NO_SUCH_CALL.0);
        assert_eq!(at(0xdead, 1), Verdict::KILL_PROCESS.0);
    }

    #[test]
    fn the_default_fits_every_architecture() {
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            let code = compile(&default::profile(&[]), architecture).unwrap();
            assert!(code.len() < 1000, "{}", code.len());
        }
    }

    fn comparison() -> impl Strategy<Value = Comparison> {
        let value = prop_oneof![any::<u64>(), 0..4u64, Just(1 << 32), Just(u64::MAX)];
        (value.clone(), value, 0..7u8).prop_map(|(value, mask, which)| match which {
            0 => Comparison::Equal(value),
            1 => Comparison::NotEqual(value),
            2 => Comparison::Less(value),
            3 => Comparison::LessOrEqual(value),
            4 => Comparison::Greater(value),
            5 => Comparison::GreaterOrEqual(value),
            _ => Comparison::MaskedEqual { mask, value: value & mask },
        })
    }

    fn holds(condition: &Condition, arguments: [u64; 6]) -> bool {
        let argument = arguments[usize::from(condition.argument)];
        match condition.comparison {
            Comparison::Equal(value) => argument == value,
            Comparison::NotEqual(value) => argument != value,
            Comparison::Less(value) => argument < value,
            Comparison::LessOrEqual(value) => argument <= value,
            Comparison::Greater(value) => argument > value,
            Comparison::GreaterOrEqual(value) => argument >= value,
            Comparison::MaskedEqual { mask, value } => argument & mask == value,
        }
    }

    proptest! {
        #[test]
        fn the_program_says_what_the_profile_says(
            rules in proptest::collection::vec(
                (0..SYSTEM_CALLS.len(), proptest::collection::vec((0..6u8, comparison()), 0..4), 1..9u16), 0..40,
            ),
            called in 0..500u32,
            arguments in proptest::array::uniform6(prop_oneof![any::<u64>(), 0..4u64, Just(1u64 << 32)]),
        ) {
            let entries: Vec<Entry> = rules.into_iter().map(|(call, conditions, error)| Entry {
                names: vec![SYSTEM_CALLS[call].0.to_owned()],
                conditions: conditions.into_iter()
                    .map(|(argument, comparison)| Condition { argument, comparison }).collect(),
                verdict: Verdict::refuse(error),
            }).collect();
            let profile = Profile { otherwise: Verdict::ALLOW, compatible: false, entries };
            let code = compile(&profile, Architecture::X86_64).unwrap();
            let of_call: Vec<&Entry> = profile.entries.iter()
                .filter(|entry| Architecture::X86_64.number(&entry.names[0]) == Some(called)).collect();
            let always = of_call.iter().find(|entry| entry.conditions.is_empty());
            let wanted = always
                .or_else(|| of_call.iter().find(|entry| {
                    entry.conditions.iter().all(|condition| holds(condition, arguments))
                }))
                .map_or(Verdict::ALLOW, |entry| entry.verdict);
            prop_assert_eq!(interpret(&code, CALLED_ON, called, arguments), wanted.0);
        }
    }
}
