//! What a daemon and an edge process say to each other: lines of JSON on a unix socket, each request answered by one line,
//! sockets handed over beside the line that speaks of them, unix(7).
//!
//! A request changes one thing and costs what that thing is large; only [`Request::Replace`] tells everything, when a daemon or
//! an edge process is new.

use model::{ContainerId, Member, NetworkKey, NetworkNames, PublishedPort, Resolver, View};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::Error;

/// The socket in the process's directory.
pub(crate) const SOCKET: &str = "edge.sock";
/// Bytes of one request: some hundred thousand ports.
pub(crate) const REQUEST_BYTES_MAX: usize = 32 << 20;
/// Sockets beside one request: one for datagrams, then one that listens.
pub(crate) const REQUEST_SOCKETS: usize = 2;

/// What a daemon asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Nothing: whether somebody is there.
    Greet,
    /// These are all ports of a container, in place of those it had.
    SetPorts { owner: ContainerId, ports: Vec<PublishedPort> },
    /// This is all of a network.
    SetNetwork { network: NetworkKey, names: NetworkNames },
    /// A network is gone.
    DropNetwork { network: NetworkKey },
    /// A member of a network that is known, new or changed.
    SetMember { network: NetworkKey, id: ContainerId, member: Member },
    /// A member is gone.
    DropMember { network: NetworkKey, id: ContainerId },
    /// A container's programs ask here. Beside the line come its sockets, unless they are here already.
    SetResolver { container: ContainerId, resolver: Resolver },
    /// They ask no longer.
    DropResolver { container: ContainerId },
    /// This is all there is.
    Replace { view: View },
    /// The process shall end.
    Exit,
}

/// What it is answered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The port that redirected connections and datagrams must come to.
    pub(crate) port: u16,
    /// Containers that are known, but whose sockets are not here.
    pub(crate) without_sockets: Vec<ContainerId>,
    /// Why the request was refused.
    pub(crate) refusal: Option<String>,
}

/// A line, with its end.
pub(crate) fn line(words: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(words)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Names a file of the process's directory in an error.
pub(crate) fn file(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { operation, path, source }
}

/// The way to the socket through a descriptor of its directory, as a socket's path may only have 107 bytes, unix(7).
pub(crate) fn socket_path(directory: &Path) -> Result<(File, PathBuf), Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(directory, flags, Mode::empty())
        .map_err(|errno| file("open", directory)(errno.into()))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()));
    Ok((File::from(opened), path))
}
