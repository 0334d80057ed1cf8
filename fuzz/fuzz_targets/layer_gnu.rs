//! Layers put together from entries of every kind, unpacked by us and by GNU tar (`tar --numeric-owner --xattrs -xpf`) into two
//! directories: where both take an archive, both trees are the same in names, kinds, owners, modes, times, links, devices,
//! attributes and contents.
//!
//! What differs on purpose is not made here:
//! - names that begin with `.wh.`, which take something away;
//! - names with `..`, which GNU tar skips, and links that lead up or to an absolute path, which it makes last: both are refused or
//!   kept inside by us, as `layer` and the tests of the crate show;
//! - pieces of sparse files that are no whole blocks, but for the last: GNU tar, which makes none, begins each piece with a block, and
//!   others (Go's `archive/tar`, and we) do not; and holes at the end that no empty piece tells, which GNU tar does not make;
//! - names that end with `/.`, whose attributes GNU tar forgets;
//! - types of entries without a meaning in a layer, which we refuse;
//! - attributes of overlayfs itself, which we do not take, and those of links, which the kernel does not.
//!
//! The times of directories are not compared: GNU tar sets them when the archive goes on elsewhere, and what comes into them later
//! changes them; ours are set at the end. Runs as root; `TMPDIR` names a
//! file system that keeps attributes.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// Entries of one archive.
const ENTRIES_MAX: usize = 24;
/// Parts of names. There are few, so that entries meet one another.
const PARTS: [&[u8]; 12] = [
    b"a",
    b"b",
    b"c",
    b"d e",
    b".",
    b"\xff\xfe",
    "\u{65e5}\u{672c}".as_bytes(),
    b"f\ng",
    b"-x",
    b"h.wh.",
    b"llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll",
    b"~",
];
/// Attributes, by name.
const ATTRIBUTES: [&str; 4] = ["user.a", "user.b", "trusted.c", "security.d"];

/// A path of a few parts.
#[derive(Arbitrary, Clone, Debug)]
struct Name {
    parts: [u8; 4],
    count: u8,
    slash: bool,
    absolute: bool,
}

#[derive(Arbitrary, Clone, Debug)]
enum What {
    File(u16),
    OldFile(u8),
    Directory,
    Symlink(Name),
    Hardlink(Name),
    /// The hard link of one of the earlier entries.
    HardlinkTo(u8),
    Char(u8, u8),
    Block(u8, u8),
    Fifo,
    /// Pieces as gap and length, by the version of the format: GNU's own, 0.0, 0.1, 1.0.
    Sparse(u8, Vec<(u8, u8)>, u8),
}

/// How a name is written.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Writing {
    Short,
    Gnu,
    Pax,
}

#[derive(Arbitrary, Clone, Debug)]
struct Entry {
    name: Name,
    what: What,
    writing: Writing,
    mode: u16,
    owners: (u16, u16),
    /// Owners beyond what octal digits hold.
    big_owners: bool,
    seconds: i32,
    nanos: Option<u32>,
    attributes: Vec<(u8, u8)>,
}

impl Name {
    fn bytes(&self) -> Vec<u8> {
        let count = 1 + usize::from(self.count) % self.parts.len();
        let mut parts: Vec<&[u8]> =
            self.parts[..count].iter().map(|part| PARTS[usize::from(*part) % PARTS.len()]).collect();
        while parts.len() > 1 && parts.last().is_some_and(|part| *part == b".") {
            parts.pop();
        }
        let mut name = parts.join(&b'/');
        if self.absolute && self.count % 4 == 3 {
            name.insert(0, b'/');
        }
        name
    }
}

fn put(block: &mut [u8; 512], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A number as octal digits, or in GNU's base-256 form.
fn number(block: &mut [u8; 512], at: usize, length: usize, value: i64) {
    if value >= 0 && value < 1 << (3 * (length - 1)) {
        return put(block, at, format!("{value:0width$o}", width = length - 1).as_bytes());
    }
    let bytes = i128::from(value).to_be_bytes();
    put(block, at, &bytes[16 - length..]);
    block[at] |= 0x80;
}

fn finish(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    put(block, 148, format!("{sum:06o}\0 ").as_bytes());
}

fn data(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// A header of a kind, without owner, with these bytes behind it.
fn extension(out: &mut Vec<u8>, flag: u8, bytes: &[u8]) {
    let mut block = [0; 512];
    put(&mut block, 0, b"extension");
    for (at, length) in [(100, 8), (108, 8), (116, 8), (136, 12)] {
        number(&mut block, at, length, 0);
    }
    number(&mut block, 124, 12, bytes.len() as i64);
    block[156] = flag;
    put(&mut block, 257, if flag == b'x' { b"ustar\x0000" } else { b"ustar  \0" });
    finish(&mut block);
    out.extend_from_slice(&block);
    data(out, bytes);
}

fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let length = (1..).find(|digits| (rest + digits).to_string().len() == *digits).unwrap_or(1) + rest;
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Offset and length of each piece, and the bytes of the whole file. All but the last are whole blocks.
fn pieces(gaps: &[(u8, u8)], tail: u8) -> (Vec<(u64, u64)>, u64) {
    let count = gaps.len().min(6);
    let mut at = 0;
    let mut found = Vec::new();
    for (index, &(gap, length)) in gaps.iter().take(count).enumerate() {
        at += u64::from(gap) * 512;
        let blocks = 512 * (1 + u64::from(length) % 3);
        let length = if index + 1 == count { blocks - u64::from(length) } else { blocks };
        found.push((at, length));
        at += length;
    }
    if tail > 0 {
        // A hole at the end is told by a piece without bytes behind it.
        at = at.next_multiple_of(512) + u64::from(tail) * 512;
        found.push((at, 0));
    }
    (found, at)
}

fn content(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + seed) as u8).collect()
}

/// What an entry becomes: its header's block, its records and its data.
struct Written {
    block: [u8; 512],
    records: Vec<u8>,
    data: Vec<u8>,
    is_gnu: bool,
}

fn sparse(written: &mut Written, name: &[u8], version: u8, gaps: &[(u8, u8)], tail: u8) {
    let (found, size) = pieces(gaps, tail);
    let bytes = content(found.iter().map(|(_, length)| *length as usize).sum(), found.len());
    match version % 4 {
        0 => {
            written.block[156] = b'S';
            written.is_gnu = true;
            for (index, (offset, length)) in found.iter().take(4).enumerate() {
                number(&mut written.block, 386 + index * 24, 12, *offset as i64);
                number(&mut written.block, 398 + index * 24, 12, *length as i64);
            }
            written.block[482] = u8::from(found.len() > 4);
            number(&mut written.block, 483, 12, size as i64);
            if found.len() > 4 {
                let mut more = [0; 512];
                for (index, (offset, length)) in found[4..].iter().enumerate() {
                    number(&mut more, index * 24, 12, *offset as i64);
                    number(&mut more, index * 24 + 12, 12, *length as i64);
                }
                written.data.extend_from_slice(&more);
            }
            number(&mut written.block, 124, 12, bytes.len() as i64);
            return written.data.extend_from_slice(&bytes);
        }
        1 => {
            record(&mut written.records, "GNU.sparse.size", size.to_string().as_bytes());
            record(&mut written.records, "GNU.sparse.numblocks", found.len().to_string().as_bytes());
            for (offset, length) in &found {
                record(&mut written.records, "GNU.sparse.offset", offset.to_string().as_bytes());
                record(&mut written.records, "GNU.sparse.numbytes", length.to_string().as_bytes());
            }
        }
        2 => {
            let map: Vec<String> =
                found.iter().map(|(offset, length)| format!("{offset},{length}")).collect();
            record(&mut written.records, "GNU.sparse.size", size.to_string().as_bytes());
            record(&mut written.records, "GNU.sparse.numblocks", found.len().to_string().as_bytes());
            record(&mut written.records, "GNU.sparse.name", name);
            record(&mut written.records, "GNU.sparse.map", map.join(",").as_bytes());
        }
        _ => {
            record(&mut written.records, "GNU.sparse.major", b"1");
            record(&mut written.records, "GNU.sparse.minor", b"0");
            record(&mut written.records, "GNU.sparse.name", name);
            record(&mut written.records, "GNU.sparse.realsize", size.to_string().as_bytes());
            let mut map = format!("{}\n", found.len());
            found.iter().for_each(|(offset, length)| map += &format!("{offset}\n{length}\n"));
            data(&mut written.data, map.as_bytes());
        }
    }
    written.data.extend_from_slice(&bytes);
    number(&mut written.block, 124, 12, written.data.len() as i64);
}

/// Appends an entry; `earlier` has the names of files before it.
fn write(out: &mut Vec<u8>, entry: &Entry, earlier: &mut Vec<Vec<u8>>) {
    let mut name = entry.name.bytes();
    let mut written = Written { block: [0; 512], records: Vec::new(), data: Vec::new(), is_gnu: false };
    let Written { block, records, .. } = &mut written;
    let big = if entry.big_owners { 5_000_000 } else { 0 };
    number(block, 100, 8, i64::from(entry.mode & 0o7777));
    number(block, 108, 8, i64::from(entry.owners.0) + big);
    number(block, 116, 8, i64::from(entry.owners.1) + big);
    number(block, 124, 12, 0);
    number(block, 136, 12, entry.seconds.into());
    if let Some(nanos) = entry.nanos {
        let fraction = format!("{}.{:09}", entry.seconds.unsigned_abs(), nanos % 1_000_000_000);
        let sign = if entry.seconds < 0 { "-" } else { "" };
        record(records, "mtime", format!("{sign}{fraction}").as_bytes());
    }
    let mut link = Vec::new();
    let is_link = matches!(entry.what, What::Symlink(_));
    for (attribute, value) in entry.attributes.iter().take(2).filter(|_| !is_link) {
        let key = ATTRIBUTES[usize::from(*attribute) % ATTRIBUTES.len()];
        record(records, &format!("SCHILY.xattr.{key}"), &content(1 + usize::from(*value), 3));
    }
    match &entry.what {
        What::File(length) => written.data = content(usize::from(*length) % 3000, earlier.len()),
        What::OldFile(length) => written.data = content((*length).into(), 1),
        What::Sparse(version, gaps, tail) => sparse(&mut written, &name, *version, gaps, *tail),
        What::Symlink(target) => link = target.bytes(),
        What::Hardlink(target) => link = target.bytes(),
        What::HardlinkTo(at) => {
            link = earlier.get(usize::from(*at) % earlier.len().max(1)).cloned().unwrap_or(b"a".to_vec());
        }
        What::Char(major, minor) | What::Block(major, minor) => {
            number(&mut written.block, 329, 8, (*major).into());
            number(&mut written.block, 337, 8, (*minor).into());
        }
        What::Directory | What::Fifo => {}
    }
    if is_link && link.first() == Some(&b'/') {
        link.remove(0);
    }
    if matches!(entry.what, What::Directory) && entry.name.slash {
        name.push(b'/');
    }
    let flag = match entry.what {
        What::File(_) => b'0',
        What::OldFile(_) => 0,
        What::Directory => b'5',
        What::Symlink(_) => b'2',
        What::Hardlink(_) | What::HardlinkTo(_) => b'1',
        What::Char(..) => b'3',
        What::Block(..) => b'4',
        What::Fifo => b'6',
        What::Sparse(..) => written.block[156].max(b'0'),
    };
    if matches!(flag, b'0' | 0 | b'S') {
        earlier.push(name.clone());
    }
    if !matches!(entry.what, What::Sparse(..)) {
        number(&mut written.block, 124, 12, written.data.len() as i64);
    }
    emit(out, written, flag, entry.writing, &name, &link);
}

fn emit(out: &mut Vec<u8>, mut written: Written, flag: u8, writing: Writing, name: &[u8], link: &[u8]) {
    for (text, at, key, long) in [(name, 0, "path", b'L'), (link, 157, "linkpath", b'K')] {
        match writing {
            Writing::Gnu if !text.is_empty() => extension(out, long, &[text, b"\0"].concat()),
            Writing::Pax if !text.is_empty() => record(&mut written.records, key, text),
            _ if text.len() > 100 => record(&mut written.records, key, text),
            _ => {}
        }
        put(&mut written.block, at, &text[..text.len().min(100)]);
    }
    if !written.records.is_empty() {
        extension(out, b'x', &written.records);
    }
    written.block[156] = flag;
    put(&mut written.block, 257, if written.is_gnu { b"ustar  \0" } else { b"ustar\x0000" });
    finish(&mut written.block);
    out.extend_from_slice(&written.block);
    data(out, &written.data);
}

/// A folder of this process.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // Parents that an archive does not hold get what the mask leaves.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let folder = std::env::temp_dir().join(format!("bocage-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
});

/// Whether GNU tar takes the archive.
fn by_gnu(archive: &[u8], root: &Path) -> bool {
    let mut child = Command::new("tar")
        .args(["--numeric-owner", "--same-owner", "--xattrs", "--xattrs-include=*", "-xpf", "-", "-C"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("GNU tar can be started");
    let written = child.stdin.take().is_some_and(|mut stdin| stdin.write_all(archive).is_ok());
    child.wait().is_ok_and(|status| status.success()) && written
}

/// What a file looks like, and the number of its names' file.
fn looks(path: &Path, with_time: bool) -> (String, Option<u64>) {
    let is = fs::symlink_metadata(path).expect("a file can be looked at");
    let kind = is.file_type();
    let own = if kind.is_file() {
        format!("file of {} {:?}", is.len(), fs::read(path).expect("it can be read"))
    } else if kind.is_dir() {
        "directory".to_owned()
    } else if kind.is_symlink() {
        format!("link to {:?}", fs::read_link(path).expect("it can be read"))
    } else if kind.is_char_device() || kind.is_block_device() {
        format!("device {} {}", is.rdev(), kind.is_char_device())
    } else {
        "pipe".to_owned()
    };
    let time = if with_time { format!("{}.{:09}", is.mtime(), is.mtime_nsec()) } else { String::new() };
    let mut attributes = BTreeMap::new();
    for name in ATTRIBUTES {
        let mut value = [0; 512];
        if let Ok(length) = rustix::fs::lgetxattr(path, name, &mut value[..]) {
            attributes.insert(name, value[..length].to_vec());
        }
    }
    let mode = if kind.is_symlink() { 0 } else { is.mode() & 0o7777 };
    let text = format!("{mode:o} {}:{} {time} {attributes:?} {own}", is.uid(), is.gid());
    (text, (!kind.is_dir() && is.nlink() > 1).then(|| is.ino()))
}

/// All below a directory, by path; files of several names have the first of them.
fn tree(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let (mut found, mut first_names, mut open) = (BTreeMap::new(), HashMap::new(), vec![root.to_owned()]);
    let mut paths = BTreeSet::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory can be read") {
            let path = entry.expect("a directory can be read").path();
            if path.symlink_metadata().is_ok_and(|is| is.is_dir()) {
                open.push(path.clone());
            }
            paths.insert(path);
        }
    }
    for path in paths {
        let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes().to_vec();
        let is_directory = path.symlink_metadata().is_ok_and(|is| is.is_dir());
        let (mut text, number) = looks(&path, !is_directory);
        if let Some(number) = number {
            let first = first_names.entry(number).or_insert_with(|| name.clone());
            text += &format!(" as {:?}", String::from_utf8_lossy(first));
        }
        found.insert(name, text);
    }
    found
}

libfuzzer_sys::fuzz_target!(|entries: Vec<Entry>| {
    let (mut archive, mut earlier) = (Vec::new(), Vec::new());
    for entry in entries.iter().take(ENTRIES_MAX) {
        write(&mut archive, entry, &mut earlier);
    }
    archive.extend_from_slice(&[0; 1024]);
    let (ours, theirs) = (FOLDER.join("ours"), FOLDER.join("theirs"));
    for root in [&ours, &theirs] {
        fs::create_dir(root).expect("a folder can be made");
    }
    let taken = images::fuzzing::unpack(&archive, &ours).is_ok() && by_gnu(&archive, &theirs);
    if taken {
        let (ours, theirs) = (tree(&ours), tree(&theirs));
        if ours != theirs {
            let _ = fs::write(FOLDER.with_extension("tar"), &archive);
        }
        for (name, looks) in &ours {
            let shown = String::from_utf8_lossy(name);
            assert_eq!(Some(looks), theirs.get(name), "{shown:?}: ours, and GNU tar's");
        }
        assert!(theirs.keys().all(|name| ours.contains_key(name)), "GNU tar made more: {theirs:?}");
    }
    for root in [&ours, &theirs] {
        fs::remove_dir_all(root).expect("a tree can be removed");
    }
});
