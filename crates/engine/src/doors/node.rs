//! The Node door.

use super::control::ask;
use super::{Door, blocking, to_the_end};
use crate::container::Request;
use crate::{exec, files, logs, stats, top};
use model::{ExecId, Phase};
use platform::{
    Answer, Archive, AttachRequest, Difference, Error, ExecRequest, ExecState, LogLine, LogRequest,
    LogStream, Node, PathStat, ProcessTable, PutOptions, Stats, Stream, Streams, Timing,
};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

/// Bytes of a replay that may wait for a slow client.
const REPLAY_BYTES: usize = 64 * 1024;

impl Node for Door {
    fn attach<'a>(&'a self, name: &'a str, request: AttachRequest) -> Answer<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            let terminal = handle.snapshot().intent.spec.terminal;
            let live = if request.stream {
                let streams = request.streams;
                Some(ask(&handle, |reply| Request::Attach { streams, reply }).await?)
            } else {
                None
            };
            if !request.logs {
                return match live {
                    Some(live) => Ok(Box::new(live) as Box<dyn Stream>),
                    None => {
                        Err(Error::invalid("attach to neither the log nor the stream: nothing would be seen"))
                    }
                };
            }
            let Streams { stdout, stderr, .. } = request.streams;
            let all = LogRequest { stdout, stderr, since: None, until: None, tail: None, follow: false };
            let lines = logs::read(&self.0, name, all).await?;
            let (ours, theirs) = tokio::io::duplex(REPLAY_BYTES);
            tokio::spawn(replay(lines, live, theirs, terminal));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }

    fn resize<'a>(&'a self, name: &'a str, rows: u16, columns: u16) -> Answer<'a, ()> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            ask(&handle, |reply| Request::Resize { rows, columns, reply }).await
        })
    }

    fn logs<'a>(&'a self, name: &'a str, request: LogRequest) -> Answer<'a, mpsc::Receiver<LogLine>> {
        Box::pin(logs::read(&self.0, name, request))
    }

    fn top<'a>(&'a self, name: &'a str, ps_args: &'a str) -> Answer<'a, ProcessTable> {
        Box::pin(async move {
            let (id, handle) = self.0.registry.find(name)?;
            let snapshot = handle.snapshot();
            match snapshot.observed.phase {
                Phase::Running { .. } | Phase::Paused { .. } => {}
                Phase::Restarting { .. } => {
                    return Err(Error::conflict(format!(
                        "container {id} is restarting, wait until the container is running"
                    )));
                }
                _ => return Err(Error::conflict(format!("container {id} is not running"))),
            }
            let (shared, args) = (self.0.clone(), ps_args.to_owned());
            blocking(move || {
                let pids = shared.processes(&snapshot.intent)?;
                top::table(&pids, &args, shared.clock.now())
            })
            .await
        })
    }

    fn stats<'a>(&'a self, name: &'a str) -> Answer<'a, (Stats, Stats)> {
        Box::pin(stats::sample(&self.0, name))
    }

    fn exec_create<'a>(&'a self, name: &'a str, request: ExecRequest) -> Answer<'a, ExecId> {
        Box::pin(async move { exec::create(&self.0, name, request) })
    }

    fn exec_start<'a>(
        &'a self,
        id: &'a str,
        attach: bool,
        size: Option<(u16, u16)>,
    ) -> Answer<'a, Option<Box<dyn Stream>>> {
        let (shared, id) = (self.0.clone(), id.to_owned());
        Box::pin(to_the_end(async move { exec::start_prepared(&shared, &id, attach, size).await }))
    }

    fn exec_resize<'a>(&'a self, id: &'a str, rows: u16, columns: u16) -> Answer<'a, ()> {
        Box::pin(exec::resize(&self.0, id, rows, columns))
    }

    fn timings<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<Timing>> {
        Box::pin(async move { self.0.timings.of(id) })
    }

    fn differences<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<(Difference, String)>> {
        Box::pin(files::differences(&self.0, name))
    }

    fn export<'a>(&'a self, name: &'a str) -> Answer<'a, Archive> {
        Box::pin(files::export(&self.0, name))
    }

    fn path_stat<'a>(&'a self, name: &'a str, path: &'a str) -> Answer<'a, PathStat> {
        Box::pin(files::path_stat(&self.0, name, path))
    }

    fn copy_out<'a>(&'a self, name: &'a str, path: &'a str) -> Answer<'a, (PathStat, Archive)> {
        Box::pin(files::copy_out(&self.0, name, path))
    }

    fn copy_in<'a>(
        &'a self,
        name: &'a str,
        path: &'a str,
        options: PutOptions,
        archive: Archive,
    ) -> Answer<'a, ()> {
        Box::pin(files::copy_in(&self.0, name, path, options, archive))
    }

    fn exec_inspect<'a>(&'a self, id: &'a str) -> Answer<'a, ExecState> {
        Box::pin(async move { self.0.execs.inspect(id) })
    }
}

/// Sends what was written before, then joins the two streams.
async fn replay(
    mut lines: mpsc::Receiver<LogLine>,
    live: Option<tokio::net::UnixStream>,
    mut client: tokio::io::DuplexStream,
    terminal: bool,
) {
    while let Some(line) = lines.recv().await {
        if !terminal {
            let stream = if line.stream == LogStream::Stdout { 1 } else { 2 };
            let mut header = [stream, 0, 0, 0, 0, 0, 0, 0];
            header[4..].copy_from_slice(&u32::try_from(line.bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            if client.write_all(&header).await.is_err() {
                return;
            }
        }
        if client.write_all(&line.bytes).await.is_err() {
            return;
        }
    }
    if let Some(mut live) = live {
        // Either side may go at any time; there is nobody to tell.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut live).await;
    }
}
