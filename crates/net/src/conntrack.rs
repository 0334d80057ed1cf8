//! Forgets where the kernel's connection tracking sends datagrams of clients that were there before.
//!
//! A translation is decided with the first packet of a connection and kept while packets come. Datagrams know no end, so a client
//! that goes on sending would be led to the address of a container that has ended, whoever has that address by then.
//! Connections of TCP need none of this: the new owner of the address resets them.

use crate::Error;
use crate::netlink::{ACK, DUMP, Message, Socket, attributes};
use model::{Protocol, PublishedPort};
use rustix::io::Errno;
use std::net::Ipv4Addr;

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
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE_PORT: u16 = 2;

/// `struct nfgenmsg` for IPv4.
const HEADER: [u8; 4] = [2, 0, 0, 0];
const UDP: u8 = 17;
/// Connections that one request forgets: each may be answered with a refusal.
const REQUEST_CONNECTIONS_MAX: usize = 64;

/// Who answers on a connection: protocol, address, port.
fn answerer(reply: &[u8]) -> Option<(u8, Ipv4Addr, u16)> {
    let find = |list: &[u8], kind: u16| {
        attributes(list).into_iter().find(|(found, _)| *found == kind).map(|(_, value)| value.to_vec())
    };
    let protocol = find(reply, TUPLE_PROTOCOL)?;
    let address = find(&find(reply, TUPLE_ADDRESSES)?, IPV4_SOURCE)?;
    let port = find(&protocol, PROTOCOL_SOURCE_PORT)?;
    Some((
        *find(&protocol, PROTOCOL_NUMBER)?.first()?,
        Ipv4Addr::from(*address.first_chunk::<4>()?),
        u16::from_be_bytes(*port.first_chunk()?),
    ))
}

/// Forgets the datagram connections that lead to these ports inside.
pub(crate) fn forget(ports: &[PublishedPort]) -> Result<(), Error> {
    let ports: Vec<&PublishedPort> = ports.iter().filter(|port| port.protocol == Protocol::Udp).collect();
    if ports.is_empty() {
        return Ok(());
    }
    let socket = Socket::open_netfilter()?;
    let mut all = Message::new(GET, DUMP);
    all.raw(&HEADER);
    let known = match socket.dump(&all, || "list the connections".to_owned()) {
        // A kernel that cannot list connections cannot forget one either; they end by themselves when idle.
        Err(Error::Refused { source: Errno::INVAL | Errno::OPNOTSUPP, .. }) => return Ok(()),
        other => other?,
    };
    let mut doomed = Vec::new();
    for connection in &known {
        let found = connection.attributes(HEADER.len());
        let value = |kind: u16| found.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value);
        let leads_here = value(REPLY).and_then(answerer).is_some_and(|(protocol, address, port)| {
            protocol == UDP && ports.iter().any(|wanted| wanted.ipv4 == Some(address) && wanted.port == port)
        });
        let Some(original) = value(ORIGINAL).filter(|_| leads_here) else { continue };
        let mut message = Message::new(DELETE, ACK);
        message.raw(&HEADER).nest(ORIGINAL, |tuple| {
            tuple.raw(original);
        });
        for kind in [ID, ZONE] {
            if let Some(value) = value(kind) {
                message.attribute(kind, value);
            }
        }
        doomed.push(message);
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
