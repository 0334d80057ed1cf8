//! What a person asks for when they ask for a network, and a container's place on one.

use crate::{NetworkId, Origin, Subnet};
use base::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One network intent as it stands in the node's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkIntent {
    /// Its id, for ever.
    pub id: NetworkId,
    /// When it was asked for.
    pub created: Time,
    /// Whether its bridge was there before it, and stays.
    #[serde(default)]
    pub borrowed: bool,
    /// What it is; once created, with every subnet and gateway chosen.
    pub spec: NetworkSpec,
}

/// A network, without any dialect's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its name, unique on the node.
    pub name: String,
    /// What connects its containers.
    pub driver: Driver,
    /// Whether containers get addresses of IPv4.
    pub ipv4: bool,
    /// Whether they get addresses of IPv6.
    pub ipv6: bool,
    /// Its subnets, in the order in which addresses are taken from them.
    pub pools: Vec<Pool>,
    /// Whether it is cut off from everything else.
    pub internal: bool,
    /// Whether containers that no service runs may join a network of a cluster.
    pub attachable: bool,
    /// Options of the driver, by the names that Docker documents.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What the client sent.
    pub origin: Origin,
}

/// What connects the containers of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of this node, bridge(8).
    #[default]
    Bridge,
    /// Links of their own on a link of the host, with hardware addresses of their own.
    Macvlan,
    /// The same with the hardware address of the host's link.
    Ipvlan,
    /// The host's own network.
    Host,
    /// Nothing but a loopback link.
    Null,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Bridge => "bridge",
            Driver::Macvlan => "macvlan",
            Driver::Ipvlan => "ipvlan",
            Driver::Host => "host",
            Driver::Null => "null",
        })
    }
}

/// A subnet of a network and what of it is given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// All of its addresses.
    pub subnet: Subnet,
    /// Those that containers get without asking for one; none for all.
    pub range: Option<Subnet>,
    /// The way out; none is chosen when the network is made.
    pub gateway: Option<IpAddr>,
    /// Addresses that something else has, by its name.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// How a bridge and the world meet, for one family of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// What lets packets in.
    pub mode: GatewayMode,
    /// What source address packets have that leave.
    pub leaving: Leaving,
}

/// What lets packets from outside in to a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GatewayMode {
    /// A published port of the host, whose packets are translated.
    #[default]
    Nat,
    /// The same, and whoever has a route to the container's address.
    Unprotected,
    /// A route to the container's address, for its published ports alone; nothing is translated.
    Routed,
}

/// The source address of packets that leave a bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leaving {
    /// The address of the link by which they leave.
    #[default]
    Masquerade,
    /// This address of the host.
    Address(IpAddr),
    /// The container's own.
    Unchanged,
}

/// That a container shall be on a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Which network: its name or id as given; its id once created.
    pub network: String,
    /// Names besides its own.
    pub aliases: Vec<String>,
    /// Names that it alone has for other containers: the container as given, and the name for it.
    pub links: Vec<(String, String)>,
    /// The address of IPv4 that it wants.
    pub ipv4: Option<Ipv4Addr>,
    /// The address of IPv6 that it wants.
    pub ipv6: Option<Ipv6Addr>,
    /// The hardware address that it wants.
    pub mac: Option<[u8; 6]>,
    /// The network with the highest is the way out; between equal ones their names decide.
    pub priority: i64,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_written_as_clients_know_it() {
        assert_eq!(Driver::Null.to_string(), "null");
        assert_eq!(serde_json::to_string(&Driver::Macvlan).unwrap(), "\"macvlan\"");
    }
}
