//! What an entry says of a file beside its content: owner, mode, attributes, times.

use super::Trouble;
use crate::tarball::Entry;
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, Mode, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Attributes by which overlayfs steers itself.
const OVERLAY_ATTRIBUTES: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Owner, mode and attributes of what is open. The owner first: changing it takes setuid bits and capabilities away.
pub(super) fn set_looks(file: BorrowedFd<'_>, entry: &Entry) -> Result<(), Trouble> {
    fs::fchown(file, Some(fs::Uid::from_raw(entry.uid)), Some(fs::Gid::from_raw(entry.gid)))?;
    fs::fchmod(file, Mode::from_raw_mode(entry.mode & 0o7777))?;
    for (name, value) in attributes(entry) {
        tolerate(fs::fsetxattr(file, name, value, XattrFlags::empty()), name)?;
    }
    Ok(())
}

/// Owner, attributes and times of what cannot be opened: links, devices and pipes.
pub(super) fn set_looks_by_name(parent: &OwnedFd, name: &[u8], entry: &Entry) -> Result<(), Trouble> {
    let (uid, gid) = (fs::Uid::from_raw(entry.uid), fs::Gid::from_raw(entry.gid));
    fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    for (attribute, value) in attributes(entry) {
        let set = fs::lsetxattr(through(parent, name), attribute, value, XattrFlags::empty());
        tolerate(set, attribute)?;
    }
    Ok(fs::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn attributes(entry: &Entry) -> impl Iterator<Item = (&[u8], &[u8])> {
    let own = |name: &[u8]| OVERLAY_ATTRIBUTES.iter().any(|prefix| name.starts_with(prefix));
    entry
        .xattrs
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
        .filter(move |(name, _)| !own(name))
}

/// Not every file system keeps every attribute, and `user.` ones are for files and directories only.
fn tolerate(set: rustix::io::Result<()>, name: &[u8]) -> Result<(), Trouble> {
    match set {
        Err(Errno::OPNOTSUPP) => Ok(()),
        Err(Errno::PERM) if name.starts_with(b"user.") => Ok(()),
        other => Ok(other?),
    }
}

/// A path for calls that take no directory descriptor.
pub(super) fn through(parent: &OwnedFd, name: &[u8]) -> PathBuf {
    Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(OsStr::from_bytes(name))
}

/// Both times of a file, as an entry tells the one.
pub(super) fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}
