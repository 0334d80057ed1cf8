//! Published ports are held: a bound socket that never listens keeps other programs, and other daemons of this machine, from
//! taking a port whose connections the kernel's translation would take away from them.
//!
//! The edge process does the holding because it outlives the daemon. It holds the first [`HELD_MAX`] ports; those beyond, and
//! one that cannot be held, are served all the same, and only tried once, by the daemon, when they are published.

use model::{Protocol, PublishedPort};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Ports that are held at once, each with a descriptor.
const HELD_MAX: usize = 64;

/// The ports that are held, by protocol, the host's address and port.
#[derive(Default)]
pub(crate) struct Held {
    sockets: BTreeMap<(Protocol, Option<IpAddr>, u16), OwnedFd>,
}

fn place(port: &PublishedPort) -> (Protocol, Option<IpAddr>, u16) {
    (port.protocol, port.host, port.host_port)
}

impl Held {
    /// Lets go of what was published and is no longer, and holds what is.
    pub(crate) fn follow(&mut self, before: &[PublishedPort], now: &[PublishedPort]) {
        for port in before.iter().filter(|port| !now.contains(port)) {
            self.sockets.remove(&place(port));
        }
        for port in now {
            if self.sockets.len() < HELD_MAX
                && !self.sockets.contains_key(&place(port))
                && let Some(kind) = kind(port.protocol)
                && let Ok(socket) = hold(kind, port.host, port.host_port)
            {
                self.sockets.insert(place(port), socket);
            }
        }
    }
}

fn kind(protocol: Protocol) -> Option<SocketType> {
    match protocol {
        Protocol::Tcp => Some(SocketType::STREAM),
        Protocol::Udp => Some(SocketType::DGRAM),
        // The relays take none, and a kernel may not have it.
        Protocol::Sctp => None,
    }
}

fn hold(kind: SocketType, host: Option<IpAddr>, port: u16) -> Result<OwnedFd, Errno> {
    let every = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let socket = match bound(kind, SocketAddr::new(host.unwrap_or(every), port), host.is_none()) {
        Err(errno) if host.is_none() && is_without_ipv6(errno) => {
            bound(kind, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), false)
        }
        other => other,
    }?;
    if kind == SocketType::DGRAM {
        // Nobody reads what a client sends that was there before: it shall not pile up.
        sockopt::set_socket_recv_buffer_size(&socket, 0)?;
    }
    Ok(socket)
}

/// Whether a refusal means that this host has no IPv6.
pub(crate) fn is_without_ipv6(errno: Errno) -> bool {
    matches!(errno, Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
}

/// A bound socket; on the unspecified address of IPv6 for both families, if that is asked for.
pub(crate) fn bound(kind: SocketType, address: SocketAddr, both_families: bool) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !both_families)?;
    }
    match bind(&socket, &address) {
        // Connections of an earlier holder may wait for their last packets. They are no hindrance, but the port shall not
        // be shared afterwards.
        Err(Errno::ADDRINUSE) if kind == SocketType::STREAM => {
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &address)?;
            sockopt::set_socket_reuseaddr(&socket, false)?;
        }
        other => other?,
    }
    Ok(socket)
}
