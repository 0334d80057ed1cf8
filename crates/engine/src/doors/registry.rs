//! Registries, behind the Images door: the image store's words turned into the platform's.

use super::blocking;
use super::image::{image_error, tell};
use crate::Shared;
use images::Reference;
use images::registry::{self, Doing, LayerState, Listener, PullStep, PushState, PushStep};
use platform::{
    Compression, Credentials, Error, ImageDetail, Incoming, Kind, Outgoing, PublishRequest, PullProgress,
    PullRequest, PushProgress, PushRequest, RemoteManifest, RemotePart, RemotePlatform, SearchRequest,
    SearchResult,
};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Tells the other end of a channel, for as long as somebody reads there.
struct Told<P>(mpsc::Sender<P>);

impl<P: Send> Told<P> {
    /// Bytes are for people: where they do not keep up, they are left out. Whoever does not listen any more is noticed
    /// where the work waits.
    async fn tell(&self, progress: P, may_be_left_out: bool) {
        if may_be_left_out {
            let _ = self.0.try_send(progress);
        } else {
            let _ = self.0.send(progress).await;
        }
    }
}

impl Listener<PullStep> for Told<PullProgress> {
    fn tell(&self, step: PullStep) -> Doing<'_> {
        let progress = match step {
            PullStep::Found { repository, tag } => PullProgress::Found { repository, tag },
            PullStep::Layer { id, state } => {
                let state = match state {
                    LayerState::Exists => Incoming::Exists,
                    LayerState::Wanted => Incoming::Wanted,
                    LayerState::Downloading { current, total } => Incoming::Downloading(current, total),
                    LayerState::Downloaded => Incoming::Downloaded,
                    LayerState::Extracting { current, total } => Incoming::Extracting(current, total),
                    LayerState::Complete => Incoming::Complete,
                };
                PullProgress::Layer { id, state }
            }
        };
        let bytes = matches!(
            progress,
            PullProgress::Layer { state: Incoming::Downloading(..) | Incoming::Extracting(..), .. }
        );
        Box::pin(self.tell(progress, bytes))
    }

    fn gone(&self) -> Doing<'_> {
        Box::pin(self.0.closed())
    }
}

impl Listener<PushStep> for Told<PushProgress> {
    fn tell(&self, step: PushStep) -> Doing<'_> {
        let PushStep { id, state } = step;
        let state = match state {
            PushState::Preparing => Outgoing::Preparing,
            PushState::Exists => Outgoing::Exists,
            PushState::Mounted { from } => Outgoing::Mounted(from),
            PushState::Pushing { current, total } => Outgoing::Pushing(current, total),
            PushState::Pushed => Outgoing::Pushed,
        };
        let bytes = matches!(state, Outgoing::Pushing(..));
        Box::pin(self.tell(PushProgress::Layer { id, state }, bytes))
    }

    fn gone(&self) -> Doing<'_> {
        Box::pin(self.0.closed())
    }
}

fn shown(credentials: Credentials) -> registry::Credentials {
    let Credentials { user, password, identity_token, registry_token } = credentials;
    registry::Credentials { user, password, identity_token, registry_token }
}

fn parsed(name: &str) -> Result<Reference, Error> {
    Reference::parse(name).map_err(|error| image_error(&error.into()))
}

fn platform(text: &str) -> Result<Option<images::Platform>, Error> {
    let asked_for = (!text.is_empty()).then(|| images::Platform::asked_for(text)).transpose();
    asked_for.map_err(|error| image_error(&error.into()))
}

/// A request as the client for registries wants it.
fn asked(request: PullRequest) -> Result<registry::PullRequest, Error> {
    Ok(registry::PullRequest {
        reference: parsed(&request.name)?.with_default_tag(),
        platform: platform(&request.platform)?,
        credentials: shown(request.credentials),
    })
}

/// What a registry has under a name.
pub(super) async fn remote_manifest(shared: &Shared, request: PullRequest) -> Result<RemoteManifest, Error> {
    let request = asked(request)?;
    let failed = |error: images::Error| image_error(&error);
    let remote = shared.registries.remote(&request).await.map_err(failed)?;
    let platforms = shared.registries.remote_platforms(&request, &remote).await.map_err(failed)?;
    let told = |platform: images::Platform| {
        let images::Platform { os, architecture, variant } = platform;
        RemotePlatform { os, architecture, variant }
    };
    let part = |part: &images::manifest::Descriptor| RemotePart {
        digest: part.digest.to_string(),
        media_type: part.media_type.clone(),
        size: part.size,
        platform: part.platform.as_ref().map(|platform| told(platform.platform())),
    };
    Ok(RemoteManifest {
        name: request.reference.familiar(),
        digest: remote.digest.to_string(),
        images: remote.images.iter().map(part).collect(),
        platforms: platforms.into_iter().map(told).collect(),
        media_type: remote.media_type,
        text: String::from_utf8_lossy(&remote.text).into_owned(),
    })
}

/// Makes one name of several images.
pub(super) async fn publish(shared: &Shared, request: PublishRequest) -> Result<String, Error> {
    let mut members = Vec::new();
    for (name, platform) in &request.images {
        let RemotePlatform { os, architecture, variant } = platform.clone();
        let platform = images::Platform { os, architecture, variant };
        members.push(registry::Member { reference: parsed(name)?, platform });
    }
    if members.is_empty() {
        return Err(Error::invalid(format!("{} has no images: an index names one at least", request.name)));
    }
    let request = registry::PublishRequest {
        reference: parsed(&request.name)?.with_default_tag(),
        members,
        credentials: shown(request.credentials),
    };
    let published = shared.registries.publish(&request).await;
    published.map(|digest| digest.to_string()).map_err(|error| image_error(&error))
}

/// What an image says of itself at its registry.
pub(super) async fn remote_image(shared: &Shared, request: PullRequest) -> Result<ImageDetail, Error> {
    let image =
        shared.registries.remote_image(&asked(request)?).await.map_err(|error| image_error(&error))?;
    Ok(super::image::detail(shared, image))
}

/// Repositories that fit a word.
pub(super) async fn search(shared: &Shared, request: SearchRequest) -> Result<Vec<SearchResult>, Error> {
    let (domain, word) = images::split_domain(&request.term);
    let found = shared.registries.search(&domain, word, request.limit, &shown(request.credentials)).await;
    let found = found.map_err(|error| image_error(&error.into()))?;
    let told = |found: registry::Match| SearchResult {
        name: if domain == registry::HUB { found.name } else { format!("{domain}/{}", found.name) },
        description: found.description,
        stars: found.star_count,
        official: found.is_official,
    };
    Ok(found.into_iter().map(told).collect())
}

/// Pulls an image, or all tags of a repository.
pub(super) async fn pull(
    shared: &Arc<Shared>,
    request: PullRequest,
    progress: mpsc::Sender<PullProgress>,
) -> Result<(), Error> {
    let (shared, runtime) = (Arc::clone(shared), Handle::current());
    blocking(move || {
        let reference = parsed(&request.name)?;
        let failed = |error: images::Error| image_error(&error);
        let platform = platform(&request.platform)?;
        let credentials = shown(request.credentials);
        let told = Told(progress);
        let references = if reference.is_name_only() {
            let listed = shared.registries.tags(&reference, &credentials, &told);
            runtime.block_on(listed).map_err(failed)?
        } else {
            vec![reference]
        };
        for reference in references {
            let name = reference.familiar();
            let request = registry::PullRequest {
                reference,
                platform: platform.clone(),
                credentials: credentials.clone(),
            };
            let pulled = shared.images.pull(&shared.registries, &runtime, &request, &told).map_err(failed)?;
            tell(&shared, "pull", &name, request.reference.familiar_name().as_str());
            let digest = pulled.digest.to_string();
            runtime.block_on(told.tell(PullProgress::Done { name, digest, newer: pulled.newer }, false));
        }
        Ok(())
    })
    .await
}

/// Pushes one tag of a repository, or all that are here.
pub(super) async fn push(
    shared: &Arc<Shared>,
    request: PushRequest,
    progress: mpsc::Sender<PushProgress>,
) -> Result<(), Error> {
    let (shared, runtime) = (Arc::clone(shared), Handle::current());
    blocking(move || {
        let reference = parsed(&request.name)?;
        if reference.digest().is_some() {
            return Err(Error::invalid("cannot push a digest reference"));
        }
        let credentials = shown(request.credentials);
        let compression = request.compression.map(|compression| match compression {
            Compression::Gzip => registry::Compression::Gzip,
            Compression::Zstd => registry::Compression::Zstd,
            Compression::None => registry::Compression::None,
        });
        let told = Told(progress);
        runtime.block_on(told.tell(PushProgress::Repository(reference.full_name()), false));
        let failed = |error: images::Error| image_error(&error);
        for reference in shared.images.to_push(&reference).map_err(failed)? {
            let tag = reference.tag().unwrap_or_default().to_owned();
            let name = reference.familiar();
            let request = registry::PushRequest { reference, credentials: credentials.clone(), compression };
            let pushed = shared.images.push(&shared.registries, &runtime, &request, &told).map_err(failed)?;
            tell(&shared, "push", &name, request.reference.familiar_name().as_str());
            let (digest, size) = (pushed.digest.to_string(), pushed.size);
            runtime.block_on(told.tell(PushProgress::Done { tag, digest, size }, false));
        }
        Ok(())
    })
    .await
}

/// Shows credentials to a registry.
pub(super) async fn login(
    shared: &Arc<Shared>,
    address: &str,
    credentials: Credentials,
) -> Result<String, Error> {
    match shared.registries.login(address, &shown(credentials)).await {
        Ok(let_in) => Ok(let_in.identity_token),
        Err(error) => {
            let refused =
                matches!(&error, registry::RegistryError::Refused(refusal) if refusal.status == 401);
            let kind = if refused { Kind::Unauthorized } else { Kind::Failed };
            Err(Error::new(kind, base::Chain(&error).to_string()))
        }
    }
}
