//! Writes tar archives: POSIX ustar headers, with a PAX record for whatever does not fit, pax(1).

use crate::tarball::{BLOCK_BYTES, Entry, Kind};
use std::io::{self, Write};

/// Two blocks of zeros end an archive.
const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];
/// The longest path of a plain header.
const PATH_BYTES_MAX: usize = 100;
/// The largest size that eleven octal digits hold.
const SIZE_MAX: u64 = 0o77_777_777_777;
/// The largest owner and device number that seven octal digits hold.
const ID_MAX: u32 = 0o7_777_777;

/// Writes one archive to `out`.
pub(crate) struct TarWriter<W> {
    out: W,
    /// Seconds since the epoch, of every entry.
    mtime: i64,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(out: W, mtime: i64) -> TarWriter<W> {
        TarWriter { out, mtime: mtime.max(0) }
    }

    pub(crate) fn directory(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.entry(&Entry { mode, mtime: (self.mtime, 0), ..Entry::new(path.as_bytes(), Kind::Directory) })
    }

    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.begin_file(path, mode, bytes.len() as u64)?;
        self.out.write_all(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// Begins a file of `size` bytes; they are written to [`TarWriter::out`], and [`TarWriter::pad`] ends it.
    pub(crate) fn begin_file(&mut self, path: &str, mode: u32, size: u64) -> io::Result<()> {
        self.entry(&Entry { mode, size, mtime: (self.mtime, 0), ..Entry::new(path.as_bytes(), Kind::File) })
    }

    /// Writes the header of an entry as it is; the bytes of its data follow, and [`TarWriter::pad`].
    pub(crate) fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        let records = records_of(entry);
        if !records.is_empty() {
            let bytes = records.len() as u64;
            let mut header = Block::new(b"././@PaxHeader", b'x');
            header.numbers(0o644, 0, 0, bytes, entry.mtime.0);
            self.out.write_all(&header.summed())?;
            self.out.write_all(&records)?;
            self.pad(bytes)?;
        }
        let mut header = Block::new(&entry.path, type_of(entry.kind));
        header.numbers(entry.mode, entry.uid, entry.gid, entry.size, entry.mtime.0);
        header.text(LINK_AT, &entry.link[..entry.link.len().min(PATH_BYTES_MAX)]);
        if matches!(entry.kind, Kind::Char | Kind::Block) {
            header.octal(DEVICE_AT, 7, entry.device.0.into());
            header.octal(DEVICE_AT + 8, 7, entry.device.1.into());
        }
        self.out.write_all(&header.summed())
    }

    pub(crate) fn out(&mut self) -> &mut W {
        &mut self.out
    }

    pub(crate) fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = (size.wrapping_neg() % BLOCK_BYTES as u64) as usize;
        self.out.write_all(&END[..rest])
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&END)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Where a link's target and a device's numbers stand in a header.
const LINK_AT: usize = 157;
const DEVICE_AT: usize = 329;

/// One header.
struct Block([u8; BLOCK_BYTES]);

impl Block {
    fn new(path: &[u8], kind: u8) -> Block {
        let mut block = Block([0; BLOCK_BYTES]);
        block.text(0, &path[..path.len().min(PATH_BYTES_MAX)]);
        block.text(257, b"ustar\x0000");
        block.0[156] = kind;
        block
    }

    fn text(&mut self, at: usize, text: &[u8]) {
        self.0[at..at + text.len()].copy_from_slice(text);
    }

    /// A number, or as much of it as has room: the rest is told by a record.
    fn octal(&mut self, at: usize, digits: usize, number: u64) {
        let number = number & ((1 << (3 * digits)) - 1);
        self.text(at, format!("{number:0digits$o}").as_bytes());
    }

    fn numbers(&mut self, mode: u32, uid: u32, gid: u32, size: u64, mtime: i64) {
        self.octal(100, 7, (mode & 0o7777).into());
        self.octal(108, 7, uid.into());
        self.octal(116, 7, gid.into());
        self.octal(124, 11, size);
        self.octal(136, 11, u64::try_from(mtime).unwrap_or(0));
    }

    fn summed(mut self) -> [u8; BLOCK_BYTES] {
        self.text(148, b"        ");
        let sum: u32 = self.0.iter().map(|&byte| u32::from(byte)).sum();
        self.text(148, format!("{sum:06o}\0").as_bytes());
        self.0
    }
}

fn type_of(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::Hardlink => b'1',
        Kind::Symlink => b'2',
        Kind::Char => b'3',
        Kind::Block => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
        Kind::Other(other) => other,
    }
}

/// What a plain header cannot say of an entry.
fn records_of(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| records.extend(record(key, value));
    if entry.path.len() > PATH_BYTES_MAX {
        add(b"path", &entry.path);
    }
    if entry.link.len() > PATH_BYTES_MAX {
        add(b"linkpath", &entry.link);
    }
    for (key, number) in [(b"uid", entry.uid), (b"gid", entry.gid)] {
        if number > ID_MAX {
            add(key, number.to_string().as_bytes());
        }
    }
    if entry.size > SIZE_MAX {
        add(b"size", entry.size.to_string().as_bytes());
    }
    let (seconds, nanos) = entry.mtime;
    if nanos != 0 || seconds < 0 {
        add(b"mtime", decimal(seconds, nanos).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// Seconds and nanoseconds since the epoch as a decimal number without zeros at its end.
fn decimal(seconds: i64, nanos: u32) -> String {
    let all = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let (sign, all) = (if all < 0 { "-" } else { "" }, all.unsigned_abs());
    let text = format!("{sign}{}.{:09}", all / 1_000_000_000, all % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A PAX record, whose length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} ").as_bytes(), key, b"=", value, b"\n"].concat()
}
