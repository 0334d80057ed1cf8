//! Where a container's programs ask for names: sockets in its network namespace, and a table that leads port 53 to them.
//!
//! Programs ask 127.0.0.11, port 53, RFC 1035. That port cannot be bound there, as a name server in the container may want it
//! on every address. So the sockets have ports that the kernel chose, and a table inside writes the one number in the place of
//! the other, in both directions, before the connection tracking sees a packet:
//!
//! ```text
//! chain output { type filter hook output priority raw
//!   ip daddr 127.0.0.11 udp dport 53 udp dport set <socket>        the same for tcp
//!   ip saddr 127.0.0.11 udp sport <socket> udp sport set 53
//! }
//! ```
//!
//! Sockets work from wherever they are held, so whoever holds them answers, in or out of the namespace.

use crate::netlink::Socket;
use crate::nft::{Batch, Expression as Do, Hook, Kind};
use crate::{Error, namespace};
use model::Protocol;
use model::view::RESOLVER_ADDRESS;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::net::{SocketAddr, SocketAddrV4};

/// The table's name inside.
const TABLE: &str = "bocage-names";
/// The port of name servers.
const PORT: u16 = 53;
/// `raw`: before the connection tracking.
const PRIORITY: i32 = -300;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// What a container's queries come to.
#[derive(Debug)]
pub struct ResolverSockets {
    /// Queries in datagrams.
    pub datagrams: OwnedFd,
    /// Connections.
    pub listener: OwnedFd,
}

/// Opens the sockets in a network namespace, and leads port 53 to them there, in place of what led it before.
///
/// # Errors
/// The namespace cannot be entered, or the step that the kernel refused.
pub fn resolver_sockets(namespace: impl AsFd) -> Result<ResolverSockets, Error> {
    let failed = |operation| move |source| Error::Resolver { operation, source };
    let file = namespace.as_fd().try_clone_to_owned().map_err(Error::Namespace)?;
    namespace::inside(file, move || {
        let datagrams = bound(SocketType::DGRAM).map_err(failed("bind a socket"))?;
        let listener = bound(SocketType::STREAM).map_err(failed("bind a listener"))?;
        rustix::net::listen(&listener, BACKLOG).map_err(failed("listen"))?;
        let port = |socket: &OwnedFd| -> Result<u16, Error> {
            let name = rustix::net::getsockname(socket).and_then(SocketAddr::try_from);
            Ok(name.map_err(failed("bind a socket"))?.port())
        };
        let rules = [(Protocol::Udp, port(&datagrams)?), (Protocol::Tcp, port(&listener)?)];
        let socket = Socket::open_netfilter()?;
        socket.request(&table(&rules).finish(), || format!("write the nftables table {TABLE}"))?;
        Ok(ResolverSockets { datagrams, listener })
    })
}

fn bound(kind: SocketType) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(RESOLVER_ADDRESS, 0))?;
    Ok(socket)
}

/// The table with its one chain, in place of one that may be there.
fn table(sockets: &[(Protocol, u16)]) -> Batch {
    let mut batch = Batch::new(TABLE);
    // Deleting is refused where there is nothing: it is made first.
    batch.table();
    batch.delete_table();
    batch.table();
    batch.chain("output", Some((Kind::Filter, Hook::Output, PRIORITY)));
    for &(protocol, port) in sockets {
        let to = |from: u16, to: u16, source: bool| {
            let here = model::Subnet::of(RESOLVER_ADDRESS.into(), 32);
            let address = if source { Do::from(here) } else { Do::to(here) };
            vec![
                Do::Ipv4,
                address,
                Do::transport(protocol),
                Do::Port { source, port: from },
                Do::SetPort { source, port: to, protocol },
            ]
        };
        batch.rule("output", &to(PORT, port, false));
        batch.rule("output", &to(port, PORT, true));
    }
    batch
}
