//! Which network a container is on, its names and its ports.

use super::attachment::{attachments, ip as address};
use crate::wire::CreateRequest;
use model::container::NetworkMode;
use model::{ContainerSpec, PortBinding, PortKey};
use platform::Error;

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
        None if mode == "host" => NetworkMode::Host,
        None if mode == "none" => NetworkMode::None,
        Some(("container", "")) | None if mode == "container" || mode == "container:" => {
            return Err(Error::invalid("invalid container format container:<name|id>"));
        }
        Some(("container", name)) => NetworkMode::Container(name.to_owned()),
        _ => NetworkMode::Attached,
    };
    spec.attachments = attachments(request, &spec.network, version, warnings)?;
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

/// What cannot go with the network of another container.
fn check_conflicts(spec: &ContainerSpec, request: &CreateRequest) -> Result<(), Error> {
    if !matches!(spec.network, NetworkMode::Container(_)) {
        return Ok(());
    }
    let host = &request.host_config;
    for (is_asked, what) in [
        (!request.config.hostname.is_empty(), "hostname"),
        (!host.dns.is_empty(), "dns"),
        (!spec.extra_hosts.is_empty(), "custom host-to-IP mapping"),
        (spec.publish_all || !spec.ports.is_empty(), "port publishing"),
        (!spec.exposed.is_empty(), "port exposing"),
    ] {
        if is_asked {
            let why = format!("conflicting options: {what} and the container type network mode");
            return Err(Error::invalid(why));
        }
    }
    Ok(())
}

/// `80`, `80/tcp` or `8000-8010/udp` as its ports.
pub(super) fn port_range(text: &str) -> Result<Vec<PortKey>, Error> {
    let bad = || Error::invalid(format!("invalid port specification: {text:?}"));
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
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
