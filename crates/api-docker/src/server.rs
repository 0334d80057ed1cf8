//! The HTTP server: connections, versions, routing, and what every handler is given.
//!
//! ```text
//! connection -> request -> version prefix -> table -> parameters checked -> handler -> answer
//!                             |                |              |               |
//!                             400              404, 501       501             error kind -> status
//! ```
//!
//! A client that goes away drops its request's future and its answer's body with all that they hold; nothing else
//! has to be told. Absent on purpose: TLS, and any state kept between two requests.

use crate::body::Body;
use crate::coverage;
use crate::table::{self, Handler, Operation, Way};
use crate::wire::ErrorMessage;
use base::Clock;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use platform::{Doors, Error, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// The newest version of the API that is spoken.
pub(crate) const VERSION_MAX: u32 = 51;
/// The oldest one.
pub(crate) const VERSION_MIN: u32 = 24;
/// Bytes of a JSON body.
const JSON_BODY_BYTES_MAX: usize = 4 << 20;
/// Connections served at a time on one listener; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// How long a client may take to send its request's head, and a connection may lie idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// How long is waited after an accept that failed, for instance for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where clients come in.
#[derive(Debug)]
pub enum Listener {
    /// A socket in the file system.
    Unix(UnixListener),
    /// A port.
    Tcp(TcpListener),
}

/// The future that a handler is.
pub(crate) type Outcome = Pin<Box<dyn Future<Output = Answer> + Send>>;
/// What a handler answers.
pub(crate) type Answer = Result<Response<Body>, Error>;

/// A connection of either kind.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {
    /// A second handle, by which it can be seen that the peer has closed both directions. TCP does not tell.
    fn watch(&self) -> Option<UnixStream>;
}

impl Connection for UnixStream {
    fn watch(&self) -> Option<UnixStream> {
        let handle = self.as_fd().try_clone_to_owned().ok()?;
        UnixStream::from_std(handle.into()).ok()
    }
}

impl Connection for TcpStream {
    fn watch(&self) -> Option<UnixStream> {
        None
    }
}

/// Serves the Engine API to all who connect, until the future is dropped; connections under way go on to their end.
pub async fn serve(listener: Listener, doors: Doors, clock: Clock) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed, so that a permit always comes.
    while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
        let accepted: std::io::Result<Box<dyn Connection>> = match &listener {
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| Box::new(stream) as _),
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| Box::new(stream) as _),
        };
        let connection = match accepted {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let doors = doors.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(request, doors.clone(), clock));
            let served = hyper::server::conn::http1::Builder::new()
                .title_case_headers(true)
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(connection), service)
                .with_upgrades()
                .await;
            if let Err(error) = served {
                tracing::debug!(error = %base::Chain(&error), "a connection ended early");
            }
            drop(permit);
        });
    }
}

/// One request: its answer, or the error as an answer, with the headers that all of them carry.
async fn respond(
    request: Request<Incoming>,
    doors: Doors,
    clock: Clock,
) -> Result<Response<Body>, Infallible> {
    let old = request.uri().path().strip_prefix("/v").is_some_and(|rest| {
        let version = rest.split('/').next().unwrap_or_default();
        minor(version).is_some_and(|minor| minor < VERSION_MIN)
    });
    let mut response = match dispatch(request, doors, clock).await {
        Ok(response) => response,
        // Clients that old print what they get: they get plain text.
        Err(error) if old => plain(StatusCode::BAD_REQUEST, error.message + "\n"),
        Err(error) => refuse(&error),
    };
    let headers = response.headers_mut();
    headers.insert("api-version", HeaderValue::from_static("1.51"));
    headers.insert("docker-experimental", HeaderValue::from_static("false"));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert(
        "server",
        HeaderValue::from_static(concat!("Bocage/", env!("CARGO_PKG_VERSION"), " (linux)")),
    );
    Ok(response)
}

async fn dispatch(request: Request<Incoming>, doors: Doors, clock: Clock) -> Answer {
    let (parts, body) = request.into_parts();
    let routed = match route(&parts) {
        Ok(routed) => routed,
        Err(error) => {
            drain(body).await;
            return Err(error);
        }
    };
    let Routed { operation, handler, version, parameter, query } = routed;
    let mut extensions = parts.extensions;
    let upgrade = extensions.remove::<OnUpgrade>().filter(|_| parts.headers.contains_key("upgrade"));
    handler(Call {
        operation,
        doors,
        clock,
        version,
        parameter,
        query,
        headers: parts.headers,
        body,
        upgrade,
    })
    .await
}

/// Where a request goes.
struct Routed {
    operation: &'static Operation,
    handler: Handler,
    version: u32,
    parameter: String,
    query: Query,
}

/// Finds the operation that a request means, and refuses what is not built.
fn route(parts: &hyper::http::request::Parts) -> Result<Routed, Error> {
    let (version, path) = versioned(parts.uri.path())?;
    let (operation, parameter) =
        table::find(parts.method.as_str(), path).ok_or_else(|| Error::not_found("page not found"))?;
    let handler = match operation.way {
        Way::Done(handler) => handler,
        Way::NotYet(why) => {
            return Err(Error::not_supported(format!("{} is not supported yet: {why}", operation.id)));
        }
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let parameters = query.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    coverage::check_parameters(operation, parameters)?;
    Ok(Routed { operation, handler, version, parameter: decode(parameter, false).into_owned(), query })
}

/// Reads what a client is still sending before it is refused: one that cannot get rid of its request reads no answer. Who
/// sends more than a request has is cut off.
async fn drain(body: Incoming) {
    // What was wrong with the request is told already.
    let _ = Limited::new(body, JSON_BODY_BYTES_MAX).collect().await;
}

/// The minor number of a version `1.x`.
fn minor(version: &str) -> Option<u32> {
    let (major, minor) = version.split_once('.')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    match major {
        0 => Some(0),
        1 => Some(minor),
        _ => Some(u32::MAX),
    }
}

/// Takes the version off a path.
fn versioned(path: &str) -> Result<(u32, &str), Error> {
    let Some(rest) =
        path.strip_prefix("/v").filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    else {
        return Ok((VERSION_MAX, path));
    };
    let (text, _) = rest.split_once('/').unwrap_or((rest, ""));
    let version = minor(text).ok_or_else(|| Error::not_found("page not found"))?;
    if version < VERSION_MIN {
        return Err(Error::invalid(format!(
            "client version {text} is too old. Minimum supported API version is 1.{VERSION_MIN}, please upgrade your \
             client to a newer version"
        )));
    }
    if version > VERSION_MAX {
        return Err(Error::invalid(format!(
            "client version {text} is too new. Maximum supported API version is 1.{VERSION_MAX}"
        )));
    }
    Ok((version, &rest[text.len()..]))
}

/// A refusal as an answer.
fn refuse(error: &Error) -> Response<Body> {
    let status = match error.kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::NotSupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::NotModified => return empty(StatusCode::NOT_MODIFIED),
    };
    if error.kind == Kind::Failed {
        tracing::error!(error = %error.message, "a request failed");
    }
    json(status, &ErrorMessage { message: error.message.clone() }).unwrap_or_else(|_| empty(status))
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An answer in plain text.
pub(crate) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Some(text.into())));
    *response.status_mut() = status;
    typed(response, "text/plain; charset=utf-8")
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut response = Response::new(Body::Whole(Some(json_line(value)?)));
    *response.status_mut() = status;
    Ok(typed(response, "application/json"))
}

/// A value as one line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Result<Bytes, Error> {
    let mut line = serde_json::to_vec(value)
        .map_err(|error| Error::failed(format!("write an answer as JSON: {error}")))?;
    line.push(b'\n');
    Ok(line.into())
}

/// The same answer with a content type.
pub(crate) fn typed(mut response: Response<Body>, content_type: &'static str) -> Response<Body> {
    response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    response
}

/// A request as handlers are given it.
pub(crate) struct Call {
    pub(crate) operation: &'static Operation,
    pub(crate) doors: Doors,
    pub(crate) clock: Clock,
    /// The minor number of the API's version that the client speaks.
    pub(crate) version: u32,
    /// The path's parameter: an id or a name.
    pub(crate) parameter: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Incoming,
    /// How the connection is taken over, where the client asked for it.
    pub(crate) upgrade: Option<OnUpgrade>,
}

impl Call {
    fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Reads the body: JSON that asks for nothing that is not built. None if there is no body.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let content_type = self.header(hyper::header::CONTENT_TYPE).map(str::to_owned);
        let limited = Limited::new(&mut self.body, JSON_BODY_BYTES_MAX);
        let bytes = limited.collect().await.map(|body| body.to_bytes()).map_err(|error| {
            if error.is::<LengthLimitError>() {
                return Error::invalid(format!(
                    "the request's body is larger than {JSON_BODY_BYTES_MAX} bytes"
                ));
            }
            Error::invalid(format!("read the request's body: {error}"))
        })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let content_type = content_type.unwrap_or_default();
        let media = content_type.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/json") {
            return Err(Error::invalid(if media.is_empty() {
                "malformed Content-Type header (): mime: no media type".to_owned()
            } else {
                format!("unsupported Content-Type header ({media}): must be 'application/json'")
            }));
        }
        let invalid = |error: serde_json::Error| Error::invalid(format!("invalid JSON: {error}"));
        let mut value = serde_json::from_slice(&bytes).map_err(invalid)?;
        coverage::check_body(self.operation, &mut value)?;
        crate::wire::read_value(value).map(Some).map_err(invalid)
    }
}

/// The parameters after the question mark, decoded, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `application/x-www-form-urlencoded`, as the URL standard describes it.
    pub(crate) fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true).into_owned(), decode(value, true).into_owned())
        });
        Query(pairs.collect())
    }

    /// The first value of a name; empty if it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// All values of a name.
    pub(crate) fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A value that is not empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|value| !value.is_empty())
    }

    /// Whether a switch is on.
    pub(crate) fn flag(&self, name: &str) -> bool {
        is_true(self.text(name))
    }

    /// Whether a switch is on, where its absence has a meaning of its own.
    pub(crate) fn flag_or(&self, name: &str, default: bool) -> bool {
        self.all(name).next().map_or(default, is_true)
    }

    /// A whole number.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Error> {
        let Some(text) = self.given(name) else { return Ok(None) };
        let number = text.parse().map_err(|_| {
            Error::invalid(format!("invalid value \"{text}\" for {name}: a whole number is needed"))
        });
        number.map(Some)
    }
}

/// Whether a parameter's value means yes, as Docker reads it.
pub(crate) fn is_true(value: &str) -> bool {
    !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
}

/// Undoes percent-encoding, RFC 3986; bytes that are no text become replacement characters.
fn decode(text: &str, plus_is_space: bool) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = text.get(at + 1..at + 3).filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match (bytes[at], pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_taken_off_and_checked() {
        assert_eq!(versioned("/v1.44/info").unwrap(), (44, "/info"));
        assert_eq!(versioned("/version").unwrap(), (51, "/version"));
        assert!(versioned("/v1.23/info").unwrap_err().message.contains("too old"));
        assert!(versioned("/v1.52/info").unwrap_err().message.contains("too new"));
    }

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("a=1&b=x%2Fy+z&a=2&flag&bad=%zz%");
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.text("b"), "x/y z");
        assert_eq!(query.text("bad"), "%zz%");
        assert!(!query.flag("flag") && query.flag("a") && query.flag_or("none", true));
    }
}
