//! Datagrams: a socket for each published port, and for each client that comes to it a socket towards the container, by which
//! the answers find back.
//!
//! What comes over IPv4 is translated by the kernel before it gets here, unless it belongs to a connection from before the port was
//! published; that is served too. The sockets also hold their ports against other programs, so a port that is no longer
//! published is let go before [`Sockets::follow`] returns.
//!
//! No datagram waits here: each is passed on at once or lost, and no buffer outlives it. A client is told from others by its address
//! and by the host's address that it came to, from which it must be answered.

use super::held::held;
use super::is_without_ipv6;
use model::{Protocol, PublishedPort};
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketType, send};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;
use sys::socket::{DatagramPath, receive_datagram, send_datagram, tell_local_addresses};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::{JoinHandle, JoinSet};

/// Clients of one port at once; a further one is not served until one of them is idle.
const CLIENTS_MAX: usize = 1024;
/// How long a client's way back is kept without an answer.
const IDLE: Duration = Duration::from_secs(90);
/// Bytes of a datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Datagrams of one socket in a row, before others have their turn.
const BURST_DATAGRAMS: usize = 64;

/// The ports that are served.
#[derive(Default)]
pub(super) struct Sockets {
    served: Vec<(PublishedPort, JoinHandle<()>)>,
}

impl Sockets {
    /// Serves exactly these ports. One that cannot be bound is tried again with the next change.
    pub(super) async fn follow(&mut self, ports: &[PublishedPort]) {
        for (port, task) in std::mem::take(&mut self.served) {
            if ports.contains(&port) && !task.is_finished() {
                self.served.push((port, task));
            } else {
                task.abort();
                // Its sockets are closed when it has ended, and not before.
                let _ = task.await;
            }
        }
        for port in ports.iter().filter(|port| port.protocol == Protocol::Udp) {
            if self.served.iter().any(|(served, _)| served == port) {
                continue;
            }
            let Some(target) = super::inside(port) else { continue };
            if let Ok(outside) = open(port) {
                self.served.push((port.clone(), tokio::spawn(serve(outside, target))));
            }
        }
    }
}

fn open(port: &PublishedPort) -> io::Result<UdpSocket> {
    let bound = |host: IpAddr, both| held(SocketType::DGRAM, SocketAddr::new(host, port.host_port), both);
    let socket = match port.host {
        Some(host) => bound(host, false),
        None => match bound(Ipv6Addr::UNSPECIFIED.into(), true) {
            Err(errno) if is_without_ipv6(errno) => bound(Ipv4Addr::UNSPECIFIED.into(), false),
            other => other,
        },
    };
    let socket = std::net::UdpSocket::from(socket?);
    if socket.local_addr()?.is_ipv6() {
        tell_local_addresses(&socket)?;
    }
    UdpSocket::from_std(socket)
}

/// The clients of a port, each with its socket towards the container.
type Clients = HashMap<DatagramPath, Arc<UdpSocket>>;

async fn serve(outside: UdpSocket, target: SocketAddr) {
    // Held here alone, so that the port is free when this task has ended.
    let outside = Arc::new(outside);
    let mut clients = Clients::new();
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            ready = outside.readable() => {
                if ready.is_err() {
                    return;
                }
                for (client, inside) in take_in(&outside, &mut clients, target) {
                    answering.spawn(answer(inside, Arc::downgrade(&outside), client));
                }
            }
            Some(ended) = answering.join_next() => match ended {
                Ok(client) => drop(clients.remove(&client)),
                Err(_) => return,
            },
        }
    }
}

/// Passes on what has come; returns the clients that are new.
fn take_in(
    outside: &UdpSocket,
    clients: &mut Clients,
    target: SocketAddr,
) -> Vec<(DatagramPath, Arc<UdpSocket>)> {
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    let mut new = Vec::new();
    for _ in 0..BURST_DATAGRAMS {
        let received = outside.try_io(Interest::READABLE, || Ok(receive_datagram(outside, &mut datagram)?));
        let (length, client) = match received {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => continue,
        };
        let inside = match clients.get(&client) {
            Some(inside) => inside,
            None if clients.len() >= CLIENTS_MAX => continue,
            None => {
                let Ok(inside) = connect(target).map(Arc::new) else { continue };
                new.push((client, Arc::clone(&inside)));
                clients.entry(client).or_insert(inside)
            }
        };
        // A datagram may get lost; that is its nature. The kernel is asked directly, as the runtime does not know of a new
        // socket yet that it can be written to.
        let _ = match send(inside, &datagram[..length], SendFlags::DONTWAIT) {
            // What an earlier datagram met stands in the way of this one once.
            Err(Errno::CONNREFUSED) => send(inside, &datagram[..length], SendFlags::DONTWAIT),
            other => other,
        };
    }
    new
}

fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Carries answers back until there have been none for a while.
async fn answer(inside: Arc<UdpSocket>, outside: Weak<UdpSocket>, client: DatagramPath) -> DatagramPath {
    while let Ok(Ok(())) = tokio::time::timeout(IDLE, inside.readable()).await {
        let Some(outside) = outside.upgrade() else { break };
        give_back(&inside, &outside, client);
    }
    client
}

fn give_back(inside: &UdpSocket, outside: &UdpSocket, client: DatagramPath) {
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    for _ in 0..BURST_DATAGRAMS {
        match inside.try_recv(&mut datagram) {
            Ok(length) => drop(send_datagram(outside, &datagram[..length], &client)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // A refusal means that nobody listens inside yet.
            Err(_) => {}
        }
    }
}
