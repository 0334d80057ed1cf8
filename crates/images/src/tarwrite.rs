//! Writes tar archives: POSIX ustar headers, with a PAX record where a path or a size does not fit.

use crate::tarball::BLOCK_BYTES;
use std::io::{self, Write};

/// Two blocks of zeros end an archive.
const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];
/// The longest path of a plain header.
const PATH_BYTES_MAX: usize = 100;
/// The largest size that eleven octal digits hold.
const SIZE_MAX: u64 = 0o77_777_777_777;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    File = b'0' as isize,
    Directory = b'5' as isize,
    Extension = b'x' as isize,
}

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
        self.header(path, Flag::Directory, mode, 0)
    }

    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.begin_file(path, mode, bytes.len() as u64)?;
        self.out.write_all(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// Begins a file of `size` bytes; they are written to [`TarWriter::out`], and [`TarWriter::pad`] ends it.
    pub(crate) fn begin_file(&mut self, path: &str, mode: u32, size: u64) -> io::Result<()> {
        self.header(path, Flag::File, mode, size)
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

    fn header(&mut self, path: &str, flag: Flag, mode: u32, size: u64) -> io::Result<()> {
        let mut records = String::new();
        if path.len() > PATH_BYTES_MAX {
            records.push_str(&pax_record("path", path));
        }
        if size > SIZE_MAX {
            records.push_str(&pax_record("size", &size.to_string()));
        }
        if !records.is_empty() {
            let bytes = records.len() as u64;
            self.out.write_all(&block("././@PaxHeader", Flag::Extension, 0o644, bytes, self.mtime))?;
            self.out.write_all(records.as_bytes())?;
            self.pad(bytes)?;
        }
        let end = path.floor_char_boundary(PATH_BYTES_MAX);
        self.out.write_all(&block(&path[..end], flag, mode, size.min(SIZE_MAX), self.mtime))
    }
}

/// A PAX record, whose length counts its own digits.
fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

fn block(path: &str, flag: Flag, mode: u32, size: u64, mtime: i64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, &format!("{mtime:011o}"));
    put(148, "        ");
    put(257, "ustar\x0000");
    block[156] = flag as u8;
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}
