//! Published TCP ports are held: a bound socket that never listens keeps other programs, and other daemons of this machine, from
//! taking a port whose connections the kernel's translation would take away from them.
//!
//! The edge process does the holding because it outlives the daemon. A port that cannot be held is tried again with the
//! next change; it is served all the same.

use super::is_without_ipv6;
use model::{Protocol, PublishedPort};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The ports that are held, by the host's address and port.
#[derive(Default)]
pub(super) struct Held {
    sockets: BTreeMap<(Option<IpAddr>, u16), OwnedFd>,
}

impl Held {
    /// Holds exactly these ports.
    pub(super) fn follow(&mut self, ports: &[PublishedPort]) {
        let tcp = ports.iter().filter(|port| port.protocol == Protocol::Tcp);
        let wanted: BTreeSet<_> = tcp.map(|port| (port.host, port.host_port)).collect();
        self.sockets.retain(|place, _| wanted.contains(place));
        for place in wanted {
            if !self.sockets.contains_key(&place)
                && let Ok(socket) = hold(place.0, place.1)
            {
                self.sockets.insert(place, socket);
            }
        }
    }
}

fn hold(host: Option<IpAddr>, port: u16) -> Result<OwnedFd, Errno> {
    let every = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    match held(SocketType::STREAM, SocketAddr::new(host.unwrap_or(every), port), host.is_none()) {
        Err(errno) if host.is_none() && is_without_ipv6(errno) => {
            held(SocketType::STREAM, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), false)
        }
        other => other,
    }
}

/// A bound socket; on the unspecified address of IPv6 for both families, if that is asked for.
pub(super) fn held(kind: SocketType, address: SocketAddr, both_families: bool) -> Result<OwnedFd, Errno> {
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
