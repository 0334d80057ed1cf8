//! A connection that stops being HTTP and becomes the streams of a process.
//!
//! ```text
//! client --typed--> detach keys taken out (terminal only) --> stream to the process
//! client <----------------- output as it comes --------------- stream to the process
//! ```
//!
//! The client's half-close ends the process's input; the end of the output ends the session. A client that did not ask for
//! an upgrade gets the output as a body that ends with the connection, and has no way to send input.

use crate::body::{Body, reader_parts};
use crate::detach::DetachKeys;
use crate::server::{Answer, Connection, typed};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::upgrade::{OnUpgrade, Parts};
use hyper::{Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use platform::{Error, Stream};
use std::io::{self, Cursor};
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// Bytes carried at a time in one direction.
const BUFFER_BYTES: usize = 32 << 10;
/// The first version whose clients are told that output comes in frames.
const FRAMES_NAMED_SINCE: u32 = 42;

/// How a session is carried.
pub(crate) struct Session {
    /// The minor number of the client's version.
    pub(crate) version: u32,
    /// Whether the output is a terminal's.
    pub(crate) terminal: bool,
    /// Whether the client's input goes to the process.
    pub(crate) input: bool,
    /// The keys to leave with.
    pub(crate) keys: DetachKeys,
    /// Opens the stream to the process, once the client knows that the connection is its own.
    pub(crate) open: Opening,
    /// Waited for between the end of the output and the end of the session.
    pub(crate) ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What opens a stream.
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Box<dyn Stream>, Error>> + Send>>;

/// Gives the connection over to a session.
pub(crate) async fn hijack(headers: &HeaderMap, upgrade: Option<OnUpgrade>, session: Session) -> Answer {
    let Some(upgrade) = upgrade.filter(|_| headers.contains_key("upgrade")) else {
        return without_upgrade(session).await;
    };
    let content_type = if !session.terminal && session.version >= FRAMES_NAMED_SINCE {
        "application/vnd.docker.multiplexed-stream"
    } else {
        "application/vnd.docker.raw-stream"
    };
    tokio::spawn(async move {
        match upgrade.await {
            Ok(client) => match client.downcast::<TokioIo<Box<dyn Connection>>>() {
                Ok(Parts { io, read_buf, .. }) => carry(io.into_inner(), read_buf, session).await,
                Err(_) => tracing::error!("a connection that was taken over is none of this server's"),
            },
            Err(error) => tracing::debug!(error = %base::Chain(&error), "a connection was not taken over"),
        }
    });
    let mut response = typed(Response::new(Body::empty()), content_type);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert("connection", HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert("upgrade", HeaderValue::from_static("tcp"));
    Ok(response)
}

/// The output as a body.
async fn without_upgrade(session: Session) -> Answer {
    if session.input {
        return Err(Error::not_supported(
            "standard input without an upgraded connection is not supported yet: send `Connection: Upgrade` and \
             `Upgrade: tcp`",
        ));
    }
    let stream = session.open.await?;
    let ended = session.ended;
    let end = stream::once(async move {
        ended.await;
        Ok(Bytes::new())
    });
    let body = Body::parts(reader_parts(stream).chain(end));
    let mut response = typed(Response::new(body), "application/vnd.docker.raw-stream");
    // The older version has no chunks: what follows is the bare stream, up to the connection's end.
    *response.version_mut() = Version::HTTP_10;
    Ok(response)
}

/// Carries both directions until the output ends, the client leaves, or either side is gone. `early` is what the client sent
/// before the connection was taken over.
async fn carry(mut client: Box<dyn Connection>, early: Bytes, mut session: Session) {
    let stream = match (&mut session.open).await {
        Ok(stream) => stream,
        Err(error) => {
            // The client may be gone already; there is nobody to tell.
            let _ = client.write_all(&told(&error, session.terminal)).await;
            let _ = client.shutdown().await;
            return;
        }
    };
    let watch = client.watch();
    let ended = std::mem::replace(&mut session.ended, Box::pin(std::future::ready(())));
    let (from_client, mut to_client) = tokio::io::split(client);
    let from_client = Cursor::new(early).chain(from_client);
    let (mut from_process, to_process) = tokio::io::split(stream);
    let input = async {
        if forward(from_client, to_process, session).await {
            return;
        }
        // Input has ended; the session has not, unless nobody is there to read its output.
        gone(watch).await;
    };
    let output = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Ok(length @ 1..) = from_process.read(&mut buffer).await {
            if to_client.write_all(&buffer[..length]).await.is_err() || to_client.flush().await.is_err() {
                return;
            }
        }
        ended.await;
    };
    tokio::select! {
        () = input => {}
        () = output => {}
    }
    // Either side may be gone already; there is nobody to tell.
    let _ = to_client.shutdown().await;
}

/// An error as the process's own output would come.
fn told(error: &Error, terminal: bool) -> Vec<u8> {
    let text = format!("{}\r\n", error.message);
    let mut out = Vec::new();
    if !terminal {
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    out.extend_from_slice(text.as_bytes());
    out
}

/// Waits until the peer has closed both directions, for ever where that is not told.
async fn gone(watch: Option<UnixStream>) {
    let Some(watch) = watch else { return std::future::pending().await };
    loop {
        match watch.ready(Interest::WRITABLE).await {
            Ok(ready) if !ready.is_write_closed() => {}
            _ => return,
        }
        // Forgets that it can be written, so that the next change is waited for.
        let _ =
            watch.try_io(Interest::WRITABLE, || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) });
    }
}

/// Carries the client's input. True if the client typed the keys to leave.
async fn forward(
    mut client: impl AsyncRead + Unpin,
    mut process: impl AsyncWrite + Unpin,
    mut session: Session,
) -> bool {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(length @ 1..) = client.read(&mut buffer).await {
        if !session.input {
            continue;
        }
        let (typed, leave) = if session.terminal {
            session.keys.filter(&buffer[..length])
        } else {
            (buffer[..length].to_vec(), false)
        };
        if process.write_all(&typed).await.is_err() || process.flush().await.is_err() {
            return false;
        }
        if leave {
            return true;
        }
    }
    if session.input {
        // The process may be gone already; there is nobody to tell.
        let _ = process.shutdown().await;
    }
    false
}
