//! The node's one nftables table, nft(8), written over netlink.
//!
//! ```text
//! map ports_any  { inet_proto . inet_service : ipv4_addr . inet_service }              a port of every address
//! map ports_at   { ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }  a port of one address
//! set ports6_any { inet_service }   set ports6_at { ipv6_addr . inet_service }         TCP ports that the edge serves
//!
//! chain guard       prerouting, raw:   what comes from the bridge and wants, or feigns, the host's loopback is dropped
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

use crate::Error;
use crate::netlink::CREATE;
use crate::netlink::Socket;
use crate::value::Ipv4Net;
use expression::Expression as Do;
use message::{Element, Hook, Kind};
use model::{Protocol, PublishedPort};
use rustix::io::Errno;
use std::collections::BTreeMap;
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
    ///
    /// A table whose maps or chains are of another shape, as another version of this program may have left it, is replaced in
    /// one step; its maps are empty then, until [`Table::replace`].
    pub(crate) fn write(&self, bridge: &str, subnet: Ipv4Net) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        shape(&mut batch, bridge, subnet);
        match self.commit(batch, "write") {
            Err(Error::Refused {
                source: Errno::EXIST | Errno::INVAL | Errno::OPNOTSUPP | Errno::BUSY,
                ..
            }) => {}
            other => return other,
        }
        let mut batch = Batch::new(&self.name);
        batch.table();
        batch.delete_table();
        shape(&mut batch, bridge, subnet);
        self.commit(batch, "write")
    }

    /// Points the redirection at the edge's port.
    pub(crate) fn redirect(&self, port: u16) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        batch.flush_chain("edge");
        batch.rule("edge", &[Do::Tcp, Do::Redirect(port)]);
        self.commit(batch, "redirect to the edge in")
    }

    /// Adds ports to the maps.
    pub(crate) fn publish(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        fill(&mut batch, ports);
        self.commit(batch, "publish ports in")
    }

    /// Takes ports out of the maps: in one step, and where one is missing, one by one, as that is no reason to leave the others.
    pub(crate) fn unpublish(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        let operation = "take ports out of";
        let sets = elements(ports);
        let mut batch = Batch::new(&self.name);
        for (set, elements) in &sets {
            batch.remove(set, elements);
        }
        match self.commit(batch, operation) {
            Err(Error::Refused { source: Errno::NOENT, .. }) => {}
            other => return other,
        }
        let mut outcome = Ok(());
        for (set, elements) in &sets {
            for element in elements {
                let mut batch = Batch::new(&self.name);
                batch.remove(set, std::slice::from_ref(element));
                match self.commit(batch, operation) {
                    Err(Error::Refused { source: Errno::NOENT, .. }) => {}
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
            Err(Error::Refused { source: Errno::NOENT, .. }) => Ok(()),
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

/// The elements that published ports are, set by set.
fn elements(ports: &[PublishedPort]) -> BTreeMap<&'static str, Vec<Element>> {
    let mut sets: BTreeMap<&'static str, Vec<Element>> = BTreeMap::new();
    let mut add = |set, key, data| sets.entry(set).or_default().push(Element { key, data });
    for port in ports {
        let protocol = padded(&[match port.protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }]);
        let service = port.host_port.to_be_bytes();
        let Some(address) = port.ipv4 else { continue };
        let inside = [address.octets().to_vec(), padded(&port.port.to_be_bytes())].concat();
        // Datagrams over IPv6 go to a socket of the edge's own.
        let tcp = port.protocol == Protocol::Tcp;
        match port.host {
            None => {
                add(PORTS_ANY, [protocol, padded(&service)].concat(), Some(inside));
                if tcp {
                    add(PORTS6_ANY, service.to_vec(), None);
                }
            }
            Some(IpAddr::V4(host)) => {
                add(PORTS_AT, [host.octets().to_vec(), protocol, padded(&service)].concat(), Some(inside));
            }
            Some(IpAddr::V6(host)) if tcp => {
                add(PORTS6_AT, [host.octets().to_vec(), padded(&service)].concat(), None);
            }
            Some(IpAddr::V6(_)) => {}
        }
    }
    sets
}

fn fill(batch: &mut Batch, ports: &[PublishedPort]) {
    for (set, elements) in elements(ports) {
        batch.add(set, &elements);
    }
}

/// All of the table: its maps as they are, its chains anew.
fn shape(batch: &mut Batch, bridge: &str, subnet: Ipv4Net) {
    batch.table();
    let port = types::concatenated(&[types::IPV4, types::SERVICE]);
    batch.map(PORTS_ANY, types::concatenated(&[types::PROTOCOL, types::SERVICE]), 8, port, 8);
    batch.map(PORTS_AT, types::concatenated(&[types::IPV4, types::PROTOCOL, types::SERVICE]), 12, port, 8);
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
    let mut rules = |chain, rules: Vec<Vec<Do>>| rules.iter().for_each(|rule| batch.rule(chain, rule));
    rules("guard", guarded(bridge));
    // The host's loopback addresses are no way in: a neighbour on a wire that sends there reaches no port published on them.
    rules("prerouting", vec![vec![Do::Ipv4, Do::to(Ipv4Addr::LOCALHOST, 8), Do::Accept]]);
    rules("prerouting", published());
    rules("output", published());
    rules("postrouting", leaving(bridge, subnet));
    rules("forward", entering(bridge));
}

/// What must not come from the bridge, on which the kernel lets loopback addresses pass (`route_localnet`).
fn guarded(bridge: &str) -> Vec<Vec<Do>> {
    vec![
        vec![Do::from_link(bridge), Do::Ipv4, Do::to(Ipv4Addr::LOCALHOST, 8), Do::Drop],
        vec![Do::from_link(bridge), Do::Ipv4, Do::from(Ipv4Addr::LOCALHOST, 8), Do::Drop],
    ]
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
const MAKE: u16 = CREATE;
