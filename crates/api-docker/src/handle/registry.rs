//! Pulling, pushing and logging in.

use super::progress::{PROGRESS_MESSAGES_MAX, told};
use crate::filters::Filters;
use crate::from_model;
use crate::server::{Answer, Call, json};
use crate::wire::registry::{
    DistributionInspect, DistributionManifest, PublishAnswer, PublishBody, PublishPart, RemoteDescriptor,
    RemotePlatform, SearchItem,
};
use crate::wire::stream::{Aux, JsonMessage, Progress};
use crate::wire::{AuthConfig, AuthResponse};
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::StatusCode;
use platform::{
    Compression, Credentials, Error, Incoming, Outgoing, PublishRequest, PullProgress, PullRequest,
    PushProgress, PushRequest, SearchRequest,
};
use tokio::sync::mpsc;

/// Where clients say who they are.
const AUTH_HEADER: &str = "X-Registry-Auth";

/// Results of a search where nobody says how many.
const SEARCH_LIMIT: usize = 25;
/// Results of a search at most.
const SEARCH_LIMIT_MAX: usize = 100;

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// What the client shows to the registry: JSON in base64, of either alphabet and with padding or without, as clients
/// write it in all ways.
fn credentials(call: &Call) -> Result<Credentials, Error> {
    let Some(header) = call.headers.get(AUTH_HEADER).filter(|header| !header.is_empty()) else {
        return Ok(Credentials::default());
    };
    let bad = |why: String| Error::invalid(format!("invalid {AUTH_HEADER} header: {why}"));
    let urls = GeneralPurpose::new(&URL_SAFE, ANY_PADDING).decode(header);
    let bytes = urls.or_else(|_| GeneralPurpose::new(&STANDARD, ANY_PADDING).decode(header));
    let bytes = bytes.map_err(|error| bad(error.to_string()))?;
    let auth: Option<AuthConfig> =
        serde_json::from_slice(&bytes).map_err(|_| bad("it holds no JSON of the right form".to_owned()))?;
    let auth = auth.unwrap_or_default();
    shown(auth).map_err(bad)
}

fn shown(auth: AuthConfig) -> Result<Credentials, String> {
    let AuthConfig { mut username, mut password, auth, identitytoken, registrytoken, .. } = auth;
    if username.is_empty() && !auth.is_empty() {
        let bytes = GeneralPurpose::new(&STANDARD, ANY_PADDING).decode(&auth);
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = text.as_deref().and_then(|text| text.split_once(':'));
        let (user, secret) = pair.ok_or("auth holds no user and password")?;
        (username, password) = (user.to_owned(), secret.trim_end_matches('\0').to_owned());
    }
    Ok(Credentials { user: username, password, identity_token: identitytoken, registry_token: registrytoken })
}

/// The name that `fromImage` and `tag` make; the tag may be a digest.
fn reference(image: &str, tag: &str) -> String {
    // Clients that want all tags may leave the colon.
    let image = image.strip_suffix(':').unwrap_or(image);
    if tag.is_empty() {
        return image.to_owned();
    }
    let bare = image.split('@').next().unwrap_or_default();
    let last = bare.rfind('/').map_or(0, |at| at + 1);
    let bare = bare[last..].rfind(':').map_or(bare, |at| &bare[..last + at]);
    let separator = if tag.contains(':') { '@' } else { ':' };
    format!("{bare}{separator}{tag}")
}

pub(crate) async fn pull(call: Call) -> Answer {
    let credentials = credentials(&call)?;
    let name = reference(call.query.text("fromImage"), call.query.text("tag"));
    let request = PullRequest { name, platform: call.query.text("platform").to_owned(), credentials };
    let (sender, progress) = mpsc::channel(PROGRESS_MESSAGES_MAX);
    let doors = call.doors;
    let work = Box::pin(async move { doors.images.pull(request, sender).await });
    told(work, progress, Box::new(pull_words)).await
}

fn layer(id: String, status: &str, bytes: Option<(u64, u64)>) -> JsonMessage {
    let (current, total) = bytes.unwrap_or_default();
    JsonMessage {
        status: status.to_owned(),
        progress_detail: Some(Progress { current, total }),
        id,
        ..JsonMessage::default()
    }
}

fn status(text: String) -> JsonMessage {
    JsonMessage { status: text, ..JsonMessage::default() }
}

fn pull_words(progress: PullProgress) -> Vec<JsonMessage> {
    match progress {
        PullProgress::Found { repository, tag } => {
            vec![JsonMessage { id: tag, ..status(format!("Pulling from {repository}")) }]
        }
        PullProgress::Layer { id, state } => vec![match state {
            Incoming::Exists => layer(id, "Already exists", None),
            Incoming::Wanted => layer(id, "Pulling fs layer", None),
            Incoming::Downloading(current, total) => layer(id, "Downloading", Some((current, total))),
            Incoming::Downloaded => layer(id, "Download complete", None),
            Incoming::Extracting(current, total) => layer(id, "Extracting", Some((current, total))),
            Incoming::Complete => layer(id, "Pull complete", None),
        }],
        PullProgress::Done { name, digest, newer } => {
            let outcome = match newer {
                true => format!("Status: Downloaded newer image for {name}"),
                false => format!("Status: Image is up to date for {name}"),
            };
            vec![status(format!("Digest: {digest}")), status(outcome)]
        }
    }
}

/// What our own client says of plain layers.
fn compression(word: &str) -> Result<Option<Compression>, Error> {
    match word {
        "" => Ok(None),
        "gzip" => Ok(Some(Compression::Gzip)),
        "zstd" => Ok(Some(Compression::Zstd)),
        "none" => Ok(Some(Compression::None)),
        other => Err(Error::invalid(format!("compression is gzip, zstd or none, not {other:?}"))),
    }
}

pub(crate) async fn push(call: Call) -> Answer {
    let credentials = credentials(&call)?;
    let compression = compression(call.query.text("compression"))?;
    let name = reference(&call.parameter, call.query.text("tag"));
    let request = PushRequest { name, credentials, compression };
    let (sender, progress) = mpsc::channel(PROGRESS_MESSAGES_MAX);
    let doors = call.doors;
    let work = Box::pin(async move { doors.images.push(request, sender).await });
    told(work, progress, Box::new(push_words)).await
}

fn push_words(progress: PushProgress) -> Vec<JsonMessage> {
    match progress {
        PushProgress::Repository(name) => {
            vec![status(format!("The push refers to repository [{name}]"))]
        }
        PushProgress::Layer { id, state } => vec![match state {
            Outgoing::Preparing => layer(id, "Preparing", None),
            Outgoing::Exists => layer(id, "Layer already exists", None),
            Outgoing::Mounted(from) => layer(id, &format!("Mounted from {from}"), None),
            Outgoing::Pushing(current, total) => layer(id, "Pushing", Some((current, total))),
            Outgoing::Pushed => layer(id, "Pushed", None),
        }],
        PushProgress::Done { tag, digest, size } => {
            let aux = Aux { tag: tag.clone(), digest: digest.clone(), size };
            vec![
                status(format!("{tag}: digest: {digest} size: {size}")),
                JsonMessage {
                    progress_detail: Some(Progress::default()),
                    aux: Some(aux),
                    ..JsonMessage::default()
                },
            ]
        }
    }
}

fn platform(platform: platform::RemotePlatform) -> RemotePlatform {
    let platform::RemotePlatform { os, architecture, variant } = platform;
    RemotePlatform { architecture, os, variant }
}

/// What is asked of the registry of a name.
fn asked(call: &Call) -> Result<PullRequest, Error> {
    let (name, platform) = (call.parameter.clone(), call.query.text("platform").to_owned());
    Ok(PullRequest { name, platform, credentials: credentials(call)? })
}

/// What a registry has under a name.
async fn remote(call: &Call) -> Result<DistributionManifest, Error> {
    let remote = call.doors.images.remote_manifest(asked(call)?).await?;
    let descriptor = RemoteDescriptor {
        media_type: remote.media_type,
        digest: remote.digest,
        size: remote.text.len() as u64,
        platform: None,
    };
    let part = |part: platform::RemotePart| RemoteDescriptor {
        media_type: part.media_type,
        digest: part.digest,
        size: part.size,
        platform: part.platform.map(platform),
    };
    Ok(DistributionManifest {
        name: remote.name,
        descriptor,
        platforms: remote.platforms.into_iter().map(platform).collect(),
        manifests: remote.images.into_iter().map(part).collect(),
        text: remote.text,
    })
}

pub(crate) async fn distribution(call: Call) -> Answer {
    let DistributionManifest { descriptor, platforms, .. } = remote(&call).await?;
    json(StatusCode::OK, &DistributionInspect { descriptor, platforms })
}

pub(crate) async fn manifest(call: Call) -> Answer {
    json(StatusCode::OK, &remote(&call).await?)
}

/// Makes one name of several images.
pub(crate) async fn publish(mut call: Call) -> Answer {
    let body: PublishBody = call.json().await?.unwrap_or_default();
    let image = |part: PublishPart| {
        let RemotePlatform { architecture, os, variant } = part.platform;
        (part.name, platform::RemotePlatform { os, architecture, variant })
    };
    let request = PublishRequest {
        name: call.parameter.clone(),
        images: body.manifests.into_iter().map(image).collect(),
        credentials: credentials(&call)?,
    };
    let digest = call.doors.images.publish(request).await?;
    json(StatusCode::CREATED, &PublishAnswer { digest })
}

/// An image as `inspect` shows it, from its registry.
pub(crate) async fn remote_image(call: Call) -> Answer {
    let detail = call.doors.images.remote_image(asked(&call)?).await?;
    json(StatusCode::OK, &from_model::image_inspect(&detail, call.version))
}

/// Repositories of a registry that fit a word.
pub(crate) async fn search(call: Call) -> Answer {
    let filters = Filters::parse(call.query.text("filters"), &["is-automated", "is-official", "stars"])?;
    let (official, automated) = (filters.flag("is-official")?, filters.flag("is-automated")?);
    let mut stars = 0;
    for value in filters.values("stars") {
        let bad = |_| Error::invalid(format!("invalid filter 'stars={value}'"));
        stars = stars.max(value.parse::<u64>().map_err(bad)?);
    }
    let limit = match call.query.number::<usize>("limit")? {
        None | Some(0) => SEARCH_LIMIT,
        Some(limit @ 1..=SEARCH_LIMIT_MAX) => limit,
        Some(limit) => {
            return Err(Error::invalid(format!(
                "limit {limit} is outside the range of [1, {SEARCH_LIMIT_MAX}]"
            )));
        }
    };
    let term = call.query.text("term").to_owned();
    if term.is_empty() || term.contains("://") {
        return Err(Error::invalid(format!(
            "invalid search term {term:?}: a word is looked for, with a registry and a slash before it where it is not Docker's"
        )));
    }
    let request = SearchRequest { term, limit, credentials: credentials(&call)? };
    let mut found = call.doors.images.search(request).await?;
    // Nothing is built by registries any more.
    found.retain(|one| {
        one.stars >= stars && official.is_none_or(|wanted| wanted == one.official) && automated != Some(true)
    });
    let item = |one: platform::SearchResult| SearchItem {
        star_count: one.stars,
        is_official: one.official,
        name: one.name,
        is_automated: false,
        description: one.description,
    };
    json(StatusCode::OK, &found.into_iter().map(item).collect::<Vec<_>>())
}

/// Shows a registry who somebody is.
pub(crate) async fn auth(mut call: Call) -> Answer {
    let auth: AuthConfig = call.json().await?.unwrap_or_default();
    let address = auth.serveraddress.clone();
    let credentials = shown(auth).map_err(|why| Error::invalid(format!("invalid credentials: {why}")))?;
    let identity_token = call.doors.images.login(&address, credentials).await?;
    json(StatusCode::OK, &AuthResponse { status: "Login Succeeded".to_owned(), identity_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_tag_make_one_reference() {
        let digest = "sha256:0123";
        for (image, tag, whole) in [
            ("docker.io/library/alpine", "3.18", "docker.io/library/alpine:3.18"),
            ("alpine:3.17", "3.18", "alpine:3.18"),
            ("localhost:5000/a", "x", "localhost:5000/a:x"),
            ("localhost:5000/a:y", "", "localhost:5000/a:y"),
            ("alpine", digest, "alpine@sha256:0123"),
            ("alpine:3", digest, "alpine@sha256:0123"),
            ("alpine:", "", "alpine"),
        ] {
            assert_eq!(reference(image, tag), whole);
        }
    }

    #[test]
    fn user_and_password_may_come_in_one_text() {
        let auth = AuthConfig { auth: "dXNlcjpwYTpzcw==".to_owned(), ..AuthConfig::default() };
        let credentials = shown(auth).unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("user", "pa:ss"));
        assert!(shown(AuthConfig { auth: "!".to_owned(), ..AuthConfig::default() }).is_err());
    }
}
