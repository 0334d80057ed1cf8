//! The door for fuzzers and properties: any bytes as a profile, on every machine, held against what the profile means.
//!
//! Nothing is left to chance here. A profile itself says which calls are worth trying: the numbers that it names and
//! their neighbours, with arguments at and around the values that it compares.

use super::architecture::{Architecture, X32_BIT};
use super::compile::compile;
use super::json::{Circumstances, parse};
use super::profile::{Comparison, Condition, Profile};
use super::verify::{Call, Meaning, accepted, executed};
use super::{Error, finish};
use std::collections::BTreeSet;

/// The most numbers that are tried of one kind of calls.
const NUMBERS_MAX: usize = 120;
/// The most values that are tried as arguments.
const VALUES_MAX: usize = 24;

/// Reads a profile, compiles it for each machine and tries its calls. Says whether it was one; panics where a program is
/// not what the kernel takes or does not do what the profile says.
pub fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut read = false;
    for native in [Architecture::X86_64, Architecture::Aarch64] {
        let capabilities = &["CAP_SYS_ADMIN".to_owned()];
        if let Ok(profile) = parse(text, &Circumstances { capabilities, native, kernel: (6, 1) }) {
            read = true;
            agrees(&profile, native);
        }
    }
    read
}

/// Panics where a profile's program does not do what the profile says.
pub(super) fn agrees(profile: &Profile, native: Architecture) {
    let code = match compile(profile, native) {
        Ok(code) => code,
        Err(Error::TooLong { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(accepted(&code), Ok(()), "{profile:?}");
    let meaning = Meaning::new(profile, native);
    let values = values(profile);
    for (architecture, number) in numbers(profile, native) {
        for (at, value) in values.iter().enumerate() {
            // One value everywhere, and a different one in each place.
            let different = std::array::from_fn(|argument| values[(at + argument) % values.len()]);
            for arguments in [[*value; 6], different] {
                let call = Call { architecture, number, arguments };
                let (does, says) = (executed(&code, &call), meaning.on(&call));
                assert_eq!(does, says, "{call:x?} on {native:?}: {profile:?}");
            }
        }
    }
    let finished = finish(profile.clone(), native).ok();
    let has_listener = finished.is_some_and(|filter| filter.flags & sys::filter::FLAG_LISTENER != 0);
    assert_eq!(has_listener, profile.notifies());
}

/// The calls that are named and those beside them, as a kernel may report them, and some that no kernel does.
fn numbers(profile: &Profile, native: Architecture) -> Vec<(u32, u32)> {
    let mut found = vec![(0xdead, 1), (Architecture::X86_64.audit(), 1), (Architecture::Arm.audit(), 1)];
    for architecture in native.reported() {
        let mut numbers = BTreeSet::from([0, 1000, 0x000f_0000, X32_BIT, X32_BIT + 1000, u32::MAX]);
        for name in profile.entries.iter().flat_map(|entry| &entry.names) {
            let multiplexed = architecture.multiplexed(name).map(|(number, _)| number);
            for number in architecture.number(name).into_iter().chain(multiplexed) {
                numbers.extend([number.saturating_sub(1), number, number + 1]);
            }
            if numbers.len() > NUMBERS_MAX {
                break;
            }
        }
        found.extend(numbers.into_iter().map(|number| (architecture.audit(), number)));
    }
    found
}

/// The values that arguments are compared with, those beside them, and what differs in the other half.
fn values(profile: &Profile) -> Vec<u64> {
    let mut found = BTreeSet::from([0, 1, u64::MAX]);
    for Condition { comparison, .. } in profile.entries.iter().flat_map(|entry| &entry.conditions) {
        let (Comparison::Equal(value)
        | Comparison::NotEqual(value)
        | Comparison::Less(value)
        | Comparison::LessOrEqual(value)
        | Comparison::Greater(value)
        | Comparison::GreaterOrEqual(value)
        | Comparison::MaskedEqual { value, .. }) = *comparison;
        found.extend([
            value,
            value.wrapping_sub(1),
            value.wrapping_add(1),
            value ^ (1 << 32),
            value & 0xffff_ffff,
        ]);
        if let Comparison::MaskedEqual { mask, value } = *comparison {
            found.extend([value | !mask, mask]);
        }
        if found.len() > VALUES_MAX {
            break;
        }
    }
    found.into_iter().collect()
}
