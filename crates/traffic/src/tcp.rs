//! Redirected TCP connections: where each was going is asked of the kernel, looked up in the ports, and connected to.

use crate::ports::{Inside, Shared};
use model::Protocol;
use rustix::net::sockopt::{set_socket_keepalive, set_socket_linger};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Bytes that wait in each direction of a connection.
const BUFFER_BYTES: usize = 16 << 10;
/// How long a container may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after accepting failed, for lack of descriptors above all.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections for ever, so many at once.
pub(crate) async fn serve(listener: TcpListener, ports: Shared, connections: usize) {
    let places = Arc::new(Semaphore::new(connections));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let ports = Arc::clone(&ports);
                tokio::spawn(async move {
                    // A client or container that breaks off ends its own connection and nothing else.
                    let _ = carry(client, &ports).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Where a connection was going before it was redirected.
fn wanted(client: &TcpStream) -> std::io::Result<SocketAddr> {
    Ok(if client.peer_addr()?.ip().to_canonical().is_ipv4() {
        sys::socket::original_destination4(client)?.into()
    } else {
        sys::socket::original_destination(client)?.into()
    })
}

async fn carry(mut client: TcpStream, ports: &Shared) -> std::io::Result<()> {
    // None if somebody came to the listener itself, or to a port that is published no longer.
    let inside = wanted(&client)
        .ok()
        .and_then(|wanted| ports.read().unwrap_or_else(PoisonError::into_inner).find(Protocol::Tcp, wanted));
    let server = match inside {
        Some(inside) => connect(inside).await,
        None => None,
    };
    let Some(mut server) = server else {
        // The client learns by a reset, not by an empty answer, that nobody is there.
        return Ok(set_socket_linger(&client, Some(Duration::ZERO))?);
    };
    for end in [&client, &server] {
        // An end that vanished without a word is found out, and gives back its place.
        set_socket_keepalive(end, true)?;
        end.set_nodelay(true)?;
    }
    copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_BYTES, BUFFER_BYTES).await.map(drop)
}

/// The first that accepts: a server may listen on one family only.
async fn connect(inside: Inside) -> Option<TcpStream> {
    for address in [Some(inside.first), inside.second].into_iter().flatten() {
        if let Ok(Ok(server)) = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            return Some(server);
        }
    }
    None
}
