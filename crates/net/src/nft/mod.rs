//! The node's one nftables table, nft(8), written over netlink.
//!
//! ```text
//! set bridges    { ifname }            our bridges
//! set same       { ifname . ifname }   each bridge and itself
//! set inside4 / 6 { address . ifname } the addresses of each bridge's subnets, with the bridge
//! set neighbours { ifname . ifname }   the same, where containers reach each other
//! set internal   { ifname }            bridges that are cut off
//! set unprotected4 / 6, routed4 / 6    { ifname }   bridges that are reached without translation
//! set masqueraded4 / 6  { ifname }     bridges whose packets leave with the host's address
//! map source4 / 6       { ifname : address }        or with this one
//! set entries4 / 6      { address . inet_proto . inet_service }   published ports of routed bridges
//!
//! map ports4_any { inet_proto . inet_service : ipv4_addr . inet_service }              a port of every address
//! map ports4_at  { ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }  a port of one address
//! map ports6_any, ports6_at                                                            the same of IPv6
//! set edge_any   { inet_proto . inet_service }                                         ports of IPv6 that the edge serves
//! set edge_at    { ipv6_addr . inet_proto . inet_service }
//!
//! chain guard       prerouting, raw:   what comes from a bridge and wants, or feigns, the host's loopback is dropped
//! chain prerouting  nat:               to this host: translate by map, or redirect to the edge
//! chain output      nat:               the same for the host's own connections
//! chain postrouting nat:               what leaves a bridge gets the host's address
//! chain forward     filter:            into a bridge only what was translated, answers, and neighbours
//! chain edge                           redirect to the edge's port
//! ```
//!
//! The chains are written once, in one transaction, and do not grow with what there is: a network adds elements to the sets of
//! links, a container to the maps of ports.

mod elements;
mod explain;
mod expression;
mod message;

pub(crate) use explain::explain;
pub(crate) use message::Batch;

use crate::Error;
use crate::netlink::CREATE;
use crate::netlink::Socket;
use crate::value::Bridge;
use crate::watch::Watch;
use elements::{PORT_SETS, links, ports};
pub(crate) use expression::Expression;
use expression::Expression as Do;
pub(crate) use message::{Hook, Kind};
use model::{Protocol, PublishedPort, Subnet};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Flags of a message that makes something that may be there.
const MAKE: u16 = CREATE;
/// The node's table.
pub(crate) struct Table {
    name: String,
    socket: Socket,
}

impl Table {
    pub(crate) fn new(name: String) -> Result<Table, Error> {
        Ok(Table { name, socket: Socket::open_netfilter()? })
    }

    /// Notices when somebody else takes something out of it.
    pub(crate) fn watch(&self) -> Result<Watch, Error> {
        Watch::new(self.name.clone(), self.socket.number()?)
    }

    /// Whether it has as many rules as were written.
    pub(crate) fn is_whole(&self) -> Result<bool, Error> {
        let mut wanted = Batch::new(&self.name);
        shape(&mut wanted);
        let listed =
            self.socket.dump(&Batch::rules_of(&self.name), || format!("list the rules of {}", self.name));
        match listed {
            Err(Error::Refused { source: Errno::NOENT, .. }) => Ok(false),
            other => Ok(other?.len() >= wanted.rules()),
        }
    }

    fn commit(&self, batch: Batch, operation: &str) -> Result<(), Error> {
        self.socket.request(&batch.finish(), || format!("{operation} the nftables table {}", self.name))
    }

    /// Writes the whole table, in place of whatever chains it has; what is in its sets stays.
    ///
    /// A table whose sets or chains are of another shape, as another version of this program may have left it, is replaced in
    /// one step; its sets are empty then, until [`Table::connect`] and [`Table::replace`].
    pub(crate) fn write(&self) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        shape(&mut batch);
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
        shape(&mut batch);
        self.commit(batch, "write")
    }

    /// Makes the sets of links say what these bridges are, and nothing else, in one step.
    pub(crate) fn connect(&self, bridges: &[&Bridge]) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        for (set, elements) in links(bridges) {
            batch.empty(set);
            batch.add(set, &elements);
        }
        self.commit(batch, "write the bridges into")
    }

    /// Points the redirection at the edge's port, for connections and for datagrams.
    pub(crate) fn redirect(&self, port: u16) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        batch.flush_chain("edge");
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            batch.rule("edge", &[Do::transport(protocol), Do::Redirect(port)]);
        }
        self.commit(batch, "redirect to the edge in")
    }

    /// Adds ports to the maps.
    pub(crate) fn publish(&self, published: &[PublishedPort]) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        fill(&mut batch, published);
        self.commit(batch, "publish ports in")
    }

    /// Takes ports out of the maps: in one step, and where one is missing, one by one, as that is no reason to leave the others.
    pub(crate) fn unpublish(&self, published: &[PublishedPort]) -> Result<(), Error> {
        let operation = "take ports out of";
        let sets = ports(published);
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
    pub(crate) fn replace(&self, published: &[PublishedPort]) -> Result<(), Error> {
        let mut batch = Batch::new(&self.name);
        for set in PORT_SETS {
            batch.empty(set);
        }
        fill(&mut batch, published);
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

fn fill(batch: &mut Batch, published: &[PublishedPort]) {
    for (set, elements) in ports(published) {
        batch.add(set, &elements);
    }
}

/// All of the table: its sets as they are, its chains anew.
fn shape(batch: &mut Batch) {
    batch.table();
    elements::shape(batch);
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
    rules("guard", guarded());
    // The host's loopback addresses are no way in: a neighbour on a wire that sends there reaches no port published on them.
    rules("prerouting", vec![vec![Do::Ipv4, Do::to(loopback4()), Do::Accept]]);
    rules("prerouting", published());
    rules("output", published());
    rules("postrouting", leaving());
    rules("forward", entering());
}

fn loopback4() -> Subnet {
    Subnet::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 8)
}

/// A rule of several parts.
fn rule<const N: usize>(parts: [&[Do]; N]) -> Vec<Do> {
    parts.concat()
}

/// What must not come from a bridge, on which the kernel lets loopback addresses pass (`route_localnet`).
fn guarded() -> Vec<Vec<Do>> {
    let from_bridge = Do::link_in(true, elements::BRIDGES);
    vec![
        rule([&from_bridge, &[Do::Ipv4, Do::to(loopback4()), Do::Drop]]),
        rule([&from_bridge, &[Do::Ipv4, Do::from(loopback4()), Do::Drop]]),
    ]
}

/// What becomes of packets to the host itself.
fn published() -> Vec<Vec<Do>> {
    let at4 = [Do::LoadDestination4(0), Do::LoadProtocol(1), Do::LoadPort(2)];
    let at6 = [Do::LoadDestination6(0), Do::LoadProtocol(4), Do::LoadPort(5)];
    let any = [Do::LoadProtocol(0), Do::LoadPort(1)];
    let in_map = |set| [Do::Lookup { set, data: true }];
    let to_edge = |set| [Do::Lookup { set, data: false }, Do::Jump("edge")];
    // No answer finds back from a container to what exists on one link of the host alone.
    let local = [
        Subnet::of(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        Subnet::of(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    ];
    let mut rules = vec![
        rule([&[Do::Ipv4, Do::ToThisHost], &at4, &in_map(elements::PORTS4_AT), &[Do::Translate4]]),
        rule([&[Do::Ipv4, Do::ToThisHost], &any, &in_map(elements::PORTS4_ANY), &[Do::Translate4]]),
    ];
    for subnet in local {
        let there = [Do::Ipv6, Do::to(subnet), Do::ToThisHost];
        rules.push(rule([&there, &at6, &to_edge(elements::EDGE_AT)]));
        rules.push(rule([&there, &any, &to_edge(elements::EDGE_ANY)]));
    }
    let here = [Do::Ipv6, Do::ToThisHost];
    rules.push(rule([&here, &at6, &in_map(elements::PORTS6_AT), &[Do::Translate6]]));
    rules.push(rule([&here, &any, &in_map(elements::PORTS6_ANY), &[Do::Translate6]]));
    rules.push(rule([&here, &at6, &to_edge(elements::EDGE_AT)]));
    rules.push(rule([&here, &any, &to_edge(elements::EDGE_ANY)]));
    rules
}

/// What becomes of packets that leave a bridge, or enter it by a way on which the answer would not come back.
fn leaving() -> Vec<Vec<Do>> {
    let to_bridge = Do::link_in(false, elements::BRIDGES);
    let mut rules = vec![
        // From the host's loopback addresses: a container cannot answer those.
        rule([&to_bridge, &[Do::Ipv4, Do::from(loopback4()), Do::Masquerade]]),
        // From one container through a published port to a neighbour, or to itself: the answer must come back this way.
        vec![
            Do::Ipv4,
            Do::WasTranslated,
            Do::LoadSource4(0),
            Do::LoadLink { incoming: false, register: 1 },
            Do::Lookup { set: elements::INSIDE4, data: false },
            Do::Masquerade,
        ],
        vec![
            Do::Ipv6,
            Do::WasTranslated,
            Do::LoadSource6(0),
            Do::LoadLink { incoming: false, register: 4 },
            Do::Lookup { set: elements::INSIDE6, data: false },
            Do::Masquerade,
        ],
        // From one of our bridges to another: both know the way.
        rule([&to_bridge, &[Do::Accept]]),
    ];
    let families = [
        (Do::Ipv4, elements::SOURCE4, elements::MASQUERADED4, true),
        (Do::Ipv6, elements::SOURCE6, elements::MASQUERADED6, false),
    ];
    for (family, source, masqueraded, ipv4) in families {
        let from = Do::LoadLink { incoming: true, register: 0 };
        rules.push(vec![
            family.clone(),
            from.clone(),
            Do::Lookup { set: source, data: true },
            Do::TranslateSource { ipv4 },
        ]);
        rules.push(vec![family, from, Do::Lookup { set: masqueraded, data: false }, Do::Masquerade]);
    }
    rules
}

/// What may enter a bridge, or pass from one to another.
fn entering() -> Vec<Vec<Do>> {
    let (from_bridge, to_bridge) =
        (Do::link_in(true, elements::BRIDGES), Do::link_in(false, elements::BRIDGES));
    let mut rules = vec![
        rule([&to_bridge, &[Do::KnownConnection, Do::Accept]]),
        rule([&Do::links_in(elements::NEIGHBOURS), &[Do::Accept]]),
        rule([&Do::links_in(elements::SAME), &[Do::WasTranslated, Do::Accept]]),
        rule([&Do::link_in(true, elements::INTERNAL), &[Do::Drop]]),
        rule([&Do::link_in(false, elements::INTERNAL), &[Do::Drop]]),
        rule([&to_bridge, &[Do::WasTranslated, Do::Accept]]),
    ];
    let families = [
        (
            Do::Ipv4,
            elements::ROUTED4,
            elements::ENTRIES4,
            elements::UNPROTECTED4,
            Do::LoadDestination4(0),
            1,
            1,
        ),
        (
            Do::Ipv6,
            elements::ROUTED6,
            elements::ENTRIES6,
            elements::UNPROTECTED6,
            Do::LoadDestination6(0),
            4,
            58,
        ),
    ];
    for (family, routed, entries, unprotected, destination, next, echo) in families {
        let (only, to_routed) = (std::slice::from_ref(&family), Do::link_in(false, routed));
        rules.push(rule([
            only,
            &to_routed,
            &[destination, Do::LoadProtocol(next), Do::LoadPort(next + 1)],
            &[Do::Lookup { set: entries, data: false }, Do::Accept],
        ]));
        rules.push(rule([only, &to_routed, &[Do::Transport(echo), Do::Accept]]));
        // Isolation comes first: who may come from outside may not come from a neighbouring network.
        rules.push(rule([only, &from_bridge, &to_bridge, &[Do::Drop]]));
        rules.push(rule([only, &Do::link_in(false, unprotected), &[Do::Accept]]));
    }
    rules.push(rule([&to_bridge, &[Do::Drop]]));
    rules
}
