//! Where things are on the disk, and what is half-made.
//!
//! ```text
//!  blobs/sha256/<digest>   configurations, layers as they came, and what registries were pushed
//!  blobs/sha512/<digest>   what registries were pushed under such a name
//!  uploads/<id>/           blobs that are being pushed
//!  layers/<name>/          layers unpacked, for overlayfs
//!  unfinished/<digest>     beginnings of layers (see `unfinished`)
//!  tmp/<name>/             what one operation is making, or what is being deleted
//! ```
//!
//! Everything is made in `tmp` and renamed to its place; the tables are told last. Whatever stands in its place but in
//! no table was left by a crash.

use crate::distribution::ContentDigest;
use crate::records::Packing;
use crate::{Error, Result};
use model::Digest;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The directories of the image store.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    blobs: PathBuf,
    blobs_512: PathBuf,
    uploads: PathBuf,
    layers: PathBuf,
    tmp: PathBuf,
}

impl Home {
    /// Makes the directories, and empties the one of half-made things.
    pub(crate) fn open(root: &Path) -> Result<Home> {
        let home = Home {
            blobs: root.join("blobs/sha256"),
            blobs_512: root.join("blobs/sha512"),
            uploads: root.join("uploads"),
            layers: root.join("layers"),
            tmp: root.join("tmp"),
        };
        base::file::remove_all(&home.tmp).map_err(Error::remove(&home.tmp))?;
        for directory in [&home.blobs, &home.blobs_512, &home.uploads, &home.layers, &home.tmp] {
            fs::create_dir_all(directory).map_err(Error::write(directory))?;
        }
        Ok(home)
    }

    pub(crate) fn blob(&self, digest: Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Where some content is, whatever its name's algorithm.
    pub(crate) fn content(&self, digest: &ContentDigest) -> PathBuf {
        match digest {
            ContentDigest::Sha256(digest) => self.blob(*digest),
            ContentDigest::Sha512(_) => self.blobs_512.join(digest.hex()),
        }
    }

    /// Where blobs are that are being pushed.
    pub(crate) fn uploads(&self) -> &Path {
        &self.uploads
    }

    pub(crate) fn layer(&self, name: &str) -> PathBuf {
        self.layers.join(name)
    }

    /// A directory for one operation; it is gone with the value.
    pub(crate) fn stage(&self) -> Result<Stage> {
        let directory = self.tmp.join(fresh_name());
        fs::create_dir(&directory).map_err(Error::write(&directory))?;
        Ok(Stage { directory, next: AtomicU32::new(0) })
    }

    /// Makes the names of what took its place last beyond the loss of power.
    pub(crate) fn sync_places(&self) -> Result<()> {
        [&self.blobs, &self.layers].into_iter().try_for_each(|directory| sync_directory(directory))
    }

    /// Makes the name of some content that took its place last beyond the loss of power.
    pub(crate) fn sync_content(&self, digest: &ContentDigest) -> Result<()> {
        let directory = match digest {
            ContentDigest::Sha256(_) => &self.blobs,
            ContentDigest::Sha512(_) => &self.blobs_512,
        };
        sync_directory(directory)
    }

    /// Removes blobs and layers that no table knows.
    pub(crate) fn remove_unknown(
        &self,
        blobs: &HashSet<ContentDigest>,
        layers: &HashSet<String>,
    ) -> Result<()> {
        let is_content = |algorithm: &str, name: &str| {
            format!("{algorithm}:{name}").parse().is_ok_and(|blob| blobs.contains(&blob))
        };
        remove_unknown_in(&self.blobs, |name| is_content("sha256", name))?;
        remove_unknown_in(&self.blobs_512, |name| is_content("sha512", name))?;
        remove_unknown_in(&self.layers, |name| layers.contains(name))
    }
}

fn remove_unknown_in(directory: &Path, is_known: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(directory).map_err(Error::read(directory))? {
        let entry = entry.map_err(Error::read(directory))?;
        if !entry.file_name().to_str().is_some_and(&is_known) {
            let path = entry.path();
            base::file::remove_all(&path).map_err(Error::remove(&path))?;
        }
    }
    Ok(())
}

/// Makes the names in a directory last beyond the loss of power.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    let synced = fs::File::open(directory).and_then(|opened| opened.sync_all());
    synced.map_err(Error::write(directory))
}

/// A name for a directory of a layer or an operation, short so that many fit into a mount's options.
pub(crate) fn fresh_name() -> String {
    format!("{:011x}", base::random::number() >> 20)
}

/// What one operation makes before it takes its place.
pub(crate) struct Stage {
    directory: PathBuf,
    next: AtomicU32,
}

impl Stage {
    /// A path that nothing has yet.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Moves something out of its place, to be deleted with this value. What is not there is no error.
    pub(crate) fn discard(&self, path: &Path) -> Result<()> {
        match fs::rename(path, self.path()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(Error::remove(path)),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What cannot be deleted now is deleted when the store is next opened.
        if let Err(error) = base::file::remove_all(&self.directory) {
            tracing::warn!(path = %self.directory.display(), %error, "a temporary directory is left");
        }
    }
}

/// A layer that is whole, but not in its place yet.
#[derive(Clone, Debug)]
pub(crate) struct StagedLayer {
    pub(crate) diff_id: Digest,
    pub(crate) blob: Digest,
    pub(crate) blob_bytes: u64,
    pub(crate) packing: Packing,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    pub(crate) blob_path: PathBuf,
    pub(crate) directory: PathBuf,
}
