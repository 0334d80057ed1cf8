//! One blob on its way to a registry: is it there, mounted, packed, sent, and sent again where that breaks off.

use super::dial::Body;
use super::error::RegistryError;
use super::push::{Outgoing, Uploads};
use super::session::{Ask, refused, resolve, without_query};
use super::token::form;
use super::wait::unless_gone;
use crate::hash::Hasher;
use crate::manifest::Descriptor;
use crate::packing::pack_as;
use crate::records::{PackedRecord, Packing, packed_table};
use crate::{Error, Result};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Method, Response, StatusCode};
use model::Digest;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::Durability;
use tokio::io::AsyncReadExt;

/// Bytes that are sent at a time.
const PIECE_BYTES: usize = 256 << 10;

impl Uploads<'_> {
    /// Packs a plain layer, on threads that may block, and remembers what came out.
    pub(super) async fn pack(&self, layer: &Outgoing, packing: Packing) -> Result<(PackedRecord, PathBuf)> {
        let (from, to) = (self.images.home.blob(layer.record.blob), self.stage.path());
        let target = to.clone();
        // Each takes all processors; while one layer goes, the next is packed.
        let turn = self.packing_turn.acquire().await;
        let work = tokio::task::spawn_blocking(move || pack_file(packing, &from, &target));
        let gone = |error: tokio::task::JoinError| Error::Write {
            path: to.clone(),
            source: io::Error::other(error),
        };
        let packed = unless_gone(self.listener, async { Ok(work.await) }).await?.map_err(gone)??;
        drop(turn);
        if let Some(table) = packed_table(packing) {
            let put = |tx: &mut store::WriteTx<'_>| tx.put(table, &layer.diff_id, &packed);
            self.images.store.write(Durability::Lazy, |tx| put(tx).map_err(Error::from))?;
        }
        Ok((packed, to))
    }

    async fn send(&self, ask: &Ask<'_>) -> Result<Response<Incoming>> {
        Ok(unless_gone(self.listener, self.session.send(ask)).await?)
    }

    async fn refusal(&self, response: Response<Incoming>, ask: &Ask<'_>) -> Error {
        refused(response, &ask.url, self.session.plumbing.patience()).await.into()
    }

    pub(super) async fn is_there(&self, digest: Digest) -> Result<bool> {
        Ok(unless_gone(self.listener, self.session.has_blob(digest)).await?)
    }

    pub(super) async fn mounted(&self, digest: Digest, from: Option<&str>) -> Result<bool> {
        Ok(unless_gone(self.listener, self.session.mounted(digest, from)).await?)
    }

    /// Sends a blob: an upload is begun, and ended with all of it. Where that breaks off, another is begun.
    pub(super) async fn upload(
        &self,
        blob: &Descriptor,
        body: &(dyn Fn() -> Body + Send + Sync),
        sent: &AtomicU64,
    ) -> Result<()> {
        let mut attempt = 1;
        loop {
            let failed = match self.upload_once(blob, body, sent).await {
                Err(error) if is_passing(&error) && attempt < self.session.plumbing.patience().attempts => {
                    error
                }
                other => return other,
            };
            tracing::debug!(error = %base::Chain(&failed), "an upload is begun anew");
            sent.store(0, Ordering::Relaxed);
            unless_gone(self.listener, async {
                self.session.plumbing.pause(attempt, None).await;
                Ok(())
            })
            .await?;
            attempt += 1;
        }
    }

    async fn upload_once(
        &self,
        blob: &Descriptor,
        body: &(dyn Fn() -> Body + Send + Sync),
        sent: &AtomicU64,
    ) -> Result<()> {
        let mut begin = Ask::new(Method::POST, self.session.url("blobs/uploads/"));
        begin.headers.push((CONTENT_LENGTH, HeaderValue::from_static("0")));
        let begun = self.send(&begin).await?;
        let location = begun.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let base = begin.url.parse();
        let (StatusCode::ACCEPTED, Some(location), Ok(base)) = (begun.status(), location, base) else {
            if begun.status().is_success() {
                let url = without_query(&begin.url).to_owned();
                let what = "without a place for the upload".to_owned();
                return Err(RegistryError::Protocol { url, what }.into());
            }
            return Err(self.refusal(begun, &begin).await);
        };
        let location = resolve(&base, location);
        if self.session.plumbing.endpoint.is_encrypted() && !location.starts_with("https://") {
            let (url, why) =
                (without_query(&begin.url).to_owned(), "an upload to where nothing is encrypted");
            return Err(RegistryError::Redirect { url, why }.into());
        }
        let separator = if location.contains('?') { '&' } else { '?' };
        let digest = form(&[("digest", &blob.digest.to_string())]);
        let mut end = Ask::new(Method::PUT, format!("{location}{separator}{digest}"));
        end.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")));
        end.headers.push((CONTENT_LENGTH, HeaderValue::from(blob.size)));
        (end.body, end.sent, end.again) = (body, Some(sent), false);
        let ended = self.send(&end).await?;
        match ended.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT | StatusCode::OK => Ok(()),
            _ => Err(self.refusal(ended, &end).await),
        }
    }
}

/// Whether an upload may go better when it is begun anew.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Registry(RegistryError::Reach { .. }) => true,
        // 404: the registry has forgotten the upload.
        Error::Registry(RegistryError::Refused(refusal)) => {
            matches!(refusal.status, 404 | 408 | 416 | 429 | 500 | 502 | 503 | 504)
        }
        _ => false,
    }
}

/// A file as a body, which counts what of it was taken.
pub(super) fn file_body(path: &Path, sent: Arc<AtomicU64>) -> Body {
    let path = path.to_owned();
    let pieces = stream::unfold((None, path, sent), |(file, path, sent)| async move {
        let mut file = match file {
            Some(file) => file,
            None => match tokio::fs::File::open(&path).await {
                Ok(file) => file,
                Err(error) => return Some((Err(error), (None, path, sent))),
            },
        };
        let mut piece = vec![0; PIECE_BYTES];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                sent.fetch_add(length as u64, Ordering::Relaxed);
                Some((Ok(Frame::data(Bytes::from(piece))), (Some(file), path, sent)))
            }
            Err(error) => Some((Err(error), (Some(file), path, sent))),
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// Packs a file.
fn pack_file(packing: Packing, from: &Path, to: &Path) -> Result<PackedRecord> {
    let mut plain = File::open(from).map_err(Error::read(from))?;
    let mut packed = Counted {
        file: File::create_new(to).map_err(Error::write(to))?,
        hasher: Hasher::default(),
        bytes: 0,
    };
    pack_as(packing, &mut plain, &mut packed).map_err(Error::write(to))?;
    Ok(PackedRecord { blob: packed.hasher.finish(), blob_bytes: packed.bytes })
}

/// A file that is hashed as it is written.
struct Counted {
    file: File,
    hasher: Hasher,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
