//! How much room is left on the disk, asked while something is written.
//!
//! An archive may be far smaller than what comes out of it. Writing stops while a little room is left, so that the
//! daemon's own state can still be written.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::path::Path;

/// Bytes between two looks at the disk.
const LOOK_EVERY_BYTES: u64 = 4 << 20;

/// Watches the room on one file system.
pub(crate) struct Room {
    directory: OwnedFd,
    unseen_bytes: u64,
}

impl Room {
    pub(crate) fn of(directory: &Path) -> io::Result<Room> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        Ok(Room { directory, unseen_bytes: LOOK_EVERY_BYTES })
    }

    /// Says that `bytes` are about to be written.
    pub(crate) fn take(&mut self, bytes: u64) -> io::Result<()> {
        self.unseen_bytes += bytes;
        if self.unseen_bytes < LOOK_EVERY_BYTES {
            return Ok(());
        }
        self.unseen_bytes = 0;
        let room = base::disk::Room::of(&rustix::fs::fstatvfs(&self.directory)?);
        if room.free < room.kept_free().saturating_add(bytes) {
            Err(rustix::io::Errno::NOSPC.into())
        } else {
            Ok(())
        }
    }
}
