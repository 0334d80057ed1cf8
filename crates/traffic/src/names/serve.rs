//! The sockets of containers and what comes on them.
//!
//! A query about a member is answered where it was read, before the next one is taken: no task is made for it, and no memory but
//! the one buffer of its socket. Only what is passed on waits, in a task of its own; how many may is bounded for each container
//! and for all.

use super::book::{Book, Family, Found};
use super::cache::{Cache, Kept};
use super::message::{MESSAGE_BYTES_MAX, Query, Transport, grow_older, look, read, refuse};
use super::upstream::Upstreams;
use base::Clock;
use domain::base::iana::{Rcode, Rtype};
use model::view::UPSTREAMS_MAX;
use model::{ContainerId, Resolver};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Queries that are passed on at once: of all containers, and of one.
const FORWARDED_MAX: usize = 1024;
const FORWARDED_MAX_OF_ONE: usize = 256;
/// Connections of one container at once.
const STREAMS_MAX: usize = 64;
/// How long a connection may be silent.
const STREAM_IDLE: Duration = Duration::from_secs(8);
/// Bytes of a query in a datagram.
const QUERY_BYTES_MAX: usize = 4096;
/// Queries of one socket in a row, before others have their turn.
const BURST_QUERIES: usize = 32;
/// Bytes of a buffer that is kept between queries.
const KEPT_BYTES_MAX: usize = 4096;

/// What all sockets share.
pub(super) struct Shared {
    clock: Clock,
    book: RwLock<Book>,
    cache: Mutex<Cache>,
    upstreams: Upstreams,
    forwarded: Arc<Semaphore>,
    /// Questions on their way.
    coming: Mutex<Questions>,
    /// Whose turn it is among several addresses.
    turn: AtomicUsize,
}

/// What becomes of a query.
enum Outcome {
    /// Its answer is written.
    Answered,
    /// There is none.
    Silence,
    /// Somebody else is asked.
    Forward(Arc<Resolver>),
}

impl Shared {
    pub(super) fn new(clock: Clock, port: u16) -> Shared {
        Shared {
            clock,
            book: RwLock::default(),
            cache: Mutex::default(),
            upstreams: Upstreams::new(clock, port),
            forwarded: Arc::new(Semaphore::new(FORWARDED_MAX)),
            coming: Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    fn coming(&self) -> MutexGuard<'_, Questions> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self) -> RwLockWriteGuard<'_, Book> {
        self.book.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers what is known here.
    fn answer(&self, asker: ContainerId, bytes: &[u8], out: &mut Vec<u8>, transport: Transport) -> Outcome {
        let query = match read(bytes) {
            Ok(query) => query,
            Err(unfit) if refuse(bytes, unfit, out) => return Outcome::Answered,
            Err(_) => return Outcome::Silence,
        };
        let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
        let Some(resolver) = book.resolver(asker) else {
            query.answer_empty(out, Rcode::REFUSED);
            return Outcome::Answered;
        };
        if self.answer_from(&book, resolver, &query, out, transport) {
            return Outcome::Answered;
        }
        let is_single = query.name().is_some_and(|name| !name.contains('.'));
        if resolver.keeps_single_words && is_single && matches!(query.rtype(), Rtype::A | Rtype::AAAA) {
            query.answer_empty(out, Rcode::NOERROR);
            return Outcome::Answered;
        }
        if !resolver.may_forward || resolver.upstreams.is_empty() {
            query.answer_empty(out, Rcode::SERVFAIL);
            return Outcome::Answered;
        }
        let resolver = Arc::clone(resolver);
        drop(book);
        if self.answer_from_cache(&resolver, &query, out, transport) {
            return Outcome::Answered;
        }
        Outcome::Forward(resolver)
    }

    /// Answers about members; false if the query is not about one.
    fn answer_from(
        &self,
        book: &Book,
        resolver: &Resolver,
        query: &Query<'_>,
        out: &mut Vec<u8>,
        transport: Transport,
    ) -> bool {
        let Some(name) = query.name().filter(|name| !name.is_empty()) else { return false };
        let family = match query.rtype() {
            Rtype::PTR => {
                let found = reversed(name).and_then(|address| book.name_of(resolver, address));
                return found.map(|name| query.answer_name(out, &name)).is_some();
            }
            Rtype::AAAA => Family::Ipv6,
            _ => Family::Ipv4,
        };
        let Some(found) = book.find(resolver, name, family) else { return false };
        match (found, query.rtype()) {
            (Found::Members(places), Rtype::A) => {
                let addresses = self.in_turn(places).filter_map(|place| place.ipv4().map(IpAddr::V4));
                query.answer_addresses(out, addresses, transport);
            }
            (Found::Members(places), Rtype::AAAA) => {
                let addresses = self.in_turn(places).filter_map(|place| place.ipv6().map(IpAddr::V6));
                query.answer_addresses(out, addresses, transport);
            }
            // That there is no server of mail says that the name itself is one, RFC 5321 5.1.
            (Found::Nothing, Rtype::A | Rtype::AAAA) | (_, Rtype::MX) => {
                query.answer_empty(out, Rcode::NOERROR);
            }
            // A name of one word is ours alone; one with dots may be a domain that has more than a member here.
            _ if !name.contains('.') => query.answer_empty(out, Rcode::NOERROR),
            _ => return false,
        }
        true
    }

    /// All of them, beginning with another one each time.
    fn in_turn<'a, T>(&self, all: &'a [T]) -> impl Iterator<Item = &'a T> {
        let turn = if all.len() > 1 { self.turn.fetch_add(1, Ordering::Relaxed) % all.len() } else { 0 };
        all[turn..].iter().chain(&all[..turn])
    }

    fn answer_from_cache(
        &self,
        resolver: &Resolver,
        query: &Query<'_>,
        out: &mut Vec<u8>,
        transport: Transport,
    ) -> bool {
        let Some(key) = key(resolver, query) else { return false };
        let now = self.clock.instant();
        let found = self.cache.lock().unwrap_or_else(PoisonError::into_inner).find(&key, now);
        let Some((kept, age)) = found else { return false };
        out.clear();
        out.extend_from_slice(&kept.bytes);
        grow_older(out, &kept.times, age);
        query.pass_on(out, transport);
        true
    }

    /// Asks the container's servers and writes what they say. Who asks what somebody else is waiting for waits with them: one
    /// question at a time is all that a stranger could answer in a server's place, RFC 5452 5.
    async fn forward(&self, resolver: &Resolver, bytes: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let query = read(bytes).ok()?;
        let answer = match key(resolver, &query) {
            None => self.fetch(resolver, &query, transport).await,
            Some(mut key) => {
                key.push(u8::from(transport == Transport::Stream));
                let coming = Coming::join(self, key);
                coming.answer.get_or_init(|| self.fetch(resolver, &query, transport)).await.clone()
            }
        };
        let mut out = Vec::new();
        match answer {
            Some(answer) => {
                out.extend_from_slice(&answer);
                query.pass_on(&mut out, transport);
            }
            None => query.answer_empty(&mut out, Rcode::SERVFAIL),
        }
        Some(out)
    }

    /// Asks them, and keeps what they say for as long as they allow.
    async fn fetch(&self, resolver: &Resolver, query: &Query<'_>, transport: Transport) -> Option<Answer> {
        let answer = self.upstreams.ask(upstreams(resolver), query.bytes(), transport).await?;
        if let Some((key, told)) = key(resolver, query).zip(look(&answer))
            && let Some(seconds) = told.seconds
        {
            let kept = Kept { bytes: answer.as_slice().into(), times: told.times.into() };
            let now = self.clock.instant();
            self.cache.lock().unwrap_or_else(PoisonError::into_inner).keep(&key, kept, seconds, now);
        }
        Some(answer.into())
    }
}

/// What another server said.
type Answer = Arc<[u8]>;
/// Questions on their way, and what they will be answered.
type Questions = HashMap<Vec<u8>, Arc<OnceCell<Option<Answer>>>>;

/// A question on its way, with all who wait for its answer.
struct Coming<'a> {
    shared: &'a Shared,
    key: Vec<u8>,
    answer: Arc<OnceCell<Option<Answer>>>,
}

impl Coming<'_> {
    fn join(shared: &Shared, key: Vec<u8>) -> Coming<'_> {
        let answer = Arc::clone(shared.coming().entry(key.clone()).or_default());
        Coming { shared, key, answer }
    }
}

impl Drop for Coming<'_> {
    /// Whoever asks from now on asks anew.
    fn drop(&mut self) {
        let mut coming = self.shared.coming();
        if coming.get(&self.key).is_some_and(|other| Arc::ptr_eq(other, &self.answer)) {
            coming.remove(&self.key);
        }
    }
}

fn upstreams(resolver: &Resolver) -> &[IpAddr] {
    &resolver.upstreams[..resolver.upstreams.len().min(UPSTREAMS_MAX)]
}

/// What an answer depends on: the query, and who is asked.
fn key(resolver: &Resolver, query: &Query<'_>) -> Option<Vec<u8>> {
    let mut key = query.key()?;
    for server in upstreams(resolver) {
        match server {
            IpAddr::V4(server) => key.extend_from_slice(&server.octets()),
            IpAddr::V6(server) => key.extend_from_slice(&server.octets()),
        }
    }
    Some(key)
}

/// The address that a name of the reverse tree stands for, RFC 1035 3.5 and RFC 3596 2.5.
fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut parts = digits.split('.');
        for octet in octets.iter_mut().rev() {
            let part = parts.next()?;
            // Written in one way only.
            *octet = part.parse().ok().filter(|octet: &u8| octet.to_string() == part)?;
        }
        return parts.next().is_none().then(|| Ipv4Addr::from(octets).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0_u128;
    let mut parts = digits.rsplit('.');
    for _ in 0..32 {
        let part = parts.next().filter(|part| part.len() == 1)?;
        bits = bits << 4 | u128::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then(|| Ipv6Addr::from(bits).into())
}

/// Places of one container, and of all.
fn places(shared: &Shared, own: &Arc<Semaphore>) -> Option<[OwnedSemaphorePermit; 2]> {
    let own = Arc::clone(own).try_acquire_owned().ok()?;
    let any = Arc::clone(&shared.forwarded).try_acquire_owned().ok()?;
    Some([own, any])
}

/// What is said to a query for which there is no place.
fn refused(bytes: &[u8], out: &mut Vec<u8>) {
    if let Ok(query) = read(bytes) {
        query.answer_empty(out, Rcode::REFUSED);
    }
}

/// Answers datagrams until it is ended.
pub(super) async fn datagrams(shared: Arc<Shared>, asker: ContainerId, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let own = Arc::new(Semaphore::new(FORWARDED_MAX_OF_ONE));
    let mut out = Vec::new();
    // Ended with this one, so that no socket outlives it.
    let mut forwarding = JoinSet::new();
    while socket.readable().await.is_ok() {
        while forwarding.try_join_next().is_some() {}
        let is_more = take_in(&shared, asker, &socket, &own, &mut out, &mut forwarding);
        out.shrink_to(KEPT_BYTES_MAX);
        if is_more {
            // One that floods does not keep the others from being answered.
            tokio::task::yield_now().await;
        }
    }
}

/// Answers what has come; says whether there may be more.
fn take_in(
    shared: &Arc<Shared>,
    asker: ContainerId,
    socket: &Arc<UdpSocket>,
    own: &Arc<Semaphore>,
    out: &mut Vec<u8>,
    forwarding: &mut JoinSet<()>,
) -> bool {
    let mut bytes = [0; QUERY_BYTES_MAX];
    for _ in 0..BURST_QUERIES {
        let (length, peer) = match socket.try_recv_from(&mut bytes) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // What an earlier answer met: its sender had gone.
            Err(_) => continue,
        };
        let bytes = &bytes[..length];
        match shared.answer(asker, bytes, out, Transport::Datagram) {
            Outcome::Silence => continue,
            Outcome::Answered => {}
            Outcome::Forward(resolver) => match places(shared, own) {
                Some(places) => {
                    let (shared, socket) = (Arc::clone(shared), Arc::clone(socket));
                    let forward = forward_datagram(shared, socket, resolver, bytes.to_vec(), peer);
                    forwarding.spawn(async move {
                        forward.await;
                        drop(places);
                    });
                    continue;
                }
                None => refused(bytes, out),
            },
        }
        // An answer may get lost; that is its nature.
        let _ = socket.try_send_to(out, peer);
    }
    true
}

async fn forward_datagram(
    shared: Arc<Shared>,
    socket: Arc<UdpSocket>,
    resolver: Arc<Resolver>,
    bytes: Vec<u8>,
    peer: SocketAddr,
) {
    if let Some(answer) = shared.forward(&resolver, &bytes, Transport::Datagram).await {
        let _ = socket.try_send_to(&answer, peer);
    }
}

/// Answers connections until it is ended, and they with it.
pub(super) async fn streams(shared: Arc<Shared>, asker: ContainerId, listener: TcpListener) {
    let own = Arc::new(Semaphore::new(FORWARDED_MAX_OF_ONE));
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if open.len() < STREAMS_MAX => match accepted {
                Ok((stream, _)) => {
                    let (shared, own) = (Arc::clone(&shared), Arc::clone(&own));
                    // One that breaks off ends its own connection and nothing else.
                    open.spawn(async move { drop(stream_queries(&shared, asker, &own, stream).await) });
                }
                Err(_) => tokio::time::sleep(crate::tcp::ACCEPT_PAUSE).await,
            },
            Some(_) = open.join_next() => {}
        }
    }
}

/// Answers the queries of one connection, one after the other, RFC 7766.
async fn stream_queries(
    shared: &Shared,
    asker: ContainerId,
    own: &Arc<Semaphore>,
    mut stream: TcpStream,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    loop {
        let length = timeout(STREAM_IDLE, stream.read_u16()).await??;
        bytes.resize(usize::from(length), 0);
        timeout(STREAM_IDLE, stream.read_exact(&mut bytes)).await??;
        match shared.answer(asker, &bytes, &mut out, Transport::Stream) {
            // Whoever speaks something else is not listened to.
            Outcome::Silence => return Ok(()),
            Outcome::Answered => {}
            Outcome::Forward(resolver) => match places(shared, own) {
                Some(_places) => match shared.forward(&resolver, &bytes, Transport::Stream).await {
                    Some(answer) => out = answer,
                    None => return Ok(()),
                },
                None => refused(&bytes, &mut out),
            },
        }
        let length = u16::try_from(out.len().min(MESSAGE_BYTES_MAX)).unwrap_or(u16::MAX);
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&out);
        timeout(STREAM_IDLE, stream.write_all(&framed)).await??;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_reverse_tree_are_addresses_or_nothing() {
        let read = |name: &str| reversed(name).map(|address| address.to_string());
        assert_eq!(read("4.3.2.1.in-addr.arpa").as_deref(), Some("1.2.3.4"));
        let ipv6 = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(read(ipv6).as_deref(), Some("fd00::2"));
        for bad in [
            "3.2.1.in-addr.arpa",
            "5.4.3.2.1.in-addr.arpa",
            "04.3.2.1.in-addr.arpa",
            "256.3.2.1.in-addr.arpa",
            "+4.3.2.1.in-addr.arpa",
            "in-addr.arpa",
            "1.ip6.arpa",
            &format!("0.{ipv6}"),
            &ipv6.replacen('2', "+", 1),
            &ipv6.replacen('2', "22", 1),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
