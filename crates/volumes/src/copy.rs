//! Trees of files copied whole: owners, modes, times, links, holes and extended attributes included.
//!
//! ```text
//!  directory, open -> its names -> each opened beneath it, never through a link -> made beneath the target
//!                                  (a name seen before by another: a hard link)
//! ```
//!
//! Data are shared with the source where the file system can (`FICLONE`, ioctl_ficlone(2)) and both are on it: no
//! bytes move then. Elsewhere they are copied, holes left out.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, RawDir, SeekFrom, Stat, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::CStr;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directories within directories that are followed.
const DEPTH_MAX: u32 = 256;
/// Bytes of one extended attribute, xattr(7).
const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the names of most files' attributes.
const FEW_BYTES: usize = 256;
/// Bytes that the kernel copies at a time.
const CHUNK_BYTES: usize = 16 << 20;
/// Bytes that are read and written where the kernel does not copy.
const BUFFER_BYTES: usize = 64 << 10;

/// What a copy came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files, directories and the like.
    pub entries: u64,
    /// Bytes of data, holes left out.
    pub bytes: u64,
    /// Of these, how many are shared with the source instead of copied.
    pub shared_bytes: u64,
}

/// Copies everything in the directory `source` into the directory `target`, which then has its owner, mode, attributes and
/// times too.
///
/// # Errors
/// The first thing that could not be read or written; what was copied until then stays.
pub(crate) fn tree(source: &OwnedFd, target: &OwnedFd) -> Result<Copied, Errno> {
    let mut copy = Copy {
        top: target,
        links: HashMap::new(),
        shares: true,
        is_other: fs::fstat(source)?.st_dev != fs::fstat(target)?.st_dev,
        copied: Copied::default(),
    };
    copy.directory(source, target, Path::new(""), 0)?;
    Ok(copy.copied)
}

/// Opens a directory whose entries are read.
pub(crate) fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::open(path, flags, Mode::empty())
}

/// Gives a directory the owner, mode, attributes and times of another one.
pub(crate) fn top(source: &OwnedFd, target: &OwnedFd) -> Result<(), Errno> {
    let stat = fs::fstat(source)?;
    fs::fchown(target, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fs::fchmod(target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    attributes(source, target)?;
    fs::futimens(target, &times(&stat))
}

struct Copy<'a> {
    top: &'a OwnedFd,
    /// Files with several names: the first of them in the target.
    links: HashMap<(u64, u64), PathBuf>,
    /// Whether sharing data was not seen to fail yet.
    shares: bool,
    /// Whether the two are on different file systems.
    is_other: bool,
    copied: Copied,
}

impl Copy<'_> {
    /// Copies the entries of one directory, then its own owner, mode, attributes and times.
    fn directory(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        path: &Path,
        depth: u32,
    ) -> Result<(), Errno> {
        if depth == DEPTH_MAX {
            return Err(Errno::LOOP);
        }
        let mut buffer = [MaybeUninit::<u8>::uninit(); 8192];
        let mut entries = RawDir::new(source, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                let path = path.join(OsStr::from_bytes(name.to_bytes()));
                self.entry(source, target, name, &path, depth)?;
                self.copied.entries += 1;
            }
        }
        top(source, target)
    }

    fn entry(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        name: &CStr,
        path: &Path,
        depth: u32,
    ) -> Result<(), Errno> {
        let stat = fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino))
                && fs::linkat(self.top, first, target, name, AtFlags::empty()).is_ok()
            {
                return Ok(());
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        let (owner, group) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match kind {
            FileType::Directory => {
                fs::mkdirat(target, name, Mode::RWXU)?;
                let from = fs::openat(source, name, read | OFlags::DIRECTORY, Mode::empty())?;
                let to = fs::openat(target, name, read | OFlags::DIRECTORY, Mode::empty())?;
                self.directory(&from, &to, path, depth + 1)
            }
            FileType::RegularFile => {
                let from = fs::openat(source, name, read, Mode::empty())?;
                let create =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let to = fs::openat(target, name, create, Mode::RUSR | Mode::WUSR)?;
                self.contents(&from, &to)?;
                // Changing the owner takes file capabilities away, so attributes come after it.
                fs::fchown(&to, owner, group)?;
                fs::fchmod(&to, mode)?;
                attributes(&from, &to)?;
                fs::futimens(&to, &times(&stat))
            }
            FileType::Symlink => {
                let link = fs::readlinkat(source, name, Vec::new())?;
                fs::symlinkat(&link, target, name)?;
                fs::chownat(target, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
                fs::utimensat(target, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)
            }
            kind => {
                fs::mknodat(target, name, kind, mode, stat.st_rdev)?;
                fs::chownat(target, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
                // What mknod(2) makes is less what umask(2) takes away.
                fs::chmodat(target, name, mode, AtFlags::empty())?;
                fs::utimensat(target, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    fn contents(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
        let length = u64::try_from(fs::fstat(from)?.st_size).unwrap_or(0);
        if length == 0 {
            return Ok(());
        }
        if self.shares && !self.is_other {
            if fs::ioctl_ficlone(to, from).is_ok() {
                self.copied.bytes += length;
                self.copied.shared_bytes += length;
                return Ok(());
            }
            self.shares = false;
        }
        let mut at = 0;
        while at < length {
            let data = match fs::seek(from, SeekFrom::Data(at)) {
                Ok(data) => data,
                // Nothing but a hole up to the end.
                Err(Errno::NXIO) => break,
                Err(Errno::INVAL) => at,
                Err(error) => return Err(error),
            };
            let end = match fs::seek(from, SeekFrom::Hole(data)) {
                Ok(end) if end > data => end,
                _ => length,
            };
            at = self.range(from, to, data, end)?;
            if at < end {
                // It became shorter meanwhile.
                break;
            }
        }
        fs::ftruncate(to, length)
    }

    /// Copies bytes from `start` to `end`; returns where they ended.
    fn range(&mut self, from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> Result<u64, Errno> {
        let (mut source_at, mut target_at) = (start, start);
        while source_at < end {
            let wanted = usize::try_from(end - source_at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            match fs::copy_file_range(from, Some(&mut source_at), to, Some(&mut target_at), wanted) {
                Ok(0) => return Ok(source_at),
                Ok(count) => self.copied.bytes += count as u64,
                // Another kind of file system below one of the two.
                Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP) => {
                    return self.range_by_hand(from, to, source_at, end);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(source_at)
    }

    fn range_by_hand(&mut self, from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> Result<u64, Errno> {
        let mut buffer = vec![0u8; BUFFER_BYTES];
        let mut at = start;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
            let read = rustix::io::pread(from, &mut buffer[..wanted], at)?;
            if read == 0 {
                return Ok(at);
            }
            let mut done = 0;
            while done < read {
                done += rustix::io::pwrite(to, &buffer[done..read], at + done as u64)?;
            }
            at += read as u64;
            self.copied.bytes += read as u64;
        }
        Ok(at)
    }
}

fn attributes(from: impl AsFd, to: impl AsFd) -> Result<(), Errno> {
    let mut names = vec![0u8; FEW_BYTES];
    let length = match fs::flistxattr(&from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(Errno::RANGE) => {
            names = vec![0u8; ATTRIBUTE_BYTES_MAX];
            fs::flistxattr(&from, &mut names[..])?
        }
        Err(error) => return Err(error),
    };
    if length == 0 {
        return Ok(());
    }
    let mut value = vec![0u8; ATTRIBUTE_BYTES_MAX];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // The overlay's own marks mean nothing in a volume.
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let length = fs::fgetxattr(&from, name, &mut value[..])?;
        match fs::fsetxattr(&to, name, &value[..length], fs::XattrFlags::empty()) {
            // The volume is on a file system that keeps none of this kind.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    let at = |seconds: i64, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos as i64 };
    Timestamps {
        last_access: at(stat.st_atime, stat.st_atime_nsec),
        last_modification: at(stat.st_mtime, stat.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

    fn copied(from: &Path, to: &Path) -> Copied {
        tree(&open(from).unwrap(), &open(to).unwrap()).unwrap()
    }

    #[test]
    fn names_of_one_file_stay_names_of_one_file() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        std::fs::create_dir_all(from.join("deep/er")).unwrap();
        std::fs::create_dir(&to).unwrap();
        std::fs::write(from.join("deep/one"), "words").unwrap();
        std::fs::hard_link(from.join("deep/one"), from.join("deep/er/two")).unwrap();
        symlink("one", from.join("deep/link")).unwrap();
        let told = copied(&from, &to);
        let look = |name: &str| std::fs::symlink_metadata(to.join(name)).unwrap();
        assert_eq!(look("deep/one").ino(), look("deep/er/two").ino());
        assert_eq!(look("deep/one").nlink(), 2);
        assert!(look("deep/link").is_symlink());
        assert_eq!((told.entries, told.bytes), (5, 5));
    }

    #[test]
    fn modes_times_and_attributes_come_along() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::create_dir(&to).unwrap();
        let file = from.join("file");
        std::fs::write(&file, "x").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4711)).unwrap();
        std::fs::set_permissions(&from, std::fs::Permissions::from_mode(0o1750)).unwrap();
        let has = fs::setxattr(&file, "user.colour", b"red", fs::XattrFlags::empty()).is_ok();
        let past = Timespec { tv_sec: 1_000_000, tv_nsec: 7 };
        let times = Timestamps { last_access: past, last_modification: past };
        fs::utimensat(fs::CWD, &file, &times, AtFlags::empty()).unwrap();
        copied(&from, &to);
        let look = std::fs::metadata(to.join("file")).unwrap();
        assert_eq!((look.mode() & 0o7777, look.mtime(), look.mtime_nsec()), (0o4711, 1_000_000, 7));
        assert_eq!(std::fs::metadata(&to).unwrap().mode() & 0o7777, 0o1750);
        if has {
            let mut value = [0u8; 8];
            let length = fs::getxattr(to.join("file"), "user.colour", &mut value[..]).unwrap();
            assert_eq!(&value[..length], b"red");
        }
    }

    #[test]
    fn a_hole_takes_no_room_in_the_copy() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::create_dir(&to).unwrap();
        let file = std::fs::File::create(from.join("file")).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.write_all_at(b"end", 64 << 20).unwrap();
        file.set_len(128 << 20).unwrap();
        copied(&from, &to);
        let look = std::fs::metadata(to.join("file")).unwrap();
        assert_eq!(look.len(), 128 << 20);
        assert!(look.blocks() * 512 < 1 << 20, "{} blocks", look.blocks());
        let mut end = [0; 3];
        std::fs::File::open(to.join("file")).unwrap().read_exact_at(&mut end, 64 << 20).unwrap();
        assert_eq!(&end, b"end");
    }
}
