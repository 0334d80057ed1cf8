//! Blobs as they are pushed: in one request, in two, in pieces, or mounted from another repository.
//!
//! The body is handed on in batches: one is written and hashed by a thread that may block while the next one comes in.

use super::range::piece;
use super::{Answer, Call, blobs, empty, joined, set};
use crate::distribution::access::Action;
use crate::distribution::blobs::Source;
use crate::distribution::digest::Algorithm;
use crate::distribution::uploads::{Taken, Upload};
use crate::distribution::{ContentDigest, Refusal, Registry, Repository};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Bytes that are written at a time.
const BATCH_BYTES: usize = 1 << 20;
/// How long a client may send nothing within a body.
const BODY_IDLE: Duration = Duration::from_secs(60);

/// How far an upload is, as its `Range` header says it.
pub(super) fn range(have: u64) -> String {
    format!("0-{}", have.saturating_sub(1))
}

/// Begins an upload; ends it too, where all of it comes with the request or is here already.
pub(super) async fn begin(call: &mut Call<'_>) -> Answer {
    let repository = call.repository()?;
    if let Some(digest) = call.query.given("mount") {
        let digest: ContentDigest = digest.parse()?;
        let from: Option<Repository> = call.query.given("from").map(str::parse).transpose()?;
        let (name, user) = (repository.clone(), call.user.clone());
        let mounted = call
            .blocking(move |registry| {
                let readable = |other: &Repository| user.may(Action::Pull, other);
                let source =
                    Source { from: from.as_ref(), readable: &readable, images: user.may_everything() };
                registry.mount(&name, digest, &source)
            })
            .await?;
        if mounted {
            return Ok(created(&repository, &digest));
        }
    }
    let whole: Option<ContentDigest> = call.query.given("digest").map(str::parse).transpose()?;
    let algorithm = match (whole, call.query.given("digest-algorithm")) {
        (Some(digest), _) => digest.algorithm(),
        (None, Some(name)) => name.parse()?,
        (None, None) => Algorithm::Sha256,
    };
    let name = repository.clone();
    let id = call.blocking(move |registry| registry.begin_upload(&name, algorithm)).await?;
    let upload = call.served.registry.upload(&repository, &id).await?;
    match whole {
        None => Ok(under_way(StatusCode::ACCEPTED, &repository, &upload)),
        Some(digest) => {
            let (upload, received) = receive(call.body, upload, None).await?;
            if let Err(refusal) = received {
                // Nobody knows its name, so that nobody can go on with it.
                cancelled(&call.served.registry, upload).await?;
                return Err(refusal);
            }
            end(call, upload, &repository, digest).await
        }
    }
}

/// Tells how far an upload is.
pub(super) async fn status(call: &mut Call<'_>) -> Answer {
    let (repository, upload) = taken(call).await?;
    Ok(under_way(StatusCode::NO_CONTENT, &repository, &upload))
}

/// Takes a piece of a blob, or all that is left of it.
pub(super) async fn patch(call: &mut Call<'_>) -> Answer {
    let (repository, upload) = taken(call).await?;
    let piece = announced_piece(call, &upload)?;
    let (upload, received) = receive(call.body, upload, piece).await?;
    received?;
    let upload = with(upload, |upload| Ok(upload.sync()?)).await?;
    Ok(under_way(StatusCode::ACCEPTED, &repository, &upload))
}

/// Ends an upload, with the last piece if there is one.
pub(super) async fn put(call: &mut Call<'_>) -> Answer {
    let digest: ContentDigest = call.query.given("digest").ok_or(Refusal::NoDigest)?.parse()?;
    let (repository, upload) = taken(call).await?;
    let piece = announced_piece(call, &upload)?;
    let (upload, received) = receive(call.body, upload, piece).await?;
    received?;
    end(call, upload, &repository, digest).await
}

/// Gives an upload up.
pub(super) async fn cancel(call: &mut Call<'_>) -> Answer {
    let (_, upload) = taken(call).await?;
    cancelled(&call.served.registry, upload).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// The upload that the path names, for this request alone.
async fn taken(call: &Call<'_>) -> Result<(Repository, Taken), Refusal> {
    let repository = call.repository()?;
    let upload = call.served.registry.upload(&repository, &call.parameter).await?;
    Ok((repository, upload))
}

async fn end(call: &Call<'_>, upload: Taken, repository: &Repository, digest: ContentDigest) -> Answer {
    let registry = Arc::clone(&call.served.registry);
    drop(with(upload, move |upload| registry.end_upload(upload, digest)).await?);
    Ok(created(repository, &digest))
}

async fn cancelled(registry: &Arc<Registry>, upload: Taken) -> Result<(), Refusal> {
    let registry = Arc::clone(registry);
    with(upload, move |upload| registry.cancel_upload(upload)).await.map(drop)
}

/// Lets a thread that may block have an upload for a while. It has it to the end, even if the request is given up.
async fn with(
    mut upload: Taken,
    work: impl FnOnce(&mut Upload) -> Result<(), Refusal> + Send + 'static,
) -> Result<Taken, Refusal> {
    let worked = tokio::task::spawn_blocking(move || {
        let done = work(&mut upload);
        (upload, done)
    });
    let (upload, done) = joined(worked.await)?;
    done.map(|()| upload)
}

/// The answer that some content is here.
fn created(repository: &Repository, digest: &ContentDigest) -> Response<super::Body> {
    let mut response = empty(StatusCode::CREATED);
    set(response.headers_mut(), "location", &blobs::location(repository, digest));
    set(response.headers_mut(), "docker-content-digest", &digest.to_string());
    response
}

/// The answer that more may come, and how far it is.
fn under_way(status: StatusCode, repository: &Repository, upload: &Upload) -> Response<super::Body> {
    let mut response = empty(status);
    let headers = response.headers_mut();
    set(headers, "location", &format!("/v2/{repository}/blobs/uploads/{}", upload.id()));
    set(headers, "range", &range(upload.length()));
    set(headers, "docker-upload-uuid", upload.id());
    response
}

/// The piece that comes, where the client says which: it must begin where the last one ended.
fn announced_piece(call: &Call<'_>, upload: &Upload) -> Result<Option<Range<u64>>, Refusal> {
    let Some(header) = call.header("content-range") else { return Ok(None) };
    let piece = piece(header).ok_or_else(|| Refusal::Header {
        header: "Content-Range",
        value: header.to_owned(),
        wanted: "the numbers of the first and the last byte of the piece, as in 0-1023",
    })?;
    if piece.start != upload.length() {
        return Err(Refusal::OutOfOrder { start: piece.start, have: upload.length() });
    }
    match call.content_length() {
        Some(came) if came != piece.end - piece.start => {
            Err(Refusal::Length { said: piece.end - piece.start, came })
        }
        _ => Ok(Some(piece)),
    }
}

/// Adds a body to an upload, and says how that went. What came before it went wrong stays: the client can go on from there.
async fn receive(
    body: &mut Incoming,
    upload: Taken,
    piece: Option<Range<u64>>,
) -> Result<(Taken, Result<(), Refusal>), Refusal> {
    let said = piece.map(|piece| piece.end - piece.start);
    let mut pen = Pen::Idle(upload);
    let mut batch = Batch::default();
    let mut came = 0;
    let ended = loop {
        let data = match tokio::time::timeout(BODY_IDLE, body.frame()).await {
            Err(_) => break Err(Refusal::Stalled(BODY_IDLE)),
            Ok(None) => break Ok(()),
            Ok(Some(Err(error))) => break Err(Refusal::Cut(base::Chain(&error).to_string())),
            // Whatever else a body may hold is of no use here.
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        came += data.len() as u64;
        if let Some(said) = said.filter(|said| came > *said) {
            break Err(Refusal::Length { said, came });
        }
        batch.add(data);
        if batch.bytes >= BATCH_BYTES {
            pen = match pen.write(batch.take()).await? {
                (pen, Ok(())) => pen,
                (pen, refused) => return Ok((pen.rest().await?.0, refused)),
            };
        }
    };
    let (pen, written) = pen.write(batch.take()).await?;
    let (upload, rest) = pen.rest().await?;
    let whole = match said {
        Some(said) if came != said => Err(Refusal::Length { said, came }),
        _ => Ok(()),
    };
    Ok((upload, written.and(rest).and(ended).and(whole)))
}

/// Parts of a body that are written together.
#[derive(Default)]
struct Batch {
    parts: Vec<Bytes>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, part: Bytes) {
        self.bytes += part.len();
        self.parts.push(part);
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        std::mem::take(&mut self.parts)
    }
}

/// Who has the upload: this request, or the thread that writes for it.
enum Pen {
    Idle(Taken),
    Writing(JoinHandle<(Taken, Result<(), Refusal>)>),
}

impl Pen {
    /// Has a batch written once the last one is; says how that one went.
    async fn write(self, batch: Vec<Bytes>) -> Result<(Pen, Result<(), Refusal>), Refusal> {
        let (mut upload, last) = self.rest().await?;
        if batch.is_empty() || last.is_err() {
            return Ok((Pen::Idle(upload), last));
        }
        let writing = tokio::task::spawn_blocking(move || {
            let written = upload.write(&batch);
            (upload, written)
        });
        Ok((Pen::Writing(writing), Ok(())))
    }

    /// Waits for the batch that is being written.
    async fn rest(self) -> Result<(Taken, Result<(), Refusal>), Refusal> {
        match self {
            Pen::Idle(upload) => Ok((upload, Ok(()))),
            Pen::Writing(handle) => joined(handle.await),
        }
    }
}
