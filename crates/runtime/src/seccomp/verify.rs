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
use super::syscalls::SYSTEM_CALLS;
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    kinds: Vec<Kind>,
    /// The entries of each name by their places, those that say what the profile says otherwise left aside.
    places: HashMap<&'a str, Vec<usize>>,
}

/// One kind of calls of a machine.
struct Kind {
    architecture: Architecture,
    /// The names of each number.
    names: BTreeMap<u32, Vec<&'static str>>,
    /// The highest number that the profile names, ARM's own calls left aside.
    newest: Option<u32>,
}

impl<'a> Meaning<'a> {
    pub(super) fn new(profile: &'a Profile, native: Architecture) -> Meaning<'a> {
        let named = || profile.entries.iter().flat_map(|entry| &entry.names);
        let own = |name: &String| ARM_CALLS.iter().any(|own| own.0 == name);
        let kind = |architecture: &Architecture| {
            let of_all = named().filter(|name| *architecture != Architecture::Arm || !own(name));
            Kind {
                architecture: *architecture,
                names: names(*architecture),
                newest: of_all.filter_map(|name| architecture.number(name)).max(),
            }
        };
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, entry) in profile.entries.iter().enumerate() {
            for name in entry.names.iter().filter(|_| entry.verdict != profile.otherwise) {
                places.entry(name).or_default().push(place);
            }
        }
        Meaning { profile, native, kinds: native.reported().iter().map(kind).collect(), places }
    }

    /// What it says on a call.
    pub(super) fn on(&self, call: &Call) -> Verdict {
        let is_x32 = call.architecture == Architecture::X86_64.audit() && call.number >= X32_BIT;
        let is_it = |kind: &&Kind| {
            kind.architecture.audit() == call.architecture
                && (kind.architecture == Architecture::X32) == is_x32
        };
        let Some(kind) = self.kinds.iter().find(is_it) else {
            return Verdict::KILL_PROCESS;
        };
        let architecture = kind.architecture;
        if architecture != self.native && !self.profile.architectures.contains(&architecture) {
            return if is_x32 { Verdict::NO_SUCH_CALL } else { Verdict::KILL_PROCESS };
        }
        let is_own = architecture == Architecture::Arm && call.number >= 0x000f_0000;
        let is_newer = kind.newest.is_some_and(|newest| call.number > newest && !is_own);
        match self.rule(kind, call) {
            Some(entry) => entry.verdict,
            None if is_newer => self.profile.beyond(),
            None => self.profile.otherwise,
        }
    }

    /// The entry that decides on a call.
    fn rule(&self, kind: &Kind, call: &Call) -> Option<&Entry> {
        let names = kind.names.get(&call.number).map(Vec::as_slice).unwrap_or_default();
        let direct = self.entries(names, 0);
        let through = self.entries(&behind(kind.architecture, names, call.arguments[0]), 1);
        let always = direct.clone().find(|(_, entry, _)| entry.conditions.is_empty());
        let holds_all = |(_, entry, from): &(usize, &Entry, u8)| {
            let mut conditions = entry.conditions.iter().filter(|condition| condition.argument >= *from);
            conditions.all(|condition| holds(condition, kind.architecture, call))
        };
        let first =
            || direct.clone().chain(through.clone()).filter(holds_all).min_by_key(|(place, ..)| *place);
        always.or_else(first).map(|(_, entry, _)| entry)
    }

    /// The entries of some names, with their places, and with the first argument that their conditions are about.
    fn entries(&self, names: &[&str], from: u8) -> std::vec::IntoIter<(usize, &Entry, u8)> {
        let places: BTreeSet<usize> =
            names.iter().filter_map(|name| self.places.get(name)).flatten().copied().collect();
        let entry = |place| (place, &self.profile.entries[place], from);
        places.into_iter().map(entry).collect::<Vec<_>>().into_iter()
    }
}

/// The names of every number, as the kernel reports it.
fn names(architecture: Architecture) -> BTreeMap<u32, Vec<&'static str>> {
    let mut names: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (name, x86_64, i386, x32, aarch64, arm) in SYSTEM_CALLS {
        let (number, mark) = match architecture {
            Architecture::X86_64 => (x86_64, 0),
            Architecture::I386 => (i386, 0),
            Architecture::X32 => (x32, X32_BIT),
            Architecture::Aarch64 => (aarch64, 0),
            Architecture::Arm => (arm, 0),
        };
        if let Ok(number) = u32::try_from(*number) {
            names.entry(mark | number).or_default().push(name);
        }
    }
    if architecture == Architecture::Arm {
        for (name, number) in ARM_CALLS {
            names.entry(number).or_default().push(name);
        }
    }
    names
}

/// The call that is made through one that stands for many.
fn behind(architecture: Architecture, outer: &[&str], first: u64) -> Vec<&'static str> {
    if architecture != Architecture::I386 {
        return Vec::new();
    }
    let calls = MULTIPLEXED.iter().filter(|(name, _)| outer.contains(name)).flat_map(|(_, calls)| *calls);
    calls.filter(|(_, value)| *value == first & MULTIPLEXED_MASK).map(|(name, _)| *name).collect()
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
