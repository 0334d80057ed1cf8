//! Manifests of repositories and their tags: pushed, pulled, taken away.

use super::Registry;
use super::digest::{ContentDigest, ContentHasher};
use super::names::{Repository, Tag, Target};
use super::records::{
    CACHED, CachedRecord, Held, LINKS, MANIFESTS, ManifestRecord, PARTS, PartKey, PartRecord, REFERRERS,
    REPOSITORIES, ReferrerKey, ReferrerRecord, RepositoryRecord, TAGS, TagKey, tags_of,
};
use super::refusal::Refusal;
use crate::Error;
use crate::manifest::{ACCEPTED, Descriptor, Document};
use crate::place::write_synced;
use std::collections::BTreeSet;
use store::{Durability, WriteTx};

/// Types that say no more than that something is some content, or JSON.
const NO_TYPE: [&str; 4] = ["", "application/json", "application/octet-stream", "text/plain"];
/// What the types of layers hold that are not to be distributed (OCI `layer.md`, Docker's schema 2).
const NOT_DISTRIBUTED: [&str; 2] = [".nondistributable.", ".foreign."];

/// A manifest that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) digest: ContentDigest,
    pub(crate) media_type: String,
    pub(crate) bytes: u64,
}

/// A manifest that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) digest: ContentDigest,
    /// What it says something of.
    pub(crate) subject: Option<ContentDigest>,
}

/// A manifest as it came, understood.
struct Came {
    held: Held,
    record: ManifestRecord,
    /// Whether its parts are manifests.
    is_index: bool,
}

impl Registry {
    /// Keeps a manifest and sets tags to it.
    ///
    /// # Errors
    /// When it is none, its digest is another one, or its repository lacks a part of it.
    pub(crate) fn put_manifest(
        &self,
        repository: &Repository,
        target: &Target,
        tags: &[Tag],
        came_as: &str,
        bytes: &[u8],
    ) -> Result<Pushed, Refusal> {
        let came = understand(repository, target, came_as, bytes)?;
        let digest = came.held.digest;
        let stage = self.images.home.stage()?;
        let half = stage.path();
        write_synced(&half, bytes).map_err(Error::write(&half))?;
        let named = if let Target::Tag(tag) = target { Some(tag) } else { None };
        self.keep(digest, &half, |tx| {
            came.require_parts(tx)?;
            came.record(tx)?;
            for tag in tags.iter().chain(named) {
                let key = TagKey { repository: repository.clone(), tag: tag.clone() };
                tx.put(&TAGS, &key, &digest)?;
            }
            Ok(())
        })?;
        Ok(Pushed { digest, subject: came.record.subject })
    }

    /// Keeps a manifest of another registry in a repository that is a copy, whatever is here of its parts.
    ///
    /// # Errors
    /// When it is none, or its digest is another one.
    pub(crate) fn keep_copy(
        &self,
        repository: &Repository,
        target: &Target,
        came_as: &str,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let came = understand(repository, target, came_as, bytes)?;
        let (digest, used) = (came.held.digest, self.clock.now());
        let stage = self.images.home.stage()?;
        let half = stage.path();
        write_synced(&half, bytes).map_err(Error::write(&half))?;
        self.keep(digest, &half, |tx| {
            came.record(tx)?;
            tx.put(&CACHED, &came.held, &CachedRecord { used })?;
            if let Target::Tag(tag) = target {
                let key = TagKey { repository: repository.clone(), tag: tag.clone() };
                tx.put(&TAGS, &key, &digest)?;
            }
            Ok(())
        })
    }

    /// Finds a manifest.
    ///
    /// # Errors
    /// [`Refusal::UnknownManifest`] when the repository does not have it.
    pub(crate) fn find_manifest(&self, repository: &Repository, target: &Target) -> Result<Found, Refusal> {
        self.images.store.read(|tx| {
            let unknown =
                || Refusal::UnknownManifest { repository: repository.clone(), target: target.clone() };
            let digest = match target {
                Target::Digest(digest) => *digest,
                Target::Tag(tag) => {
                    let key = TagKey { repository: repository.clone(), tag: tag.clone() };
                    tx.get(&TAGS, &key)?.ok_or_else(unknown)?
                }
            };
            let held = Held { digest, repository: repository.clone() };
            let record = tx.get(&MANIFESTS, &held)?.ok_or_else(unknown)?;
            Ok(Found { digest, media_type: record.media_type, bytes: record.bytes })
        })
    }

    /// A manifest with its bytes.
    ///
    /// # Errors
    /// As [`Registry::find_manifest`], or when the disk fails.
    pub(crate) fn manifest(
        &self,
        repository: &Repository,
        target: &Target,
    ) -> Result<(Found, Vec<u8>), Refusal> {
        let found = self.find_manifest(repository, target)?;
        let path = self.images.home.content(&found.digest);
        match base::file::read_if_there(&path).map_err(Error::read(&path))? {
            Some(bytes) => Ok((found, bytes)),
            // Deleted between the table and the file, which the table then tells.
            None => {
                self.find_manifest(repository, target)?;
                Err(Error::read(&path)(std::io::ErrorKind::NotFound.into()).into())
            }
        }
    }

    /// Takes a tag away, or a manifest with all its tags.
    ///
    /// # Errors
    /// [`Refusal::UnknownManifest`] when the repository does not have it.
    pub(crate) fn delete_manifest(&self, repository: &Repository, target: &Target) -> Result<(), Refusal> {
        let unknown = || Refusal::UnknownManifest { repository: repository.clone(), target: target.clone() };
        let gone = self.images.store.write(Durability::Synced, |tx| match target {
            Target::Tag(tag) => {
                let key = TagKey { repository: repository.clone(), tag: tag.clone() };
                tx.get(&TAGS, &key)?.ok_or_else(unknown)?;
                tx.remove(&TAGS, &key);
                Ok::<_, Refusal>(None)
            }
            Target::Digest(digest) => {
                let held = Held { digest: *digest, repository: repository.clone() };
                let record = tx.get(&MANIFESTS, &held)?.ok_or_else(unknown)?;
                forget(tx, &held, &record)?;
                Ok(Some(*digest))
            }
        })?;
        match gone {
            Some(digest) => self.release([digest]),
            None => Ok(()),
        }
    }
}

/// Reads a manifest and checks its name.
fn understand(
    repository: &Repository,
    target: &Target,
    came_as: &str,
    bytes: &[u8],
) -> Result<Came, Refusal> {
    let document = Document::<ContentDigest>::read(bytes, came_as).map_err(Refusal::Manifest)?;
    let outside = came_as.split(';').next().unwrap_or_default().trim();
    let media_type = match outside {
        told if ACCEPTED.contains(&told) => told,
        none if NO_TYPE.contains(&none) => document.media_type(),
        other => {
            return Err(Refusal::ManifestType { came: other.to_owned(), taken: ACCEPTED.join(", ") });
        }
    };
    let mut hasher = match target {
        Target::Digest(digest) => ContentHasher::new(digest.algorithm()),
        Target::Tag(_) => ContentHasher::new(super::digest::Algorithm::Sha256),
    };
    hasher.update(bytes);
    let digest = hasher.finish();
    match target {
        Target::Digest(wanted) if *wanted != digest => {
            return Err(Refusal::OtherDigest { wanted: *wanted, found: Box::new(digest) });
        }
        _ => {}
    }
    let needs: BTreeSet<ContentDigest> =
        document.descriptors().filter(|part| is_distributed(part)).map(|part| part.digest).collect();
    let record = ManifestRecord {
        media_type: media_type.to_owned(),
        bytes: bytes.len() as u64,
        subject: document.subject().map(|subject| subject.digest),
        needs: needs.into_iter().collect(),
    };
    let held = Held { digest, repository: repository.clone() };
    Ok(Came { held, record, is_index: matches!(document, Document::Index(_)) })
}

/// Whether a part comes from this registry and not from elsewhere.
fn is_distributed(part: &Descriptor<ContentDigest>) -> bool {
    part.urls.is_empty() && !NOT_DISTRIBUTED.iter().any(|word| part.media_type.contains(word))
}

impl Came {
    /// Each part must be here: what refers to something missing could never be pulled.
    fn require_parts(&self, tx: &WriteTx<'_>) -> Result<(), Refusal> {
        for part in &self.record.needs {
            let held = Held { digest: *part, repository: self.held.repository.clone() };
            let here = match self.is_index {
                true => tx.get(&MANIFESTS, &held)?.is_some(),
                false => tx.get(&LINKS, &held)?.is_some(),
            };
            if !here {
                return Err(Refusal::MissingPart { repository: held.repository, missing: *part });
            }
        }
        Ok(())
    }

    fn record(&self, tx: &mut WriteTx<'_>) -> Result<(), Refusal> {
        tx.put(&MANIFESTS, &self.held, &self.record)?;
        tx.put(&REPOSITORIES, &self.held.repository, &RepositoryRecord {})?;
        for key in part_keys(&self.held, &self.record) {
            tx.put(&PARTS, &key, &PartRecord {})?;
        }
        if let Some(key) = referrer_key(&self.held, &self.record) {
            tx.put(&REFERRERS, &key, &ReferrerRecord {})?;
        }
        Ok(())
    }
}

/// Takes a manifest out of all tables.
fn forget(tx: &mut WriteTx<'_>, held: &Held, record: &ManifestRecord) -> Result<(), Refusal> {
    tx.remove(&MANIFESTS, held);
    for key in part_keys(held, record) {
        tx.remove(&PARTS, &key);
    }
    if let Some(key) = referrer_key(held, record) {
        tx.remove(&REFERRERS, &key);
    }
    for (key, digest) in tx.list_under(&TAGS, &tags_of(&held.repository))? {
        if digest == held.digest {
            tx.remove(&TAGS, &key);
        }
    }
    Ok(())
}

fn part_keys<'r>(held: &'r Held, record: &'r ManifestRecord) -> impl Iterator<Item = PartKey> + 'r {
    record.needs.iter().map(|digest| PartKey {
        part: Held { digest: *digest, repository: held.repository.clone() },
        manifest: held.digest,
    })
}

fn referrer_key(held: &Held, record: &ManifestRecord) -> Option<ReferrerKey> {
    let subject = record.subject?;
    Some(ReferrerKey { repository: held.repository.clone(), subject, digest: held.digest })
}
