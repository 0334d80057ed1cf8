//! Unpacks a layer's archive into a directory that overlayfs can stack, and any archive into a container.
//!
//! ```text
//!  entry -> path without "." and ".."  -> its parent, opened inside the root -> made there, by name, never through a link
//!           (leaving the root: refused)    (openat2 IN_ROOT: links end inside)    -> owner, mode, attributes, times
//! ```
//!
//! Invariants:
//! - Nothing outside the root is opened, made, changed or linked, whatever the archive says: every path is resolved by
//!   the kernel with the root as its top, and the last component is never followed.
//! - What a layer takes away becomes what overlayfs understands: a character device 0:0 for a name, the attribute
//!   `trusted.overlay.opaque` for all that is below a directory.
//! - Attributes that overlayfs keeps for itself are never taken from an archive.
//! - Directories get their times at the end, when nothing is made in them any more.
//!
//! Deliberately absent: looking at the layers below. A parent that the archive does not hold is made with mode 0755.
//! Facts: the "Applying Changesets" chapter of the OCI image specification; the kernel's `overlayfs.rst`; `openat2(2)`.

mod looks;
mod whiteout;

use crate::room::Room;
use crate::tarball::{Entry, Kind, TarReader};
use crate::{Error, Result};
use looks::{set_looks, set_looks_by_name, through, times};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, XattrFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use whiteout::{OVERLAY_OPAQUE, WHITEOUT, is_whiteout, whiteout};

/// Entries that one layer may have.
const ENTRIES_MAX: u64 = 4_000_000;
/// Directories within one another; whoever removes the tree later holds one descriptor for each.
const DEPTH_MAX: usize = 256;
/// Bytes that are copied at a time.
const COPY_BYTES: usize = 128 << 10;
/// The mode of a parent that the archive does not hold.
const PARENT_MODE: u32 = 0o755;

/// What an archive is taken for.
enum Manner {
    /// A layer: its names that take something away are told to overlayfs.
    Layer,
    /// Files as they are, for a directory of a container.
    Files(FilesManner),
}

/// How files are put into a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesManner {
    /// The directory they are put into, by its path from the root.
    pub beneath: PathBuf,
    /// A directory does not take the place of something else, nor the other way round.
    pub keep_kinds: bool,
    /// Who owns all of it, user and group; none for what the archive says.
    pub owner: Option<(u32, u32)>,
    /// The directory looks as the archive says of its own, where it does.
    pub top: bool,
}

/// Unpacks the archive into `root`, an empty directory, and reads it to its end. Returns the bytes of its files.
pub(crate) fn unpack(archive: impl Read, root: &Path) -> Result<u64> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let opened = fs::open(root, flags, Mode::empty()).map_err(io::Error::from).map_err(Error::write(root))?;
    fs::fchmod(&opened, Mode::from_raw_mode(PARENT_MODE))
        .map_err(io::Error::from)
        .map_err(Error::write(root))?;
    apply_all(archive, Applier::new(opened, root, Manner::Layer)?)
}

/// Unpacks an archive, plain or packed, beneath a directory of a tree. Links are followed inside the tree.
///
/// # Errors
/// As [`Images::load`](crate::Images::load). What was unpacked by then stays.
pub fn put(archive: &mut dyn Read, root: BorrowedFd<'_>, manner: FilesManner) -> Result<()> {
    let failed = |error: Errno| Error::write(&manner.beneath)(error.into());
    let opened = crate::pack::reopened(root).map_err(failed)?;
    let place = Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string());
    let head = crate::packing::read_head(archive).map_err(Error::ReadArchive)?;
    if head.is_empty() {
        return Err(Error::Truncated);
    }
    let packing = crate::packing::packing_of(&head, "the archive")?;
    let whole =
        crate::packing::plain(packing, io::Cursor::new(head).chain(archive)).map_err(Error::ReadArchive)?;
    apply_all(whole, Applier::new(opened, &place, Manner::Files(manner))?).map(drop)
}

fn apply_all(archive: impl Read, mut applier: Applier) -> Result<u64> {
    let mut tar = TarReader::new(archive);
    let mut entries = 0;
    while let Some(entry) = tar.next()? {
        entries += 1;
        if entries > ENTRIES_MAX {
            return Err(Error::TooMany { what: "entries in one layer", max: ENTRIES_MAX });
        }
        applier.apply(&entry, &mut tar)?;
    }
    tar.drain()?;
    applier.finish()?;
    Ok(applier.bytes)
}

/// A directory whose times are set at the end.
struct Finished {
    path: Vec<u8>,
    mtime: (i64, u32),
}

struct Applier {
    root: OwnedFd,
    manner: Manner,
    room: Room,
    /// The parent of the last entry: most entries have the same one.
    last_parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    directories: Vec<Finished>,
    bytes: u64,
    buffer: Vec<u8>,
}

/// Why an entry is not unpacked.
enum Trouble {
    Refused(&'static str),
    Failed(io::Error),
    Stream(crate::tarball::TarError),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        Trouble::Failed(errno.into())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Failed(error)
    }
}

impl Applier {
    fn new(root: OwnedFd, path: &Path, manner: Manner) -> Result<Applier> {
        Ok(Applier {
            root,
            manner,
            room: Room::of(path).map_err(Error::write(path))?,
            last_parent: None,
            directories: Vec::new(),
            bytes: 0,
            buffer: vec![0; COPY_BYTES],
        })
    }

    fn apply<R: Read>(&mut self, entry: &Entry, tar: &mut TarReader<R>) -> Result<()> {
        self.try_apply(entry, tar).map_err(|trouble| {
            let path = PathBuf::from(OsStr::from_bytes(&entry.path));
            match trouble {
                Trouble::Refused(why) => Error::Refused { path, why },
                Trouble::Failed(source) => Error::Unpack { path, source },
                Trouble::Stream(error) => error.into(),
            }
        })
    }

    fn try_apply<R: Read>(&mut self, entry: &Entry, tar: &mut TarReader<R>) -> Result<(), Trouble> {
        let mut path = inside(&entry.path)?;
        let (mut owned, mut entry) = (None, entry);
        if let Manner::Files(manner) = &self.manner {
            if path.is_empty() && !manner.top {
                // The directory itself is there, and stays as it is.
                return Ok(());
            }
            path = inside(&[manner.beneath.as_os_str().as_bytes(), b"/", &path].concat())?;
            if let Some((uid, gid)) = manner.owner {
                entry = owned.insert(Entry { uid, gid, ..entry.clone() });
            }
        }
        let Some((parent_path, name)) = split(&path) else {
            // The root itself: only its looks can be set.
            if entry.kind != Kind::Directory {
                return Err(Trouble::Refused("it would replace the root of the layer"));
            }
            let root = fs::openat(&self.root, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            set_looks(root.as_fd(), entry)?;
            self.directories.push(Finished { path: b".".to_vec(), mtime: entry.mtime });
            return Ok(());
        };
        let parent = self.parent(parent_path)?;
        match &self.manner {
            Manner::Layer => {
                if let Some(hidden) = name.strip_prefix(WHITEOUT) {
                    return whiteout(&parent, name, hidden);
                }
            }
            Manner::Files(manner) if manner.keep_kinds => keeps_kind(&parent, name, entry.kind)?,
            Manner::Files(_) => {}
        }
        match entry.kind {
            Kind::File => self.file(&parent, name, entry, tar),
            Kind::Directory => self.directory(&parent, name, &path, entry),
            Kind::Symlink => {
                self.replacing(&parent, name, || fs::symlinkat(entry.link.as_slice(), &parent, name))?;
                set_looks_by_name(&parent, name, entry)
            }
            Kind::Hardlink => self.hardlink(&parent, name, entry),
            Kind::Char | Kind::Block | Kind::Fifo => self.node(&parent, name, entry),
            Kind::Other(_) => Err(Trouble::Refused("this type of entry has no meaning in a layer")),
        }
    }

    fn file<R: Read>(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        tar: &mut TarReader<R>,
    ) -> Result<(), Trouble> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            self.replacing(parent, name, || fs::openat(parent, name, flags, Mode::from_raw_mode(0o600)))?;
        match &entry.sparse {
            None => self.copy(&file, tar, entry.size)?,
            Some(sparse) => {
                for &(offset, length) in &sparse.pieces {
                    fs::seek(&file, fs::SeekFrom::Start(offset))?;
                    self.copy(&file, tar, length)?;
                }
                fs::ftruncate(&file, sparse.real_size)?;
            }
        }
        self.bytes += entry.sparse.as_ref().map_or(entry.size, |sparse| sparse.real_size);
        set_looks(file.as_fd(), entry)?;
        fs::futimens(&file, &times(entry.mtime))?;
        Ok(())
    }

    fn copy<R: Read>(&mut self, file: &OwnedFd, tar: &mut TarReader<R>, bytes: u64) -> Result<(), Trouble> {
        let mut left = bytes;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let got = tar.read_data(&mut self.buffer[..wanted]).map_err(Trouble::Stream)?;
            if got == 0 {
                return Err(Trouble::Stream(crate::tarball::TarError::Truncated));
            }
            self.room.take(got as u64)?;
            write_all(file.as_fd(), &self.buffer[..got])?;
            left -= got as u64;
        }
        Ok(())
    }

    fn directory(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &[u8],
        entry: &Entry,
    ) -> Result<(), Trouble> {
        let mut hides = false;
        if let Err(errno) = fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            if errno != Errno::EXIST {
                return Err(errno.into());
            }
            let there = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(there.st_mode) != FileType::Directory {
                // What the archive hid before it made anew still hides what is below.
                hides = is_whiteout(&there);
                self.clear(parent, name)?;
                fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))?;
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = fs::openat(parent, name, flags, Mode::empty())?;
        if hides {
            fs::fsetxattr(&made, OVERLAY_OPAQUE, b"y", XattrFlags::empty())?;
        }
        set_looks(made.as_fd(), entry)?;
        self.directories.push(Finished { path: path.to_vec(), mtime: entry.mtime });
        Ok(())
    }

    fn hardlink(&mut self, parent: &OwnedFd, name: &[u8], entry: &Entry) -> Result<(), Trouble> {
        let mut target = inside(&entry.link)?;
        if let Manner::Files(manner) = &self.manner {
            target = inside(&[manner.beneath.as_os_str().as_bytes(), b"/", &target].concat())?;
        }
        let Some((target_parent, target_name)) = split(&target) else {
            return Err(Trouble::Refused("it is a hard link to the root of the layer"));
        };
        let target_parent = self.existing(target_parent)?;
        self.replacing(parent, name, || {
            fs::linkat(&target_parent, target_name, parent, name, AtFlags::empty())
        })
    }

    fn node(&mut self, parent: &OwnedFd, name: &[u8], entry: &Entry) -> Result<(), Trouble> {
        let kind = match entry.kind {
            Kind::Char => FileType::CharacterDevice,
            Kind::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let device = fs::makedev(entry.device.0, entry.device.1);
        let mode = Mode::from_raw_mode(entry.mode & 0o7777);
        self.replacing(parent, name, || fs::mknodat(parent, name, kind, mode, device))?;
        set_looks_by_name(parent, name, entry)?;
        Ok(fs::chmodat(parent, name, mode, AtFlags::empty())?)
    }

    /// Makes something, and again after removing what stands in its place.
    fn replacing<T>(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        make: impl Fn() -> rustix::io::Result<T>,
    ) -> Result<T, Trouble> {
        match make() {
            Err(Errno::EXIST) => {
                self.clear(parent, name)?;
                Ok(make()?)
            }
            other => Ok(other?),
        }
    }

    fn clear(&mut self, parent: &OwnedFd, name: &[u8]) -> Result<(), Trouble> {
        // The remembered parent may be what is removed.
        self.last_parent = None;
        let there = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(there.st_mode) != FileType::Directory {
            return Ok(fs::unlinkat(parent, name, AtFlags::empty())?);
        }
        Ok(std::fs::remove_dir_all(through(parent, name))?)
    }

    /// Opens a directory of the layer, and makes what is missing of it.
    fn parent(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Trouble> {
        if let Some((last, opened)) = &self.last_parent
            && last == path
        {
            return Ok(Rc::clone(opened));
        }
        let opened = match self.existing(path) {
            Err(Trouble::Failed(error)) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                self.make_parents(path)?
            }
            other => other?,
        };
        let opened = Rc::new(opened);
        self.last_parent = Some((path.to_vec(), Rc::clone(&opened)));
        Ok(opened)
    }

    fn existing(&self, path: &[u8]) -> Result<OwnedFd, Trouble> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if let Manner::Layer = self.manner {
            resolve |= ResolveFlags::NO_XDEV;
        }
        loop {
            match fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
                // A rename elsewhere on the machine came in between.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    fn make_parents(&self, path: &[u8]) -> Result<OwnedFd, Trouble> {
        let mut above = self.existing(b"")?;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut start = 0;
        for end in ends.chain([path.len()]) {
            let name = &path[start..end];
            start = end + 1;
            above = match self.existing(&path[..end]) {
                Err(Trouble::Failed(error)) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                    fs::mkdirat(&above, name, Mode::from_raw_mode(PARENT_MODE))?;
                    let made = self.existing(&path[..end])?;
                    // A directory above with the bit for it would give it its own group.
                    fs::fchown(&made, Some(fs::Uid::ROOT), Some(fs::Gid::ROOT))?;
                    fs::fchmod(&made, Mode::from_raw_mode(PARENT_MODE))?;
                    made
                }
                other => other?,
            };
        }
        Ok(above)
    }

    /// Sets the times of directories, the last one first: a directory that came twice keeps what came last.
    fn finish(&mut self) -> Result<()> {
        let mut directories = std::mem::take(&mut self.directories);
        directories.reverse();
        let mut done = std::collections::HashSet::new();
        for directory in &directories {
            if !done.insert(directory.path.as_slice()) {
                continue;
            }
            // What was replaced by something else since then has its times already.
            let Ok(opened) = self.existing(&directory.path) else { continue };
            let set = fs::futimens(&opened, &times(directory.mtime)).map_err(io::Error::from);
            set.map_err(|source| Error::Unpack {
                path: PathBuf::from(OsStr::from_bytes(&directory.path)),
                source,
            })?;
        }
        Ok(())
    }
}

/// Refuses what would put a directory in the place of something else, or something else in the place of a directory.
fn keeps_kind(parent: &OwnedFd, name: &[u8], kind: Kind) -> Result<(), Trouble> {
    let there = match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    match (FileType::from_raw_mode(there.st_mode) == FileType::Directory, kind == Kind::Directory) {
        (true, false) => Err(Trouble::Refused("it would take the place of a directory")),
        (false, true) => Err(Trouble::Refused("a directory would take the place of something else")),
        _ => Ok(()),
    }
}

/// The path below the root, without `.` and `..`; empty for the root itself. An absolute path begins at the root.
fn inside(path: &[u8]) -> Result<Vec<u8>, Trouble> {
    if path.contains(&0) {
        return Err(Trouble::Refused("its path holds a zero byte"));
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop().ok_or(Trouble::Refused("it is outside of the layer"))?),
            part => parts.push(part),
        }
    }
    if parts.len() > DEPTH_MAX {
        return Err(Trouble::Refused("it is more than 256 directories deep"));
    }
    Ok(parts.join(&b'/'))
}

fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    Some(match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    })
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(done) => bytes = &bytes[done..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
