//! A new file system over a directory of the image, filled with what the directory holds: `tmpcopyup`.
//!
//! Nothing is followed and nothing is left out but what no image has (sockets). Everything is opened beneath the two directories.

use super::paths;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::path::Path;

/// As deep as directories are followed: far more than a path may be long.
const DEPTH_MAX: u32 = 2048;

/// Copies what stands at `path` inside `root` into a mount, the directory's own owner and permissions included.
pub(super) fn fill(root: BorrowedFd<'_>, path: &Path, into: BorrowedFd<'_>) -> Result<(), Errno> {
    let from = match paths::find(root, path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        other => other?,
    };
    let into = open_directory(into, c".")?;
    copy_directory(&from, &into, DEPTH_MAX)
}

fn open_directory(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

fn copy_directory(from: &OwnedFd, into: &OwnedFd, depth: u32) -> Result<(), Errno> {
    let depth = depth.checked_sub(1).ok_or(Errno::LOOP)?;
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, into, name, depth)?;
        }
    }
    let stat = rustix::fs::fstat(from)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(into, Some(uid), Some(gid))?;
    rustix::fs::fchmod(into, Mode::from_raw_mode(stat.st_mode & 0o7777))
}

fn copy_entry(from: &OwnedFd, into: &OwnedFd, name: &CStr, depth: u32) -> Result<(), Errno> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    let kind = FileType::from_raw_mode(stat.st_mode);
    match kind {
        FileType::Directory => {
            rustix::fs::mkdirat(into, name, Mode::RWXU)?;
            return copy_directory(
                &open_directory(from.as_fd(), name)?,
                &open_directory(into.as_fd(), name)?,
                depth,
            );
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut source = File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut target = File::from(rustix::fs::openat(into, name, flags, Mode::RUSR | Mode::WUSR)?);
            std::io::copy(&mut source, &mut target)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        }
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(link.as_c_str(), into, name)?;
        }
        FileType::Socket | FileType::Unknown => return Ok(()),
        _ => rustix::fs::mknodat(into, name, kind, mode, stat.st_rdev)?,
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(into, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if kind == FileType::Symlink {
        return Ok(());
    }
    rustix::fs::chmodat(into, name, mode, AtFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_directory_is_copied_with_its_links_and_permissions() {
        let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let old = from.path().join("var");
        std::fs::create_dir_all(old.join("deep/er")).unwrap();
        std::fs::write(old.join("deep/file"), "text").unwrap();
        std::fs::set_permissions(old.join("deep/file"), PermissionsExt::from_mode(0o4750)).unwrap();
        symlink("/nowhere", old.join("link")).unwrap();
        let open = |path: &Path| {
            rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
        };
        fill(open(from.path()).as_fd(), Path::new("/var"), open(into.path()).as_fd()).unwrap();
        let new = into.path();
        assert_eq!(std::fs::read(new.join("deep/file")).unwrap(), b"text");
        assert_eq!(std::fs::metadata(new.join("deep/file")).unwrap().permissions().mode() & 0o7777, 0o4750);
        assert_eq!(std::fs::read_link(new.join("link")).unwrap(), Path::new("/nowhere"));
        assert!(new.join("deep/er").is_dir());
    }

    #[test]
    fn nothing_to_copy_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let open = rustix::fs::open(directory.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        fill(open.as_fd(), Path::new("/absent"), open.as_fd()).unwrap();
    }
}
