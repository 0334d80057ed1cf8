//! What can go wrong, by the operation that failed.

use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A failed operation of the edge process, or on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener or socket of the edge's own could not be had.
    #[error("bind {address}")]
    Bind {
        /// The address that was tried.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: Errno,
    },
    /// Something in the process's directory failed.
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
    /// Another process serves the directory.
    #[error("{} is served by another edge process", path.display())]
    Served {
        /// The directory.
        path: PathBuf,
    },
    /// The process cannot be talked to.
    #[error("{operation} the edge process")]
    Talk {
        /// What was tried.
        operation: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The process refused a request.
    #[error("the edge process refused: {reason}")]
    Refused {
        /// Its own words.
        reason: String,
    },
    /// A socket that was handed over cannot be served.
    #[error("serve names on a socket")]
    Socket(#[source] io::Error),
}
