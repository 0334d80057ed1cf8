//! Objects in buckets: what a backup is written to, and read from, that is named `s3://BUCKET/KEY`.
//!
//! ```text
//! small:  PUT                                          either way the object is there when it is whole, or not at all
//! large:  POST ?uploads -> PUT ?partNumber … -> POST ?uploadId
//! ```
//!
//! Who the user is and where the buckets are the environment says, in the variables that all such tools read:
//! `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`. Buckets are named in the path, which every
//! store understands.

mod sign;

use crate::client::{Body, Pieces};
use crate::failure::Failure;
use base::Clock;
use bytes::{Bytes, BytesMut};
use dial::{Proxies, Proxy, Requests};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use sign::{Keys, Signed, escape};
use std::time::Duration;

/// How a bucket is named.
pub(crate) const SCHEME: &str = "s3://";
/// Bytes of one part, and of a later one, so that the parts that a store takes are enough for a very large object.
const PART_BYTES: usize = 16 << 20;
const LATER_PART_BYTES: usize = 64 << 20;
/// From which part on they are larger; and how many a store takes.
const LATER: usize = 2_000;
const PARTS_MAX: usize = 10_000;
/// Until a connection stands, and until an answer begins.
const CONNECT: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(120);
/// How often a request is sent, and how long before the second time; doubled for each further one.
const ATTEMPTS_MAX: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Bytes of an answer that is read as text.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Where an object is, and who asks for it.
pub(crate) struct Object {
    client: Requests,
    proxy: Proxy,
    clock: Clock,
    keys: Keys,
    region: String,
    /// `https://host` without a slash at the end.
    endpoint: String,
    host: String,
    /// `/bucket/key`, escaped.
    path: String,
    /// As it was given, for messages.
    name: String,
    /// Bytes of one of its first parts.
    part_bytes: usize,
}

#[expect(clippy::disallowed_methods, reason = "this crate reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Object {
    /// Reads an address; none where it names no bucket.
    ///
    /// # Errors
    /// It has no key, or the environment does not say who the user is.
    pub(crate) fn of(address: &str) -> Result<Option<Object>, Failure> {
        Object::with(address, &environment)
    }

    fn with(address: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Object>, Failure> {
        let Some(rest) = address.strip_prefix(SCHEME) else { return Ok(None) };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || key.is_empty() || key.ends_with('/') {
            return Err(Failure::new(format!("{address} names no object"))
                .with_hint("write s3://BUCKET/KEY, as in s3://backups/data.tar.zst"));
        }
        let needed = |name: &str| {
            variable(name).ok_or_else(|| {
                Failure::new(format!("{address}: {name} is not set"))
                    .with_hint("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say who you are, AWS_ENDPOINT_URL where the buckets are")
            })
        };
        let keys = Keys {
            id: needed("AWS_ACCESS_KEY_ID")?,
            secret: needed("AWS_SECRET_ACCESS_KEY")?,
            token: variable("AWS_SESSION_TOKEN"),
        };
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"));
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        let host = host.filter(|host| !host.is_empty() && !host.contains('/')).map(str::to_owned);
        let host = host.ok_or_else(|| {
            Failure::new(format!("the address of the buckets, {endpoint}, is none"))
                .with_hint("AWS_ENDPOINT_URL=https://HOST[:PORT]")
        })?;
        let tls = dial::public_tls().map_err(|error| Failure::new(format!("start TLS: {error}")))?;
        let (client, proxy) = dial::requests(&Proxies::of(variable), CONNECT, tls);
        let path = escape(&format!("/{bucket}/{key}"), true);
        let (clock, name) = (Clock::system(), address.to_owned());
        Ok(Some(Object {
            client,
            proxy,
            clock,
            keys,
            region,
            endpoint,
            host,
            path,
            name,
            part_bytes: PART_BYTES,
        }))
    }

    /// Writes what comes. The object is there once this has returned, and what was there before it is gone then.
    ///
    /// # Errors
    /// The daemon broke off, or the store refuses it.
    pub(crate) async fn write(&self, pieces: Pieces) -> Result<(), Failure> {
        let mut source = Source { pieces, rest: Bytes::new() };
        let first = source.part(self.part_bytes).await?;
        if first.len() < self.part_bytes {
            return self.ask("PUT", &[], first).await.map(drop);
        }
        let begun = self.text("POST", &[("uploads", "")], Bytes::new()).await?;
        let id = between(&begun, "<UploadId>", "</UploadId>")
            .ok_or_else(|| self.failed("it does not tell the id of the upload"))?;
        let written = self.parts(&id, first, source).await;
        if written.is_err() {
            // Parts that nobody wants any more are paid for otherwise.
            let _ = self.ask("DELETE", &[("uploadId", &id)], Bytes::new()).await;
        }
        written
    }

    async fn parts(&self, id: &str, first: Bytes, mut source: Source) -> Result<(), Failure> {
        let mut list = String::from("<CompleteMultipartUpload>");
        let (mut number, mut next) = (1, first);
        while !next.is_empty() {
            if number > PARTS_MAX {
                return Err(self.failed("it is larger than an object may be"));
            }
            let text = number.to_string();
            let answer = self.ask("PUT", &[("partNumber", &text), ("uploadId", id)], next).await?;
            let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok());
            let tag = tag.ok_or_else(|| self.failed("it does not tell the tag of a part"))?;
            list += &format!("<Part><PartNumber>{text}</PartNumber><ETag>{tag}</ETag></Part>");
            number += 1;
            next = source.part(if number > LATER { LATER_PART_BYTES } else { self.part_bytes }).await?;
        }
        list += "</CompleteMultipartUpload>";
        let answer = self.text("POST", &[("uploadId", id)], Bytes::from(list)).await?;
        // A store that puts parts together for long begins its answer before it knows.
        match between(&answer, "<Message>", "</Message>") {
            Some(why) if answer.contains("<Error>") => Err(self.failed(&why)),
            _ => Ok(()),
        }
    }

    /// Reads the object, as the body of a request.
    ///
    /// # Errors
    /// It is not there, or not to be read.
    pub(crate) async fn read(&self) -> Result<Body, Failure> {
        let answer = self.ask("GET", &[], Bytes::new()).await?;
        Ok(answer.into_body().map_err(std::io::Error::other).boxed())
    }

    async fn text(&self, method: &str, query: &[(&str, &str)], body: Bytes) -> Result<String, Failure> {
        let answer = self.ask(method, query, body).await?;
        let bytes = bounded(answer.into_body()).await;
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(|why| self.failed(&why))
    }

    fn failed(&self, why: &str) -> Failure {
        Failure::new(format!("{} at {}: {why}", self.name, self.endpoint))
    }

    /// Sends a request until it is answered; an answer that is a refusal is a failure.
    async fn ask(
        &self,
        method: &str,
        query: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let (again, why) = match self.once(method, query, body.clone()).await {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) => {
                    let status = answer.status();
                    let text = bounded(answer.into_body()).await.unwrap_or_default();
                    let text = String::from_utf8_lossy(&text).into_owned();
                    let why = between(&text, "<Message>", "</Message>").unwrap_or_default();
                    (status.is_server_error(), format!("{status}: {why}"))
                }
                Err(why) => (true, why),
            };
            if !again || attempt == ATTEMPTS_MAX {
                return Err(self.failed(why.trim_end_matches(": ")));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(self.failed("it was not asked"))
    }

    async fn once(
        &self,
        method: &str,
        query: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, String> {
        let signed = Signed { method, host: &self.host, path: &self.path, query, headers: &[], body: &body };
        let headers = sign::headers(&self.keys, &self.region, self.clock.now(), &signed);
        let mark = if query.is_empty() { "" } else { "?" };
        let uri = format!("{}{}{mark}{}", self.endpoint, self.path, sign::query(query));
        let uri: Uri = uri.parse().map_err(|error| format!("{error}"))?;
        let mut request = Request::builder().method(method).uri(uri.clone());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = self.proxy.authorization(&uri) {
            request = request.header("proxy-authorization", authorization);
        }
        let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
        let request = request.body(body).map_err(|error| error.to_string())?;
        match tokio::time::timeout(ANSWER, self.client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(base::Chain(&error).to_string()),
            Err(_) => Err(format!("no answer within {} seconds", ANSWER.as_secs())),
        }
    }
}

/// What comes, in parts.
struct Source {
    pieces: Pieces,
    rest: Bytes,
}

impl Source {
    /// So many bytes, fewer only at the end.
    async fn part(&mut self, bytes: usize) -> Result<Bytes, Failure> {
        let mut part = BytesMut::new();
        while part.len() < bytes {
            if self.rest.is_empty() {
                match self.pieces.next().await? {
                    Some(piece) => self.rest = piece,
                    None => break,
                }
            }
            let taken = self.rest.len().min(bytes - part.len());
            part.extend_from_slice(&self.rest.split_to(taken));
        }
        Ok(part.freeze())
    }
}

/// An answer that is a text of bounded length.
async fn bounded(body: Incoming) -> Result<Bytes, String> {
    let limited = http_body_util::Limited::new(body, TEXT_BYTES_MAX);
    limited.collect().await.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string())
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0.to_owned())
}

#[cfg(test)]
mod tests;
