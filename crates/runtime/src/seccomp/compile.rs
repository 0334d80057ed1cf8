//! A profile as a program for the kernel's classic BPF machine.
//!
//! ```text
//! architecture? ── native ──> number ── binary search ──> verdict
//!       │                        │           └─ calls with conditions ──> each rule in turn ──> verdict
//!       │                        └── of x32 ──> the same with its own numbers, or "function not implemented"
//!       ├── 32-bit of the family ──> the same with its own numbers
//!       └── anything else ──> the process is killed
//! ```
//!
//! The search is over ranges of numbers with the same verdict, so that a call costs about eight comparisons, and the
//! kernel, which tries each number once when it loads a filter, is done quickly.
//!
//! What a profile means is what runc and libseccomp make of it, with three exceptions. A call of an architecture that is
//! not listed kills the process and not its thread alone: the rest of a program whose thread has vanished is of no use to
//! anyone. A call of x32 that is not listed does not exist, which is what most kernels say of it. Rules with conditions
//! that overlap are tried in the order in which they stand, where libseccomp's order is its own affair.

use super::Error;
use super::architecture::{Architecture, X32_BIT};
use super::profile::{Comparison, Condition, Profile, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use sys::filter::{INSTRUCTIONS_MAX, Instruction};

/// Operations of the classic BPF machine, linux/bpf_common.h.
pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const IF_EQUAL: u16 = 0x15;
pub(super) const IF_GREATER: u16 = 0x25;
pub(super) const IF_GREATER_OR_EQUAL: u16 = 0x35;
pub(super) const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCHITECTURE: u32 = 4;
pub(super) const ARGUMENTS: u32 = 16;

/// Compiles a profile for a machine.
pub(super) fn compile(profile: &Profile, native: Architecture) -> Result<Vec<Instruction>, Error> {
    let families = profile.families(native);
    let mut code = vec![plain(LOAD, ARCHITECTURE)];
    // x32 has no name of its own to the kernel: its code stands within that of x86_64.
    for family in families.iter().filter(|family| **family != Architecture::X32) {
        let block = block(profile, *family, families.contains(&Architecture::X32));
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

/// The code for all that the kernel reports under one name.
fn block(profile: &Profile, family: Architecture, with_x32: bool) -> Vec<Instruction> {
    let mut code = vec![plain(LOAD, NUMBER)];
    let own = calls(profile, family);
    if family != Architecture::X86_64 {
        code.extend(own);
        return code;
    }
    code.push(branch(IF_GREATER_OR_EQUAL, X32_BIT, 0, 1));
    code.push(plain(JUMP, own.len() as u32));
    code.extend(own);
    match with_x32 {
        true => code.extend(calls(profile, Architecture::X32)),
        false => code.push(plain(RETURN, Verdict::NO_SUCH_CALL.0)),
    }
    code
}

const fn plain(code: u16, operand: u32) -> Instruction {
    Instruction { code, yes: 0, no: 0, operand }
}

const fn branch(code: u16, operand: u32, yes: u8, no: u8) -> Instruction {
    Instruction { code, yes, no, operand }
}

/// The verdict on one call where all conditions hold.
struct Rule {
    conditions: Vec<Condition>,
    verdict: Verdict,
}

/// The rules of every number that the profile names, those that say no more than it says otherwise left aside.
fn rules(profile: &Profile, architecture: Architecture) -> BTreeMap<u32, Vec<Rule>> {
    let mut numbers: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
    for entry in &profile.entries {
        let redundant = entry.verdict == profile.otherwise;
        for name in &entry.names {
            if let Some(number) = architecture.number(name) {
                let rules = numbers.entry(number).or_default();
                if !redundant {
                    rules.push(Rule { conditions: entry.conditions.clone(), verdict: entry.verdict });
                }
            }
            if let Some((number, comparison)) = architecture.multiplexed(name).filter(|_| !redundant) {
                // The first argument says which call it is, and no longer what the call's own first one is.
                let others = entry.conditions.iter().filter(|condition| condition.argument != 0);
                let conditions = [Condition { argument: 0, comparison }].into_iter().chain(others.copied());
                let rule = Rule { conditions: conditions.collect(), verdict: entry.verdict };
                numbers.entry(number).or_default().push(rule);
            }
        }
    }
    numbers
}

/// The highest number that the profile names.
fn newest(profile: &Profile, architecture: Architecture) -> Option<u32> {
    let names = profile.entries.iter().flat_map(|entry| &entry.names);
    let numbers = names.filter_map(|name| architecture.number(name));
    numbers.filter(|number| architecture.own_calls_from().is_none_or(|from| *number < from)).max()
}

/// What happens from one number on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    from: u32,
    code: Vec<Instruction>,
}

/// The code for one architecture's calls, with the number loaded. It returns on every path.
fn calls(profile: &Profile, architecture: Architecture) -> Vec<Instruction> {
    let numbers = rules(profile, architecture);
    let newest = newest(profile, architecture);
    let own_from = architecture.own_calls_from();
    let unnamed = |number: u32| {
        let newer = newest.is_some_and(|newest| number > newest) && own_from.is_none_or(|from| number < from);
        if newer { profile.beyond() } else { profile.otherwise }
    };
    let around = numbers.keys().flat_map(|number| [*number, number + 1]);
    let starts: BTreeSet<u32> = around.chain(own_from).chain([0]).collect();
    let mut ranges: Vec<Range> = Vec::new();
    for from in starts {
        let code = match numbers.get(&from) {
            Some(rules) => leaf(rules, unnamed(from), architecture.is_wide()),
            None => vec![plain(RETURN, unnamed(from).0)],
        };
        // A range that says the same as the one before it is part of it.
        if ranges.last().is_none_or(|last| last.code != code) {
            ranges.push(Range { from, code });
        }
    }
    search(&ranges)
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
fn leaf(rules: &[Rule], otherwise: Verdict, wide: bool) -> Vec<Instruction> {
    if let Some(always) = rules.iter().find(|rule| rule.conditions.is_empty()) {
        return vec![plain(RETURN, always.verdict.0)];
    }
    let mut code: Vec<Instruction> = rules.iter().flat_map(|rule| checked(rule, wide)).collect();
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
fn checked(rule: &Rule, wide: bool) -> Vec<Instruction> {
    let drafts: Vec<Vec<Draft>> = rule.conditions.iter().map(|condition| draft(condition, wide)).collect();
    let length: usize = drafts.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(length);
    for draft in &drafts {
        let behind = code.len() + draft.len();
        for (operation, operand, yes, no) in draft {
            let from = code.len() + 1;
            let to = |go: &Go| match go {
                Go::On => 0,
                Go::Holds => (behind - from) as u8,
                // Six conditions of six instructions are far from the 255 that a jump reaches.
                Go::Fails => (length - from) as u8,
            };
            code.push(branch(*operation, *operand, to(yes), to(no)));
        }
    }
    code.push(plain(RETURN, rule.verdict.0));
    code
}

/// One comparison: of 64 bits by two of 32, the high half first; of 32 bits by the low half alone.
fn draft(condition: &Condition, wide: bool) -> Vec<Draft> {
    // All architectures are little-endian: the low half stands first.
    let at = ARGUMENTS + 8 * u32::from(condition.argument);
    let mut drafts = if wide { high(condition.comparison, at + 4) } else { Vec::new() };
    drafts.extend(low(condition.comparison, at));
    drafts
}

/// What the high half decides. Falls through where it is up to the low one.
fn high(comparison: Comparison, at: u32) -> Vec<Draft> {
    let load = (LOAD, at, Go::On, Go::On);
    let half = |value: u64| (value >> 32) as u32;
    let ordered = |value, above, below| {
        vec![load, (IF_GREATER, half(value), above, Go::On), (IF_EQUAL, half(value), Go::On, below)]
    };
    match comparison {
        Comparison::Equal(value) => vec![load, (IF_EQUAL, half(value), Go::On, Go::Fails)],
        Comparison::NotEqual(value) => vec![load, (IF_EQUAL, half(value), Go::On, Go::Holds)],
        Comparison::Greater(value) | Comparison::GreaterOrEqual(value) => {
            ordered(value, Go::Holds, Go::Fails)
        }
        Comparison::Less(value) | Comparison::LessOrEqual(value) => ordered(value, Go::Fails, Go::Holds),
        Comparison::MaskedEqual { mask, value } => {
            vec![load, (AND, half(mask), Go::On, Go::On), (IF_EQUAL, half(value), Go::On, Go::Fails)]
        }
    }
}

/// What the low half decides.
fn low(comparison: Comparison, at: u32) -> Vec<Draft> {
    let load = (LOAD, at, Go::On, Go::On);
    let half = |value: u64| value as u32;
    let (operation, value, yes, no) = match comparison {
        Comparison::Equal(value) => (IF_EQUAL, value, Go::On, Go::Fails),
        Comparison::NotEqual(value) => (IF_EQUAL, value, Go::Fails, Go::On),
        Comparison::Greater(value) => (IF_GREATER, value, Go::On, Go::Fails),
        Comparison::GreaterOrEqual(value) => (IF_GREATER_OR_EQUAL, value, Go::On, Go::Fails),
        Comparison::Less(value) => (IF_GREATER_OR_EQUAL, value, Go::Fails, Go::On),
        Comparison::LessOrEqual(value) => (IF_GREATER, value, Go::Fails, Go::On),
        Comparison::MaskedEqual { mask, value } => {
            let masked = (AND, half(mask), Go::On, Go::On);
            return vec![load, masked, (IF_EQUAL, half(value), Go::On, Go::Fails)];
        }
    };
    vec![load, (operation, half(value), yes, no)]
}

#[cfg(test)]
mod tests;
