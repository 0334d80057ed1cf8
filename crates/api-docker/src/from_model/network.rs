//! A container's place on the network, and its ports.

use crate::wire::{EndpointSettings, NetworkSettings, PortBinding};
use model::container::NetworkMode;
use model::observed::{Endpoint, Published};
use platform::{Bridge, Container};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The three networks by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    pub(crate) bridge: String,
    pub(crate) host: String,
    pub(crate) none: String,
}

impl Networks {
    /// The ids of the other two follow from the bridge's, so that they last as long.
    pub(crate) fn of(bridge: Option<&Bridge>) -> Networks {
        let id = bridge.map_or_else(|| "0".repeat(64), |bridge| bridge.id.clone());
        Networks { host: altered(&id, 0x5), none: altered(&id, 0xa), bridge: id }
    }
}

/// Hexadecimal digits, each with the bits of `mask` turned.
fn altered(digits: &str, mask: u32) -> String {
    digits.chars().filter_map(|digit| char::from_digit(digit.to_digit(16)? ^ mask, 16)).collect()
}

/// A hardware address as people write it.
pub(crate) fn mac(address: &[u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// The host's addresses that a published port answers on.
pub(super) fn host_addresses(published: &Published) -> Vec<IpAddr> {
    match published.host {
        Some(address) => vec![address],
        None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    }
}

/// The network that a container is on, by name; none for the one of another container.
pub(crate) fn networks(container: &Container, networks: &Networks) -> BTreeMap<String, EndpointSettings> {
    let (name, id) = match &container.intent.spec.network {
        NetworkMode::Bridge => ("bridge", &networks.bridge),
        NetworkMode::Host => ("host", &networks.host),
        NetworkMode::None => ("none", &networks.none),
        NetworkMode::Container(_) => return BTreeMap::new(),
    };
    let mut settings = EndpointSettings::default();
    if container.observed.pid().is_some() {
        settings.network_id.clone_from(id);
        settings.endpoint_id = altered(&container.intent.id.to_string(), 0x3);
    }
    if let Some(endpoint) = &container.observed.network {
        settings.gateway = endpoint.gateway.to_string();
        settings.ip_address = endpoint.address.to_string();
        settings.ip_prefix_len = i64::from(endpoint.prefix);
        settings.mac_address = mac(&endpoint.mac);
    }
    BTreeMap::from([(name.to_owned(), settings)])
}

/// All that inspection says of the network.
pub(super) fn settings(container: &Container, ids: &Networks) -> NetworkSettings {
    let mut settings = NetworkSettings { networks: networks(container, ids), ..NetworkSettings::default() };
    if let Some(pid) = container.observed.pid() {
        settings.sandbox_id = altered(&container.intent.id.to_string(), 0xc);
        settings.sandbox_key = format!("/proc/{pid}/ns/net");
    }
    if let Some(endpoint) = &container.observed.network {
        settings.ports = ports(container, endpoint);
    }
    if let Some(bridge) = settings.networks.get("bridge").cloned() {
        settings.endpoint_id = bridge.endpoint_id;
        settings.gateway = bridge.gateway;
        settings.ip_address = bridge.ip_address;
        settings.ip_prefix_len = bridge.ip_prefix_len;
        settings.mac_address = bridge.mac_address;
    }
    settings
}

fn ports(container: &Container, endpoint: &Endpoint) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> =
        container.intent.spec.exposed.iter().map(|port| (port.to_string(), None)).collect();
    for published in &endpoint.ports {
        let bindings = ports.entry(published.inside.to_string()).or_default().get_or_insert_default();
        bindings.extend(host_addresses(published).into_iter().map(|address| PortBinding {
            host_ip: address.to_string(),
            host_port: published.host_port.to_string(),
        }));
    }
    ports
}
