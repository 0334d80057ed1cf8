//! What the edge process knows: the ports that it answers for, and the names that it resolves. Plain data, told by the
//! daemon piece by piece and kept by the edge process in its memory.

use crate::{ContainerId, PublishedPort};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What tells networks from each other in a view: an id of theirs, as text.
pub type NetworkKey = String;

/// Where programs of a container ask for names.
pub const RESOLVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// Name servers elsewhere that one container's queries are passed on to.
pub const UPSTREAMS_MAX: usize = 8;

/// What one member of a network is called there, and how it is reached. Members may share a name: all their addresses are
/// the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its own name, which its addresses resolve to.
    pub name: String,
    /// What else it is found by: its short id, aliases, the name of its service.
    pub aliases: Vec<String>,
    /// Its address of IPv4, if it has one.
    pub ipv4: Option<Ipv4Addr>,
    /// Its address of IPv6, if it has one.
    pub ipv6: Option<Ipv6Addr>,
}

/// A network and who is found on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkNames {
    /// The network's name, which may stand behind a member's: `web.front`.
    pub name: String,
    /// Its members.
    pub members: BTreeMap<ContainerId, Member>,
}

/// A network of a container, as that container sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchedNetwork {
    /// Which network.
    pub network: NetworkKey,
    /// Names that this container alone has for members of that network: alias and name.
    pub links: BTreeMap<String, String>,
}

/// How a container's queries are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolver {
    /// Its networks; a name is looked for in each, in this order.
    pub networks: Vec<SearchedNetwork>,
    /// Name servers that other queries are passed on to, in this order; asked from the host's network, port 53. Those behind
    /// the first [`UPSTREAMS_MAX`] are not asked.
    pub upstreams: Vec<IpAddr>,
    /// Whether any query is passed on: not for a container whose networks are all internal.
    pub may_forward: bool,
    /// Whether a name of one word is never passed on: so it is where somebody set the option `ndots` above 0.
    pub keeps_single_words: bool,
}

/// All that a daemon wants served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Ports, by the container that they lead to.
    pub ports: BTreeMap<ContainerId, Vec<PublishedPort>>,
    /// Networks with names.
    pub networks: BTreeMap<NetworkKey, NetworkNames>,
    /// Containers whose programs ask here.
    pub resolvers: BTreeMap<ContainerId, Resolver>,
}

impl View {
    /// Whether there is nothing to serve.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.resolvers.is_empty()
    }
}
