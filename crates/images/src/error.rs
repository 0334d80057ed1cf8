//! What can go wrong with images.

use crate::manifest::BadDocument;
use crate::reference::BadReference;
use crate::registry::RegistryError;
use crate::tarball::TarError;
use crate::{BadPlatform, Platform};
use model::{Digest, ImageId};
use std::io;
use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of refusal an error is; front-ends have a status for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was asked for makes no sense.
    Invalid,
    /// There is no such image.
    NotFound,
    /// Something else stands against it.
    Conflict,
    /// The machine could not do it.
    Failed,
}

/// Why an image could not be read, written, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No image has that name or id.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// Several images have an id that begins so.
    #[error("image id {prefix:?} is ambiguous: {count} images begin with it; give more digits")]
    Ambiguous {
        /// The digits that were given.
        prefix: String,
        /// How many images it could be.
        count: usize,
    },
    /// The name is none.
    #[error(transparent)]
    Reference(#[from] BadReference),
    /// A name with a digest cannot be given to an image by hand.
    #[error("refusing to create a tag with a digest reference")]
    TagWithDigest,
    /// The image may not be removed now. The conflict is the whole message and no cause, so as not to be told twice.
    #[error("conflict: {0}")]
    Conflict(Conflict),
    /// The tables of images cannot be read or changed.
    #[error("look up or change the tables of images")]
    Store(#[from] store::Error),
    /// The archive ends in the middle.
    #[error("unexpected EOF")]
    Truncated,
    /// The archive cannot be read from where it comes.
    #[error("read the archive")]
    ReadArchive(#[source] io::Error),
    /// The archive's own structure is broken.
    #[error("read the archive")]
    Archive(#[source] TarError),
    /// The archive is compressed in a way that is not understood.
    #[error("read {what}: compression {name} is not supported; gzip, zstd and none are")]
    Compression {
        /// Which part of the archive.
        what: String,
        /// The name of the compression.
        name: &'static str,
    },
    /// The archive has no table of contents.
    #[error("the archive is neither a docker-archive (manifest.json) nor an OCI layout (index.json)")]
    NoManifest,
    /// A file that the archive's table of contents names is missing.
    #[error("the archive names {0:?} but does not hold it")]
    Missing(String),
    /// A JSON file of the archive makes no sense.
    #[error("read {name:?} of the archive")]
    Json {
        /// The file.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A file of the archive is not what its digest says.
    #[error("{name:?} of the archive has the digest {found}, not {wanted}")]
    Digest {
        /// The file.
        name: String,
        /// The digest by which it is named.
        wanted: Digest,
        /// The digest of its content.
        found: Digest,
    },
    /// A layer is not the one that the image's configuration names.
    #[error("invalid diffID for layer {index}: expected \"{wanted}\", got \"{found}\"")]
    DiffId {
        /// The layer, counted from the bottom.
        index: usize,
        /// The configuration's word.
        wanted: Digest,
        /// The digest of the layer.
        found: Digest,
    },
    /// The configuration does not name as many layers as the archive has.
    #[error("invalid manifest, layers length mismatch: expected {wanted}, got {found}")]
    LayerCount {
        /// Layers that the configuration names.
        wanted: usize,
        /// Layers that the manifest names.
        found: usize,
    },
    /// What the archive calls a layer is no tar archive.
    #[error("{0:?} of the archive is no layer")]
    NotALayer(String),
    /// The archive has an index for other platforms only.
    #[error("the archive holds no image for {0}")]
    NoPlatform(String),
    /// A bound on what one archive may hold is exceeded.
    #[error("the archive holds more than {max} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many are taken.
        max: u64,
    },
    /// An entry of a layer cannot be unpacked.
    #[error("unpack {}", path.display())]
    Unpack {
        /// The entry, as the archive names it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An entry of a layer is refused.
    #[error("unpack {}: {why}", path.display())]
    Refused {
        /// The entry, as the archive names it.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file or directory of the image store cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory of the image store cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory of the image store cannot be removed.
    #[error("remove {}", path.display())]
    Remove {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The stored configuration of an image makes no sense.
    #[error("read the configuration of image {id}")]
    Config {
        /// The image.
        id: ImageId,
        /// Why.
        source: serde_json::Error,
    },
    /// A part of a stored image is gone.
    #[error("image {id} is damaged: its layer {layer} is gone; remove it and load it again")]
    Damaged {
        /// The image.
        id: ImageId,
        /// The layer.
        layer: Digest,
    },
    /// A thread that unpacks cannot be started.
    #[error("start a thread that unpacks layers")]
    StartWorker(#[source] io::Error),
    /// The saved archive cannot be delivered.
    #[error("write the archive")]
    Output(#[source] io::Error),
    /// A change to a configuration makes no sense.
    #[error("change {change:?}: {why}")]
    Change {
        /// The change.
        change: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A registry could not be asked, or would not answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry does not let it be pulled.
    #[error("pull access denied for {0}, repository does not exist or may require 'docker login'")]
    PullDenied(String, #[source] RegistryError),
    /// The registry has no such tag or digest.
    #[error("manifest for {0} not found")]
    NoSuchManifest(String, #[source] RegistryError),
    /// The registry has no such repository.
    #[error("repository {0} not found")]
    NoSuchRepository(String, #[source] RegistryError),
    /// What a registry calls a manifest is none.
    #[error("read the manifest of {name}")]
    BadManifest {
        /// The image.
        name: String,
        /// Why.
        source: BadDocument,
    },
    /// What a registry calls a configuration is none.
    #[error("read the configuration of {name}")]
    BadConfig {
        /// The image.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// It is something else than an image.
    #[error("{name} is no image: its configuration is of the media type {media_type:?}")]
    NoImage {
        /// The name.
        name: String,
        /// What its configuration is.
        media_type: String,
    },
    /// The registry has the image for other platforms only.
    #[error("no matching manifest for {0} in the manifest list entries")]
    NoMatchingManifest(Platform),
    /// The image is for one platform only, and that was not asked for.
    #[error("image with reference {name} was found but does not provide the specified platform ({platform})")]
    OtherPlatform {
        /// The image.
        name: String,
        /// What was asked for.
        platform: Platform,
    },
    /// The platform that was asked for is none.
    #[error(transparent)]
    Platform(#[from] BadPlatform),
    /// No image here has a name of this repository.
    #[error("An image does not exist locally with the tag: {0}")]
    NothingToPush(String),
    /// An index has images of another registry.
    #[error("cannot use source images from a different registry than the target image: {image} != {target}")]
    OtherRegistry {
        /// The registry of the image.
        image: String,
        /// The registry of the index.
        target: String,
    },
    /// An image of an index is named without its digest.
    #[error("{0} has no digest: an index names its images by digest")]
    NoDigest(String),
    /// An image of an index is an index itself.
    #[error("{0} is an index itself; name the images that it has")]
    NestedIndex(String),
    /// The registry does not take a blob from another of its repositories.
    #[error("the registry does not take {blob} from {image} into {target}: push the image to {target} first")]
    NotMounted {
        /// The blob.
        blob: Digest,
        /// The image that has it.
        image: String,
        /// The repository that wants it.
        target: String,
    },
    /// Something new cannot be written as JSON.
    #[error("write {what} as JSON")]
    Encode {
        /// What.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// Why an image may not be removed, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Its only name may not go, since a container uses it.
    #[error(
        "unable to remove repository reference {name:?} (must force) - container {container} is using its referenced image {image}"
    )]
    OnlyName {
        /// The name.
        name: String,
        /// The container's short id.
        container: String,
        /// The image's short id.
        image: String,
    },
    /// It has several names and was named by its id.
    #[error("unable to delete {image} (must be forced) - image is referenced in multiple repositories")]
    SeveralNames {
        /// The image's short id.
        image: String,
    },
    /// A container that is stopped uses it.
    #[error(
        "unable to delete {image} (must be forced) - image is being used by stopped container {container}"
    )]
    Stopped {
        /// The image's short id.
        image: String,
        /// The container's short id.
        container: String,
    },
    /// A container that runs uses it.
    #[error(
        "unable to delete {image} (cannot be forced) - image is being used by running container {container}"
    )]
    Running {
        /// The image's short id.
        image: String,
        /// The container's short id.
        container: String,
    },
}

impl Error {
    /// What kind of refusal this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::NoSuchImage(_)
            | Error::PullDenied(..)
            | Error::NoSuchManifest(..)
            | Error::NoSuchRepository(..)
            | Error::NoMatchingManifest(_)
            | Error::OtherPlatform { .. } => ErrorKind::NotFound,
            Error::Platform(_) => ErrorKind::Invalid,
            Error::Conflict(_) => ErrorKind::Conflict,
            Error::Ambiguous { .. }
            | Error::Reference(_)
            | Error::TagWithDigest
            | Error::Change { .. }
            | Error::OtherRegistry { .. }
            | Error::NoDigest(_)
            | Error::NestedIndex(_) => ErrorKind::Invalid,
            _ => ErrorKind::Failed,
        }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    }

    pub(crate) fn remove(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Remove { path, source }
    }
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Error {
        Error::Conflict(conflict)
    }
}

impl From<TarError> for Error {
    fn from(error: TarError) -> Error {
        match error {
            TarError::Truncated => Error::Truncated,
            TarError::Read(source) => Error::ReadArchive(source),
            other => Error::Archive(other),
        }
    }
}
