//! A registry's HTTP: connections, routing, and what every handler is given.
//!
//! ```text
//! connection -> request -> who asks -> table -> may they -> handler -> answer
//!                            |           |         |           |
//!                           401       404, 405    403       refusal -> status and code
//! ```
//!
//! Handlers are asynchronous and touch no disk themselves: what blocks runs on the threads that may block, never longer than
//! one piece of a body takes. Absent on purpose: HTTP/2, which no client of registries needs, and any state between two
//! requests but uploads.

mod blobs;
mod body;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod lists;
mod manifests;
mod range;
mod table;
mod uploads;
mod who;

use super::access::{Access, Action, User};
use super::cache::{Brought, Cache, Copied};
use super::{ContentDigest, Refusal, Registry, Repository, Target};
use base::Clock;
use body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use serde_json::json;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use table::{Routed, route};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Connections served at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// How long a client may take to send its request's head, and a connection may lie idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long is waited after an accept that failed, for instance for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may take for each part of what is read over.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request that are still read when it is refused, so that the client gets to read why.
const DRAIN_BYTES_MAX: usize = 16 << 20;
/// How long a client may take to agree on encryption.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// Passwords that are verified at a time: each takes a processor, and 19 MiB.
const VERIFYING_MAX: usize = 2;
/// How often what nobody needs is removed.
const COLLECT_EVERY: Duration = Duration::from_secs(60 * 60);

/// How often it is looked in between whether the disk gets full, so that it is removed at once.
const LOOKS_BETWEEN: u32 = 60;

/// What a handler answers.
type Answer = Result<Response<Body>, Refusal>;

/// Everything that requests share.
pub struct Served {
    /// The repositories.
    registry: Arc<Registry>,
    access: Mutex<Arc<Access>>,
    /// Passwords that are being verified; more wait.
    verifying: Semaphore,
    clock: Clock,
    /// Other registries' repositories, where there are copies.
    cache: Option<Arc<Cache>>,
    /// How connections are encrypted; `None` leaves them plain.
    tls: Option<TlsAcceptor>,
}

impl Served {
    /// A registry for those who have access.
    pub fn new(registry: Arc<Registry>, access: Access, clock: Clock) -> Served {
        let verifying = Semaphore::new(VERIFYING_MAX);
        Served { registry, access: Mutex::new(Arc::new(access)), verifying, clock, cache: None, tls: None }
    }

    /// The same with encrypted connections.
    #[must_use]
    pub fn with_tls(mut self, config: Arc<ServerConfig>) -> Served {
        self.tls = Some(TlsAcceptor::from(config));
        self
    }

    /// The same with copies of other registries' repositories.
    #[must_use]
    pub fn with_cache(mut self, cache: Cache) -> Served {
        self.cache = Some(Arc::new(cache));
        self
    }

    /// Whose copy a repository is, of which something is to be done.
    async fn copied(&self, repository: &Repository, query: &Query) -> Result<Option<Copied>, Refusal> {
        let Some(cache) = self.cache.clone() else { return Ok(None) };
        let (asked, ns) = (repository.clone(), query.all("ns").next().map(str::to_owned));
        blocking(&self.registry, move |registry| {
            Ok(cache.copied(&asked, ns.as_deref(), || registry.has_repository(&asked)))
        })
        .await
    }

    /// Lets others in, from the next request on.
    pub fn set_access(&self, access: Access) {
        *self.access.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
    }

    fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves a registry to all who connect, and removes what nobody needs, until the future is dropped; requests under way go on
/// to their end.
pub async fn serve(listener: TcpListener, served: Arc<Served>) {
    let collecting = collect_now_and_then(Arc::clone(&served.registry));
    tokio::select! {
        () = accept(listener, served) => {}
        () = collecting => {}
    }
}

async fn accept(listener: TcpListener, served: Arc<Served>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed, so that a permit always comes.
    while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the registry could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are written whole; waiting for more to send with them only delays small ones.
        let _ = stream.set_nodelay(true);
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            match served.tls.clone() {
                None => speak(stream, served).await,
                Some(tls) => match tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => speak(stream, served).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a client did not agree on encryption"),
                    Err(_) => tracing::debug!("a client took too long to agree on encryption"),
                },
            }
            drop(permit);
        });
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, served: Arc<Served>) {
    let service = service_fn(move |request| respond(request, Arc::clone(&served)));
    let spoken = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = spoken {
        tracing::debug!(error = %base::Chain(&error), "a connection to the registry ended early");
    }
}

async fn collect_now_and_then(registry: Arc<Registry>) {
    loop {
        for _ in 0..LOOKS_BETWEEN {
            tokio::time::sleep(COLLECT_EVERY / LOOKS_BETWEEN).await;
            let room = base::disk::Room::at(registry.images.home.uploads());
            if room.is_ok_and(|room| room.is_low()) {
                break;
            }
        }
        match blocking(&registry, Registry::collect).await {
            Ok(collected) => tracing::debug!(?collected, "collected what the registry's users do not need"),
            Err(error) => tracing::warn!(%error, "what the registry's users do not need stays for now"),
        }
    }
}

/// Runs what may block on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    registry: &Arc<Registry>,
    work: impl FnOnce(&Registry) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let registry = Arc::clone(registry);
    joined(tokio::task::spawn_blocking(move || work(&registry)).await)?
}

/// What a thread gave; its panic goes on here.
fn joined<T>(outcome: Result<T, tokio::task::JoinError>) -> Result<T, Refusal> {
    match outcome {
        Ok(value) => Ok(value),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and with it whoever would read this.
            Err(_) => Err(Refusal::Cut("the registry is ending".to_owned())),
        },
    }
}

/// One request: its answer, or the refusal as an answer, with the headers that all of them carry.
async fn respond(request: Request<Incoming>, served: Arc<Served>) -> Result<Response<Body>, Infallible> {
    let (parts, mut body) = request.into_parts();
    let access = served.access();
    let answered = dispatch(&parts, &mut body, &served, &access).await;
    let is_head = parts.method == Method::HEAD;
    let mut response = match answered {
        Ok(response) => response,
        Err(refusal) => {
            drain(&mut body).await;
            let mut response = refuse(&refusal, is_head);
            if let Refusal::WhoAreYou(_) = refusal {
                who::challenge(&mut response, &access, &parts, served.tls.is_some());
            }
            response
        }
    };
    let headers = response.headers_mut();
    // Docker's clients tell a registry by it.
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    headers.insert(
        "server",
        HeaderValue::from_static(concat!("Bocage/", env!("CARGO_PKG_VERSION"), " (linux)")),
    );
    Ok(response)
}

async fn dispatch(
    parts: &hyper::http::request::Parts,
    body: &mut Incoming,
    served: &Arc<Served>,
    access: &Arc<Access>,
) -> Answer {
    let user = who::asks(parts, served, access).await?;
    let Routed { operation, mut repository, parameter } = route(&parts.method, parts.uri.path())?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let mut copied = None;
    if let (Some(name), Some(action)) = (&repository, operation.action) {
        copied = served
            .copied(name, &query)
            .await?
            .filter(|copied| action != Action::Push || copied.here == *name);
    }
    if let Some(copied) = &copied {
        repository = Some(copied.here.clone());
    }
    who::may(&user, access, operation, repository.as_ref())?;
    if let (Some(Action::Push), Some(Copied { here, domain, .. })) = (operation.action, &copied) {
        return Err(Refusal::Copy { repository: here.clone(), upstream: domain.clone() });
    }
    let mut call = Call {
        served: Arc::clone(served),
        access: Arc::clone(access),
        user,
        is_head: parts.method == Method::HEAD,
        repository,
        copied,
        parameter,
        query,
        headers: &parts.headers,
        body,
    };
    (operation.handler)(&mut call).await
}

/// Reads what a client is still sending before it is refused: one that cannot get rid of its request reads no answer. Who
/// sends more than is read is cut off.
async fn drain(body: &mut Incoming) {
    // What was wrong with the request is told already.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, Limited::new(body, DRAIN_BYTES_MAX).collect()).await;
}

/// A refusal as an answer (distribution specification 1.1, "Error Codes").
fn refuse(refusal: &Refusal, is_head: bool) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_server_error() {
        tracing::error!(error = %refusal, "a request to the registry failed");
    }
    let document = json!({ "errors": [{ "code": refusal.code(), "message": refusal.to_string() }] });
    let mut response = json(status, &document, is_head);
    let headers = response.headers_mut();
    match refusal {
        Refusal::Method { allowed, .. } => set(headers, "allow", allowed),
        Refusal::Range { bytes } => set(headers, "content-range", &format!("bytes */{bytes}")),
        Refusal::OutOfOrder { have, .. } => set(headers, "range", &uploads::range(*have)),
        Refusal::TooManyUploads { .. } => set(headers, "retry-after", "60"),
        _ => {}
    }
    response
}

/// An answer without a body.
fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An answer in JSON.
fn json(status: StatusCode, document: &serde_json::Value, is_head: bool) -> Response<Body> {
    let mut text = document.to_string();
    text.push('\n');
    let mut response = empty(status);
    set(response.headers_mut(), "content-type", "application/json");
    if is_head {
        set(response.headers_mut(), "content-length", &text.len().to_string());
    } else {
        *response.body_mut() = Body::whole(Bytes::from(text));
    }
    response
}

/// Sets a header to a text that is known to be fit for one: digests, numbers, names that were checked.
fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(headers.insert(HeaderName::from_static(name), value)),
        Err(_) => tracing::error!(name, value, "a header cannot be written"),
    }
}

/// A request as handlers are given it.
struct Call<'c> {
    served: Arc<Served>,
    access: Arc<Access>,
    user: User,
    is_head: bool,
    repository: Option<Repository>,
    /// Whose copy it is.
    copied: Option<Copied>,
    /// What stands at the end of the path.
    parameter: String,
    query: Query,
    headers: &'c HeaderMap,
    body: &'c mut Incoming,
}

impl Call<'_> {
    /// The repository that the path names.
    fn repository(&self) -> Result<Repository, Refusal> {
        self.repository.clone().ok_or_else(|| Refusal::Path("/v2/".to_owned()))
    }

    /// Sees that a manifest of a copied repository is here.
    async fn bring_manifest(&self, target: &Target) -> Result<(), Refusal> {
        match (&self.served.cache, &self.copied) {
            (Some(cache), Some(copied)) => cache.manifest(&self.served.registry, copied, target).await,
            _ => Ok(()),
        }
    }

    /// Sees that a blob of a copied repository is here, or comes.
    async fn bring_blob(&self, digest: ContentDigest) -> Result<Brought, Refusal> {
        match (&self.served.cache, &self.copied) {
            (Some(cache), Some(copied)) => cache.blob(&self.served.registry, copied, digest).await,
            _ => Ok(Brought::Here),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Bytes of the body, where the client says how many.
    fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        blocking(&self.served.registry, work).await
    }
}

/// The parameters behind the question mark, decoded, in their order.
#[derive(Clone, Debug, Default)]
struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `application/x-www-form-urlencoded`, as the URL standard describes it.
    fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Query(pairs.collect())
    }

    /// The first value of a name, unless it is empty.
    fn given(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of a name.
    fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Undoes percent-encoding, RFC 3986, and the plus for a space; bytes that are no text become replacement characters.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| (*byte as char).to_digit(16));
        rest = tail;
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            (b'+', _, _) => out.push(b' '),
            (byte, _, _) => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes a text as a value behind a question mark, RFC 3986.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_what_is_encoded_is_read_back() {
        let query = Query::parse("digest=sha256%3Aab&tag=a&tag=b+c&n=&bad=%zz%");
        assert_eq!(query.given("digest"), Some("sha256:ab"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!((query.given("n"), query.given("bad")), (None, Some("%zz%")));
        assert_eq!(decode(&encode("a/b:c&d é+")), "a/b:c&d é+");
    }
}
