//! Gives images away as one archive that is both an OCI layout and a docker-archive, as Docker 25 and later write it.
//!
//! Blobs go out as they came in; only the tables of contents are made.

use crate::config::{ArchiveItem, ImageFile, NAME_ANNOTATION, TAG_ANNOTATION};
use crate::find::{Look, find, names_of};
use crate::hash::digest_of;
use crate::manifest::{Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::records::LayerRecord;
use crate::tarwrite::TarWriter;
use crate::{Error, Images, Lease, Reference, Result};
use base::Time;
use model::Digest;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{Read, Write};
use store::ReadTx;

/// Bytes that are copied at a time.
const COPY_BYTES: usize = 1 << 20;
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// One image that is to be saved, with the names under which it was asked for.
struct Part {
    id: Digest,
    layers: Vec<LayerRecord>,
    names: Vec<Reference>,
    /// The configuration, byte for byte: the image may be removed while it is saved.
    config: Vec<u8>,
}

/// Images that were found and are held, ready to be written.
pub struct Saving<'i> {
    images: &'i Images,
    parts: Vec<Part>,
    /// Layers stay until the archive is written, even if their image goes.
    _lease: Lease,
}

impl Images {
    /// Writes images as one archive. A name without a tag means all tags of that repository.
    ///
    /// # Errors
    /// As [`Images::resolve`], before anything is written; [`Error::Output`] when `out` takes no more.
    pub fn save(&self, names: &[String], out: &mut dyn Write) -> Result<()> {
        self.saving(names)?.write(out)
    }

    /// Finds the images of an archive and holds them until it is written.
    ///
    /// # Errors
    /// As [`Images::resolve`].
    pub fn saving(&self, names: &[String]) -> Result<Saving<'_>> {
        let lease = self.lease_layers();
        let mut parts: Vec<Part> = Vec::new();
        for name in names {
            for (id, name) in self.store.read(|tx| asked_for(tx, name))? {
                let at = parts.iter().position(|part| part.id == id);
                let at = match at {
                    Some(at) => at,
                    None => {
                        parts.push(self.part(id)?);
                        parts.len() - 1
                    }
                };
                parts[at].names.extend(name);
            }
        }
        for part in &mut parts {
            part.names.sort();
            part.names.dedup();
        }
        Ok(Saving { images: self, parts, _lease: lease })
    }

    fn part(&self, id: Digest) -> Result<Part> {
        let record = self.store.read(|tx| Look::image(tx, &id))?;
        let record = record.ok_or_else(|| Error::NoSuchImage(id.to_string()))?;
        let layers = self.layer_records(id, &record)?;
        let path = self.home.blob(id);
        let config = std::fs::read(&path).map_err(Error::read(&path))?;
        Ok(Part { id, layers, names: Vec::new(), config })
    }
}

/// The images that one name means, each with the name it is saved under.
fn asked_for(tx: &ReadTx<'_>, name: &str) -> Result<Vec<(Digest, Option<Reference>)>> {
    let parsed = Reference::parse(name).ok();
    if let Some(repository) = parsed.as_ref().filter(|parsed| parsed.is_name_only()) {
        let all = tx.names()?.into_iter();
        let tags: Vec<_> = all
            .filter(|(name, _)| name.same_repository(repository) && name.digest().is_none())
            .map(|(name, id)| (id, Some(name)))
            .collect();
        if !tags.is_empty() {
            return Ok(tags);
        }
    }
    let (id, _) = find(tx, name)?;
    let asked = parsed.map(Reference::with_default_tag);
    let own = names_of(tx, id)?.into_iter().find(|own| Some(own) == asked.as_ref());
    Ok(vec![(id, own.filter(|own| own.digest().is_none()))])
}

impl Saving<'_> {
    /// Writes the archive.
    ///
    /// # Errors
    /// [`Error::Output`] when `out` takes no more, [`Error::Read`] when a blob cannot be read.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let mut tar = TarWriter::new(out, self.newest());
        let mut written = HashSet::new();
        let mut index = Index {
            schema_version: 2,
            media_type: OCI_INDEX.to_owned(),
            artifact_type: String::new(),
            manifests: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        let mut items = Vec::new();
        for directory in ["blobs/", "blobs/sha256/"] {
            tar.directory(directory, DIRECTORY_MODE).map_err(Error::Output)?;
        }
        for part in &self.parts {
            for layer in &part.layers {
                if written.insert(layer.blob) {
                    self.blob(&mut tar, layer.blob)?;
                }
            }
            if written.insert(part.id) {
                tar.file(&blob_name(part.id), FILE_MODE, &part.config).map_err(Error::Output)?;
            }
            let manifest = json("a manifest", &manifest_of(part))?;
            let digest = digest_of(&manifest);
            if written.insert(digest) {
                tar.file(&blob_name(digest), FILE_MODE, &manifest).map_err(Error::Output)?;
            }
            index.manifests.extend(descriptors(part, digest, manifest.len() as u64));
            items.push(item(part));
        }
        for (name, bytes) in [
            ("index.json", json("an index", &index)?),
            ("manifest.json", json("a manifest list", &items)?),
            ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("repositories", json("repositories", &self.repositories())?),
        ] {
            tar.file(name, FILE_MODE, &bytes).map_err(Error::Output)?;
        }
        tar.finish().map_err(Error::Output)?;
        Ok(())
    }

    /// When the newest of the images was built, for the times of the archive's entries: the same images always give the
    /// same archive.
    fn newest(&self) -> i64 {
        let files =
            self.parts.iter().filter_map(|part| serde_json::from_slice::<ImageFile>(&part.config).ok());
        files.filter_map(|file| file.created).map(Time::unix_seconds).max().unwrap_or(0)
    }

    fn blob(&self, tar: &mut TarWriter<&mut dyn Write>, digest: Digest) -> Result<()> {
        let path = self.images.home.blob(digest);
        let mut file = File::open(&path).map_err(Error::read(&path))?;
        let size = file.metadata().map_err(Error::read(&path))?.len();
        tar.begin_file(&blob_name(digest), FILE_MODE, size).map_err(Error::Output)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            match file.read(&mut buffer[..wanted]).map_err(Error::read(&path))? {
                0 => return Err(Error::Read { path, source: std::io::ErrorKind::UnexpectedEof.into() }),
                got => {
                    tar.out().write_all(&buffer[..got]).map_err(Error::Output)?;
                    left -= got as u64;
                }
            }
        }
        tar.pad(size).map_err(Error::Output)
    }

    /// What the oldest readers want: repository to tag to the id of the top layer.
    fn repositories(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut out: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for part in &self.parts {
            let Some(top) = part.layers.last() else { continue };
            for name in &part.names {
                let tags = out.entry(name.familiar_name()).or_default();
                tags.extend(name.tag().map(|tag| (tag.to_owned(), top.blob.hex())));
            }
        }
        out
    }
}

fn manifest_of(part: &Part) -> Manifest {
    let layers = part.layers.iter();
    let layers =
        layers.map(|layer| Descriptor::new(layer.packing.media_type(), layer.blob, layer.blob_bytes));
    Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        artifact_type: String::new(),
        config: Descriptor::new(OCI_CONFIG, part.id, part.config.len() as u64),
        layers: layers.collect(),
        subject: None,
        annotations: BTreeMap::new(),
    }
}

fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// One for each name, or one without a name.
fn descriptors(part: &Part, manifest: Digest, size: u64) -> Vec<Descriptor> {
    let plain = Descriptor::new(OCI_MANIFEST, manifest, size);
    if part.names.is_empty() {
        return vec![plain];
    }
    let named = |name: &Reference| {
        let mut descriptor = plain.clone();
        descriptor.annotations.insert(NAME_ANNOTATION.to_owned(), name.to_string());
        let tag = name.tag().map(|tag| (TAG_ANNOTATION.to_owned(), tag.to_owned()));
        descriptor.annotations.extend(tag);
        descriptor
    };
    part.names.iter().map(named).collect()
}

fn item(part: &Part) -> ArchiveItem {
    let names = part.names.iter().map(Reference::familiar).collect();
    ArchiveItem {
        config: blob_name(part.id),
        repo_tags: (!part.names.is_empty()).then_some(names),
        layers: part.layers.iter().map(|layer| blob_name(layer.blob)).collect(),
    }
}

fn json(what: &'static str, value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|source| Error::Encode { what, source })
}
