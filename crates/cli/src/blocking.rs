//! Archives are read and written by code that blocks, connections by code that does not: each of these joins the two with a thread.

use crate::client::{Body, Pieces, source};
use crate::failure::Failure;
use bytes::Bytes;
use std::io::{self, Read, Write};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

/// Bytes that wait between the thread that writes and the connection.
const WRITTEN_BYTES: usize = 256 << 10;
/// Pieces that wait between the connection and the thread that reads.
const PIECES_MAX: usize = 4;

/// Reads what comes, on a thread that may block; gives what that thread gives.
///
/// # Errors
/// The daemon broke off.
pub(crate) async fn read<T: Send + 'static>(
    mut pieces: Pieces,
    work: impl FnOnce(Received) -> T + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = tokio::sync::mpsc::channel(PIECES_MAX);
    let thread = tokio::task::spawn_blocking(move || work(Received { receiver, piece: Ok(Bytes::new()) }));
    loop {
        match pieces.next().await {
            Ok(Some(piece)) => {
                if sender.send(Ok(piece)).await.is_err() {
                    break;
                }
            }
            Ok(None) => break,
            Err(failure) => {
                // The thread must not take it for the end.
                let _ = sender.send(Err(io::Error::other("the daemon broke off"))).await;
                drop(sender);
                let _ = thread.await;
                return Err(failure);
            }
        }
    }
    drop(sender);
    thread.await.map_err(|error| Failure::new(format!("read an archive: {error}")))
}

/// Pieces that come from a connection, for code that blocks.
pub(crate) struct Received {
    receiver: tokio::sync::mpsc::Receiver<io::Result<Bytes>>,
    piece: io::Result<Bytes>,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.piece {
                Ok(piece) if !piece.is_empty() => {
                    let count = buffer.len().min(piece.len());
                    buffer[..count].copy_from_slice(&piece.split_to(count));
                    return Ok(count);
                }
                Ok(_) => {}
                Err(error) => return Err(io::Error::new(error.kind(), error.to_string())),
            }
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
    }
}

/// A body that a thread writes which may block, and how that ends. Who does not take it to its end makes the writing fail.
pub(crate) fn body<T: Send + 'static>(
    work: impl FnOnce(&mut Sent) -> T + Send + 'static,
) -> (Body, JoinHandle<T>) {
    let (ours, theirs) = tokio::io::duplex(WRITTEN_BYTES);
    let runtime = tokio::runtime::Handle::current();
    let thread = tokio::task::spawn_blocking(move || {
        let mut sent = Sent { stream: ours, runtime };
        let outcome = work(&mut sent);
        // Nobody may be there to hear of the end.
        let _ = sent.runtime.block_on(sent.stream.shutdown());
        outcome
    });
    (source(theirs), thread)
}

/// Where a thread writes that may block.
pub(crate) struct Sent {
    stream: tokio::io::DuplexStream,
    runtime: tokio::runtime::Handle,
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.runtime.block_on(self.stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
