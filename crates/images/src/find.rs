//! Finds images by name and id, lists them, and gives them names.

use crate::config::{HistoryEntry, ImageConfig, ImageFile};
use crate::records::{IMAGES, ImageRecord, LAYERS, LayerRecord, NAMES};
use crate::{Error, Images, Reference, Result};
use base::Time;
use model::{Digest, ImageId};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use store::{Durability, ReadTx, WriteTx};

/// One line of a list of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// Its id.
    pub id: ImageId,
    /// Names with tags, as people write them, sorted.
    pub repo_tags: Vec<String>,
    /// Names with digests, sorted.
    pub repo_digests: Vec<String>,
    /// When it was built.
    pub created: Time,
    /// Bytes of the files of all its layers.
    pub size: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Everything about one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its id: the digest of its configuration.
    pub id: ImageId,
    /// What a container of it runs.
    pub config: ImageConfig,
    /// When it was built; [`Time::NEVER`] if it does not say.
    pub created: Time,
    /// The processor it is for, as Go calls it.
    pub architecture: String,
    /// The processor's variant.
    pub variant: String,
    /// The operating system.
    pub os: String,
    /// Its version.
    pub os_version: String,
    /// Who made it.
    pub author: String,
    /// A comment: its own, or that of the last step of its history.
    pub comment: String,
    /// The program that built it.
    pub docker_version: String,
    /// Its layers by the digests of their plain archives, the bottom one first.
    pub diff_ids: Vec<Digest>,
    /// Bytes of the files of all its layers.
    pub size: u64,
    /// Names with tags, as people write them, sorted.
    pub repo_tags: Vec<String>,
    /// Names with digests, sorted.
    pub repo_digests: Vec<String>,
    /// When it last got a name; [`Time::NEVER`] if it never did.
    pub last_tagged: Time,
    /// The directories of its layers, the top one first.
    pub directories: Vec<PathBuf>,
}

/// One step of how an image came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The image's id for the last step, `<missing>` for the others.
    pub id: String,
    /// When; [`Time::NEVER`] if it is not known.
    pub created: Time,
    /// What was run.
    pub created_by: String,
    /// The names of the image, for the last step.
    pub tags: Vec<String>,
    /// Bytes of the files that it added.
    pub size: u64,
    /// A comment.
    pub comment: String,
}

/// What both kinds of transaction can look up.
pub(crate) trait Look {
    fn image(&self, id: &Digest) -> Result<Option<ImageRecord>>;
    fn images(&self) -> Result<Vec<(Digest, ImageRecord)>>;
    fn name(&self, name: &Reference) -> Result<Option<Digest>>;
    fn names(&self) -> Result<Vec<(Reference, Digest)>>;
}

macro_rules! look {
    ($transaction:ident) => {
        impl Look for $transaction<'_> {
            fn image(&self, id: &Digest) -> Result<Option<ImageRecord>> {
                Ok(self.get(&IMAGES, id)?)
            }
            fn images(&self) -> Result<Vec<(Digest, ImageRecord)>> {
                Ok(self.list(&IMAGES)?)
            }
            fn name(&self, name: &Reference) -> Result<Option<Digest>> {
                Ok(self.get(&NAMES, name)?)
            }
            fn names(&self) -> Result<Vec<(Reference, Digest)>> {
                Ok(self.list(&NAMES)?)
            }
        }
    };
}
look!(ReadTx);
look!(WriteTx);

/// The image that `name` means: a name, a name with a digest, an id, or the beginning of one.
pub(crate) fn find(tx: &impl Look, name: &str) -> Result<(Digest, ImageRecord)> {
    let there = |id: Digest| -> Result<Option<(Digest, ImageRecord)>> {
        Ok(tx.image(&id)?.filter(|record| !record.removed).map(|record| (id, record)))
    };
    if let Some(id) = full_id(name) {
        return there(id)?.ok_or_else(|| Error::NoSuchImage(id.to_string()));
    }
    let parsed = Reference::parse(name).map(Reference::with_default_tag);
    if let Ok(reference) = &parsed
        && let Some(id) = named(tx, reference)?
        && let Some(found) = there(id)?
    {
        return Ok(found);
    }
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    if !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        let images = tx.images()?.into_iter();
        let mut found: Vec<_> =
            images.filter(|(id, record)| !record.removed && id.hex().starts_with(digits)).collect();
        if found.len() > 1 {
            return Err(Error::Ambiguous { prefix: digits.to_owned(), count: found.len() });
        }
        if let Some(found) = found.pop() {
            return Ok(found);
        }
    }
    Err(Error::NoSuchImage(parsed?.familiar()))
}

/// A digest says more than the tag beside it, and an image of the same repository may have it as its id.
fn named(tx: &impl Look, reference: &Reference) -> Result<Option<Digest>> {
    let Some(digest) = reference.digest() else { return tx.name(reference) };
    let names = tx.names()?;
    let same = |name: &Reference| name.same_repository(reference);
    let by_digest = names.iter().find(|(name, _)| same(name) && name.digest() == Some(digest));
    let by_id = || names.iter().find(|(name, id)| same(name) && *id == digest);
    Ok(by_digest.or_else(by_id).map(|(_, id)| *id))
}

fn full_id(name: &str) -> Option<Digest> {
    name.parse().ok().or_else(|| format!("sha256:{name}").parse().ok())
}

/// The names of an image, sorted.
pub(crate) fn names_of(tx: &impl Look, id: Digest) -> Result<Vec<Reference>> {
    let names = tx.names()?.into_iter();
    Ok(names.filter(|(_, owner)| *owner == id).map(|(name, _)| name).collect())
}

fn familiar(names: &[Reference], with_digest: bool) -> Vec<String> {
    let mut out: Vec<String> =
        names.iter().filter(|name| name.digest().is_some() == with_digest).map(Reference::familiar).collect();
    out.sort();
    out
}

impl Images {
    /// All images that were not removed, the newest first.
    ///
    /// # Errors
    /// When the tables or a configuration cannot be read.
    pub fn list(&self) -> Result<Vec<ImageSummary>> {
        let (images, layers, names) = self.store.read(|tx| -> Result<_> {
            let layers: BTreeMap<Digest, LayerRecord> = tx.list(&LAYERS)?.into_iter().collect();
            Ok((tx.images()?, layers, tx.names()?))
        })?;
        let mut list = Vec::new();
        for (id, record) in images.into_iter().filter(|(_, record)| !record.removed) {
            // An image that is removed at this moment is no longer in the list.
            let Ok(file) = self.image_file(id) else { continue };
            let own: Vec<Reference> =
                names.iter().filter(|(_, owner)| *owner == id).map(|(name, _)| name.clone()).collect();
            list.push(ImageSummary {
                id: ImageId(id),
                repo_tags: familiar(&own, false),
                repo_digests: familiar(&own, true),
                created: file.created.unwrap_or(Time::NEVER),
                size: record
                    .layers
                    .iter()
                    .filter_map(|layer| layers.get(layer))
                    .map(|layer| layer.bytes)
                    .sum(),
                labels: file.config.labels,
            });
        }
        list.sort_by(|a, b| b.created.cmp(&a.created).then(a.id.cmp(&b.id)));
        Ok(list)
    }

    /// One image by name, `name:tag`, `name@digest`, id, or the beginning of an id.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::Ambiguous`], [`Error::Reference`].
    pub fn resolve(&self, name: &str) -> Result<Image> {
        let (id, record, names) = self.store.read(|tx| {
            let (id, record) = find(tx, name)?;
            Ok::<_, Error>((id, record, names_of(tx, id)?))
        })?;
        self.image(id, &record, &names)
    }

    /// One image by id, also one that was removed but is still used by a container.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`] when nothing of it is left.
    pub fn get(&self, id: &ImageId) -> Result<Image> {
        let (record, names) = self.store.read(|tx| -> Result<_> {
            let record = tx.image(&id.0)?.ok_or_else(|| Error::NoSuchImage(id.to_string()))?;
            Ok((record, names_of(tx, id.0)?))
        })?;
        self.image(id.0, &record, &names)
    }

    /// The directories of an image's layers for overlayfs, the top one first, each once. A layer that an image has
    /// twice counts where it is on top: there it says everything that it says further down.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`]; [`Error::Damaged`] when a layer is gone.
    pub fn rootfs(&self, id: &ImageId) -> Result<Vec<PathBuf>> {
        let record = self.store.read(|tx| tx.image(&id.0))?;
        let record = record.ok_or_else(|| Error::NoSuchImage(id.to_string()))?;
        let layers = self.layer_records(id.0, &record)?;
        let mut seen = HashSet::new();
        let once = layers.iter().rev().filter(|layer| seen.insert(layer.directory.as_str()));
        Ok(once.map(|layer| self.home.layer(&layer.directory)).collect())
    }

    /// How an image came to be, the last step first.
    ///
    /// # Errors
    /// As [`Images::resolve`].
    pub fn history(&self, name: &str) -> Result<Vec<History>> {
        let (id, record, names) = self.store.read(|tx| {
            let (id, record) = find(tx, name)?;
            Ok::<_, Error>((id, record, names_of(tx, id)?))
        })?;
        let mut sizes = self.layer_records(id, &record)?.into_iter().map(|layer| layer.bytes);
        let mut entries = self.image_file(id)?.history;
        // Whoever made it may have told less than all steps.
        let told = entries.iter().filter(|entry| !entry.empty_layer).count();
        entries.resize(entries.len() + record.layers.len().saturating_sub(told), HistoryEntry::default());
        let mut steps: Vec<History> = entries
            .into_iter()
            .map(|entry| History {
                id: "<missing>".to_owned(),
                created: entry.created.unwrap_or(Time::NEVER),
                created_by: entry.created_by,
                tags: Vec::new(),
                size: if entry.empty_layer { 0 } else { sizes.next().unwrap_or(0) },
                comment: entry.comment,
            })
            .collect();
        steps.reverse();
        if let Some(last) = steps.first_mut() {
            last.id = id.to_string();
            last.tags = familiar(&names, false);
        }
        Ok(steps)
    }

    /// Gives an image one more name, taking it from another image where that has it.
    ///
    /// # Errors
    /// As [`Images::resolve`]; [`Error::TagWithDigest`].
    pub fn tag(&self, source: &str, target: &str) -> Result<ImageId> {
        let target = Reference::parse(target)?.with_default_tag();
        if target.digest().is_some() {
            return Err(Error::TagWithDigest);
        }
        let now = self.clock.now();
        self.store.write(Durability::Synced, |tx| {
            let (id, mut record) = find(tx, source)?;
            record.last_tagged = now;
            tx.put(&IMAGES, &id, &record)?;
            tx.put(&NAMES, &target, &id)?;
            Ok(ImageId(id))
        })
    }

    pub(crate) fn image_file(&self, id: Digest) -> Result<ImageFile> {
        let path = self.home.blob(id);
        let bytes = match std::fs::read(&path) {
            // It was removed after it was found.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoSuchImage(ImageId(id).to_string()));
            }
            other => other.map_err(Error::read(&path))?,
        };
        serde_json::from_slice(&bytes).map_err(|source| Error::Config { id: ImageId(id), source })
    }

    pub(crate) fn layer_records(&self, id: Digest, record: &ImageRecord) -> Result<Vec<LayerRecord>> {
        self.store.read(|tx| {
            let one = |layer: &Digest| {
                tx.get(&LAYERS, layer)?.ok_or(Error::Damaged { id: ImageId(id), layer: *layer })
            };
            record.layers.iter().map(one).collect()
        })
    }

    fn image(&self, id: Digest, record: &ImageRecord, names: &[Reference]) -> Result<Image> {
        Ok(Image {
            diff_ids: record.layers.clone(),
            size: self.layer_records(id, record)?.iter().map(|layer| layer.bytes).sum(),
            repo_tags: familiar(names, false),
            repo_digests: familiar(names, true),
            last_tagged: record.last_tagged,
            directories: self.rootfs(&ImageId(id))?,
            ..Image::told(id, self.image_file(id)?)
        })
    }
}

impl Image {
    /// What its configuration says; nothing of what is here of it.
    pub(crate) fn told(id: Digest, file: ImageFile) -> Image {
        let last = file.history.last().map(|entry| entry.comment.clone()).unwrap_or_default();
        Image {
            id: ImageId(id),
            created: file.created.unwrap_or(Time::NEVER),
            architecture: file.architecture,
            variant: file.variant,
            os: file.os,
            os_version: file.os_version,
            author: file.author,
            comment: if file.comment.is_empty() { last } else { file.comment },
            docker_version: file.docker_version,
            diff_ids: file.rootfs.diff_ids,
            size: 0,
            repo_tags: Vec::new(),
            repo_digests: Vec::new(),
            last_tagged: Time::NEVER,
            directories: Vec::new(),
            config: file.config,
        }
    }
}
