//! The three networks that there are.

use crate::filters::Filters;
use crate::from_model::Networks;
use crate::handle::container::known_networks;
use crate::handle::pattern::Pattern;
use crate::server::{Answer, Call, json};
use crate::wire::NetworkInspect;
use crate::wire::network::{EndpointResource, Ipam, IpamConfig};
use base::Time;
use hyper::StatusCode;
use model::container::NetworkMode;
use platform::{Doors, Error, Selection};
use std::collections::BTreeMap;

const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

pub(crate) async fn list(call: Call) -> Answer {
    let filters = Filters::parse(call.query.text("filters"), &FILTERS)?;
    let names: Vec<Pattern> =
        filters.values("name").iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?;
    let dangling = filters.flag("dangling")?;
    let mut networks = all(&call.doors).await?;
    networks.retain(|network| {
        (names.is_empty() || names.iter().any(|pattern| pattern.fits(&network.name)))
            && filters.any("driver", |value| network.driver == value)
            && filters.any("id", |value| network.id.contains(value))
            && filters.any("scope", |value| value == "local")
            && filters.any("type", |value| value == "builtin")
            && filters.labels(&network.labels)
            // The built-in networks are always in use.
            && dangling != Some(true)
    });
    json(StatusCode::OK, &networks)
}

pub(crate) async fn inspect(call: Call) -> Answer {
    let name = call.parameter.as_str();
    let scope = call.query.text("scope");
    let networks = all(&call.doors).await?;
    let missing = || Error::not_found(format!("network {name} not found"));
    if !matches!(scope, "" | "local") {
        return Err(missing());
    }
    let exact = networks.iter().find(|network| network.name == name || network.id == name);
    let found = match exact {
        Some(network) => network,
        None => {
            let mut fitting =
                networks.iter().filter(|network| !name.is_empty() && network.id.starts_with(name));
            let first = fitting.next().ok_or_else(missing)?;
            if fitting.next().is_some() {
                return Err(Error::invalid(format!("network {name} is ambiguous: it fits more than one id")));
            }
            first
        }
    };
    json(StatusCode::OK, found)
}

/// The bridge, the host's network and the one that is none, each with the containers on it that run.
async fn all(doors: &Doors) -> Result<Vec<NetworkInspect>, Error> {
    let bridge = doors.system.bridge().await.ok();
    let ids: Networks = known_networks(doors).await;
    let created = bridge.as_ref().map_or(Time::NEVER, |bridge| bridge.created);
    let mut networks = Vec::new();
    for (name, driver, id) in
        [("bridge", "bridge", ids.bridge), ("host", "host", ids.host), ("none", "null", ids.none)]
    {
        if name == "bridge" && bridge.is_none() {
            continue;
        }
        networks.push(NetworkInspect {
            name: name.to_owned(),
            id,
            created: created.to_string(),
            scope: "local".to_owned(),
            driver: driver.to_owned(),
            enable_ipv4: true,
            ipam: Ipam { driver: "default".to_owned(), ..Ipam::default() },
            ..NetworkInspect::default()
        });
    }
    if let (Some(bridge), Some(network)) = (&bridge, networks.first_mut()) {
        let (base, prefix) = bridge.subnet;
        network.ipam.config = Some(vec![IpamConfig {
            subnet: format!("{base}/{prefix}"),
            gateway: bridge.gateway.to_string(),
        }]);
        network.options = BTreeMap::from([
            ("com.docker.network.bridge.default_bridge".to_owned(), "true".to_owned()),
            ("com.docker.network.bridge.enable_icc".to_owned(), "true".to_owned()),
            ("com.docker.network.bridge.enable_ip_masquerade".to_owned(), "true".to_owned()),
            ("com.docker.network.bridge.host_binding_ipv4".to_owned(), "0.0.0.0".to_owned()),
            ("com.docker.network.bridge.name".to_owned(), bridge.link.clone()),
            ("com.docker.network.driver.mtu".to_owned(), bridge.mtu.to_string()),
        ]);
    }
    for container in doors.control.list(Selection::default()).await? {
        let name = match container.intent.spec.network {
            NetworkMode::Bridge => "bridge",
            NetworkMode::Host => "host",
            NetworkMode::None => "none",
            NetworkMode::Container(_) => continue,
        };
        let Some(network) = networks.iter_mut().find(|network| network.name == name) else { continue };
        let mut resource =
            EndpointResource { name: container.intent.name.clone(), ..EndpointResource::default() };
        if let Some(endpoint) = &container.observed.network {
            resource.mac_address = endpoint.mac.map(|byte| format!("{byte:02x}")).join(":");
            resource.ipv4_address = format!("{}/{}", endpoint.address, endpoint.prefix);
        }
        network.containers.insert(container.intent.id.to_string(), resource);
    }
    Ok(networks)
}
