//! Bodies of requests and answers: whole, or a bit at a time with bounded memory.

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// Bytes of an archive that are on their way at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of a request that are still read when nobody wants them any more, so that the client gets to read why.
const DRAIN_BYTES_MAX: u64 = 256 << 20;

/// The body of an answer.
pub(crate) enum Body {
    /// All of it, once.
    Whole(Option<Bytes>),
    /// As it comes. It is dropped, and with it whatever makes it, when the client goes.
    Parts(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Body {
    /// Nothing.
    pub(crate) fn empty() -> Body {
        Body::Whole(None)
    }

    /// Parts as they come.
    pub(crate) fn parts(parts: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
        Body::Parts(Box::pin(parts))
    }

    /// What a reader gives.
    pub(crate) fn reader(reader: Box<dyn AsyncRead + Send + Unpin>) -> Body {
        Body::parts(reader_parts(reader))
    }
}

/// What a reader gives, part by part, up to its end or its first error.
pub(crate) fn reader_parts(
    reader: impl AsyncRead + Send + Unpin,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        match reader.read_buf(&mut chunk).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(chunk.freeze()), Some(reader))),
            Err(error) => Some((Err(error), None)),
        }
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
            Body::Parts(parts) => {
                parts.poll_next_unpin(context).map(|part| part.map(|part| part.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Body::Parts(_) => SizeHint::default(),
        }
    }
}

/// The body of a request as a reader. What was not read when it is dropped is read over, up to a bound.
pub(crate) struct BodyReader {
    body: Option<Incoming>,
    chunk: Bytes,
}

impl BodyReader {
    pub(crate) fn new(body: Incoming) -> BodyReader {
        BodyReader { body: Some(body), chunk: Bytes::new() }
    }
}

impl AsyncRead for BodyReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.chunk.is_empty() {
            let Some(body) = &mut this.body else { return Poll::Ready(Ok(())) };
            match std::task::ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => this.chunk = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => this.body = None,
            }
        }
        let part = this.chunk.split_to(this.chunk.len().min(buffer.remaining()));
        buffer.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        let (Some(mut body), Ok(runtime)) = (self.body.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            let mut left = DRAIN_BYTES_MAX;
            while let Some(Ok(frame)) =
                std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
            {
                let length = frame.into_data().map_or(0, |data| data.len() as u64);
                let Some(rest) = left.checked_sub(length) else { return };
                left = rest;
            }
        });
    }
}
