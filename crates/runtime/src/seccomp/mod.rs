//! The system call filter of a container: from a profile to a program for the kernel, compiled once and kept.
//!
//! A filter depends on the profile and on the capabilities, of which a daemon sees few combinations. It is compiled in
//! the daemon; the shim gets the finished program and only loads it.

mod compile;
mod default;
mod profile;
mod syscalls;

use crate::setup::Seccomp;
use compile::Architecture;
use profile::Circumstances;
use std::collections::HashMap;
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
    /// An action is unknown, or asks for a listener, of which there is none.
    #[error("the seccomp profile has an action that is not supported: {action:?}")]
    Action {
        /// The action.
        action: String,
    },
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

type Kept = HashMap<(Seccomp, Vec<String>), Arc<Vec<Instruction>>>;

/// Compiled filters.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    kept: Mutex<Kept>,
}

impl Filters {
    /// The filter for a process with these capabilities; an empty one for none.
    pub(crate) fn get(
        &self,
        seccomp: &Seccomp,
        capabilities: &[String],
    ) -> Result<Arc<Vec<Instruction>>, Error> {
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

fn build(seccomp: &Seccomp, capabilities: &[String]) -> Result<Vec<Instruction>, Error> {
    let native = Architecture::NATIVE;
    let profile = match seccomp {
        Seccomp::Unconfined => return Ok(Vec::new()),
        Seccomp::Default => default::profile(capabilities),
        Seccomp::Profile(text) => profile::parse(
            text,
            &Circumstances { capabilities, architecture: native.names(), kernel: kernel() },
        )?,
    };
    compile::compile(&profile, native)
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
    use super::*;

    #[test]
    fn a_filter_is_compiled_once() {
        let filters = Filters::default();
        let first = filters.get(&Seccomp::Default, &[]).unwrap();
        assert!(Arc::ptr_eq(&first, &filters.get(&Seccomp::Default, &[]).unwrap()));
        assert!(filters.get(&Seccomp::Unconfined, &[]).unwrap().is_empty());
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

    #[test]
    fn a_profile_that_cannot_be_kept_is_refused_with_the_reason() {
        let refused = |text: &str| build(&Seccomp::Profile(text.to_owned()), &[]).unwrap_err().to_string();
        assert!(refused("{}").contains("cannot be read"));
        assert!(refused(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#).contains("SCMP_ACT_NOTIFY"));
    }
}
