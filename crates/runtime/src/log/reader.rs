//! The reading half: from the start or the last lines on, between two moments, and on from a position.
//!
//! A reader holds one file open. [`Reader::next`] gives what is there and none at the end; a follower asks again from
//! where it is, after it was woken. What a crash has torn at the end of a file is passed over once a newer file
//! is there, and waited for otherwise.

use super::record::{RECORD_BYTES_MAX, Record, decode, last_length};
use super::{Error, file_path, numbers};
use base::Time;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// As much as is read from the file at once, in bytes.
const CHUNK_BYTES: usize = 4 * RECORD_BYTES_MAX;

/// A place between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The file's number.
    pub file: u64,
    /// Bytes from its beginning.
    pub offset: u64,
}

/// Which records are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The last so many lines; all if none.
    pub tail: Option<usize>,
    /// Not before this moment.
    pub since: Option<Time>,
    /// Not after this moment.
    pub until: Option<Time>,
}

/// Reads one container's log.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    query: Query,
    position: Position,
    file: Option<File>,
    buffer: Vec<u8>,
    used: usize,
}

impl Reader {
    /// Begins where the query says. A log that is not there yet is an empty one.
    ///
    /// # Errors
    /// Where a file that is there cannot be read.
    pub fn open(directory: &Path, query: Query) -> Result<Reader, Error> {
        let position = match query.tail {
            Some(lines) => tail(directory, lines)?,
            None => Position::default(),
        };
        Ok(Reader { query, ..Reader::at(directory, position) })
    }

    /// Begins at a position that [`Reader::position`] gave before.
    pub fn at(directory: &Path, position: Position) -> Reader {
        Reader {
            directory: directory.to_owned(),
            query: Query::default(),
            position,
            file: None,
            buffer: Vec::new(),
            used: 0,
        }
    }

    /// Where the next record begins.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next record that is wanted; none at the end, for now.
    ///
    /// # Errors
    /// Where a file cannot be read.
    #[expect(clippy::should_implement_trait, reason = "the end is for now only: an iterator would be fused")]
    pub fn next(&mut self) -> Result<Option<Record>, Error> {
        while let Some(record) = self.any()? {
            if self.query.since.is_some_and(|since| record.time < since) {
                continue;
            }
            if self.query.until.is_some_and(|until| record.time > until) {
                return Ok(None);
            }
            return Ok(Some(record));
        }
        Ok(None)
    }

    fn any(&mut self) -> Result<Option<Record>, Error> {
        loop {
            if let Some((record, length)) = decode(&self.buffer[self.used..]) {
                self.used += length;
                self.position.offset += length as u64;
                return Ok(Some(record));
            }
            if self.fill()? {
                continue;
            }
            let newer = numbers(&self.directory)?.into_iter().find(|number| *number > self.position.file);
            let Some(newer) = newer else { return Ok(None) };
            // The file may have grown between its end and the look for a newer one.
            if self.fill()? {
                continue;
            }
            self.position = Position { file: newer, offset: 0 };
            (self.file, self.used) = (None, 0);
            self.buffer.clear();
        }
    }

    /// Reads on from the position. Whether there is something else than before.
    fn fill(&mut self) -> Result<bool, Error> {
        if self.position.file == 0 {
            return Ok(false);
        }
        let path = file_path(&self.directory, self.position.file);
        if self.file.is_none() {
            match File::open(&path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(source) => return Err(Error::Open { path, source }),
            }
        }
        let Some(file) = &self.file else { return Ok(false) };
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut filled = 0;
        while filled < CHUNK_BYTES {
            match file.read_at(&mut buffer[filled..], self.position.offset + filled as u64) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Read { path, source }),
            }
        }
        buffer.truncate(filled);
        // A torn end may have been replaced by as many bytes: only the bytes tell whether there is something new.
        let is_new = buffer != self.buffer[self.used..];
        (self.buffer, self.used) = (buffer, 0);
        Ok(is_new)
    }
}

/// Where the last `lines` lines begin: read backwards, file by file.
fn tail(directory: &Path, lines: usize) -> Result<Position, Error> {
    let mut left = lines;
    let all = numbers(directory)?;
    let mut begin = Position::default();
    let mut newest = true;
    for &number in all.iter().rev() {
        let path = file_path(directory, number);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(source) => return Err(Error::Read { path, source }),
        };
        let mut end = whole(&bytes);
        if newest {
            begin = Position { file: number, offset: end as u64 };
            newest = false;
        }
        while let Some(length) = last_length(&bytes[..end]) {
            let start = end - length;
            let ends_a_line = decode(&bytes[start..end]).is_none_or(|(record, _)| !record.partial);
            // A part of a line belongs to the line that ends after it; at the very end it is a line of its own.
            let at_the_end = begin == Position { file: number, offset: end as u64 } && left == lines;
            if ends_a_line || at_the_end {
                if left == 0 {
                    return Ok(begin);
                }
                left -= 1;
            }
            begin = Position { file: number, offset: start as u64 };
            end = start;
        }
    }
    Ok(begin)
}

/// How much of a file is whole records.
fn whole(bytes: &[u8]) -> usize {
    if last_length(bytes).is_some() {
        return bytes.len();
    }
    let mut end = 0;
    while let Some((_, length)) = decode(&bytes[end..]) {
        end += length;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{LINE_BYTES_MAX, Writer};
    use crate::setup::Log;
    use crate::shim::wire::Stream;
    use std::io::Write as _;

    fn log(directory: &Path, file_bytes_max: u64) -> Log {
        Log { directory: directory.to_owned(), file_bytes_max, files_max: 3 }
    }

    fn time(seconds: i64) -> Time {
        Time::from_unix_seconds(seconds)
    }

    fn texts(reader: &mut Reader) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            texts.push(String::from_utf8(record.text).unwrap());
        }
        texts
    }

    fn ten_lines(directory: &Path) -> Writer {
        let mut writer = Writer::open(&log(directory, 1 << 20)).unwrap();
        for number in 0..10 {
            writer.write(Stream::Stdout, format!("line {number}\n").as_bytes(), time(number)).unwrap();
        }
        writer
    }

    #[test]
    fn lines_are_put_together_from_pieces_and_the_last_needs_no_newline() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(&log(directory.path(), 1 << 20)).unwrap();
        writer.write(Stream::Stdout, b"one\ntw", time(1)).unwrap();
        writer.write(Stream::Stderr, b"error\n", time(2)).unwrap();
        writer.write(Stream::Stdout, b"o\nthree", time(3)).unwrap();
        writer.finish().unwrap();
        let mut reader = Reader::open(directory.path(), Query::default()).unwrap();
        assert_eq!(texts(&mut reader), ["one\n", "error\n", "two\n", "three"]);
    }

    #[test]
    fn a_long_line_is_cut_into_parts() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(&log(directory.path(), 1 << 20)).unwrap();
        let mut long = vec![b'x'; LINE_BYTES_MAX + 10];
        long.push(b'\n');
        writer.write(Stream::Stdout, &long, time(1)).unwrap();
        let mut reader = Reader::open(directory.path(), Query::default()).unwrap();
        let first = reader.next().unwrap().unwrap();
        assert!(first.partial && first.text.len() == LINE_BYTES_MAX);
        let second = reader.next().unwrap().unwrap();
        assert!(!second.partial && second.text.len() == 11);
        let mut last = Reader::open(directory.path(), Query { tail: Some(1), ..Query::default() }).unwrap();
        assert!(last.next().unwrap().unwrap().partial, "the last line begins with its first part");
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let directory = tempfile::tempdir().unwrap();
        ten_lines(directory.path());
        let of = |lines| {
            let query = Query { tail: Some(lines), ..Query::default() };
            texts(&mut Reader::open(directory.path(), query).unwrap())
        };
        assert_eq!(of(2), ["line 8\n", "line 9\n"]);
        assert_eq!(of(0), Vec::<String>::new());
        assert_eq!(of(100).len(), 10);
    }

    #[test]
    fn only_records_between_two_moments_are_given() {
        let directory = tempfile::tempdir().unwrap();
        ten_lines(directory.path());
        let query = Query { since: Some(time(3)), until: Some(time(4)), ..Query::default() };
        assert_eq!(texts(&mut Reader::open(directory.path(), query).unwrap()), ["line 3\n", "line 4\n"]);
    }

    #[test]
    fn a_follower_goes_on_where_it_was_over_turned_files() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(&log(directory.path(), 100)).unwrap();
        let mut reader = Reader::open(directory.path(), Query::default()).unwrap();
        let mut seen = Vec::new();
        for number in 0..50 {
            writer.write(Stream::Stdout, format!("{number}\n").as_bytes(), time(1)).unwrap();
            seen.extend(texts(&mut reader));
        }
        assert_eq!(seen.len(), 50);
        assert!(numbers(directory.path()).unwrap().len() <= 3);
        let mut again = Reader::at(directory.path(), reader.position());
        writer.write(Stream::Stdout, b"more\n", time(1)).unwrap();
        assert_eq!(texts(&mut again), ["more\n"]);
    }

    #[test]
    fn a_torn_record_is_passed_over_and_cut_off_by_the_next_writer() {
        let directory = tempfile::tempdir().unwrap();
        drop(ten_lines(directory.path()));
        let path = file_path(directory.path(), 1);
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(&[1, 2, 3, 4, 5, 6, 7, 8, 200, 0, 0, 0, 1, 0, 0xb0, 0xca, b'x']).unwrap();
        let query = Query { tail: Some(1), ..Query::default() };
        assert_eq!(texts(&mut Reader::open(directory.path(), query).unwrap()), ["line 9\n"]);
        let mut reader = Reader::open(directory.path(), Query::default()).unwrap();
        assert_eq!(texts(&mut reader).len(), 10);
        let mut writer = Writer::open(&log(directory.path(), 1 << 20)).unwrap();
        writer.write(Stream::Stdout, b"after\n", time(20)).unwrap();
        assert_eq!(texts(&mut reader), ["after\n"]);
    }
}
