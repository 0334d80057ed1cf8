//! The beginnings of large layers whose pull came to no end: the next one that wants such a layer goes on from there.
//!
//! ```text
//!  claim -> a file that grows -> whole            -> moved to its place
//!             ^               -> cancelled, wrong -> gone
//!             |               -> the registry failed, the daemon was killed -> stays --(a day, 8 GiB, a disk that gets full)--> gone
//!             +----------------------- the next claim ------------------------/
//! ```
//!
//! A file has the name of the digest that the whole should have, and its length says from where the rest is asked for: no table
//! knows it. Nobody believes what is in it: the whole is hashed from its first byte before it is used.

use crate::{Error, Images, Result};
use base::Time;
use base::disk::{Room, taken_by};
use model::Digest;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a beginning stays to which nothing comes any more.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of all beginnings together; the oldest go first.
const BYTES_MAX: u64 = 8 << 30;

/// The beginnings of layers.
pub(crate) struct Unfinished {
    directory: PathBuf,
    /// Those that somebody adds to.
    claimed: Mutex<HashSet<Digest>>,
}

/// One that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    digest: Digest,
    bytes: u64,
    written: Time,
}

/// Which of those go that nobody adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// The old ones, and what is too much; all of them where the disk gets full.
    Surplus,
    /// All.
    All,
}

impl Unfinished {
    pub(crate) fn open(root: &Path) -> Result<Unfinished> {
        let directory = root.join("unfinished");
        fs::create_dir_all(&directory).map_err(Error::write(&directory))?;
        Ok(Unfinished { directory, claimed: Mutex::default() })
    }

    fn claimed(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(digest.hex())
    }

    /// Claims the beginning of a layer of `bytes`, whether there is one or not; `None` where somebody else has it.
    pub(crate) fn claim(&self, digest: Digest, bytes: u64) -> Result<Option<Claim<'_>>> {
        let mut claimed = self.claimed();
        if !claimed.insert(digest) {
            return Ok(None);
        }
        let path = self.path(digest);
        let there = match path.symlink_metadata() {
            Ok(file) if file.is_file() && file.len() <= bytes => file.len(),
            _ => 0,
        };
        // From here on it is given back with the value.
        let claim = Claim { of: self, digest, path, there, is_kept: false };
        drop(claimed);
        if there == 0 {
            base::file::remove_all(&claim.path).map_err(Error::remove(&claim.path))?;
        }
        Ok(Some(claim))
    }

    /// Bytes that they take on the disk, with their directory.
    pub(crate) fn taken(&self) -> u64 {
        taken_by(&self.directory)
    }

    /// Removes some, and whatever else lies there.
    pub(crate) fn forget(&self, which: Forget, now: Time) -> Result<()> {
        let claimed = self.claimed();
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(Error::read(&self.directory))? {
            let entry = entry.map_err(Error::read(&self.directory))?;
            let name = format!("sha256:{}", entry.file_name().display());
            match (name.parse::<Digest>(), entry.metadata()) {
                (Ok(digest), Ok(file)) if file.is_file() => {
                    let written = Time::from_unix_seconds(file.mtime());
                    found.push(Found { digest, bytes: file.blocks() * 512, written });
                }
                _ => base::file::remove_all(&entry.path()).map_err(Error::remove(&entry.path()))?,
            }
        }
        found.retain(|one| !claimed.contains(&one.digest));
        let is_full = Room::at(&self.directory).is_ok_and(|room| room.is_low());
        let which = if is_full { Forget::All } else { which };
        for digest in going(found, which, now) {
            let path = self.path(digest);
            base::file::remove_all(&path).map_err(Error::remove(&path))?;
            tracing::info!(layer = %digest, "the beginning of a layer is forgotten");
        }
        drop(claimed);
        Ok(())
    }
}

/// Those that go.
fn going(mut found: Vec<Found>, which: Forget, now: Time) -> Vec<Digest> {
    found.sort_by_key(|one| std::cmp::Reverse(one.written));
    let mut bytes: u64 = 0;
    found.retain(|one| {
        bytes = bytes.saturating_add(one.bytes);
        which == Forget::All || bytes > BYTES_MAX || now.since(one.written) >= KEPT
    });
    found.into_iter().map(|one| one.digest).collect()
}

/// The beginning of one layer, while somebody adds to it. It is gone with the value, unless it is kept.
pub(crate) struct Claim<'u> {
    of: &'u Unfinished,
    digest: Digest,
    path: PathBuf,
    there: u64,
    is_kept: bool,
}

impl Claim<'_> {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that were there when it was claimed.
    pub(crate) fn there(&self) -> u64 {
        self.there
    }

    /// Leaves it for the next one.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut claimed = self.of.claimed();
        if !self.is_kept {
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %self.path.display(), %error, "the beginning of a layer is left");
                }
                _ => {}
            }
        }
        claimed.remove(&self.digest);
    }
}

impl Images {
    /// Removes beginnings of layers that pulls left which failed, or whose daemon was killed.
    ///
    /// # Errors
    /// When they cannot be listed or removed.
    pub fn forget_unfinished(&self, which: Forget) -> Result<()> {
        self.unfinished.forget(which, self.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::digest_of;

    fn found(number: u8, bytes: u64, written: i64) -> Found {
        Found { digest: digest_of(&[number]), bytes, written: Time::from_unix_seconds(written) }
    }

    fn gone(found: &[Found], which: Forget) -> Vec<Digest> {
        going(found.to_vec(), which, Time::from_unix_seconds(1_000_000))
    }

    #[test]
    fn what_is_old_goes_and_what_is_too_much_the_oldest_first() {
        let few =
            [found(1, 1 << 30, 1_000_000 - 86_399), found(2, 1, 1_000_000 - 86_400), found(3, 1, 2_000_000)];
        assert_eq!(gone(&few, Forget::Surplus), [digest_of(&[2])]);
        let many = [found(1, 5 << 30, 999_998), found(2, 3 << 30, 999_999), found(3, 1, 999_990)];
        assert_eq!(gone(&many, Forget::Surplus), [digest_of(&[3])]);
        assert_eq!(gone(&many, Forget::All).len(), 3);
    }

    #[test]
    fn what_is_claimed_stays_and_what_is_kept_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        let unfinished = Unfinished::open(root.path()).unwrap();
        let (one, now) = (digest_of(b"1"), Time::from_unix_seconds(i64::from(u32::MAX)));
        let claim = unfinished.claim(one, 10).unwrap().unwrap();
        assert!(claim.there() == 0 && unfinished.claim(one, 10).unwrap().is_none());
        fs::write(claim.path(), b"begin").unwrap();
        unfinished.forget(Forget::All, now).unwrap();
        claim.keep();
        let claim = unfinished.claim(one, 10).unwrap().unwrap();
        assert_eq!(claim.there(), 5);
        drop(claim);
        assert!(!unfinished.path(one).exists());
        fs::write(unfinished.path(one), b"longer than the layer").unwrap();
        let claim = unfinished.claim(one, 10).unwrap().unwrap();
        assert!(claim.there() == 0 && !claim.path().exists());
        fs::write(claim.path(), b"begin").unwrap();
        claim.keep();
        fs::write(root.path().join("unfinished/other"), b"").unwrap();
        unfinished.forget(Forget::Surplus, now).unwrap();
        assert_eq!(fs::read_dir(root.path().join("unfinished")).unwrap().count(), 0);
    }
}
