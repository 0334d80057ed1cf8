//! Gives an image to a registry.
//!
//! ```text
//!  name -> image -> session -> for each blob, several at once: there? / in another repository? mounted : sent
//!       -> configuration -> manifest -> its digest is one more name of the image
//! ```
//!
//! A layer goes out as it came in, and with it the manifest that came with the image: what was pulled has the same digest
//! when it is pushed. A layer that came plain is packed with gzip first, since not every client reads other layers;
//! always in the same way, so that the registry has it when it is pushed again.

use super::dial::Body;
use super::error::RegistryError;
use super::fetch::CONTENT_DIGEST;
use super::session::{Ask, Session, refused, resolve, without_query};
use super::token::form;
use super::wait::{Listener, unless_gone};
use super::{Credentials, Registries};
use crate::contents::NewManifest;
use crate::hash::{Hasher, digest_of};
use crate::home::Stage;
use crate::manifest::{Descriptor, Document, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::packing::GzipWriter;
use crate::records::{
    IMAGES, LAYERS, LayerRecord, MANIFESTS, ManifestRecord, NAMES, PACKED, PackedRecord, Packing,
};
use crate::{Error, Images, Reference, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Method, Response, StatusCode};
use model::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::Durability;
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;

/// Blobs that are sent at the same time.
const UPLOADS_MAX: usize = 4;
/// Bytes that are sent at a time.
const PIECE_BYTES: usize = 256 << 10;
/// How often the progress of a layer is told, and after how many bytes at least.
const TOLD_PARTS: u64 = 100;
const TOLD_BYTES_MIN: u64 = 512 << 10;
/// Repositories that a registry is asked to take a layer from.
const MOUNTS_MAX: usize = 3;

/// What is to be pushed.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// Its name, with a tag.
    pub reference: Reference,
    /// Who asks.
    pub credentials: Credentials,
}

/// How far one layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushStep {
    /// The first digits of the digest of its plain archive.
    pub id: String,
    /// How far it is.
    pub state: PushState,
}

/// How far a layer is on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushState {
    /// It is looked at.
    Preparing,
    /// The registry has it already.
    Exists,
    /// The registry took it from another of its repositories.
    Mounted {
        /// That repository.
        from: String,
    },
    /// It goes.
    Pushing {
        /// Bytes that are sent.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The registry has it now.
    Pushed,
}

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's bytes.
    pub size: u64,
}

/// One layer as it is to go out.
struct Outgoing {
    diff_id: Digest,
    record: LayerRecord,
    /// Other repositories of the registry that have it.
    elsewhere: Vec<String>,
}

/// An image as it is to go out.
struct Parcel {
    id: Digest,
    config: Vec<u8>,
    layers: Vec<Outgoing>,
    /// The manifest that it came with, where its layers are still the same.
    manifest: Option<ManifestRecord>,
}

/// What the uploads of one push share.
struct Uploads<'a> {
    images: &'a Images,
    session: &'a Session<'a>,
    stage: &'a Stage,
    listener: &'a dyn Listener<PushStep>,
}

impl Images {
    /// The names that a push of `repository` means: itself if it has a tag, otherwise all its tags that are here.
    ///
    /// # Errors
    /// [`Error::NothingToPush`] when there is none.
    pub fn to_push(&self, repository: &Reference) -> Result<Vec<Reference>> {
        let names = self.store.read(|tx| tx.list(&NAMES).map_err(Error::from))?;
        let wanted = |name: &Reference| {
            name.same_repository(repository)
                && name.digest().is_none()
                && (repository.tag().is_none() || repository.tag() == name.tag())
        };
        let found: Vec<Reference> = names.into_iter().map(|(name, _)| name).filter(wanted).collect();
        if found.is_empty() {
            return Err(Error::NothingToPush(repository.familiar()));
        }
        Ok(found)
    }

    /// Pushes an image. Blocks; `runtime` is where the network is waited for. When the listener goes, the push ends.
    ///
    /// # Errors
    /// What the registry says, in Docker's words; [`Error::NothingToPush`] when nothing has that name.
    pub fn push(
        &self,
        registries: &Registries,
        runtime: &Handle,
        request: &PushRequest,
        listener: &dyn Listener<PushStep>,
    ) -> Result<Pushed> {
        let stage = self.home.stage()?;
        // What goes out must stay until it is out.
        let lease = self.lease_layers();
        let parcel = self.parcel(&request.reference)?;
        let sources: BTreeSet<&String> = parcel.layers.iter().flat_map(|layer| &layer.elsewhere).collect();
        let mut scopes = vec![format!("repository:{}:pull,push", request.reference.path())];
        scopes.extend(sources.into_iter().map(|from| format!("repository:{from}:pull")));
        let opened = open(registries, request, scopes);
        let session = runtime.block_on(unless_gone(listener, opened))?;
        let uploads = Uploads { images: self, session: &session, stage: &stage, listener };
        let sent = runtime.block_on(uploads.all(&parcel, request))?;
        let digest = sent.digest;
        let size = sent.text.len() as u64;
        let record = ManifestRecord { image: parcel.id, media_type: sent.media_type, text: sent.text };
        self.store.write(Durability::Lazy, |tx| {
            // It may have been removed in the meantime.
            if tx.get(&IMAGES, &parcel.id)?.is_some_and(|image| !image.removed) {
                tx.put(&MANIFESTS, &digest, &record)?;
                tx.put(&NAMES, &request.reference.digested(digest), &parcel.id)?;
            }
            Ok::<_, Error>(())
        })?;
        drop(lease);
        self.sweep(&stage)?;
        Ok(Pushed { digest, size })
    }

    fn parcel(&self, reference: &Reference) -> Result<Parcel> {
        let missing = || Error::NothingToPush(reference.familiar());
        self.store.read(|tx| {
            let id = tx.get(&NAMES, reference)?.ok_or_else(missing)?;
            let image = tx.get(&IMAGES, &id)?.filter(|image| !image.removed).ok_or_else(missing)?;
            let elsewhere = holders(&tx.list(&NAMES)?, &tx.list(&IMAGES)?, reference);
            let mut layers = Vec::new();
            for diff_id in &image.layers {
                let damaged = || Error::Damaged { id: model::ImageId(id), layer: *diff_id };
                let record = tx.get(&LAYERS, diff_id)?.ok_or_else(damaged)?;
                let elsewhere = elsewhere.get(diff_id).cloned().unwrap_or_default();
                layers.push(Outgoing { diff_id: *diff_id, record, elsewhere });
            }
            let mut kept = tx.list(&MANIFESTS)?.into_iter().map(|(_, manifest)| manifest);
            let manifest = kept.find(|manifest| manifest.image == id && still_fits(manifest, &layers));
            let path = self.home.blob(id);
            let config = std::fs::read(&path).map_err(Error::read(&path))?;
            Ok(Parcel { id, config, layers, manifest })
        })
    }
}

/// Other repositories of the same registry that have a layer, as far as their names here tell.
fn holders(
    names: &[(Reference, Digest)],
    images: &[(Digest, crate::records::ImageRecord)],
    reference: &Reference,
) -> BTreeMap<Digest, Vec<String>> {
    let mut found: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    // A name with a digest is one that a registry has given: what is only named so may be nowhere else.
    let others = names.iter().filter(|(name, _)| {
        name.domain() == reference.domain() && name.path() != reference.path() && name.digest().is_some()
    });
    for (name, id) in others {
        let image = images.iter().find(|(other, _)| other == id);
        for layer in image.iter().flat_map(|(_, image)| &image.layers) {
            let paths = found.entry(*layer).or_default();
            if paths.len() < MOUNTS_MAX && !paths.iter().any(|path| path == name.path()) {
                paths.push(name.path().to_owned());
            }
        }
    }
    found
}

/// Whether the blobs of the layers are still those that a manifest names.
fn still_fits(manifest: &ManifestRecord, layers: &[Outgoing]) -> bool {
    let Ok(Document::Manifest(parts)) = Document::parse(manifest.text.as_bytes(), &manifest.media_type)
    else {
        return false;
    };
    parts.layers.len() == layers.len()
        && parts.layers.iter().zip(layers).all(|(part, layer)| part.digest == layer.record.blob)
}

async fn open<'r>(
    registries: &'r Registries,
    request: &PushRequest,
    scopes: Vec<String>,
) -> super::Result<Session<'r>> {
    let reference = &request.reference;
    let mut last = None;
    for endpoint in Session::endpoints(registries, reference.domain(), false) {
        let opened =
            Session::open(registries, endpoint, reference.path(), scopes.clone(), &request.credentials);
        match opened.await {
            Err(error @ RegistryError::Reach { .. }) => last = Some(error),
            other => return other,
        }
    }
    let (url, source) = (reference.full_name(), "it has no address".into());
    Err(last.unwrap_or(RegistryError::Address { url, source }))
}

impl Uploads<'_> {
    /// Sends everything, and the manifest last.
    async fn all(&self, parcel: &Parcel, request: &PushRequest) -> Result<NewManifest> {
        for layer in &parcel.layers {
            self.tell(layer, PushState::Preparing).await;
        }
        // Each blob once, however often the image has it.
        let mut seen = BTreeSet::new();
        let once = parcel.layers.iter().filter(|layer| seen.insert(layer.diff_id));
        let sending = stream::iter(once.map(|layer| async move {
            let sent = self.layer(layer).await?;
            Ok::<_, Error>((layer.diff_id, sent))
        }));
        let sent: BTreeMap<Digest, Descriptor> = sending.buffer_unordered(UPLOADS_MAX).try_collect().await?;
        let config = Descriptor::new(OCI_CONFIG, parcel.id, parcel.config.len() as u64);
        if !self.is_there(config.digest).await? {
            let bytes = Bytes::from(parcel.config.clone());
            let body = move || Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync();
            self.upload(&config, &body, &AtomicU64::new(0)).await?;
        }
        let manifest = match &parcel.manifest {
            Some(kept) => kept.text.clone(),
            None => {
                let layers = parcel.layers.iter().filter_map(|layer| sent.get(&layer.diff_id).cloned());
                let manifest = Manifest {
                    schema_version: 2,
                    media_type: OCI_MANIFEST.to_owned(),
                    artifact_type: String::new(),
                    config,
                    layers: layers.collect(),
                    subject: None,
                    annotations: BTreeMap::new(),
                };
                let what = "a manifest";
                serde_json::to_string(&manifest).map_err(|source| Error::Encode { what, source })?
            }
        };
        let media_type = parcel.manifest.as_ref().map_or(OCI_MANIFEST, |kept| kept.media_type.as_str());
        let manifest = NewManifest {
            digest: digest_of(manifest.as_bytes()),
            media_type: media_type.to_owned(),
            text: manifest,
        };
        self.manifest(&manifest, request.reference.tag().unwrap_or_default()).await?;
        Ok(manifest)
    }

    async fn tell(&self, layer: &Outgoing, state: PushState) {
        self.listener.tell(PushStep { id: layer.diff_id.short(), state }).await;
    }

    /// Brings one layer to the registry, if it is not there yet.
    async fn layer(&self, layer: &Outgoing) -> Result<Descriptor> {
        let record = &layer.record;
        let (known, path) = match record.packing {
            Packing::Plain => {
                let packed = self.images.store.read(|tx| tx.get(&PACKED, &layer.diff_id))?;
                let known = packed.map(|packed| (packed.blob, packed.blob_bytes));
                (known, None)
            }
            _ => (Some((record.blob, record.blob_bytes)), Some(self.images.home.blob(record.blob))),
        };
        let kind = if record.packing == Packing::Plain { Packing::Gzip } else { record.packing };
        let describe = |(digest, bytes)| Descriptor::new(kind.media_type(), digest, bytes);
        if let Some(descriptor) = known.map(describe) {
            if self.is_there(descriptor.digest).await? {
                self.tell(layer, PushState::Exists).await;
                return Ok(descriptor);
            }
            for from in &layer.elsewhere {
                if self.mounted(descriptor.digest, from).await? {
                    self.tell(layer, PushState::Mounted { from: from.clone() }).await;
                    return Ok(descriptor);
                }
            }
        }
        let (descriptor, path) = match (known, path) {
            (Some(known), Some(path)) => (describe(known), path),
            _ => {
                let (packed, path) = self.pack(layer).await?;
                let descriptor = describe((packed.blob, packed.blob_bytes));
                if known.is_none() && self.is_there(descriptor.digest).await? {
                    self.tell(layer, PushState::Exists).await;
                    return Ok(descriptor);
                }
                (descriptor, path)
            }
        };
        let sent = Arc::new(AtomicU64::new(0));
        let (counter, file) = (Arc::clone(&sent), path);
        let body = move || file_body(&file, Arc::clone(&counter));
        let uploading = self.upload(&descriptor, &body, &sent);
        self.telling(layer, descriptor.size, &sent, uploading).await?;
        self.tell(layer, PushState::Pushed).await;
        Ok(descriptor)
    }

    /// Tells how much is sent while it is sent.
    async fn telling(
        &self,
        layer: &Outgoing,
        total: u64,
        sent: &AtomicU64,
        uploading: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);
        let mut uploading = std::pin::pin!(uploading);
        let mut told = 0;
        loop {
            match tokio::time::timeout(LOOK_EVERY, &mut uploading).await {
                Ok(done) => return done,
                Err(_) => {
                    let current = sent.load(Ordering::Relaxed).min(total);
                    if current.saturating_sub(told) >= (total / TOLD_PARTS).max(TOLD_BYTES_MIN) {
                        told = current;
                        self.tell(layer, PushState::Pushing { current, total }).await;
                    }
                }
            }
        }
    }

    /// Packs a plain layer with gzip, on a thread that may block, and remembers what came out.
    async fn pack(&self, layer: &Outgoing) -> Result<(PackedRecord, PathBuf)> {
        let (from, to) = (self.images.home.blob(layer.record.blob), self.stage.path());
        let target = to.clone();
        let packing = tokio::task::spawn_blocking(move || pack_file(&from, &target));
        let gone = |error: tokio::task::JoinError| Error::Write {
            path: to.clone(),
            source: io::Error::other(error),
        };
        let packed = unless_gone(self.listener, async { Ok(packing.await) }).await?.map_err(gone)??;
        self.images
            .store
            .write(Durability::Lazy, |tx| tx.put(&PACKED, &layer.diff_id, &packed).map_err(Error::from))?;
        Ok((packed, to))
    }

    async fn send(&self, ask: &Ask<'_>) -> Result<Response<Incoming>> {
        Ok(unless_gone(self.listener, self.session.send(ask)).await?)
    }

    async fn refusal(&self, response: Response<Incoming>, ask: &Ask<'_>) -> Error {
        refused(response, &ask.url, self.session.plumbing.patience()).await.into()
    }

    async fn is_there(&self, digest: Digest) -> Result<bool> {
        let ask = Ask::new(Method::HEAD, self.session.url(&format!("blobs/{digest}")));
        let response = self.send(&ask).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refusal(response, &ask).await),
        }
    }

    /// Whether the registry takes a blob from another of its repositories. One that would rather have it sent has begun
    /// an upload, which it forgets by itself.
    async fn mounted(&self, digest: Digest, from: &str) -> Result<bool> {
        let query = form(&[("mount", &digest.to_string()), ("from", from)]);
        let mut ask = Ask::new(Method::POST, self.session.url(&format!("blobs/uploads/?{query}")));
        ask.headers.push((CONTENT_LENGTH, HeaderValue::from_static("0")));
        Ok(self.send(&ask).await?.status() == StatusCode::CREATED)
    }

    /// Sends a blob: an upload is begun, and ended with all of it. Where that breaks off, another is begun.
    async fn upload(
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

    /// Sends the manifest, and sees that the registry has understood it as it is meant.
    async fn manifest(&self, manifest: &NewManifest, tag: &str) -> Result<()> {
        let bytes = Bytes::from(manifest.text.clone());
        let size = bytes.len();
        let body = move || Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync();
        let mut ask = Ask::new(Method::PUT, self.session.url(&format!("manifests/{tag}")));
        let kind = HeaderValue::from_str(&manifest.media_type);
        ask.headers.extend(kind.ok().map(|kind| (CONTENT_TYPE, kind)));
        ask.headers.push((CONTENT_LENGTH, HeaderValue::from(size)));
        ask.body = &body;
        let response = self.send(&ask).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response, &ask).await);
        }
        let told = response.headers().get(CONTENT_DIGEST).and_then(|digest| digest.to_str().ok());
        match told.and_then(|digest| digest.parse::<Digest>().ok()) {
            Some(found) if found != manifest.digest => {
                let what = format!("the manifest as the registry took it for {tag}");
                Err(RegistryError::Digest { what, wanted: manifest.digest, found }.into())
            }
            _ => Ok(()),
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
fn file_body(path: &Path, sent: Arc<AtomicU64>) -> Body {
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

/// Packs a file with gzip.
fn pack_file(from: &Path, to: &Path) -> Result<PackedRecord> {
    let mut plain = File::open(from).map_err(Error::read(from))?;
    let counted = Counted {
        file: File::create_new(to).map_err(Error::write(to))?,
        hasher: Hasher::default(),
        bytes: 0,
    };
    let mut packed = GzipWriter::new(counted);
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        match plain.read(&mut buffer).map_err(Error::read(from))? {
            0 => break,
            got => packed.write_all(&buffer[..got]).map_err(Error::write(to))?,
        }
    }
    let done = packed.finish().map_err(Error::write(to))?;
    Ok(PackedRecord { blob: done.hasher.finish(), blob_bytes: done.bytes })
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
