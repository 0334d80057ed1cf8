//! Paths inside the container's root, resolved so that no link leads out of it, openat2(2).
//!
//! Everything is resolved to a descriptor, and what is done is done to that descriptor. A component that is missing is
//! made where it is asked for, a dangling link's target included: images have `/etc/resolv.conf` pointing
//! into an empty `/run`.

use super::environment::{During, Problem, error_text};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// As many links as the kernel follows in one path.
const LINKS_MAX: u32 = 40;
/// How often a resolution is repeated that a rename elsewhere has disturbed.
const DISTURBED_MAX: u32 = 128;

/// What is made where nothing is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// A directory.
    Directory,
    /// An empty file.
    File,
}

/// The object at `path` inside `root`, links followed inside it, `proc`'s magic links never.
pub(crate) fn find(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..DISTURBED_MAX {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// The object at `path`, made if it is missing.
pub(super) fn find_or_make(root: BorrowedFd<'_>, path: &Path, missing: Missing) -> Result<OwnedFd, Problem> {
    make(root, path, missing, LINKS_MAX)
}

fn make(root: BorrowedFd<'_>, path: &Path, missing: Missing, links_left: u32) -> Result<OwnedFd, Problem> {
    match find(root, path, OFlags::PATH) {
        Err(Errno::NOENT) if links_left > 0 => {}
        Err(Errno::NOENT) => {
            return Err(Problem::new(format!("{}: {}", path.display(), error_text(Errno::LOOP))));
        }
        other => return other.during(path.display()),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Problem::new(format!("{}: {}", path.display(), error_text(Errno::NOENT))));
    };
    let directory = make(root, parent, Missing::Directory, links_left)?;
    let made = match missing {
        Missing::Directory => rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o755)),
        Missing::File => rustix::fs::openat(
            &directory,
            name,
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o644),
        )
        .map(drop),
    };
    match made {
        Ok(()) => make(root, path, missing, links_left - 1),
        Err(Errno::EXIST) => {
            // Something is there and yet the path leads nowhere: a dangling link, or another process was faster.
            match rustix::fs::readlinkat(directory.as_fd(), name, Vec::new()) {
                Ok(link) => {
                    let link = Path::new(std::ffi::OsStr::from_bytes(link.as_bytes())).to_owned();
                    make(root, &beside(parent, &link), missing, links_left - 1)
                }
                Err(_) => make(root, path, missing, links_left - 1),
            }
        }
        Err(error) => Err(Problem::new(format!("make {}: {}", path.display(), error_text(error)))),
    }
}

/// Where a link in `parent` points to.
fn beside(parent: &Path, link: &Path) -> PathBuf {
    parent.join(link)
}

/// Whether a descriptor holds a directory.
pub(super) fn is_directory(descriptor: BorrowedFd<'_>) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(descriptor)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root_of(directory: &Path) -> OwnedFd {
        rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    #[test]
    fn a_missing_path_is_made_with_its_parents() {
        let directory = tempfile::tempdir().unwrap();
        let root = root_of(directory.path());
        find_or_make(root.as_fd(), Path::new("/a/b/c"), Missing::File).unwrap();
        assert!(directory.path().join("a/b/c").is_file());
        find_or_make(root.as_fd(), Path::new("/d/e"), Missing::Directory).unwrap();
        assert!(directory.path().join("d/e").is_dir());
    }

    #[test]
    fn links_lead_nowhere_but_inside_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), directory.path().join("absolute")).unwrap();
        symlink("../../../../../../../../tmp", directory.path().join("upwards")).unwrap();
        let root = root_of(directory.path());
        find_or_make(root.as_fd(), Path::new("/absolute/x"), Missing::File).unwrap();
        find_or_make(root.as_fd(), Path::new("/upwards/y"), Missing::File).unwrap();
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(directory.path().join("tmp/y").is_file());
    }

    #[test]
    fn the_target_of_a_dangling_link_is_made_inside_the_root() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        symlink("../run/systemd/resolve/stub", directory.path().join("etc/resolv.conf")).unwrap();
        let root = root_of(directory.path());
        find_or_make(root.as_fd(), Path::new("/etc/resolv.conf"), Missing::File).unwrap();
        assert!(directory.path().join("run/systemd/resolve/stub").is_file());
    }

    #[test]
    fn links_in_a_circle_are_an_error() {
        let directory = tempfile::tempdir().unwrap();
        symlink("b", directory.path().join("a")).unwrap();
        symlink("a", directory.path().join("b")).unwrap();
        let root = root_of(directory.path());
        assert!(find_or_make(root.as_fd(), Path::new("/a"), Missing::File).is_err());
    }
}
