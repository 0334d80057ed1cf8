//! What a step works on and how it fails.

use super::dev::Node;
use super::sources::Sources;
use super::talk;
use super::users::Identity;
use crate::cgroup::Entrance;
use crate::setup::{Handover, Process, Setup, UserNamespace};
use crate::shim::Filter;
use crate::shim::wire::{Failure, FailureKind};
use crate::timings::Stopwatch;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::thread::ThreadNameSpaceType;
use std::ffi::CString;
use std::fmt::Display;
use sys::process::NewNamespaces;

/// The child between its clone and its program.
pub(crate) struct Child<'a> {
    /// The container; none for one more process in it.
    pub(crate) setup: Option<&'a Setup>,
    /// What runs.
    pub(crate) process: &'a Process,
    /// The container's first process, for one more, with the namespaces of it that are entered.
    pub(crate) container: Option<&'a Container>,
    /// What it is given where no shim stays with it.
    pub(crate) handover: Option<&'a Handover>,
    /// The name of its session keyring.
    pub(crate) keyring: CString,
    /// The way into its control groups.
    pub(crate) entrance: &'a Entrance,
    /// The socket on which a failure or a terminal goes back.
    pub(crate) report: BorrowedFd<'a>,
    /// Where somebody connects to let it start; none if it does not wait.
    pub(crate) gate: Option<BorrowedFd<'a>>,
    /// Its ends of the standard streams; none with a terminal, and where it has those of its caller.
    pub(crate) streams: Option<ChildStreams<'a>>,
    /// Namespaces to be joined, in the order of the setup.
    pub(crate) join: &'a [(OwnedFd, NewNamespaces)],
    /// Device nodes of the host that are shown.
    pub(crate) nodes: &'a [Node],
    /// The filter; none for unconfined.
    pub(crate) filter: Option<&'a Filter>,
    /// The shim's own program, which is also the small init.
    pub(crate) own_program: Option<BorrowedFd<'a>>,
    /// What was opened on the host.
    pub(crate) sources: Sources,
    /// Where its time goes.
    pub(crate) stopwatch: Stopwatch,
    /// What the steps have found out or made.
    pub(crate) found: Found,
}

/// What the steps of a child pass on to those that follow.
#[derive(Default)]
pub(crate) struct Found {
    /// By "make the file systems": one for each mount that is a new one, in the order of the mounts.
    pub(super) made: Vec<Option<OwnedFd>>,
    /// By "mount the root": the container's `/`.
    pub(super) root: Option<OwnedFd>,
    /// Once there is a `/dev` of the container's own: the directory, its null device and its terminals.
    pub(super) dev: Option<OwnedFd>,
    /// See `dev`.
    pub(super) null: Option<OwnedFd>,
    /// See `dev`.
    pub(super) pts: Option<OwnedFd>,
    /// By "find the user".
    pub(super) identity: Identity,
    /// Whether the working directory was entered.
    pub(super) entered: bool,
    /// By "find the program".
    pub(super) program: CString,
    /// By "open the labels": files of the host's `proc`, and what is written to them.
    pub(super) labels: Vec<(OwnedFd, String)>,
    /// By "wait for the start": whoever let it start, and is told of a failure from then on.
    pub(super) starter: Option<OwnedFd>,
}

impl Child<'_> {
    /// Where news go now.
    pub(crate) fn reports_to(&self) -> BorrowedFd<'_> {
        self.found.starter.as_ref().map_or(self.report, AsFd::as_fd)
    }

    /// Whether it has a user namespace of its own, or one that is not the host's.
    pub(super) fn has_user_namespace(&self) -> bool {
        self.setup.is_some_and(|setup| setup.namespaces.user != UserNamespace::Host)
    }

    /// The container's root.
    pub(super) fn root(&self) -> Result<BorrowedFd<'_>, Problem> {
        self.found.root.as_ref().map(AsFd::as_fd).ok_or_else(|| Problem::new("no root was mounted"))
    }

    /// Asks the shim to do what only it can, and waits until it is done.
    pub(super) fn ask(&self, what: &[u8]) -> Outcome {
        talk::send(self.report, what).during("ask the shim")?;
        let (answer, _) = talk::receive(self.report).during("listen to the shim")?;
        // The shim ends this process itself where it failed: it then knows why.
        if answer == talk::GO { Ok(()) } else { Err(Problem::new("the shim has given up")) }
    }
}

/// The container that one more process goes into.
pub(crate) struct Container {
    /// Its first process.
    pub(crate) process: OwnedFd,
    /// The namespaces that differ from the caller's.
    pub(crate) namespaces: ThreadNameSpaceType,
    /// Its root, where it has no mount namespace that would tell.
    pub(crate) root: Option<OwnedFd>,
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

    /// What it says.
    pub(crate) fn text(&self) -> &str {
        &self.message
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
