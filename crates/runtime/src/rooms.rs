//! Namespaces that belong together and have no process yet: a user namespace with its mapping, and a network namespace that it
//! owns, for a network that is set up before the container starts.
//!
//! A program with many threads can make no user namespace; the shim program, started for a moment, can.

use crate::isolate;
use crate::setup::IdRange;
use crate::start::{Error, Host};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, WaitId, WaitIdOptions};
use std::ffi::CString;
use std::io::{self, Read, Write};
use sys::process::NewNamespaces;

/// The word by which the shim program is told to do this.
pub(crate) const ROLE: &str = "rooms";

/// A user namespace and a network namespace of its own.
#[derive(Debug)]
pub struct Rooms {
    /// Users and groups.
    pub user: OwnedFd,
    /// The network.
    pub network: OwnedFd,
}

/// Makes both.
///
/// # Errors
/// Where the kernel gives out no user namespaces, or refuses the mapping.
pub fn make(host: &Host, users: &[IdRange], groups: &[IdRange]) -> Result<Rooms, Error> {
    let failed = |source: io::Error| Error::Spawn { id: "a user namespace".to_owned(), source };
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    let word = |text: &str| CString::new(text).map_err(|error| failed(error.into()));
    let arguments = [word("bocage-shim")?, word(ROLE)?, word("3")?];
    let pid = sys::process::spawn(&sys::process::Spawn {
        program: host.program(),
        arguments: &arguments,
        environment: &[],
        descriptors: &[(theirs.as_fd(), 3)],
    })
    .map_err(|error| failed(error.into()))?;
    drop(theirs);
    let made = open(&ours, pid, users, groups);
    // The end of the socket is the sign that nobody needs the process any more.
    drop(ours);
    let _ = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
    made.map_err(failed)
}

fn open(
    mut socket: &std::os::unix::net::UnixStream,
    pid: Pid,
    users: &[IdRange],
    groups: &[IdRange],
) -> io::Result<Rooms> {
    let mut answer = String::new();
    io::BufRead::read_line(&mut io::BufReader::new(&mut socket), &mut answer)?;
    if answer.trim() != "ok" {
        return Err(io::Error::other(answer.trim().to_owned()));
    }
    isolate::write_maps(pid, users, groups).map_err(|problem| io::Error::other(problem.text().to_owned()))?;
    let open = |kind: &str| -> io::Result<OwnedFd> {
        let path = format!("/proc/{}/ns/{kind}", pid.as_raw_nonzero());
        Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    };
    Ok(Rooms { user: open("user")?, network: open("net")? })
}

/// The shim program's part: makes the namespaces, says so, and holds them until nobody listens any more.
pub(crate) fn hold(socket: OwnedFd) -> i32 {
    let mut socket = std::os::unix::net::UnixStream::from(socket);
    let made = sys::process::unshare(NewNamespaces::USER.and(NewNamespaces::NETWORK));
    let answer = match made {
        Ok(()) => "ok\n".to_owned(),
        Err(error) => format!("unshare: {error}\n"),
    };
    if socket.write_all(answer.as_bytes()).is_ok() {
        let _ = socket.read(&mut [0; 1]);
    }
    0
}
