//! A container on its networks, and off them.

use super::ports::published_ports;
use super::{Network, Networks, Plane, Wiring};
use crate::registry::Registry;
use base::Chain;
use model::container::NetworkMode;
use model::observed::{Endpoint, Published};
use model::{Attachment, ContainerId, ContainerIntent, NetworkId};
use net::{Dataplane, Namespace, WayOut};
use plan::address;
use plan::network::{Candidate, ways_out};
use platform::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What the names of links in containers begin with, where a network does not say.
const INSIDE: &str = "eth";

/// Addresses that containers asked for, so that no other gets them while those rest.
#[derive(Default)]
pub(crate) struct Claims(BTreeMap<NetworkId, BTreeSet<IpAddr>>);

/// Nobody's.
static NO_CLAIMS: BTreeSet<IpAddr> = BTreeSet::new();

impl Claims {
    /// Those of all containers of the node.
    pub(crate) fn all(registry: &Registry) -> Claims {
        let mut claims = Claims::default();
        for handle in registry.handles() {
            let snapshot = handle.seen.borrow();
            for attachment in &snapshot.intent.spec.attachments {
                let wanted = [attachment.ipv4.map(IpAddr::V4), attachment.ipv6.map(IpAddr::V6)];
                let Ok(network) = attachment.network.parse::<NetworkId>() else { continue };
                if wanted.iter().any(Option::is_some) {
                    claims.0.entry(network).or_default().extend(wanted.into_iter().flatten());
                }
            }
        }
        claims
    }

    fn of(&self, network: NetworkId) -> &BTreeSet<IpAddr> {
        self.0.get(&network).unwrap_or(&NO_CLAIMS)
    }
}

impl Networks {
    /// The networks that a container shall be on. One that says nothing is on the default bridge.
    pub(crate) fn attachments(&self, intent: &ContainerIntent) -> Vec<Attachment> {
        if intent.spec.network != NetworkMode::Attached || intent.spec.has_left_all {
            return Vec::new();
        }
        if intent.spec.attachments.is_empty() {
            let network = self.predefined.bridge.to_string();
            return vec![Attachment { network, ..Attachment::default() }];
        }
        intent.spec.attachments.clone()
    }

    /// Whether this is the default bridge.
    pub(crate) fn is_default(&self, attachment: &Attachment) -> bool {
        attachment.network == self.predefined.bridge.to_string()
    }

    /// Connects a container that is about to start: in `room`, where it has a namespace already. Returns its places and its network
    /// namespace.
    pub(crate) fn connect(
        &self,
        intent: &ContainerIntent,
        claims: &Claims,
        room: Option<OwnedFd>,
    ) -> Result<(Vec<Endpoint>, Namespace), Error> {
        let plane = self.plane()?;
        let mut places = Vec::new();
        let made = (|| {
            let namespace = room.map_or_else(|| plane.dataplane.namespace(), Namespace::adopt);
            let namespace =
                namespace.map_err(|error| failed(intent, "make the network namespace", &error))?;
            for attachment in self.attachments(intent) {
                self.add(plane, (intent, &attachment), claims, &namespace, &mut places)?;
            }
            self.direct(plane, intent, &namespace, &mut places, Vec::new())?;
            self.name(plane, intent, &places, Some(&namespace))?;
            Ok(namespace)
        })();
        match made {
            Ok(namespace) => Ok((places, namespace)),
            Err(error) => {
                self.disconnect(intent.id, &places);
                Err(error)
            }
        }
    }

    /// Connects a running container to one network more.
    pub(crate) fn join(
        &self,
        intent: &ContainerIntent,
        namespace: OwnedFd,
        (attachment, claims): (&Attachment, &Claims),
        places: &mut Vec<Endpoint>,
    ) -> Result<(), Error> {
        let plane = self.plane()?;
        let namespace = Namespace::join(namespace)
            .map_err(|error| failed(intent, "enter the network namespace", &error))?;
        let before = places.len();
        let new_here = (!self.asks_here(places)).then_some(&namespace);
        let joined = self
            .add(plane, (intent, attachment), claims, &namespace, places)
            .and_then(|()| self.direct(plane, intent, &namespace, places, Vec::new()))
            .and_then(|()| self.name(plane, intent, places, new_here));
        if joined.is_err() {
            let mut carried = Vec::new();
            for mut place in places.drain(before..) {
                carried.append(&mut self.take_off(plane, intent.id, &namespace, &mut place));
            }
            // As it was before; what that meets is the same trouble again.
            let _ = self.direct(plane, intent, &namespace, places, carried);
            if !self.asks_here(places) {
                self.unanswer(plane, intent.id);
            }
        }
        joined
    }

    /// Takes a running container off a network.
    pub(crate) fn leave(
        &self,
        intent: &ContainerIntent,
        namespace: OwnedFd,
        network: NetworkId,
        places: &mut Vec<Endpoint>,
    ) -> Result<(), Error> {
        let plane = self.plane()?;
        let namespace = Namespace::join(namespace)
            .map_err(|error| failed(intent, "enter the network namespace", &error))?;
        let (gone, mut left): (Vec<_>, Vec<_>) = places.drain(..).partition(|place| place.network == network);
        let mut carried = Vec::new();
        for mut place in gone {
            carried.append(&mut self.take_off(plane, intent.id, &namespace, &mut place));
        }
        let directed = self.direct(plane, intent, &namespace, &mut left, carried);
        let named = self.name(plane, intent, &left, None);
        if !self.asks_here(&left) {
            self.unanswer(plane, intent.id);
        }
        *places = left;
        directed.and(named)
    }

    /// Gives a container its place on one network.
    fn add(
        &self,
        plane: &Plane,
        (intent, attachment): (&ContainerIntent, &Attachment),
        claims: &Claims,
        namespace: &Namespace,
        places: &mut Vec<Endpoint>,
    ) -> Result<(), Error> {
        let network = self.find(&attachment.network)?;
        if let Some(error) = &network.broken {
            return Err(error.clone());
        }
        let endpoint = self.reserve(plane, &network, (attachment, claims), places)?;
        let place = net::Endpoint {
            link: endpoint.link.clone(),
            inside: endpoint.inside.clone(),
            ipv4: endpoint.ipv4,
            ipv6: endpoint.ipv6,
            mac: endpoint.mac,
        };
        places.push(endpoint);
        let attached = match &network.wiring {
            Wiring::Bridge(bridge, _) => plane.dataplane.attach(namespace, &bridge.link, &place),
            Wiring::Upon(upon) => plane.dataplane.attach_upon(namespace, upon, &place),
            Wiring::Nothing => Ok(()),
        };
        let operation = format!("connect the network {}", network.intent.spec.name);
        attached.map_err(|error| failed(intent, &operation, &error))
    }

    /// Decides on a container's place, and enters it into the book.
    fn reserve(
        &self,
        plane: &Plane,
        network: &Network,
        (attachment, claims): (&Attachment, &Claims),
        places: &[Endpoint],
    ) -> Result<Endpoint, Error> {
        let spec = &network.intent.spec;
        let (limit, prefix) = match &network.wiring {
            Wiring::Bridge(_, options) => (net::BRIDGE_PORTS_MAX, options.inside.as_str()),
            Wiring::Upon(_) => (usize::MAX, INSIDE),
            Wiring::Nothing => {
                return Err(Error::invalid(format!(
                    "no container can be connected to the network {}",
                    spec.name
                )));
            }
        };
        let reserved =
            self.book().reserve(&network.intent, attachment, claims.of(network.intent.id), limit)?;
        let taken = |name: &str| places.iter().any(|place| place.inside == name);
        let inside = (0_u32..).map(|number| format!("{prefix}{number}")).find(|name| !taken(name));
        let gateway = |ipv4: bool| {
            let of_family = spec.pools.iter().filter(|pool| pool.subnet.is_ipv4() == ipv4);
            of_family.filter_map(|pool| pool.gateway).next().filter(|_| !spec.internal)
        };
        let link = match &network.wiring {
            Wiring::Bridge(..) => plane.dataplane.link_name(reserved.link),
            Wiring::Upon(_) | Wiring::Nothing => String::new(),
        };
        if link.is_empty() {
            self.book().release_link(reserved.link);
        }
        Ok(Endpoint {
            network: network.intent.id,
            link,
            inside: inside.unwrap_or_default(),
            ipv4: reserved.ipv4,
            gateway4: reserved.ipv4.and_then(|_| match gateway(true)? {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            }),
            ipv6: reserved.ipv6,
            gateway6: reserved.ipv6.and_then(|_| match gateway(false)? {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            }),
            mac: attachment.mac.unwrap_or_else(|| {
                address::mac(
                    reserved.ipv4.map(|(address, _)| address),
                    reserved.ipv6.map(|(address, _)| address),
                )
            }),
            ports: Vec::new(),
        })
    }

    /// Sends a container's packets out by the network that is its way out, and publishes its ports there: those that it has already,
    /// `carried` from a place that is gone included.
    fn direct(
        &self,
        plane: &Plane,
        intent: &ContainerIntent,
        namespace: &Namespace,
        places: &mut [Endpoint],
        carried: Vec<Published>,
    ) -> Result<(), Error> {
        let attachments = self.attachments(intent);
        let networks: Vec<Arc<Network>> =
            places.iter().filter_map(|place| self.by_id(place.network)).collect();
        let other = Attachment::default();
        let candidates: Vec<Candidate<'_>> = places
            .iter()
            .zip(&networks)
            .map(|(place, network)| Candidate {
                attachment: attachments
                    .iter()
                    .find(|attachment| self.is_of(attachment, network))
                    .unwrap_or(&other),
                name: &network.intent.spec.name,
                ipv4: place.gateway4.is_some(),
                ipv6: place.gateway6.is_some(),
            })
            .collect();
        let (out4, out6) = ways_out(&candidates);
        let way = WayOut {
            ipv4: out4.map(|index| (places[index].inside.clone(), places[index].gateway4)),
            ipv6: out6.map(|index| (places[index].inside.clone(), places[index].gateway6)),
        };
        Dataplane::set_way_out(namespace, &way).map_err(|error| failed(intent, "set the way out", &error))?;
        let bridge = |index: &usize| matches!(networks[*index].wiring, Wiring::Bridge(..));
        let holder = out4.filter(bridge).or(out6.filter(bridge));
        self.move_ports(plane, intent, places, (holder, carried), &networks)
    }

    pub(super) fn is_of(&self, attachment: &Attachment, network: &Network) -> bool {
        attachment.network == network.intent.id.to_string() || attachment.network == network.intent.spec.name
    }

    /// Sees to it that the ports lead to the place that is the way out, and to no other.
    fn move_ports(
        &self,
        plane: &Plane,
        intent: &ContainerIntent,
        places: &mut [Endpoint],
        (holder, mut carried): (Option<usize>, Vec<Published>),
        networks: &[Arc<Network>],
    ) -> Result<(), Error> {
        for (index, place) in places.iter_mut().enumerate() {
            if Some(index) != holder && !place.ports.is_empty() {
                self.unpublish(plane, intent.id, place);
                carried.append(&mut place.ports);
            }
        }
        let Some((place, network)) = holder.map(|index| (&mut places[index], &networks[index])) else {
            self.book().give_back(&carried);
            return Ok(());
        };
        let Wiring::Bridge(_, options) = &network.wiring else { return Ok(()) };
        if !place.ports.is_empty() {
            return Ok(());
        }
        place.ports = carried;
        if place.ports.is_empty() {
            self.take_ports(intent, options, place)?;
        }
        let ports = published_ports(place, options);
        if ports.is_empty() {
            return Ok(());
        }
        plane.dataplane.publish(&ports).map_err(|error| failed(intent, "publish the ports", &error))?;
        plane.edge.publish(intent.id, &ports)
    }

    fn unpublish(&self, plane: &Plane, id: ContainerId, place: &Endpoint) {
        let Some(network) = self.by_id(place.network) else { return };
        let Wiring::Bridge(_, options) = &network.wiring else { return };
        let ports = published_ports(place, options);
        if ports.is_empty() {
            return;
        }
        let unpublished =
            plane.dataplane.unpublish(&ports).map_err(|error| Error::failed(Chain(&error).to_string()));
        for error in [unpublished, plane.edge.unpublish(id)].into_iter().filter_map(Result::err) {
            tracing::warn!(link = place.link, %error, "a container's ports are left");
        }
    }

    /// Takes a container that ended off all its networks: goes on after a failure, as what is left is swept later.
    pub(crate) fn disconnect(&self, id: ContainerId, places: &[Endpoint]) {
        let Ok(plane) = self.plane() else { return };
        self.unanswer(plane, id);
        for place in places {
            self.unname(plane, id, place);
            self.unpublish(plane, id, place);
            if !place.link.is_empty()
                && let Err(error) = plane.dataplane.detach(&place.link)
            {
                tracing::warn!(link = place.link, error = %Chain(&error), "a container's link is left");
            }
            self.book().release(place, plane.dataplane.link_number(&place.link));
        }
    }

    /// Takes a container that goes on off one network; its ports of the host stay its own, and are returned.
    fn take_off(
        &self,
        plane: &Plane,
        id: ContainerId,
        namespace: &Namespace,
        place: &mut Endpoint,
    ) -> Vec<Published> {
        self.unname(plane, id, place);
        self.unpublish(plane, id, place);
        let ports = std::mem::take(&mut place.ports);
        if let Err(error) = Dataplane::remove_inside(namespace, &place.inside) {
            tracing::warn!(link = place.inside, error = %Chain(&error), "a container's link is left");
        }
        self.book().release(place, plane.dataplane.link_number(&place.link));
        ports
    }
}

fn failed(intent: &ContainerIntent, what: &str, error: &net::Error) -> Error {
    Error::failed(format!(
        "failed to set up container networking: {what} of container {}: {}",
        intent.id.short(),
        Chain(error)
    ))
}
