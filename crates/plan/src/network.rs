//! What a network's options mean, and which of a container's networks is its way out.

use model::network::{Driver, Gateway, GatewayMode, Leaving};
use model::{Attachment, NetworkSpec};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a link's name, without its end.
const LINK_NAME_BYTES_MAX: usize = 15;
/// The smallest packet that each family must be able to send: RFC 791 and RFC 8200.
const MTU_MIN: u32 = 68;
const MTU_MIN_IPV6: u32 = 1280;

/// What the options of a bridge network say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeOptions {
    /// The name of its link; none for one of its id.
    pub link: Option<String>,
    /// Bytes in a packet; none for the node's.
    pub mtu: Option<u32>,
    /// Whether its containers reach each other.
    pub neighbours: bool,
    /// The host's address on which ports are published that name none, by family.
    pub binding4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub binding6: Option<Ipv6Addr>,
    /// What the names of its links in containers begin with.
    pub inside: String,
    /// Whether the host has no address of IPv4 on it.
    pub without_host4: bool,
    /// How it is reached over IPv4.
    pub ipv4: Gateway,
    /// How it is reached over IPv6.
    pub ipv6: Gateway,
}

/// What the options of a network upon a link of the host say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UponOptions {
    /// The host's link.
    pub parent: String,
    /// How its links meet, in the driver's words; empty for its default.
    pub mode: String,
    /// Bytes in a packet; none for the parent's.
    pub mtu: Option<u32>,
}

const BRIDGE: &str = "com.docker.network.bridge.";
const MTU: &str = "com.docker.network.driver.mtu";
const PREFIX: &str = "com.docker.network.container_iface_prefix";
const SOURCE4: &str = "com.docker.network.host_ipv4";
const SOURCE6: &str = "com.docker.network.host_ipv6";

/// The options that a bridge network can have, below [`BRIDGE`] unless they have a name of their own.
const KNOWN: [&str; 14] = [
    "name",
    "enable_icc",
    "enable_ip_masquerade",
    "host_binding_ipv4",
    "host_binding_ipv6",
    "gateway_mode_ipv4",
    "gateway_mode_ipv6",
    "inhibit_ipv4",
    "default_bridge",
    "mtu",
    MTU,
    PREFIX,
    SOURCE4,
    SOURCE6,
];

fn parsed<T: std::str::FromStr>(
    options: &BTreeMap<String, String>,
    name: &str,
    what: &str,
) -> Result<Option<T>, String> {
    match options.get(name).map(|value| value.trim()) {
        None | Some("") => Ok(None),
        Some(value) => {
            value.parse().map(Some).map_err(|_| format!("invalid value for {name}: {value:?} is not {what}"))
        }
    }
}

/// A truth value as Go's `strconv.ParseBool` reads it, which is what clients were made against.
fn truth(options: &BTreeMap<String, String>, name: &str) -> Result<Option<bool>, String> {
    match options.get(name).map(|value| value.trim()) {
        None | Some("") => Ok(None),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
        Some(value) => Err(format!("invalid value for {name}: {value:?} is neither true nor false")),
    }
}

fn mode(options: &BTreeMap<String, String>, name: &str) -> Result<GatewayMode, String> {
    match options.get(name).map(String::as_str) {
        None | Some("" | "nat") => Ok(GatewayMode::Nat),
        Some("nat-unprotected") => Ok(GatewayMode::Unprotected),
        Some("routed") => Ok(GatewayMode::Routed),
        Some("isolated") => Err(format!(
            "{name}=isolated is not supported yet: use an internal network, whose host has an address on it"
        )),
        Some(other) => {
            Err(format!("unknown gateway mode {other} in {name}: nat, nat-unprotected and routed are known"))
        }
    }
}

fn mtu(options: &BTreeMap<String, String>, ipv6: bool) -> Result<Option<u32>, String> {
    let short = format!("{BRIDGE}mtu");
    let mtu = parsed::<u32>(options, MTU, "a number")?.or(parsed(options, &short, "a number")?);
    let mtu = mtu.filter(|mtu| *mtu > 0);
    let least = if ipv6 { MTU_MIN_IPV6 } else { MTU_MIN };
    match mtu {
        Some(mtu) if mtu < least => {
            Err(format!("invalid MTU {mtu}: a packet has at least {least} bytes here"))
        }
        other => Ok(other),
    }
}

/// A name that the kernel takes for a link: dev_valid_name().
fn check_link_name(name: &str) -> Result<(), String> {
    let is_valid = !name.is_empty()
        && name.len() <= LINK_NAME_BYTES_MAX
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
    if is_valid {
        return Ok(());
    }
    Err(format!(
        "invalid name of a link {name:?}: up to {LINK_NAME_BYTES_MAX} characters without blanks, / and : are wanted"
    ))
}

/// Reads the options of a bridge network.
///
/// # Errors
/// Which of them is wrong, or unknown.
pub fn bridge_options(spec: &NetworkSpec) -> Result<BridgeOptions, String> {
    let options = &spec.options;
    for name in options.keys() {
        let short = name.strip_prefix(BRIDGE).unwrap_or(name);
        if !KNOWN.contains(&short) {
            return Err(format!("the option {name} of a bridge network is not known: {}", KNOWN.join(", ")));
        }
    }
    let of = |name: &str| format!("{BRIDGE}{name}");
    let link = options.get(&of("name")).filter(|name| !name.is_empty()).cloned();
    link.as_deref().map_or(Ok(()), check_link_name)?;
    let inside = options.get(PREFIX).filter(|prefix| !prefix.is_empty()).map_or("eth", String::as_str);
    check_link_name(&format!("{inside}00"))?;
    let masquerade = truth(options, &of("enable_ip_masquerade"))?.unwrap_or(true);
    let leaving = |mode, source: Option<IpAddr>| match (mode, source) {
        (GatewayMode::Routed, _) => Leaving::Unchanged,
        _ if !masquerade => Leaving::Unchanged,
        (_, Some(address)) => Leaving::Address(address),
        (_, None) => Leaving::Masquerade,
    };
    let (mode4, mode6) = (mode(options, &of("gateway_mode_ipv4"))?, mode(options, &of("gateway_mode_ipv6"))?);
    let source4 = parsed::<Ipv4Addr>(options, SOURCE4, "an address of IPv4")?.map(IpAddr::V4);
    let source6 = parsed::<Ipv6Addr>(options, SOURCE6, "an address of IPv6")?.map(IpAddr::V6);
    Ok(BridgeOptions {
        link,
        mtu: mtu(options, spec.ipv6)?,
        neighbours: truth(options, &of("enable_icc"))?.unwrap_or(true),
        binding4: parsed(options, &of("host_binding_ipv4"), "an address of IPv4")?,
        binding6: parsed(options, &of("host_binding_ipv6"), "an address of IPv6")?,
        inside: inside.to_owned(),
        without_host4: truth(options, &of("inhibit_ipv4"))?.unwrap_or(false),
        ipv4: Gateway { mode: mode4, leaving: leaving(mode4, source4) },
        ipv6: Gateway { mode: mode6, leaving: leaving(mode6, source6) },
    })
}

/// Reads the options of a macvlan or ipvlan network.
///
/// # Errors
/// Which of them is wrong, or unknown.
pub fn upon_options(spec: &NetworkSpec) -> Result<UponOptions, String> {
    let (own, modes): (&str, &[&str]) = match spec.driver {
        Driver::Ipvlan => ("ipvlan_mode", &["", "l2", "l3", "l3s"]),
        _ => ("macvlan_mode", &["", "bridge", "private", "vepa", "passthru"]),
    };
    for name in spec.options.keys() {
        if name != "parent" && name != own && name != MTU {
            return Err(format!(
                "the option {name} of a {} network is not known: parent, {own}, {MTU}",
                spec.driver
            ));
        }
    }
    let mode = spec.options.get(own).cloned().unwrap_or_default();
    if !modes.contains(&mode.as_str()) {
        return Err(format!(
            "requested {} mode '{mode}' is not valid: {}",
            spec.driver,
            modes[1..].join(", ")
        ));
    }
    let parent = spec.options.get("parent").filter(|parent| !parent.is_empty());
    let parent = parent.ok_or_else(|| {
        format!("a {} network needs a link of this host: give -o parent=NAME (see `ip link`)", spec.driver)
    })?;
    check_link_name(parent)?;
    Ok(UponOptions { parent: parent.clone(), mode, mtu: mtu(&spec.options, spec.ipv6)? })
}

/// One of a container's networks, as far as it may be the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// That it shall be on it.
    pub attachment: &'a Attachment,
    /// The network's name.
    pub name: &'a str,
    /// Whether it leads anywhere over IPv4.
    pub ipv4: bool,
    /// Whether it leads anywhere over IPv6.
    pub ipv6: bool,
}

/// Which of a container's networks is its way out over IPv4, and over IPv6: the one of the highest priority, between equal
/// ones the one whose name comes first.
pub fn ways_out(candidates: &[Candidate<'_>]) -> (Option<usize>, Option<usize>) {
    let best = |leads: fn(&Candidate<'_>) -> bool| {
        let fitting = candidates.iter().enumerate().filter(|(_, candidate)| leads(candidate));
        let first = fitting.min_by_key(|(_, candidate)| {
            // A network of both families goes before one of one, so that both leave by the same.
            (-candidate.attachment.priority, !(candidate.ipv4 && candidate.ipv6), candidate.name)
        });
        first.map(|(index, _)| index)
    };
    (best(|candidate| candidate.ipv4), best(|candidate| candidate.ipv6))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(options: &[(&str, &str)]) -> NetworkSpec {
        NetworkSpec {
            options: options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..NetworkSpec::default()
        }
    }

    #[test]
    fn a_bridge_without_options_is_what_people_expect() {
        let options = bridge_options(&spec(&[])).unwrap();
        assert!(options.neighbours && !options.without_host4 && options.link.is_none());
        assert_eq!(options.inside, "eth");
        assert_eq!(options.ipv4, Gateway { mode: GatewayMode::Nat, leaving: Leaving::Masquerade });
    }

    #[test]
    fn options_are_read_as_docker_reads_them() {
        let options = bridge_options(&spec(&[
            ("com.docker.network.bridge.name", "mine0"),
            ("com.docker.network.bridge.enable_icc", "False"),
            ("com.docker.network.bridge.gateway_mode_ipv6", "routed"),
            ("com.docker.network.driver.mtu", "1400"),
            ("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1"),
            ("com.docker.network.host_ipv4", "192.0.2.1"),
            ("com.docker.network.container_iface_prefix", "wan"),
        ]))
        .unwrap();
        assert_eq!(options.link.as_deref(), Some("mine0"));
        assert!(!options.neighbours);
        assert_eq!(options.mtu, Some(1400));
        assert_eq!(options.ipv6, Gateway { mode: GatewayMode::Routed, leaving: Leaving::Unchanged });
        assert_eq!(options.ipv4.leaving, Leaving::Address("192.0.2.1".parse().unwrap()));
        assert_eq!(options.inside, "wan");
    }

    #[test]
    fn what_is_wrong_or_unknown_is_named() {
        let refused = |name: &str, value: &str| bridge_options(&spec(&[(name, value)])).unwrap_err();
        assert!(refused("com.docker.network.bridge.colour", "red").contains("colour"));
        assert!(
            refused("com.docker.network.bridge.name", "a-name-that-is-too-long").contains("15 characters")
        );
        assert!(refused("com.docker.network.driver.mtu", "x").contains("not a number"));
        assert!(refused("com.docker.network.driver.mtu", "20").contains("at least 68"));
        assert!(
            refused("com.docker.network.bridge.gateway_mode_ipv4", "fast")
                .contains("unknown gateway mode fast")
        );
        assert!(refused("com.docker.network.bridge.enable_icc", "maybe").contains("neither true nor false"));
    }

    #[test]
    fn a_network_upon_a_link_needs_the_link() {
        let mut macvlan = spec(&[("parent", "eth0"), ("macvlan_mode", "vepa")]);
        macvlan.driver = Driver::Macvlan;
        assert_eq!(upon_options(&macvlan).unwrap().mode, "vepa");
        macvlan.options.insert("macvlan_mode".to_owned(), "l2".to_owned());
        assert!(upon_options(&macvlan).unwrap_err().contains("'l2' is not valid"));
        macvlan.options.clear();
        assert!(upon_options(&macvlan).unwrap_err().contains("-o parent=NAME"));
    }

    #[test]
    fn the_way_out_is_of_the_highest_priority_and_then_of_the_first_name() {
        let (low, high) = (Attachment::default(), Attachment { priority: 1, ..Attachment::default() });
        let candidate = |attachment, name, ipv4, ipv6| Candidate { attachment, name, ipv4, ipv6 };
        let both = [candidate(&low, "b", true, true), candidate(&low, "a", true, true)];
        assert_eq!(ways_out(&both), (Some(1), Some(1)));
        let split = [candidate(&high, "z", true, false), candidate(&low, "a", true, true)];
        assert_eq!(ways_out(&split), (Some(0), Some(1)));
        assert_eq!(ways_out(&[candidate(&low, "inside", false, false)]), (None, None));
    }
}
