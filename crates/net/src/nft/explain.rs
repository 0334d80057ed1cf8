//! The table's rules and elements in the words of nft(8), with the reason of each.

use super::Table;
use super::elements::{self, links, ports};
use super::message::Element;
use crate::value::Bridge;
use model::PublishedPort;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Which rules a set takes part in, and why a bridge or port is in it.
const REASONS: [(&str, &str); 22] = [
    (
        elements::BRIDGES,
        "it is a bridge of ours: it must not feign the host's loopback addresses, and what enters it is filtered",
    ),
    (elements::SAME, "what leaves it and comes back to it stays on this network"),
    (
        elements::INSIDE4,
        "a container that reaches its neighbour through a published port is answered by way of the host",
    ),
    (
        elements::INSIDE6,
        "a container that reaches its neighbour through a published port is answered by way of the host",
    ),
    (elements::NEIGHBOURS, "its containers may talk to each other"),
    (elements::INTERNAL, "the network is internal: nothing enters from elsewhere, and nothing leaves"),
    (elements::UNPROTECTED4, "gateway mode nat-unprotected: whoever has a route may come in over IPv4"),
    (elements::UNPROTECTED6, "gateway mode nat-unprotected: whoever has a route may come in over IPv6"),
    (
        elements::ROUTED4,
        "gateway mode routed: published ports are reached at the container's own address of IPv4",
    ),
    (
        elements::ROUTED6,
        "gateway mode routed: published ports are reached at the container's own address of IPv6",
    ),
    (elements::MASQUERADED4, "what leaves over IPv4 gets the host's address"),
    (elements::MASQUERADED6, "what leaves over IPv6 gets the host's address"),
    (elements::SOURCE4, "what leaves over IPv4 gets this address of the host"),
    (elements::SOURCE6, "what leaves over IPv6 gets this address of the host"),
    (elements::ENTRIES4, "a published port of a routed network"),
    (elements::ENTRIES6, "a published port of a routed network"),
    (
        elements::PORTS4_ANY,
        "a published port: connections to any address of this host are sent to the container",
    ),
    (
        elements::PORTS4_AT,
        "a published port: connections to this address of the host are sent to the container",
    ),
    (
        elements::PORTS6_ANY,
        "a published port: connections to any address of this host are sent to the container",
    ),
    (
        elements::PORTS6_AT,
        "a published port: connections to this address of the host are sent to the container",
    ),
    (
        elements::EDGE_ANY,
        "what cannot be translated (::1, link-local addresses, a container without IPv6) goes through the edge process",
    ),
    (
        elements::EDGE_AT,
        "what cannot be translated (::1, link-local addresses, a container without IPv6) goes through the edge process",
    ),
];

/// What a bridge and ports are in the table: place, text, reason.
pub(crate) fn explain(
    table: &Table,
    bridge: &Bridge,
    published: &[PublishedPort],
) -> Vec<(String, String, String)> {
    let mut lines = Vec::new();
    if !bridge.is_foreign {
        let addresses: Vec<String> = bridge.gateways.iter().map(ToString::to_string).collect();
        lines.push((
            format!("link {}", bridge.link),
            format!("bridge mtu {} address {}", bridge.mtu, addresses.join(" ")),
            "connects the network's containers, with the host as their gateway".to_owned(),
        ));
    }
    let in_links = links(&[bridge]);
    let in_ports = ports(published);
    for (set, reason) in REASONS {
        for element in in_links.get(set).into_iter().chain(in_ports.get(set)).flatten() {
            let place = format!("table inet {} set {set}", table.name);
            lines.push((place, text(set, element), reason.to_owned()));
        }
    }
    lines
}

/// An element as nft(8) lists it.
fn text(set: &str, element: &Element) -> String {
    let name = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        format!("\"{}\"", String::from_utf8_lossy(&bytes[..end]))
    };
    let address = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes)
            .map_or_else(|_| String::new(), |octets| Ipv4Addr::from(octets).to_string()),
        _ => <[u8; 16]>::try_from(bytes)
            .map_or_else(|_| String::new(), |octets| Ipv6Addr::from(octets).to_string()),
    };
    let service = |bytes: &[u8]| {
        let protocol = match bytes.first() {
            Some(6) => "tcp",
            Some(17) => "udp",
            _ => "sctp",
        };
        let port = bytes.get(4..6).map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
        format!("{protocol} . {port}")
    };
    let target = |bytes: &[u8]| {
        let (at, port) = bytes.split_at(bytes.len().saturating_sub(4));
        let port = port.first_chunk::<2>().map_or(0, |port| u16::from_be_bytes(*port));
        format!("{} . {port}", address(at))
    };
    let key = element.key.as_slice();
    let shown = match set {
        elements::SAME | elements::NEIGHBOURS => format!("{} . {}", name(&key[..16]), name(&key[16..])),
        elements::INSIDE4 | elements::INSIDE6 => {
            let width = if set == elements::INSIDE4 { 4 } else { 16 };
            let last = element.end.as_deref().unwrap_or(key);
            format!("{}-{} . {}", address(&key[..width]), address(&last[..width]), name(&key[width..]))
        }
        elements::PORTS4_ANY | elements::PORTS6_ANY | elements::EDGE_ANY => service(key),
        elements::PORTS4_AT | elements::ENTRIES4 => {
            format!("{} . {}", address(&key[..4]), service(&key[4..]))
        }
        elements::PORTS6_AT | elements::ENTRIES6 | elements::EDGE_AT => {
            format!("{} . {}", address(&key[..16]), service(&key[16..]))
        }
        _ => name(key),
    };
    match (&element.data, set) {
        (Some(data), elements::SOURCE4 | elements::SOURCE6) => format!("{shown} : {}", address(data)),
        (Some(data), _) => format!("{shown} : {}", target(data)),
        (None, _) => shown,
    }
}
