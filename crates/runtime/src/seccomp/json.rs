//! A profile as users write it: Docker's JSON form, and the runtime specification's `linux.seccomp`, which is Docker's
//! without the parts that depend on circumstances. One reader serves both.
//!
//! What runc and libseccomp do with a profile is done here too: a rule without an error number says `EPERM` whatever the
//! default's number is; two conditions on one argument are alternatives; unknown calls are passed over, as a profile is
//! written for many kernels. Everything else that is unknown is refused by its name.

use super::architecture::Architecture;
use super::profile::{Comparison, Condition, Entry, Profile, Verdict};
use super::{Error, Listener};
use serde::Deserialize;
use std::path::PathBuf;

/// The error where a profile names none: `EPERM`.
const DEFAULT_ERROR: u16 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    default_action: String,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<JsonArchitecture>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    listener_path: Option<String>,
    #[serde(default)]
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<JsonEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonArchitecture {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonEntry {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Option<Vec<JsonArgument>>,
    #[serde(default)]
    includes: Option<JsonFilter>,
    #[serde(default)]
    excludes: Option<JsonFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonArgument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonFilter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// What a profile's entries may depend on.
pub(super) struct Circumstances<'a> {
    /// The capabilities of the process.
    pub(super) capabilities: &'a [String],
    /// The machine's architecture.
    pub(super) native: Architecture,
    /// The kernel's major and minor version.
    pub(super) kernel: (u32, u32),
}

/// Reads a profile as it applies in these circumstances.
pub(super) fn parse(text: &str, circumstances: &Circumstances<'_>) -> Result<Profile, Error> {
    let json: Json = serde_json::from_str(text).map_err(Error::Json)?;
    let mut entries = Vec::new();
    for entry in json.syscalls.iter().flatten() {
        if !applies(entry, circumstances)? {
            continue;
        }
        let verdict = verdict(&entry.action, entry.errno_ret)?;
        let conditions: Result<Vec<Condition>, Error> = entry.args.iter().flatten().map(condition).collect();
        entries.extend(split(names(entry)?, conditions?, verdict));
    }
    let profile = Profile {
        otherwise: verdict(&json.default_action, json.default_errno_ret)?,
        architectures: architectures(&json, circumstances.native)?,
        entries,
        flags: flags(&json)?,
        listener: listener(json)?,
    };
    profile.check()?;
    Ok(profile)
}

/// The architectures that are named. A map says which belong to the machine's own.
fn architectures(json: &Json, native: Architecture) -> Result<Vec<Architecture>, Error> {
    let named: Vec<&String> = json.architectures.iter().flatten().collect();
    let map: Vec<&JsonArchitecture> = json.arch_map.iter().flatten().collect();
    if !named.is_empty() && !map.is_empty() {
        return Err(Error::Both { one: "architectures", other: "archMap" });
    }
    let mut found = Vec::new();
    for name in named {
        found.extend(Architecture::named(name)?);
    }
    for line in map {
        let own = Architecture::named(&line.architecture)? == Some(native);
        for name in line.sub_architectures.iter().flatten() {
            found.extend(Architecture::named(name)?.filter(|_| own));
        }
    }
    Ok(found)
}

/// The bits of the flags that are named.
fn flags(json: &Json) -> Result<u32, Error> {
    let mut bits = 0;
    for name in json.flags.iter().flatten() {
        bits |= match name.as_str() {
            // For programs whose threads are to be filtered together. A filter is loaded before the program is: there
            // is one thread yet, and nothing to ask of the kernel.
            "SECCOMP_FILTER_FLAG_TSYNC" => 0,
            "SECCOMP_FILTER_FLAG_LOG" => sys::filter::FLAG_LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => sys::filter::FLAG_SPECULATION,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => sys::filter::FLAG_WAIT_KILLABLE,
            _ => return Err(Error::Flag { flag: name.clone() }),
        };
    }
    Ok(bits)
}

/// Who is to be told. A path that nothing needs is no error: one profile may have a variant without the action.
fn listener(json: Json) -> Result<Option<Listener>, Error> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (given(json.listener_path), given(json.listener_metadata)) {
        (Some(path), metadata) => {
            Ok(Some(Listener { path: PathBuf::from(path), metadata: metadata.unwrap_or_default() }))
        }
        (None, Some(_)) => Err(Error::Metadata),
        (None, None) => Ok(None),
    }
}

fn names(entry: &JsonEntry) -> Result<Vec<String>, Error> {
    let names = entry.names.clone().unwrap_or_default();
    match &entry.name {
        Some(name) if !name.is_empty() => {
            if !names.is_empty() {
                return Err(Error::Both { one: "name", other: "names" });
            }
            Ok(vec![name.clone()])
        }
        _ if names.iter().any(String::is_empty) => Err(Error::NoName),
        _ => Ok(names),
    }
}

/// Two conditions on one argument are alternatives, as runc has it; otherwise all must hold.
fn split(names: Vec<String>, conditions: Vec<Condition>, verdict: Verdict) -> Vec<Entry> {
    let twice = conditions
        .iter()
        .enumerate()
        .any(|(at, one)| conditions[..at].iter().any(|other| other.argument == one.argument));
    if !twice {
        return vec![Entry { names, conditions, verdict }];
    }
    let entry = |condition| Entry { names: names.clone(), conditions: vec![condition], verdict };
    conditions.into_iter().map(entry).collect()
}

/// Whether an entry counts: includes hold where everything named is there, excludes where anything is.
fn applies(entry: &JsonEntry, circumstances: &Circumstances<'_>) -> Result<bool, Error> {
    let included = match &entry.includes {
        Some(filter) => tests(filter, circumstances, true)?.iter().all(|test| *test),
        None => true,
    };
    let excluded = match &entry.excludes {
        Some(filter) => tests(filter, circumstances, false)?.iter().any(|test| *test),
        None => false,
    };
    Ok(included && !excluded)
}

/// What comes of each part of a filter. `all` is whether every capability is needed, or one is enough.
fn tests(filter: &JsonFilter, circumstances: &Circumstances<'_>, all: bool) -> Result<Vec<bool>, Error> {
    let has = |name: &String| circumstances.capabilities.contains(name);
    let mut tests = Vec::new();
    if let Some(names) = filter.caps.as_ref().filter(|names| !names.is_empty()) {
        tests.push(if all { names.iter().all(has) } else { names.iter().any(has) });
    }
    if let Some(names) = filter.arches.as_ref().filter(|names| !names.is_empty()) {
        tests.push(names.iter().any(|name| name == circumstances.native.names().0));
    }
    if let Some(text) = filter.min_kernel.as_ref().filter(|text| !text.is_empty()) {
        let wanted = version(text).ok_or_else(|| Error::Version { version: text.clone() })?;
        tests.push(circumstances.kernel >= wanted);
    }
    Ok(tests)
}

/// A kernel's version, `MAJOR.MINOR` and what may follow.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn verdict(action: &str, error: Option<u16>) -> Result<Verdict, Error> {
    let number = error.unwrap_or(DEFAULT_ERROR);
    let verdict = match action {
        "SCMP_ACT_ERRNO" => return Ok(Verdict::refuse(number)),
        "SCMP_ACT_TRACE" => return Ok(Verdict::trace(number)),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Verdict::KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => Verdict::KILL_PROCESS,
        "SCMP_ACT_TRAP" => Verdict::TRAP,
        "SCMP_ACT_NOTIFY" => Verdict::NOTIFY,
        "SCMP_ACT_LOG" => Verdict::LOG,
        "SCMP_ACT_ALLOW" => Verdict::ALLOW,
        _ => return Err(Error::Action { action: action.to_owned() }),
    };
    // runc passes over a number that means nothing here; the specification wants it refused.
    match error {
        Some(_) => Err(Error::Number { action: action.to_owned() }),
        None => Ok(verdict),
    }
}

fn condition(argument: &JsonArgument) -> Result<Condition, Error> {
    let value = argument.value;
    let comparison = match argument.op.as_str() {
        "SCMP_CMP_EQ" => Comparison::Equal(value),
        "SCMP_CMP_NE" => Comparison::NotEqual(value),
        "SCMP_CMP_LT" => Comparison::Less(value),
        "SCMP_CMP_LE" => Comparison::LessOrEqual(value),
        "SCMP_CMP_GT" => Comparison::Greater(value),
        "SCMP_CMP_GE" => Comparison::GreaterOrEqual(value),
        // Bits outside the mask are not compared, whatever stands there: libseccomp clears them too.
        "SCMP_CMP_MASKED_EQ" => Comparison::MaskedEqual { mask: value, value: argument.value_two & value },
        _ => return Err(Error::Comparison { comparison: argument.op.clone() }),
    };
    if argument.index > 5 {
        return Err(Error::Argument { index: argument.index });
    }
    Ok(Condition { argument: argument.index, comparison })
}
