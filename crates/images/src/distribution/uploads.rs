//! Blobs that are being pushed.
//!
//! ```text
//!  begin -> open --write, sync--> open ... -> end: digest verified -> in its place, linked
//!             |  \--(no progress)--> given up        \--(another digest)--> gone
//!             +--cancel--> gone
//! ```
//!
//! An upload is a directory: the name of its repository, and the bytes so far. It outlives the process: what was
//! acknowledged is on the disk, and the hash is made anew from there. One request at a time has an upload; its owner is
//! the thread that writes, so that nobody else begins while a request that was given up still writes its last piece.

use super::digest::{Algorithm, ContentDigest, ContentHasher};
use super::names::Repository;
use super::records::Held;
use super::refusal::Refusal;
use super::{Registry, blobs};
use crate::home::sync_directory;
use crate::room::Room;
use crate::{Error, Result};
use base::Time;
use bytes::Bytes;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use store::Durability;
use tokio::sync::OwnedMutexGuard;

/// Uploads that may be open at a time.
const UPLOADS_MAX: usize = 1000;
/// Bytes of one blob.
pub(crate) const BLOB_BYTES_MAX: u64 = 1 << 40;
/// How long an upload may lie without progress.
const UPLOAD_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The two files of an upload's directory.
const REPOSITORY: &str = "repository";
const DATA: &str = "data";

/// All uploads that are open.
pub(crate) struct Uploads {
    directory: PathBuf,
    open: Mutex<HashMap<String, Entry>>,
}

#[derive(Clone)]
struct Entry {
    repository: Repository,
    upload: Arc<tokio::sync::Mutex<Upload>>,
}

/// An upload that one request has to itself.
pub(crate) type Taken = OwnedMutexGuard<Upload>;

/// One blob that is being pushed.
pub(crate) struct Upload {
    id: String,
    repository: Repository,
    directory: PathBuf,
    length: u64,
    /// Where the bytes go; opened with the first of them.
    pen: Option<Pen>,
    /// Whether its names are on the disk.
    named: bool,
    /// It was ended or cancelled while somebody waited for it.
    gone: bool,
    algorithm: Algorithm,
}

/// The open file, and the hash of all that is in it.
struct Pen {
    file: File,
    hasher: ContentHasher,
    room: Room,
    synced: bool,
}

impl Uploads {
    /// Finds the uploads that were open when the process ended. What is none is removed.
    pub(crate) fn open(directory: &Path) -> Result<Uploads> {
        let mut open = HashMap::new();
        for entry in fs::read_dir(directory).map_err(Error::read(directory))? {
            let path = entry.map_err(Error::read(directory))?.path();
            match read_upload(&path) {
                Some(upload) => {
                    let repository = upload.repository.clone();
                    let id = upload.id.clone();
                    open.insert(id, Entry { repository, upload: Arc::new(tokio::sync::Mutex::new(upload)) });
                }
                None => base::file::remove_all(&path).map_err(Error::remove(&path))?,
            }
        }
        Ok(Uploads { directory: directory.to_owned(), open: Mutex::new(open) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an upload and returns its name.
    ///
    /// # Errors
    /// [`Refusal::TooManyUploads`], or when its directory cannot be made.
    pub(crate) fn begin(&self, repository: &Repository, algorithm: Algorithm) -> Result<String, Refusal> {
        let id: String = base::random::bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let directory = self.directory.join(&id);
        let upload = Upload {
            id: id.clone(),
            repository: repository.clone(),
            directory: directory.clone(),
            length: 0,
            pen: None,
            named: false,
            gone: false,
            algorithm,
        };
        let entry =
            Entry { repository: repository.clone(), upload: Arc::new(tokio::sync::Mutex::new(upload)) };
        if self.lock().len() >= UPLOADS_MAX {
            return Err(Refusal::TooManyUploads { max: UPLOADS_MAX });
        }
        let made = fs::create_dir(&directory)
            .and_then(|()| fs::write(directory.join(REPOSITORY), repository.as_str()))
            .and_then(|()| File::create_new(directory.join(DATA)));
        if let Err(error) = made {
            let _ = base::file::remove_all(&directory);
            return Err(Error::write(&directory)(error).into());
        }
        // Only now: whoever looks for uploads without progress finds one that is whole.
        self.lock().insert(id.clone(), entry);
        Ok(id)
    }

    /// The upload of that name, once nobody else has it.
    ///
    /// # Errors
    /// [`Refusal::UnknownUpload`] when the repository has none.
    pub(crate) async fn take(&self, repository: &Repository, id: &str) -> Result<Taken, Refusal> {
        let unknown = || Refusal::UnknownUpload(id.to_owned());
        let found = self.lock().get(id).filter(|entry| entry.repository == *repository).cloned();
        let upload = found.ok_or_else(unknown)?.upload.lock_owned().await;
        if upload.gone { Err(unknown()) } else { Ok(upload) }
    }

    /// Ends an upload and deletes what came.
    ///
    /// # Errors
    /// When its directory cannot be removed.
    pub(crate) fn give_up(&self, upload: &mut Upload) -> Result<()> {
        upload.gone = true;
        upload.pen = None;
        self.lock().remove(&upload.id);
        base::file::remove_all(&upload.directory).map_err(Error::remove(&upload.directory))
    }

    /// Gives up the uploads that made no progress for too long; how many.
    pub(crate) fn give_up_stale(&self, now: Time) -> Result<usize> {
        let all: Vec<Entry> = self.lock().values().cloned().collect();
        let mut count = 0;
        for entry in all {
            // One that is in use makes progress.
            let Ok(mut upload) = entry.upload.try_lock() else { continue };
            if !upload.gone && upload.changed().is_none_or(|changed| now.since(changed) >= UPLOAD_KEPT) {
                self.give_up(&mut upload)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

/// An upload as it was left; `None` if the directory is none.
fn read_upload(directory: &Path) -> Option<Upload> {
    let id = directory.file_name()?.to_str()?.to_owned();
    let repository = fs::read_to_string(directory.join(REPOSITORY)).ok()?.parse().ok()?;
    let length = fs::metadata(directory.join(DATA)).ok()?.len();
    Some(Upload {
        id,
        repository,
        directory: directory.to_owned(),
        length,
        pen: None,
        named: false,
        gone: false,
        algorithm: Algorithm::Sha256,
    })
}

impl Upload {
    /// Its name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Bytes that are here.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    fn data(&self) -> PathBuf {
        self.directory.join(DATA)
    }

    fn changed(&self) -> Option<Time> {
        let changed = fs::metadata(self.data()).ok()?.modified().ok()?;
        let since = changed.duration_since(UNIX_EPOCH).ok()?;
        Some(Time::from_unix_nanos(i128::try_from(since.as_nanos()).ok()?))
    }

    /// The open file; what was there before this process is hashed first.
    fn pen(&mut self) -> io::Result<&mut Pen> {
        if self.pen.is_none() {
            let mut file = OpenOptions::new().read(true).write(true).open(self.data())?;
            let mut hasher = ContentHasher::new(self.algorithm);
            // A write that failed may have left more than counts.
            file.set_len(self.length)?;
            hasher.update_from(&mut file)?;
            file.seek(SeekFrom::Start(self.length))?;
            let room = Room::of(&self.directory)?;
            self.pen = Some(Pen { file, hasher, room, synced: false });
        }
        // It was set just now.
        self.pen.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When the disk is full or fails; the upload then is as long as before.
    pub(crate) fn write(&mut self, parts: &[Bytes]) -> Result<(), Refusal> {
        let path = self.data();
        let more: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if self.length + more > BLOB_BYTES_MAX {
            return Err(Refusal::TooLarge { what: "a blob", max: BLOB_BYTES_MAX });
        }
        let written = self.pen().and_then(|pen| {
            pen.room.take(more)?;
            pen.synced = false;
            parts.iter().try_for_each(|part| {
                pen.file.write_all(part)?;
                pen.hasher.update(part);
                Ok(())
            })
        });
        match written {
            Ok(()) => {
                self.length += more;
                Ok(())
            }
            Err(error) => {
                // The next one begins with the file as it should be.
                self.pen = None;
                Err(Error::write(&path)(error).into())
            }
        }
    }

    /// Puts all that is here on the disk: then it may be acknowledged.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn sync(&mut self) -> Result<()> {
        let path = self.data();
        let pen = self.pen().map_err(Error::write(&path))?;
        if !pen.synced {
            pen.file.sync_data().map_err(Error::write(&path))?;
            pen.synced = true;
        }
        if !self.named {
            let repository = self.directory.join(REPOSITORY);
            File::open(&repository).and_then(|file| file.sync_all()).map_err(Error::write(&repository))?;
            sync_directory(&self.directory)?;
            if let Some(parent) = self.directory.parent() {
                sync_directory(parent)?;
            }
            self.named = true;
        }
        Ok(())
    }

    /// The digest of all that is here, by an algorithm of the client's choice.
    fn digest(&mut self, algorithm: Algorithm) -> io::Result<ContentDigest> {
        let path = self.data();
        let hasher = self.pen()?.hasher.clone();
        if hasher.algorithm() == algorithm {
            return Ok(hasher.finish());
        }
        let mut hasher = ContentHasher::new(algorithm);
        hasher.update_from(&mut File::open(path)?)?;
        Ok(hasher.finish())
    }
}

impl Registry {
    /// Begins an upload and returns its name.
    ///
    /// # Errors
    /// [`Refusal::TooManyUploads`], or when its directory cannot be made.
    pub(crate) fn begin_upload(
        &self,
        repository: &Repository,
        algorithm: Algorithm,
    ) -> Result<String, Refusal> {
        self.uploads.begin(repository, algorithm)
    }

    /// The upload of that name, once nobody else has it.
    ///
    /// # Errors
    /// [`Refusal::UnknownUpload`] when the repository has none.
    pub(crate) async fn upload(&self, repository: &Repository, id: &str) -> Result<Taken, Refusal> {
        self.uploads.take(repository, id).await
    }

    /// Ends an upload and deletes what came.
    ///
    /// # Errors
    /// When its directory cannot be removed.
    pub(crate) fn cancel_upload(&self, upload: &mut Upload) -> Result<(), Refusal> {
        Ok(self.uploads.give_up(upload)?)
    }

    /// Makes a blob of an upload: verified, on the disk, and known to be the repository's.
    ///
    /// # Errors
    /// [`Refusal::OtherDigest`] when it is another one, or when the disk fails; the upload is gone then.
    pub(crate) fn end_upload(&self, upload: &mut Upload, wanted: ContentDigest) -> Result<(), Refusal> {
        let ended = self.make_blob(upload, wanted);
        let given_up = self.uploads.give_up(upload);
        ended?;
        Ok(given_up?)
    }

    fn make_blob(&self, upload: &mut Upload, wanted: ContentDigest) -> Result<(), Refusal> {
        let data = upload.data();
        let found = upload.digest(wanted.algorithm()).map_err(Error::read(&data))?;
        if found != wanted {
            return Err(Refusal::OtherDigest { wanted, found: Box::new(found) });
        }
        let pen = upload.pen().map_err(Error::write(&data))?;
        pen.file.sync_all().map_err(Error::write(&data))?;
        let held = Held { digest: wanted, repository: upload.repository.clone() };
        self.announced.announce(held.clone(), self.clock.instant());
        let bytes = upload.length;
        self.keep(wanted, &data, |tx| Ok(blobs::link(tx, &held, bytes)?))
    }

    /// Gives a repository a blob that was fetched: a synced file of so many bytes, verified.
    pub(crate) fn keep_part(&self, held: &Held, bytes: u64, from: &Path) -> Result<(), Refusal> {
        self.announced.announce(held.clone(), self.clock.instant());
        self.keep(held.digest, from, |tx| Ok(blobs::link(tx, held, bytes)?))
    }

    /// Puts a synced file in its place, and tells the tables by `record`. All of it or nothing.
    pub(crate) fn keep<T>(
        &self,
        digest: ContentDigest,
        from: &Path,
        record: impl FnOnce(&mut store::WriteTx<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let images = &self.images;
        let lease = images.lease_content(digest);
        let place = images.home.content(&digest);
        let kept = fs::rename(from, &place)
            .map_err(|error| Refusal::from(Error::write(&place)(error)))
            .and_then(|()| Ok(images.home.sync_content(&digest)?))
            .and_then(|()| images.store.write(Durability::Synced, record));
        drop(lease);
        if kept.is_err() {
            // If even that fails, the next opening removes it.
            let _ = self.release([digest]);
        }
        kept
    }
}
