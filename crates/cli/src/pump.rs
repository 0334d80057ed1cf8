//! A container's streams, joined to this terminal: input in raw mode, output taken apart, sizes and signals passed on.

use crate::client::{Client, Connection};
use crate::failure::Failure;
use crate::keys::{Keys, Typed};
use crate::printer;
use crate::terminal::{self, Raw};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 32 << 10;
/// Pieces of input that wait to be sent.
const PIECES_MAX: usize = 4;
/// Bytes of the header of a frame.
const HEADER_BYTES: usize = 8;
/// A frame from a daemon is never longer.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// Signals that are passed on to a container.
const PASSED_ON: [(SignalKind, &str); 6] = [
    (SignalKind::interrupt(), "INT"),
    (SignalKind::terminate(), "TERM"),
    (SignalKind::hangup(), "HUP"),
    (SignalKind::quit(), "QUIT"),
    (SignalKind::user_defined1(), "USR1"),
    (SignalKind::user_defined2(), "USR2"),
];

/// What is resized and signalled.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A container, by id.
    Container(String),
    /// An exec, by id.
    Exec(String),
}

impl Target {
    fn resize_path(&self, rows: u16, columns: u16) -> String {
        match self {
            Target::Container(id) => format!("/containers/{id}/resize?h={rows}&w={columns}"),
            Target::Exec(id) => format!("/exec/{id}/resize?h={rows}&w={columns}"),
        }
    }
}

/// How a stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The other side has closed it.
    Closed,
    /// The user has left by the detach keys.
    Left,
}

/// What the streams of a container are joined to.
pub(crate) struct Joint {
    /// Whether standard input goes in.
    pub(crate) stdin: bool,
    /// Whether there is a terminal inside.
    pub(crate) terminal: bool,
    /// The keys with which the user leaves.
    pub(crate) keys: Keys,
}

/// Carries both directions until the other side ends, or the user leaves.
pub(crate) async fn join(connection: Box<dyn Connection>, joint: Joint) -> Result<End, Failure> {
    let (read, write) = split(connection);
    let raw = if joint.stdin && joint.terminal { Raw::set() } else { None };
    let keys = raw.is_some().then_some(joint.keys);
    let (leave, left) = oneshot::channel();
    let input = if joint.stdin { spawn_input(write, keys, leave) } else { end_input(write) };
    let ended = tokio::select! {
        ended = output(read, joint.terminal) => ended.map(|()| Ok(End::Closed)),
        Ok(()) = left => Ok(Ok(End::Left)),
        // In raw mode a signal must not end this process before the terminal is as it was.
        code = asked_to_end(), if raw.is_some() => Ok(Err(Failure::silent(code))),
    };
    input.abort();
    drop(raw);
    ended.map_err(|error| Failure::new(format!("the stream broke off: {error}")))?
}

/// Waits for a signal that ends programs, and tells the exit code that goes with it.
async fn asked_to_end() -> u8 {
    let listen = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = listen(SignalKind::terminate()) => 143,
        () = listen(SignalKind::hangup()) => 129,
        () = listen(SignalKind::interrupt()) => 130,
        () = listen(SignalKind::quit()) => 131,
    }
}

/// Sends standard input from a thread of its own, as reading a terminal blocks; it dies with this process.
fn spawn_input(
    mut write: WriteHalf<Box<dyn Connection>>,
    mut keys: Option<Keys>,
    leave: oneshot::Sender<()>,
) -> JoinHandle<()> {
    let (sender, mut pieces) = tokio::sync::mpsc::channel::<Vec<u8>>(PIECES_MAX);
    std::thread::spawn(move || {
        use std::io::Read;
        let mut buffer = vec![0; PIECE_BYTES];
        let mut stdin = io::stdin().lock();
        while let Ok(length @ 1..) = stdin.read(&mut buffer) {
            if sender.blocking_send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(piece) = pieces.recv().await {
            let typed = match &mut keys {
                Some(keys) => keys.take(&piece),
                None => Typed { onward: piece, leaves: false },
            };
            if write.write_all(&typed.onward).await.and(write.flush().await).is_err() {
                return;
            }
            if typed.leaves {
                // Nobody waits for it only where the stream has ended at the same moment.
                let _ = leave.send(());
                break;
            }
        }
        let _ = write.shutdown().await;
        // The writing half is kept until the output has ended.
        std::future::pending::<()>().await;
    })
}

fn end_input(write: WriteHalf<Box<dyn Connection>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let _kept = write;
        std::future::pending::<()>().await;
    })
}

async fn output(mut read: ReadHalf<Box<dyn Connection>>, terminal: bool) -> io::Result<()> {
    if terminal {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            match read.read(&mut buffer).await? {
                0 => return Ok(()),
                length => printer::raw(&buffer[..length]),
            }
        }
    }
    let mut header = [0; HEADER_BYTES];
    loop {
        match read.read_exact(&mut header).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
        }
        let mut frame = vec![0; length];
        read.read_exact(&mut frame).await?;
        show(header[0], &frame);
    }
}

/// Shows what a container wrote, on the stream on which it did.
pub(crate) fn show(stream: u8, bytes: &[u8]) {
    if stream == 2 { printer::raw_error(bytes) } else { printer::raw(bytes) }
}

/// Takes frames out of pieces of any size.
#[derive(Default)]
pub(crate) struct Frames {
    pending: Vec<u8>,
}

impl Frames {
    /// Shows the frames that are complete.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.each(piece, show);
    }

    /// Hands over the frames that are complete, each with the stream that it was written to.
    pub(crate) fn each(&mut self, piece: &[u8], mut take: impl FnMut(u8, &[u8])) {
        self.pending.extend_from_slice(piece);
        let mut used = 0;
        while let Some(header) = self.pending.get(used..used + HEADER_BYTES) {
            let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
            let stream = header[0];
            let Some(frame) = self.pending.get(used + HEADER_BYTES..used + HEADER_BYTES + length) else {
                break;
            };
            take(stream, frame);
            used += HEADER_BYTES + length;
        }
        self.pending.drain(..used);
    }
}

/// Keeps the terminal inside as large as the one in front of the user.
pub(crate) fn follow_size(client: &Client, target: &Target) -> JoinHandle<()> {
    let (client, target) = (client.clone(), target.clone());
    tokio::spawn(async move {
        let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
        let mut told = None;
        // A process that has only just been started may not have its terminal yet: tried a few times.
        for _ in 0..10 {
            if let Some((rows, columns)) = terminal::size() {
                if client.post(&target.resize_path(rows, columns), None).await.is_ok() {
                    told = Some((rows, columns));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        while changes.recv().await.is_some() {
            if let Some(size) = terminal::size().filter(|size| Some(*size) != told) {
                // A change that is missed is made good by the next one.
                let _ = client.post(&target.resize_path(size.0, size.1), None).await;
                told = Some(size);
            }
        }
    })
}

/// Passes signals on to a container instead of dying of them.
pub(crate) fn pass_signals(client: &Client, id: &str) -> Vec<JoinHandle<()>> {
    let pass = |(kind, name): (SignalKind, &'static str)| {
        let (client, id) = (client.clone(), id.to_owned());
        let mut signals = signal(kind).ok()?;
        Some(tokio::spawn(async move {
            while signals.recv().await.is_some() {
                // It may have ended in the meantime.
                let _ = client.post(&format!("/containers/{id}/kill?signal={name}"), None).await;
            }
        }))
    };
    PASSED_ON.into_iter().filter_map(pass).collect()
}
