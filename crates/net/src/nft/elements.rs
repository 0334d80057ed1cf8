//! The sets and maps of the table, and what bridges and ports are in them.

use super::expression::protocol_number;
use super::message::{Batch, Element, Shape};
use crate::value::Bridge;
use model::network::{GatewayMode, Leaving};
use model::{Protocol, PublishedPort};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Types of keys and data as nft(8) numbers them, for its listing alone.
mod types {
    pub(super) const IPV4: u32 = 7;
    pub(super) const IPV6: u32 = 8;
    pub(super) const PROTOCOL: u32 = 12;
    pub(super) const SERVICE: u32 = 13;
    pub(super) const LINK_NAME: u32 = 41;

    /// Several in a row.
    pub(super) fn concatenated(parts: &[u32]) -> u32 {
        parts.iter().fold(0, |all, part| all << 6 | part)
    }

    /// Bytes of a value of a type, padded as it stands in a concatenation.
    pub(super) fn bytes(kind: u32) -> u32 {
        match kind {
            IPV6 | LINK_NAME => 16,
            _ => 4,
        }
    }
}

pub(super) const BRIDGES: &str = "bridges";
pub(super) const SAME: &str = "same";
pub(super) const INSIDE4: &str = "inside4";
pub(super) const INSIDE6: &str = "inside6";
pub(super) const NEIGHBOURS: &str = "neighbours";
pub(super) const INTERNAL: &str = "internal";
pub(super) const UNPROTECTED4: &str = "unprotected4";
pub(super) const UNPROTECTED6: &str = "unprotected6";
pub(super) const ROUTED4: &str = "routed4";
pub(super) const ROUTED6: &str = "routed6";
pub(super) const MASQUERADED4: &str = "masqueraded4";
pub(super) const MASQUERADED6: &str = "masqueraded6";
pub(super) const SOURCE4: &str = "source4";
pub(super) const SOURCE6: &str = "source6";
pub(super) const ENTRIES4: &str = "entries4";
pub(super) const ENTRIES6: &str = "entries6";
pub(super) const PORTS4_ANY: &str = "ports4_any";
pub(super) const PORTS4_AT: &str = "ports4_at";
pub(super) const PORTS6_ANY: &str = "ports6_any";
pub(super) const PORTS6_AT: &str = "ports6_at";
pub(super) const EDGE_ANY: &str = "edge_any";
pub(super) const EDGE_AT: &str = "edge_at";

/// The sets that hold ports.
pub(super) const PORT_SETS: [&str; 8] =
    [ENTRIES4, ENTRIES6, PORTS4_ANY, PORTS4_AT, PORTS6_ANY, PORTS6_AT, EDGE_ANY, EDGE_AT];
/// The sets that hold bridges.
const LINK_SETS: [&str; 14] = [
    BRIDGES,
    SAME,
    INSIDE4,
    INSIDE6,
    NEIGHBOURS,
    INTERNAL,
    UNPROTECTED4,
    UNPROTECTED6,
    ROUTED4,
    ROUTED6,
    MASQUERADED4,
    MASQUERADED6,
    SOURCE4,
    SOURCE6,
];

/// Makes all sets, unless they are there.
pub(super) fn shape(batch: &mut Batch) {
    use types::{IPV4, IPV6, LINK_NAME, PROTOCOL, SERVICE};
    let length = |parts: &[u32]| parts.iter().map(|part| types::bytes(*part)).sum();
    let mut make = |name: &'static str, key: &[u32], data: &[u32]| {
        let is_range = name == INSIDE4 || name == INSIDE6;
        let shape = Shape {
            key_type: types::concatenated(key),
            key_bytes: length(key),
            data: (!data.is_empty()).then(|| (types::concatenated(data), length(data))),
            range_parts: if is_range {
                key.iter().map(|part| types::bytes(*part)).collect()
            } else {
                Vec::new()
            },
            host_order: key == [LINK_NAME],
        };
        batch.set(name, &shape);
    };
    for set in [BRIDGES, INTERNAL, UNPROTECTED4, UNPROTECTED6, ROUTED4, ROUTED6, MASQUERADED4, MASQUERADED6] {
        make(set, &[LINK_NAME], &[]);
    }
    for set in [SAME, NEIGHBOURS] {
        make(set, &[LINK_NAME, LINK_NAME], &[]);
    }
    make(INSIDE4, &[IPV4, LINK_NAME], &[]);
    make(INSIDE6, &[IPV6, LINK_NAME], &[]);
    make(SOURCE4, &[LINK_NAME], &[IPV4]);
    make(SOURCE6, &[LINK_NAME], &[IPV6]);
    make(ENTRIES4, &[IPV4, PROTOCOL, SERVICE], &[]);
    make(ENTRIES6, &[IPV6, PROTOCOL, SERVICE], &[]);
    make(PORTS4_ANY, &[PROTOCOL, SERVICE], &[IPV4, SERVICE]);
    make(PORTS4_AT, &[IPV4, PROTOCOL, SERVICE], &[IPV4, SERVICE]);
    make(PORTS6_ANY, &[PROTOCOL, SERVICE], &[IPV6, SERVICE]);
    make(PORTS6_AT, &[IPV6, PROTOCOL, SERVICE], &[IPV6, SERVICE]);
    make(EDGE_ANY, &[PROTOCOL, SERVICE], &[]);
    make(EDGE_AT, &[IPV6, PROTOCOL, SERVICE], &[]);
}

/// What bridges are in the sets of links; a set that none of them is in is there, and empty.
pub(super) fn links(bridges: &[&Bridge]) -> BTreeMap<&'static str, Vec<Element>> {
    let mut sets: BTreeMap<&'static str, Vec<Element>> =
        LINK_SETS.iter().map(|set| (*set, Vec::new())).collect();
    for bridge in bridges {
        for subnet in &bridge.subnets {
            let set = if subnet.is_ipv4() { INSIDE4 } else { INSIDE6 };
            let key = |address| [octets(address), link_name(bridge)].concat();
            let (first, last) = (key(subnet.base()), key(subnet.last()));
            sets.entry(set).or_default().push(Element { key: first, end: Some(last), data: None });
        }
        let name = link_name(bridge);
        let pair = [name.clone(), name.clone()].concat();
        let mut add = |set, key: &Vec<u8>, data| {
            sets.entry(set).or_default().push(Element { key: key.clone(), end: None, data });
        };
        add(BRIDGES, &name, None);
        add(SAME, &pair, None);
        if bridge.neighbours {
            add(NEIGHBOURS, &pair, None);
        }
        if bridge.internal {
            add(INTERNAL, &name, None);
            continue;
        }
        let families = [
            (bridge.ipv4, UNPROTECTED4, ROUTED4, MASQUERADED4, SOURCE4),
            (bridge.ipv6, UNPROTECTED6, ROUTED6, MASQUERADED6, SOURCE6),
        ];
        for (gateway, unprotected, routed, masqueraded, source) in families {
            match gateway.mode {
                GatewayMode::Nat => {}
                GatewayMode::Unprotected => add(unprotected, &name, None),
                GatewayMode::Routed => add(routed, &name, None),
            }
            match gateway.leaving {
                Leaving::Masquerade => add(masqueraded, &name, None),
                Leaving::Address(address) => add(source, &name, Some(octets(address))),
                Leaving::Unchanged => {}
            }
        }
    }
    sets
}

fn link_name(bridge: &Bridge) -> Vec<u8> {
    let mut name = bridge.link.as_bytes().to_vec();
    name.resize(types::bytes(types::LINK_NAME) as usize, 0);
    name
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A number of the network's order, padded to four bytes as nftables wants it.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.resize(4, 0);
    out
}

/// The elements that published ports are, set by set. A port of no port of the host is one of a container that is reached by a
/// route.
pub(super) fn ports(published: &[PublishedPort]) -> BTreeMap<&'static str, Vec<Element>> {
    let mut sets: BTreeMap<&'static str, Vec<Element>> = BTreeMap::new();
    let mut add = |set, key: Vec<Vec<u8>>, data: Option<Vec<Vec<u8>>>| {
        sets.entry(set).or_default().push(Element {
            key: key.concat(),
            end: None,
            data: data.map(|data| data.concat()),
        });
    };
    for port in published {
        let protocol = padded(&[protocol_number(port.protocol)]);
        let (service, inside) = (padded(&port.host_port.to_be_bytes()), padded(&port.port.to_be_bytes()));
        let any = || vec![protocol.clone(), service.clone()];
        let at = |host: IpAddr| vec![octets(host), protocol.clone(), service.clone()];
        let entry = |address: IpAddr| vec![octets(address), protocol.clone(), inside.clone()];
        let target = |address: IpAddr| Some(vec![octets(address), inside.clone()]);
        let (ipv4, ipv6) = (port.ipv4.map(IpAddr::V4), port.ipv6.map(IpAddr::V6));
        if port.host_port == 0 {
            ipv4.into_iter().for_each(|address| add(ENTRIES4, entry(address), None));
            ipv6.into_iter().for_each(|address| add(ENTRIES6, entry(address), None));
            continue;
        }
        if let Some(address) = ipv4 {
            match port.host {
                None => add(PORTS4_ANY, any(), target(address)),
                Some(host @ IpAddr::V4(_)) => add(PORTS4_AT, at(host), target(address)),
                Some(IpAddr::V6(_)) => {}
            }
        }
        if let Some(address) = ipv6 {
            match port.host {
                None => add(PORTS6_ANY, any(), target(address)),
                Some(host @ IpAddr::V6(_)) => add(PORTS6_AT, at(host), target(address)),
                Some(IpAddr::V4(_)) => {}
            }
        }
        match port.host {
            // The edge carries no associations: what only it could take does not answer there.
            _ if port.protocol == Protocol::Sctp => {}
            None => add(EDGE_ANY, any(), None),
            Some(host @ IpAddr::V6(_)) => add(EDGE_AT, at(host), None),
            Some(IpAddr::V4(_)) => {}
        }
    }
    sets
}
