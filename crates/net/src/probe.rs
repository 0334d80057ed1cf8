//! Whether a program of the host holds a port.

use crate::Error;
use model::{Protocol, PublishedPort};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Tries whether a program of the host holds a port.
///
/// # Errors
/// [`Error::PortTaken`] if one does, [`Error::Port`] if the address cannot be bound for another reason.
pub fn probe_port(port: &PublishedPort) -> Result<(), Error> {
    let addresses = match port.host {
        Some(host) => vec![host],
        None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
    };
    for address in addresses {
        probe(port.protocol, SocketAddr::new(address, port.host_port), port.host.is_none())?;
    }
    Ok(())
}

/// Binds and lets go at once.
fn probe(protocol: Protocol, address: SocketAddr, any: bool) -> Result<(), Error> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp | Protocol::Sctp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let number = (protocol == Protocol::Sctp).then_some(net::ipproto::SCTP);
    let bound = (|| {
        let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, number)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        if protocol == Protocol::Tcp {
            // Connections that wait for their last packets do not hold the port; listeners do.
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        net::bind(&socket, &address)?;
        // Only listening finds out every holder that let others bind too.
        if protocol == Protocol::Tcp { net::listen(&socket, 1) } else { Ok(()) }
    })();
    match bound {
        // A host without IPv6 has no port of that family to be held.
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if any && address.is_ipv6() => Ok(()),
        Err(Errno::ADDRINUSE) => Err(Error::PortTaken),
        Err(source) => Err(Error::Port { address, source }),
        Ok(()) => Ok(()),
    }
}
