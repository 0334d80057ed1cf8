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

/// What is read from, on threads that may block.
type Source = Box<dyn Read + Send>;

/// The body of an answer.
pub(super) enum Body {
    /// All of it, once.
    Whole(Option<Bytes>),
    /// A file from where it stands, or something like one.
    Read {
        /// What reads the next piece.
        reading: Option<JoinHandle<(Source, io::Result<Bytes>)>>,
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
        Body::reader(file, bytes)
    }

    /// So many bytes of what can be read.
    pub(super) fn reader(source: impl Read + Send + 'static, bytes: u64) -> Body {
        Body::Read { reading: (bytes > 0).then(|| read_piece(Box::new(source), bytes)), left: bytes }
    }
}

fn read_piece(mut source: Source, left: u64) -> JoinHandle<(Source, io::Result<Bytes>)> {
    tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; left.min(PIECE_BYTES) as usize];
        let read = source.read_exact(&mut piece).map(|()| piece.into());
        (source, read)
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
            Body::Read { reading, left } => {
                let Some(handle) = reading else { return Poll::Ready(None) };
                let (source, piece) = ready!(Pin::new(handle).poll(context)).map_err(io::Error::other)?;
                *reading = None;
                let piece = piece?;
                *left = left.saturating_sub(piece.len() as u64);
                if *left > 0 {
                    *reading = Some(read_piece(source, *left));
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_none(),
            Body::Read { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Body::Whole(bytes) => bytes.as_ref().map_or(0, Bytes::len) as u64,
            Body::Read { left, .. } => *left,
        })
    }
}
