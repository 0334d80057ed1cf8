//! A layer on its way: read piece by piece, and on from where it broke off; a large one in several parts at once.

use super::Result;
use super::error::RegistryError;
use super::ranges::{Ahead, begins_at, range};
use super::session::{Ask, Session, refused, without_query};
use super::wait::{Listener, unless_gone};
use crate::manifest::Descriptor;
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, RANGE};
use hyper::{Method, StatusCode};
use model::Digest;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// How often one layer may break off, however much came in between.
const BREAKS_MAX: u32 = 100;

/// Ends all downloads of a pull when one of them fails.
pub(crate) struct Halt(watch::Sender<bool>);

impl Halt {
    pub(crate) fn new() -> Halt {
        Halt(watch::Sender::new(false))
    }

    pub(crate) fn now(&self) {
        self.0.send_replace(true);
    }
}

/// One layer that is being read.
pub(crate) struct Download<'a, Step, L: Listener<Step> + ?Sized> {
    session: &'a Session<'a>,
    runtime: &'a Handle,
    listener: &'a L,
    halted: watch::Receiver<bool>,
    digest: Digest,
    bytes: u64,
    /// Bytes that were given on.
    at: u64,
    body: Option<Incoming>,
    /// The parts of a large layer, while they come.
    ahead: Option<Ahead<'a>>,
    /// Pieces of the last part that came.
    pieces: VecDeque<Bytes>,
    /// Whether it may still turn out that the registry gives parts.
    may_have_parts: bool,
    layers: &'a AtomicUsize,
    /// Came, and is not given on yet.
    piece: Bytes,
    /// Attempts without a byte.
    idle_attempts: u32,
    breaks: u32,
    _step: std::marker::PhantomData<fn(Step)>,
}

impl<'a, Step, L: Listener<Step> + ?Sized> Download<'a, Step, L> {
    pub(crate) fn new(
        session: &'a Session<'a>,
        runtime: &'a Handle,
        listener: &'a L,
        halt: &Halt,
        layers: &'a AtomicUsize,
        layer: &Descriptor,
    ) -> Download<'a, Step, L> {
        layers.fetch_add(1, Ordering::Relaxed);
        Download {
            session,
            runtime,
            listener,
            halted: halt.0.subscribe(),
            digest: layer.digest,
            bytes: layer.size,
            at: 0,
            body: None,
            ahead: None,
            pieces: VecDeque::new(),
            may_have_parts: layer.size >= session.plumbing.parts().layer_bytes_min,
            layers,
            piece: Bytes::new(),
            idle_attempts: 0,
            breaks: 0,
            _step: std::marker::PhantomData,
        }
    }

    /// Goes on behind the bytes that were read before.
    pub(crate) fn from(mut self, at: u64) -> Self {
        self.at = at;
        let rest = self.bytes.saturating_sub(at);
        self.may_have_parts = rest >= self.session.plumbing.parts().layer_bytes_min;
        self
    }

    /// Fills a buffer, at least in part; 0 at the layer's end. Blocks.
    ///
    /// # Errors
    /// When the registry refuses, breaks off too often or sends more than it said, or nobody waits any more.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.piece.is_empty() {
            if self.at == self.bytes {
                return Ok(0);
            }
            let (runtime, listener, mut halted) = (self.runtime, self.listener, self.halted.clone());
            self.piece = runtime.block_on(unless_gone(listener, async {
                tokio::select! {
                    biased;
                    _ = halted.wait_for(|halted| *halted) => Err(RegistryError::Cancelled),
                    piece = self.next_piece() => piece,
                }
            }))?;
        }
        let length = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        self.at += length as u64;
        Ok(length)
    }

    async fn next_piece(&mut self) -> Result<Bytes> {
        loop {
            let patience = self.session.plumbing.patience();
            if let Some(piece) = self.pieces.pop_front() {
                return Ok(piece);
            }
            if let Some(ahead) = &mut self.ahead {
                match ahead.next().await {
                    Ok(pieces) => self.pieces = pieces,
                    Err(error) => self.give_parts_up(&error),
                }
                continue;
            }
            let body = match &mut self.body {
                Some(body) => body,
                None if self.may_have_parts => {
                    self.may_have_parts = false;
                    self.open_in_parts().await?;
                    if !self.piece.is_empty() {
                        return Ok(std::mem::take(&mut self.piece));
                    }
                    continue;
                }
                None => {
                    let Some(opened) = self.open().await? else {
                        self.broke_off("it ended too early".to_owned()).await?;
                        continue;
                    };
                    self.body = Some(opened);
                    if !self.piece.is_empty() {
                        return Ok(std::mem::take(&mut self.piece));
                    }
                    continue;
                }
            };
            let why = match tokio::time::timeout(patience.idle, body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => {
                        let came = self.at + data.len() as u64;
                        if came > self.bytes {
                            let what = format!("layer {}", self.digest.short());
                            return Err(RegistryError::Size { what, wanted: self.bytes, found: came });
                        }
                        self.idle_attempts = 0;
                        return Ok(data);
                    }
                    // Trailers say nothing here.
                    Err(_) => continue,
                },
                Ok(Some(Err(error))) => base::Chain(&error).to_string(),
                Ok(None) => "it ended too early".to_owned(),
                Err(_) => "nothing came any more".to_owned(),
            };
            self.broke_off(why).await?;
        }
    }

    /// Waits before the rest is asked for, or gives up.
    async fn broke_off(&mut self, why: String) -> Result<()> {
        self.body = None;
        self.idle_attempts += 1;
        self.breaks += 1;
        let url = self.url();
        tracing::debug!(%url, at = self.at, why, "a layer broke off");
        if self.idle_attempts >= self.session.plumbing.patience().attempts || self.breaks > BREAKS_MAX {
            return Err(RegistryError::Protocol {
                url,
                what: format!("and broke off at byte {}: {why}", self.at),
            });
        }
        self.session.plumbing.pause(self.idle_attempts, None).await;
        Ok(())
    }

    fn url(&self) -> String {
        self.session.url(&format!("blobs/{}", self.digest))
    }

    /// Goes on over one connection, from where the parts ended.
    fn give_parts_up(&mut self, error: &RegistryError) {
        tracing::debug!(url = self.url(), error = %base::Chain(error), "a layer does not come in parts");
        self.ahead = None;
    }

    /// Asks for the first part; where all comes instead, it is read as it comes.
    async fn open_in_parts(&mut self) -> Result<()> {
        let begin = self.at;
        let end = begin.saturating_add(self.session.plumbing.parts().bytes).min(self.bytes);
        let ask = range(&self.url(), begin, end);
        let response = self.session.send(&ask).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(&response) == Some(begin) => {
                let url = self.url();
                let mut ahead = Ahead::new(self.session, url, begin, self.bytes, self.layers);
                ahead.ask(end, Some(response));
                self.ahead = Some(ahead);
                Ok(())
            }
            StatusCode::OK => {
                self.body = self.skip(response.into_body()).await?;
                Ok(())
            }
            // Whatever it is, asking for all of it says the same, or does better.
            _ => Ok(()),
        }
    }

    /// Asks for what is not here yet; `None` where it broke off before that began.
    async fn open(&mut self) -> Result<Option<Incoming>> {
        let mut ask = Ask::new(Method::GET, self.url());
        if self.at > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.at));
            ask.headers.extend(range.ok().map(|range| (RANGE, range)));
        }
        let response = self.session.send(&ask).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if self.at > 0 => {
                if begins_at(&response) != Some(self.at) {
                    let url = without_query(&ask.url).to_owned();
                    let what = format!("with another part than asked for, from byte {}", self.at);
                    return Err(RegistryError::Protocol { url, what });
                }
                Ok(Some(response.into_body()))
            }
            // It knows no ranges: what was read already comes once more, and is thrown away.
            StatusCode::OK => self.skip(response.into_body()).await,
            _ => Err(refused(response, &ask.url, self.session.plumbing.patience()).await),
        }
    }

    /// Throws away the bytes that were read before; `None` where it breaks off again.
    async fn skip(&mut self, mut body: Incoming) -> Result<Option<Incoming>> {
        let mut left = self.at;
        while left > 0 {
            let frame = tokio::time::timeout(self.session.plumbing.patience().idle, body.frame()).await;
            let Ok(Some(Ok(frame))) = frame else { return Ok(None) };
            let Ok(mut data) = frame.into_data() else { continue };
            let length = left.min(data.len() as u64);
            data.advance(length as usize);
            left -= length;
            if !data.is_empty() {
                self.piece = data;
            }
        }
        Ok(Some(body))
    }
}

impl<Step, L: Listener<Step> + ?Sized> Drop for Download<'_, Step, L> {
    fn drop(&mut self) {
        self.layers.fetch_sub(1, Ordering::Relaxed);
    }
}
