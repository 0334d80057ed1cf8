//! A network as it is asked for.

use super::joined;
use crate::wire::network::{IpamConfig, NetworkCreateRequest};
use model::network::{Driver, Pool};
use model::{NetworkSpec, Origin, Subnet};
use platform::Error;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A network as a spec.
///
/// # Errors
/// What makes no sense by itself: an unknown driver, a subnet that is none, what lies outside of its subnet.
pub(crate) fn network(request: NetworkCreateRequest) -> Result<NetworkSpec, Error> {
    let name = request.name.trim();
    if name.is_empty() {
        return Err(Error::invalid("invalid name: name is empty"));
    }
    if name == "default" {
        return Err(Error::forbidden("operation is not permitted on predefined default network"));
    }
    Ok(NetworkSpec {
        name: name.to_owned(),
        driver: driver(&request.driver)?,
        ipv4: request.enable_ipv4.unwrap_or(true),
        // Whoever says nothing gets both families.
        ipv6: request.enable_ipv6.unwrap_or(true),
        pools: pools(request.ipam.config.as_deref().unwrap_or_default())?,
        internal: request.internal,
        attachable: request.attachable,
        options: request.options,
        labels: request.labels,
        origin: Origin::default(),
    })
}

fn driver(name: &str) -> Result<Driver, Error> {
    Ok(match name {
        "" | "bridge" => Driver::Bridge,
        "macvlan" => Driver::Macvlan,
        "ipvlan" => Driver::Ipvlan,
        "host" => Driver::Host,
        "null" => Driver::Null,
        "overlay" => {
            return Err(Error::forbidden(
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to \
                 swarm and try again.",
            ));
        }
        other => return Err(Error::not_found(format!("plugin \"{other}\" not found"))),
    })
}

/// The subnets, each with what of it is given out.
fn pools(configs: &[IpamConfig]) -> Result<Vec<Pool>, Error> {
    let mut errors = Vec::new();
    let pools: Vec<Pool> = configs.iter().filter_map(|config| pool(config, &mut errors)).collect();
    if errors.is_empty() {
        return Ok(pools);
    }
    Err(Error::invalid(format!("invalid network config:\n{}", joined(&errors))))
}

fn family(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "IPv4" } else { "IPv6" }
}

/// A subnet, and the same as it was written: with bits that do not belong to the prefix, perhaps.
fn block(text: &str) -> Option<(Subnet, bool)> {
    let subnet: Subnet = text.parse().ok()?;
    let (written, _) = text.split_once('/')?;
    Some((subnet, written.parse() == Ok(subnet.base())))
}

fn pool(config: &IpamConfig, errors: &mut Vec<String>) -> Option<Pool> {
    let text = config.subnet.as_str();
    let Some((subnet, is_exact)) = block(text) else {
        errors.push(format!("invalid subnet {text}: invalid CIDR block notation"));
        return None;
    };
    if !is_exact {
        errors.push(format!("invalid subnet {text}: it should be {subnet}"));
    }
    let range = range(&config.ip_range, text, subnet, errors);
    let mut inside = |text: &str, what: &str| match address(text, &config.subnet, subnet) {
        Ok(address) => address,
        Err(why) => {
            errors.push(format!("invalid {what}: {why}"));
            None
        }
    };
    let gateway = inside(&config.gateway, &format!("gateway {}", config.gateway));
    let auxiliary = config.auxiliary_addresses.iter();
    let auxiliary: BTreeMap<String, IpAddr> = auxiliary
        .filter_map(|(name, text)| Some((name.clone(), inside(text, &format!("auxiliary address {name}"))?)))
        .collect();
    Some(Pool { subnet, range, gateway, auxiliary })
}

fn range(text: &str, parent: &str, subnet: Subnet, errors: &mut Vec<String>) -> Option<Subnet> {
    if text.is_empty() {
        return None;
    }
    let mut wrong = |why: String| errors.push(format!("invalid ip-range {text}: {why}"));
    let Some((range, is_exact)) = block(text) else {
        wrong("invalid CIDR block notation".to_owned());
        return None;
    };
    if range.is_ipv4() != subnet.is_ipv4() {
        wrong(format!("parent subnet is an {} block", family(subnet.is_ipv4())));
        return None;
    }
    if range.prefix() < subnet.prefix() {
        wrong(format!("CIDR block is bigger than its parent subnet {parent}"));
    }
    if !is_exact {
        wrong(format!("it should be {range}"));
    }
    if !subnet.overlaps(&range) {
        wrong(format!("parent subnet {parent} doesn't contain ip-range"));
    }
    Some(range)
}

fn address(text: &str, parent: &str, subnet: Subnet) -> Result<Option<IpAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let address: IpAddr = text.parse().map_err(|_| "invalid address".to_owned())?;
    if address.is_ipv4() != subnet.is_ipv4() {
        return Err(format!("parent subnet is an {} block", family(subnet.is_ipv4())));
    }
    if !subnet.contains(address) {
        return Err(format!("parent subnet {parent} doesn't contain this address"));
    }
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::Kind;
    use serde_json::{Value, json};

    fn convert(body: Value) -> Result<NetworkSpec, Error> {
        network(crate::wire::read_value(body).unwrap())
    }

    fn refused(config: &Value) -> String {
        convert(json!({"Name": "x", "IPAM": {"Config": [config]}})).unwrap_err().message
    }

    #[test]
    fn who_says_nothing_gets_a_bridge_of_both_families() {
        let spec = convert(json!({"Name": " x ", "EnableIPv6": null})).unwrap();
        assert_eq!((spec.name.as_str(), spec.driver), ("x", Driver::Bridge));
        assert!(spec.ipv4 && spec.ipv6 && spec.pools.is_empty());
        let spec = convert(json!({"Name": "x", "EnableIPv6": false, "Internal": true})).unwrap();
        assert!(spec.ipv4 && !spec.ipv6 && spec.internal);
        assert!(!convert(json!({"Name": "x", "EnableIPv4": false})).unwrap().ipv4);
    }

    #[test]
    fn a_pool_is_taken_over_in_both_spellings() {
        for spelling in ["AuxiliaryAddresses", "AuxAddress"] {
            let config = json!({"Subnet": "10.1.0.0/16", "IPRange": "10.1.2.0/24", "Gateway": "10.1.0.254",
                spelling: {"router": "10.1.0.7"}});
            let spec =
                convert(json!({"Name": "x", "IPAM": {"Driver": "default", "Config": [config]}})).unwrap();
            let pool = &spec.pools[0];
            assert_eq!(pool.range.map(|range| range.to_string()).as_deref(), Some("10.1.2.0/24"));
            assert_eq!(pool.gateway, "10.1.0.254".parse().ok());
            assert_eq!(pool.auxiliary["router"].to_string(), "10.1.0.7");
        }
    }

    #[test]
    fn drivers_that_are_not_here_are_refused_as_docker_does() {
        let of = |driver: &str| convert(json!({"Name": "x", "Driver": driver}));
        assert_eq!(of("ipvlan").unwrap().driver, Driver::Ipvlan);
        let unknown = of("weave").unwrap_err();
        assert_eq!((unknown.kind, unknown.message.as_str()), (Kind::NotFound, "plugin \"weave\" not found"));
        assert_eq!(of("overlay").unwrap_err().kind, Kind::Forbidden);
        assert_eq!(convert(json!({"Name": ""})).unwrap_err().message, "invalid name: name is empty");
        assert_eq!(convert(json!({"Name": "default"})).unwrap_err().kind, Kind::Forbidden);
    }

    #[test]
    fn what_is_no_subnet_or_not_in_it_is_refused_in_dockers_words() {
        for (config, why) in [
            (json!({"Subnet": "10.0.0.0"}), "invalid subnet 10.0.0.0: invalid CIDR block notation"),
            (json!({"Gateway": "10.0.0.1"}), "invalid subnet : invalid CIDR block notation"),
            (json!({"Subnet": "10.0.0.1/24"}), "invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24"),
            (
                json!({"Subnet": "10.0.0.0/24", "IPRange": "10.0.0.0"}),
                "invalid ip-range 10.0.0.0: invalid CIDR block notation",
            ),
            (
                json!({"Subnet": "10.0.0.0/24", "IPRange": "fd00::/64"}),
                "invalid ip-range fd00::/64: parent subnet is an IPv4 block",
            ),
            (
                json!({"Subnet": "10.0.0.0/24", "IPRange": "10.0.0.0/16"}),
                "invalid ip-range 10.0.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.0/24",
            ),
            (
                json!({"Subnet": "10.0.0.0/24", "IPRange": "10.0.1.0/28"}),
                "invalid ip-range 10.0.1.0/28: parent subnet 10.0.0.0/24 doesn't contain ip-range",
            ),
            (json!({"Subnet": "10.0.0.0/24", "Gateway": "x"}), "invalid gateway x: invalid address"),
            (
                json!({"Subnet": "fd00::/64", "Gateway": "10.0.0.1"}),
                "invalid gateway 10.0.0.1: parent subnet is an IPv6 block",
            ),
            (
                json!({"Subnet": "10.0.0.0/24", "Gateway": "10.0.1.1"}),
                "invalid gateway 10.0.1.1: parent subnet 10.0.0.0/24 doesn't contain this address",
            ),
            (
                json!({"Subnet": "10.0.0.0/24", "AuxiliaryAddresses": {"a": "10.9.0.1"}}),
                "invalid auxiliary address a: parent subnet 10.0.0.0/24 doesn't contain this address",
            ),
        ] {
            assert_eq!(refused(&config), format!("invalid network config:\n{why}"));
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let config = json!({"Subnet": "10.0.0.0/24", "IPRange": "10.0.1.3/28", "Gateway": "x"});
        assert_eq!(
            refused(&config),
            "invalid network config:\n* invalid ip-range 10.0.1.3/28: it should be 10.0.1.0/28\n\
             * invalid ip-range 10.0.1.3/28: parent subnet 10.0.0.0/24 doesn't contain ip-range\n* invalid gateway x: invalid address"
        );
    }
}
