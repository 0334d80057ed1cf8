//! The documents that say of which parts an image is made: manifests, and indexes of manifests.
//!
//! Plain data: nothing is fetched or stored here. A document is kept byte for byte by whoever has it, since its digest
//! is its name; these types read it. Formats: the OCI image specification 1.1 (`descriptor.md`, `manifest.md`,
//! `image-index.md`) and Docker's image manifest, version 2, schema 2.

use crate::Platform;
use crate::config::null_is_default;
use model::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An OCI index: one image for several platforms.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI manifest: one image, or another artifact.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The configuration of an OCI image.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Docker's index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The configuration of Docker's images.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A layer of Docker's images, packed with gzip.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker's older manifests, which are refused by name.
const DOCKER_SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
/// Every type of document that is understood, the best first: what a client says that it accepts.
pub const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// Bytes of one document, as the distribution specification 1.1 wants them taken at least.
pub const DOCUMENT_BYTES_MAX: usize = 4 << 20;
/// Descriptors in one document.
const DESCRIPTORS_MAX: usize = 10_000;
/// The version that every document has.
const SCHEMA_VERSION: u32 = 2;

/// The platform that one manifest of an index is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescriptorPlatform {
    /// The processor, as Go calls it.
    #[serde(deserialize_with = "null_is_default")]
    pub architecture: String,
    /// The operating system.
    #[serde(deserialize_with = "null_is_default")]
    pub os: String,
    /// Its version, where that matters.
    #[serde(
        rename = "os.version",
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub os_version: String,
    /// What it must be able to do.
    #[serde(
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub os_features: Vec<String>,
    /// The processor's variant.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub variant: String,
}

impl DescriptorPlatform {
    /// The same in the words of this crate.
    pub fn platform(&self) -> Platform {
        let (os, architecture) = (self.os.clone(), self.architecture.clone());
        Platform { os, architecture, variant: self.variant.clone() }
    }
}

/// Where a part is: by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "D: Deserialize<'de>"))]
pub struct Descriptor<D = Digest> {
    /// What it is.
    #[serde(default, deserialize_with = "null_is_default")]
    pub media_type: String,
    /// Its content's digest.
    pub digest: D,
    /// Its bytes.
    #[serde(default)]
    pub size: u64,
    /// Where else it may be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub urls: Vec<String>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    /// Its content in base64, where that is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The platform that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<DescriptorPlatform>,
    /// What kind of artifact it is, if it is not an image.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub artifact_type: String,
}

impl Descriptor {
    /// A part of which nothing else is said.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            platform: None,
            artifact_type: String::new(),
        }
    }
}

/// A list of manifests: one image for several platforms, or several images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "D: Deserialize<'de>"))]
pub struct Index<D = Digest> {
    /// Always 2.
    pub schema_version: u32,
    /// What this document is; some leave it out.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub media_type: String,
    /// What kind of artifact it is, if it is not an image.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub artifact_type: String,
    /// The manifests, the preferred ones first.
    #[serde(deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor<D>>,
    /// The manifest that this one says something of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor<D>>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// The manifest that runs best on `platform`: of several that run as well, the first. One that names no platform is
    /// taken when no other fits.
    pub fn choose(&self, platform: &Platform) -> Option<&Descriptor> {
        let rank = |descriptor: &Descriptor| match &descriptor.platform {
            None => Some(u32::MAX),
            Some(theirs) => platform.rank(&theirs.platform()),
        };
        let ranked = self.manifests.iter().filter_map(|descriptor| Some((rank(descriptor)?, descriptor)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, descriptor)| descriptor)
    }
}

/// The parts of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "D: Deserialize<'de>"))]
pub struct Manifest<D = Digest> {
    /// Always 2.
    pub schema_version: u32,
    /// What this document is; some leave it out.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub media_type: String,
    /// What kind of artifact it is, if it is not an image.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub artifact_type: String,
    /// The configuration.
    pub config: Descriptor<D>,
    /// The layers, the bottom one first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor<D>>,
    /// The manifest that this one says something of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor<D>>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

/// Why bytes are no document that is understood.
#[derive(Debug, thiserror::Error)]
pub enum BadDocument {
    /// It is too big.
    #[error("it has {found} bytes, and {DOCUMENT_BYTES_MAX} are taken at most")]
    TooLarge {
        /// Its bytes.
        found: usize,
    },
    /// It is no JSON, or not of the form that it should have.
    #[error("it is not the JSON that it should be")]
    Json(#[source] serde_json::Error),
    /// It is JSON, and no object.
    #[error("it is JSON that is no object")]
    NoObject,
    /// It is of a kind that is not understood.
    #[error("media type {0:?} is not understood; OCI and Docker (schema 2) manifests and indexes are")]
    MediaType(String),
    /// It is of Docker's older kind.
    #[error(
        "it is a Docker manifest of schema 1, which is not supported; push the image again with a newer client"
    )]
    Schema1,
    /// It says that it is something else than it came as.
    #[error("it came as {outside:?} and says that it is {inside:?}")]
    Disagree {
        /// What the transport said.
        outside: String,
        /// What the document says.
        inside: String,
    },
    /// It could be read as two kinds of document.
    #[error("it has parts of a manifest and of an index")]
    Ambiguous,
    /// It has another version.
    #[error("it has schema version {0}; only version {SCHEMA_VERSION} is supported")]
    Version(u32),
    /// It names too many parts.
    #[error("it names {found} parts, and {DESCRIPTORS_MAX} are taken at most")]
    TooMany {
        /// How many it names.
        found: usize,
    },
}

/// What a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document<D = Digest> {
    /// One image or artifact.
    Manifest(Box<Manifest<D>>),
    /// A list of them.
    Index(Box<Index<D>>),
}

/// As much of a document as tells its kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    #[serde(default)]
    schema_version: u32,
    #[serde(default, deserialize_with = "null_is_default")]
    media_type: String,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    config: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a document whose parts are named by SHA-256, as [`Document::read`] does.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn parse(bytes: &[u8], came_as: &str) -> Result<Document, BadDocument> {
        Document::read(bytes, came_as)
    }
}

impl<D: DeserializeOwned> Document<D> {
    /// Reads a document. `came_as` is the media type that the transport told (parameters after `;` do not count), or
    /// nothing.
    ///
    /// # Errors
    /// When it is too big, no JSON of the right form, of a kind that is not understood, or could be read in two ways.
    pub fn read(bytes: &[u8], came_as: &str) -> Result<Document<D>, BadDocument> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(BadDocument::TooLarge { found: bytes.len() });
        }
        // A list of values in the order of the fields would be taken for the object that has them, by us alone.
        if bytes.trim_ascii_start().starts_with(b"[") {
            return Err(BadDocument::NoObject);
        }
        let outline: Outline = serde_json::from_slice(bytes).map_err(BadDocument::Json)?;
        let outside = came_as.split(';').next().unwrap_or_default().trim();
        // Registries that know no better say that it is JSON, or nothing.
        let told = ACCEPTED.contains(&outside) || DOCKER_SCHEMA_1.contains(&outside);
        let inside = outline.media_type.as_str();
        if told && !inside.is_empty() && inside != outside {
            return Err(BadDocument::Disagree { outside: outside.to_owned(), inside: inside.to_owned() });
        }
        let kind = if inside.is_empty() && told { outside } else { inside };
        if outline.schema_version == 1 || DOCKER_SCHEMA_1.contains(&kind) {
            return Err(BadDocument::Schema1);
        }
        if outline.schema_version != SCHEMA_VERSION {
            return Err(BadDocument::Version(outline.schema_version));
        }
        let (lists, parts) =
            (outline.manifests.is_some(), outline.config.is_some() || outline.layers.is_some());
        let is_index = match kind {
            OCI_INDEX | DOCKER_LIST => true,
            OCI_MANIFEST | DOCKER_MANIFEST => false,
            "" => lists,
            other => return Err(BadDocument::MediaType(other.to_owned())),
        };
        // Two readers could take it for two images (CVE-2021-41190).
        if (is_index && parts) || (!is_index && lists) {
            return Err(BadDocument::Ambiguous);
        }
        let document = if is_index {
            Document::Index(serde_json::from_slice(bytes).map_err(BadDocument::Json)?)
        } else {
            Document::Manifest(serde_json::from_slice(bytes).map_err(BadDocument::Json)?)
        };
        match document.descriptors().count() {
            found if found > DESCRIPTORS_MAX => Err(BadDocument::TooMany { found }),
            _ => Ok(document),
        }
    }

    /// What the document is: as it says itself, or by its form.
    pub fn media_type(&self) -> &str {
        match self {
            Document::Manifest(manifest) if manifest.media_type.is_empty() => OCI_MANIFEST,
            Document::Manifest(manifest) => &manifest.media_type,
            Document::Index(index) if index.media_type.is_empty() => OCI_INDEX,
            Document::Index(index) => &index.media_type,
        }
    }

    /// The parts that it needs, the configuration first. What it says something of is none.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor<D>> {
        let (config, rest) = match self {
            Document::Manifest(manifest) => (Some(&manifest.config), &manifest.layers),
            Document::Index(index) => (None, &index.manifests),
        };
        config.into_iter().chain(rest)
    }

    /// The manifest that it says something of.
    pub fn subject(&self) -> Option<&Descriptor<D>> {
        match self {
            Document::Manifest(manifest) => manifest.subject.as_ref(),
            Document::Index(index) => index.subject.as_ref(),
        }
    }

    /// What kind of artifact it is: as it says, or the type of its configuration (distribution specification 1.1,
    /// "Listing Referrers").
    pub fn artifact_type(&self) -> &str {
        match self {
            Document::Manifest(manifest) if manifest.artifact_type.is_empty() => &manifest.config.media_type,
            Document::Manifest(manifest) => &manifest.artifact_type,
            Document::Index(index) => &index.artifact_type,
        }
    }

    /// What else is said of it.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Document::Manifest(manifest) => &manifest.annotations,
            Document::Index(index) => &index.annotations,
        }
    }
}

#[cfg(test)]
mod tests;
