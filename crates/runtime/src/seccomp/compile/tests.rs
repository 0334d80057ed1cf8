//! What the default says, and that compiled profiles do what profiles say, on every machine.

use super::super::architecture::MULTIPLEXED;
use super::super::default;
use super::super::fuzzing::agrees;
use super::super::profile::Entry;
use super::super::syscalls::SYSTEM_CALLS;
use super::super::verify::{Call, Meaning, accepted, executed};
use super::*;
use proptest::prelude::*;

const CALLED_ON: u32 = Architecture::X86_64.audit();
const MACHINES: [Architecture; 2] = [Architecture::X86_64, Architecture::Aarch64];
const REFUSED: Verdict = Verdict::refuse(1);

fn verdict(code: &[Instruction], architecture: Architecture, name: &str, arguments: [u64; 6]) -> Verdict {
    let number = architecture.number(name).unwrap();
    executed(code, &Call { architecture: architecture.audit(), number, arguments })
}

fn default_verdict(capabilities: &[&str], name: &str, first: u64) -> Verdict {
    let capabilities: Vec<String> = capabilities.iter().map(|name| (*name).to_owned()).collect();
    let code = compile(&default::profile(&capabilities), Architecture::X86_64).unwrap();
    verdict(&code, Architecture::X86_64, name, [first, 0, 0, 0, 0, 0])
}

/// A profile of these calls, all with one verdict.
fn profile(otherwise: Verdict, architectures: &[Architecture], names: &[&str], verdict: Verdict) -> Profile {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Profile {
        otherwise,
        architectures: architectures.to_vec(),
        entries: vec![Entry { names, conditions: Vec::new(), verdict }],
        flags: 0,
        listener: None,
    }
}

#[test]
fn the_default_allows_what_programs_need_and_refuses_the_rest() {
    for name in ["read", "execve", "openat2", "ptrace", "futex", "writev", "mseal"] {
        assert_eq!(default_verdict(&[], name, 0), Verdict::ALLOW, "{name}");
    }
    for name in ["mount", "keyctl", "bpf", "io_uring_setup", "kexec_load", "setns", "reboot", "userfaultfd"] {
        assert_eq!(default_verdict(&[], name, 0), REFUSED, "{name}");
    }
}

#[test]
fn arguments_decide_where_the_call_alone_does_not() {
    const AF_VSOCK: u64 = 40;
    assert_eq!(default_verdict(&[], "clone", 0x1100), Verdict::ALLOW);
    assert_eq!(default_verdict(&[], "clone", 0x1000_0000), REFUSED, "a new user namespace");
    assert_eq!(default_verdict(&[], "clone3", 0), Verdict::NO_SUCH_CALL);
    assert_eq!(default_verdict(&[], "socket", 2), Verdict::ALLOW);
    assert_eq!(default_verdict(&[], "socket", AF_VSOCK), REFUSED);
    assert_eq!(default_verdict(&[], "personality", 0x2_0008), Verdict::ALLOW);
    assert_eq!(default_verdict(&[], "personality", 0x4_0000), REFUSED);
}

#[test]
fn a_capability_brings_its_calls() {
    assert_eq!(default_verdict(&["CAP_SYS_ADMIN"], "mount", 0), Verdict::ALLOW);
    assert_eq!(default_verdict(&["CAP_SYS_ADMIN"], "clone3", 0), Verdict::ALLOW);
    assert_eq!(default_verdict(&["CAP_SYS_ADMIN"], "clone", 0x1000_0000), Verdict::ALLOW);
    assert_eq!(default_verdict(&["CAP_SYS_TIME"], "settimeofday", 0), Verdict::ALLOW);
}

#[test]
fn other_families_have_their_own_numbers_or_none() {
    let code = compile(&default::profile(&[]), Architecture::X86_64).unwrap();
    let at = |architecture, number| executed(&code, &Call { architecture, number, arguments: [0; 6] });
    assert_eq!(at(Architecture::I386.audit(), 102), Verdict::ALLOW, "socketcall");
    assert_eq!(at(Architecture::I386.audit(), 21), REFUSED, "mount");
    assert_eq!(at(CALLED_ON, X32_BIT | 1), Verdict::NO_SUCH_CALL);
    assert_eq!(at(0xdead, 1), Verdict::KILL_PROCESS);
    let code = compile(&default::profile(&[]), Architecture::Aarch64).unwrap();
    assert_eq!(verdict(&code, Architecture::Arm, "set_tls", [0; 6]), Verdict::ALLOW);
    assert_eq!(verdict(&code, Architecture::Arm, "mount", [0; 6]), REFUSED);
    assert_eq!(verdict(&code, Architecture::X86_64, "read", [0; 6]), Verdict::KILL_PROCESS);
}

#[test]
fn the_default_fits_every_architecture() {
    for architecture in MACHINES {
        let code = compile(&default::profile(&[]), architecture).unwrap();
        assert!(code.len() < 1000, "{}", code.len());
        agrees(&default::profile(&[]), architecture);
        agrees(&default::profile(&["CAP_SYS_ADMIN".to_owned()]), architecture);
    }
}

#[test]
fn an_architecture_that_is_not_listed_is_killed_and_the_machines_own_is_always_there() {
    let own_only = profile(REFUSED, &[Architecture::Arm], &["getpid"], Verdict::ALLOW);
    let code = compile(&own_only, Architecture::X86_64).unwrap();
    assert_eq!(verdict(&code, Architecture::X86_64, "getpid", [0; 6]), Verdict::ALLOW);
    assert_eq!(verdict(&code, Architecture::X32, "getpid", [0; 6]), Verdict::NO_SUCH_CALL);
    assert_eq!(verdict(&code, Architecture::I386, "getpid", [0; 6]), Verdict::KILL_PROCESS);
    assert_eq!(verdict(&code, Architecture::Arm, "getpid", [0; 6]), Verdict::KILL_PROCESS);
}

#[test]
fn x32_has_its_own_numbers_where_it_is_listed() {
    let with = profile(REFUSED, &[Architecture::X32], &["execve", "getpid"], Verdict::ALLOW);
    let code = compile(&with, Architecture::X86_64).unwrap();
    let at = |number| executed(&code, &Call { architecture: CALLED_ON, number, arguments: [0; 6] });
    assert_eq!(at(X32_BIT | 520), Verdict::ALLOW, "execve");
    assert_eq!(at(X32_BIT | 59), REFUSED, "execve's number without the bit");
    assert_eq!((at(59), at(520)), (Verdict::ALLOW, Verdict::NO_SUCH_CALL));
    assert_eq!((at(X32_BIT | 39), at(39)), (Verdict::ALLOW, Verdict::ALLOW));
}

#[test]
fn calls_newer_than_the_profile_do_not_exist_unless_the_unknown_is_allowed() {
    let at = |otherwise, machine: Architecture, architecture: Architecture, number| {
        let with = profile(otherwise, &[Architecture::Arm], &["openat2", "set_tls"], Verdict::TRAP);
        let code = compile(&with, machine).unwrap();
        executed(&code, &Call { architecture: architecture.audit(), number, arguments: [0; 6] })
    };
    let (x86, aarch64) = (Architecture::X86_64, Architecture::Aarch64);
    assert_eq!(at(REFUSED, x86, x86, 437), Verdict::TRAP, "openat2");
    assert_eq!(at(REFUSED, x86, x86, 436), REFUSED);
    assert_eq!(at(REFUSED, x86, x86, 438), Verdict::NO_SUCH_CALL);
    assert_eq!(at(Verdict::KILL_PROCESS, x86, x86, 438), Verdict::NO_SUCH_CALL);
    for permissive in [Verdict::ALLOW, Verdict::LOG, Verdict::trace(7)] {
        assert_eq!(at(permissive, x86, x86, 438), permissive);
    }
    assert_eq!(at(REFUSED, aarch64, Architecture::Arm, 438), Verdict::NO_SUCH_CALL);
    assert_eq!(at(REFUSED, aarch64, Architecture::Arm, 0x000f_0002), REFUSED, "cacheflush");
    assert_eq!(at(REFUSED, aarch64, Architecture::Arm, 0x000f_0005), Verdict::TRAP, "set_tls");
}

#[test]
fn a_call_that_is_made_through_another_one_has_its_verdict() {
    let denied = profile(Verdict::ALLOW, &[Architecture::I386], &["socket", "semop"], REFUSED);
    let code = compile(&denied, Architecture::X86_64).unwrap();
    let at = |name, first| verdict(&code, Architecture::I386, name, [first, 0, 0, 0, 0, 0]);
    assert_eq!((at("socketcall", 1), at("socketcall", 2)), (REFUSED, Verdict::ALLOW));
    assert_eq!((at("ipc", 1), at("ipc", 0x1_0001), at("ipc", 2)), (REFUSED, REFUSED, Verdict::ALLOW));
}

#[test]
fn a_rule_that_says_what_the_default_says_does_not_hide_another() {
    let mut with = profile(REFUSED, &[], &["chmod"], REFUSED);
    with.entries.push(Entry {
        names: vec!["chmod".to_owned()],
        conditions: Vec::new(),
        verdict: Verdict::ALLOW,
    });
    let code = compile(&with, Architecture::X86_64).unwrap();
    assert_eq!(verdict(&code, Architecture::X86_64, "chmod", [0; 6]), Verdict::ALLOW);
}

#[test]
fn a_profile_that_the_kernel_would_not_take_is_refused() {
    let mut with = profile(Verdict::ALLOW, &[], &["chmod"], REFUSED);
    let entry = |value| Entry {
        names: vec!["chmod".to_owned()],
        conditions: vec![Condition { argument: 0, comparison: Comparison::Equal(value) }],
        verdict: REFUSED,
    };
    with.entries = (0..2000).map(entry).collect();
    let error = compile(&with, Architecture::X86_64).unwrap_err();
    assert!(matches!(error, Error::TooLong { instructions } if instructions > INSTRUCTIONS_MAX));
}

fn comparison() -> impl Strategy<Value = Comparison> {
    let value = prop_oneof![any::<u64>(), 0..24u64, Just(1 << 32), Just(u64::MAX)];
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

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        (1..9u16).prop_map(Verdict::refuse),
        (0..9u16).prop_map(Verdict::trace),
        Just(Verdict::ALLOW),
        Just(Verdict::LOG),
        Just(Verdict::NOTIFY),
        Just(Verdict::TRAP),
        Just(Verdict::KILL_THREAD),
        Just(Verdict::KILL_PROCESS),
    ]
}

/// Names of all kinds: any call, those that are made through others, ARM's own, and what nobody knows.
fn name() -> impl Strategy<Value = String> {
    let multiplexed: Vec<&str> =
        MULTIPLEXED.iter().flat_map(|(_, calls)| *calls).map(|call| call.0).collect();
    prop_oneof![
        8 => (0..SYSTEM_CALLS.len()).prop_map(|call| SYSTEM_CALLS[call].0.to_owned()),
        3 => proptest::sample::select(multiplexed).prop_map(str::to_owned),
        1 => proptest::sample::select(vec!["socketcall", "ipc", "cacheflush", "set_tls", "no_such_call"])
            .prop_map(str::to_owned),
    ]
}

prop_compose! {
    fn entry()(
        names in proptest::collection::vec(name(), 1..4),
        conditions in proptest::collection::vec((0..6u8, comparison()), 0..4),
        verdict in any_verdict(),
    ) -> Entry {
        let condition = |(argument, comparison)| Condition { argument, comparison };
        Entry { names, conditions: conditions.into_iter().map(condition).collect(), verdict }
    }
}

prop_compose! {
    fn any_profile()(
        otherwise in any_verdict(),
        architectures in proptest::sample::subsequence(
            vec![Architecture::I386, Architecture::X32, Architecture::Arm, Architecture::X86_64], 0..=4),
        entries in proptest::collection::vec(entry(), 0..30),
    ) -> Profile {
        Profile { otherwise, architectures, entries, flags: 0, listener: None }
    }
}

// A case is a profile with hundreds of tries: few are enough here, and fuzzers look for the rest.
proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn the_program_says_what_the_profile_says(
        profile in any_profile(),
        architecture in proptest::sample::select(vec![
            Architecture::X86_64, Architecture::I386, Architecture::X32, Architecture::Aarch64, Architecture::Arm,
        ]),
        number in prop_oneof![0..600u32, any::<u32>(), 0x000f_0000..0x000f_0010u32],
        arguments in proptest::array::uniform6(prop_oneof![any::<u64>(), 0..24u64, Just(1u64 << 32)]),
    ) {
        let mark = if architecture == Architecture::X32 { X32_BIT } else { 0 };
        let call = Call { architecture: architecture.audit(), number: number | mark, arguments };
        for machine in MACHINES {
            let code = compile(&profile, machine).unwrap();
            prop_assert_eq!(accepted(&code), Ok(()));
            prop_assert_eq!(executed(&code, &call), Meaning::new(&profile, machine).on(&call));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn the_calls_that_a_profile_names_and_those_beside_them_have_its_verdict(profile in any_profile()) {
        for machine in MACHINES {
            agrees(&profile, machine);
        }
    }
}
