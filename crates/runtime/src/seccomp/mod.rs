//! The system call filter of a container: from a profile to a program for the kernel, compiled once and kept.
//!
//! A filter depends on the profile and on the capabilities, of which a daemon sees few combinations. It is compiled in
//! the daemon; the shim gets the finished program and only loads it.

mod architecture;
mod compile;
mod default;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod json;
mod profile;
mod syscalls;
#[cfg(any(test, fuzzing))]
mod verify;

use crate::setup::Seccomp;
use architecture::Architecture;
use json::Circumstances;
use profile::Profile;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use sys::filter::Instruction;

/// Filters that are kept; all are dropped once there are more.
const KEPT_MAX: usize = 64;

/// What is wrong with a profile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not JSON of the known form.
    #[error("the seccomp profile cannot be read")]
    Json(#[source] serde_json::Error),
    /// An action is unknown.
    #[error("the seccomp profile has an action that is not supported: {action:?}")]
    Action {
        /// The action.
        action: String,
    },
    /// An error number stands where it means nothing.
    #[error("the seccomp profile gives an error number to {action}, which has none")]
    Number {
        /// The action.
        action: String,
    },
    /// An architecture is unknown.
    #[error("the seccomp profile has an unknown architecture: {name:?}")]
    Architecture {
        /// Its name.
        name: String,
    },
    /// A flag is unknown.
    #[error("the seccomp profile has an unknown flag: {flag:?}")]
    Flag {
        /// The flag.
        flag: String,
    },
    /// A kernel version cannot be read.
    #[error("the seccomp profile has a minKernel that is no version: {version:?}")]
    Version {
        /// What stands there.
        version: String,
    },
    /// Two ways to say one thing.
    #[error("the seccomp profile has both {one:?} and {other:?}: use one of them")]
    Both {
        /// The one.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// A rule names the empty string.
    #[error("the seccomp profile has a rule for a call without a name")]
    NoName,
    /// Calls wait for a decision, and nobody is named who decides.
    #[error("the seccomp profile uses SCMP_ACT_NOTIFY and has no listenerPath")]
    NoListener,
    /// Something is to be told to nobody.
    #[error("the seccomp profile has listenerMetadata and no listenerPath")]
    Metadata,
    /// The listener could not be handed over: each call on the way would wait for it.
    #[error("the seccomp profile has SCMP_ACT_NOTIFY as its default action, with which no container starts")]
    NotifyAll,
    /// The same, by the one call that the way always needs.
    #[error("the seccomp profile has SCMP_ACT_NOTIFY for the call write, with which no container starts")]
    NotifyWrite,
    /// A comparison is unknown.
    #[error("the seccomp profile has an unknown comparison: {comparison:?}")]
    Comparison {
        /// The comparison.
        comparison: String,
    },
    /// A system call has six arguments.
    #[error("the seccomp profile speaks of argument {index}; there are 0 to 5")]
    Argument {
        /// The index.
        index: u8,
    },
    /// The kernel has a limit.
    #[error("the seccomp profile becomes {instructions} instructions; the kernel takes 4096")]
    TooLong {
        /// How many.
        instructions: usize,
    },
}

/// Who decides on the calls whose verdict is to notify.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Listener {
    /// The unix socket on which it waits for the descriptor.
    pub path: PathBuf,
    /// What it is told besides, of which nothing here knows the meaning.
    pub metadata: String,
}

/// A finished filter.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// The program; an empty one where nothing is to be loaded.
    pub(crate) instructions: Arc<Vec<Instruction>>,
    /// The flags to load it with, among them [`sys::filter::FLAG_LISTENER`] exactly where there is a listener.
    pub(crate) flags: u32,
    /// Who gets the descriptor that loading gives.
    pub(crate) listener: Option<Listener>,
}

type Kept = HashMap<(Seccomp, Vec<String>), Arc<Filter>>;

/// Compiled filters.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    kept: Mutex<Kept>,
}

impl Filters {
    /// The filter for a process with these capabilities.
    pub(crate) fn filter(&self, seccomp: &Seccomp, capabilities: &[String]) -> Result<Arc<Filter>, Error> {
        let key = (seccomp.clone(), capabilities.to_vec());
        // A panic elsewhere leaves whole entries: they can be used.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = kept.get(&key) {
            return Ok(Arc::clone(filter));
        }
        let filter = Arc::new(build(seccomp, capabilities)?);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&filter));
        Ok(filter)
    }
}

fn build(seccomp: &Seccomp, capabilities: &[String]) -> Result<Filter, Error> {
    let native = Architecture::NATIVE;
    let profile = match seccomp {
        Seccomp::Unconfined => return Ok(Filter::default()),
        Seccomp::Default => default::profile(capabilities),
        Seccomp::Profile(text) => {
            json::parse(text, &Circumstances { capabilities, native, kernel: kernel() })?
        }
    };
    finish(profile, native)
}

/// The program, and what it is to be loaded with.
fn finish(profile: Profile, native: Architecture) -> Result<Filter, Error> {
    let instructions = Arc::new(compile::compile(&profile, native)?);
    let (flags, listener) = if profile.notifies() {
        (profile.flags | sys::filter::FLAG_LISTENER, profile.listener)
    } else {
        // The kernel wants no words about a listener where there is none.
        (profile.flags & !sys::filter::FLAG_WAIT_KILLABLE, None)
    };
    Ok(Filter { instructions, flags, listener })
}

/// The running kernel's version.
fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::profile::Verdict;
    use super::*;

    #[test]
    fn a_filter_is_compiled_once() {
        let filters = Filters::default();
        let first = filters.filter(&Seccomp::Default, &[]).unwrap();
        assert!(Arc::ptr_eq(&first, &filters.filter(&Seccomp::Default, &[]).unwrap()));
        assert!(filters.filter(&Seccomp::Unconfined, &[]).unwrap().instructions.is_empty());
    }

    #[test]
    fn a_profile_in_dockers_form_is_read() {
        let text = r#"{
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "syscalls": [
                {"names": ["chmod", "fchmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
                {"name": "mkdir", "action": "SCMP_ACT_KILL", "args": [], "includes": {"caps": ["CAP_X"]}},
                {"names": ["kill"], "action": "SCMP_ACT_LOG",
                 "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}], "excludes": {}}
            ]
        }"#;
        assert!(build(&Seccomp::Profile(text.to_owned()), &[]).is_ok());
    }

    fn built(text: &str) -> Result<Filter, Error> {
        build(&Seccomp::Profile(text.to_owned()), &[])
    }

    fn refused(text: &str) -> String {
        built(text).unwrap_err().to_string()
    }

    #[test]
    fn a_profile_that_cannot_be_kept_is_refused_with_the_reason() {
        assert!(refused("{}").contains("cannot be read"));
        let with = |rest: &str| refused(&format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", {rest}}}"#));
        for (rest, reason) in [
            (r#""architectures": ["SCMP_ARCH_VAX"]"#, "SCMP_ARCH_VAX"),
            (r#""flags": ["SECCOMP_FILTER_FLAG_NEW"]"#, "SECCOMP_FILTER_FLAG_NEW"),
            (r#""listenerMetadata": "x""#, "listenerPath"),
            (r#""defaultErrnoRet": 1"#, "SCMP_ACT_ALLOW"),
            (r#""syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]"#, "no listenerPath"),
            (r#""syscalls": [{"names": [""], "action": "SCMP_ACT_LOG"}]"#, "without a name"),
            (r#""syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_LOG"}]"#, "both"),
            (r#""syscalls": [{"name": "a", "action": "SCMP_ACT_NO"}]"#, "SCMP_ACT_NO"),
            (
                r#""syscalls": [{"name": "a", "action": "SCMP_ACT_LOG", "includes": {"minKernel": "x"}}]"#,
                "minKernel",
            ),
            (
                r#""architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86"}]"#,
                "archMap",
            ),
        ] {
            assert!(with(rest).contains(reason), "{rest}: {}", with(rest));
        }
    }

    #[test]
    fn a_listener_gets_what_can_be_handed_over() {
        let with = |action: &str, name: &str| {
            format!(
                r#"{{"defaultAction": "{action}", "listenerPath": "/run/agent", "listenerMetadata": "m",
                "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_TSYNC"],
                "syscalls": [{{"names": ["{name}"], "action": "SCMP_ACT_NOTIFY"}}]}}"#
            )
        };
        let filter = built(&with("SCMP_ACT_ALLOW", "mkdir")).unwrap();
        assert_eq!(filter.flags, sys::filter::FLAG_LISTENER | sys::filter::FLAG_WAIT_KILLABLE);
        let listener = Listener { path: "/run/agent".into(), metadata: "m".to_owned() };
        assert_eq!(filter.listener, Some(listener));
        assert!(refused(&with("SCMP_ACT_ALLOW", "write")).contains("write"));
        assert!(refused(&with("SCMP_ACT_NOTIFY", "mkdir")).contains("default action"));
    }

    #[test]
    fn a_listener_that_nothing_needs_is_left_aside() {
        let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent",
            "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_LOG"]}"#;
        let filter = built(text).unwrap();
        assert_eq!((filter.flags, filter.listener), (sys::filter::FLAG_LOG, None));
    }

    #[test]
    fn the_specifications_form_is_read_as_it_is_meant() {
        let text = r#"{
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_S390X"],
            "syscalls": [
                {"names": ["chmod"], "action": "SCMP_ACT_ERRNO"},
                {"names": ["chown"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
                {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
                 "args": [{"index": 0, "value": 1, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}]}
            ]
        }"#;
        let native = Architecture::X86_64;
        let profile =
            json::parse(text, &Circumstances { capabilities: &[], native, kernel: (6, 1) }).unwrap();
        assert_eq!(profile.architectures, [Architecture::X32, Architecture::Arm]);
        assert_eq!(profile.otherwise, Verdict::refuse(38));
        let verdicts: Vec<Verdict> = profile.entries.iter().map(|entry| entry.verdict).collect();
        assert_eq!(verdicts, [Verdict::refuse(1), Verdict::trace(7), Verdict::ALLOW]);
        let masked = profile::Comparison::MaskedEqual { mask: 1, value: 1 };
        assert_eq!(profile.entries[2].conditions[0].comparison, masked);
    }

    /// Makes a folder under a filter, in a thread of its own: a filter stays for as long as its thread lives. Gives what
    /// the kernel said to that; none where filters may not be loaded.
    fn folder_made_under(text: &str) -> Option<rustix::io::Result<()>> {
        let filter = built(text).unwrap();
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("folder");
        let made = std::thread::spawn(move || {
            sys::filter::load_with(&filter.instructions, filter.flags)?;
            Ok::<_, rustix::io::Errno>(rustix::fs::mkdir(folder, rustix::fs::Mode::RWXU))
        });
        match made.join().unwrap() {
            Ok(made) => Some(made),
            Err(rustix::io::Errno::ACCESS) => {
                println!("SKIP: filters may be loaded by root only");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn the_kernel_takes_a_program_for_every_architecture_and_does_what_it_says() {
        let with = |action: &str| {
            format!(
                r#"{{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
                "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_PPC64LE"],
                "syscalls": [{{"names": ["mkdir", "mkdirat", "socket", "semop"], {action}}}]}}"#
            )
        };
        let refused = with(r#""action": "SCMP_ACT_ERRNO", "errnoRet": 18"#);
        let Some(made) = folder_made_under(&refused) else { return };
        assert_eq!(made, Err(rustix::io::Errno::XDEV));
        let logged = with(r#""action": "SCMP_ACT_LOG""#);
        assert_eq!(folder_made_under(&logged), Some(Ok(())));
    }

    #[test]
    fn bytes_that_are_no_profile_are_told_from_those_that_are() {
        assert!(!fuzzing::check(b"\xff"));
        assert!(fuzzing::check(br#"{"defaultAction": "SCMP_ACT_ALLOW"}"#));
    }
}
