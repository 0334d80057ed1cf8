//! The tables of images, layers and names.

use crate::Reference;
use base::Time;
use model::Digest;
use serde::{Deserialize, Serialize};
use store::Table;

/// Images by id.
pub(crate) const IMAGES: Table<Digest, ImageRecord> = Table::new("images");
/// Layers by the digest of their plain archive.
pub(crate) const LAYERS: Table<Digest, LayerRecord> = Table::new("layers");
/// Names, each with the id of its image.
pub(crate) const NAMES: Table<Reference, Digest> = Table::new("names");
/// Manifests as they came from registries or went there, by digest, so that they go out again bit by bit.
pub(crate) const MANIFESTS: Table<Digest, ManifestRecord> = Table::new("image-manifests");
/// What plain layers become when they are packed for a registry, by the digest of the plain archive.
pub(crate) const PACKED: Table<Digest, PackedRecord> = Table::new("packed-layers");
/// The same for zstd.
pub(crate) const PACKED_ZSTD: Table<Digest, PackedRecord> = Table::new("packed-layers-zstd");

/// The table of plain layers packed so; none for those that stay plain.
pub(crate) fn packed_table(packing: Packing) -> Option<&'static Table<Digest, PackedRecord>> {
    match packing {
        Packing::Plain => None,
        Packing::Gzip => Some(&PACKED),
        Packing::Zstd => Some(&PACKED_ZSTD),
    }
}

/// How a layer's archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// The media type of a layer that is packed so.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Packing::Plain => "application/vnd.oci.image.layer.v1.tar",
            Packing::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Packing::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// What is kept of an image beside its configuration, which is a blob by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    /// The bottom one first.
    pub(crate) layers: Vec<Digest>,
    /// When it last got a name; [`Time::NEVER`] if it never did.
    pub(crate) last_tagged: Time,
    /// Removed by its user, and kept only for the containers that are made from it.
    pub(crate) removed: bool,
}

/// A manifest of an image. It goes when its image goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestRecord {
    /// The image.
    pub(crate) image: Digest,
    /// What it is.
    pub(crate) media_type: String,
    /// The manifest, byte for byte.
    pub(crate) text: String,
}

/// A plain layer once it is packed. The archive itself is not kept: the same one is made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackedRecord {
    /// The digest of the packed archive.
    pub(crate) blob: Digest,
    /// Its bytes.
    pub(crate) blob_bytes: u64,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// The name of its directory.
    pub(crate) directory: String,
    /// Its archive as it came.
    pub(crate) blob: Digest,
    /// Bytes of the archive as it came.
    pub(crate) blob_bytes: u64,
    /// How the archive is packed.
    pub(crate) packing: Packing,
    /// Bytes of its files, unpacked.
    pub(crate) bytes: u64,
    /// The boot in which it was unpacked, until it was seen whole in a later one.
    pub(crate) unpacked_in: Option<String>,
}
