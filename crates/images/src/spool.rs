//! A file that one thread writes while another reads it: a layer is unpacked while it still arrives.

use crate::hash::Hasher;
use crate::room::Room;
use model::Digest;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// How far the writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// More may come.
    Open,
    /// This is all.
    Whole,
    /// The writer gave up.
    Broken,
}

struct Progress {
    state: Mutex<(u64, End)>,
    moved: Condvar,
}

impl Progress {
    fn set(&self, written: u64, end: End) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (written, end);
        self.moved.notify_all();
    }
}

/// Writes the file and hashes it. Dropping it unfinished tells the reader that the rest never comes.
pub(crate) struct Spool {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    room: Room,
    /// Bytes that were in the file already; they are given once more, and not written.
    there: u64,
    written: u64,
    progress: Arc<Progress>,
}

impl Spool {
    pub(crate) fn create(path: &Path) -> io::Result<Spool> {
        Spool::over(path, 0)
    }

    /// Goes over a file that may have so many bytes already, which come once more: they are hashed as the others are.
    pub(crate) fn over(path: &Path, there: u64) -> io::Result<Spool> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(there == 0);
        Ok(Spool {
            path: path.to_owned(),
            file: options.open(path)?,
            there,
            hasher: Hasher::default(),
            room: Room::of(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?,
            written: 0,
            progress: Arc::new(Progress { state: Mutex::new((0, End::Open)), moved: Condvar::new() }),
        })
    }

    /// A reader from the beginning, for another thread.
    pub(crate) fn follow(&self) -> io::Result<Follow> {
        Ok(Follow { file: File::open(&self.path)?, at: 0, progress: Arc::clone(&self.progress) })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.written + bytes.len() as u64;
        if end > self.there {
            self.room.take(bytes.len() as u64)?;
            self.file.write_all_at(bytes, self.written)?;
        }
        self.hasher.update(bytes);
        self.written = end;
        self.progress.set(self.written, End::Open);
        Ok(())
    }

    /// Ends the file: its digest and its length in bytes.
    pub(crate) fn finish(mut self) -> (Digest, u64) {
        self.progress.set(self.written, End::Whole);
        (std::mem::take(&mut self.hasher).finish(), self.written)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let mut state = self.progress.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 == End::Open {
            state.1 = End::Broken;
        }
        drop(state);
        self.progress.moved.notify_all();
    }
}

/// Reads the file as it grows.
pub(crate) struct Follow {
    file: File,
    at: u64,
    progress: Arc<Progress>,
}

impl Follow {
    /// Another reader from the beginning of the file, which is still at `path`.
    pub(crate) fn again(&self, path: &Path) -> io::Result<Follow> {
        Ok(Follow { file: File::open(path)?, at: 0, progress: Arc::clone(&self.progress) })
    }

    /// The file itself, to be synced once all of it was read.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

impl Read for Follow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.progress.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |state: &mut (u64, End)| state.0 <= self.at && state.1 == End::Open;
        let state = self.progress.moved.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        let (written, end) = *state;
        drop(state);
        if written <= self.at {
            return if end == End::Broken { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(0) };
        }
        let wanted = usize::try_from(written - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let got = self.file.read(&mut buffer[..wanted])?;
        self.at += got as u64;
        Ok(got)
    }
}
