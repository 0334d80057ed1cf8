//! The node's one nftables table, nft(8), written over netlink.
//!
//! ```text
//! map ports_any  { inet_proto . inet_service : ipv4_addr . inet_service }              a port of every address
//! map ports_at   { ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }  a port of one address
//! set ports6_any { inet_service }   set ports6_at { ipv6_addr . inet_service }         TCP ports that the edge serves
//!
//! chain guard       prerouting, raw:   what comes from the bridge and wants the host's loopback is dropped
//! chain prerouting  nat:               to this host: translate by map, or redirect to the edge
//! chain output      nat:               the same for the host's own connections
//! chain postrouting nat:               what leaves the bridge gets the host's address
//! chain forward     filter:            into the bridge only what was translated, answers, and neighbours
//! chain edge                           redirect to the edge's port
//! ```
//!
//! The chains are written whole, in one transaction; a container only adds and removes elements.

mod expression;
mod message;

pub(crate) use message::Batch;

use crate::netlink::Socket;
use crate::network::{Ipv4Net, PublishedPort};
use crate::{Error, netlink};
use expression::Expression as Do;
use message::{Hook, Kind};
use model::Protocol;
use std::net::{IpAddr, Ipv4Addr};

/// Types of keys and data as nft(8) numbers them, for its listing alone.
mod types {
    pub(super) const IPV4: u32 = 7;
    pub(super) const IPV6: u32 = 8;
    pub(super) const PROTOCOL: u32 = 12;
    pub(super) const SERVICE: u32 = 13;

    /// Several in a row.
    pub(super) fn concatenated(parts: &[u32]) -> u32 {
        parts.iter().fold(0, |all, part| all << 6 | part)
    }
}

const PORTS_ANY: &str = "ports_any";
const PORTS_AT: &str = "ports_at";
const PORTS6_ANY: &str = "ports6_any";
const PORTS6_AT: &str = "ports6_at";

/// The node's table.
pub(crate) struct Table {
    name: String,
    socket: Socket,
}

impl Table {
    pub(crate) fn new(name: String) -> Result<Table, Error> {
        Ok(Table { name, socket: Socket::open_netfilter()? })
    }

    fn commit(&self, batch: Batch, operation: &str) -> Result<(), Error> {
        self.socket.request(&batch.finish(), || format!("{operation} the nftables table {}", self.name))
    }

    /// Writes the whole table, in place of whatever chains it has; what is in its maps stays.
    pub(crate) fn write(&self, bridge: &str, subnet: Ipv4Net) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        batch.table();
        let port = types::concatenated(&[types::IPV4, types::SERVICE]);
        batch.map(PORTS_ANY, types::concatenated(&[types::PROTOCOL, types::SERVICE]), 8, port, 8);
        batch.map(
            PORTS_AT,
            types::concatenated(&[types::IPV4, types::PROTOCOL, types::SERVICE]),
            12,
            port,
            8,
        );
        batch.set(PORTS6_ANY, types::SERVICE, 2);
        batch.set(PORTS6_AT, types::concatenated(&[types::IPV6, types::SERVICE]), 20);
        batch.chain("edge", None);
        let base = |kind, hook, priority| Some((kind, hook, priority));
        batch.chain("guard", base(Kind::Filter, Hook::Prerouting, -300));
        batch.chain("prerouting", base(Kind::Nat, Hook::Prerouting, -100));
        batch.chain("output", base(Kind::Nat, Hook::Output, -100));
        batch.chain("postrouting", base(Kind::Nat, Hook::Postrouting, 100));
        batch.chain("forward", base(Kind::Filter, Hook::Forward, 0));
        for chain in ["guard", "prerouting", "output", "postrouting", "forward"] {
            batch.flush_chain(chain);
        }
        batch.rule("guard", &[Do::from_link(bridge), Do::Ipv4, Do::to(Ipv4Addr::LOCALHOST, 8), Do::Drop]);
        for chain in ["prerouting", "output"] {
            for rule in published() {
                batch.rule(chain, &rule);
            }
        }
        for rule in leaving(bridge, subnet) {
            batch.rule("postrouting", &rule);
        }
        for rule in entering(bridge) {
            batch.rule("forward", &rule);
        }
        self.commit(batch, "write")
    }

    /// Points the redirection at the edge's port.
    pub(crate) fn redirect(&self, port: u16) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        batch.flush_chain("edge");
        batch.rule("edge", &[Do::Redirect(port)]);
        self.commit(batch, "redirect to the edge in")
    }

    /// Adds ports to the maps.
    pub(crate) fn publish(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        fill(&mut batch, ports);
        self.commit(batch, "publish ports in")
    }

    /// Takes ports out of the maps, one by one: that one is missing is no reason to leave the others.
    pub(crate) fn unpublish(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        let mut outcome = Ok(());
        for port in ports {
            for (set, key, _) in elements(port) {
                let mut batch = Batch::new(&self.name);
                batch.remove(set, &key);
                match self.commit(batch, "take a port out of") {
                    Err(Error::Refused { source: rustix::io::Errno::NOENT, .. }) => {}
                    other => outcome = outcome.and(other),
                }
            }
        }
        outcome
    }

    /// Makes the maps hold exactly these ports, in one step.
    pub(crate) fn replace(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        for set in [PORTS_ANY, PORTS_AT, PORTS6_ANY, PORTS6_AT] {
            batch.empty(set);
        }
        fill(&mut batch, ports);
        self.commit(batch, "replace the ports in")
    }

    /// Removes the table. That it is gone already is no error.
    pub(crate) fn delete(&self) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        batch.delete_table();
        match self.commit(batch, "delete") {
            Err(Error::Refused { source: rustix::io::Errno::NOENT, .. }) => Ok(()),
            other => other,
        }
    }
}

/// Puts something of four bytes into a key, padded as nftables wants it.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// The elements that a published port is: the set, its key, and the data of a map.
fn elements(port: &PublishedPort) -> Vec<(&'static str, Vec<u8>, Option<Vec<u8>>)> {
    let protocol: u8 = match port.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    };
    let service = port.host_port.to_be_bytes();
    let inside = [port.address.octets().to_vec(), padded(&port.port.to_be_bytes())].concat();
    let tcp = port.protocol == Protocol::Tcp;
    let mut elements = Vec::new();
    match port.host {
        None => {
            elements.push((PORTS_ANY, [padded(&[protocol]), padded(&service)].concat(), Some(inside)));
            elements.extend(tcp.then(|| (PORTS6_ANY, service.to_vec(), None)));
        }
        Some(IpAddr::V4(host)) => {
            let key = [host.octets().to_vec(), padded(&[protocol]), padded(&service)].concat();
            elements.push((PORTS_AT, key, Some(inside)));
        }
        // Datagrams over IPv6 go to a socket of the edge's own.
        Some(IpAddr::V6(host)) => {
            let key = [host.octets().to_vec(), padded(&service)].concat();
            elements.extend(tcp.then_some((PORTS6_AT, key, None)));
        }
    }
    elements
}

fn fill(batch: &mut Batch, ports: &[PublishedPort]) {
    for port in ports {
        for (set, key, data) in elements(port) {
            batch.add(set, &key, data.as_deref());
        }
    }
}

/// What becomes of packets to the host itself.
fn published() -> Vec<Vec<Do>> {
    vec![
        vec![
            Do::Ipv4,
            Do::ToThisHost,
            Do::LoadDestination4(0),
            Do::LoadProtocol(1),
            Do::LoadPort(2),
            Do::Lookup { set: PORTS_AT, data: true },
            Do::Translate,
        ],
        vec![
            Do::Ipv4,
            Do::ToThisHost,
            Do::LoadProtocol(0),
            Do::LoadPort(1),
            Do::Lookup { set: PORTS_ANY, data: true },
            Do::Translate,
        ],
        vec![
            Do::Ipv6,
            Do::Tcp,
            Do::ToThisHost,
            Do::LoadDestination6(0),
            Do::LoadPort(4),
            Do::Lookup { set: PORTS6_AT, data: false },
            Do::Jump("edge"),
        ],
        vec![
            Do::Ipv6,
            Do::Tcp,
            Do::ToThisHost,
            Do::LoadPort(0),
            Do::Lookup { set: PORTS6_ANY, data: false },
            Do::Jump("edge"),
        ],
    ]
}

/// What becomes of packets that leave the bridge, or enter it by a way on which the answer would not come back.
fn leaving(bridge: &str, subnet: Ipv4Net) -> Vec<Vec<Do>> {
    let inside = (subnet.address, subnet.prefix);
    vec![
        // To the outside: the host's address.
        vec![Do::Ipv4, Do::from(inside.0, inside.1), Do::not_to_link(bridge), Do::Masquerade],
        // From the host's loopback addresses: a container cannot answer those.
        vec![Do::Ipv4, Do::from(Ipv4Addr::LOCALHOST, 8), Do::to_link(bridge), Do::Masquerade],
        // From one container through a published port to another, or to itself: the answer must come back this way.
        vec![Do::Ipv4, Do::from(inside.0, inside.1), Do::to_link(bridge), Do::WasTranslated, Do::Masquerade],
    ]
}

/// What may enter the bridge.
fn entering(bridge: &str) -> Vec<Vec<Do>> {
    vec![
        vec![Do::to_link(bridge), Do::KnownConnection, Do::Accept],
        vec![Do::to_link(bridge), Do::WasTranslated, Do::Accept],
        vec![Do::to_link(bridge), Do::from_link(bridge), Do::Accept],
        vec![Do::to_link(bridge), Do::Drop],
    ]
}

/// Flags of a message that makes something that may be there.
const MAKE: u16 = netlink::ACK | netlink::CREATE;
