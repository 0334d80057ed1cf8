//! A container's places on networks: which, and with what names and addresses.
//!
//! What a network itself must allow (an address out of its subnets, say) is refused behind the door.

use super::joined;
use crate::wire::{CreateRequest, EndpointSettings};
use model::Attachment;
use model::container::NetworkMode;
use platform::Error;
use std::net::IpAddr;

/// The first version in which a hardware address belongs to the place on a network.
const MAC_OF_ENDPOINT_SINCE: u32 = 44;
/// The first version in which a container is made on several networks at once.
const SEVERAL_NETWORKS_SINCE: u32 = 44;
/// The network that stands for none in particular.
const DEFAULT: &str = "bridge";

const NOT_WITH_HOST: &str = "container cannot be disconnected from host network or connected to host network";
const NOT_WITH_NONE: &str =
    "container cannot be connected to multiple networks with one of the networks in private (none) mode";
const NOT_WITH_SHARED: &str = "container sharing network namespace with another container or host cannot be connected to any other network";

/// Whether a name is one of a network that somebody made.
pub(crate) fn is_user_defined(network: &str) -> bool {
    !matches!(network, "" | "default" | "bridge" | "host" | "none") && !network.starts_with("container:")
}

/// Six bytes in hexadecimal, between colons or dashes.
fn mac(text: &str) -> Option<[u8; 6]> {
    let parts: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2))
        .collect();
    parts.and_then(|parts| parts.try_into().ok())
}

/// `container` or `container:name`; clients send back `/container:/other/name`, as they were shown it once.
fn link(text: &str) -> Result<(String, String), String> {
    if text.is_empty() {
        return Err("empty string specified for links".to_owned());
    }
    let bad = || format!("bad format for links: {text}");
    let (container, name) = text.split_once(':').unwrap_or((text, text));
    if name.contains(':') {
        return Err(bad());
    }
    let name = name.rsplit('/').next().unwrap_or_default();
    let container = container.strip_prefix('/').unwrap_or(container);
    match container.is_empty() || name.is_empty() {
        true => Err(bad()),
        false => Ok((container.to_owned(), name.to_owned())),
    }
}

/// An address of one family; none if none was asked for.
fn address<A: std::str::FromStr>(text: &str, what: &str, errors: &mut Vec<String>) -> Option<A> {
    if text.is_empty() {
        return None;
    }
    let parsed = text.parse().ok();
    if parsed.is_none() {
        errors.push(format!("invalid {what} address: {text}"));
    }
    parsed
}

/// A place on a network. `version` is the minor number of the client's.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn attachment(
    network: &str,
    settings: &EndpointSettings,
    version: u32,
) -> Result<Attachment, String> {
    let mut errors = Vec::new();
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let links = settings.links.as_deref().unwrap_or_default();
    let aliases: Vec<String> =
        settings.aliases.iter().flatten().filter(|alias| !alias.is_empty()).cloned().collect();
    if !is_user_defined(network) {
        for (is_asked, why) in [
            (
                !ipam.ipv4_address.is_empty() || !ipam.ipv6_address.is_empty(),
                "user specified IP address is supported on user defined networks only",
            ),
            (!aliases.is_empty(), "network-scoped aliases are only supported for user-defined networks"),
            (!links.is_empty(), "links are only supported for user-defined networks"),
        ] {
            errors.extend(is_asked.then(|| why.to_owned()));
        }
    }
    let mut attachment = Attachment {
        network: network.to_owned(),
        ipv4: address(&ipam.ipv4_address, "IPv4", &mut errors),
        ipv6: address(&ipam.ipv6_address, "IPv6", &mut errors),
        priority: settings.gw_priority,
        options: settings.driver_opts.clone().unwrap_or_default(),
        aliases,
        ..Attachment::default()
    };
    for text in links {
        match link(text) {
            Ok(link) => attachment.links.push(link),
            Err(why) => errors.push(why),
        }
    }
    let text = settings.mac_address.as_str();
    if version >= MAC_OF_ENDPOINT_SINCE && !text.is_empty() {
        attachment.mac = mac(text);
        errors.extend(attachment.mac.is_none().then(|| format!("invalid MAC address {text}")));
    }
    if errors.is_empty() { Ok(attachment) } else { Err(joined(&errors)) }
}

/// The places that a container is made with: the network of its mode first, then by name.
pub(super) fn attachments(
    request: &CreateRequest,
    mode: &NetworkMode,
    version: u32,
    warnings: &mut Vec<String>,
) -> Result<Vec<Attachment>, Error> {
    let named = request.host_config.network_mode.as_str();
    let endpoints = &request.networking_config.endpoints_config;
    if endpoints.len() > 1 && version < SEVERAL_NETWORKS_SINCE {
        let names: Vec<&str> = endpoints.keys().map(String::as_str).collect();
        return Err(Error::invalid(format!(
            "Container cannot be connected to network endpoints: {}",
            names.join(", ")
        )));
    }
    let mut places = Vec::new();
    for (name, settings) in endpoints {
        let name = if name == "default" { DEFAULT } else { name };
        let refused =
            |errors| format!("invalid config for network {name}: invalid endpoint settings:\n{errors}");
        places.push(attachment(name, settings, version).map_err(|errors| Error::invalid(refused(errors)))?);
    }
    // The sort keeps the order of the names.
    places.sort_by_key(|place| place.network != named);
    check_companions(&places, mode, named)?;
    if places.is_empty() && *mode == NetworkMode::Attached {
        places.push(Attachment { network: named.to_owned(), ..Attachment::default() });
    }
    with_mac(request, mode, &mut places, version, warnings)?;
    with_links(request, mode, &mut places)?;
    Ok(if *mode == NetworkMode::Attached { places } else { Vec::new() })
}

/// Refuses networks that cannot be had beside others, and a mode that none of them is.
fn check_companions(places: &[Attachment], mode: &NetworkMode, named: &str) -> Result<(), Error> {
    let has_other = places.iter().any(|place| place.network != named);
    let has = |name: &str| places.iter().any(|place| place.network == name);
    let why = match mode {
        NetworkMode::Container(_) if !places.is_empty() => NOT_WITH_SHARED,
        NetworkMode::Host if has_other => NOT_WITH_HOST,
        NetworkMode::None if has_other => NOT_WITH_NONE,
        NetworkMode::Attached if has("host") => NOT_WITH_HOST,
        NetworkMode::Attached if has("none") => NOT_WITH_NONE,
        NetworkMode::Attached if is_user_defined(named) && !places.is_empty() && !has(named) => {
            "HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks"
        }
        _ => return Ok(()),
    };
    Err(Error::invalid(why))
}

/// The hardware address as older clients give it: the container's, which is that of its first place.
fn with_mac(
    request: &CreateRequest,
    mode: &NetworkMode,
    places: &mut [Attachment],
    version: u32,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let text = request.config.mac_address.as_str();
    let is_asked = !text.is_empty() || places.iter().any(|place| place.mac.is_some());
    match mode {
        NetworkMode::Container(_) if is_asked => {
            return Err(Error::invalid(
                "conflicting options: mac-address and the container type network mode",
            ));
        }
        NetworkMode::Host | NetworkMode::None if is_asked => {
            return Err(Error::invalid("conflicting options: mac-address and the network mode"));
        }
        _ if text.is_empty() => return Ok(()),
        _ => {}
    }
    let address = mac(text).ok_or_else(|| Error::invalid(format!("invalid MAC address: {text}")))?;
    let named = request.host_config.network_mode.as_str();
    let place = places.iter_mut().find(|place| place.network == named).ok_or_else(|| {
        Error::invalid(
            "unable to migrate container-wide MAC address to a specific network: HostConfig.NetworkMode must match the identity \
             of a network in NetworkSettings.Networks",
        )
    })?;
    if place.mac.is_some_and(|mac| mac != address) {
        return Err(Error::invalid(
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
        ));
    }
    place.mac = Some(address);
    if version >= MAC_OF_ENDPOINT_SINCE {
        warnings.push(
            "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
                .to_owned(),
        );
    }
    Ok(())
}

/// The container's links, which are those of its first place.
fn with_links(request: &CreateRequest, mode: &NetworkMode, places: &mut [Attachment]) -> Result<(), Error> {
    let links = request.host_config.links.as_deref().unwrap_or_default();
    if links.is_empty() {
        return Ok(());
    }
    let kind = match mode {
        NetworkMode::Container(_) => "container type network",
        NetworkMode::Host => "host type networking",
        NetworkMode::None => "none type networking",
        NetworkMode::Attached => "",
    };
    let first = match places.first_mut() {
        Some(place) if kind.is_empty() => place,
        _ => {
            return Err(Error::invalid(format!(
                "conflicting options: {kind} can't be used with links. This would result in undefined behavior"
            )));
        }
    };
    if !is_user_defined(&first.network) {
        return Err(Error::not_supported(
            "HostConfig.Links is not supported yet: --link on the default bridge is not supported; use a network of your own, \
             on which containers find each other by name",
        ));
    }
    for text in links {
        let link = link(text).map_err(Error::invalid)?;
        if !first.links.contains(&link) {
            first.links.push(link);
        }
    }
    Ok(())
}

/// An address with or without the brackets of a URL.
pub(super) fn ip(text: &str, what: &str) -> Result<IpAddr, Error> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| Error::invalid(format!("invalid {what}: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn place(network: &str, settings: Value) -> Result<Attachment, String> {
        attachment(network, &crate::wire::read_value(settings).unwrap(), 51)
    }

    #[test]
    fn a_place_has_names_addresses_and_a_priority() {
        let place = place(
            "mine",
            json!({"IPAMConfig": {"IPv4Address": "10.0.0.9", "IPv6Address": "fd00::9"}, "Aliases": ["a", ""],
                "Links": ["db", "cache:c", "/x:/web/y"], "MacAddress": "02-00-00-00-00-0A", "GwPriority": 3,
                "DriverOpts": {"k": "v"}}),
        )
        .unwrap();
        assert_eq!((place.ipv4, place.ipv6), ("10.0.0.9".parse().ok(), "fd00::9".parse().ok()));
        assert_eq!((place.aliases.as_slice(), place.priority), (&["a".to_owned()][..], 3));
        let links: Vec<String> = place.links.iter().map(|(of, name)| format!("{of}={name}")).collect();
        assert_eq!(links, ["db=db", "cache=c", "x=y"]);
        assert_eq!((place.mac, place.options["k"].as_str()), (Some([2, 0, 0, 0, 0, 10]), "v"));
    }

    #[test]
    fn all_that_is_wrong_with_a_place_is_told_at_once() {
        assert_eq!(
            place("mine", json!({"IPAMConfig": {"IPv4Address": "fd00::9"}})).unwrap_err(),
            "invalid IPv4 address: fd00::9"
        );
        let two = json!({"IPAMConfig": {"IPv6Address": "10.0.0.1"}, "MacAddress": "02:00"});
        assert_eq!(
            place("mine", two).unwrap_err(),
            "* invalid IPv6 address: 10.0.0.1\n* invalid MAC address 02:00"
        );
        for (settings, why) in [
            (
                json!({"IPAMConfig": {"IPv4Address": "10.0.0.1"}}),
                "user specified IP address is supported on user defined networks only",
            ),
            (
                json!({"Aliases": ["a"]}),
                "network-scoped aliases are only supported for user-defined networks",
            ),
            (json!({"Links": ["a"]}), "links are only supported for user-defined networks"),
        ] {
            assert_eq!(place("bridge", settings).unwrap_err(), why);
        }
        for bad in ["", "a:b:c", ":b", "a:"] {
            assert!(place("mine", json!({"Links": [bad]})).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_old_client_sends_back_the_hardware_address_that_it_was_shown() {
        let settings = crate::wire::read_value(json!({"MacAddress": "02:00:00:00:00:01"})).unwrap();
        assert_eq!(attachment("mine", &settings, 43).unwrap().mac, None);
    }
}
