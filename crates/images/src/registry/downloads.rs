//! The layers of one pull: a few threads download, others unpack while it comes.
//!
//! A large layer is written to where it stays when the registry fails or the daemon is killed (see `unfinished`); a small one to the
//! stage, with which it goes.

use super::blob::{Download, Halt};
use super::coming::Progress;
use super::error::RegistryError;
use super::locked;
use super::session::Session;
use crate::home::{Stage, StagedLayer};
use crate::intake::{Intake, with_intake};
use crate::manifest::Descriptor;
use crate::packing::{HEAD_BYTES, is_tar, packing_of};
use crate::records::Packing;
use crate::spool::Spool;
use crate::unfinished::{Claim, Unfinished};
use crate::{Error, Result};
use model::Digest;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use tokio::runtime::Handle;

/// Layers of one image that are downloaded at the same time.
const DOWNLOADS_MAX: usize = 4;
/// Stack of a thread that downloads.
const DOWNLOAD_STACK_BYTES: usize = 256 << 10;

/// Downloads and unpacks layers; each by the digest of its archive.
pub(super) fn downloaded(
    stage: &Stage,
    session: &Session<'_>,
    runtime: &Handle,
    progress: &Progress<'_>,
    beginnings: &Beginnings<'_>,
    queue: VecDeque<&Descriptor>,
) -> Result<BTreeMap<Digest, StagedLayer>> {
    let (_, layers) = with_intake(stage, progress, |intake| {
        let (halt, coming) = (Halt::new(), AtomicUsize::new(0));
        let downloads = Downloads { session, runtime, intake, progress, beginnings, halt, coming: &coming };
        downloads.all(queue)
    })?;
    Ok(layers.into_values().map(|layer| (layer.blob, layer)).collect())
}

/// What the threads that download share.
struct Downloads<'a, 'b> {
    session: &'a Session<'a>,
    runtime: &'a Handle,
    intake: &'a Intake<'a>,
    progress: &'a Progress<'a>,
    beginnings: &'a Beginnings<'b>,
    halt: Halt,
    /// How many layers come at this time.
    coming: &'a AtomicUsize,
}

impl Downloads<'_, '_> {
    /// Downloads all layers, a few at a time.
    fn all(&self, queue: VecDeque<&Descriptor>) -> Result<()> {
        let threads = queue.len().min(DOWNLOADS_MAX);
        let (queue, failed) = (Mutex::new(queue), Mutex::new(Vec::new()));
        let work = || {
            loop {
                let Some(layer) = locked(&queue).pop_front() else { return };
                if let Err(error) = self.one(layer) {
                    locked(&queue).clear();
                    locked(&failed).push(error);
                    self.halt.now();
                }
            }
        };
        std::thread::scope(|scope| -> Result<()> {
            for _ in 0..threads {
                let builder = std::thread::Builder::new().name("download".to_owned());
                let started = builder.stack_size(DOWNLOAD_STACK_BYTES).spawn_scoped(scope, work);
                if let Err(error) = started {
                    self.halt.now();
                    return Err(Error::StartWorker(error));
                }
            }
            Ok(())
        })?;
        let mut failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        // When one fails the others only give up.
        let cause = failed
            .iter()
            .position(|error| !matches!(error, Error::Truncated | Error::Registry(RegistryError::Cancelled)));
        match failed.is_empty() {
            true => Ok(()),
            false => Err(failed.swap_remove(cause.unwrap_or(0))),
        }
    }

    fn one(&self, layer: &Descriptor) -> Result<()> {
        let ticket = self.intake.ticket()?;
        self.progress.begin(ticket, layer);
        let what = format!("layer {}", layer.digest.short());
        let is_large = layer.size >= self.session.plumbing.parts().layer_bytes_min;
        let claimed = if is_large { self.beginnings.claim(layer)? } else { None };
        let (path, there) = claimed.unwrap_or_else(|| (self.intake.path(), 0));
        let spool = Spool::over(&path, there).map_err(Error::write(&path))?;
        let mut beginning = File::open(&path).map_err(Error::read(&path))?.take(there);
        let (listener, mut come) = (self.progress.listener, 0);
        let mut download =
            Download::new(self.session, self.runtime, listener, &self.halt, self.coming, layer).from(there);
        let mut next = |buffer: &mut [u8]| -> Result<usize> {
            let got = match beginning.read(buffer).map_err(Error::read(&path))? {
                0 => download.read(buffer)?,
                got => got,
            };
            come += got as u64;
            self.progress.came(ticket, come);
            Ok(got)
        };
        let mut head = vec![0; HEAD_BYTES];
        let mut length = 0;
        while length < head.len() {
            match next(&mut head[length..])? {
                0 => break,
                got => length += got,
            }
        }
        head.truncate(length);
        if packing_of(&head, &what)? == Packing::Plain && !is_tar(&head) {
            return Err(Error::NotALayer(what));
        }
        let found = self.intake.layer_into(spool, ticket, &what, &head, next)?;
        if found != layer.digest {
            return Err(RegistryError::Digest { what, wanted: layer.digest, found }.into());
        }
        self.progress.downloaded(ticket);
        Ok(())
    }
}

/// The beginnings of layers that one pull adds to.
pub(super) struct Beginnings<'u> {
    of: &'u Unfinished,
    claims: Mutex<Vec<Claim<'u>>>,
}

impl<'u> Beginnings<'u> {
    pub(super) fn new(of: &'u Unfinished) -> Beginnings<'u> {
        Beginnings { of, claims: Mutex::default() }
    }

    /// Where the beginning of a layer is, and how much of it; `None` where another operation has it.
    fn claim(&self, layer: &Descriptor) -> Result<Option<(PathBuf, u64)>> {
        let Some(claim) = self.of.claim(layer.digest, layer.size)? else { return Ok(None) };
        let place = (claim.path().to_owned(), claim.there());
        if claim.there() > 0 {
            tracing::info!(layer = %layer.digest, bytes = claim.there(), "an earlier pull left the beginning of a layer");
        }
        locked(&self.claims).push(claim);
        Ok(Some(place))
    }

    /// Whether what was there may be the reason of a failure: it is no fault of the registry, nor of whoever waits, nor of the disk.
    pub(super) fn may_be_why(&self, error: &Error) -> bool {
        let is_wrong = match error {
            Error::Registry(error) => matches!(error, RegistryError::Digest { .. }),
            other => !is_disk_full(other),
        };
        is_wrong && locked(&self.claims).iter().any(|claim| claim.there() > 0)
    }

    /// Leaves what came for the next pull, where there is sense in that: not when its client went, nor when it is wrong.
    pub(super) fn leave(self, error: &Error) {
        let is_worth_it = match error {
            Error::Registry(error) => {
                let is_wrong = matches!(error, RegistryError::Digest { .. } | RegistryError::Size { .. });
                !is_wrong && !matches!(error, RegistryError::Cancelled)
            }
            _ => false,
        };
        let claims = self.claims.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if is_worth_it && !claims.is_empty() {
            tracing::info!(layers = claims.len(), "what came of large layers stays for the next pull");
            claims.into_iter().for_each(Claim::keep);
        }
    }
}

fn is_disk_full(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::StorageFull
        {
            return true;
        }
        cause = error.source();
    }
    false
}
