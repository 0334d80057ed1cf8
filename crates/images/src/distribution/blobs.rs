//! Blobs of repositories: found, mounted, taken away.

use super::Registry;
use super::digest::ContentDigest;
use super::names::Repository;
use super::records::{
    Held, LINKS, LinkRecord, PARTS, REPOSITORIES, RepositoryRecord, held_anywhere, users_of,
};
use super::refusal::Refusal;
use crate::records::LAYERS;
use crate::{Error, Result};
use std::fs::File;
use store::{Durability, WriteTx};

/// A blob that may be read.
pub(crate) struct Blob {
    pub(crate) file: File,
    pub(crate) bytes: u64,
}

/// Where a blob may be mounted from.
pub(crate) struct Source<'s> {
    /// This repository only; otherwise whoever has it.
    pub(crate) from: Option<&'s Repository>,
    /// Only from repositories that this allows.
    pub(crate) readable: &'s dyn Fn(&Repository) -> bool,
    /// From images of the node too, where no repository is named.
    pub(crate) images: bool,
}

impl Source<'_> {
    fn has(&self, repository: &Repository) -> bool {
        self.from.is_none_or(|from| from == repository) && (self.readable)(repository)
    }
}

/// The bytes of a layer of an image, as it came.
fn of_an_image(tx: &WriteTx<'_>, digest: &ContentDigest) -> Result<Option<u64>> {
    let Some(digest) = digest.sha256() else { return Ok(None) };
    let layers = tx.list(&LAYERS)?;
    Ok(layers.into_iter().find(|(_, layer)| layer.blob == digest).map(|(_, layer)| layer.blob_bytes))
}

/// Records that a repository has a blob.
pub(crate) fn link(tx: &mut WriteTx<'_>, held: &Held, bytes: u64) -> Result<()> {
    tx.put(&LINKS, held, &LinkRecord { bytes })?;
    tx.put(&REPOSITORIES, &held.repository, &RepositoryRecord {})?;
    Ok(())
}

impl Registry {
    /// Opens a blob. Whoever asks may count on it for a while.
    ///
    /// # Errors
    /// [`Refusal::UnknownBlob`] when the repository does not have it.
    pub(crate) fn blob(&self, repository: &Repository, digest: ContentDigest) -> Result<Blob, Refusal> {
        let held = Held { digest, repository: repository.clone() };
        let unknown = || Refusal::UnknownBlob { repository: repository.clone(), digest };
        self.announced.announce(held.clone(), self.clock.instant());
        let found = self.images.store.read(|tx| tx.get(&LINKS, &held).map_err(Error::from))?;
        let record = found.ok_or_else(unknown)?;
        let path = self.images.home.content(&digest);
        match File::open(&path) {
            Ok(file) => Ok(Blob { file, bytes: record.bytes }),
            // It was deleted between the table and the file.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let still = self.images.store.read(|tx| tx.get(&LINKS, &held).map_err(Error::from))?;
                Err(if still.is_none() { unknown() } else { Error::read(&path)(error).into() })
            }
            Err(error) => Err(Error::read(&path)(error).into()),
        }
    }

    /// Gives a repository a blob that is here already. Whether it could.
    ///
    /// # Errors
    /// When the tables cannot be changed.
    pub(crate) fn mount(
        &self,
        repository: &Repository,
        digest: ContentDigest,
        source: &Source<'_>,
    ) -> Result<bool, Refusal> {
        let held = Held { digest, repository: repository.clone() };
        self.announced.announce(held.clone(), self.clock.instant());
        let mounted = self.images.store.write(Durability::Synced, |tx| {
            let holders = tx.list_under(&LINKS, &held_anywhere(&digest))?;
            let found = holders.into_iter().find(|(holder, _)| source.has(&holder.repository));
            let bytes = match found {
                Some((_, record)) => record.bytes,
                None if source.images && source.from.is_none() => match of_an_image(tx, &digest)? {
                    Some(bytes) => bytes,
                    None => return Ok(false),
                },
                None => return Ok(false),
            };
            link(tx, &held, bytes)?;
            Ok::<_, Error>(true)
        })?;
        Ok(mounted)
    }

    /// Takes a blob from a repository; its bytes go with the last one that has it.
    ///
    /// # Errors
    /// [`Refusal::UnknownBlob`] when the repository does not have it, [`Refusal::BlobInUse`] when a manifest needs it.
    pub(crate) fn delete_blob(&self, repository: &Repository, digest: ContentDigest) -> Result<(), Refusal> {
        let held = Held { digest, repository: repository.clone() };
        self.images.store.write(Durability::Synced, |tx| {
            if tx.get(&LINKS, &held)?.is_none() {
                return Err(Refusal::UnknownBlob { repository: repository.clone(), digest });
            }
            if let Some((user, _)) = tx.list_under(&PARTS, &users_of(&held))?.first() {
                return Err(Refusal::BlobInUse { digest, manifest: Box::new(user.manifest) });
            }
            tx.remove(&LINKS, &held);
            Ok(())
        })?;
        self.release([digest])
    }

    /// Deletes the bytes of content that no table knows any more.
    pub(crate) fn release(&self, content: impl IntoIterator<Item = ContentDigest>) -> Result<(), Refusal> {
        let stage = self.images.home.stage()?;
        for digest in content {
            let pins = self.images.lock_pins();
            self.images.discard_content(&stage, &pins, digest)?;
        }
        Ok(())
    }
}
