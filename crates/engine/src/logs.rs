//! A container's log, line by line, to a client that may wait for more.
//!
//! One blocking reader walks the files that the shim writes. Following, it is woken by inotify(7) on the log's directory,
//! and it ends once the container has ended and everything is read.

use crate::Shared;
use crate::registry::Snapshot;
use base::Chain;
use bytes::Bytes;
use model::Phase;
use platform::{Error, LogLine, LogRequest, LogStream};
use runtime::log::{Query, Reader, Record};
use runtime::shim::wire::Stream;
use rustix::fs::inotify;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

/// Lines that wait for a slow client.
const LINES_MAX: usize = 256;

/// Reads a container's log for one client.
pub(crate) async fn read(
    shared: &Arc<Shared>,
    name: &str,
    request: LogRequest,
) -> Result<mpsc::Receiver<LogLine>, Error> {
    let (id, handle) = shared.registry.find(name)?;
    if handle.snapshot().intent.spec.log.none {
        return Err(Error::not_supported("configured logging driver does not support reading"));
    }
    let directory = shared.roots.container(id).log();
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    let follower = Follower { directory, request, seen: handle.seen, sender };
    tokio::spawn(async move {
        if let Err(error) = follower.run().await {
            tracing::warn!(container = %id, %error, "its log could not be read on");
        }
    });
    Ok(receiver)
}

struct Follower {
    directory: PathBuf,
    request: LogRequest,
    seen: watch::Receiver<Snapshot>,
    sender: mpsc::Sender<LogLine>,
}

/// Why reading stopped.
enum Stop {
    /// Everything that is there was read.
    CaughtUp,
    /// The client has to read first; here is what it was about to get.
    Full(LogLine),
    /// The client has gone, or has all it asked for.
    Done,
}

impl Follower {
    async fn run(mut self) -> Result<(), Error> {
        let watch = if self.request.follow { Some(self.watch()?) } else { None };
        let tail = self.request.tail.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX));
        let query = Query { tail, since: self.request.since, until: None };
        let directory = self.directory.clone();
        let mut reader = crate::doors::blocking(move || {
            Reader::open(&directory, query).map_err(|error| unreadable(&error))
        })
        .await?;
        loop {
            // Asked before reading: what was written until then is certainly read.
            let runs = self.runs();
            let stop;
            (reader, stop) = self.pump(reader).await?;
            match (&watch, stop) {
                (_, Stop::Full(line)) => {
                    if self.sender.send(line).await.is_err() {
                        return Ok(());
                    }
                }
                (_, Stop::Done) | (None, Stop::CaughtUp) => return Ok(()),
                (Some(_), Stop::CaughtUp) if !runs => return Ok(()),
                (Some(watch), Stop::CaughtUp) => tokio::select! {
                    () = readable(watch) => {}
                    changed = self.seen.changed() => if changed.is_err() { return Ok(()) },
                    () = self.sender.closed() => return Ok(()),
                },
            }
        }
    }

    /// Whether more may be written.
    fn runs(&mut self) -> bool {
        let snapshot = self.seen.borrow_and_update();
        let live = matches!(
            snapshot.observed.phase,
            Phase::Running { .. } | Phase::Paused { .. } | Phase::Restarting { .. }
        );
        live && !snapshot.removed
    }

    fn watch(&self) -> Result<AsyncFd<rustix::fd::OwnedFd>, Error> {
        let failed =
            |error: std::io::Error| Error::failed(format!("watch {}: {error}", self.directory.display()));
        std::fs::create_dir_all(&self.directory).map_err(failed)?;
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let watch = inotify::init(flags).map_err(|error| failed(error.into()))?;
        let events =
            inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&watch, &self.directory, events).map_err(|error| failed(error.into()))?;
        crate::shim::register(watch).map_err(failed)
    }

    /// Sends what can be read now. Reading blocks, so it is done on a thread that may.
    async fn pump(&self, mut reader: Reader) -> Result<(Reader, Stop), Error> {
        let (sender, request) = (self.sender.clone(), self.request.clone());
        let job = tokio::task::spawn_blocking(move || {
            while let Some(record) = reader.next()? {
                if request.until.is_some_and(|until| record.time > until) {
                    return Ok((reader, Stop::Done));
                }
                if !wanted_stream(&request, &record) {
                    continue;
                }
                match sender.try_send(line(record)) {
                    Ok(()) => {}
                    // Waited for elsewhere: a client that does not read must not hold a thread.
                    Err(TrySendError::Full(line)) => return Ok((reader, Stop::Full(line))),
                    Err(TrySendError::Closed(_)) => return Ok((reader, Stop::Done)),
                }
            }
            Ok((reader, Stop::CaughtUp))
        });
        match job.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(unreadable(&error)),
            Err(error) => Err(Error::failed(format!("read a log: {error}"))),
        }
    }
}

fn unreadable(error: &runtime::log::Error) -> Error {
    Error::failed(Chain(error).to_string())
}

fn wanted_stream(request: &LogRequest, record: &Record) -> bool {
    match record.stream {
        Stream::Stdout => request.stdout,
        Stream::Stderr => request.stderr,
    }
}

fn line(record: Record) -> LogLine {
    let stream = match record.stream {
        Stream::Stdout => LogStream::Stdout,
        Stream::Stderr => LogStream::Stderr,
    };
    LogLine { time: record.time, stream, bytes: Bytes::from(record.text) }
}

/// Waits until something happened in the watched directory, and forgets what it was.
async fn readable(watch: &AsyncFd<rustix::fd::OwnedFd>) {
    let Ok(mut guard) = watch.readable().await else { return };
    let mut buffer = [0u8; 4096];
    while rustix::io::read(watch.get_ref(), &mut buffer).is_ok_and(|read| read > 0) {}
    guard.clear_ready();
}
