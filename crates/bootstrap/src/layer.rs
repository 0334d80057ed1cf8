//! The layer that the image is made of: what the container has become, without what belongs to the moment, in an order that is always
//! the same.
//!
//! ```text
//!  export of a container -> what goes, what is emptied, what stays -> spooled -> sorted by path -> one archive, twice the same
//! ```
//!
//! No time in it is later than the archive's own date, no file knows when, where or on which machine the packages were installed.

use crate::error::{Error, Result};
use crate::fetch::sha256;
use crate::stage::FOLDER;
use aws_lc_rs::digest;
use base::Time;
use model::Digest;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tar::{EntryType, Header};

/// Files of one layer.
const FILES_MAX: usize = 5_000_000;
/// Bytes of a file that is changed rather than copied.
const CHANGED_BYTES_MAX: u64 = 1 << 20;
/// How attributes of files are called in an archive.
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
    /// It goes where it is empty: what a container's own files leave behind.
    GoesEmpty,
    /// It goes unless it is empty: logs, of which some must be there with their mode.
    GoesFull,
    Emptied,
    /// Its days of the last change of a password are those of the archive.
    Shadow,
}

/// Directories that keep nothing but themselves.
const EMPTY: [&str; 8] =
    ["dev", "proc", "sys", "run", "tmp", "var/tmp", "var/cache/apt", "var/lib/apt/lists"];
/// Directories below those that packages have in them, which stay.
const KEPT: [&str; 5] = [
    "var/cache/apt/archives",
    "var/cache/apt/archives/partial",
    "var/lib/apt/lists/partial",
    "var/lib/apt/lists/auxfiles",
    "run/lock",
];
const GONE: [&str; 8] = [
    ".dockerenv",
    "var/cache/ldconfig/aux-cache",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/statoverride-old",
];

/// What becomes of a path.
fn fate(path: &str, is_directory: bool) -> Fate {
    let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    match path {
        "etc/hostname" | "etc/hosts" | "etc/resolv.conf" => Fate::GoesEmpty,
        // dpkg's notes on what could be installed: nobody has read them since apt is there.
        "var/lib/dpkg/available" | "etc/machine-id" => Fate::Emptied,
        "etc/shadow" | "etc/shadow-" => Fate::Shadow,
        _ if GONE.contains(&path) || path == FOLDER || below(FOLDER) => Fate::Goes,
        _ if is_directory && KEPT.contains(&path) => Fate::Stays,
        _ if EMPTY.iter().any(|folder| below(folder)) => Fate::Goes,
        _ if below("var/log") && !is_directory => Fate::GoesFull,
        _ => Fate::Stays,
    }
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Where its bytes are in the spool, and how many.
    File(u64, u64),
    Hardlink(Vec<u8>),
    Symlink(Vec<u8>),
    Directory,
    /// A device or a pipe, with its numbers.
    Special(EntryType, u32, u32),
}

#[derive(Clone, Debug)]
struct Item {
    kind: Kind,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
    attributes: Vec<(String, Vec<u8>)>,
}

/// A layer, ready to be written.
#[derive(Debug)]
pub struct Layer {
    items: BTreeMap<Vec<u8>, Item>,
    spool: File,
}

impl Layer {
    /// Reads the export of a container. `spool` holds the bytes of its files; it is empty, and nobody else's.
    ///
    /// # Errors
    /// The export is no archive, or the disk is full.
    pub fn read(export: impl Read, mut spool: File, date: Time) -> Result<Layer> {
        let mut archive = tar::Archive::new(export);
        let mut items = BTreeMap::new();
        let mut at = 0;
        let last = u64::try_from(date.unix_seconds()).unwrap_or(0);
        for entry in archive.entries().map_err(Error::Export)? {
            let mut entry = entry.map_err(Error::Export)?;
            let path = plain(&entry.path_bytes());
            let is_directory = entry.header().entry_type().is_dir();
            let fate = fate(&String::from_utf8_lossy(&path), is_directory);
            let size = entry.size();
            let goes = match fate {
                Fate::Goes => true,
                Fate::GoesEmpty => size == 0,
                Fate::GoesFull => size > 0,
                Fate::Stays | Fate::Emptied | Fate::Shadow => false,
            };
            if path.is_empty() || goes {
                continue;
            }
            let mut item = item(&mut entry, last).map_err(Error::Export)?;
            if let Kind::File(start, length) = &mut item.kind {
                *start = at;
                *length = match fate {
                    Fate::Emptied => 0,
                    Fate::Shadow => {
                        let mut text = String::new();
                        let mut bounded = entry.by_ref().take(CHANGED_BYTES_MAX);
                        bounded.read_to_string(&mut text).map_err(Error::Export)?;
                        let text = shadow(&text, last / 86_400);
                        spool.write_all(text.as_bytes()).map_err(Error::Write)?;
                        text.len() as u64
                    }
                    _ => io::copy(&mut entry, &mut spool).map_err(Error::Export)?,
                };
                at += *length;
            }
            items.insert(path, item);
            if items.len() > FILES_MAX {
                return Err(Error::Export(io::Error::other(format!("more than {FILES_MAX} files"))));
            }
        }
        Ok(Layer { items: linked(items), spool })
    }

    /// How many bytes it is, and their hash.
    ///
    /// # Errors
    /// What was spooled cannot be read.
    pub fn measure(&mut self) -> Result<(u64, Digest)> {
        let mut counted = Counted { bytes: 0, hash: digest::Context::new(&digest::SHA256) };
        self.write(&mut counted)?;
        Ok((counted.bytes, sha256(counted.hash)))
    }

    /// Writes it, the same whenever it is written.
    ///
    /// # Errors
    /// What was spooled cannot be read, or nobody takes what is written.
    pub fn write(&mut self, out: impl Write) -> Result<()> {
        let mut tar = tar::Builder::new(out);
        for (path, item) in &self.items {
            put(&mut tar, path, item, &mut self.spool).map_err(Error::Write)?;
        }
        tar.into_inner().map_err(Error::Write)?.flush().map_err(Error::Write)
    }
}

/// Bytes that are counted and hashed, and forgotten.
struct Counted {
    bytes: u64,
    hash: digest::Context,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A path without what means nothing in it.
fn plain(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.collect::<Vec<_>>().join(&b'/')
}

fn item<R: Read>(entry: &mut tar::Entry<'_, R>, last: u64) -> io::Result<Item> {
    let mut attributes = Vec::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        let key = extension.key().unwrap_or_default().to_owned();
        if key.starts_with(ATTRIBUTE) {
            attributes.push((key, extension.value_bytes().to_vec()));
        }
    }
    attributes.sort();
    let header = entry.header();
    let target = || entry.link_name_bytes().unwrap_or_default().into_owned();
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(target()),
        EntryType::Link => Kind::Hardlink(plain(&target())),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File(0, 0),
        other => {
            let number = |number: io::Result<Option<u32>>| number.ok().flatten().unwrap_or(0);
            Kind::Special(other, number(header.device_major()), number(header.device_minor()))
        }
    };
    Ok(Item {
        kind,
        mode: header.mode()? & 0o7777,
        uid: header.uid()?,
        gid: header.gid()?,
        mtime: header.mtime()?.min(last),
        attributes,
    })
}

/// Of several names of one file, the first holds its bytes and the others lead to it, whichever came first in the export.
fn linked(mut items: BTreeMap<Vec<u8>, Item>) -> BTreeMap<Vec<u8>, Item> {
    let mut groups: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
    for (path, item) in &items {
        if let Kind::Hardlink(target) = &item.kind {
            groups.entry(target.clone()).or_default().push(path.clone());
        }
    }
    for (target, links) in groups {
        let Some(file) = items.get(&target).cloned() else {
            // What it leads to is gone, and so is this.
            links.iter().for_each(|link| drop(items.remove(link)));
            continue;
        };
        let mut names: Vec<Vec<u8>> = links.into_iter().chain([target]).collect();
        names.sort();
        let first = names[0].clone();
        for name in names.into_iter().skip(1) {
            let link = Item { kind: Kind::Hardlink(first.clone()), attributes: Vec::new(), ..file.clone() };
            items.insert(name, link);
        }
        items.insert(first, file);
    }
    items
}

/// The days in the third field of shadow(5) are no later than `last_day`.
fn shadow(text: &str, last_day: u64) -> String {
    let line = |line: &str| {
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        let later = |day: &&mut String| day.parse::<u64>().is_ok_and(|day| day > last_day);
        if let Some(day) = fields.get_mut(2).filter(later) {
            *day = last_day.to_string();
        }
        fields.join(":") + "\n"
    };
    text.lines().map(line).collect()
}

fn put<W: Write>(tar: &mut tar::Builder<W>, path: &[u8], item: &Item, spool: &mut File) -> io::Result<()> {
    if !item.attributes.is_empty() {
        let attributes = item.attributes.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        tar.append_pax_extensions(attributes)?;
    }
    let path = Path::new(OsStr::from_bytes(path));
    let mut header = Header::new_gnu();
    header.set_mode(item.mode);
    header.set_uid(item.uid);
    header.set_gid(item.gid);
    header.set_mtime(item.mtime);
    header.set_size(0);
    let kind = match &item.kind {
        Kind::File(..) => EntryType::Regular,
        Kind::Hardlink(_) => EntryType::Link,
        Kind::Symlink(_) => EntryType::Symlink,
        Kind::Directory => EntryType::Directory,
        Kind::Special(kind, ..) => *kind,
    };
    header.set_entry_type(kind);
    match &item.kind {
        Kind::File(at, length) => {
            header.set_size(*length);
            spool.seek(SeekFrom::Start(*at))?;
            tar.append_data(&mut header, path, Read::by_ref(spool).take(*length))
        }
        Kind::Hardlink(target) | Kind::Symlink(target) => {
            tar.append_link(&mut header, path, Path::new(OsStr::from_bytes(target)))
        }
        Kind::Directory => tar.append_data(&mut header, path, io::empty()),
        Kind::Special(_, major, minor) => {
            header.set_device_major(*major)?;
            header.set_device_minor(*minor)?;
            tar.append_data(&mut header, path, io::empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Made<'t>(&'t str, EntryType, &'t str);

    fn export(entries: &[Made<'_>], mtime: u64) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for Made(path, kind, text) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(mtime);
            header.set_size(if *kind == EntryType::Regular { text.len() as u64 } else { 0 });
            if kind.is_symlink() || kind.is_hard_link() {
                tar.append_link(&mut header, path, text).unwrap();
            } else {
                tar.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
        }
        tar.into_inner().unwrap()
    }

    fn layer(entries: &[Made<'_>], mtime: u64) -> Layer {
        let bytes = export(entries, mtime);
        Layer::read(bytes.as_slice(), tempfile::tempfile().unwrap(), Time::from_unix_seconds(86_400 * 100))
            .unwrap()
    }

    fn shown(layer: &mut Layer) -> Vec<String> {
        let mut bytes = Vec::new();
        layer.write(&mut bytes).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries
            .map(|mut entry| {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                let target = entry.link_name().unwrap().map(|target| format!(" -> {}", target.display()));
                let path = entry.path().unwrap().display().to_string();
                format!("{path}{} {text}", target.unwrap_or_default()).trim_end().to_owned()
            })
            .collect()
    }

    use EntryType::{Directory, Link, Regular, Symlink};

    #[test]
    fn two_exports_of_the_same_files_give_the_same_layer() {
        let entries = [
            Made("./usr", Directory, ""),
            Made("usr/perl", Regular, "p"),
            Made("usr/a-perl", Link, "usr/perl"),
            Made("etc/x", Regular, "x"),
            Made("etc/link", Symlink, "x"),
        ];
        let other = [
            Made("etc/link", Symlink, "x"),
            Made("etc/x", Regular, "x"),
            Made("usr/a-perl", Regular, "p"),
            Made("usr/perl", Link, "usr/a-perl"),
            Made("usr", Directory, ""),
        ];
        let (mut one, mut two) = (layer(&entries, 86_400 * 200), layer(&other, 86_400 * 300));
        assert_eq!(one.measure().unwrap(), two.measure().unwrap());
        assert_eq!(
            shown(&mut one),
            ["etc/link -> x", "etc/x x", "usr", "usr/a-perl p", "usr/perl -> usr/a-perl"]
        );
        let mut bytes = Vec::new();
        one.write(&mut bytes).unwrap();
        assert_eq!(one.measure().unwrap().0, bytes.len() as u64);
        // An earlier time is a file's own.
        assert_ne!(layer(&entries, 86_400).measure().unwrap(), one.measure().unwrap());
    }

    #[test]
    fn what_belongs_to_the_moment_is_left_out() {
        let entries = [
            Made("tmp", Directory, ""),
            Made("tmp/x", Regular, "x"),
            Made("var/log/dpkg.log", Regular, "x"),
            Made("var/log/wtmp", Regular, ""),
            Made("var/log/apt", Directory, ""),
            Made("etc/hosts", Regular, ""),
            Made("etc/resolv.conf", Regular, "kept"),
            Made("etc/machine-id", Regular, "123"),
            Made("etc/shadow", Regular, "root:*:20000:0:99999:7:::\nann:*:5:\n"),
            Made("var/cache/ldconfig/aux-cache", Regular, "x"),
            Made("var/cache/apt/pkgcache.bin", Regular, "x"),
            Made("var/cache/apt/archives", Directory, ""),
            Made("var/lib/apt/lists/partial", Directory, ""),
            Made("bocage-bootstrap/x", Regular, "x"),
            Made("bocage-bootstrap-not/x", Regular, "x"),
        ];
        assert_eq!(
            shown(&mut layer(&entries, 1)),
            [
                "bocage-bootstrap-not/x x",
                "etc/machine-id",
                "etc/resolv.conf kept",
                "etc/shadow root:*:100:0:99999:7:::\nann:*:5:",
                "tmp",
                "var/cache/apt/archives",
                "var/lib/apt/lists/partial",
                "var/log/apt",
                "var/log/wtmp",
            ]
        );
    }

    #[test]
    fn a_name_of_a_file_that_goes_goes_with_it() {
        let entries = [Made("tmp/x", Regular, "x"), Made("usr/x", Link, "tmp/x")];
        assert!(shown(&mut layer(&entries, 1)).is_empty());
    }
}
