//! The writing half: cuts output into records and turns the files over.

use super::record::{OVERHEAD_BYTES, RECORD_BYTES_MAX, decode, encode, last_length};
use super::{Error, LINE_BYTES_MAX, file_path, numbers};
use crate::setup::Log;
use crate::shim::wire::Stream;
use base::Time;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

/// Writes one container's log.
#[derive(Debug)]
pub struct Writer {
    settings: Log,
    number: u64,
    file: File,
    bytes: u64,
    /// The unfinished line of each stream.
    lines: [Line; 2],
}

#[derive(Debug, Default)]
struct Line {
    /// When its first byte came.
    since: Time,
    bytes: Vec<u8>,
}

impl Writer {
    /// Goes on with the newest file, after cutting off what a crash has left of a record.
    ///
    /// # Errors
    /// Where the directory or the file cannot be used.
    pub fn open(settings: &Log) -> Result<Writer, Error> {
        let number = numbers(&settings.directory)?.last().copied().unwrap_or(1);
        let path = file_path(&settings.directory, number);
        let file = open_file(&path)?;
        let read = |source| Error::Read { path: path.clone(), source };
        let length = file.metadata().map_err(read)?.len();
        let bytes = whole_bytes(&file, length).map_err(read)?;
        if bytes != length {
            file.set_len(bytes).map_err(|source| Error::Write { path: path.clone(), source })?;
        }
        Ok(Writer { settings: settings.clone(), number, file, bytes, lines: Default::default() })
    }

    /// Takes a piece of output. Lines that it completes are in the file when this returns.
    ///
    /// # Errors
    /// Where the file cannot be written; what was not written is dropped, so that a full disk stops no container.
    pub fn write(&mut self, stream: Stream, mut output: &[u8], now: Time) -> Result<(), Error> {
        let line = &mut self.lines[usize::from(stream == Stream::Stderr)];
        let mut records = Vec::new();
        while !output.is_empty() {
            let end = output.iter().position(|byte| *byte == b'\n').map_or(output.len(), |at| at + 1);
            let room = LINE_BYTES_MAX - line.bytes.len();
            let (piece, rest) = output.split_at(end.min(room));
            output = rest;
            if line.bytes.is_empty() {
                line.since = now;
            }
            let ends = piece.last() == Some(&b'\n');
            if line.bytes.is_empty() && (ends || piece.len() == LINE_BYTES_MAX) {
                encode(&mut records, now, stream, !ends, piece);
                continue;
            }
            line.bytes.extend_from_slice(piece);
            if ends || line.bytes.len() == LINE_BYTES_MAX {
                encode(&mut records, line.since, stream, !ends, &line.bytes);
                line.bytes = Vec::new();
            }
        }
        self.append(&records)
    }

    /// Writes the lines that have no newline, because there will be no more output.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn finish(&mut self) -> Result<(), Error> {
        let mut records = Vec::new();
        for (line, stream) in self.lines.iter_mut().zip([Stream::Stdout, Stream::Stderr]) {
            if !line.bytes.is_empty() {
                encode(&mut records, line.since, stream, true, &line.bytes);
                line.bytes = Vec::new();
            }
        }
        self.append(&records)
    }

    fn append(&mut self, records: &[u8]) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        if self.bytes > 0 && self.bytes + records.len() as u64 > self.settings.file_bytes_max {
            self.turn_over()?;
        }
        if let Err(source) = self.file.write_all(records) {
            // A part of a record must not stay before the next one.
            let _ = self.file.set_len(self.bytes);
            return Err(Error::Write { path: file_path(&self.settings.directory, self.number), source });
        }
        self.bytes += records.len() as u64;
        Ok(())
    }

    /// Begins the next file and removes those that are one too many.
    fn turn_over(&mut self) -> Result<(), Error> {
        self.file = open_file(&file_path(&self.settings.directory, self.number + 1))?;
        (self.number, self.bytes) = (self.number + 1, 0);
        let kept = u64::from(self.settings.files_max.max(1));
        for number in numbers(&self.settings.directory)? {
            if number + kept <= self.number {
                // One that is gone already was to go.
                let _ = fs::remove_file(file_path(&self.settings.directory, number));
            }
        }
        Ok(())
    }
}

fn open_file(path: &PathBuf) -> Result<File, Error> {
    let opened = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path);
    opened.map_err(|source| Error::Open { path: path.clone(), source })
}

/// How much of a file is whole records. Its end tells at once, unless it is torn: then it is read from its beginning.
fn whole_bytes(file: &File, length: u64) -> io::Result<u64> {
    if length == 0 {
        return Ok(0);
    }
    let from = length.saturating_sub(RECORD_BYTES_MAX as u64);
    let mut tail = vec![0; (length - from) as usize];
    file.read_exact_at(&mut tail, from)?;
    if last_length(&tail).is_some() {
        return Ok(length);
    }
    let mut whole = 0;
    let mut buffer = vec![0; RECORD_BYTES_MAX];
    while whole < length {
        let wanted = (length - whole).min(RECORD_BYTES_MAX as u64) as usize;
        file.read_exact_at(&mut buffer[..wanted], whole)?;
        match decode(&buffer[..wanted]) {
            Some((_, bytes)) => whole += bytes as u64,
            None => break,
        }
    }
    debug_assert!(whole == 0 || whole >= OVERHEAD_BYTES as u64);
    Ok(whole)
}
