//! Forgets where the kernel's connection tracking sends datagrams of clients that were there before.
//!
//! A translation is decided with the first packet of a connection and kept while packets come. Datagrams know no end, so a client
//! that goes on sending would be led to the address of a container that has ended, whoever has that address by then; and
//! one that sent to a port before it was published would never reach it. Connections of TCP need none of this: the new owner
//! of the address resets them, and nobody accepted them before.

use crate::Error;
use crate::netlink::{ACK, DUMP, Message, Socket, attributes};
use model::{Protocol, PublishedPort};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

// Of linux/netfilter/nfnetlink_conntrack.h.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IPV4_SOURCE: u16 = 1;
const IPV4_DESTINATION: u16 = 2;
const IPV6_SOURCE: u16 = 3;
const IPV6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE_PORT: u16 = 2;
const PROTOCOL_DESTINATION_PORT: u16 = 3;

/// `struct nfgenmsg`, of IPv4 and of IPv6.
const HEADERS: [[u8; 4]; 2] = [[2, 0, 0, 0], [10, 0, 0, 0]];
const UDP: u8 = 17;
/// Connections that one request forgets: each may be answered with a refusal.
const REQUEST_CONNECTIONS_MAX: usize = 64;

/// A direction of a connection of datagrams.
struct Direction {
    source: SocketAddr,
    destination: SocketAddr,
}

/// Reads one; none if it is of another protocol.
fn direction(tuple: &[u8]) -> Option<Direction> {
    let find = |list: &[u8], kind: u16| {
        attributes(list).into_iter().find(|(found, _)| *found == kind).map(|(_, value)| value.to_vec())
    };
    let protocol = find(tuple, TUPLE_PROTOCOL)?;
    if *find(&protocol, PROTOCOL_NUMBER)?.first()? != UDP {
        return None;
    }
    let addresses = find(tuple, TUPLE_ADDRESSES)?;
    let address = |ipv4: u16, ipv6: u16| -> Option<IpAddr> {
        match find(&addresses, ipv4) {
            Some(octets) => Some(Ipv4Addr::from(*octets.first_chunk::<4>()?).into()),
            None => Some(Ipv6Addr::from(*find(&addresses, ipv6)?.first_chunk::<16>()?).into()),
        }
    };
    let port = |kind: u16| Some(u16::from_be_bytes(*find(&protocol, kind)?.first_chunk()?));
    Some(Direction {
        source: SocketAddr::new(address(IPV4_SOURCE, IPV6_SOURCE)?, port(PROTOCOL_SOURCE_PORT)?),
        destination: SocketAddr::new(
            address(IPV4_DESTINATION, IPV6_DESTINATION)?,
            port(PROTOCOL_DESTINATION_PORT)?,
        ),
    })
}

/// Forgets the datagram connections that lead to these ports inside.
pub(crate) fn forget(ports: &[PublishedPort]) -> Result<(), Error> {
    forget_those(ports, |port, _, reply| {
        let inside = [port.ipv4.map(IpAddr::V4), port.ipv6.map(IpAddr::V6)];
        reply.source.port() == port.port && inside.contains(&Some(reply.source.ip()))
    })
}

/// Forgets the datagram connections to these ports of the host that lead to the host itself.
pub(crate) fn forget_earlier(ports: &[PublishedPort]) -> Result<(), Error> {
    forget_those(ports, |port, original, reply| {
        original.destination.port() == port.host_port
            && port.host.is_none_or(|host| host == original.destination.ip())
            && reply.source == original.destination
    })
}

/// Forgets those of which one of the ports says so, after a look at where they go and whence they are answered.
fn forget_those(
    ports: &[PublishedPort],
    is_meant: impl Fn(&PublishedPort, &Direction, &Direction) -> bool,
) -> Result<(), Error> {
    let ports: Vec<&PublishedPort> = ports.iter().filter(|port| port.protocol == Protocol::Udp).collect();
    if ports.is_empty() {
        return Ok(());
    }
    let socket = Socket::open_netfilter()?;
    let mut doomed = Vec::new();
    for header in HEADERS {
        let mut all = Message::new(GET, DUMP);
        all.raw(&header);
        let known = match socket.dump(&all, || "list the connections".to_owned()) {
            // A kernel that cannot list connections cannot forget one either; they end by themselves when idle.
            Err(Error::Refused { source: Errno::INVAL | Errno::OPNOTSUPP, .. }) => return Ok(()),
            other => other?,
        };
        for connection in &known {
            let found = connection.attributes(header.len());
            let value = |kind: u16| found.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value);
            let (Some(original), Some(reply)) = (value(ORIGINAL), value(REPLY)) else { continue };
            let (Some(there), Some(back)) = (direction(original), direction(reply)) else { continue };
            if !ports.iter().any(|port| is_meant(port, &there, &back)) {
                continue;
            }
            let mut message = Message::new(DELETE, ACK);
            message.raw(&header).nest(ORIGINAL, |tuple| {
                tuple.raw(original);
            });
            for kind in [ID, ZONE] {
                if let Some(value) = value(kind) {
                    message.attribute(kind, value);
                }
            }
            doomed.push(message);
        }
    }
    let mut outcome = Ok(());
    for some in doomed.chunks(REQUEST_CONNECTIONS_MAX) {
        match socket.request(some, || "forget a connection".to_owned()) {
            // It ended by itself meanwhile.
            Err(Error::Refused { source: Errno::NOENT, .. }) => {}
            other => outcome = outcome.and(other),
        }
    }
    outcome
}
