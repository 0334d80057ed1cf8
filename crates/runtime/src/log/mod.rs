//! A container's log: written by its shim, read by any number of readers, bounded on disk.
//!
//! A log is a directory of files named by their number, `1.log`, `2.log` …, the highest being written. Once a file has
//! reached its bound the next is begun and the oldest is removed; a reader that was in it goes on with the oldest that
//! is left. Files only grow, so that a reader needs no lock: its position is a file's number and an offset.
//!
//! A record is one line, or a part of one: the output is cut at newlines and at 16 KiB, as Docker cuts it. Each record
//! ends with its own length, so that a log is read backwards for its last lines, and so that the next writer sees
//! whether the last record was torn by a crash; it then cuts the torn part off.

mod reader;
mod record;
mod writer;

pub use reader::{Position, Query, Reader};
pub use record::Record;
pub use writer::Writer;

use std::io;
use std::path::{Path, PathBuf};

/// The longest piece of a line that is one record, in bytes.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory could not be listed.
    #[error("list the log {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file could not be opened.
    #[error("open the log file {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file could not be read.
    #[error("read the log file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("write the log file {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// The path of one file of a log.
fn file_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number}.log"))
}

/// The numbers of a log's files, the oldest first. A log that was never written has none.
fn numbers(directory: &Path) -> Result<Vec<u64>, Error> {
    let list = |source| Error::List { path: directory.to_owned(), source };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(list)?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(list)?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}
