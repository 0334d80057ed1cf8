//! A small registry inside the test, which can be told to misbehave.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test program uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

#[path = "asking.rs"]
mod asking;

pub use asking::{Ear, PullEar, PushEar, pull_of, push_of, registries, settings};

use crate::common::{Header, Tar, config, gzip, hex};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use images::Reference;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// How a registry gives no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMore {
    /// The connection breaks.
    Breaks,
    /// It says nothing any more, and that to `silence`.
    Stalls,
}

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// How many answers with a layer break off, and after how many of their bytes.
    pub cut: (u32, usize),
    /// Layers are others than they should be, and as long.
    pub wrong_bytes: bool,
    /// Bytes that come after the end of a layer.
    pub surplus: usize,
    /// How many requests are answered with this status.
    pub busy: (u32, u16),
    /// Parts of layers are not given.
    pub no_ranges: bool,
    /// Parts with both ends that reach this byte are refused.
    pub no_parts_from: Option<usize>,
    /// No byte of a layer comes from here on.
    pub ends_at: Option<(usize, NoMore)>,
    /// Layers are never answered.
    pub silent: bool,
    /// Layers are to be had elsewhere.
    pub redirect: Option<SocketAddr>,
    /// How many uploads break off.
    pub lost_uploads: u32,
    /// Uploads are taken elsewhere.
    pub uploads_at: Option<SocketAddr>,
    /// Nothing is mounted.
    pub no_mounts: bool,
}

/// How somebody is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    Open,
    Basic(&'static str, &'static str),
    Token(&'static str, &'static str),
}

pub struct State {
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// By repository and then tag or digest: media type and bytes.
    pub manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    /// Method and path of each request, with the range where one was asked for.
    pub asked: Vec<String>,
    /// What was shown with each request that was not for the token service.
    pub shown: Vec<Option<String>>,
    pub faults: Faults,
    pub door: Door,
    pub page: usize,
    /// What it answers to a search in the older way, if it knows that.
    pub found: Option<Value>,
    tokens: u32,
}

pub struct Registry {
    pub address: SocketAddr,
    pub runtime: Runtime,
    state: Arc<Mutex<State>>,
    /// Told each time a layer is asked for that is never answered.
    pub silence: Arc<Notify>,
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

impl Registry {
    pub fn start() -> Registry {
        let runtime = Runtime::new().unwrap();
        let state = State {
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            asked: Vec::new(),
            shown: Vec::new(),
            faults: Faults::default(),
            door: Door::Open,
            page: 100,
            found: None,
            tokens: 0,
        };
        let (state, silence) = (Arc::new(Mutex::new(state)), Arc::new(Notify::new()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (shared, quiet) = (Arc::clone(&state), Arc::clone(&silence));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, silence) = (Arc::clone(&shared), Arc::clone(&quiet));
                let service = service_fn(move |request| {
                    let (state, silence) = (Arc::clone(&state), Arc::clone(&silence));
                    async move { Ok::<_, Infallible>(answer(address, &state, &silence, request).await) }
                });
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Registry { address, runtime, state, silence }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// The name of a repository here.
    pub fn name(&self, rest: &str) -> Reference {
        Reference::parse(&format!("{}/{rest}", self.address)).unwrap().with_default_tag()
    }

    /// Keeps an image with these plain layers, packed with gzip; its manifest's digest.
    pub fn keep(&self, repository: &str, tag: &str, layers: &[&[u8]]) -> String {
        let manifest = self.keep_parts(&config(layers), layers);
        self.keep_manifest(repository, tag, OCI_MANIFEST, &manifest)
    }

    /// Keeps the parts of an image and returns its manifest.
    pub fn keep_parts(&self, config: &[u8], layers: &[&[u8]]) -> Value {
        let mut state = self.state();
        let mut blob = |media_type: &str, bytes: Vec<u8>| {
            let digest = format!("sha256:{}", hex(&bytes));
            let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
            state.blobs.insert(digest, bytes);
            descriptor
        };
        json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": blob("application/vnd.oci.image.config.v1+json", config.to_vec()),
            "layers": layers.iter().map(|layer| blob(LAYER, gzip(layer))).collect::<Vec<_>>(),
        })
    }

    pub fn keep_manifest(&self, repository: &str, tag: &str, kind: &str, manifest: &Value) -> String {
        let bytes = serde_json::to_vec_pretty(manifest).unwrap();
        let digest = format!("sha256:{}", hex(&bytes));
        for name in [tag, &digest] {
            let key = (repository.to_owned(), name.to_owned());
            self.state().manifests.insert(key, (kind.to_owned(), bytes.clone()));
        }
        digest
    }

    /// The requests so far whose method and path begin so.
    pub fn asked(&self, prefix: &str) -> Vec<String> {
        self.state().asked.iter().filter(|asked| asked.starts_with(prefix)).cloned().collect()
    }
}

/// A layer that is some hundred kilobytes long, packed as well.
pub fn big_layer(seed: u32) -> Vec<u8> {
    let mut number = seed;
    let bytes: Vec<u8> = (0..400_000)
        .map(|_| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (number >> 24) as u8
        })
        .collect();
    Tar::new().entry(&Header::new("big", b'0'), &bytes).end()
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn reply(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn error(status: u16, code: &str) -> Response<Body> {
    let message = code.to_lowercase().replace('_', " ");
    reply(status, json!({"errors": [{"code": code, "message": message}]}).to_string())
}

fn with(mut response: Response<Body>, name: &'static str, value: &str) -> Response<Body> {
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

async fn answer(
    own: SocketAddr,
    state: &Mutex<State>,
    silence: &Notify,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (range, authorization) = (header("range"), header("authorization"));
    let silent = {
        let mut state = state.lock().unwrap();
        let mark = range.as_ref().map(|range| format!(" {range}")).unwrap_or_default();
        state.asked.push(format!("{} {path}{mark}", parts.method));
        if path == "/token" {
            return token(&mut state, &query, authorization.as_deref());
        }
        state.shown.push(authorization.clone());
        if state.faults.busy.0 > 0 {
            state.faults.busy.0 -= 1;
            return with(reply(state.faults.busy.1, ""), "retry-after", "0");
        }
        if let Some(refusal) = refused(own, &state, authorization.as_deref()) {
            return refusal;
        }
        state.faults.silent && path.contains("/blobs/") && parts.method == Method::GET
    };
    if silent {
        silence.notify_one();
        std::future::pending::<()>().await;
    }
    if let Some(found) = state.lock().unwrap().found.as_ref().filter(|_| path == "/v1/search") {
        return reply(200, found.to_string());
    }
    let Some(rest) = path.strip_prefix("/v2/") else { return error(404, "NOT_FOUND") };
    if rest.is_empty() {
        return reply(200, "{}");
    }
    if parts.method == Method::PUT || parts.method == Method::POST {
        return receive(state, &parts.method, rest, &query, header("content-type"), body).await;
    }
    let mut state = state.lock().unwrap();
    give(&mut state, rest, &query, range.as_deref(), silence)
}

fn refused(own: SocketAddr, state: &State, authorization: Option<&str>) -> Option<Response<Body>> {
    let (challenge, wanted) = match &state.door {
        Door::Open => return None,
        Door::Basic(user, password) => {
            let text = BASE64_STANDARD.encode(format!("{user}:{password}"));
            ("Basic realm=\"test\"".to_owned(), format!("Basic {text}"))
        }
        Door::Token(..) => (
            format!("Bearer realm=\"http://{own}/token\",service=\"test\""),
            format!("Bearer token-{}", state.tokens),
        ),
    };
    let may_be_right = state.tokens > 0 || matches!(state.door, Door::Basic(..));
    if may_be_right && authorization == Some(&wanted) {
        return None;
    }
    Some(with(error(401, "UNAUTHORIZED"), "www-authenticate", &challenge))
}

fn token(state: &mut State, query: &str, authorization: Option<&str>) -> Response<Body> {
    let Door::Token(user, password) = state.door else { return reply(404, "") };
    let wanted = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    if authorization != Some(&wanted) {
        return reply(401, r#"{"details":"incorrect username or password"}"#);
    }
    assert!(query.contains("service=test"), "{query}");
    state.tokens += 1;
    reply(200, json!({"token": format!("token-{}", state.tokens)}).to_string())
}

fn give(state: &mut State, rest: &str, query: &str, range: Option<&str>, silence: &Notify) -> Response<Body> {
    if rest == "_catalog" {
        return catalog(state, query);
    }
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return tags(state, repository, query);
    }
    if let Some((repository, name)) = rest.split_once("/manifests/") {
        let key = (repository.to_owned(), name.to_owned());
        let Some((kind, bytes)) = state.manifests.get(&key).cloned() else {
            let known = state.manifests.keys().any(|(other, _)| other == repository);
            return error(404, if known { "MANIFEST_UNKNOWN" } else { "NAME_UNKNOWN" });
        };
        let digest = format!("sha256:{}", hex(&bytes));
        return with(with(reply(200, bytes), "content-type", &kind), "docker-content-digest", &digest);
    }
    let Some((_, digest)) = rest.split_once("/blobs/") else { return error(404, "NOT_FOUND") };
    let Some(mut bytes) = state.blobs.get(digest).cloned() else { return error(404, "BLOB_UNKNOWN") };
    if let Some(elsewhere) = state.faults.redirect {
        return with(reply(307, ""), "location", &format!("http://{elsewhere}/v2/{rest}"));
    }
    let is_layer = bytes.starts_with(b"\x1f\x8b");
    if !is_layer {
        return reply(200, bytes);
    }
    if state.faults.wrong_bytes {
        // The time in the head of gzip: it is unpacked as well as before.
        bytes[4] ^= 1;
    }
    bytes.resize(bytes.len() + state.faults.surplus, 0);
    let asked = range
        .filter(|_| !state.faults.no_ranges)
        .and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
        .and_then(|(from, last)| Some((from.parse::<usize>().ok()?, last.parse::<usize>().ok())));
    let from = asked.map(|(from, _)| from);
    let total = bytes.len();
    let mut bytes = bytes.split_off(from.unwrap_or(0));
    let last = asked.and_then(|(_, last)| last).unwrap_or(total - 1).min(total - 1);
    bytes.truncate(last + 1 - from.unwrap_or(0));
    if asked.is_some_and(|(_, last)| last.is_some())
        && state.faults.no_parts_from.is_some_and(|end| last >= end)
    {
        return reply(403, "no parts");
    }
    let mut response = match state.faults.cut {
        _ if let Some((end, how)) = state.faults.ends_at.filter(|(end, _)| last >= *end) => {
            if how == NoMore::Stalls {
                silence.notify_one();
            }
            Response::new(broken(bytes, end.saturating_sub(from.unwrap_or(0)), how))
        }
        (0, _) => reply(200, bytes),
        (_, at) => {
            state.faults.cut.0 -= 1;
            Response::new(broken(bytes, at, NoMore::Breaks))
        }
    };
    if let Some(from) = from {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response = with(response, "content-range", &format!("bytes {from}-{last}/{total}"));
    }
    response
}

/// A body that breaks off, once what came before is on its way.
fn broken(mut bytes: Vec<u8>, at: usize, how: NoMore) -> Body {
    bytes.truncate(at);
    let pieces = stream::unfold(Some(bytes), move |bytes| async move {
        match bytes {
            Some(bytes) if !bytes.is_empty() => Some((Ok(Frame::data(Bytes::from(bytes))), Some(Vec::new()))),
            Some(_) => {
                if how == NoMore::Stalls {
                    std::future::pending::<()>().await;
                }
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::other("cut")), None))
            }
            None => None,
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

fn catalog(state: &State, query: &str) -> Response<Body> {
    let last = query.split_once("last=").map_or("", |(_, last)| last);
    let names: BTreeSet<&String> = state.manifests.keys().map(|(repository, _)| repository).collect();
    paged(names, last, state.page, "/v2/_catalog", |page| json!({ "repositories": page }))
}

fn tags(state: &State, repository: &str, query: &str) -> Response<Body> {
    let last = query.strip_prefix("last=").unwrap_or_default();
    let keys = state.manifests.keys().filter(|(other, _)| other == repository);
    let tags = keys.map(|(_, tag)| tag).filter(|tag| !tag.contains(':'));
    let path = format!("/v2/{repository}/tags/list");
    paged(tags, last, state.page, &path, |page| json!({"name": repository, "tags": page}))
}

/// Those after the last one that is known, with the way to the next ones.
fn paged<'n>(
    names: impl IntoIterator<Item = &'n String>,
    last: &str,
    size: usize,
    path: &str,
    shown: impl Fn(&[&String]) -> Value,
) -> Response<Body> {
    let rest: Vec<&String> = names.into_iter().filter(|name| name.as_str() > last).collect();
    let page = &rest[..size.min(rest.len())];
    let response = reply(200, shown(page).to_string());
    match page.last() {
        Some(end) if page.len() < rest.len() => {
            with(response, "link", &format!("<{path}?last={end}>; rel=\"next\""))
        }
        _ => response,
    }
}

async fn receive(
    state: &Mutex<State>,
    method: &Method,
    rest: &str,
    query: &str,
    kind: Option<String>,
    body: Incoming,
) -> Response<Body> {
    let parameter = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(key, _)| *key == name);
        found.next().map(|(_, value)| value.replace("%3A", ":"))
    };
    if method == Method::POST {
        let mounted = parameter("mount").filter(|_| parameter("from").is_some());
        let state = state.lock().unwrap();
        if mounted.is_some_and(|digest| state.blobs.contains_key(&digest)) && !state.faults.no_mounts {
            return reply(201, "");
        }
        let repository = rest.trim_end_matches("/blobs/uploads/");
        if let Some(elsewhere) = state.faults.uploads_at {
            let place = format!("http://{elsewhere}/v2/{repository}/blobs/uploads/1");
            return with(reply(202, ""), "location", &place);
        }
        return with(reply(202, ""), "location", &format!("/v2/{repository}/blobs/uploads/1?state=x%3D"));
    }
    if rest.contains("/blobs/uploads/") && state.lock().unwrap().faults.lost_uploads > 0 {
        state.lock().unwrap().faults.lost_uploads -= 1;
        return error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    let bytes = body.collect().await.unwrap().to_bytes().to_vec();
    let digest = format!("sha256:{}", hex(&bytes));
    let mut state = state.lock().unwrap();
    match rest.split_once("/manifests/") {
        Some((repository, tag)) => {
            for name in [tag, &digest] {
                let key = (repository.to_owned(), name.to_owned());
                state.manifests.insert(key, (kind.clone().unwrap_or_default(), bytes.clone()));
            }
        }
        None if parameter("digest").as_deref() == Some(&digest) => {
            state.blobs.insert(digest.clone(), bytes);
        }
        None => return error(400, "DIGEST_INVALID"),
    }
    with(reply(201, ""), "docker-content-digest", &digest)
}
