//! Containers from OCI bundles: a runtime with runc's verbs, as its own library.
//!
//! ```text
//! config.json ── Config ──> convert ── Setup ──> the shim's steps, without a shim that stays
//!                                         create ──> start ──> (running) ──> kill ──> delete
//! DIR/<id>/state.json   what is known of a container, written once
//! DIR/<id>/start.sock   where a created container waits to be started; gone once it was
//! ```
//!
//! Nothing is resident: the container's process becomes the child of whoever called `create`, and what a verb needs to
//! know it finds in the state, in the process and in the control group. A status is therefore never stored, only seen.
//!
//! - [`config`]: the file as it stands; [`convert`], [`process`](mod@process) and [`resources`]: what it means for us.
//! - [`state`]: what is kept of a container and what is seen of it.
//! - [`create`], [`exec`], [`control`]: the verbs.
//! - [`features`]: what can be asked for.
//!
//! Absent on purpose: checkpoint and restore (refused by name), and printing.

pub mod config;
pub mod control;
pub mod convert;
pub mod create;
pub mod exec;
pub mod features;
mod names;
pub mod process;
pub mod resources;
pub mod state;

use crate::cgroup;
use std::io;
use std::path::PathBuf;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the bundle or of the state could not be read or written.
    #[error("{what} {}", path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The configuration cannot be read.
    #[error("read {}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The configuration asks for something that makes no sense, or that this runtime or machine does not have.
    #[error("{field}: {why}")]
    Invalid {
        /// The field, by its path in the configuration, or the argument.
        field: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// An id with other characters than ids have.
    #[error(
        "invalid container id {id:?}: it may have letters, digits and any of _ + - . and must be neither `.` nor `..`"
    )]
    Id {
        /// The id.
        id: String,
    },
    /// There is such a container already.
    #[error("container with id {id:?} exists already: delete it first, or choose another id")]
    Exists {
        /// Its id.
        id: String,
    },
    /// There is no such container.
    #[error("container {id:?} does not exist")]
    NotFound {
        /// Its id.
        id: String,
    },
    /// The container is not in the state that the verb needs.
    #[error("cannot {verb} container {id:?}: it is {status}")]
    Status {
        /// What was to be done.
        verb: &'static str,
        /// To whom.
        id: String,
        /// What it is.
        status: state::Status,
    },
    /// The container or process could not be made.
    #[error("unable to start container process")]
    Start(#[source] crate::Error),
    /// A hook failed.
    #[error("{why}")]
    Hook {
        /// Which and why.
        why: String,
    },
    /// The control group did not do what it was told.
    #[error("the control group of {id:?}")]
    Cgroup {
        /// The container's id.
        id: String,
        /// What went wrong.
        #[source]
        source: cgroup::Error,
    },
    /// A system call failed.
    #[error("{what}")]
    System {
        /// What was being done.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// A field that cannot be.
    fn invalid(field: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Invalid { field: field.into(), why: why.into() }
    }

    /// A system call that failed.
    fn system(what: impl Into<String>, source: impl Into<io::Error>) -> Error {
        Error::System { what: what.into(), source: source.into() }
    }

    /// A file that could not be dealt with.
    fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { what, path, source }
    }
}
