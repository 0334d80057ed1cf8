//! Networks, a container's places on them, and its ports.

use crate::wire::network::{EndpointIpam, EndpointResource, Ipam, IpamConfig};
use crate::wire::{EndpointSettings, NetworkInspect, NetworkSettings, PortBinding};
use model::network::Pool;
use model::observed::{Endpoint, Published};
use model::{ContainerId, NetworkId};
use platform::{Container, Membership, Network};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network whose place is shown a second time, above all others, as before there were others.
const DEFAULT: &str = "bridge";
/// Before this version the short id stands among the aliases.
pub(crate) const ALIASES_WITHOUT_ID_SINCE: u32 = 45;

/// Hexadecimal digits, each with the bits of `mask` turned.
fn altered(digits: &str, mask: u32) -> String {
    digits.chars().filter_map(|digit| char::from_digit(digit.to_digit(16)? ^ mask, 16)).collect()
}

/// The id of a place: it follows from whose it is and where, so that it lasts as long as both.
fn endpoint_id(container: ContainerId, network: NetworkId) -> String {
    let mut bytes = *container.as_bytes();
    for (byte, other) in bytes.iter_mut().zip(network.as_bytes()) {
        // Without the last step, two containers would have the same difference on each of their networks.
        *byte = (*byte ^ other).wrapping_mul(0xa7) ^ 0x33;
    }
    NetworkId::from_bytes(bytes).to_string()
}

/// A hardware address as people write it.
pub(crate) fn mac(address: &[u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// The host's addresses that a published port answers on.
pub(super) fn host_addresses(published: &Published) -> Vec<IpAddr> {
    match published.host {
        Some(address) => vec![address],
        None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    }
}

/// The ports of all places of a container, each once.
pub(super) fn published(container: &Container) -> Vec<&Published> {
    let mut all: Vec<&Published> = Vec::new();
    for port in container.observed.endpoints.iter().flat_map(|endpoint| &endpoint.ports) {
        if !all.contains(&port) {
            all.push(port);
        }
    }
    all
}

/// A list as Go writes it: null where nothing was ever put in.
fn list(items: &[String]) -> Option<Vec<String>> {
    Some(items.to_vec()).filter(|items| !items.is_empty())
}

/// What was asked for, which is shown of containers that rest as well.
fn asked(membership: &Membership) -> EndpointSettings {
    let attachment = &membership.attachment;
    let link = |(container, name): &(String, String)| match container == name {
        true => container.clone(),
        false => format!("{container}:{name}"),
    };
    let links: Vec<String> = attachment.links.iter().map(link).collect();
    let ipam = EndpointIpam {
        ipv4_address: text(attachment.ipv4),
        ipv6_address: text(attachment.ipv6),
        link_local_ips: Vec::new(),
    };
    EndpointSettings {
        ipam_config: Some(ipam).filter(|ipam| *ipam != EndpointIpam::default()),
        links: list(&links),
        aliases: list(&attachment.aliases),
        mac_address: attachment.mac.as_ref().map(mac).unwrap_or_default(),
        driver_opts: Some(attachment.options.clone()).filter(|options| !options.is_empty()),
        gw_priority: attachment.priority,
        network_id: text(membership.id),
        dns_names: list(&membership.names),
        ..EndpointSettings::default()
    }
}

/// Lays what was seen of a place over what was asked for.
fn seen(settings: &mut EndpointSettings, endpoint: &Endpoint) {
    settings.gateway = text(endpoint.gateway4);
    settings.ipv6_gateway = text(endpoint.gateway6);
    if let Some((address, prefix)) = endpoint.ipv4 {
        settings.ip_address = address.to_string();
        settings.ip_prefix_len = i64::from(prefix);
    }
    if let Some((address, prefix)) = endpoint.ipv6 {
        settings.global_ipv6_address = address.to_string();
        settings.global_ipv6_prefix_len = i64::from(prefix);
    }
    settings.mac_address = mac(&endpoint.mac);
}

/// The networks that a container is on, by name; none for the one of another container.
pub(crate) fn networks(container: &Container) -> BTreeMap<String, EndpointSettings> {
    let runs = container.observed.pid().is_some();
    let one = |membership: &Membership| {
        let mut settings = asked(membership);
        if let (Some(id), true) = (membership.id, runs) {
            settings.endpoint_id = endpoint_id(container.intent.id, id);
        }
        if let Some(endpoint) = &membership.endpoint {
            seen(&mut settings, endpoint);
        }
        (membership.name.clone(), settings)
    };
    container.networks.iter().map(one).collect()
}

/// All that inspection says of a container's networks. `version` is the minor number of the client's.
pub(super) fn settings(container: &Container, version: u32) -> NetworkSettings {
    let mut settings = NetworkSettings { networks: networks(container), ..NetworkSettings::default() };
    if let Some(pid) = container.observed.pid() {
        settings.sandbox_id = altered(&container.intent.id.to_string(), 0xc);
        settings.sandbox_key = format!("/proc/{pid}/ns/net");
    }
    if !container.observed.endpoints.is_empty() {
        settings.ports = ports(container);
    }
    if let Some(bridge) = settings.networks.get(DEFAULT).cloned() {
        settings.endpoint_id = bridge.endpoint_id;
        settings.gateway = bridge.gateway;
        settings.ip_address = bridge.ip_address;
        settings.ip_prefix_len = bridge.ip_prefix_len;
        settings.ipv6_gateway = bridge.ipv6_gateway;
        settings.global_ipv6_address = bridge.global_ipv6_address;
        settings.global_ipv6_prefix_len = bridge.global_ipv6_prefix_len;
        settings.mac_address = bridge.mac_address;
    }
    if version < ALIASES_WITHOUT_ID_SINCE {
        let short = container.intent.id.short();
        for place in settings.networks.values_mut().filter(|place| place.dns_names.is_some()) {
            let aliases = place.aliases.get_or_insert_default();
            if !aliases.contains(&short) {
                aliases.push(short.clone());
            }
        }
    }
    settings
}

fn ports(container: &Container) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> =
        container.intent.spec.exposed.iter().map(|port| (port.to_string(), None)).collect();
    for published in published(container) {
        let bindings = ports.entry(published.inside.to_string()).or_default().get_or_insert_default();
        bindings.extend(host_addresses(published).into_iter().map(|address| PortBinding {
            host_ip: address.to_string(),
            host_port: published.host_port.to_string(),
        }));
    }
    ports
}

/// A network as it is inspected.
pub(crate) fn network_inspect(network: &Network) -> NetworkInspect {
    let intent = &network.intent;
    let spec = &intent.spec;
    let pool = |pool: &Pool| IpamConfig {
        subnet: pool.subnet.to_string(),
        ip_range: text(pool.range),
        gateway: text(pool.gateway),
        auxiliary_addresses: pool
            .auxiliary
            .iter()
            .map(|(name, address)| (name.clone(), address.to_string()))
            .collect(),
    };
    let pools: Vec<IpamConfig> = spec.pools.iter().map(pool).collect();
    let members = network.members.iter().map(|member| {
        let address = |of: Option<(IpAddr, u8)>| of.map(|(address, prefix)| format!("{address}/{prefix}"));
        let endpoint = member.endpoint.as_ref();
        let resource = EndpointResource {
            name: member.name.clone(),
            endpoint_id: endpoint_id(member.id, intent.id),
            mac_address: endpoint.map(|endpoint| mac(&endpoint.mac)).unwrap_or_default(),
            ipv4_address: text(address(
                endpoint.and_then(|one| one.ipv4.map(|(ip, bits)| (ip.into(), bits))),
            )),
            ipv6_address: text(address(
                endpoint.and_then(|one| one.ipv6.map(|(ip, bits)| (ip.into(), bits))),
            )),
        };
        (member.id.to_string(), resource)
    });
    NetworkInspect {
        name: spec.name.clone(),
        id: intent.id.to_string(),
        created: intent.created.to_string(),
        scope: "local".to_owned(),
        driver: spec.driver.to_string(),
        enable_ipv4: spec.ipv4,
        enable_ipv6: spec.ipv6,
        ipam: Ipam {
            driver: "default".to_owned(),
            options: (!network.is_predefined).then(BTreeMap::new),
            config: Some(pools).filter(|pools| !pools.is_empty()),
        },
        internal: spec.internal,
        attachable: spec.attachable,
        containers: members.collect(),
        options: options(network),
        labels: spec.labels.clone(),
        ..NetworkInspect::default()
    }
}

/// The options as they were given; those of the default bridge in full, as clients look its link up there.
fn options(network: &Network) -> BTreeMap<String, String> {
    let spec = &network.intent.spec;
    let mut options = spec.options.clone();
    if network.is_predefined && spec.name == DEFAULT {
        let mtu = network.mtu.to_string();
        for (name, value) in [
            ("com.docker.network.bridge.default_bridge", "true"),
            ("com.docker.network.bridge.enable_icc", "true"),
            ("com.docker.network.bridge.enable_ip_masquerade", "true"),
            ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"),
            ("com.docker.network.bridge.name", &network.link),
            ("com.docker.network.driver.mtu", &mtu),
        ] {
            options.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    options
}
