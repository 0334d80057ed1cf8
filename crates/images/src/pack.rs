//! Writes trees of files as archives: what a container sees, or what its writable layer changed.
//!
//! ```text
//!  directory, open -> its names, sorted -> each opened beneath it, never through a link -> header, data
//!                                          (a name seen before by another: a hard link)
//! ```
//!
//! Invariants:
//! - Nothing outside the tree is opened: every name is opened in its directory and never followed.
//! - An archive is whole whatever happens to the files meanwhile: a file that shrinks is filled with zeros, what is gone is left out.
//! - The same tree gives the same bytes.
//!
//! Absent: sockets, which no archive can hold, and the attributes by which overlayfs steers itself; in [`Kind::Changes`] these
//! become the names that take something away, as the "Representing Changes" chapter of the OCI image specification has it.

use crate::tarball::{self, Entry};
use crate::tarwrite::TarWriter;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io::{self, Write};

/// Directories within one another.
const DEPTH_MAX: usize = 256;
/// Bytes that are copied at a time.
const COPY_BYTES: usize = 128 << 10;
/// Bytes of an attribute's value that are kept: the kernel's own bound, xattr(7).
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;
/// What overlayfs marks a directory with that hides all below it.
const OPAQUE: &CStr = c"trusted.overlay.opaque";

/// How a tree is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Files,
    /// As the writable layer of overlayfs: with what it takes away from the layers below.
    Changes,
}

/// Who owns files, as the archive tells it: numbers of the tree, and what each block of them is in the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// First number in the tree, first in the archive, how many. Where nothing is listed, all stay as they are.
    pub users: Vec<(u32, u32, u32)>,
    /// The same of groups.
    pub groups: Vec<(u32, u32, u32)>,
}

impl Owners {
    /// Who owns what belongs to nobody in the archive's words: the kernel's own number for that, user_namespaces(7).
    const NOBODY: u32 = 65_534;

    fn told(blocks: &[(u32, u32, u32)], id: u32) -> u32 {
        if blocks.is_empty() {
            return id;
        }
        let block =
            blocks.iter().find(|(from, _, count)| id.checked_sub(*from).is_some_and(|at| at < *count));
        block.map_or(Owners::NOBODY, |(from, to, _)| to + (id - from))
    }
}

/// Writes all that is in an open directory, without the directory itself.
///
/// # Errors
/// Where something cannot be read, or the archive not be written.
pub fn pack(directory: BorrowedFd<'_>, kind: Kind, out: &mut dyn Write) -> io::Result<()> {
    let mut packer = Packer::new(kind, Owners::default(), out);
    packer.children(directory, b"", 0)?;
    packer.tar.finish().map(drop)
}

/// Writes one file, link or directory with all that is in it: `name` in an open directory, called `called` in the archive.
///
/// # Errors
/// As [`pack`]; `ENOENT` where it is not there.
pub fn pack_one(
    directory: BorrowedFd<'_>,
    name: &CStr,
    called: &[u8],
    owners: Owners,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut packer = Packer::new(Kind::Files, owners, out);
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    packer.one(directory, name, called, &stat, 0)?;
    packer.tar.finish().map(drop)
}

struct Packer<'w> {
    tar: TarWriter<&'w mut dyn Write>,
    kind: Kind,
    owners: Owners,
    /// The first name of each file that has several, by device and inode.
    linked: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl<'w> Packer<'w> {
    fn new(kind: Kind, owners: Owners, out: &'w mut dyn Write) -> Packer<'w> {
        Packer {
            tar: TarWriter::new(out, 0),
            kind,
            owners,
            linked: HashMap::new(),
            buffer: vec![0; COPY_BYTES],
        }
    }

    /// All that is in a directory, by name.
    fn children(&mut self, directory: BorrowedFd<'_>, path: &[u8], depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!("more than {DEPTH_MAX} directories within one another")));
        }
        for name in names(directory)? {
            let stat = match rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            let mut called = path.to_vec();
            called.extend_from_slice(name.to_bytes());
            match self.one(directory, &name, &called, &stat, depth) {
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        called: &[u8],
        stat: &Stat,
        depth: usize,
    ) -> io::Result<()> {
        let Some(kind) = kind_of(stat) else { return Ok(()) };
        if self.kind == Kind::Changes && is_whiteout(stat) {
            let at = called.len() - name.to_bytes().len();
            let hidden = [&called[..at], b".wh.", &called[at..]].concat();
            return self.tar.entry(&Entry::new(&hidden, tarball::Kind::File));
        }
        let mut entry = entry_of(called, kind, stat);
        entry.uid = Owners::told(&self.owners.users, entry.uid);
        entry.gid = Owners::told(&self.owners.groups, entry.gid);
        if kind != tarball::Kind::Directory && stat.st_nlink > 1 {
            let known = self.linked.entry((stat.st_dev, stat.st_ino));
            match known {
                std::collections::hash_map::Entry::Occupied(first) => {
                    (entry.kind, entry.size) = (tarball::Kind::Hardlink, 0);
                    entry.link.clone_from(first.get());
                    return self.tar.entry(&entry);
                }
                std::collections::hash_map::Entry::Vacant(free) => drop(free.insert(entry.path.clone())),
            }
        }
        match kind {
            tarball::Kind::File => self.file(directory, name, entry),
            tarball::Kind::Directory => self.directory(directory, name, entry, depth),
            tarball::Kind::Symlink => {
                entry.link = rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes();
                self.tar.entry(&entry)
            }
            _ => self.tar.entry(&entry),
        }
    }

    fn file(&mut self, directory: BorrowedFd<'_>, name: &CStr, mut entry: Entry) -> io::Result<()> {
        // What was a file a moment ago may be a pipe by now, at which nobody may wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if kind_of(&stat) != Some(tarball::Kind::File) {
            return Ok(());
        }
        entry.size = u64::try_from(stat.st_size).unwrap_or(0);
        entry.xattrs = attributes(file.as_fd())?;
        self.tar.entry(&entry)?;
        let mut left = entry.size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let got = match rustix::io::read(&file, &mut self.buffer[..wanted]) {
                Err(Errno::INTR) => continue,
                Ok(0) => {
                    self.buffer[..wanted].fill(0);
                    wanted
                }
                other => other?,
            };
            self.tar.out().write_all(&self.buffer[..got])?;
            left -= got as u64;
        }
        self.tar.pad(entry.size)
    }

    fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        mut entry: Entry,
        depth: usize,
    ) -> io::Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(directory, name, flags, Mode::empty())?;
        entry.xattrs = attributes(opened.as_fd())?;
        entry.path.push(b'/');
        self.tar.entry(&entry)?;
        let path = entry.path;
        if self.kind == Kind::Changes && is_opaque(opened.as_fd()) {
            let hidden = [path.as_slice(), b".wh..wh..opq"].concat();
            self.tar.entry(&Entry::new(&hidden, tarball::Kind::File))?;
        }
        self.children(opened.as_fd(), &path, depth + 1)
    }
}

/// The names in a directory, sorted.
pub(crate) fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What it is in an archive; none for a socket.
fn kind_of(stat: &Stat) -> Option<tarball::Kind> {
    Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => tarball::Kind::File,
        FileType::Directory => tarball::Kind::Directory,
        FileType::Symlink => tarball::Kind::Symlink,
        FileType::CharacterDevice => tarball::Kind::Char,
        FileType::BlockDevice => tarball::Kind::Block,
        FileType::Fifo => tarball::Kind::Fifo,
        _ => return None,
    })
}

fn entry_of(called: &[u8], kind: tarball::Kind, stat: &Stat) -> Entry {
    Entry {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        device: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
        ..Entry::new(called, kind)
    }
}

/// How overlayfs takes a name away.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether a directory of overlayfs hides all that is below it.
pub(crate) fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0; 1];
    rustix::fs::fgetxattr(directory, OPAQUE, &mut value).is_ok_and(|length| value[..length] == *b"y")
}

/// The attributes that an archive keeps: capabilities of programs, and what users set.
fn attributes(file: BorrowedFd<'_>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut list = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = match rustix::fs::flistxattr(file, &mut list) {
        Err(Errno::OPNOTSUPP | Errno::PERM) => 0,
        other => other?,
    };
    let mut kept = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        let name = CString::new(name)?;
        let mut value = vec![0; ATTRIBUTE_BYTES_MAX];
        match rustix::fs::fgetxattr(file, &name, &mut value) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
            Ok(length) => {
                value.truncate(length);
                kept.push((name.into_bytes(), value));
            }
        }
    }
    kept.sort();
    Ok(kept)
}

fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability" || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
}

/// A way to open a directory again that was opened only to be named.
pub(crate) fn reopened(directory: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty())
}
