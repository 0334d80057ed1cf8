//! Takes an image in from a registry.
//!
//! ```text
//!  name -> session at the first address that has it -> manifest (of the platform) -> configuration
//!       -> layers that are not here: a few threads download, others unpack while it comes -> placed with its names
//! ```
//!
//! A layer that another pull fetches at the same time is waited for (see `together`). Layers that are here already, from
//! whatever image, are not fetched: the configuration names them by the digests of
//! their plain archives, by which they are kept here. Everything new is in the pull's stage until it is placed, and goes
//! with it when the pull ends otherwise; what came of a large layer stays for the next pull where this one failed (see `unfinished`).

use super::coming::Progress;
use super::downloads::{Beginnings, downloaded};
use super::error::RegistryError;
use super::fetch::{self, Fetched};
use super::session::Session;
use super::together::Turn;
use super::wait::{Listener, unless_gone};
use super::{Credentials, Registries};
use crate::config::ImageFile;
use crate::contents::{NewImage, NewManifest, checked};
use crate::home::{Stage, StagedLayer};
use crate::manifest::{DOCKER_CONFIG, Descriptor, Document, Manifest, OCI_CONFIG};
use crate::records::{IMAGES, LAYERS, NAMES};
use crate::{Error, Forget, Images, Platform, Reference, Result};
use model::{Digest, ImageId};
use std::collections::{BTreeMap, HashSet, VecDeque};
use tokio::runtime::Handle;

/// Bytes of a configuration.
const CONFIG_BYTES_MAX: u64 = 8 << 20;

/// What is to be pulled.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// Its name, with a tag or a digest.
    pub reference: Reference,
    /// For which platform; this machine's where nothing is said.
    pub platform: Option<Platform>,
    /// Who asks.
    pub credentials: Credentials,
}

/// How far a pull is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullStep {
    /// The registry has it.
    Found {
        /// The repository as the registry knows it.
        repository: String,
        /// The tag or digest that was asked for.
        tag: String,
    },
    /// One of its layers.
    Layer {
        /// The first digits of its digest.
        id: String,
        /// How far it is.
        state: LayerState,
    },
}

/// How far a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// It is here from another image.
    Exists,
    /// It is to be fetched.
    Wanted,
    /// It comes.
    Downloading {
        /// Bytes that are here.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// All of it is here, and is what it should be.
    Downloaded,
    /// It is being unpacked.
    Extracting {
        /// Bytes of the archive that are unpacked.
        current: u64,
        /// Bytes of the archive.
        total: u64,
    },
    /// It is unpacked.
    Complete,
}

/// What a pull brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub id: ImageId,
    /// The digest by which the registry knows what was asked for: that of the index, where there is one.
    pub digest: Digest,
    /// Whether the name meant something else before, or nothing.
    pub newer: bool,
}

/// What a registry said of an image before any layer was fetched.
pub(super) struct Resolved<'r> {
    session: Session<'r>,
    /// The digest of what the name means: an index, or the manifest itself.
    pub(super) digest: Digest,
    pub(super) fetched: Fetched,
    pub(super) manifest: Manifest,
    config: Vec<u8>,
    pub(super) file: ImageFile,
}

impl Images {
    /// Pulls an image. Blocks; `runtime` is where the network is waited for. When the listener goes, the pull ends.
    ///
    /// # Errors
    /// What the registry says, in Docker's words; what is wrong with what it sent, or with the disk. Nothing is left
    /// behind then but the beginnings of large layers, and not even those where the listener went.
    pub fn pull(
        &self,
        registries: &Registries,
        runtime: &Handle,
        request: &PullRequest,
        listener: &dyn Listener<PullStep>,
    ) -> Result<Pulled> {
        let resolved = runtime.block_on(resolve(registries, request, listener))?;
        let (repository, tag) = (request.reference.path().to_owned(), version(&request.reference));
        runtime.block_on(listener.tell(PullStep::Found { repository, tag }));
        let stage = self.home.stage()?;
        // What is here already must stay until the image is in the table.
        let lease = self.lease_layers();
        let mut turn = self.pulls.join(self.missing(&resolved)?.into_keys().collect());
        let pulling =
            Pulling { images: self, stage: &stage, runtime, request, resolved: &resolved, listener };
        let (beginnings, fetched) = pulling.fetch_for_good(&mut turn);
        let (image, layers) = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                beginnings.leave(&error);
                if let Err(error) = self.forget_unfinished(Forget::Surplus) {
                    tracing::warn!(error = %base::Chain(&error), "beginnings of layers are not looked at");
                }
                return Err(error);
            }
        };
        let named = image.names.first().cloned();
        let before = self.store.read(|tx| {
            let owner = named.as_ref().map(|name| tx.get(&NAMES, name)).transpose();
            owner.map_err(Error::from)
        })?;
        let id = image.id;
        self.place(&stage, layers.into_values(), &[image])?;
        drop(beginnings);
        // Others find the layers in the table from now on.
        drop(turn);
        drop(lease);
        // What was removed in the meantime had to stay until now.
        self.sweep(&stage)?;
        Ok(Pulled { id, digest: resolved.digest, newer: before.flatten() != Some(id.0) })
    }

    /// Layers of an image that are not here, by the digests of their archives.
    fn missing<'m>(&self, resolved: &'m Resolved<'_>) -> Result<BTreeMap<Digest, &'m Descriptor>> {
        let (wanted, parts) = (&resolved.file.rootfs.diff_ids, &resolved.manifest.layers);
        if wanted.len() != parts.len() {
            return Err(Error::LayerCount { wanted: wanted.len(), found: parts.len() });
        }
        let mut missing = BTreeMap::new();
        self.store.read(|tx| {
            for (diff_id, part) in wanted.iter().zip(parts) {
                if tx.get(&LAYERS, diff_id)?.is_none() {
                    missing.insert(part.digest, part);
                }
            }
            Ok::<_, Error>(())
        })?;
        Ok(missing)
    }

    /// Tells which layers are here and which are wanted; nothing of an image that is here as a whole.
    fn tell_layers(&self, resolved: &Resolved<'_>, progress: &Progress<'_>) -> Result<()> {
        let missing = self.missing(resolved)?;
        let id = crate::hash::digest_of(&resolved.config);
        let known = self.store.read(|tx| tx.get(&IMAGES, &id))?.is_some_and(|record| !record.removed);
        if known && missing.is_empty() {
            return Ok(());
        }
        let mut told = HashSet::new();
        for part in &resolved.manifest.layers {
            match missing.contains_key(&part.digest) {
                false => progress.tell(part.digest, LayerState::Exists),
                true if told.insert(part.digest) => progress.tell(part.digest, LayerState::Wanted),
                true => {}
            }
        }
        Ok(())
    }
}

/// An image with its new layers, by the digests of their archives.
type FetchedImage = (NewImage, BTreeMap<Digest, StagedLayer>);

/// One pull whose image is known, and whose layers are not all here.
struct Pulling<'p> {
    images: &'p Images,
    stage: &'p Stage,
    runtime: &'p Handle,
    request: &'p PullRequest,
    resolved: &'p Resolved<'p>,
    listener: &'p dyn Listener<PullStep>,
}

impl<'p> Pulling<'p> {
    /// Fetches the image, once more from the first byte where the beginnings that were there are none of its layers.
    fn fetch_for_good(&self, turn: &mut Turn<'_>) -> (Beginnings<'p>, Result<FetchedImage>) {
        let beginnings = Beginnings::new(&self.images.unfinished);
        let fetched = self.fetch(turn, &beginnings);
        match &fetched {
            Err(error) if beginnings.may_be_why(error) => {
                tracing::warn!(error = %base::Chain(error), "beginnings of layers are thrown away");
            }
            _ => return (beginnings, fetched),
        }
        drop(beginnings);
        let beginnings = Beginnings::new(&self.images.unfinished);
        let fetched = self.fetch(turn, &beginnings);
        (beginnings, fetched)
    }

    /// Fetches what is missing of the image, and waits for what others fetch.
    fn fetch(&self, turn: &mut Turn<'_>, beginnings: &Beginnings<'_>) -> Result<FetchedImage> {
        let Pulling { images, stage, runtime, request, resolved, listener } = *self;
        let Resolved { session, fetched, manifest, config, file, .. } = resolved;
        let progress = Progress::new(listener, runtime);
        images.tell_layers(resolved, &progress)?;
        let mut layers: BTreeMap<Digest, StagedLayer> = BTreeMap::new();
        let mut awaited: HashSet<Digest> = HashSet::new();
        loop {
            // Asked before what is here is looked at: who ends in between is seen in the next round.
            let mine = turn.mine(manifest.layers.iter().map(|part| part.digest));
            let mut missing = images.missing(resolved)?;
            missing.retain(|digest, _| !layers.contains_key(digest));
            for came in awaited.iter().filter(|digest| !missing.contains_key(digest)) {
                progress.tell(*came, LayerState::Complete);
            }
            awaited = missing.keys().filter(|digest| !mine.contains(digest)).copied().collect();
            // In the order of the image: the bottom ones are the big ones.
            let queue: VecDeque<&Descriptor> = manifest
                .layers
                .iter()
                .filter_map(|part| missing.remove(&part.digest))
                .filter(|part| mine.contains(&part.digest))
                .collect();
            if !queue.is_empty() {
                layers.extend(downloaded(stage, session, runtime, &progress, beginnings, queue)?);
            } else if awaited.is_empty() {
                break;
            } else {
                runtime.block_on(unless_gone(listener, async {
                    turn.moved().await;
                    Ok(())
                }))?;
            }
        }
        let found = file.rootfs.diff_ids.iter().zip(&manifest.layers);
        let found =
            found.map(|(diff_id, part)| layers.get(&part.digest).map_or(*diff_id, |layer| layer.diff_id));
        let names = names(&request.reference, resolved.digest);
        let mut image = checked(&request.reference.familiar(), config, found.collect(), names)?;
        image.manifest = String::from_utf8(fetched.bytes.clone()).ok().map(|text| NewManifest {
            digest: fetched.digest,
            media_type: kind_of(manifest, fetched),
            text,
        });
        Ok((image, layers))
    }
}

/// The names that an image gets: the one that was asked for, and its digest in the repository.
fn names(reference: &Reference, digest: Digest) -> Vec<Reference> {
    let mut names = Vec::new();
    if reference.digest().is_none() {
        names.push(reference.clone());
    }
    names.push(reference.digested(digest));
    names
}

fn kind_of(manifest: &Manifest, fetched: &Fetched) -> String {
    match manifest.media_type.as_str() {
        "" => fetched.media_type.split(';').next().unwrap_or_default().trim().to_owned(),
        told => told.to_owned(),
    }
}

/// What is asked for within the repository: a digest says more than a tag.
fn version(reference: &Reference) -> String {
    let digest = reference.digest().map(|digest| digest.to_string());
    digest.or_else(|| reference.tag().map(str::to_owned)).unwrap_or_default()
}

/// Finds the registry's address that has the image, and fetches everything but its layers.
pub(super) async fn resolve<'r>(
    registries: &'r Registries,
    request: &PullRequest,
    listener: &dyn Listener<PullStep>,
) -> Result<Resolved<'r>> {
    let (reference, name) = (&request.reference, request.reference.familiar());
    let (session, top) = unless_gone(listener, first_that_has(registries, request))
        .await
        .map_err(|error| in_dockers_words(error, reference))?;
    let bad = |source| Error::BadManifest { name: name.clone(), source };
    let digest = top.digest;
    let (fetched, manifest) = match Document::parse(&top.bytes, &top.media_type).map_err(bad)? {
        Document::Manifest(manifest) => (top, *manifest),
        Document::Index(index) => {
            let platform = request.platform.clone().unwrap_or_default();
            let chosen =
                index.choose(&platform).ok_or_else(|| Error::NoMatchingManifest(platform.clone()))?;
            let inner = chosen.digest.to_string();
            let inner = unless_gone(listener, fetch::manifest(&session, &inner)).await?;
            match Document::parse(&inner.bytes, &inner.media_type).map_err(bad)? {
                Document::Manifest(manifest) => (inner, *manifest),
                Document::Index(_) => return Err(Error::NoMatchingManifest(platform)),
            }
        }
    };
    if ![OCI_CONFIG, DOCKER_CONFIG].contains(&manifest.config.media_type.as_str()) {
        return Err(Error::NoImage { name, media_type: manifest.config.media_type });
    }
    let config = fetch::small_blob(&session, "the configuration", &manifest.config, CONFIG_BYTES_MAX);
    let config = unless_gone(listener, config).await?;
    let file: ImageFile =
        serde_json::from_slice(&config).map_err(|source| Error::BadConfig { name: name.clone(), source })?;
    if let Some(platform) = &request.platform {
        let (os, architecture) = (file.os.clone(), file.architecture.clone());
        let theirs = Platform { os, architecture, variant: file.variant.clone() };
        if platform.rank(&theirs).is_none() {
            return Err(Error::OtherPlatform { name, platform: platform.clone() });
        }
    }
    Ok(Resolved { session, digest, fetched, manifest, config, file })
}

/// Asks one address after the other. One that answers that it has nothing is not asked again in another way, but mirrors
/// need not have everything.
pub(super) async fn first_that_has<'r>(
    registries: &'r Registries,
    request: &PullRequest,
) -> Result<(Session<'r>, Fetched), RegistryError> {
    let reference = &request.reference;
    let mut last = None;
    let mut answered = HashSet::new();
    for endpoint in Session::endpoints(registries, reference.domain(), true) {
        if answered.contains(&endpoint.host) {
            continue;
        }
        let (host, asked) = (endpoint.host.clone(), endpoint.clone());
        let at_mirror = !is_own(reference.domain(), &host);
        let nobody = Credentials::default();
        // A mirror is another registry: the password is not for it.
        let credentials = if at_mirror { &nobody } else { &request.credentials };
        let scopes = vec![format!("repository:{}:pull", reference.path())];
        let found = async {
            let session = Session::open(registries, endpoint, reference.path(), scopes, credentials).await?;
            let fetched = fetch::manifest(&session, &version(reference)).await?;
            Ok::<_, RegistryError>((session, fetched))
        };
        match found.await {
            Ok(found) => return Ok(found),
            Err(error) => {
                registries.forget(&asked);
                if !error.may_be_reached_otherwise() {
                    answered.insert(host.clone());
                }
                if at_mirror {
                    tracing::info!(mirror = host, error = %base::Chain(&error), "a mirror does not have an image");
                }
                last = Some(error);
            }
        }
    }
    let (url, source) = (reference.full_name(), "it has no address".into());
    Err(last.unwrap_or(RegistryError::Address { url, source }))
}

fn is_own(domain: &str, host: &str) -> bool {
    super::endpoint::domain_of(host) == domain
}

/// What a registry's refusal of a pull is called.
pub(super) fn in_dockers_words(error: RegistryError, reference: &Reference) -> Error {
    let Some(refusal) = error.refusal() else { return error.into() };
    if refusal.has("MANIFEST_UNKNOWN") || (refusal.complaints.is_empty() && refusal.status == 404) {
        Error::NoSuchManifest(reference.familiar(), error)
    } else if refusal.has("NAME_UNKNOWN") {
        Error::NoSuchRepository(reference.familiar_name(), error)
    } else if refusal.has("DENIED") {
        Error::PullDenied(reference.familiar_name(), error)
    } else {
        error.into()
    }
}
