//! Datagrams over IPv6: a socket for each published port, and for each client that comes to it a socket towards the
//! container, by which the answers find back.

use crate::PublishedPort;
use model::Protocol;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Clients of one port at once; a further one is not served until one of them is idle.
const CLIENTS_MAX: usize = 1024;
/// How long a client's way back is kept without an answer.
const IDLE: Duration = Duration::from_secs(90);
/// Bytes of a datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// The ports that are served.
#[derive(Default)]
pub(super) struct Sockets {
    served: Vec<(PublishedPort, JoinHandle<()>)>,
}

impl Sockets {
    /// Serves exactly these ports. One that cannot be bound is tried again with the next change.
    pub(super) fn follow(&mut self, ports: &[PublishedPort]) {
        let wanted = |port: &&PublishedPort| {
            port.protocol == Protocol::Udp && !matches!(port.host, Some(IpAddr::V4(_)))
        };
        self.served.retain(|(port, task)| {
            let kept = ports.contains(port) && !task.is_finished();
            if !kept {
                task.abort();
            }
            kept
        });
        for port in ports.iter().filter(wanted) {
            if self.served.iter().any(|(served, _)| served == port) {
                continue;
            }
            let task = tokio::spawn(serve(port.clone()));
            self.served.push((port.clone(), task));
        }
    }
}

async fn serve(port: PublishedPort) {
    let host = port.host.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let Ok(outside) = bind(SocketAddr::new(host, port.host_port)) else { return };
    let outside = Arc::new(outside);
    let target = SocketAddr::new(IpAddr::V4(port.address), port.port);
    let mut clients: HashMap<SocketAddr, (Arc<UdpSocket>, JoinHandle<()>)> = HashMap::new();
    let mut datagram = vec![0u8; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((length, client)) = outside.recv_from(&mut datagram).await else { continue };
        clients.retain(|_, (_, task)| !task.is_finished());
        if !clients.contains_key(&client) {
            if clients.len() == CLIENTS_MAX {
                continue;
            }
            let Ok(inside) = connect(target).await else { continue };
            let inside = Arc::new(inside);
            let task = tokio::spawn(answer(Arc::clone(&inside), Arc::clone(&outside), client));
            clients.insert(client, (inside, task));
        }
        if let Some((inside, _)) = clients.get(&client) {
            // A datagram may get lost; that is its nature.
            let _ = inside.send(&datagram[..length]).await;
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None)?;
    sockopt::set_ipv6_v6only(&socket, true)?;
    bind(&socket, &address)?;
    UdpSocket::from_std(std::net::UdpSocket::from(socket))
}

async fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// Carries answers back until there have been none for a while.
async fn answer(inside: Arc<UdpSocket>, outside: Arc<UdpSocket>, client: SocketAddr) {
    let mut datagram = vec![0u8; DATAGRAM_BYTES_MAX];
    while let Ok(received) = tokio::time::timeout(IDLE, inside.recv(&mut datagram)).await {
        // A refusal means that nobody listens inside yet.
        let Ok(length) = received else { continue };
        if outside.send_to(&datagram[..length], client).await.is_err() {
            return;
        }
    }
}
