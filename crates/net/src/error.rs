//! What can go wrong, by the operation that failed.

use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A failed operation on links, tables or the edge process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A netlink socket could not be had.
    #[error("open a netlink socket")]
    Open(#[source] Errno),
    /// The kernel refused a request.
    #[error("{operation}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Refused {
        /// What was asked for, with its object.
        operation: String,
        /// The kernel's own words, where it has any.
        reason: String,
        /// Why not.
        #[source]
        source: Errno,
    },
    /// A bridge holds as many links as the kernel allows.
    #[error("the bridge {bridge} is full: the kernel connects at most 1023 containers to one bridge")]
    BridgeFull {
        /// Its name.
        bridge: String,
    },
    /// An answer of the kernel could not be read.
    #[error("{operation}: the kernel's answer is not understood")]
    Answer {
        /// What was asked for.
        operation: String,
    },
    /// A network namespace could not be made.
    #[error("make a network namespace")]
    Namespace(#[source] io::Error),
    /// A kernel setting could not be written.
    #[error("write {}", path.display())]
    Setting {
        /// The file below `/proc/sys`.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A port of the host is held by another program.
    #[error("address already in use")]
    PortTaken,
    /// A port of the host cannot be used.
    #[error("bind {address}")]
    Port {
        /// The address that was tried.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: Errno,
    },
    /// Something of the edge process's directory failed.
    #[error("{operation} {}", path.display())]
    File {
        /// What was done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another edge process serves the directory.
    #[error("{} is served by another edge process", path.display())]
    Served {
        /// The directory.
        path: PathBuf,
    },
    /// The edge process answered something else than it should.
    #[error("the edge process answered {answer:?}")]
    EdgeAnswer {
        /// What it said.
        answer: String,
    },
}
