//! Bodies of answers: whole, or a part of a file, one piece ahead of the client.

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// Bytes that are read from a file at a time.
const PIECE_BYTES: u64 = 512 << 10;

/// The body of an answer.
pub(super) enum Body {
    /// All of it, once.
    Whole(Option<Bytes>),
    /// A file from where it stands.
    File {
        /// What reads the next piece.
        reading: Option<JoinHandle<(File, io::Result<Bytes>)>>,
        /// Bytes that were not given out yet.
        left: u64,
    },
}

impl Body {
    /// Nothing.
    pub(super) fn empty() -> Body {
        Body::Whole(None)
    }

    /// These bytes.
    pub(super) fn whole(bytes: Bytes) -> Body {
        Body::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    /// So many bytes of a file, from where it stands.
    pub(super) fn file(file: File, bytes: u64) -> Body {
        Body::File { reading: (bytes > 0).then(|| read_piece(file, bytes)), left: bytes }
    }
}

fn read_piece(mut file: File, left: u64) -> JoinHandle<(File, io::Result<Bytes>)> {
    tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; left.min(PIECE_BYTES) as usize];
        let read = file.read_exact(&mut piece).map(|()| piece.into());
        (file, read)
    })
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::File { reading, left } => {
                let Some(handle) = reading else { return Poll::Ready(None) };
                let (file, piece) = ready!(Pin::new(handle).poll(context)).map_err(io::Error::other)?;
                *reading = None;
                let piece = piece?;
                *left = left.saturating_sub(piece.len() as u64);
                if *left > 0 {
                    *reading = Some(read_piece(file, *left));
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_none(),
            Body::File { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Body::Whole(bytes) => bytes.as_ref().map_or(0, Bytes::len) as u64,
            Body::File { left, .. } => *left,
        })
    }
}
