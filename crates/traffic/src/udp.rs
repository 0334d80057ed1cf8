//! Redirected datagrams: one socket for all ports, and for each client that comes a socket towards the container, by which the
//! answers find back.
//!
//! Where a new client was going is asked of the kernel's connection tracking, which also gives the answers their right
//! address and port as they leave. A client that was silent for a while is looked up anew, as its port may mean another
//! connection by then; and each is when the published ports have changed.
//!
//! No datagram waits here: each is passed on at once or lost, and no buffer outlives it.

use crate::ports::Shared;
use crate::tracking::Tracking;
use base::Clock;
use model::Protocol;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};
use sys::socket::{DatagramPath, receive_datagram, send_datagram};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};

/// Clients of one port of a container at once; a further one is not served until one of them is idle.
const PORT_CLIENTS_MAX: usize = 1024;
/// How long a client's way back is kept without an answer.
const IDLE: Duration = Duration::from_secs(90);
/// How long a client may be silent and still mean the same: less than the kernel keeps a connection that was never answered,
/// nf_conntrack_udp_timeout.
const SILENCE: Duration = Duration::from_secs(20);
/// Bytes of a datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Datagrams of one socket in a row, before others have their turn.
const BURST_DATAGRAMS: usize = 64;

struct Client {
    /// Where it wanted to go.
    wanted: SocketAddr,
    /// Where it is led.
    target: SocketAddr,
    inside: Arc<UdpSocket>,
    answering: AbortHandle,
    /// When it last sent something.
    seen: Instant,
    /// Of the ports, when its target was looked up.
    generation: u64,
}

/// The datagrams of all ports.
pub(crate) struct Relay {
    outside: Arc<UdpSocket>,
    /// Where datagrams come to, the address being any of the host's.
    local: SocketAddr,
    ports: Shared,
    clock: Clock,
    tracking: Tracking,
    clients: HashMap<DatagramPath, Client>,
    /// Clients by target.
    counts: HashMap<SocketAddr, usize>,
    clients_max: usize,
    answering: JoinSet<(DatagramPath, SocketAddr)>,
}

impl Relay {
    /// A relay on a socket that tells to which address of the host a datagram came.
    pub(crate) fn new(
        outside: UdpSocket,
        ports: Shared,
        clock: Clock,
        clients_max: usize,
    ) -> io::Result<Relay> {
        Ok(Relay {
            local: outside.local_addr()?,
            // Held here alone, so that it is closed when the relay ends.
            outside: Arc::new(outside),
            ports,
            clock,
            tracking: Tracking::open()?,
            clients: HashMap::new(),
            counts: HashMap::new(),
            clients_max,
            answering: JoinSet::new(),
        })
    }

    /// Serves for ever.
    pub(crate) async fn serve(mut self) {
        loop {
            tokio::select! {
                ready = self.outside.readable() => {
                    if ready.is_err() {
                        return;
                    }
                    if self.take_in() {
                        // One that floods does not keep the others from being served.
                        tokio::task::yield_now().await;
                    }
                }
                Some(ended) = self.answering.join_next() => {
                    // One that was told to end is forgotten already.
                    if let Ok((path, target)) = ended
                        && self.clients.get(&path).is_some_and(|client| client.target == target)
                    {
                        self.forget(&path);
                    }
                }
            }
        }
    }

    /// Passes on what has come; says whether there may be more.
    fn take_in(&mut self) -> bool {
        let outside = Arc::clone(&self.outside);
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        for _ in 0..BURST_DATAGRAMS {
            let received =
                outside.try_io(Interest::READABLE, || Ok(receive_datagram(&outside, &mut datagram)?));
            let (length, path) = match received {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => continue,
            };
            let Some(inside) = self.inside(path) else { continue };
            // A datagram may get lost; that is its nature. The kernel is asked directly, as the runtime does not know of a new
            // socket yet that it can be written to.
            let _ = match send(&inside, &datagram[..length], SendFlags::DONTWAIT) {
                // What an earlier datagram met stands in the way of this one once.
                Err(Errno::CONNREFUSED) => send(&inside, &datagram[..length], SendFlags::DONTWAIT),
                other => other,
            };
        }
        true
    }

    /// The socket towards the container that a client is led to.
    fn inside(&mut self, path: DatagramPath) -> Option<Arc<UdpSocket>> {
        let now = self.clock.instant();
        let generation = self.ports.read().unwrap_or_else(PoisonError::into_inner).generation();
        let known = self.clients.get(&path);
        let is_silent = known.is_some_and(|client| now.duration_since(client.seen) > SILENCE);
        if let Some(client) = known
            && !is_silent
            && client.generation == generation
        {
            let inside = Arc::clone(&client.inside);
            self.clients.entry(path).and_modify(|client| client.seen = now);
            return Some(inside);
        }
        let wanted = match known {
            Some(client) if !is_silent => Some(client.wanted),
            _ => self.wanted(path),
        };
        let target = wanted.and_then(|wanted| {
            let ports = self.ports.read().unwrap_or_else(PoisonError::into_inner);
            Some((wanted, ports.find(Protocol::Udp, wanted)?.first))
        });
        // Not a published port: somebody came to the socket itself, or it is no longer.
        let Some((wanted, target)) = target else {
            self.forget(&path);
            return None;
        };
        if let Some(client) = self.clients.get_mut(&path)
            && client.target == target
        {
            (client.wanted, client.seen, client.generation) = (wanted, now, generation);
            return Some(Arc::clone(&client.inside));
        }
        self.forget(&path);
        self.remember(path, wanted, target, now, generation)
    }

    fn wanted(&mut self, path: DatagramPath) -> Option<SocketAddr> {
        let local = match path.local {
            Some(local) => IpAddr::V6(local),
            None => self.local.ip(),
        };
        self.tracking.destination(SocketAddr::new(local, self.local.port()), path.peer)
    }

    fn remember(
        &mut self,
        path: DatagramPath,
        wanted: SocketAddr,
        target: SocketAddr,
        seen: Instant,
        generation: u64,
    ) -> Option<Arc<UdpSocket>> {
        let count = self.counts.get(&target).copied().unwrap_or_default();
        if self.clients.len() >= self.clients_max || count >= PORT_CLIENTS_MAX {
            return None;
        }
        let inside = connect(target).map(Arc::new).ok()?;
        let outside = Arc::downgrade(&self.outside);
        let answer = answer(Arc::clone(&inside), outside, path, target);
        let answering = self.answering.spawn(answer);
        self.counts.insert(target, count + 1);
        let kept = Arc::clone(&inside);
        self.clients.insert(path, Client { wanted, target, inside: kept, answering, seen, generation });
        Some(inside)
    }

    fn forget(&mut self, path: &DatagramPath) {
        let Some(client) = self.clients.remove(path) else { return };
        client.answering.abort();
        if let Some(count) = self.counts.get_mut(&client.target) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&client.target);
            }
        }
    }
}

fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Carries answers back until there have been none for a while.
async fn answer(
    inside: Arc<UdpSocket>,
    outside: Weak<UdpSocket>,
    client: DatagramPath,
    target: SocketAddr,
) -> (DatagramPath, SocketAddr) {
    while let Ok(Ok(())) = tokio::time::timeout(IDLE, inside.readable()).await {
        let Some(outside) = outside.upgrade() else { break };
        if give_back(&inside, &outside, client) {
            tokio::task::yield_now().await;
        }
    }
    (client, target)
}

/// Passes on answers; says whether there may be more.
fn give_back(inside: &UdpSocket, outside: &UdpSocket, client: DatagramPath) -> bool {
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    for _ in 0..BURST_DATAGRAMS {
        match inside.try_recv(&mut datagram) {
            Ok(length) => drop(send_datagram(outside, &datagram[..length], &client)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // A refusal means that nobody listens inside yet.
            Err(_) => {}
        }
    }
    true
}
