//! The parts of one large layer, fetched over several connections at once, and given on in their order.
//!
//! Only where the first request showed that the registry gives parts. A part that breaks off is read on from there; where that
//! does not help either, whoever reads goes on with one connection, from the first byte that is missing.

use super::Result;
use super::error::RegistryError;
use super::session::{Ask, Session, refused, without_query};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_RANGE, HeaderValue, RANGE};
use hyper::{Method, Response, StatusCode};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections of one pull on which parts come.
const CONNECTIONS_MAX: usize = 8;
/// The fewest and the most of one layer.
const PARTS_AT_ONCE: (usize, usize) = (2, 4);

/// Which layers are fetched in parts, and how big those are. They wait in memory until it is their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Layers smaller than this come over one connection.
    pub layer_bytes_min: u64,
    /// Bytes of one part.
    pub bytes: u64,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts { layer_bytes_min: 16 << 20, bytes: 4 << 20 }
    }
}

type Coming<'a> = Pin<Box<dyn Future<Output = Result<VecDeque<Bytes>>> + Send + 'a>>;

/// The parts of one layer that are under way.
pub(crate) struct Ahead<'a> {
    session: &'a Session<'a>,
    url: String,
    parts: FuturesOrdered<Coming<'a>>,
    /// The first byte that nobody has asked for.
    next: u64,
    bytes: u64,
    /// How many layers come at this time.
    layers: &'a AtomicUsize,
}

impl<'a> Ahead<'a> {
    /// Begins at the byte `next`.
    pub(crate) fn new(
        session: &'a Session<'a>,
        url: String,
        next: u64,
        bytes: u64,
        layers: &'a AtomicUsize,
    ) -> Ahead<'a> {
        Ahead { session, url, parts: FuturesOrdered::new(), next, bytes, layers }
    }

    /// The pieces of the next part; none after the last one.
    pub(crate) async fn next(&mut self) -> Result<VecDeque<Bytes>> {
        let layers = self.layers.load(Ordering::Relaxed).max(1);
        let wanted = (CONNECTIONS_MAX / layers).clamp(PARTS_AT_ONCE.0, PARTS_AT_ONCE.1);
        let part = self.session.plumbing.parts().bytes;
        while self.next < self.bytes && self.parts.len() < wanted {
            self.ask((self.next + part).min(self.bytes), None);
        }
        self.parts.next().await.unwrap_or_else(|| Ok(VecDeque::new()))
    }

    /// Asks for the bytes up to `end`, unless there is an answer with them already.
    pub(crate) fn ask(&mut self, end: u64, answer: Option<Response<Incoming>>) {
        let part = Part { session: self.session, url: self.url.clone(), begin: self.next, end };
        self.next = end;
        self.parts.push_back(Box::pin(part.whole(answer)));
    }
}

/// Asks for some bytes of a layer.
pub(crate) fn range(url: &str, begin: u64, end: u64) -> Ask<'static> {
    let mut ask = Ask::new(Method::GET, url.to_owned());
    let range = HeaderValue::from_str(&format!("bytes={begin}-{}", end.saturating_sub(1)));
    ask.headers.extend(range.ok().map(|range| (RANGE, range)));
    ask
}

/// The first byte of what a part holds (RFC 9110, 14.4).
pub(crate) fn begins_at(response: &Response<Incoming>) -> Option<u64> {
    first_byte(response.headers().get(CONTENT_RANGE)?.to_str().ok()?)
}

/// The first of `bytes 0-99/1234`, where the last is none before it.
pub(crate) fn first_byte(content_range: &str) -> Option<u64> {
    let (unit, range) = content_range.trim().split_once(' ')?;
    let (first, rest) = range.trim_start().split_once('-')?;
    let (last, _) = rest.split_once('/')?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then(|| digits.parse::<u64>().ok()).flatten()
    };
    let (first, last) = (number(first)?, number(last)?);
    (unit.eq_ignore_ascii_case("bytes") && first <= last).then_some(first)
}

/// Bytes of a layer that one request asks for.
struct Part<'a> {
    session: &'a Session<'a>,
    url: String,
    begin: u64,
    end: u64,
}

impl Part<'_> {
    /// All of it, read on where it breaks off.
    async fn whole(mut self, mut answer: Option<Response<Incoming>>) -> Result<VecDeque<Bytes>> {
        let patience = self.session.plumbing.patience();
        let mut pieces = VecDeque::new();
        let mut attempt = 1;
        loop {
            let before = self.begin;
            let response = match answer.take() {
                Some(response) => response,
                None => self.asked().await?,
            };
            let why = match self.read(response, &mut pieces).await? {
                None => return Ok(pieces),
                Some(why) => why,
            };
            attempt = if self.begin > before { 1 } else { attempt + 1 };
            if attempt > patience.attempts {
                let what = format!("and broke off at byte {}: {why}", self.begin);
                return Err(RegistryError::Protocol { url: self.url, what });
            }
            self.session.plumbing.pause(attempt, None).await;
        }
    }

    async fn asked(&self) -> Result<Response<Incoming>> {
        let ask = range(&self.url, self.begin, self.end);
        let response = self.session.send(&ask).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(&response) == Some(self.begin) => Ok(response),
            StatusCode::PARTIAL_CONTENT | StatusCode::OK => {
                let url = without_query(&ask.url).to_owned();
                let what = format!("with another part than asked for, from byte {}", self.begin);
                Err(RegistryError::Protocol { url, what })
            }
            _ => Err(refused(response, &ask.url, self.session.plumbing.patience()).await),
        }
    }

    /// Reads as much as comes: why that was not all, where it was not.
    async fn read(
        &mut self,
        response: Response<Incoming>,
        pieces: &mut VecDeque<Bytes>,
    ) -> Result<Option<String>> {
        let idle = self.session.plumbing.patience().idle;
        let mut body = response.into_body();
        while self.begin < self.end {
            let frame = match tokio::time::timeout(idle, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Ok(Some(base::Chain(&error).to_string())),
                Ok(None) => return Ok(Some("it ended too early".to_owned())),
                Err(_) => return Ok(Some("nothing came any more".to_owned())),
            };
            let Ok(data) = frame.into_data() else { continue };
            self.begin += data.len() as u64;
            if self.begin > self.end {
                let what = "with more bytes than were asked for".to_owned();
                return Err(RegistryError::Protocol { url: self.url.clone(), what });
            }
            if !data.is_empty() {
                pieces.push_back(data);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_of_a_part_is_read_and_nothing_is_guessed() {
        for (text, first) in
            [("bytes 0-0/1", 0), ("bytes 100-199/200", 100), ("Bytes 5-9/*", 5), (" bytes  7-7/8 ", 7)]
        {
            assert_eq!(first_byte(text), Some(first), "{text}");
        }
        for text in [
            "",
            "bytes",
            "bytes */100",
            "bytes 5-4/9",
            "bytes +5-9/10",
            "bytes 5",
            "lines 0-1/2",
            "bytes 0-99999999999999999999/1",
            "bytes -1/2",
        ] {
            assert_eq!(first_byte(text), None, "{text}");
        }
    }
}
