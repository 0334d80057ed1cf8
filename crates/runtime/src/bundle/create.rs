//! `create` and `start`.

use super::config::Config;
use super::convert::{self, Given};
use super::state::{self, Record, Status, Store};
use super::{Error, control};
use crate::cgroup::Layout;
use crate::isolate::talk;
use crate::setup::ContainerProcess;
use crate::shim::wire::{Failure, START};
use crate::{Host, Started};
use base::Clock;
use base::file::{Durability, write_atomically};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::path::{Path, PathBuf};

/// What `create` is told.
#[derive(Debug)]
pub struct Create<'a> {
    /// The container's id.
    pub id: &'a str,
    /// The bundle, absolute and without links, and its configuration: [`state::read_bundle`].
    pub bundle: (PathBuf, Config),
    /// Where the process's number is written.
    pub pid_file: Option<&'a Path>,
    /// A connected socket to which a terminal goes.
    pub console: Option<OwnedFd>,
    /// Descriptors that the program gets, under these numbers, from 3 on.
    pub preserved: Vec<(RawFd, OwnedFd)>,
    /// The environment of hooks that bring none.
    pub env: Vec<String>,
    /// The root is not exchanged but only changed.
    pub no_pivot: bool,
    /// The caller's session keyring is kept.
    pub no_new_keyring: bool,
}

/// Creates a container: everything but its program. The process is left to whoever takes this one's orphans.
///
/// # Errors
/// Where the bundle makes no sense or the container cannot be made. Nothing is left behind then.
pub fn create(host: &Host, store: &Store, clock: &Clock, what: Create<'_>) -> Result<Record, Error> {
    let mut reserved = store.reserve(what.id)?;
    let streams = Streams::new(&what)?;
    let (bundle, config) = what.bundle;
    let given = Given {
        id: what.id.to_owned(),
        bundle: bundle.clone(),
        directory: reserved.directory.clone(),
        no_pivot: what.no_pivot,
        no_new_keyring: what.no_new_keyring,
        console: streams.console_number,
        preserved: what.preserved.iter().map(|(number, _)| *number).collect(),
        env: what.env,
    };
    let setup = convert::setup(&config, &given)?;
    reserved.note(&setup.cgroup.path)?;
    let started = crate::start(host, &setup, &streams.inherited()).map_err(Error::Start)?;
    reap_shim(&started);
    let record = Record {
        id: what.id.to_owned(),
        process: ContainerProcess { pid: started.pid, start_ticks: started.start_ticks },
        bundle,
        created: clock.now(),
        owner: rustix::process::getuid().as_raw(),
        cgroup: setup.cgroup.path,
        config,
    };
    let kept = store.save(&record).and_then(|()| write_pid(what.pid_file, started.pid));
    if let Err(error) = kept {
        // A container of which nobody knows must not be there.
        let _ = control::destroy(host.layout(), &record);
        return Err(error);
    }
    reserved.kept = true;
    Ok(record)
}

/// The shim has told all it had to tell.
pub(super) fn reap_shim(started: &Started) {
    let _ = started.shim.reap();
}

/// Writes a process's number for whoever asked for it, whole or not at all.
pub(super) fn write_pid(path: Option<&Path>, pid: u32) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    write_atomically(path, pid.to_string().as_bytes(), Durability::Process)
        .map_err(Error::file("write the process number to", path))
}

/// What a process inherits from the caller, and under which numbers.
pub(super) struct Streams {
    owned: Vec<(OwnedFd, RawFd)>,
    /// The number of the console socket.
    pub(super) console_number: Option<RawFd>,
    has_terminal: bool,
}

impl Streams {
    fn new(what: &Create<'_>) -> Result<Streams, Error> {
        let has_terminal = what.bundle.1.process.as_ref().is_some_and(|process| process.terminal);
        Streams::with(has_terminal, what.console.as_ref(), &what.preserved)
    }

    /// Copies of what the process gets.
    pub(super) fn with(
        has_terminal: bool,
        console: Option<&OwnedFd>,
        preserved: &[(RawFd, OwnedFd)],
    ) -> Result<Streams, Error> {
        let copy = |descriptor: BorrowedFd<'_>| {
            rustix::io::fcntl_dupfd_cloexec(descriptor, 3)
                .map_err(|error| Error::system("copy a descriptor", error))
        };
        match (has_terminal, console) {
            (true, None) => {
                return Err(Error::invalid("console-socket", "a terminal needs one, to which it is sent"));
            }
            (false, Some(_)) => {
                let why = "there is no terminal that could be sent to it: set process.terminal";
                return Err(Error::invalid("console-socket", why));
            }
            _ => {}
        }
        let mut owned = Vec::new();
        for (number, descriptor) in preserved {
            owned.push((copy(descriptor.as_fd())?, *number));
        }
        let mut console_number = None;
        if let Some(console) = console {
            let number = preserved.iter().map(|(number, _)| number + 1).max().unwrap_or(3);
            owned.push((copy(console.as_fd())?, number));
            console_number = Some(number);
        }
        Ok(Streams { owned, console_number, has_terminal })
    }

    /// For the start.
    pub(super) fn inherited(&self) -> Vec<(BorrowedFd<'_>, RawFd)> {
        let mut all: Vec<(BorrowedFd<'_>, RawFd)> =
            self.owned.iter().map(|(descriptor, number)| (descriptor.as_fd(), *number)).collect();
        if !self.has_terminal {
            let standard = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
            all.extend(standard.into_iter().zip(0..));
        }
        all
    }
}

/// Lets a created container's program run. `env` is the environment of hooks that bring none.
///
/// # Errors
/// [`Error::Status`] if it is not just created; why the program could not be executed; a `poststart` hook that failed, upon
/// which the container is killed.
pub fn start(layout: &Layout, store: &Store, id: &str, env: &[String]) -> Result<(), Error> {
    let record = store.load(id)?;
    let status = store.status(&record, layout)?;
    if status != Status::Created {
        return Err(Error::Status { verb: "start", id: id.to_owned(), status });
    }
    let directory = store.directory(id)?;
    let outcome = open_gate(&directory);
    // Whether the program runs or the attempt has failed: it waits no longer.
    let gate = directory.join(START);
    let removed = std::fs::remove_file(&gate).map_err(Error::file("remove", gate));
    outcome?;
    removed?;
    let (hooks, state) = record.hooks("poststart", &record.config.hooks.poststart)?;
    let run = crate::isolate::run_hooks(&hooks, "poststart", (&state, "running"), record.process.pid, env);
    run.map_err(|problem| {
        let _ = state::group(&record, layout).kill_all();
        Error::Hook { why: format!("{}: the container was killed", problem.text()) }
    })
}

/// Connects to where the container waits, and listens until its program is executed.
fn open_gate(directory: &Path) -> Result<(), Error> {
    let failed = |error: rustix::io::Errno| Error::system("let the container start", error);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let at = rustix::fs::open(directory, flags, Mode::empty()).map_err(failed)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{START}", at.as_raw_fd()));
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(failed)?;
    let address = SocketAddrUnix::new(&path).map_err(failed)?;
    rustix::net::connect(&socket, &address).map_err(failed)?;
    let mut is_ready = false;
    loop {
        let (message, _) = talk::receive(socket.as_fd()).map_err(failed)?;
        match message.as_slice() {
            [] if is_ready => return Ok(()),
            [] => {
                let why = "the container ended before its program began".to_owned();
                return Err(Error::Hook { why });
            }
            talk::READY => is_ready = true,
            other => {
                let failure: Failure = serde_json::from_slice(other).map_err(|error| {
                    Error::system("understand the container", std::io::Error::from(error))
                })?;
                return Err(Error::Start(crate::Error::Start { failure }));
            }
        }
    }
}
