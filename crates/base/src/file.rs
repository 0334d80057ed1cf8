//! Files that are whole or absent, whatever is killed in between.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// How much a write must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of this process, not of the machine: no sync is made.
    Process,
    /// The loss of power: file and directory are synced.
    Machine,
}

/// Writes `bytes` to `path` so that a reader sees the old content or the new one, never a part.
///
/// # Errors
/// Whatever the file system says, the disk being full above all; the old content then still stands.
pub fn write_atomically(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_os_string();
    name.push(format!(".{:x}.tmp", crate::random::number()));
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(bytes)?;
        if durability == Durability::Machine {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    })();
    if let Err(error) = written {
        // The first failure is the one to tell; a leftover of it is removed when the directory is next cleaned.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    if durability == Durability::Machine
        && let Some(directory) = path.parent()
    {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Reads a file that may be absent.
///
/// # Errors
/// Any error but the file's absence.
pub fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file or a whole directory, which may be absent already. Links are removed, not followed.
///
/// # Errors
/// Any error but absence.
pub fn remove_all(path: &Path) -> io::Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Err(error) => Err(error),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    match gone {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_file_holds_the_new_content_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status");
        write_atomically(&path, b"one", Durability::Process).unwrap();
        write_atomically(&path, b"two", Durability::Machine).unwrap();
        assert_eq!(read_if_there(&path).unwrap().unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn removing_what_is_not_there_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        remove_all(&directory.path().join("absent")).unwrap();
        assert_eq!(read_if_there(&directory.path().join("absent")).unwrap(), None);
    }
}
