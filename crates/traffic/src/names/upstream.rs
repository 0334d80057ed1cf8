//! Asks name servers elsewhere, from the network of this process: the host's.
//!
//! A query goes out as its sender wrote it, under a number of its own and from a socket of its own, so that a stranger has both
//! the number and the port to guess. Servers are asked in their order; one that does not answer at once is not waited for alone:
//! the next is asked beside it, and the first good answer counts. One that was silent is asked last for a while.

use super::message::{Query, Transport, look, read};
use base::Clock;
use domain::base::iana::Rcode;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long all of it may take: what asks gives up then, resolv.conf(5).
const TOTAL_TIMEOUT: Duration = Duration::from_millis(4800);
/// How long a server is waited for before the next is asked too.
const STEP: Duration = Duration::from_millis(800);
/// How often each server is asked, as a datagram may get lost.
const ROUNDS: usize = 2;
/// How long one that was silent is asked last.
const SILENT: Duration = Duration::from_secs(30);
/// Servers that are remembered as silent.
const SILENT_MAX: usize = 256;
/// Bytes of a datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// The servers, and which of them were silent.
pub(super) struct Upstreams {
    clock: Clock,
    port: u16,
    silent: Mutex<HashMap<IpAddr, Instant>>,
}

/// What came of asking one server.
enum Said {
    /// An answer that counts.
    Answer(Vec<u8>),
    /// One that says it cannot help: another may.
    Failure(Vec<u8>),
    /// Nothing.
    Nothing,
}

impl Upstreams {
    pub(super) fn new(clock: Clock, port: u16) -> Upstreams {
        Upstreams { clock, port, silent: Mutex::default() }
    }

    fn silent(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Servers in the order in which they are asked: those that were silent last.
    fn order(&self, servers: &[IpAddr]) -> Vec<IpAddr> {
        let now = self.clock.instant();
        let mut silent = self.silent();
        silent.retain(|_, until| *until > now);
        let mut order = servers.to_vec();
        order.sort_by_key(|server| silent.contains_key(server));
        order
    }

    fn note_silent(&self, server: IpAddr) {
        let until = self.clock.instant() + SILENT;
        let mut silent = self.silent();
        if silent.len() < SILENT_MAX {
            silent.insert(server, until);
        }
    }

    /// The answer of the first server that has one; where all fail, the words of one that failed.
    pub(super) async fn ask(
        &self,
        servers: &[IpAddr],
        query: &[u8],
        transport: Transport,
    ) -> Option<Vec<u8>> {
        let order = self.order(servers);
        let asked = self.ask_in_order(&order, query, transport);
        let mut failure = None;
        match timeout(TOTAL_TIMEOUT, asked_into(asked, &mut failure)).await {
            Ok(answer) => answer.or(failure),
            Err(_) => failure,
        }
    }

    fn ask_in_order<'a>(&'a self, order: &'a [IpAddr], query: &'a [u8], transport: Transport) -> Asking<'a> {
        Asking { upstreams: self, order, query, transport }
    }
}

/// One query on its way.
struct Asking<'a> {
    upstreams: &'a Upstreams,
    order: &'a [IpAddr],
    query: &'a [u8],
    transport: Transport,
}

async fn asked_into(asking: Asking<'_>, failure: &mut Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut coming = JoinSet::new();
    let attempts = asking.order.len() * ROUNDS;
    let mut failed = vec![false; asking.order.len()];
    for attempt in 0..attempts {
        let place = attempt % asking.order.len();
        if failed[place] {
            continue;
        }
        let server = SocketAddr::new(asking.order[place], asking.upstreams.port);
        let (query, transport) = (asking.query.to_vec(), asking.transport);
        coming.spawn(async move { (server.ip(), exchange(server, &query, transport).await) });
        let wait = if attempt + 1 == attempts { TOTAL_TIMEOUT } else { STEP };
        match timeout(wait, next(&mut coming, failure, &mut failed, asking.order)).await {
            Ok(Some(answer)) => {
                asking.upstreams.silent().remove(&answer.0);
                return Some(answer.1);
            }
            // All that were asked have failed: the next at once.
            Ok(None) => {}
            Err(_) => asking.upstreams.note_silent(server.ip()),
        }
    }
    None
}

/// The next answer that counts; none if all that were asked have failed.
async fn next(
    coming: &mut JoinSet<(IpAddr, Said)>,
    failure: &mut Option<Vec<u8>>,
    failed: &mut [bool],
    order: &[IpAddr],
) -> Option<(IpAddr, Vec<u8>)> {
    while let Some(joined) = coming.join_next().await {
        let Ok((server, said)) = joined else { continue };
        if let Said::Answer(answer) = said {
            return Some((server, answer));
        }
        if let Some(place) = order.iter().position(|other| *other == server) {
            failed[place] = true;
        }
        if let Said::Failure(words) = said {
            *failure = Some(words);
        }
    }
    None
}

/// Asks one server; over a stream if its answer was cut and the sender came by one.
async fn exchange(server: SocketAddr, query: &[u8], transport: Transport) -> Said {
    let Ok(mut answer) = ask_by_datagram(server, query).await else { return Said::Nothing };
    if transport == Transport::Stream && look(&answer).is_some_and(|told| told.is_truncated) {
        match ask_by_stream(server, query).await {
            Ok(whole) => answer = whole,
            Err(_) => return Said::Nothing,
        }
    }
    match look(&answer) {
        Some(told) if matches!(told.rcode, Rcode::SERVFAIL | Rcode::REFUSED) => Said::Failure(answer),
        Some(_) => Said::Answer(answer),
        // Cut in the middle of a record, as some servers do it: its sender shall come again by a stream.
        None if transport == Transport::Datagram && answer[2] & 2 != 0 => Said::Answer(answer),
        None => Said::Nothing,
    }
}

/// The query under a new number.
fn numbered(query: &[u8]) -> ([u8; 2], Vec<u8>) {
    let id = base::random::bytes::<2>();
    let mut bytes = query.to_vec();
    bytes[..2].copy_from_slice(&id);
    (id, bytes)
}

fn malformed() -> io::Error {
    io::Error::other("this is no query")
}

fn is_answer(query: &Query<'_>, answer: &[u8], id: [u8; 2]) -> bool {
    query.is_answered_by(answer, id)
}

async fn ask_by_datagram(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let (id, bytes) = numbered(query);
    let query = read(&bytes).map_err(|_| malformed())?;
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // The kernel draws the port.
    let socket = UdpSocket::bind((any, 0)).await?;
    // Only what comes from there is taken.
    socket.connect(server).await?;
    socket.send(&bytes).await?;
    loop {
        socket.readable().await?;
        match receive(&socket) {
            Ok(answer) if is_answer(&query, &answer, id) => return Ok(answer),
            // One that floods does not keep the others from being answered.
            Ok(_) => tokio::task::yield_now().await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes a datagram; no room for the longest is held while it is waited for.
fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut bytes = [0; DATAGRAM_BYTES_MAX];
    let length = socket.try_recv(&mut bytes)?;
    Ok(bytes[..length].to_vec())
}

async fn ask_by_stream(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let (id, bytes) = numbered(query);
    let query = read(&bytes).map_err(|_| malformed())?;
    let mut stream = TcpStream::connect(server).await?;
    let mut framed = u16::try_from(bytes.len()).map_err(io::Error::other)?.to_be_bytes().to_vec();
    framed.extend_from_slice(&bytes);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    if is_answer(&query, &answer, id) {
        Ok(answer)
    } else {
        Err(io::Error::other("another question's answer"))
    }
}
