//! Gives an image to a registry.
//!
//! ```text
//!  name -> image -> session -> for each blob, several at once: there? / in another repository? mounted : sent
//!       -> configuration -> manifest -> its digest is one more name of the image
//! ```
//!
//! A layer goes out as it came in, and with it the manifest that came with the image: what was pulled has the same digest
//! when it is pushed. A layer that came plain is packed first, with gzip unless told otherwise, since not every client
//! reads other layers; always in the same way, so that the registry has it when it is pushed again.

use super::session::Session;
use super::upload::file_body;
use super::wait::{Listener, unless_gone};
use super::{Credentials, Registries};
use crate::contents::NewManifest;
use crate::hash::digest_of;
use crate::home::Stage;
use crate::manifest::{Descriptor, Document, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::records::{IMAGES, LAYERS, LayerRecord, MANIFESTS, ManifestRecord, NAMES, Packing, packed_table};
use crate::{Error, Images, Reference, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Full};
use model::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use store::Durability;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Blobs that are sent at the same time.
const UPLOADS_MAX: usize = 4;
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
    /// How layers go out that came plain. Where nothing is said, with gzip, unless the image came with a manifest that
    /// names them plain.
    pub compression: Option<Compression>,
}

/// How layers go out that came plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// With gzip, which every client reads.
    Gzip,
    /// With zstd: smaller, and faster both ways.
    Zstd,
    /// As they are.
    None,
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
pub(super) struct Outgoing {
    pub(super) diff_id: Digest,
    pub(super) record: LayerRecord,
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
pub(super) struct Uploads<'a> {
    pub(super) images: &'a Images,
    pub(super) session: &'a Session<'a>,
    pub(super) stage: &'a Stage,
    pub(super) listener: &'a dyn Listener<PushStep>,
    /// What plain layers become.
    plain_as: Packing,
    /// One layer at a time is packed.
    pub(super) packing_turn: Semaphore,
    /// Whether whoever pushes wants plain layers packed.
    is_packing_asked_for: bool,
    /// Whether the registry does not have the images of this node.
    is_foreign: AtomicBool,
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
        let parcel = self.parcel(request)?;
        let sources: BTreeSet<&String> = parcel.layers.iter().flat_map(|layer| &layer.elsewhere).collect();
        let mut scopes = vec![format!("repository:{}:pull,push", request.reference.path())];
        scopes.extend(sources.into_iter().map(|from| format!("repository:{from}:pull")));
        let opened = open(registries, request, scopes);
        let session = runtime.block_on(unless_gone(listener, opened))?;
        let plain_as = parcel.plain_as(request.compression);
        let packing_turn = Semaphore::new(1);
        let uploads = Uploads {
            images: self,
            session: &session,
            stage: &stage,
            listener,
            plain_as,
            packing_turn,
            is_packing_asked_for: matches!(request.compression, Some(Compression::Gzip | Compression::Zstd)),
            is_foreign: AtomicBool::new(false),
        };
        let sent = runtime.block_on(uploads.all(&parcel, request));
        let sent = sent.inspect_err(|_| registries.forget(&session.plumbing.endpoint))?;
        let digest = sent.digest;
        let size = sent.text.len() as u64;
        // Plain layers are shared with this node's own registry; another one gets them packed.
        let is_own = session.plumbing.endpoint.is_here()
            && !uploads.is_foreign.load(Ordering::Relaxed)
            && parcel.manifest.is_none();
        let record = ManifestRecord { image: parcel.id, media_type: sent.media_type, text: sent.text };
        self.store.write(Durability::Lazy, |tx| {
            // It may have been removed in the meantime.
            if tx.get(&IMAGES, &parcel.id)?.is_some_and(|image| !image.removed) {
                if !is_own {
                    tx.put(&MANIFESTS, &digest, &record)?;
                }
                tx.put(&NAMES, &request.reference.digested(digest), &parcel.id)?;
            }
            Ok::<_, Error>(())
        })?;
        drop(lease);
        self.sweep(&stage)?;
        Ok(Pushed { digest, size })
    }

    fn parcel(&self, request: &PushRequest) -> Result<Parcel> {
        let reference = &request.reference;
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
            // What is packed anew gets another manifest.
            let is_packed = matches!(request.compression, Some(Compression::Gzip | Compression::Zstd))
                && layers.iter().any(|layer| layer.record.packing == Packing::Plain);
            let manifest = manifest.filter(|_| !is_packed);
            let path = self.home.blob(id);
            let config = std::fs::read(&path).map_err(Error::read(&path))?;
            Ok(Parcel { id, config, layers, manifest })
        })
    }
}

impl Parcel {
    /// What plain layers become: what was asked for, or what the manifest says that goes with them.
    fn plain_as(&self, compression: Option<Compression>) -> Packing {
        match compression {
            Some(Compression::Gzip) => Packing::Gzip,
            Some(Compression::Zstd) => Packing::Zstd,
            Some(Compression::None) => Packing::Plain,
            None if self.manifest.is_some() => Packing::Plain,
            None => Packing::Gzip,
        }
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
    Session::reach(registries, reference.domain(), reference.path(), scopes, &request.credentials).await
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
        let tag = request.reference.tag().unwrap_or_default();
        unless_gone(self.listener, self.session.put_manifest(&manifest, tag)).await?;
        Ok(manifest)
    }

    async fn tell(&self, layer: &Outgoing, state: PushState) {
        self.listener.tell(PushStep { id: layer.diff_id.short(), state }).await;
    }

    /// Whether the registry has a layer as it came, or takes it from this machine's own images: then it is this node's own, and
    /// nothing is sent. Whoever says no once is not asked again.
    async fn shared(&self, layer: &Outgoing) -> Result<Option<Descriptor>> {
        let LayerRecord { blob, blob_bytes, packing, .. } = layer.record;
        let may_share = packing != Packing::Plain || !self.is_packing_asked_for;
        if !may_share || !self.session.plumbing.endpoint.is_here() || self.is_foreign.load(Ordering::Relaxed)
        {
            return Ok(None);
        }
        if self.is_there(blob).await? || self.mounted(blob, None).await? {
            return Ok(Some(Descriptor::new(packing.media_type(), blob, blob_bytes)));
        }
        self.is_foreign.store(true, Ordering::Relaxed);
        Ok(None)
    }

    /// Brings one layer to the registry, if it is not there yet.
    async fn layer(&self, layer: &Outgoing) -> Result<Descriptor> {
        let record = &layer.record;
        let kind = if record.packing == Packing::Plain { self.plain_as } else { record.packing };
        let (known, path) = match packed_table(kind).filter(|_| kind != record.packing) {
            Some(table) => {
                let packed = self.images.store.read(|tx| tx.get(table, &layer.diff_id))?;
                (packed.map(|packed| (packed.blob, packed.blob_bytes)), None)
            }
            None => (Some((record.blob, record.blob_bytes)), Some(self.images.home.blob(record.blob))),
        };
        let describe = |(digest, bytes)| Descriptor::new(kind.media_type(), digest, bytes);
        if let Some(descriptor) = known.map(describe)
            && self.is_there(descriptor.digest).await?
        {
            self.tell(layer, PushState::Exists).await;
            return Ok(descriptor);
        }
        if let Some(descriptor) = self.shared(layer).await? {
            self.tell(layer, PushState::Exists).await;
            return Ok(descriptor);
        }
        if let Some(descriptor) = known.map(describe) {
            for from in &layer.elsewhere {
                if self.mounted(descriptor.digest, Some(from)).await? {
                    self.tell(layer, PushState::Mounted { from: from.clone() }).await;
                    return Ok(descriptor);
                }
            }
        }
        let (descriptor, path) = match (known, path) {
            (Some(known), Some(path)) => (describe(known), path),
            _ => {
                let (packed, path) = self.pack(layer, kind).await?;
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
}
