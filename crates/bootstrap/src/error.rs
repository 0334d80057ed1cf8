//! What can go wrong between a mirror and an image.

use crate::deb822::Malformed;
use crate::openpgp::{Distrust, NoKeyring, NotSigned};
use base::Time;
use std::io;
use std::path::PathBuf;

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which operation failed, on what, and why. [`Error::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such distribution.
    #[error("the distribution {0:?} is not known")]
    UnknownDistribution(String),
    /// There are no packages for such machines.
    #[error("{distribution} has no packages for the architecture {architecture:?}")]
    UnknownArchitecture {
        /// The distribution.
        distribution: &'static str,
        /// What was asked for.
        architecture: String,
    },
    /// A suite, a component or a package has a name that none can have.
    #[error("{0:?} is no name of {1}")]
    BadName(String, &'static str),
    /// The mirror's address makes no sense.
    #[error("{0:?} is no address of a mirror: http:// or https:// is needed")]
    BadMirror(String),
    /// The mirror has no such suite.
    #[error("the mirror {mirror} has no suite {suite:?}")]
    UnknownSuite {
        /// Where it was asked for.
        mirror: String,
        /// What was asked for.
        suite: String,
        /// Suites that it does have.
        known: Vec<&'static str>,
    },
    /// There is no keyring to believe.
    #[error(
        "there is no keyring of {distribution}: none of {} is there, and the archive has no key that is known here",
        list(.looked_at)
    )]
    KeyringMissing {
        /// The distribution.
        distribution: &'static str,
        /// The package that has it.
        package: &'static str,
        /// Where one could be.
        looked_at: Vec<PathBuf>,
    },
    /// The keyring cannot be used.
    #[error("use the keyring {}", .path.display())]
    Keyring {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NoKeyring,
    },
    /// The archive is not signed.
    #[error("the archive {url} is not to be believed")]
    NotSigned {
        /// Its `InRelease`.
        url: String,
        /// Why.
        source: NotSigned,
    },
    /// The archive is signed by nobody who is believed.
    #[error("the archive {url} is not to be believed")]
    Distrust {
        /// Its `InRelease`.
        url: String,
        /// Why.
        source: Distrust,
    },
    /// What the archive says of itself has expired.
    #[error("the archive {url} says of itself that it is no longer valid since {until}; it is from {date}")]
    Expired {
        /// Its `InRelease`.
        url: String,
        /// When it was made.
        date: Time,
        /// Until when it was valid.
        until: Time,
    },
    /// The archive is of another suite than was asked for: somebody may have put an old one in its place.
    #[error("{url} is of the suite {found}, not of {wanted}")]
    WrongSuite {
        /// Its `InRelease`.
        url: String,
        /// What was asked for.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// A file of the archive is not what it should be.
    #[error("{url}: {what}")]
    Archive {
        /// The file.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// A file of the archive cannot be taken apart.
    #[error("read {url}")]
    Malformed {
        /// The file.
        url: String,
        /// Why.
        source: Malformed,
    },
    /// A file names its contents by hashes only for which others can be made.
    #[error("{url} names {what} by {hashes} only, which are too weak; SHA256 is needed")]
    WeakHashes {
        /// The file.
        url: String,
        /// Of what.
        what: String,
        /// The hashes it has.
        hashes: String,
    },
    /// No answer came.
    #[error("fetch {url}")]
    Fetch {
        /// The address.
        url: String,
        /// Why.
        source: dial::Cause,
    },
    /// It answered that it will not.
    #[error("fetch {url}: the server answered {status}")]
    Status {
        /// The address.
        url: String,
        /// The status of HTTP.
        status: u16,
    },
    /// What came is not what the archive says it is.
    #[error("{url} is not what the archive says: {what} {found}, not {wanted}")]
    Changed {
        /// The address.
        url: String,
        /// What differs.
        what: &'static str,
        /// What came.
        found: String,
        /// What should have come.
        wanted: String,
    },
    /// There is no such package.
    #[error("there is no package {name:?} in {places}")]
    UnknownPackage {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        places: String,
        /// Packages with names like it.
        near: Vec<String>,
    },
    /// There is nothing that every system has.
    #[error("there is no essential package in {places}: no system can be made of it")]
    NoSystem {
        /// Where it was looked for.
        places: String,
    },
    /// A package needs what the archive does not have.
    #[error("the package {package} needs {need}, which is not in {places}")]
    Unmet {
        /// The package.
        package: String,
        /// What it needs.
        need: String,
        /// Where it was looked for.
        places: String,
    },
    /// A package cannot be read.
    #[error("read the package {}", .path.display())]
    Package {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk of this machine.
    #[error("{operation} {}", .path.display())]
    Disk {
        /// What was done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What a container has become cannot be read.
    #[error("read what the container has become")]
    Export(#[source] io::Error),
    /// The image cannot be written.
    #[error("write the image")]
    Write(#[source] io::Error),
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// What to do about it, if there is something.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::UnknownDistribution(_) => "debian and ubuntu are known".to_owned(),
            Error::UnknownArchitecture { .. } => "amd64 and arm64 are known, of Debian and of Ubuntu".to_owned(),
            Error::UnknownSuite { known, .. } if known.is_empty() => {
                "it has none of those that are known; --mirror names another mirror".to_owned()
            }
            Error::UnknownSuite { known, .. } => format!("it has {}", known.join(", ")),
            Error::KeyringMissing { package, .. } => format!(
                "apt-get install {package}, or name one with --keyring FILE; --allow-unsigned believes whoever answers"
            ),
            Error::NotSigned { .. } => {
                "--allow-unsigned believes whoever answers: for archives of your own, on a network of your own".to_owned()
            }
            Error::Distrust { source: Distrust::NoneCounts(_), .. } => {
                "a newer archive may need a newer keyring: --keyring FILE; --allow-unsigned believes whoever answers".to_owned()
            }
            Error::Distrust { .. } | Error::Changed { .. } => {
                "try again, or another mirror with --mirror; a proxy on the way may keep an older file".to_owned()
            }
            Error::Expired { .. } => {
                "the mirror may have stopped to follow; --allow-expired takes an archive of the past".to_owned()
            }
            Error::UnknownPackage { near, .. } if !near.is_empty() => format!("did you mean {}?", near.join(", ")),
            Error::UnknownPackage { .. } | Error::Unmet { .. } => {
                "it may be in another component: --components main,contrib of Debian, main,universe of Ubuntu".to_owned()
            }
            Error::NoSystem { .. } => {
                "a suite of updates alone is none; name the suite that it updates, and --security".to_owned()
            }
            _ => return None,
        })
    }
}
