//! The Networks door.

use super::names::names;
use super::{Network, Wiring};
use crate::Shared;
use crate::container::Request;
use crate::doors::{Door, ask, to_the_end};
use model::container::NetworkMode;
use model::network::Driver;
use model::{Attachment, ContainerIntent, ContainerSpec, NetworkId, NetworkSpec, Observed};
use platform::{Answer, CreatedNetwork, Error, Member, Membership, Rule};

/// What the options begin with that Docker's drivers know of a container's place.
const ENDPOINT_OPTION: &str = "com.docker.network.endpoint.";

/// The containers that are on a network now.
pub(super) fn members(shared: &Shared, id: NetworkId) -> Vec<Member> {
    let mut members = Vec::new();
    for snapshot in shared.registry.all() {
        if snapshot.observed.pid().is_none() {
            continue;
        }
        let on_it = match snapshot.intent.spec.network {
            NetworkMode::Attached => {
                snapshot.observed.endpoints.iter().find(|place| place.network == id).cloned().map(Some)
            }
            NetworkMode::Host => (id == shared.networks.predefined.host).then_some(None),
            NetworkMode::None => (id == shared.networks.predefined.none).then_some(None),
            NetworkMode::Container(_) => None,
        };
        if let Some(endpoint) = on_it {
            members.push(Member { id: snapshot.intent.id, name: snapshot.intent.name.clone(), endpoint });
        }
    }
    members
}

/// Whether any container shall be on a network.
fn is_wanted(shared: &Shared, network: &Network) -> bool {
    let id = network.intent.id.to_string();
    shared.registry.all().iter().any(|snapshot| {
        let spec = &snapshot.intent.spec;
        spec.network == NetworkMode::Attached
            && shared.networks.attachments(&snapshot.intent).iter().any(|attachment| attachment.network == id)
    })
}

fn seen(shared: &Shared, network: &Network) -> platform::Network {
    let (link, mtu) = match &network.wiring {
        Wiring::Bridge(bridge, _) => (bridge.link.clone(), bridge.mtu),
        Wiring::Upon(upon) => (upon.parent.clone(), upon.mtu.unwrap_or(0)),
        Wiring::Nothing => (String::new(), 0),
    };
    let id = network.intent.id;
    let is_predefined = shared.networks.predefined.has(id);
    platform::Network {
        intent: network.intent.clone(),
        is_predefined,
        link,
        mtu,
        error: network.broken.as_ref().map_or_else(String::new, |error| error.message.clone()),
        members: members(shared, id),
        is_wanted: is_predefined || is_wanted(shared, network),
    }
}

/// A container's part in its networks.
pub(crate) fn memberships(shared: &Shared, intent: &ContainerIntent, observed: &Observed) -> Vec<Membership> {
    let networks = &shared.networks;
    let predefined = |id: NetworkId, driver: Driver| {
        let name = networks.by_id(id).map_or_else(String::new, |network| network.intent.spec.name.clone());
        let attachment = Attachment { network: id.to_string(), ..Attachment::default() };
        vec![Membership { id: Some(id), name, driver, attachment, endpoint: None, names: Vec::new() }]
    };
    match intent.spec.network {
        NetworkMode::Host => predefined(networks.predefined.host, Driver::Host),
        NetworkMode::None => predefined(networks.predefined.none, Driver::Null),
        NetworkMode::Container(_) => Vec::new(),
        NetworkMode::Attached => networks
            .attachments(intent)
            .into_iter()
            .map(|attachment| {
                let network = networks.find(&attachment.network).ok();
                let id = network.as_ref().map(|network| network.intent.id);
                let name = network.as_ref().map(|network| network.intent.spec.name.clone());
                let is_default = id == Some(networks.predefined.bridge);
                Membership {
                    id,
                    name: name.unwrap_or_else(|| attachment.network.clone()),
                    driver: network.map_or(Driver::Bridge, |network| network.intent.spec.driver),
                    endpoint: observed.endpoints.iter().find(|place| Some(place.network) == id).cloned(),
                    names: if is_default { Vec::new() } else { names(intent, &attachment) },
                    attachment,
                }
            })
            .collect(),
    }
}

/// Turns the names of a container's networks into their ids, and refuses what cannot be.
pub(crate) fn resolve(shared: &Shared, spec: &mut ContainerSpec) -> Result<(), Error> {
    if spec.network != NetworkMode::Attached {
        spec.attachments.clear();
        return Ok(());
    }
    if spec.attachments.is_empty() {
        spec.attachments.push(Attachment::default());
    }
    for index in 0..spec.attachments.len() {
        check(shared, &mut spec.attachments[index])?;
        let (before, this) = spec.attachments.split_at(index);
        if before.iter().any(|other| other.network == this[0].network) {
            return Err(Error::invalid(format!("the network {} is given twice", this[0].network)));
        }
    }
    Ok(())
}

/// Checks that a container can be on a network like this, and turns the network's name into its id.
fn check(shared: &Shared, attachment: &mut Attachment) -> Result<(), Error> {
    let networks = &shared.networks;
    let default = networks.predefined.bridge.to_string();
    let name = if attachment.network.is_empty() { &default } else { &attachment.network };
    let network = networks.find(name)?;
    let spec = &network.intent.spec;
    if matches!(spec.driver, Driver::Host | Driver::Null) {
        return Err(Error::invalid(format!(
            "container cannot be connected to {} network beside others",
            spec.name
        )));
    }
    // What has no meaning for the driver is kept and shown, as with Docker; what has one there is refused.
    let meant = |name: &&String| name.starts_with(ENDPOINT_OPTION);
    let named: Vec<&str> = attachment.options.keys().filter(meant).map(String::as_str).collect();
    if !named.is_empty() {
        return Err(Error::not_supported(format!(
            "options of a container's place on a network are not supported yet: {}",
            named.join(", ")
        )));
    }
    if network.intent.id == networks.predefined.bridge {
        if attachment.ipv4.is_some() || attachment.ipv6.is_some() {
            return Err(Error::invalid(
                "user specified IP address is supported on user defined networks only",
            ));
        }
        if !attachment.aliases.is_empty() {
            return Err(Error::invalid(
                "network-scoped aliases are only supported for user-defined networks",
            ));
        }
    }
    for (wanted, enabled, what) in
        [(attachment.ipv4.is_some(), spec.ipv4, "IPv4"), (attachment.ipv6.is_some(), spec.ipv6, "IPv6")]
    {
        if wanted && !enabled {
            return Err(Error::invalid(format!(
                "invalid endpoint settings: the network {} has no {what}",
                spec.name
            )));
        }
    }
    for (container, _) in &mut attachment.links {
        let (_, handle) = shared.registry.find(container)?;
        container.clone_from(&handle.snapshot().intent.name);
    }
    attachment.network = network.intent.id.to_string();
    Ok(())
}

impl platform::Networks for Door {
    fn create_network(&self, spec: NetworkSpec) -> Answer<'_, CreatedNetwork> {
        Box::pin(async move {
            let shared = self.0.clone();
            to_the_end(async move { shared.networks.create(&shared, spec).await }).await
        })
    }

    fn inspect_network<'a>(&'a self, name: &'a str) -> Answer<'a, platform::Network> {
        Box::pin(async move { Ok(seen(&self.0, &*self.0.networks.find(name)?)) })
    }

    fn list_networks(&self) -> Answer<'_, Vec<platform::Network>> {
        Box::pin(
            async move { Ok(self.0.networks.all().iter().map(|network| seen(&self.0, network)).collect()) },
        )
    }

    fn remove_network<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let (shared, name) = (self.0.clone(), name.to_owned());
            to_the_end(async move { shared.networks.remove(&shared, &name).await }).await
        })
    }

    fn connect<'a>(&'a self, container: &'a str, mut attachment: Attachment) -> Answer<'a, ()> {
        Box::pin(async move {
            let network = self.0.networks.find(&attachment.network)?;
            let (_, handle) = self.0.registry.find(container)?;
            if matches!(network.intent.spec.driver, Driver::Host | Driver::Null) {
                return Err(Error::forbidden(
                    "container cannot be connected to host network - container must be created in host network mode",
                ));
            }
            check(&self.0, &mut attachment)?;
            let attachment = Box::new(attachment);
            ask(&handle, |reply| Request::Connect { attachment, reply }).await
        })
    }

    fn disconnect<'a>(&'a self, network: &'a str, container: &'a str, force: bool) -> Answer<'a, ()> {
        Box::pin(async move {
            let found = self.0.networks.find(network)?;
            let (_, handle) = match self.0.registry.find(container) {
                Err(_) if force => return Ok(()),
                other => other?,
            };
            let network = found.intent.id;
            ask(&handle, |reply| Request::Disconnect { network, reply }).await
        })
    }

    fn network_rules<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Rule>> {
        Box::pin(async move { super::rules::rules(&self.0, &*self.0.networks.find(name)?) })
    }
}
