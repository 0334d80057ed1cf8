//! What a compiled filter is held against: the kernel's machine, and the meaning of a profile.
//!
//! Neither looks at how the compiler works. The machine executes a program as the kernel would, once it has accepted it
//! by the kernel's rules. The meaning goes the other way round: from a number to the names that it may stand for, and
//! through the profile from top to bottom, without ranges, halves or jumps.

use super::architecture::{ARM_CALLS, Architecture, MULTIPLEXED, MULTIPLEXED_MASK, X32_BIT};
use super::compile::{
    AND, ARCHITECTURE, ARGUMENTS, IF_EQUAL, IF_GREATER, IF_GREATER_OR_EQUAL, JUMP, LOAD, NUMBER, RETURN,
};
use super::profile::{Comparison, Condition, Entry, Profile, Verdict};
use super::syscalls::{Row, SYSTEM_CALLS};
use sys::filter::{INSTRUCTIONS_MAX, Instruction};

/// The size of `struct seccomp_data`, in bytes.
const DATA_BYTES: u32 = 64;

/// A call as the kernel shows it to a filter, `struct seccomp_data`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) architecture: u32,
    pub(super) number: u32,
    pub(super) arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            NUMBER => self.number,
            ARCHITECTURE => self.architecture,
            // The instruction pointer, of which no profile speaks.
            8..ARGUMENTS => 0,
            _ => {
                let argument = self.arguments[(offset - ARGUMENTS) as usize / 8];
                if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
            }
        }
    }
}

/// Whether the kernel accepts a program, or why not.
pub(super) fn accepted(code: &[Instruction]) -> Result<(), String> {
    if code.is_empty() || code.len() > INSTRUCTIONS_MAX {
        return Err(format!("{} instructions", code.len()));
    }
    for (at, instruction) in code.iter().enumerate() {
        let behind = code.len() - at - 1;
        let Instruction { code: operation, yes, no, operand } = *instruction;
        let fine = match operation {
            LOAD => operand.is_multiple_of(4) && operand < DATA_BYTES,
            JUMP => (operand as usize) < behind,
            IF_EQUAL | IF_GREATER | IF_GREATER_OR_EQUAL => usize::from(yes.max(no)) < behind,
            AND | RETURN => true,
            _ => false,
        };
        if !fine {
            return Err(format!("instruction {at} of {}: {instruction:?}", code.len()));
        }
    }
    match code.last() {
        Some(last) if last.code == RETURN => Ok(()),
        _ => Err("the last instruction does not return".to_owned()),
    }
}

/// The kernel's machine, as far as filters use it, for a program that was accepted.
pub(super) fn executed(code: &[Instruction], call: &Call) -> Verdict {
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let Instruction { code: operation, yes, no, operand } = code[at];
        at += 1;
        let holds = match operation {
            LOAD => {
                accumulator = call.word(operand);
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
            RETURN => return Verdict(operand),
            IF_EQUAL => accumulator == operand,
            IF_GREATER => accumulator > operand,
            _ => accumulator >= operand,
        };
        at += usize::from(if holds { yes } else { no });
    }
}

/// What a profile says on a machine.
pub(super) struct Meaning<'a> {
    profile: &'a Profile,
    native: Architecture,
    /// The highest number that the profile names of each kind of calls, ARM's own calls left aside.
    newest: Vec<Option<u32>>,
}

impl<'a> Meaning<'a> {
    pub(super) fn new(profile: &'a Profile, native: Architecture) -> Meaning<'a> {
        let named = || profile.entries.iter().flat_map(|entry| &entry.names);
        let own = |name: &String| ARM_CALLS.iter().any(|own| own.0 == name);
        let newest = |one: &Architecture| {
            let of_all = named().filter(|name| *one != Architecture::Arm || !own(name));
            of_all.filter_map(|name| one.number(name)).max()
        };
        Meaning { profile, native, newest: native.reported().iter().map(newest).collect() }
    }

    /// What it says on a call.
    pub(super) fn on(&self, call: &Call) -> Verdict {
        let is_x32 = call.architecture == Architecture::X86_64.audit() && call.number >= X32_BIT;
        let is_it =
            |one: &Architecture| one.audit() == call.architecture && (*one == Architecture::X32) == is_x32;
        let Some(at) = self.native.reported().iter().position(is_it) else {
            return Verdict::KILL_PROCESS;
        };
        let architecture = self.native.reported()[at];
        if architecture != self.native && !self.profile.architectures.contains(&architecture) {
            return if is_x32 { Verdict::NO_SUCH_CALL } else { Verdict::KILL_PROCESS };
        }
        let is_own = architecture == Architecture::Arm && call.number >= 0x000f_0000;
        let is_newer = self.newest[at].is_some_and(|newest| call.number > newest && !is_own);
        match self.rule(architecture, call) {
            Some(entry) => entry.verdict,
            None if is_newer => self.profile.beyond(),
            None => self.profile.otherwise,
        }
    }

    /// The entry that decides on a call.
    fn rule(&self, architecture: Architecture, call: &Call) -> Option<&Entry> {
        let direct = names(architecture, call.number);
        let through = behind(architecture, call);
        let has =
            |entry: &Entry, names: &[&str]| entry.names.iter().any(|name| names.contains(&name.as_str()));
        let entries = || self.profile.entries.iter().filter(|entry| entry.verdict != self.profile.otherwise);
        let always = entries().find(|entry| entry.conditions.is_empty() && has(entry, &direct));
        always.or_else(|| {
            entries().find(|entry| {
                let holds_all = |from: u8| {
                    let mut conditions =
                        entry.conditions.iter().filter(|condition| condition.argument >= from);
                    conditions.all(|condition| holds(condition, architecture, call))
                };
                (has(entry, &direct) && holds_all(0)) || (has(entry, &through) && holds_all(1))
            })
        })
    }
}

/// The names of a number.
fn names(architecture: Architecture, number: u32) -> Vec<&'static str> {
    let numbered = |call: &&Row| {
        let (own, mark) = match architecture {
            Architecture::X86_64 => (call.1, 0),
            Architecture::I386 => (call.2, 0),
            Architecture::X32 => (call.3, X32_BIT),
            Architecture::Aarch64 => (call.4, 0),
            Architecture::Arm => (call.5, 0),
        };
        own >= 0 && (own as u32) ^ mark == number
    };
    let mut names: Vec<&str> = SYSTEM_CALLS.iter().filter(numbered).map(|call| call.0).collect();
    if architecture == Architecture::Arm {
        names.extend(ARM_CALLS.iter().filter(|own| own.1 == number).map(|own| own.0));
    }
    names
}

/// The call that is made through one that stands for many.
fn behind(architecture: Architecture, call: &Call) -> Vec<&'static str> {
    if architecture != Architecture::I386 {
        return Vec::new();
    }
    let outer = names(architecture, call.number);
    let calls = MULTIPLEXED.iter().filter(|(name, _)| outer.contains(name)).flat_map(|(_, calls)| *calls);
    let wanted = call.arguments[0] & MULTIPLEXED_MASK;
    calls.filter(|(_, value)| *value == wanted).map(|(name, _)| *name).collect()
}

/// Whether a condition holds, with as many bits as the architecture has.
fn holds(condition: &Condition, architecture: Architecture, call: &Call) -> bool {
    let cut = |value: u64| if architecture.is_wide() { value } else { value & 0xffff_ffff };
    let argument = cut(call.arguments[usize::from(condition.argument)]);
    match condition.comparison {
        Comparison::Equal(value) => argument == cut(value),
        Comparison::NotEqual(value) => argument != cut(value),
        Comparison::Less(value) => argument < cut(value),
        Comparison::LessOrEqual(value) => argument <= cut(value),
        Comparison::Greater(value) => argument > cut(value),
        Comparison::GreaterOrEqual(value) => argument >= cut(value),
        Comparison::MaskedEqual { mask, value } => argument & mask == cut(value),
    }
}
