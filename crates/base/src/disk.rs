//! How much room is left on a file system, and what takes it.

use rustix::fs::StatVfs;
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that stay free for the daemon's own state, or a fiftieth of the disk where that is less.
pub const KEEP_FREE_BYTES: u64 = 64 << 20;
const KEEP_FREE_PART: u64 = 50;
/// Room is scarce where there is less than so many times what stays free.
const SCARCE_TIMES: u64 = 4;

/// Room is low where less than this is free, or than this part of the disk.
const LOW_BYTES: u64 = 20 << 30;
const LOW_PART: u64 = 10;

/// The room on one file system, in bytes, for whoever has no special rights (statvfs(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What can still be written.
    pub free: u64,
    /// What there is in all.
    pub total: u64,
}

impl Room {
    /// The room where `path` is.
    ///
    /// # Errors
    /// When there is nothing at `path`, or the file system does not answer.
    pub fn at(path: &Path) -> io::Result<Room> {
        Ok(Room::of(&rustix::fs::statvfs(path)?))
    }

    /// The room that a file system tells of.
    #[must_use]
    pub fn of(disk: &StatVfs) -> Room {
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Room { free: bytes(disk.f_bavail), total: bytes(disk.f_blocks) }
    }

    /// What stays free when archives are unpacked, so that state can still be written.
    #[must_use]
    pub fn kept_free(&self) -> u64 {
        (self.total / KEEP_FREE_PART).min(KEEP_FREE_BYTES)
    }

    /// Whether so little is left that somebody should know: a tenth, or 20 GiB where that is less.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.free < (self.total / LOW_PART).min(LOW_BYTES)
    }

    /// Whether there is so little left that every removal counts.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.free < self.kept_free().saturating_mul(SCARCE_TIMES)
    }
}

/// Bytes in a block as stat(2) counts them.
const BLOCK_BYTES: u64 = 512;

/// Bytes that a file, or a tree with all its directories, takes on its disk, as du(1) counts them: a file with several names
/// counts once, a hole not at all. What vanishes meanwhile takes none.
#[must_use]
pub fn taken_by(path: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        bytes += metadata.blocks() * BLOCK_BYTES;
        if metadata.is_dir() {
            waiting
                .extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_keeps_some_room_and_is_scarce_before_that_is_all_there_is() {
        let small = Room { free: 3 << 20, total: 48 << 20 };
        assert!(small.kept_free() < 1 << 20 && small.is_scarce());
        let large = Room { free: 1 << 30, total: 1 << 40 };
        assert_eq!(large.kept_free(), KEEP_FREE_BYTES);
        assert!(!large.is_scarce() && large.is_low());
        assert!(!Room { free: 5 << 20, total: 48 << 20 }.is_low());
        assert!(Room::at(Path::new("/")).unwrap().total > 0);
    }

    #[test]
    fn a_tree_takes_what_du_says() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("below")).unwrap();
        std::fs::write(at("below/file"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(at("below/file"), at("again")).unwrap();
        std::os::unix::fs::symlink("/usr", at("link")).unwrap();
        std::fs::File::create(at("hole")).unwrap().set_len(1 << 30).unwrap();
        let du = std::process::Command::new("du").args(["-s", "-B1"]).arg(directory.path()).output().unwrap();
        let told: u64 = String::from_utf8(du.stdout).unwrap().split('\t').next().unwrap().parse().unwrap();
        assert_eq!(taken_by(directory.path()), told);
        assert_eq!(taken_by(&at("absent")), 0);
    }
}
