//! What a step works on and how it fails.

use super::dev::Node;
use super::users::Identity;
use crate::cgroup::Entrance;
use crate::setup::{Process, Setup};
use crate::shim::wire::{Failure, FailureKind};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::CString;
use std::fmt::Display;
use sys::filter::Instruction;

/// The child between its clone and its program.
pub(crate) struct Child<'a> {
    /// The container; none for one more process in it.
    pub(crate) setup: Option<&'a Setup>,
    /// What runs.
    pub(crate) process: &'a Process,
    /// The container's first process, for one more.
    pub(crate) container: Option<BorrowedFd<'a>>,
    /// The name of its session keyring.
    pub(crate) keyring: CString,
    /// The way into its control groups.
    pub(crate) entrance: &'a Entrance,
    /// The socket on which a failure or a terminal goes back.
    pub(crate) report: BorrowedFd<'a>,
    /// Its ends of the standard streams; none with a terminal.
    pub(crate) streams: Option<ChildStreams<'a>>,
    /// Namespaces to be joined, in the order of the setup.
    pub(crate) join: &'a [(OwnedFd, sys::process::NewNamespaces)],
    /// Device nodes of the host that are shown.
    pub(crate) nodes: &'a [Node],
    /// The filter; none for unconfined.
    pub(crate) filter: Option<&'a [Instruction]>,
    /// The shim's own program, which is also the small init.
    pub(crate) own_program: Option<BorrowedFd<'a>>,

    /// Given by "open what the host gives": a detached tree for each bind mount, in the order of the mounts.
    pub(crate) sources: Vec<Option<OwnedFd>>,
    /// Given by "mount the root", and from "change the root" on the container's `/`.
    pub(crate) root: Option<OwnedFd>,
    /// Given by "mount the file systems" where `/dev` is mounted: its own null device and its terminals.
    pub(crate) null: Option<OwnedFd>,
    /// See `null`.
    pub(crate) pts: Option<OwnedFd>,
    /// See `null`: the directory of `/dev` itself.
    pub(crate) dev: Option<OwnedFd>,
    /// Given by "find the user".
    pub(crate) identity: Identity,
    /// Whether the working directory was entered.
    pub(crate) entered: bool,
    /// Given by "find the program".
    pub(crate) program: CString,
}

/// The child's ends of the three standard streams.
#[derive(Clone, Copy)]
pub(crate) struct ChildStreams<'a> {
    /// Standard input; none for the null device.
    pub(crate) stdin: Option<BorrowedFd<'a>>,
    /// Standard output.
    pub(crate) stdout: BorrowedFd<'a>,
    /// Standard error.
    pub(crate) stderr: BorrowedFd<'a>,
}

/// The same, owned.
pub(crate) struct Streams3 {
    /// Standard input; none for the null device.
    pub(crate) stdin: Option<OwnedFd>,
    /// Standard output.
    pub(crate) stdout: OwnedFd,
    /// Standard error.
    pub(crate) stderr: OwnedFd,
}

impl Streams3 {
    pub(crate) fn borrow(&self) -> ChildStreams<'_> {
        ChildStreams {
            stdin: self.stdin.as_ref().map(AsFd::as_fd),
            stdout: self.stdout.as_fd(),
            stderr: self.stderr.as_fd(),
        }
    }
}

/// Why a step failed, before it is known which.
#[derive(Debug)]
pub(crate) struct Problem {
    message: String,
    kind: FailureKind,
}

/// How a step ends.
pub(crate) type Outcome = Result<(), Problem>;

impl Problem {
    /// A failure of the container's own making or of the machine.
    pub(crate) fn new(message: impl Into<String>) -> Problem {
        Problem { message: message.into(), kind: FailureKind::Other }
    }

    /// A failure that decides the client's exit code.
    pub(crate) fn of_program(kind: FailureKind, message: impl Into<String>) -> Problem {
        Problem { message: message.into(), kind }
    }

    /// Names the step.
    pub(crate) fn at(self, step: &str) -> Failure {
        Failure { step: step.to_owned(), message: self.message, kind: self.kind }
    }
}

/// Says what was being done when the kernel refused.
pub(crate) trait During<T> {
    /// `what: reason`.
    fn during(self, what: impl Display) -> Result<T, Problem>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, what: impl Display) -> Result<T, Problem> {
        self.map_err(|error| Problem::new(format!("{what}: {}", error_text(error))))
    }
}

impl<T> During<T> for Result<T, std::io::Error> {
    fn during(self, what: impl Display) -> Result<T, Problem> {
        self.map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => Problem::new(format!("{what}: {}", error_text(errno))),
            None => Problem::new(format!("{what}: {error}")),
        })
    }
}

/// An error number in the words of strerror(3), in the lower case in which Docker's users know them.
pub(crate) fn error_text(error: Errno) -> String {
    let text = std::io::Error::from(error).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        // An abbreviation keeps its capitals: "I/O error".
        Some(first) if !letters.as_str().starts_with('/') => {
            first.to_lowercase().collect::<String>() + letters.as_str()
        }
        _ => text.to_owned(),
    }
}
