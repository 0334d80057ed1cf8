//! A profile: which calls have which verdict. Ours is data in `default`; a user's comes in Docker's JSON form.

use super::Error;
use serde::Deserialize;

/// What the kernel does with a call: one of the `SECCOMP_RET` values with its data, seccomp(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict(pub(super) u32);

impl Verdict {
    /// The call is made.
    pub(super) const ALLOW: Verdict = Verdict(0x7fff_0000);
    /// The process is killed.
    pub(super) const KILL_PROCESS: Verdict = Verdict(0x8000_0000);

    /// The call is not made and gives this error.
    pub(super) const fn refuse(error: u16) -> Verdict {
        Verdict(0x0005_0000 | error as u32)
    }
}

/// A comparison of an argument, all 64 bits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal(u64),
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Greater(u64),
    GreaterOrEqual(u64),
    MaskedEqual { mask: u64, value: u64 },
}

/// One comparison of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// Its index, 0 to 5.
    pub(super) argument: u8,
    pub(super) comparison: Comparison,
}

/// The verdict on some calls where all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) names: Vec<String>,
    pub(super) conditions: Vec<Condition>,
    pub(super) verdict: Verdict,
}

/// Verdicts for all calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    /// The verdict on a call that no entry speaks of.
    pub(super) otherwise: Verdict,
    /// Whether 32-bit programs of the same family may make calls too.
    pub(super) compatible: bool,
    pub(super) entries: Vec<Entry>,
}

/// Docker's JSON form.
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
    /// The architecture, by Go's name and by libseccomp's.
    pub(super) architecture: (&'a str, &'a str),
    /// The kernel's major and minor version.
    pub(super) kernel: (u32, u32),
}

/// Reads a profile in Docker's JSON form, as it applies in these circumstances.
pub(super) fn parse(text: &str, circumstances: &Circumstances<'_>) -> Result<Profile, Error> {
    let json: Json = serde_json::from_str(text).map_err(Error::Json)?;
    let default_error = json.default_errno_ret.unwrap_or(1);
    let own = circumstances.architecture.1;
    let mapped = json.arch_map.iter().flatten().find(|map| map.architecture == own);
    let others = mapped.and_then(|map| map.sub_architectures.as_ref()).or(json.architectures.as_ref());
    let compatible = others.is_some_and(|all| all.iter().any(|one| one == "SCMP_ARCH_X86"));
    let mut entries = Vec::new();
    for entry in json.syscalls.into_iter().flatten() {
        let included = entry.includes.as_ref().is_none_or(|filter| applies(filter, circumstances, true));
        let excluded = entry.excludes.as_ref().is_some_and(|filter| applies(filter, circumstances, false));
        if !included || excluded {
            continue;
        }
        let verdict = verdict(&entry.action, entry.errno_ret.unwrap_or(default_error))?;
        let mut conditions = Vec::new();
        for argument in entry.args.iter().flatten() {
            conditions.push(condition(argument)?);
        }
        let names: Vec<String> = entry.names.into_iter().flatten().chain(entry.name).collect();
        entries.extend(split(names, conditions, verdict));
    }
    Ok(Profile { otherwise: verdict(&json.default_action, default_error)?, compatible, entries })
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

/// Includes hold where everything named is there, excludes where anything is.
fn applies(filter: &JsonFilter, circumstances: &Circumstances<'_>, all: bool) -> bool {
    let has = |name: &String| circumstances.capabilities.contains(name);
    let mut tests = Vec::new();
    if let Some(names) = filter.caps.as_ref().filter(|names| !names.is_empty()) {
        tests.push(if all { names.iter().all(has) } else { names.iter().any(has) });
    }
    if let Some(names) = filter.arches.as_ref().filter(|names| !names.is_empty()) {
        tests.push(names.iter().any(|name| name == circumstances.architecture.0));
    }
    if let Some(version) = &filter.min_kernel {
        let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
        let wanted = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        tests.push(circumstances.kernel >= wanted);
    }
    if all { tests.iter().all(|test| *test) } else { tests.iter().any(|test| *test) }
}

fn verdict(action: &str, error: u16) -> Result<Verdict, Error> {
    let data = u32::from(error);
    Ok(match action {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Verdict(0),
        "SCMP_ACT_KILL_PROCESS" => Verdict::KILL_PROCESS,
        "SCMP_ACT_TRAP" => Verdict(0x0003_0000),
        "SCMP_ACT_ERRNO" => Verdict::refuse(error),
        "SCMP_ACT_TRACE" => Verdict(0x7ff0_0000 | data),
        "SCMP_ACT_LOG" => Verdict(0x7ffc_0000),
        "SCMP_ACT_ALLOW" => Verdict::ALLOW,
        _ => return Err(Error::Action { action: action.to_owned() }),
    })
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
        "SCMP_CMP_MASKED_EQ" => Comparison::MaskedEqual { mask: value, value: argument.value_two },
        _ => return Err(Error::Comparison { comparison: argument.op.clone() }),
    };
    if argument.index > 5 {
        return Err(Error::Argument { index: argument.index });
    }
    Ok(Condition { argument: argument.index, comparison })
}
