//! What a writable layer of overlayfs changed: against what lies below, path by path.

use crate::pack::{is_opaque, is_whiteout, names};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directories within one another.
const DEPTH_MAX: usize = 256;

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It was there and is another.
    Changed,
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
}

/// Everything that differs, in the order of the paths, each absolute. `below` is what the layers underneath show together. A
/// directory counts as changed where something in it differs.
///
/// # Errors
/// Where a directory cannot be read.
pub fn compare(upper: BorrowedFd<'_>, below: BorrowedFd<'_>) -> io::Result<Vec<(Difference, PathBuf)>> {
    let mut found = Vec::new();
    directory(upper, Some(below), Path::new("/"), &mut found, 0)?;
    found.sort_by(|(_, one), (_, other)| one.cmp(other));
    Ok(found)
}

fn directory(
    upper: BorrowedFd<'_>,
    below: Option<BorrowedFd<'_>>,
    path: &Path,
    found: &mut Vec<(Difference, PathBuf)>,
    depth: usize,
) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other(format!("more than {DEPTH_MAX} directories within one another")));
    }
    let look = |at: BorrowedFd<'_>, name: &std::ffi::CStr| -> io::Result<Option<Stat>> {
        match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            other => Ok(Some(other?)),
        }
    };
    for name in names(upper)? {
        let Some(now) = look(upper, &name)? else { continue };
        let before = below.map(|below| look(below, &name)).transpose()?.flatten();
        let path = path.join(OsStr::from_bytes(name.to_bytes()));
        if is_whiteout(&now) {
            if before.is_some() {
                found.push((Difference::Removed, path));
            }
            continue;
        }
        let place = found.len();
        found.push((if before.is_some() { Difference::Changed } else { Difference::Added }, path.clone()));
        if !is_directory(&now) {
            continue;
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = rustix::fs::openat(upper, &name, flags, Mode::empty())?;
        let same_kind = before.as_ref().filter(|before| is_directory(before));
        let underneath = match (below, same_kind) {
            (Some(below), Some(_)) => Some(rustix::fs::openat(below, &name, flags, Mode::empty())?),
            _ => None,
        };
        let hides = is_opaque(inner.as_fd());
        directory(inner.as_fd(), underneath.as_ref().map(AsFd::as_fd), &path, found, depth + 1)?;
        if let Some(underneath) = underneath.as_ref().filter(|_| hides) {
            hidden(inner.as_fd(), underneath.as_fd(), &path, found)?;
        }
        // Copied up only because something in it was opened for writing.
        if found.len() == place + 1 && same_kind.is_some_and(|before| looks_alike(before, &now)) {
            found.pop();
        }
    }
    Ok(())
}

/// What a directory that hides all below it has taken away.
fn hidden(
    inner: BorrowedFd<'_>,
    underneath: BorrowedFd<'_>,
    path: &Path,
    found: &mut Vec<(Difference, PathBuf)>,
) -> io::Result<()> {
    for name in names(underneath)? {
        if matches!(rustix::fs::statat(inner, &name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT)) {
            found.push((Difference::Removed, path.join(OsStr::from_bytes(name.to_bytes()))));
        }
    }
    Ok(())
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn looks_alike(before: &Stat, now: &Stat) -> bool {
    let looks = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec);
    looks(before) == looks(now)
}
