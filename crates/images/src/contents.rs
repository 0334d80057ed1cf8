//! What an archive holds, and which images that makes.

use crate::config::{ArchiveItem, ImageFile, NAME_ANNOTATION, TAG_ANNOTATION};
use crate::hash::digest_of;
use crate::home::StagedLayer;
use crate::intake::Ticket;
use crate::manifest::{DOCKER_LIST, Descriptor, Index, Manifest, OCI_INDEX};
use crate::{Error, Platform, Reference, Result};
use model::{Digest, ImageId};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Links that are followed to a file.
const LINKS_MAX: usize = 8;
/// Indexes within indexes.
const INDEX_DEPTH_MAX: usize = 4;
/// Layers of one image: what overlayfs takes.
pub(crate) const IMAGE_LAYERS_MAX: usize = 500;

/// One file of the archive.
#[derive(Debug)]
pub(crate) enum Found {
    /// A small file, maybe JSON.
    Json(Vec<u8>),
    /// A layer that is being unpacked.
    Layer(Ticket),
    /// A layer that is here already, by the digest of its plain archive.
    Known(Digest),
    /// A link to another file.
    Link(String),
    /// Something without a meaning.
    Other,
}

/// An image that is to be placed.
#[derive(Clone, Debug)]
pub(crate) struct NewImage {
    pub(crate) id: ImageId,
    pub(crate) config: Vec<u8>,
    /// The digests of its layers' plain archives, the bottom one first.
    pub(crate) layers: Vec<Digest>,
    pub(crate) names: Vec<Reference>,
    /// The manifest that it came with from a registry.
    pub(crate) manifest: Option<NewManifest>,
}

/// A manifest that is kept as it came.
#[derive(Clone, Debug)]
pub(crate) struct NewManifest {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) text: String,
}

/// The layers that came with the archive.
type Layers = BTreeMap<Ticket, StagedLayer>;

/// The files of an archive.
#[derive(Debug, Default)]
pub(crate) struct Contents(BTreeMap<String, Found>);

impl Contents {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn add(&mut self, name: String, found: Found) {
        self.0.insert(name, found);
    }

    /// The images of the archive. Docker's table of contents says more where both are there.
    pub(crate) fn images(&self, layers: &Layers) -> Result<Vec<NewImage>> {
        if self.0.contains_key("manifest.json") {
            let items: Vec<ArchiveItem> = self.parsed("manifest.json")?;
            return items.iter().map(|item| self.docker_image(item, layers)).collect();
        }
        if !self.0.contains_key("index.json") {
            return Err(Error::NoManifest);
        }
        let index: Index = self.parsed("index.json")?;
        let mut images: Vec<NewImage> = Vec::new();
        for descriptor in &index.manifests {
            let Some(mut image) = self.oci_image(descriptor, layers, 0)? else { continue };
            image.names.extend(name_of(descriptor)?);
            match images.iter_mut().find(|other| other.id == image.id) {
                Some(other) => other.names.append(&mut image.names),
                None => images.push(image),
            }
        }
        if images.is_empty() {
            return Err(Error::NoPlatform(format!("linux/{}", crate::architecture())));
        }
        Ok(images)
    }

    fn docker_image(&self, item: &ArchiveItem, layers: &Layers) -> Result<NewImage> {
        let config = self.json(&item.config)?;
        let found: Result<Vec<Digest>> = item.layers.iter().map(|name| self.layer(name, layers)).collect();
        let names =
            item.repo_tags.iter().flatten().map(|name| Ok(Reference::parse(name)?.with_default_tag()));
        checked(&item.config, config, found?, names.collect::<Result<_>>()?)
    }

    /// The image of a descriptor, or that for this machine where it is an index; `None` if it is for others only.
    fn oci_image(&self, descriptor: &Descriptor, layers: &Layers, depth: usize) -> Result<Option<NewImage>> {
        let name = blob_name(descriptor.digest);
        let document: serde_json::Value = self.parsed(&name)?;
        let is_index = [OCI_INDEX, DOCKER_LIST].contains(&descriptor.media_type.as_str())
            || document.get("manifests").is_some();
        let parse_error = |source| Error::Json { name: name.clone(), source };
        if is_index {
            let index: Index = serde_json::from_value(document).map_err(parse_error)?;
            if depth >= INDEX_DEPTH_MAX {
                return Err(Error::TooMany {
                    what: "indexes within one another",
                    max: INDEX_DEPTH_MAX as u64,
                });
            }
            let Some(ours) = index.choose(&Platform::default()) else { return Ok(None) };
            return self.oci_image(ours, layers, depth + 1);
        }
        let manifest: Manifest = serde_json::from_value(document).map_err(parse_error)?;
        let config_name = blob_name(manifest.config.digest);
        let config = self.json(&config_name)?;
        let found = manifest.layers.iter().map(|layer| self.layer(&blob_name(layer.digest), layers));
        checked(&config_name, config, found.collect::<Result<_>>()?, Vec::new()).map(Some)
    }

    fn layer(&self, name: &str, layers: &Layers) -> Result<Digest> {
        match self.found(name)? {
            Found::Known(diff_id) => Ok(*diff_id),
            Found::Layer(ticket) => {
                layers.get(ticket).map(|layer| layer.diff_id).ok_or_else(|| Error::Missing(name.to_owned()))
            }
            _ => Err(Error::NotALayer(name.to_owned())),
        }
    }

    fn json(&self, name: &str) -> Result<&[u8]> {
        match self.found(name)? {
            Found::Json(bytes) => Ok(bytes),
            _ => Err(Error::Missing(name.to_owned())),
        }
    }

    fn parsed<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_slice(self.json(name)?)
            .map_err(|source| Error::Json { name: name.to_owned(), source })
    }

    fn found(&self, name: &str) -> Result<&Found> {
        let mut at = name;
        for _ in 0..LINKS_MAX {
            match self.0.get(at) {
                Some(Found::Link(target)) => at = target,
                Some(found) => return Ok(found),
                None => break,
            }
        }
        Err(Error::Missing(name.to_owned()))
    }
}

/// The image, if its configuration names just these layers.
pub(crate) fn checked(
    name: &str,
    config: &[u8],
    layers: Vec<Digest>,
    names: Vec<Reference>,
) -> Result<NewImage> {
    let file: ImageFile =
        serde_json::from_slice(config).map_err(|source| Error::Json { name: name.to_owned(), source })?;
    let wanted = &file.rootfs.diff_ids;
    if wanted.len() != layers.len() {
        return Err(Error::LayerCount { wanted: wanted.len(), found: layers.len() });
    }
    if layers.len() > IMAGE_LAYERS_MAX {
        return Err(Error::TooMany { what: "layers in one image", max: IMAGE_LAYERS_MAX as u64 });
    }
    for (index, (&wanted, &found)) in wanted.iter().zip(&layers).enumerate() {
        if wanted != found {
            return Err(Error::DiffId { index, wanted, found });
        }
    }
    Ok(NewImage { id: ImageId(digest_of(config)), config: config.to_vec(), layers, names, manifest: None })
}

fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The name that an index gives to an image. A bare tag names nothing.
fn name_of(descriptor: &Descriptor) -> Result<Option<Reference>> {
    if let Some(name) = descriptor.annotations.get(NAME_ANNOTATION) {
        return Ok(Some(Reference::parse(name)?.with_default_tag()));
    }
    let name = descriptor.annotations.get(TAG_ANNOTATION).filter(|name| name.contains([':', '/']));
    Ok(name.map(|name| Reference::parse(name)).transpose()?.map(Reference::with_default_tag))
}
