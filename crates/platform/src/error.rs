//! Why a door said no.

use std::fmt;

/// What kind of refusal it is; each dialect has its own status for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request itself makes no sense (Docker's 400).
    Invalid,
    /// Somebody else must be asked first, and does not let this user in (401).
    Unauthorized,
    /// It is not for a client to ask (403).
    Forbidden,
    /// What it names is not there (404).
    NotFound,
    /// It does not fit with what is there (409).
    Conflict,
    /// Nothing had to be done (304).
    NotModified,
    /// What it needs is not there now (503).
    Unavailable,
    /// It has a meaning that is not built yet (501).
    NotSupported,
    /// The machine or the daemon could not do it (500).
    Failed,
}

/// A refusal or a failure, in words that a user reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind it is.
    pub kind: Kind,
    /// What failed and why, with the whole chain of causes.
    pub message: String,
}

impl Error {
    /// A refusal of the given kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into() }
    }

    /// The request makes no sense.
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, message)
    }

    /// What it names is not there.
    pub fn not_found(message: impl Into<String>) -> Error {
        Error::new(Kind::NotFound, message)
    }

    /// It is not for a client to ask.
    pub fn forbidden(message: impl Into<String>) -> Error {
        Error::new(Kind::Forbidden, message)
    }

    /// It does not fit with what is there.
    pub fn conflict(message: impl Into<String>) -> Error {
        Error::new(Kind::Conflict, message)
    }

    /// Nothing had to be done.
    pub fn not_modified(message: impl Into<String>) -> Error {
        Error::new(Kind::NotModified, message)
    }

    /// It is not built yet.
    pub fn not_supported(message: impl Into<String>) -> Error {
        Error::new(Kind::NotSupported, message)
    }

    /// It could not be done.
    pub fn failed(message: impl Into<String>) -> Error {
        Error::new(Kind::Failed, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
