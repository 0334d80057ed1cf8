//! Networks, names and ports.

use crate::wire::{CreateRequest, EndpointSettings};
use model::container::NetworkMode;
use model::{ContainerSpec, PortBinding, PortKey};
use platform::Error;
use std::net::IpAddr;

/// The first version in which a hardware address belongs to the place on a network.
const MAC_OF_ENDPOINT_SINCE: u32 = 44;

pub(super) fn convert(
    spec: &mut ContainerSpec,
    request: &CreateRequest,
    version: u32,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let (config, host) = (&request.config, &request.host_config);
    let mode = host.network_mode.as_str();
    spec.network = match mode.split_once(':') {
        _ if config.network_disabled => NetworkMode::None,
        None if mode == "bridge" => NetworkMode::Bridge,
        None if mode == "host" => NetworkMode::Host,
        None if mode == "none" => NetworkMode::None,
        Some(("container", "")) | None if mode == "container" || mode == "container:" => {
            return Err(Error::invalid("invalid container format container:<name|id>"));
        }
        Some(("container", name)) => NetworkMode::Container(name.to_owned()),
        _ => return Err(Error::not_found(format!("network {mode} not found"))),
    };
    spec.mac = mac(request, version, warnings)?;
    for (text, bindings) in &host.port_bindings {
        let inside = port_range(text)?;
        for (index, key) in inside.iter().enumerate() {
            for binding in bindings {
                spec.ports.push(port(*key, index, inside.len(), binding)?);
            }
        }
    }
    spec.publish_all = host.publish_all_ports;
    if matches!(spec.network, NetworkMode::Host | NetworkMode::None)
        && (spec.publish_all || !spec.ports.is_empty())
    {
        warnings.push(format!("Published ports are discarded when using {mode} network mode"));
        spec.ports.clear();
        spec.publish_all = false;
    }
    spec.dns = host.dns.iter().map(|text| address(text, "DNS server")).collect::<Result<_, _>>()?;
    spec.dns_search.clone_from(&host.dns_search);
    spec.dns_options.clone_from(&host.dns_options);
    for line in host.extra_hosts.iter().flatten() {
        spec.extra_hosts.push(extra_host(line)?);
    }
    check_conflicts(spec, request)
}

/// What cannot go together.
fn check_conflicts(spec: &ContainerSpec, request: &CreateRequest) -> Result<(), Error> {
    let host = &request.host_config;
    match spec.network {
        NetworkMode::Container(_) => {
            let conflict = |what: &str| {
                Err(Error::invalid(format!(
                    "conflicting options: {what} and the container type network mode"
                )))
            };
            if !request.config.hostname.is_empty() {
                return conflict("hostname");
            }
            if !host.dns.is_empty() {
                return conflict("dns");
            }
            if !spec.extra_hosts.is_empty() {
                return Err(Error::invalid(
                    "conflicting options: custom host-to-IP mapping and the container type network mode",
                ));
            }
            if spec.mac.is_some() {
                return conflict("mac-address");
            }
            if !spec.exposed.is_empty() {
                return conflict("port exposing");
            }
        }
        NetworkMode::Host | NetworkMode::None if spec.mac.is_some() => {
            return Err(Error::invalid("conflicting options: mac-address and the network mode"));
        }
        _ => {}
    }
    Ok(())
}

/// The hardware address, from the container or from its place on the network.
fn mac(request: &CreateRequest, version: u32, warnings: &mut Vec<String>) -> Result<Option<[u8; 6]>, Error> {
    let endpoints = &request.networking_config.endpoints_config;
    if endpoints.len() > 1 {
        let names: Vec<&str> = endpoints.keys().map(String::as_str).collect();
        return Err(Error::not_supported(format!(
            "NetworkingConfig.EndpointsConfig with more than one network is not supported yet: {}",
            names.join(", ")
        )));
    }
    let mode = request.host_config.network_mode.as_str();
    let mut own: Option<&EndpointSettings> = None;
    for (name, settings) in endpoints {
        let name = if name == "default" { "bridge" } else { name };
        if name != mode {
            return Err(Error::invalid(
                "HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks",
            ));
        }
        own = Some(settings);
    }
    let of_container = request.config.mac_address.as_str();
    let of_endpoint = own.map_or("", |settings| settings.mac_address.as_str());
    let text = if version < MAC_OF_ENDPOINT_SINCE {
        of_container
    } else if of_container.is_empty() {
        of_endpoint
    } else {
        if !of_endpoint.is_empty() && of_endpoint != of_container {
            return Err(Error::invalid(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be \
                 left empty",
            ));
        }
        warnings.push(
            "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
                .to_owned(),
        );
        of_container
    };
    if text.is_empty() {
        return Ok(None);
    }
    let parts: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2))
        .collect();
    let address = parts.and_then(|parts| <[u8; 6]>::try_from(parts).ok());
    address.map(Some).ok_or_else(|| Error::invalid(format!("invalid MAC address: {text}")))
}

/// `80`, `80/tcp` or `8000-8010/udp` as its ports.
pub(super) fn port_range(text: &str) -> Result<Vec<PortKey>, Error> {
    let bad = || Error::invalid(format!("invalid port specification: {text:?}"));
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if protocol.eq_ignore_ascii_case("sctp") {
        return Err(Error::not_supported(format!(
            "port {text} is not supported yet: ports are published for tcp and udp"
        )));
    }
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let first: PortKey = format!("{first}/{protocol}").parse().map_err(|_| bad())?;
    let last: PortKey = format!("{last}/{protocol}").parse().map_err(|_| bad())?;
    if first.port > last.port {
        return Err(bad());
    }
    Ok((first.port..=last.port).map(|port| PortKey { port, protocol: first.protocol }).collect())
}

/// One port inside, the `index`th of `count` that share a binding.
fn port(
    inside: PortKey,
    index: usize,
    count: usize,
    binding: &crate::wire::PortBinding,
) -> Result<PortBinding, Error> {
    let text = binding.host_port.as_str();
    let bad = || Error::invalid(format!("invalid port specification: {text:?}"));
    let number = |text: &str| text.parse::<u16>().map_err(|_| bad());
    let (mut first, mut last) = match text.split_once('-') {
        _ if text.is_empty() => (0, 0),
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(bad());
    }
    if count > 1 && first != 0 {
        // Ranges of one length are laid side by side.
        if usize::from(last - first) + 1 != count {
            return Err(Error::invalid(format!(
                "invalid ranges specified for container and host Ports: {inside} and {text}"
            )));
        }
        first += u16::try_from(index).unwrap_or(0);
        last = first;
    }
    let host = match binding.host_ip.as_str() {
        "" => None,
        text => Some(address(text, "IP address")?),
    };
    Ok(PortBinding { inside, host, first, last })
}

fn address(text: &str, what: &str) -> Result<IpAddr, Error> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| Error::invalid(format!("invalid {what}: {text}")))
}

/// `name:address`, where the address may hold colons itself.
fn extra_host(line: &str) -> Result<(String, String), Error> {
    let (name, text) = line
        .split_once([':', '='])
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| Error::invalid(format!("bad format for add-host: {line:?}")))?;
    if text == "host-gateway" {
        return Ok((name.to_owned(), text.to_owned()));
    }
    let address = address(text, "IP address in add-host")?;
    Ok((name.to_owned(), address.to_string()))
}
