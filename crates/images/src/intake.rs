//! Takes layers in: each is written to a file and hashed by the thread that reads it, while workers unpack.
//!
//! ```text
//!  archive -> Intake::layer: sniff, hash, write the blob --(grows)--> worker: decompress, hash, unpack
//!     one layer after the other, or one in each thread                   several layers at once
//! ```
//!
//! The first failure of anybody stops all. Everything is in the operation's stage and goes with it.

use crate::hash::Hashing;
use crate::home::{Stage, StagedLayer};
use crate::packing::{packing_of, plain};
use crate::records::Packing;
use crate::spool::{Follow, Spool};
use crate::unpack::unpack;
use crate::{Error, Result};
use model::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::Scope;

/// Layers that are unpacked at the same time.
const WORKERS_MAX: usize = 4;
/// Stack of a worker.
const WORKER_STACK_BYTES: usize = 256 << 10;
/// Layers of one archive.
const LAYERS_MAX: usize = 4096;
/// Bytes that are read at a time.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// Bytes of a plain archive that are looked at from one read to the next.
const UNPACK_BYTES: usize = 128 << 10;

/// A layer on its way, by the order in which it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(usize);

struct Job {
    ticket: Ticket,
    packing: Packing,
    archive: Follow,
    directory: PathBuf,
}

/// What a worker found out; the digest is of the plain archive, where that is not the blob itself.
struct Unpacked {
    diff_id: Option<Digest>,
    bytes: u64,
}

struct Arrived {
    blob: Digest,
    blob_bytes: u64,
    packing: Packing,
    blob_path: PathBuf,
    directory: PathBuf,
}

#[derive(Default)]
struct Shared {
    failed: AtomicBool,
    done: Mutex<BTreeMap<Ticket, Unpacked>>,
    error: Mutex<Option<Error>>,
}

/// Takes layers in for one operation.
pub(crate) struct Intake<'s> {
    stage: &'s Stage,
    shared: &'s Shared,
    jobs: mpsc::Sender<Job>,
    arrived: Mutex<BTreeMap<Ticket, Arrived>>,
    next: AtomicUsize,
    /// Whether a reader failed, and workers only because of it.
    given_up: AtomicBool,
    /// Whether it ended because a worker failed.
    stopped: AtomicBool,
}

/// Hears how far the unpacking is, from the threads that unpack.
pub(crate) trait Watch: Sync {
    /// So many bytes of a layer's archive, as it came, are unpacked.
    fn unpacked(&self, _layer: Ticket, _bytes: u64) {}
    /// All of a layer is unpacked.
    fn done(&self, _layer: Ticket) {}
}

/// Hears nothing.
impl Watch for () {}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `read` with an intake, waits for the workers, and returns what `read` returned and all layers.
pub(crate) fn with_intake<T>(
    stage: &Stage,
    watch: &dyn Watch,
    read: impl FnOnce(&Intake<'_>) -> Result<T>,
) -> Result<(T, BTreeMap<Ticket, StagedLayer>)> {
    let shared = Shared::default();
    let (jobs, queue) = mpsc::channel();
    let queue = Mutex::new(queue);
    let (answer, stopped, arrived) = std::thread::scope(|scope| -> Result<_> {
        for _ in 0..workers() {
            start_worker(scope, &shared, &queue, watch).map_err(Error::StartWorker)?;
        }
        let intake = Intake {
            stage,
            shared: &shared,
            jobs,
            arrived: Mutex::default(),
            next: AtomicUsize::new(0),
            given_up: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        };
        let answer = read(&intake);
        if answer.is_err() {
            shared.failed.store(true, Ordering::SeqCst);
        }
        // Dropping the intake ends the queue, and with it the workers.
        let arrived = intake.arrived.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((answer, intake.stopped.into_inner(), arrived))
    })?;
    let by_worker = shared.error.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Whoever failed first is the cause: a worker may have failed because the reader did, and the other way around.
    let answer = match (answer, by_worker) {
        (Err(_), Some(error)) if stopped => return Err(error),
        (Err(error), _) | (Ok(_), Some(error)) => return Err(error),
        (Ok(answer), None) => answer,
    };
    let mut done = shared.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut layers = BTreeMap::new();
    for (ticket, arrived) in arrived {
        let unpacked = done.remove(&ticket).ok_or(Error::Truncated)?;
        layers.insert(ticket, arrived.with(&unpacked));
    }
    Ok((answer, layers))
}

impl Intake<'_> {
    /// A ticket for a layer that is about to come in.
    ///
    /// # Errors
    /// [`Error::TooMany`] when there were too many.
    pub(crate) fn ticket(&self) -> Result<Ticket> {
        match self.next.fetch_add(1, Ordering::Relaxed) {
            given if given >= LAYERS_MAX => Err(Error::TooMany { what: "layers", max: LAYERS_MAX as u64 }),
            given => Ok(Ticket(given)),
        }
    }

    /// Takes in one layer, which begins with `head`. `next` fills a buffer and returns 0 at the layer's end; it is
    /// called once more for each chunk. Returns the digest of the archive as it came.
    pub(crate) fn layer(
        &self,
        ticket: Ticket,
        what: &str,
        head: &[u8],
        next: impl FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<Digest> {
        let path = self.path();
        let spool = Spool::create(&path).map_err(Error::write(&path))?;
        self.layer_into(spool, ticket, what, head, next)
    }

    /// A path in the stage that nothing has yet.
    pub(crate) fn path(&self) -> PathBuf {
        self.stage.path()
    }

    /// As [`Intake::layer`], into a file that may lie elsewhere.
    pub(crate) fn layer_into(
        &self,
        mut spool: Spool,
        ticket: Ticket,
        what: &str,
        head: &[u8],
        mut next: impl FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<Digest> {
        let packing = packing_of(head, what)?;
        let (blob_path, directory) = (spool.path().to_owned(), self.stage.path());
        fs::create_dir(&directory).map_err(Error::write(&directory))?;
        spool.write(head).map_err(Error::write(&blob_path))?;
        let archive = spool.follow().map_err(Error::read(&blob_path))?;
        let job = Job { ticket, packing, archive, directory: directory.clone() };
        // The queue outlives every sender, so that sending cannot fail.
        let _ = self.jobs.send(job);
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            if self.shared.failed.load(Ordering::SeqCst) {
                if !self.given_up.load(Ordering::SeqCst) {
                    self.stopped.store(true, Ordering::SeqCst);
                }
                return Err(Error::Truncated);
            }
            match next(&mut buffer) {
                Ok(0) => break,
                Ok(got) => spool.write(&buffer[..got]).map_err(Error::write(&blob_path))?,
                Err(error) => {
                    // Told before the worker notices that the rest never comes, and fails as well.
                    if !self.shared.failed.load(Ordering::SeqCst) {
                        self.given_up.store(true, Ordering::SeqCst);
                    }
                    return Err(error);
                }
            }
        }
        let (blob, blob_bytes) = spool.finish();
        let arrived = Arrived { blob, blob_bytes, packing, blob_path, directory };
        locked(&self.arrived).insert(ticket, arrived);
        Ok(blob)
    }
}

impl Arrived {
    fn with(self, unpacked: &Unpacked) -> StagedLayer {
        StagedLayer {
            diff_id: unpacked.diff_id.unwrap_or(self.blob),
            blob: self.blob,
            blob_bytes: self.blob_bytes,
            packing: self.packing,
            bytes: unpacked.bytes,
            blob_path: self.blob_path,
            directory: self.directory,
        }
    }
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX)
}

fn start_worker<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared,
    queue: &'scope Mutex<mpsc::Receiver<Job>>,
    watch: &'scope dyn Watch,
) -> std::io::Result<()> {
    let work = move || {
        loop {
            // The lock is free again before the job is done.
            let next = locked(queue).recv();
            let Ok(job) = next else { return };
            if shared.failed.load(Ordering::SeqCst) {
                continue;
            }
            let ticket = job.ticket;
            match unpack_job(job, watch) {
                Ok(unpacked) => {
                    locked(&shared.done).insert(ticket, unpacked);
                    watch.done(ticket);
                }
                Err(error) => {
                    locked(&shared.error).get_or_insert(error);
                    shared.failed.store(true, Ordering::SeqCst);
                }
            }
        }
    };
    let builder = std::thread::Builder::new().name("unpack".to_owned()).stack_size(WORKER_STACK_BYTES);
    builder.spawn_scoped(scope, work).map(drop)
}

/// Tells how much of an archive was read through it.
struct Watched<'w> {
    archive: Follow,
    bytes: u64,
    ticket: Ticket,
    watch: &'w dyn Watch,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.archive.read(buffer)?;
        self.bytes += got as u64;
        self.watch.unpacked(self.ticket, self.bytes);
        Ok(got)
    }
}

/// Headers are small: they are not read one by one.
fn buffered<R: Read>(archive: R) -> BufReader<R> {
    BufReader::with_capacity(UNPACK_BYTES, archive)
}

fn unpack_job(job: Job, watch: &dyn Watch) -> Result<Unpacked> {
    let blob = job.archive.file().map_err(Error::ReadArchive)?;
    let watched = Watched { archive: job.archive, bytes: 0, ticket: job.ticket, watch };
    let archive = plain(job.packing, watched).map_err(Error::ReadArchive)?;
    let unpacked = if job.packing == Packing::Plain {
        // The blob's own digest is the layer's.
        Unpacked { diff_id: None, bytes: unpack(buffered(archive), &job.directory)? }
    } else {
        let mut hashing = Hashing::new(archive);
        let bytes = unpack(buffered(&mut hashing), &job.directory)?;
        Unpacked { diff_id: Some(hashing.finish()), bytes }
    };
    // All of it is read, and so all of it is written: from the blob, whatever the loss of power takes can be made again.
    blob.sync_all().map_err(Error::write(&job.directory))?;
    Ok(unpacked)
}
