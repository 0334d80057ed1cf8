//! Profiles of system calls that are well-formed from the first byte on: chance goes into rules and not into brackets.
//! As `seccomp` otherwise.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use std::fmt::Write as _;

const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];
const ARCHITECTURES: [&str; 6] = [
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_S390X",
];
const OPERATIONS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_GT",
    "SCMP_CMP_GE",
    "SCMP_CMP_MASKED_EQ",
];
/// Neighbours by number, calls that are made through others, calls that few architectures have, and one that none has.
const CALLS: [&str; 24] = [
    "read",
    "write",
    "open",
    "close",
    "execve",
    "ioctl",
    "rt_sigaction",
    "pwritev2",
    "socket",
    "bind",
    "send",
    "recv",
    "accept",
    "socketcall",
    "semop",
    "shmat",
    "ipc",
    "cacheflush",
    "set_tls",
    "get_tls",
    "clone3",
    "file_setattr",
    "listns",
    "no_such_call",
];

#[derive(Arbitrary, Debug)]
struct Profile {
    default: u8,
    default_error: Option<u16>,
    architectures: u8,
    listener: bool,
    rules: Vec<Rule>,
}

#[derive(Arbitrary, Debug)]
struct Rule {
    calls: u32,
    action: u8,
    error: Option<u8>,
    conditions: Vec<Condition>,
}

#[derive(Arbitrary, Debug)]
struct Condition {
    argument: u8,
    operation: u8,
    value: Value,
    second: Value,
}

/// A value that is compared: small ones, those at the border of the halves, and any.
#[derive(Arbitrary, Debug)]
enum Value {
    Small(u8),
    High(u8),
    Below(u8),
    Any(u64),
}

impl Value {
    fn number(&self) -> u64 {
        match self {
            Value::Small(value) => u64::from(*value),
            Value::High(value) => u64::from(*value) << 32,
            Value::Below(value) => (1 << 32) - 1 - u64::from(*value),
            Value::Any(value) => *value,
        }
    }
}

fn one<'a>(of: &[&'a str], which: u8) -> &'a str {
    of[usize::from(which) % of.len()]
}

/// An action, and its number where it may have one.
fn action(keys: [&str; 2], which: u8, error: Option<u16>) -> String {
    let name = one(&ACTIONS, which);
    let number = error.filter(|_| matches!(name, "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE"));
    let number = number.map(|number| format!(r#","{}":{number}"#, keys[1])).unwrap_or_default();
    format!(r#""{}":"{name}"{number}"#, keys[0])
}

/// Those whose bits are set, as a list of strings.
fn chosen(of: &[&str], bits: u32) -> String {
    let set = of.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
    set.map(|(_, name)| format!("\"{name}\"")).collect::<Vec<_>>().join(",")
}

fn json(profile: &Profile) -> String {
    let default = action(["defaultAction", "defaultErrnoRet"], profile.default, profile.default_error);
    let architectures = chosen(&ARCHITECTURES, u32::from(profile.architectures));
    let mut text = format!(r#"{{{default},"architectures":[{architectures}],"syscalls":["#);
    for (at, rule) in profile.rules.iter().take(40).enumerate() {
        let action = action(["action", "errnoRet"], rule.action, rule.error.map(u16::from));
        let conditions: Vec<String> = rule.conditions.iter().take(7).map(condition).collect();
        let comma = if at == 0 { "" } else { "," };
        let (names, conditions) = (chosen(&CALLS, rule.calls), conditions.join(","));
        let _ = write!(text, r#"{comma}{{"names":[{names}],{action},"args":[{conditions}]}}"#);
    }
    text.push(']');
    if profile.listener {
        text.push_str(r#","listenerPath":"/agent","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#);
    }
    text.push('}');
    text
}

fn condition(condition: &Condition) -> String {
    let (value, second) = (condition.value.number(), condition.second.number());
    let (argument, operation) = (condition.argument % 6, one(&OPERATIONS, condition.operation));
    format!(r#"{{"index":{argument},"value":{value},"valueTwo":{second},"op":"{operation}"}}"#)
}

libfuzzer_sys::fuzz_target!(|profile: Profile| {
    runtime::seccomp::fuzzing::check(json(&profile).as_bytes());
});
