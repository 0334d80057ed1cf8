//! What a registry says no to, with the specification's codes (distribution specification 1.1, "Error Codes").

use super::digest::{BadContentDigest, ContentDigest};
use super::names::{Repository, Target};
use crate::Error;
use crate::manifest::BadDocument;
use std::time::Duration;

/// Why a request is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The repository's name is none.
    #[error(
        "{name:?} is no name of a repository: components of lower case letters and digits, with single `.` `_` `__` or any `-` \
         inside and `/` between them, {max} characters at most"
    )]
    Name {
        /// What was given.
        name: String,
        /// Characters that are taken.
        max: usize,
    },
    /// The repository has nothing.
    #[error("there is no repository {0} here")]
    UnknownRepository(Repository),
    /// The tag is none.
    #[error("{0:?} is no tag: letters, digits, `_`, `.` and `-`, 128 at most, not beginning with `.` or `-`")]
    Tag(String),
    /// A digest is none.
    #[error(transparent)]
    Digest(#[from] BadContentDigest),
    /// A parameter of the address is missing.
    #[error("the parameter `digest` is missing: an upload ends with ?digest=<digest of all its bytes>")]
    NoDigest,
    /// The content is not what it is called.
    #[error("the content has the digest {found}, not {wanted}")]
    OtherDigest {
        /// What the client said.
        wanted: ContentDigest,
        /// What it is.
        found: Box<ContentDigest>,
    },
    /// The repository has no such blob.
    #[error("{repository} has no blob {digest}")]
    UnknownBlob {
        /// The repository.
        repository: Repository,
        /// The blob.
        digest: ContentDigest,
    },
    /// The blob is needed.
    #[error("blob {digest} is a part of manifest {manifest}; delete that first")]
    BlobInUse {
        /// The blob.
        digest: ContentDigest,
        /// What needs it.
        manifest: Box<ContentDigest>,
    },
    /// There is no such upload.
    #[error(
        "there is no upload {0:?} in this repository; it may have ended, or was given up for lack of progress"
    )]
    UnknownUpload(String),
    /// A piece does not begin where the last one ended.
    #[error("the piece begins at byte {start}, and {have} bytes are here: go on from there")]
    OutOfOrder {
        /// Where the piece begins.
        start: u64,
        /// Bytes that are here.
        have: u64,
    },
    /// A header is none.
    #[error("{header}: {value:?} is not understood: {wanted}")]
    Header {
        /// Which.
        header: &'static str,
        /// What it says.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The body is longer or shorter than it was said to be.
    #[error("{said} bytes were announced, and {came} came")]
    Length {
        /// Bytes as announced.
        said: u64,
        /// Bytes as they came.
        came: u64,
    },
    /// Something is too large.
    #[error("{what} is larger than {max} bytes, which is the most that is taken")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Bytes that are taken.
        max: u64,
    },
    /// Too much is going on.
    #[error("{max} uploads are open already, which is the most at a time: try again later")]
    TooManyUploads {
        /// How many there may be.
        max: usize,
    },
    /// The client stopped sending.
    #[error("nothing came for {} seconds: the upload can be gone on with", .0.as_secs())]
    Stalled(Duration),
    /// The client's connection broke.
    #[error("read the request's body: {0}")]
    Cut(String),
    /// The range is not within the blob.
    #[error("the blob has {bytes} bytes, and none of them is in the range")]
    Range {
        /// Bytes of the blob.
        bytes: u64,
    },
    /// The repository has no such manifest.
    #[error("{repository} has no manifest {target}")]
    UnknownManifest {
        /// The repository.
        repository: Repository,
        /// The manifest.
        target: Target,
    },
    /// The manifest makes no sense.
    #[error("the manifest is refused: {}", base::Chain(.0))]
    Manifest(#[source] BadDocument),
    /// The manifest's type is not said.
    #[error("the manifest came as {came:?}: its Content-Type has to be its media type, one of {taken}")]
    ManifestType {
        /// What the header says.
        came: String,
        /// What is taken.
        taken: String,
    },
    /// The manifest needs what is not here.
    #[error("the manifest needs {missing}, which {repository} does not have: push that first")]
    MissingPart {
        /// The repository.
        repository: Repository,
        /// The part.
        missing: ContentDigest,
    },
    /// A page of a list cannot be cut so.
    #[error("n={0:?} is not understood: a whole number says how many are wanted")]
    Page(String),
    /// There is no such address.
    #[error("there is no {0:?} in a registry")]
    Path(String),
    /// The address takes no such method.
    #[error("{method} is not possible there; {allowed} are")]
    Method {
        /// What was asked.
        method: String,
        /// What is possible.
        allowed: String,
    },
    /// It is not known who asks.
    #[error("{0}")]
    WhoAreYou(&'static str),
    /// Who asks may not do it.
    #[error("{user} may not {action} {what}")]
    Denied {
        /// Who asks.
        user: String,
        /// What they want to do.
        action: &'static str,
        /// With what.
        what: String,
    },
    /// The registry of which this is a copy does not answer, or not so that it can be used.
    #[error("{upstream}, of which this is a copy, cannot be asked: {why}")]
    Upstream {
        /// That registry.
        upstream: String,
        /// What went wrong.
        why: String,
    },
    /// Nobody pushes to a copy.
    #[error("{repository} is a copy of what {upstream} has: push there")]
    Copy {
        /// The repository.
        repository: Repository,
        /// Where it comes from.
        upstream: String,
    },
    /// The machine could not do it.
    #[error("{}", base::Chain(.0))]
    Failed(#[from] Error),
}

impl Refusal {
    /// The specification's code.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Name { .. } => "NAME_INVALID",
            Refusal::UnknownRepository(_) => "NAME_UNKNOWN",
            Refusal::Digest(_) | Refusal::NoDigest | Refusal::OtherDigest { .. } => "DIGEST_INVALID",
            Refusal::UnknownBlob { .. } => "BLOB_UNKNOWN",
            Refusal::UnknownUpload(_) => "BLOB_UPLOAD_UNKNOWN",
            Refusal::OutOfOrder { .. }
            | Refusal::Header { .. }
            | Refusal::Range { .. }
            | Refusal::Stalled(_)
            | Refusal::Cut(_) => "BLOB_UPLOAD_INVALID",
            Refusal::Length { .. } | Refusal::TooLarge { .. } => "SIZE_INVALID",
            Refusal::UnknownManifest { .. } => "MANIFEST_UNKNOWN",
            Refusal::Tag(_) | Refusal::Manifest(_) | Refusal::ManifestType { .. } => "MANIFEST_INVALID",
            Refusal::MissingPart { .. } => "MANIFEST_BLOB_UNKNOWN",
            Refusal::WhoAreYou(_) => "UNAUTHORIZED",
            Refusal::Denied { .. } | Refusal::Copy { .. } => "DENIED",
            Refusal::TooManyUploads { .. } => "TOOMANYREQUESTS",
            Refusal::Path(_) | Refusal::Method { .. } | Refusal::BlobInUse { .. } | Refusal::Page(_) => {
                "UNSUPPORTED"
            }
            // The specification has no code for a registry that fails; Docker's clients know this one.
            Refusal::Failed(_) | Refusal::Upstream { .. } => "UNKNOWN",
        }
    }

    /// The status of HTTP, RFC 9110.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::UnknownRepository(_)
            | Refusal::UnknownBlob { .. }
            | Refusal::UnknownUpload(_)
            | Refusal::UnknownManifest { .. }
            | Refusal::MissingPart { .. }
            | Refusal::Path(_) => 404,
            Refusal::OutOfOrder { .. } | Refusal::Range { .. } => 416,
            Refusal::TooLarge { .. } | Refusal::Manifest(BadDocument::TooLarge { .. }) => 413,
            Refusal::Stalled(_) => 408,
            Refusal::WhoAreYou(_) => 401,
            Refusal::Denied { .. } | Refusal::Copy { .. } => 403,
            Refusal::Upstream { .. } => 502,
            Refusal::BlobInUse { .. } | Refusal::Method { .. } => 405,
            Refusal::TooManyUploads { .. } => 429,
            Refusal::Failed(Error::Write { source, .. })
                if source.kind() == std::io::ErrorKind::StorageFull =>
            {
                507
            }
            Refusal::Failed(_) => 500,
            _ => 400,
        }
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Refusal {
        Refusal::Failed(Error::Store(error))
    }
}
