//! A profile: which calls have which verdict. Ours is data in `default`; a user's comes as JSON, which `json` reads.

use super::architecture::Architecture;
use super::{Error, Listener};

/// What the kernel does with a call: one of the `SECCOMP_RET` values with its data, seccomp(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict(pub(super) u32);

impl Verdict {
    /// The call is made.
    pub(super) const ALLOW: Verdict = Verdict(0x7fff_0000);
    /// The call is made, and the kernel's log has a line on it.
    pub(super) const LOG: Verdict = Verdict(0x7ffc_0000);
    /// Whoever holds the listener decides.
    pub(super) const NOTIFY: Verdict = Verdict(0x7fc0_0000);
    /// The thread gets the signal SIGSYS.
    pub(super) const TRAP: Verdict = Verdict(0x0003_0000);
    /// The thread is killed.
    pub(super) const KILL_THREAD: Verdict = Verdict(0);
    /// The process is killed.
    pub(super) const KILL_PROCESS: Verdict = Verdict(0x8000_0000);
    /// "Function not implemented": what a program hears of calls that its kernel is too old for.
    pub(super) const NO_SUCH_CALL: Verdict = Verdict::refuse(38);

    /// The call is not made and gives this error.
    pub(super) const fn refuse(error: u16) -> Verdict {
        Verdict(0x0005_0000 | error as u32)
    }

    /// A tracer decides, and is told this number.
    pub(super) const fn trace(number: u16) -> Verdict {
        Verdict(0x7ff0_0000 | number as u32)
    }

    /// Whether a call may be made, be it under supervision.
    const fn is_permissive(self) -> bool {
        // What is left without the number for a tracer.
        matches!(Verdict(self.0 & 0xffff_0000), Verdict::ALLOW | Verdict::LOG | Verdict(0x7ff0_0000))
    }
}

/// A comparison of an argument, all bits of it.
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
    /// The architectures whose calls may be made besides the machine's own.
    pub(super) architectures: Vec<Architecture>,
    pub(super) entries: Vec<Entry>,
    /// `SECCOMP_FILTER_FLAG` bits that were asked for.
    pub(super) flags: u32,
    /// Who decides where the verdict is to notify.
    pub(super) listener: Option<Listener>,
}

impl Profile {
    /// The verdict on calls that are newer than the newest that the profile names, as runc has it.
    ///
    /// Whoever wrote the profile did not know them. A C library that tries a new call first and then an old one takes
    /// "function not implemented" for a reason to do so, and "operation not permitted" for the end. A profile that lets
    /// unknown calls pass does so with these too.
    pub(super) const fn beyond(&self) -> Verdict {
        if self.otherwise.is_permissive() { self.otherwise } else { Verdict::NO_SUCH_CALL }
    }

    /// The kinds of calls of a machine that may be made on it. Its own are always among them.
    pub(super) fn families(&self, native: Architecture) -> Vec<Architecture> {
        let listed = |one: &Architecture| *one == native || self.architectures.contains(one);
        native.reported().iter().copied().filter(listed).collect()
    }

    /// Whether some call waits for the decision of a listener.
    pub(super) fn notifies(&self) -> bool {
        self.entries.iter().any(|entry| entry.verdict == Verdict::NOTIFY)
    }

    /// What cannot work however well it is written.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.otherwise == Verdict::NOTIFY {
            return Err(Error::NotifyAll);
        }
        let notified = || self.entries.iter().filter(|entry| entry.verdict == Verdict::NOTIFY);
        if notified().any(|entry| entry.names.iter().any(|name| name == "write")) {
            return Err(Error::NotifyWrite);
        }
        if self.notifies() && self.listener.is_none() {
            return Err(Error::NoListener);
        }
        Ok(())
    }
}
