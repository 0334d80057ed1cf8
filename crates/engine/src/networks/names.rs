//! The names of containers: what the edge process is told of each network's members, and of the containers that ask.
//!
//! Every network but the default bridge has names, as Docker's users know it. The edge process answers; what it knows is
//! written here, and lasts while the daemon is away.

use super::{Network, Networks, Plane, Wiring, ports};
use base::Chain;
use model::observed::Endpoint;
use model::view::{Member, SearchedNetwork};
use model::{Attachment, ContainerId, ContainerIntent, NetworkId, NetworkNames, Resolver, View};
use plan::files::{self, Naming};
use platform::Error;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

/// The names by which the containers of a network find one of them; the first is its own.
pub(super) fn names(intent: &ContainerIntent, attachment: &Attachment) -> Vec<String> {
    let mut names = vec![intent.name.clone()];
    let short = intent.id.short();
    for name in attachment.aliases.iter().chain([&short, &intent.spec.hostname]) {
        if !name.is_empty() && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn member(intent: &ContainerIntent, attachment: &Attachment, place: &Endpoint) -> Member {
    let mut names = names(intent, attachment).into_iter();
    Member {
        name: names.next().unwrap_or_default(),
        aliases: names.collect(),
        ipv4: place.ipv4.map(|(address, _)| address),
        ipv6: place.ipv6.map(|(address, _)| address),
    }
}

/// How a container on networks with names asks for them, and who is asked for others.
pub(crate) fn naming(intent: &ContainerIntent) -> Naming {
    let spec = &intent.spec;
    let wanted = files::Resolver { servers: &spec.dns, search: &spec.dns_search, options: &spec.dns_options };
    files::naming(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(), wanted)
}

impl Networks {
    /// Whether the members of a network have names.
    fn has_names(&self, network: &Network) -> bool {
        network.intent.id != self.predefined.bridge && !matches!(network.wiring, Wiring::Nothing)
    }

    /// Whether a container asks for names here: it does once it is on a network that has some.
    pub(crate) fn asks_here(&self, places: &[Endpoint]) -> bool {
        self.named(places).next().is_some()
    }

    fn named<'a>(
        &'a self,
        places: &'a [Endpoint],
    ) -> impl Iterator<Item = (&'a Endpoint, std::sync::Arc<Network>)> {
        places
            .iter()
            .filter_map(|place| Some((place, self.by_id(place.network)?)))
            .filter(|(_, network)| self.has_names(network))
    }

    /// What a container is called on one of its networks.
    fn attachment_to(&self, intent: &ContainerIntent, network: &Network) -> Attachment {
        let of_network = |attachment: &Attachment| self.is_of(attachment, network);
        self.attachments(intent).into_iter().find(of_network).unwrap_or_default()
    }

    fn resolver(&self, intent: &ContainerIntent, places: &[Endpoint]) -> Resolver {
        let Naming { upstreams, keeps_single_words, .. } = naming(intent);
        let networks = self.named(places).map(|(place, network)| {
            let links = self.attachment_to(intent, &network).links;
            let links = links.into_iter().map(|(container, alias)| (alias, container)).collect();
            SearchedNetwork { network: place.network.to_string(), links }
        });
        Resolver {
            networks: networks.collect(),
            upstreams,
            may_forward: places
                .iter()
                .filter_map(|place| self.by_id(place.network))
                .any(|network| !network.intent.spec.internal),
            keeps_single_words,
        }
    }

    /// Tells the edge process of a network, without members.
    pub(super) fn name_network(&self, network: &Network) {
        let Ok(plane) = self.plane() else { return };
        if !self.has_names(network) {
            return;
        }
        let names = NetworkNames { name: network.intent.spec.name.clone(), members: BTreeMap::new() };
        if let Err(error) = plane.edge.set_network(&network.intent.id.to_string(), names) {
            tracing::warn!(network = network.intent.spec.name, %error, "its names are not resolved");
        }
    }

    /// Tells the edge process that a network is gone.
    pub(super) fn forget_names(&self, id: NetworkId) {
        if let Ok(plane) = self.plane()
            && let Err(error) = plane.edge.remove_network(&id.to_string())
        {
            tracing::warn!(network = %id, %error, "its names are left");
        }
    }

    /// Tells the edge process what a container is called on its networks, and answers what it asks: in `namespace`, where it has not
    /// asked before.
    pub(super) fn name(
        &self,
        plane: &Plane,
        intent: &ContainerIntent,
        places: &[Endpoint],
        namespace: Option<&net::Namespace>,
    ) -> Result<(), Error> {
        if !self.asks_here(places) {
            return Ok(());
        }
        for (place, network) in self.named(places) {
            let member = member(intent, &self.attachment_to(intent, &network), place);
            plane.edge.set_member(&place.network.to_string(), intent.id, member)?;
        }
        let namespace = namespace.map(|namespace| namespace.as_fd().try_clone_to_owned()).transpose();
        let namespace =
            namespace.map_err(|error| Error::failed(format!("keep a network namespace: {error}")))?;
        plane.edge.set_resolver(intent.id, self.resolver(intent, places), namespace)
    }

    /// Takes a container's name from one of its networks.
    pub(super) fn unname(&self, plane: &Plane, id: ContainerId, place: &Endpoint) {
        if let Err(error) = plane.edge.remove_member(&place.network.to_string(), id) {
            tracing::warn!(container = %id, %error, "its name is left");
        }
    }

    /// Answers a container no longer.
    pub(super) fn unanswer(&self, plane: &Plane, id: ContainerId) {
        if let Err(error) = plane.edge.remove_resolver(id) {
            tracing::warn!(container = %id, %error, "its questions are still answered");
        }
    }

    /// Calls a running container by its new name.
    pub(crate) fn renamed(&self, intent: &ContainerIntent, places: &[Endpoint]) {
        let Ok(plane) = self.plane() else { return };
        if let Err(error) = self.name(plane, intent, places, None) {
            tracing::warn!(container = %intent.id, %error, "its new name is not resolved");
        }
    }

    /// All that the edge process shall serve for the containers that run, with the namespaces of those that ask.
    pub(super) fn view(
        &self,
        live: &[(&ContainerIntent, i32, &[Endpoint])],
    ) -> (View, BTreeMap<ContainerId, OwnedFd>) {
        let (mut view, mut namespaces) = (View::default(), BTreeMap::new());
        for network in self.all().into_iter().filter(|network| self.has_names(network)) {
            let names = NetworkNames { name: network.intent.spec.name.clone(), members: BTreeMap::new() };
            view.networks.insert(network.intent.id.to_string(), names);
        }
        for (intent, pid, places) in live {
            for place in *places {
                let Some(network) = self.by_id(place.network) else { continue };
                if let Wiring::Bridge(_, options) = &network.wiring
                    && !place.ports.is_empty()
                {
                    view.ports.entry(intent.id).or_default().extend(ports::published_ports(place, options));
                }
                if let Some(names) = view.networks.get_mut(&place.network.to_string()) {
                    let attachment = self.attachment_to(intent, &network);
                    names.members.insert(intent.id, member(intent, &attachment, place));
                }
            }
            if self.asks_here(places) {
                match std::fs::File::open(format!("/proc/{pid}/ns/net")) {
                    Ok(namespace) => drop(namespaces.insert(intent.id, namespace.into())),
                    Err(error) => {
                        tracing::warn!(container = %intent.id, error = %Chain(&error), "it may not be answered");
                    }
                }
                view.resolvers.insert(intent.id, self.resolver(intent, places));
            }
        }
        (view, namespaces)
    }
}
