//! The Networks door: what containers are on.

use crate::Answer;
use model::network::Driver;
use model::observed::Endpoint;
use model::{Attachment, ContainerId, NetworkId, NetworkIntent, NetworkSpec};

/// A network: what was asked for, and who is on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// What was asked for, with every subnet and gateway chosen.
    pub intent: NetworkIntent,
    /// Whether it is one of the three that are always there.
    pub is_predefined: bool,
    /// The name of its bridge, or of the host's link that it is upon; empty where it has none.
    pub link: String,
    /// Bytes in a packet; 0 where it has no say in that.
    pub mtu: u32,
    /// Why it does not work just now; empty if it does.
    pub error: String,
    /// The containers that are on it now, the ones of `host` and `none` included.
    pub members: Vec<Member>,
    /// Whether any container shall be on it, those that rest included.
    pub is_wanted: bool,
}

/// A container on a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Which container.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// Its place; none on the networks that give none.
    pub endpoint: Option<Endpoint>,
}

/// A container's part in a network, as it is shown with the container.
#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    /// Which network; none where it is gone.
    pub id: Option<NetworkId>,
    /// Its name, or what the container says of it where it is gone.
    pub name: String,
    /// What connects it.
    pub driver: Driver,
    /// That it shall be on it.
    pub attachment: Attachment,
    /// Its place while it runs.
    pub endpoint: Option<Endpoint>,
    /// The names by which the network's containers find it; empty where names are not resolved.
    pub names: Vec<String>,
}

/// A network that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedNetwork {
    /// Its id.
    pub id: NetworkId,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A rule of a network as it stands in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands: a link, a set or a chain.
    pub place: String,
    /// What it says, in the words of ip(8) and nft(8).
    pub text: String,
    /// Why it is there.
    pub reason: String,
}

/// Intents of networks. `name` is always an id, a name, or a unique prefix of an id; a network that is not there is
/// `network x not found`.
pub trait Networks: Send + Sync {
    /// Makes a network. Once this answers it survives the loss of power.
    ///
    /// In the specification a pool without a gateway gets one, and a family without a pool a subnet of its own.
    fn create_network(&self, spec: NetworkSpec) -> Answer<'_, CreatedNetwork>;

    /// One network.
    fn inspect_network<'a>(&'a self, name: &'a str) -> Answer<'a, Network>;

    /// All networks, the three that are always there first, then the oldest first.
    fn list_networks(&self) -> Answer<'_, Vec<Network>>;

    /// Removes a network on which no container is.
    fn remove_network<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// Wants a container on a network: at once if it runs, else from its next start on. `attachment.network` is the name.
    fn connect<'a>(&'a self, container: &'a str, attachment: Attachment) -> Answer<'a, ()>;

    /// Wants it off. With `force` a container or network that is gone is no error.
    fn disconnect<'a>(&'a self, network: &'a str, container: &'a str, force: bool) -> Answer<'a, ()>;

    /// What a network has in the kernel, and why.
    fn network_rules<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Rule>>;
}
