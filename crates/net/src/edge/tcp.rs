//! Redirected TCP connections: where each was going is asked of the kernel, looked up in the view, and connected to.

use super::{ACCEPT_PAUSE, Shared};
use crate::Error;
use model::{Protocol, PublishedPort};
use rustix::net::sockopt::{set_socket_keepalive, set_socket_linger};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Bytes that wait in each direction of a connection.
const BUFFER_BYTES: usize = 16 << 10;
/// How long a container may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One listener on any port of IPv6.
pub(super) fn listen() -> Result<TcpListener, Error> {
    let address = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
    let refused = |error: std::io::Error| Error::Port {
        address,
        source: rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO),
    };
    let socket = TcpSocket::new_v6().map_err(refused)?;
    rustix::net::sockopt::set_ipv6_v6only(&socket, true).map_err(|errno| refused(errno.into()))?;
    socket.bind(address).map_err(refused)?;
    socket.listen(BACKLOG).map_err(refused)
}

/// Serves connections for ever, so many at once.
pub(super) async fn serve(listener: TcpListener, shared: Shared, connections: usize) {
    let places = Arc::new(Semaphore::new(connections));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A client or container that breaks off ends its own connection and nothing else.
                    let _ = carry(client, &shared).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn carry(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let wanted = sys::socket::original_destination(&client)?;
    let target = {
        let ports = shared.read().unwrap_or_else(PoisonError::into_inner);
        target(&ports, wanted)
    };
    // Not a published port: somebody came to the listener itself.
    let Some(target) = target else { return Ok(()) };
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await;
    let Ok(Ok(mut inside)) = connected else {
        // The client learns by a reset, not by an empty answer, that nobody is there.
        return Ok(set_socket_linger(&client, Some(Duration::ZERO))?);
    };
    for end in [&client, &inside] {
        // An end that vanished without a word is found out, and gives back its place.
        set_socket_keepalive(end, true)?;
        end.set_nodelay(true)?;
    }
    copy_bidirectional_with_sizes(&mut client, &mut inside, BUFFER_BYTES, BUFFER_BYTES).await.map(drop)
}

/// Where a connection to this address of the host leads: a port published on that address goes before one on all.
fn target(ports: &[PublishedPort], wanted: SocketAddrV6) -> Option<SocketAddr> {
    let host = IpAddr::V6(*wanted.ip());
    let fitting = |exactly: Option<IpAddr>| {
        ports.iter().find(move |port| {
            port.protocol == Protocol::Tcp && port.host_port == wanted.port() && port.host == exactly
        })
    };
    super::inside(fitting(Some(host)).or_else(|| fitting(None))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_port_of_one_address_goes_before_a_port_of_all() {
        let port = |host: Option<IpAddr>, last: u8| PublishedPort {
            protocol: Protocol::Tcp,
            host,
            host_port: 8080,
            ipv4: Some(Ipv4Addr::new(172, 17, 0, last)),
            ipv6: None,
            port: 80,
        };
        let ports = [port(None, 2), port(Some(IpAddr::V6(Ipv6Addr::LOCALHOST)), 3)];
        let to = |ip: Ipv6Addr, port: u16| {
            target(&ports, SocketAddrV6::new(ip, port, 0, 0)).map(|found| found.to_string())
        };
        assert_eq!(to(Ipv6Addr::LOCALHOST, 8080).as_deref(), Some("172.17.0.3:80"));
        assert_eq!(to("fd00::2".parse().unwrap(), 8080).as_deref(), Some("172.17.0.2:80"));
        assert_eq!(to(Ipv6Addr::LOCALHOST, 81), None);
    }
}
