//! Reaching a daemon: which one, a request and its answer, and connections that are taken over.
//!
//! One connection a request, as commands make few. A daemon that is nobody's choice in particular is started when it does not
//! answer (see `start`).

use crate::failure::{Failure, REFUSED};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// The version of the API that is spoken.
const VERSION: &str = "v1.51";
/// Bytes of one piece of a body that is sent.
const PIECE_BYTES: usize = 256 << 10;

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A socket.
    Unix(PathBuf),
    /// A host and a port.
    Tcp(String),
}

impl Address {
    /// Reads `unix:///path` or `tcp://host:port`.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn parse(text: &str) -> Result<Address, Failure> {
        if let Some(path) = text.strip_prefix("unix://") {
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        match text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://")) {
            Some(host) => Ok(Address::Tcp(host.trim_end_matches('/').to_owned())),
            None => Err(Failure::new(format!("unable to parse docker host `{text}`"))
                .with_hint("give unix:///path/of/a.sock or tcp://127.0.0.1:PORT")),
        }
    }

    /// As it is written.
    pub(crate) fn text(&self) -> String {
        match self {
            Address::Unix(path) => format!("unix://{}", path.display()),
            Address::Tcp(host) => format!("tcp://{host}"),
        }
    }
}

/// Both directions of a connection.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// The body of a request.
pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// A daemon.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) address: Address,
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn json(value: &Value) -> Body {
    Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed()
}

/// A body that is read piece by piece.
pub(crate) fn source(reader: impl AsyncRead + Send + Sync + Unpin + 'static) -> Body {
    let pieces = futures_util::stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        let mut piece = vec![0; PIECE_BYTES];
        match reader.read(&mut piece).await {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some((Ok(Frame::data(Bytes::from(piece))), Some(reader)))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    StreamBody::new(pieces).boxed()
}

impl Client {
    pub(crate) fn new(address: Address) -> Client {
        Client { address }
    }

    async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        Ok(match &self.address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Address::Tcp(host) => Box::new(TcpStream::connect(host).await?),
        })
    }

    /// Whether somebody listens.
    pub(crate) async fn answers(&self) -> bool {
        self.knock().await.is_ok()
    }

    /// Connects and goes away again.
    pub(crate) async fn knock(&self) -> io::Result<()> {
        self.connect().await.map(drop)
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let failure = Failure::new(format!(
            "Cannot connect to the daemon at {}. Is it running? ({error})",
            self.address.text()
        ));
        match error.kind() {
            io::ErrorKind::PermissionDenied => failure.with_hint("use sudo, or join the group of the socket"),
            _ => failure
                .with_hint("`sudo bocage daemon` starts one; -H, BOCAGE_HOST or DOCKER_HOST choose another"),
        }
    }

    /// Sends a request; the answer is given back with its body unread, whatever its status.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Body,
        upgrade: bool,
        auth: Option<String>,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = self.connect().await.map_err(|error| self.unreachable(&error))?;
        let broken = |error: hyper::Error| {
            Failure::new(format!("talk to the daemon at {}: {error}", self.address.text()))
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection.with_upgrades());
        let full = if path.starts_with("/bocage/") { path.to_owned() } else { format!("/{VERSION}{path}") };
        let mut request = Request::builder()
            .method(method)
            .uri(full)
            .header("Host", "bocage")
            .header("User-Agent", concat!("bocage/", env!("CARGO_PKG_VERSION")))
            .header("Content-Type", "application/json");
        if let Some(auth) = auth {
            request = request.header("X-Registry-Auth", auth);
        }
        if upgrade {
            request = request.header("Connection", "Upgrade").header("Upgrade", "tcp");
        }
        let request = request
            .body(body)
            .map_err(|error| Failure::new(format!("make a request of {path:?}: {error}")))?;
        sender.send_request(request).await.map_err(broken)
    }

    async fn checked(&self, response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
        let status = response.status().as_u16();
        if status < 400 {
            return Ok(response);
        }
        let body = self.whole(response).await?;
        let message = serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|value| Some(value.get("message")?.as_str()?.to_owned()));
        Err(Failure::daemon(status, &message.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned())))
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, Failure> {
        let collected = response.into_body().collect().await;
        let broken = |error| {
            Failure::new(format!("read the answer of the daemon at {}: {error}", self.address.text()))
        };
        collected.map(http_body_util::Collected::to_bytes).map_err(broken)
    }

    /// Asks, and reads the answer as JSON; an empty one is null.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let response = self.exchange(method, path, body.map_or_else(empty, json), false, None).await?;
        let bytes = self.whole(self.checked(response).await?).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(format!("read the answer to {path}: {error}")))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.call(Method::POST, path, body).await
    }

    /// The same, with what is shown to a registry.
    pub(crate) async fn post_as(
        &self,
        path: &str,
        body: &Value,
        auth: Option<String>,
    ) -> Result<Value, Failure> {
        let response = self.exchange(Method::POST, path, json(body), false, auth).await?;
        let bytes = self.whole(self.checked(response).await?).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(format!("read the answer to {path}: {error}")))
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, None).await
    }

    /// Asks, and gives the answer as it was written.
    pub(crate) async fn text(&self, path: &str) -> Result<String, Failure> {
        self.text_as(path, None).await
    }

    /// The same, with what is shown to a registry.
    pub(crate) async fn text_as(&self, path: &str, auth: Option<String>) -> Result<String, Failure> {
        let response = self.exchange(Method::GET, path, empty(), false, auth).await?;
        let bytes = self.whole(self.checked(response).await?).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Asks, and reads the answer piece by piece.
    pub(crate) async fn stream(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> Result<Pieces, Failure> {
        let response = self.exchange(method, path, body.unwrap_or_else(empty), false, None).await?;
        Ok(Pieces { body: self.checked(response).await?.into_body() })
    }

    /// The same, with what is shown to a registry.
    pub(crate) async fn stream_as(
        &self,
        method: Method,
        path: &str,
        auth: Option<String>,
    ) -> Result<Pieces, Failure> {
        let response = self.exchange(method, path, empty(), false, auth).await?;
        Ok(Pieces { body: self.checked(response).await?.into_body() })
    }

    /// What is at a path of a container, as the answer's head tells it; none where nothing is.
    pub(crate) async fn path_stat(&self, path: &str) -> Result<Option<PathStat>, Failure> {
        let response = self.exchange(Method::HEAD, path, empty(), false, None).await?;
        if response.status() == hyper::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = self.checked(response).await?;
        let header = response.headers().get("x-docker-container-path-stat");
        let told = header.and_then(|value| serde_json::from_slice(&STANDARD.decode(value).ok()?).ok());
        told.map(Some).ok_or_else(|| Failure::new("the daemon does not tell what is at the path"))
    }

    /// Asks, and takes the connection over.
    pub(crate) async fn hijack(
        &self,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Box<dyn Connection>, Failure> {
        let response = self.exchange(Method::POST, path, body.map_or_else(empty, json), true, None).await?;
        let response = self.checked(response).await?;
        let upgraded = hyper::upgrade::on(response).await;
        let broken =
            |error| Failure::new(format!("take over the connection to {}: {error}", self.address.text()));
        Ok(Box::new(TokioIo::new(upgraded.map_err(broken)?)))
    }
}

/// What is at a path of a container.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct PathStat {
    /// Go's `os.FileMode`.
    pub(crate) mode: u32,
    /// Where a link leads.
    #[serde(default, rename = "linkTarget")]
    pub(crate) link_target: String,
}

/// An answer that is read piece by piece.
pub(crate) struct Pieces {
    body: Incoming,
}

impl Pieces {
    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| Failure::new(format!("the daemon broke off: {error}")))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// JSON values one after the other, as they come.
pub(crate) struct Values {
    pieces: Pieces,
    pending: Vec<u8>,
}

impl Values {
    pub(crate) fn new(pieces: Pieces) -> Values {
        Values { pieces, pending: Vec::new() }
    }

    /// The next value; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            let mut values = serde_json::Deserializer::from_slice(&self.pending).into_iter::<Value>();
            match values.next() {
                Some(Ok(value)) => {
                    let used = values.byte_offset();
                    self.pending.drain(..used);
                    return Ok(Some(value));
                }
                Some(Err(error)) if !error.is_eof() => {
                    return Err(Failure::new(format!("the daemon's answer is not JSON: {error}")));
                }
                _ => {}
            }
            match self.pieces.next().await? {
                Some(piece) => self.pending.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }
}

/// Escapes a part of a path or query, RFC 3986.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A query of names and values; those without a value are left out.
pub(crate) fn query(pairs: &[(&str, Option<String>)]) -> String {
    let given =
        pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", escape(value.as_deref()?))));
    let joined = given.collect::<Vec<_>>().join("&");
    if joined.is_empty() { joined } else { format!("?{joined}") }
}

/// `--filter a=b` as the API wants it: names with lists of values.
pub(crate) fn filters(given: &[String]) -> Result<Option<String>, Failure> {
    let mut all = serde_json::Map::new();
    for filter in given {
        let (name, value) = filter.split_once('=').ok_or_else(|| {
            Failure::new(format!("invalid argument {filter:?} for \"--filter\" flag: NAME=VALUE is needed"))
                .with_code(REFUSED)
                .with_hint("as in --filter status=exited")
        })?;
        let values =
            all.entry(name.trim().to_lowercase()).or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Value::Object(values) = values {
            values.insert(value.trim().to_owned(), Value::Bool(true));
        }
    }
    Ok((!all.is_empty()).then(|| Value::Object(all).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        assert_eq!(Address::parse("unix:///run/x.sock"), Ok(Address::Unix("/run/x.sock".into())));
        assert_eq!(
            Address::parse("tcp://127.0.0.1:2375").map(|address| address.text()),
            Ok("tcp://127.0.0.1:2375".to_owned())
        );
        assert!(Address::parse("ssh://x").is_err());
    }

    #[test]
    fn queries_are_escaped_and_leave_out_what_is_not_given() {
        assert_eq!(query(&[("a", Some("x/y z".to_owned())), ("b", None)]), "?a=x%2Fy%20z");
        assert_eq!(query(&[("b", None)]), "");
        assert_eq!(filters(&["status=exited".to_owned()]).unwrap().unwrap(), r#"{"status":{"exited":true}}"#);
    }
}
