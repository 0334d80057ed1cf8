//! Takes layers in: each is written to a file and hashed by the thread that reads the archive, while workers unpack.
//!
//! ```text
//!  archive -> Intake::layer: sniff, hash, write the blob --(grows)--> worker: decompress, hash, unpack
//!                one layer after the other                              several layers at once
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
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::Scope;

/// Layers that are unpacked at the same time.
const WORKERS_MAX: usize = 4;
/// Stack of a worker.
const WORKER_STACK_BYTES: usize = 256 << 10;
/// Layers of one archive.
const LAYERS_MAX: usize = 4096;
/// Bytes that are read at a time.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

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
    arrived: BTreeMap<Ticket, Arrived>,
    buffer: Vec<u8>,
    /// Whether it ended because a worker failed.
    stopped: bool,
}

/// Runs `read` with an intake, waits for the workers, and returns what `read` returned and all layers.
pub(crate) fn with_intake<T>(
    stage: &Stage,
    read: impl FnOnce(&mut Intake<'_>) -> Result<T>,
) -> Result<(T, BTreeMap<Ticket, StagedLayer>)> {
    let shared = Shared::default();
    let (jobs, queue) = mpsc::channel();
    let queue = Mutex::new(queue);
    let (answer, stopped, arrived) = std::thread::scope(|scope| -> Result<_> {
        for _ in 0..workers() {
            start_worker(scope, &shared, &queue).map_err(Error::StartWorker)?;
        }
        let (arrived, buffer) = (BTreeMap::new(), vec![0; CHUNK_BYTES]);
        let mut intake = Intake { stage, shared: &shared, jobs, arrived, buffer, stopped: false };
        let answer = read(&mut intake);
        if answer.is_err() {
            shared.failed.store(true, Ordering::Relaxed);
        }
        // Dropping the intake ends the queue, and with it the workers.
        Ok((answer, intake.stopped, intake.arrived))
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
    /// Takes in one layer, which begins with `head`. `next` fills a buffer and returns 0 at the layer's end; it is
    /// called once more for each chunk. Returns the layer's ticket, and the digest of the archive as it came.
    pub(crate) fn layer(
        &mut self,
        what: &str,
        head: &[u8],
        mut next: impl FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<(Ticket, Digest)> {
        if self.arrived.len() >= LAYERS_MAX {
            return Err(Error::TooMany { what: "layers", max: LAYERS_MAX as u64 });
        }
        let packing = packing_of(head, what)?;
        let (blob_path, directory) = (self.stage.path(), self.stage.path());
        fs::create_dir(&directory).map_err(Error::write(&directory))?;
        let mut spool = Spool::create(&blob_path).map_err(Error::write(&blob_path))?;
        spool.write(head).map_err(Error::write(&blob_path))?;
        let ticket = Ticket(self.arrived.len());
        let archive = spool.follow().map_err(Error::read(&blob_path))?;
        let job = Job { ticket, packing, archive, directory: directory.clone() };
        // The queue outlives every sender, so that sending cannot fail.
        let _ = self.jobs.send(job);
        loop {
            if self.shared.failed.load(Ordering::Relaxed) {
                self.stopped = true;
                return Err(Error::Truncated);
            }
            match next(&mut self.buffer)? {
                0 => break,
                got => spool.write(&self.buffer[..got]).map_err(Error::write(&blob_path))?,
            }
        }
        let (blob, blob_bytes) = spool.finish();
        self.arrived.insert(ticket, Arrived { blob, blob_bytes, packing, blob_path, directory });
        Ok((ticket, blob))
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
) -> std::io::Result<()> {
    let work = move || {
        loop {
            // The lock is free again before the job is done.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = next else { return };
            if shared.failed.load(Ordering::Relaxed) {
                continue;
            }
            let ticket = job.ticket;
            match unpack_job(job) {
                Ok(unpacked) => {
                    shared.done.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, unpacked);
                }
                Err(error) => {
                    shared.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    shared.failed.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    let builder = std::thread::Builder::new().name("unpack".to_owned()).stack_size(WORKER_STACK_BYTES);
    builder.spawn_scoped(scope, work).map(drop)
}

fn unpack_job(job: Job) -> Result<Unpacked> {
    let blob = job.archive.file().map_err(Error::ReadArchive)?;
    let archive = plain(job.packing, job.archive).map_err(Error::ReadArchive)?;
    let unpacked = if job.packing == Packing::Plain {
        // The blob's own digest is the layer's.
        Unpacked { diff_id: None, bytes: unpack(archive, &job.directory)? }
    } else {
        let mut hashing = Hashing::new(archive);
        let bytes = unpack(&mut hashing, &job.directory)?;
        Unpacked { diff_id: Some(hashing.finish()), bytes }
    };
    // All of it is read, and so all of it is written: from the blob, whatever the loss of power takes can be made again.
    blob.sync_all().map_err(Error::write(&job.directory))?;
    Ok(unpacked)
}
