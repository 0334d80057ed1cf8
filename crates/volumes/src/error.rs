//! What can go wrong with a volume, in the words that clients of such daemons know.

use model::ContainerId;
use std::io;
use std::path::PathBuf;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done with a volume.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is none.
    #[error(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are \
         allowed. If you intended to pass a host directory, use absolute path"
    )]
    Name {
        /// As it was given.
        name: String,
    },
    /// The name has one letter.
    #[error("create {name}: volume name is too short, names should be at least two alphanumeric characters")]
    ShortName {
        /// As it was given.
        name: String,
    },
    /// The name is longer than a file's may be.
    #[error("create {name}: volume name is too long, names should be at most {max} characters")]
    LongName {
        /// As it was given.
        name: String,
        /// How long it may be.
        max: usize,
    },
    /// An option has no meaning.
    #[error("create {name}: invalid option: {option:?}")]
    Option {
        /// The volume.
        name: String,
        /// The option.
        option: String,
    },
    /// An option needs another one.
    #[error("create {name}: missing required option: {option:?}")]
    MissingOption {
        /// The volume.
        name: String,
        /// The option that is missing.
        option: &'static str,
    },
    /// A limit was asked for that no file system here keeps.
    #[error(
        "create {name}: quota size requested but no quota support: make the volume on a file system of its size, with type, device \
         and o"
    )]
    Quota {
        /// The volume.
        name: String,
    },
    /// There is none of that name.
    #[error("{doing} {name}: no such volume")]
    NoSuch {
        /// What was to be done.
        doing: &'static str,
        /// The volume.
        name: String,
    },
    /// Containers have it.
    #[error("{doing} {name}: volume is in use - [{}]", ids(by))]
    InUse {
        /// What was to be done.
        doing: &'static str,
        /// The volume.
        name: String,
        /// The containers.
        by: Vec<ContainerId>,
    },
    /// Its files are read at the moment.
    #[error("{doing} {name}: volume is being copied: try again once that is done")]
    Read {
        /// What was to be done.
        doing: &'static str,
        /// The volume.
        name: String,
    },
    /// There is one of that name already, and it is another one.
    #[error("{doing} {name}: volume name must be unique: {why}")]
    Taken {
        /// What was to be done.
        doing: &'static str,
        /// The name.
        name: String,
        /// What is different about the one that is there.
        why: &'static str,
    },
    /// A snapshot was to be written.
    #[error(
        "volume {name} is a snapshot of {of} and is not written any more: mount it read-only, or make a volume of it with \
         `bocage volume clone {name} NEW`"
    )]
    Snapshot {
        /// The snapshot.
        name: String,
        /// The volume that it is of.
        of: String,
    },
    /// A part of a volume that is none.
    #[error("the subpath {path:?} of volume {name}: it must be a relative path that stays in the volume")]
    Subpath {
        /// The volume.
        name: String,
        /// The part.
        path: String,
    },
    /// The kernel has no such file system.
    #[error(
        "error while mounting volume '{}': failed to mount local volume: the kernel of this machine has no file system {kind:?}: \
         `modprobe {kind}` loads it where it is installed",
        at.display()
    )]
    NoFileSystem {
        /// Its kind.
        kind: String,
        /// Where it was to be mounted.
        at: PathBuf,
    },
    /// A host in the options has no address.
    #[error("error while mounting volume '{}': error resolving passed in network volume address: lookup {host}", at.display())]
    Address {
        /// The host.
        host: String,
        /// Where it was to be mounted.
        at: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel did not mount it.
    #[error(
        "error while mounting volume '{}': failed to mount local volume: mount {device}:{}, flags: {flags:#x}{}",
        at.display(), at.display(), with(data)
    )]
    Mount {
        /// What was to be mounted.
        device: String,
        /// Where.
        at: PathBuf,
        /// The flags of mount(2).
        flags: u32,
        /// The data of mount(2), without what is secret.
        data: String,
        /// Why not.
        source: io::Error,
    },
    /// Something on the disk.
    #[error("{what} {}", path.display())]
    Disk {
        /// What was to be done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A copy between directories.
    #[error("{what} volume {name}")]
    Copy {
        /// What was to be done.
        what: &'static str,
        /// The volume.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// The table.
    #[error("record volume {name}")]
    Record {
        /// The volume.
        name: String,
        /// Why not.
        source: store::Error,
    },
    /// The table, as a whole.
    #[error("read the volumes")]
    Table {
        /// Why not.
        source: store::Error,
    },
}

fn ids(by: &[ContainerId]) -> String {
    by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn with(data: &str) -> String {
    if data.is_empty() { String::new() } else { format!(", data: {data}") }
}

impl Error {
    /// Something that failed on the disk.
    pub(crate) fn disk(what: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Error {
        Error::Disk { what, path: path.into(), source: source.into() }
    }
}
