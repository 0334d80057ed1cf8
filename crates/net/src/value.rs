//! What the engine tells this crate, as plain values.

use model::Subnet;
use model::network::Gateway;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A bridge of this node, and what may pass over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// The name of its link.
    pub link: String,
    /// Whether the link was there before, and is neither made nor removed.
    pub is_foreign: bool,
    /// Bytes in a packet.
    pub mtu: u32,
    /// Its subnets.
    pub subnets: Vec<Subnet>,
    /// The host's addresses on it, each in one of the subnets.
    pub gateways: Vec<IpAddr>,
    /// Whether its containers reach each other.
    pub neighbours: bool,
    /// Whether it is cut off from everything but the host.
    pub internal: bool,
    /// How it is reached over IPv4.
    pub ipv4: Gateway,
    /// How it is reached over IPv6.
    pub ipv6: Gateway,
}

impl Bridge {
    /// Whether it has a subnet of IPv6.
    pub(crate) fn has_ipv6(&self) -> bool {
        self.subnets.iter().any(|subnet| !subnet.is_ipv4())
    }

    /// The prefix that goes with one of the host's addresses.
    pub(crate) fn prefix(&self, gateway: IpAddr) -> Option<u8> {
        self.subnets.iter().find(|subnet| subnet.contains(gateway)).map(Subnet::prefix)
    }
}

/// A container's place on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name of the host's end of its link.
    pub link: String,
    /// The name of the link inside.
    pub inside: String,
    /// Its address of IPv4, with the bits of its subnet's prefix.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// Its address of IPv6, with the bits of its subnet's prefix.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// Where a container sends what is on none of its subnets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WayOut {
    /// Over IPv4: the link inside and the next hop; no hop where the link itself is the way.
    pub ipv4: Option<(String, Option<Ipv4Addr>)>,
    /// Over IPv6.
    pub ipv6: Option<(String, Option<Ipv6Addr>)>,
}

/// A link of a container's own upon a link of the host: macvlan or ipvlan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upon {
    /// The host's link.
    pub parent: String,
    /// How its links meet.
    pub mode: UponMode,
    /// Bytes in a packet; none for the parent's.
    pub mtu: Option<u32>,
}

/// How links upon one link of the host meet: `linux/if_link.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UponMode {
    /// Macvlan, and each reaches the others.
    MacvlanBridge,
    /// Macvlan, and none reaches another.
    MacvlanPrivate,
    /// Macvlan, and the others are reached through the switch outside.
    MacvlanVepa,
    /// Macvlan, and the one link takes over all of the parent.
    MacvlanPassthru,
    /// Ipvlan on the link layer.
    IpvlanL2,
    /// Ipvlan that routes.
    IpvlanL3,
    /// Ipvlan that routes, past the host's filters.
    IpvlanL3s,
}
