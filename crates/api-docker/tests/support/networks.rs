//! The node's networks: the three that are always there, those that a test makes, and the only container's places on them.

use super::{CONTAINER, Node, ready};
use base::Time;
use model::container::NetworkMode;
use model::network::{Driver, Pool};
use model::observed::{Endpoint, Published};
use model::{Attachment, ContainerSpec, NetworkId, NetworkIntent, NetworkSpec};
use platform::*;

/// The first byte of each network's id, by its place in the list.
const BRIDGE: u8 = 0xb1;
const HOST: u8 = 0x40;
const NONE: u8 = 0x0e;
const FIRST_MADE: u8 = 0xd0;

pub(crate) fn id(first: u8) -> NetworkId {
    NetworkId::from_bytes([first; 32])
}

fn predefined() -> [(u8, NetworkSpec); 3] {
    let pool = Pool {
        subnet: "172.17.0.0/16".parse().unwrap(),
        range: None,
        gateway: "172.17.0.1".parse().ok(),
        auxiliary: Default::default(),
    };
    let spec = |name: &str, driver, pools| NetworkSpec {
        name: name.into(),
        driver,
        ipv4: true,
        pools,
        ..NetworkSpec::default()
    };
    [
        (BRIDGE, spec("bridge", Driver::Bridge, vec![pool])),
        (HOST, spec("host", Driver::Host, Vec::new())),
        (NONE, spec("none", Driver::Null, Vec::new())),
    ]
}

impl Node {
    fn made(&self) -> Vec<(u8, NetworkSpec)> {
        (FIRST_MADE..).zip(self.networks.lock().unwrap().iter().cloned()).collect()
    }

    fn all_networks(&self) -> Vec<Network> {
        let made = self.made();
        let network = |(first, spec): (u8, NetworkSpec)| {
            let created = Time::from_unix_seconds(1_700_000_000);
            let is_predefined = first < FIRST_MADE;
            let named = spec.name.clone();
            let members = self.memberships(true).into_iter().filter(|one| one.name == named);
            let members: Vec<Member> = members
                .map(|one| Member {
                    id: CONTAINER.parse().unwrap(),
                    name: "web".into(),
                    endpoint: one.endpoint,
                })
                .collect();
            Network {
                intent: serde_json::from_value::<NetworkIntent>(
                    serde_json::json!({"id": id(first), "created": created, "spec": spec}),
                )
                .unwrap(),
                is_predefined,
                link: if named == "bridge" { "boc-test".into() } else { String::new() },
                mtu: 1500,
                error: String::new(),
                is_wanted: is_predefined || !members.is_empty(),
                members,
            }
        };
        predefined().into_iter().chain(made).map(network).collect()
    }

    fn find_network(&self, name: &str) -> Result<NetworkSpec, Error> {
        let made = self.made();
        let found = predefined()
            .into_iter()
            .chain(made)
            .find(|(first, spec)| spec.name == name || id(*first).to_string().starts_with(name));
        found.map(|(_, spec)| spec).ok_or_else(|| Error::not_found(format!("network {name} not found")))
    }

    /// Why a container cannot be made: a network of it is not there.
    pub(super) fn missing_network(&self, spec: &ContainerSpec) -> Option<Error> {
        spec.attachments.iter().find_map(|attachment| self.find_network(&attachment.network).err())
    }

    /// The container's places, numbered in their order.
    pub(super) fn memberships(&self, runs: bool) -> Vec<Membership> {
        let spec = self.spec.lock().unwrap().clone();
        let attachments = match spec.network {
            NetworkMode::Host => vec![Attachment { network: "host".into(), ..Attachment::default() }],
            NetworkMode::None => vec![Attachment { network: "none".into(), ..Attachment::default() }],
            NetworkMode::Container(_) => Vec::new(),
            NetworkMode::Attached if spec.attachments.is_empty() => {
                vec![Attachment { network: "bridge".into(), ..Attachment::default() }]
            }
            NetworkMode::Attached => spec.attachments,
        };
        attachments
            .into_iter()
            .zip(17u8..)
            .map(|(attachment, number)| self.membership(attachment, number, runs))
            .collect()
    }

    fn membership(&self, attachment: Attachment, number: u8, runs: bool) -> Membership {
        let network = self.find_network(&attachment.network).unwrap();
        let made = self.networks.lock().unwrap();
        let first = match network.name.as_str() {
            "bridge" => BRIDGE,
            "host" => HOST,
            "none" => NONE,
            name => {
                FIRST_MADE + u8::try_from(made.iter().position(|spec| spec.name == name).unwrap()).unwrap()
            }
        };
        let has_place = runs && !matches!(network.driver, Driver::Host | Driver::Null);
        let endpoint = has_place.then(|| Endpoint {
            network: id(first),
            link: "veth0".into(),
            inside: "eth0".into(),
            ipv4: Some((format!("172.{number}.0.2").parse().unwrap(), 16)),
            gateway4: format!("172.{number}.0.1").parse().ok(),
            ipv6: network.ipv6.then(|| (format!("fd00:{number}::2").parse().unwrap(), 64)),
            gateway6: network.ipv6.then(|| format!("fd00:{number}::1").parse().unwrap()),
            mac: attachment.mac.unwrap_or([2, 66, 172, number, 0, 2]),
            ports: if number == 17 {
                vec![Published { inside: "80".parse().unwrap(), host: None, host_port: 8080 }]
            } else {
                Vec::new()
            },
        });
        let names = if first >= FIRST_MADE { vec!["web".to_owned()] } else { Vec::new() };
        let (name, driver) = (network.name, network.driver);
        Membership { id: Some(id(first)), name, driver, attachment, endpoint, names }
    }
}

impl Networks for Node {
    fn create_network(&self, spec: NetworkSpec) -> Answer<'_, CreatedNetwork> {
        self.ask(format!("create network {spec:?}"));
        let mut made = self.networks.lock().unwrap();
        if made.iter().any(|known| known.name == spec.name) {
            let why = format!("network with name {} already exists", spec.name);
            return ready(Err(Error::conflict(why)));
        }
        let first = FIRST_MADE + u8::try_from(made.len()).unwrap();
        made.push(spec);
        ready(Ok(CreatedNetwork { id: id(first), warnings: vec!["mind this".into()] }))
    }
    fn inspect_network<'a>(&'a self, name: &'a str) -> Answer<'a, Network> {
        let named = self.find_network(name).map(|spec| spec.name);
        let all = self.all_networks();
        ready(named.map(|named| all.into_iter().find(|one| one.intent.spec.name == named).unwrap()))
    }
    fn list_networks(&self) -> Answer<'_, Vec<Network>> {
        ready(Ok(self.all_networks()))
    }
    fn remove_network<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        self.ask(format!("remove network {name}"));
        ready(self.find_network(name).and_then(|spec| match spec.name.as_str() {
            "bridge" => Err(Error::forbidden("bridge is a pre-defined network and cannot be removed")),
            _ => Ok(()),
        }))
    }
    fn connect<'a>(&'a self, container: &'a str, attachment: Attachment) -> Answer<'a, ()> {
        self.ask(format!("connect {container} {attachment:?}"));
        ready(self.find_network(&attachment.network).and_then(|_| self.known(container)))
    }
    fn disconnect<'a>(&'a self, network: &'a str, container: &'a str, force: bool) -> Answer<'a, ()> {
        self.ask(format!("disconnect {network} {container} {force}"));
        ready(self.find_network(network).and_then(|_| self.known(container)))
    }
    fn network_rules<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Rule>> {
        let rule = Rule {
            place: "chain forward".into(),
            text: "iifname \"br0\" drop".into(),
            reason: "it is internal".into(),
        };
        ready(self.find_network(name).map(|_| vec![rule]))
    }
}
