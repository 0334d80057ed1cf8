//! What can go wrong, by the operation that failed.

use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A failed operation on links or tables.
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
    /// A kind of link that this kernel does not have.
    #[error(
        "this kernel has no links of the kind {kind}: it was built without it, or its module is not loaded"
    )]
    NoKind {
        /// The kind.
        kind: &'static str,
    },
    /// A link that shall be used as a bridge is none.
    #[error("the link {name} of this host is no bridge")]
    NoBridge {
        /// Its name.
        name: String,
    },
    /// A link of the host that something was to be connected to is not there.
    #[error("there is no link {name} on this host")]
    NoLink {
        /// Its name.
        name: String,
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
    /// The sockets of a container's resolver could not be opened.
    #[error("{operation} for names in a network namespace")]
    Resolver {
        /// What was done.
        operation: &'static str,
        /// Why not.
        #[source]
        source: Errno,
    },
}
