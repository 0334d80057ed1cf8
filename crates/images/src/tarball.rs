//! Reads tar archives from a stream: ustar, GNU (long names, sparse files, base-256 numbers) and PAX.
//!
//! The reader trusts nothing: every number is checked, every extension is bounded, and an archive that ends in the
//! middle is told apart from one that ends. Formats: `pax(1)` of POSIX.1-2017 and "Basic Tar Format" of the GNU tar
//! manual.

mod pax;

pub(crate) use pax::decimal;

use crate::sparse::{self, Sparse};
use std::io::{self, Read};

/// The unit of the format.
pub(crate) const BLOCK_BYTES: usize = 512;
/// An extension header (long name, PAX records) may be as big as this.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// Extension headers in a row before one entry.
const EXTENSIONS_MAX: usize = 16;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// It ends in the middle.
    #[error("unexpected EOF")]
    Truncated,
    /// It cannot be read from where it comes, or decompressed.
    #[error("read the stream")]
    Read(#[source] io::Error),
    /// A header's checksum does not fit.
    #[error("invalid tar header")]
    Checksum,
    /// A number of a header makes no sense.
    #[error("invalid {0} in a tar header")]
    Number(&'static str),
    /// An extension header is bigger than anybody needs.
    #[error("a tar extension header of {0} bytes is too big")]
    Extension(u64),
    /// An extension header is not what it should be.
    #[error("invalid PAX record in a tar header")]
    Pax,
    /// The map of a sparse file contradicts itself.
    #[error("invalid map of a sparse file in a tar header")]
    Sparse,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Hardlink,
    Symlink,
    Char,
    Block,
    Directory,
    Fifo,
    /// A type that has no meaning in a layer.
    Other(u8),
}

/// One entry, its extensions applied.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Bytes of data that follow in the archive.
    pub(crate) size: u64,
    /// Seconds and nanoseconds since the epoch.
    pub(crate) mtime: (i64, u32),
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<Record>,
    pub(crate) sparse: Option<Sparse>,
}

impl Entry {
    /// An entry of which nothing more is known.
    pub(crate) fn new(path: &[u8], kind: Kind) -> Entry {
        Entry {
            path: path.to_vec(),
            link: Vec::new(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: (0, 0),
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}

/// Key and value of a PAX record, or name and value of an attribute.
type Record = (Vec<u8>, Vec<u8>);

/// What extension headers say about the entry that follows.
#[derive(Default)]
struct Extensions {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    records: Vec<Record>,
}

/// Reads the entries of an archive one after the other.
pub(crate) struct TarReader<R> {
    input: R,
    /// Bytes of the current entry's data that are not read yet.
    left: u64,
    /// Bytes that fill the entry's last block.
    padding: u64,
    ended: bool,
    /// Whether the archive said that it ends, rather than just ending.
    marked: bool,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(input: R) -> TarReader<R> {
        TarReader { input, left: 0, padding: 0, ended: false, marked: false }
    }

    /// The next entry; what is left of the last one is skipped. `None` at the end of the archive.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_rest()?;
        let mut extensions = Extensions::default();
        for _ in 0..EXTENSIONS_MAX {
            let Some(header) = self.header()? else {
                // Extensions without an entry are a cut.
                let cut = !extensions.records.is_empty() || extensions.long_name.is_some();
                return if cut { Err(TarError::Truncated) } else { Ok(None) };
            };
            let size = number(&header[124..136]).ok_or(TarError::Number("size"))?;
            match header[156] {
                b'x' => {
                    let bytes = self.extension(size)?;
                    extensions.records.extend(pax::records(&bytes)?);
                }
                // Global records say nothing about a single entry that layers need.
                b'g' => drop(self.extension(size)?),
                b'L' => extensions.long_name = Some(until_nul(&self.extension(size)?).to_vec()),
                b'K' => extensions.long_link = Some(until_nul(&self.extension(size)?).to_vec()),
                _ => return self.entry(&header, size, extensions).map(Some),
            }
        }
        Err(TarError::Pax)
    }

    /// Reads from the current entry's data; 0 at its end.
    pub(crate) fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let got = read_some(&mut self.input, &mut buffer[..wanted])?;
        if got == 0 {
            return Err(TarError::Truncated);
        }
        self.left -= got as u64;
        Ok(got)
    }

    /// Whether the end of the archive was marked. One that just stops may have been cut between two entries.
    pub(crate) fn end_is_marked(&self) -> bool {
        self.marked
    }

    /// Reads to the end of the stream, past the archive's end, so that whoever hashes it has seen everything.
    pub(crate) fn drain(&mut self) -> Result<(), TarError> {
        let mut buffer = vec![0; 64 << 10];
        while read_some(&mut self.input, &mut buffer)? != 0 {}
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let mut rest = self.left + self.padding;
        self.left = 0;
        self.padding = 0;
        let mut buffer = [0; 16 << 10];
        while rest > 0 {
            let wanted = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
            match read_some(&mut self.input, &mut buffer[..wanted])? {
                0 => return Err(TarError::Truncated),
                got => rest -= got as u64,
            }
        }
        Ok(())
    }

    /// The next header block; `None` at the end. Two blocks of zeros end an archive, and so does the end of the
    /// stream where a header could begin.
    fn header(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let mut block = [0; BLOCK_BYTES];
        for _ in 0..2 {
            if !self.block(&mut block)? {
                self.ended = true;
                return Ok(None);
            }
            if block.iter().any(|&byte| byte != 0) {
                return if checksum_fits(&block) { Ok(Some(block)) } else { Err(TarError::Checksum) };
            }
        }
        self.ended = true;
        self.marked = true;
        Ok(None)
    }

    /// Whether a whole block was there; a part of one is a cut.
    fn block(&mut self, block: &mut [u8; BLOCK_BYTES]) -> Result<bool, TarError> {
        let mut done = 0;
        while done < BLOCK_BYTES {
            match read_some(&mut self.input, &mut block[done..])? {
                0 if done == 0 => return Ok(false),
                0 => return Err(TarError::Truncated),
                got => done += got,
            }
        }
        Ok(true)
    }

    fn set_data(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK_BYTES as u64;
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > EXTENSION_BYTES_MAX {
            return Err(TarError::Extension(size));
        }
        self.set_data(size);
        let mut bytes = vec![0; size as usize];
        let mut done = 0;
        while done < bytes.len() {
            done += self.read_data(&mut bytes[done..])?;
        }
        self.skip_rest()?;
        Ok(bytes)
    }

    fn entry(&mut self, header: &[u8; BLOCK_BYTES], size: u64, ext: Extensions) -> Result<Entry, TarError> {
        let field = |from: usize, to: usize, name| number(&header[from..to]).ok_or(TarError::Number(name));
        let small =
            |from, to, name| u32::try_from(field(from, to, name)?).map_err(|_| TarError::Number(name));
        let kind = kind_of(header[156]);
        let mut entry = Entry {
            path: ext.long_name.unwrap_or_else(|| path_of(header)),
            link: ext.long_link.unwrap_or_else(|| until_nul(&header[157..257]).to_vec()),
            kind,
            mode: small(100, 108, "mode")?,
            uid: small(108, 116, "uid")?,
            gid: small(116, 124, "gid")?,
            size,
            mtime: (signed(&header[136..148]).ok_or(TarError::Number("mtime"))?, 0),
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        };
        if matches!(kind, Kind::Char | Kind::Block) {
            entry.device = (small(329, 337, "device")?, small(337, 345, "device")?);
        }
        let sparse = pax::apply(&mut entry, &ext.records)?;
        // The oldest archives have no type for directories: their names end with a slash.
        if entry.kind == Kind::File && entry.path.ends_with(b"/") {
            entry.kind = Kind::Directory;
        }
        if !matches!(entry.kind, Kind::File | Kind::Other(_)) {
            // Some writers give the size of the target to links, which have no data.
            entry.size = if matches!(entry.kind, Kind::Directory) { entry.size } else { 0 };
        }
        if header[156] == b'S' {
            let map = self.old_sparse_map(header)?;
            self.set_data(entry.size);
            entry.sparse = Some(map.checked(entry.size)?);
        } else {
            self.set_data(entry.size);
            if let Some(records) = sparse {
                self.pax_sparse(&mut entry, records)?;
            }
        }
        Ok(entry)
    }

    /// The map of a sparse file in GNU's old format: in the header and in blocks that follow it.
    fn old_sparse_map(&mut self, header: &[u8; BLOCK_BYTES]) -> Result<Sparse, TarError> {
        let real_size = number(&header[483..495]).ok_or(TarError::Sparse)?;
        let mut map = Sparse { real_size, pieces: Vec::new() };
        map.add_old(&header[386..482])?;
        let mut more = header[482] != 0;
        while more {
            let mut block = [0; BLOCK_BYTES];
            if !self.block(&mut block)? {
                return Err(TarError::Truncated);
            }
            map.add_old(&block[..504])?;
            more = block[504] != 0;
        }
        Ok(map)
    }

    fn pax_sparse(&mut self, entry: &mut Entry, records: sparse::Records) -> Result<(), TarError> {
        let sparse = match records.map {
            Some(map) => map,
            // Version 1.0: the map stands in front of the data.
            None => sparse::read_map(|buffer| {
                let mut done = 0;
                while done < buffer.len() {
                    match self.read_data(&mut buffer[done..])? {
                        0 => return Err(TarError::Sparse),
                        got => done += got,
                    }
                }
                Ok(())
            })?,
        };
        entry.size = self.left;
        entry.sparse = Some(Sparse { real_size: records.real_size, pieces: sparse }.checked(self.left)?);
        Ok(())
    }
}

fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, TarError> {
    loop {
        match input.read(buffer) {
            Ok(got) => return Ok(got),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(TarError::Truncated),
            Err(error) => return Err(TarError::Read(error)),
        }
    }
}

fn kind_of(flag: u8) -> Kind {
    match flag {
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::Hardlink,
        b'2' => Kind::Symlink,
        b'3' => Kind::Char,
        b'4' => Kind::Block,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => Kind::Other(other),
    }
}

fn path_of(header: &[u8; BLOCK_BYTES]) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    // GNU archives have other things where POSIX ones have the first part of a long name.
    let prefix = if &header[257..263] == b"ustar\0" { until_nul(&header[345..500]) } else { &[] };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

/// The checksum counts its own field as spaces. Old writers summed signed bytes.
pub(crate) fn checksum_fits(header: &[u8; BLOCK_BYTES]) -> bool {
    let Some(wanted) = number(&header[148..156]) else { return false };
    let byte = |at: usize| if (148..156).contains(&at) { b' ' } else { header[at] };
    let unsigned: u64 = (0..BLOCK_BYTES).map(|at| u64::from(byte(at))).sum();
    let signed: i64 = (0..BLOCK_BYTES).map(|at| i64::from(byte(at) as i8)).sum();
    wanted == unsigned || i64::try_from(wanted) == Ok(signed)
}

/// A number of a header: octal digits, or GNU's base-256 form, whose first bit is set. Empty is zero.
pub(crate) fn number(field: &[u8]) -> Option<u64> {
    u64::try_from(signed(field)?).ok()
}

fn signed(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        let start = if first & 0x40 != 0 { -1i64 } else { 0 };
        let mut value = i128::from(start) << 6 | i128::from(first & 0x3f);
        for &byte in &field[1..] {
            value = value << 8 | i128::from(byte);
            i64::try_from(value).ok()?;
        }
        return i64::try_from(value).ok();
    }
    let text = until_nul(field).trim_ascii();
    let mut value = 0i64;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 7 {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One entry of each kind of extension, as a writer would make it.
    fn archive() -> Vec<u8> {
        let mut tar = crate::tarwrite::TarWriter::new(Vec::new(), 7);
        tar.directory("d", 0o755).unwrap();
        tar.file(&"long/".repeat(40), 0o644, b"content").unwrap();
        tar.file("plain", 0o600, &[3; 700]).unwrap();
        tar.finish().unwrap()
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<Entry>, TarError> {
        let mut tar = TarReader::new(bytes);
        let mut entries = Vec::new();
        while let Some(entry) = tar.next()? {
            let mut buffer = [0; 100];
            while tar.read_data(&mut buffer)? != 0 {}
            entries.push(entry);
        }
        tar.drain()?;
        Ok(entries)
    }

    #[test]
    fn what_the_writer_writes_is_read_back() {
        let entries = read_all(&archive()).unwrap();
        assert_eq!(entries[0].kind, Kind::Directory);
        assert_eq!(entries[1].path, "long/".repeat(40).as_bytes());
        assert_eq!((entries[2].size, entries[2].mode, entries[2].mtime), (700, 0o600, (7, 0)));
    }

    #[test]
    fn numbers_of_both_forms_are_read_and_others_refused() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"    644 "), Some(0o644));
        assert_eq!(number(b"\x80\0\0\x01\0"), Some(1 << 8));
        assert_eq!(signed(b"\xff\xff\xff\xfe"), Some(-2));
        for bad in [&b"8"[..], b"-1", b"\xff\xff", b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff", b""] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
        assert_eq!(pax::time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(pax::time(b"1.0000000019"), Some((1, 1)));
    }

    proptest! {
        #[test]
        fn no_damage_to_an_archive_makes_the_reader_panic(
            changes in proptest::collection::vec((0usize..4096, any::<u8>()), 1..8),
            cut in 0usize..5000,
        ) {
            let mut bytes = archive();
            for (at, value) in changes {
                let at = at % bytes.len();
                bytes[at] = value;
                // A fitting checksum lets the damage through to the fields.
                let start = at / BLOCK_BYTES * BLOCK_BYTES;
                let block = &mut bytes[start..start + BLOCK_BYTES];
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            bytes.truncate(cut.max(1));
            let _ = read_all(&bytes);
        }

        #[test]
        fn no_extension_makes_the_reader_panic(records in proptest::collection::vec(any::<u8>(), 0..300), text in "[0-9]{1,3} (path|size|mtime|GNU.sparse.(map|size|major|realsize|offset|numbytes))=[0-9,.-]{0,30}\n") {
            for bytes in [records.as_slice(), text.as_bytes()] {
                if let Ok(records) = pax::records(bytes) {
                    let mut entry = read_all(&archive()).unwrap().remove(2);
                    let _ = pax::apply(&mut entry, &records);
                }
            }
        }
    }
}
