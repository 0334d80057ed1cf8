//! A container's places on networks, as flags say them: `--network` in both its forms, and what belongs to the first one.

use crate::failure::Failure;
use crate::table::Parsed;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A place on a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) network: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) ip: String,
    pub(crate) ip6: String,
    pub(crate) link_local: Vec<String>,
    pub(crate) links: Vec<String>,
    pub(crate) mac: String,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) priority: i64,
}

/// `NAME=VALUE`s.
pub(crate) fn options(given: &[String], flag: &str) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.trim().is_empty() || !text.contains('=') {
            let why = format!("invalid argument {text:?} for \"--{flag}\" flag: NAME=VALUE is needed");
            return Err(Failure::new(why));
        }
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    given.iter().map(pair).collect()
}

/// Whether a name is one of a network that somebody made.
fn is_user_defined(network: &str) -> bool {
    !matches!(network, "default" | "bridge" | "host" | "none") && !network.starts_with("container:")
}

impl Place {
    pub(crate) fn of(network: &str) -> Place {
        Place { network: network.to_owned(), ..Place::default() }
    }

    /// Reads `NAME`, or `name=NAME,alias=…`.
    fn parse(text: &str) -> Result<Place, Failure> {
        if !text.contains('=') {
            return Ok(Place::of(text));
        }
        let bad =
            |why: String| Failure::new(format!("invalid argument {text:?} for \"--network\" flag: {why}"));
        let mut place = Place::default();
        for field in text.split(',') {
            let (key, value) = field.split_once('=').ok_or_else(|| bad(format!("invalid field {field}")))?;
            let value = value.trim().to_owned();
            match key.trim().to_ascii_lowercase().as_str() {
                "name" => place.network = value,
                "alias" => place.aliases.push(value),
                "ip" => place.ip = value,
                "ip6" => place.ip6 = value,
                "mac-address" => place.mac = value,
                "link-local-ip" => place.link_local.push(value),
                "driver-opt" => place.options.extend(options(&[value], "network driver-opt")?),
                "gw-priority" => {
                    let number = value.parse();
                    place.priority =
                        number.map_err(|_| bad(format!("invalid gw-priority: {value:?} is no number")))?;
                }
                other => return Err(bad(format!("invalid field key {other}"))),
            }
        }
        match place.network.is_empty() {
            true => Err(bad("network name/id is not specified".to_owned())),
            false => Ok(place),
        }
    }

    /// Adds what flags of their own say of the first network.
    fn with_flags(&mut self, parsed: &Parsed) -> Result<(), Failure> {
        let both = |one: &str, other: &str| {
            Err(Failure::new(format!(
                "conflicting options: cannot specify both {one} and per-network {other}"
            )))
        };
        let mut aliases = parsed.all("network-alias");
        aliases.extend(parsed.all("net-alias"));
        if !aliases.is_empty() {
            if !self.aliases.is_empty() {
                return both("--network-alias", "alias");
            }
            self.aliases = aliases;
        }
        self.links = parsed.all("link");
        for (flag, what, field) in [
            ("ip", "IPv4 address", &mut self.ip),
            ("ip6", "IPv6 address", &mut self.ip6),
            ("mac-address", "MAC address", &mut self.mac),
        ] {
            match parsed.get(flag) {
                Some(_) if !field.is_empty() => return both(&format!("--{flag}"), what),
                Some(value) => value.clone_into(field),
                None => {}
            }
        }
        Ok(())
    }

    /// As the API wants it: only what was said.
    pub(crate) fn body(&self) -> Value {
        let mut body = Map::new();
        let mut ipam = Map::new();
        let set = |map: &mut Map<String, Value>, name: &str, value: Value, is_given: bool| {
            if is_given {
                map.insert(name.to_owned(), value);
            }
        };
        set(&mut ipam, "IPv4Address", json!(self.ip), !self.ip.is_empty());
        set(&mut ipam, "IPv6Address", json!(self.ip6), !self.ip6.is_empty());
        set(&mut ipam, "LinkLocalIPs", json!(self.link_local), !self.link_local.is_empty());
        let has_ipam = !ipam.is_empty();
        set(&mut body, "IPAMConfig", Value::Object(ipam), has_ipam);
        set(&mut body, "Aliases", json!(self.aliases), !self.aliases.is_empty());
        set(&mut body, "Links", json!(self.links), !self.links.is_empty());
        set(&mut body, "MacAddress", json!(self.mac), !self.mac.is_empty());
        set(&mut body, "DriverOpts", json!(self.options), !self.options.is_empty());
        set(&mut body, "GwPriority", json!(self.priority), self.priority != 0);
        Value::Object(body)
    }

    fn check(&self) -> Result<(), Failure> {
        if is_user_defined(&self.network) {
            return Ok(());
        }
        let refused = |why: &str| {
            Err(Failure::new(why).with_hint(format!(
                "make a network of your own with `bocage network create NAME`, and give it instead of {}",
                self.network
            )))
        };
        if !self.aliases.is_empty() {
            return refused("network-scoped aliases are only supported for user-defined networks");
        }
        if !self.links.is_empty() {
            return refused("links are only supported for user-defined networks");
        }
        Ok(())
    }
}

/// The network that stands for all of them, and the places that have more to say than its name.
pub(crate) fn places(parsed: &Parsed) -> Result<(String, Map<String, Value>), Failure> {
    let mut given = parsed.all("network");
    given.extend(parsed.all("net"));
    let mut places: Vec<Place> = given.iter().map(|text| Place::parse(text)).collect::<Result<_, _>>()?;
    if places.is_empty() {
        places.push(Place::of("default"));
    }
    places[0].with_flags(parsed)?;
    let is_alone = places.len() == 1;
    let own = places.iter().filter(|place| is_user_defined(&place.network)).count();
    if own > 0 && own < places.len() {
        return Err(Failure::new(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ));
    }
    let mut bodies = Map::new();
    for place in &places {
        place.check()?;
        let body = place.body();
        let says_nothing = body.as_object().is_none_or(Map::is_empty);
        if is_alone && says_nothing {
            continue;
        }
        if bodies.insert(place.network.clone(), body).is_some() {
            return Err(Failure::new(format!("network {:?} is specified multiple times", place.network)));
        }
    }
    Ok((places.swap_remove(0).network, bodies))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::find;

    fn read(flags: &str) -> Result<(String, Value), String> {
        let words: Vec<String> =
            format!("run {flags} busybox").split_whitespace().map(str::to_owned).collect();
        let (entry, used) = find(&words).unwrap();
        let read = places(&entry.parse(&words[used..]).unwrap());
        read.map(|(mode, bodies)| (mode, Value::Object(bodies))).map_err(|failure| failure.message)
    }

    #[test]
    fn a_network_alone_is_a_mode_and_no_more() {
        assert_eq!(read(""), Ok(("default".to_owned(), json!({}))));
        assert_eq!(read("--network mine"), Ok(("mine".to_owned(), json!({}))));
        assert_eq!(read("--net container:web"), Ok(("container:web".to_owned(), json!({}))));
        let mac = json!({"default": {"MacAddress": "02:00:00:00:00:01"}});
        assert_eq!(read("--mac-address 02:00:00:00:00:01"), Ok(("default".to_owned(), mac)));
    }

    #[test]
    fn flags_belong_to_the_first_of_several_networks() {
        let flags = "--network front --network name=back,alias=a,alias=b,ip=10.0.0.9,ip6=fd00::9,gw-priority=-3,driver-opt=k=v,\
                     mac-address=02:00:00:00:00:01 --network-alias w --ip 10.1.0.9 --link db:d";
        let (mode, bodies) = read(flags).unwrap();
        assert_eq!(mode, "front");
        assert_eq!(
            bodies,
            json!({
                "front": {"Aliases": ["w"], "IPAMConfig": {"IPv4Address": "10.1.0.9"}, "Links": ["db:d"]},
                "back": {"Aliases": ["a", "b"], "IPAMConfig": {"IPv4Address": "10.0.0.9", "IPv6Address": "fd00::9"},
                    "GwPriority": -3, "DriverOpts": {"k": "v"}, "MacAddress": "02:00:00:00:00:01"}
            })
        );
    }

    #[test]
    fn what_does_not_go_together_is_refused_in_dockers_words() {
        for (flags, why) in [
            (
                "--network name=a,alias=x --network-alias y",
                "conflicting options: cannot specify both --network-alias and per-network alias",
            ),
            (
                "--network name=a,ip=10.0.0.1 --ip 10.0.0.2",
                "conflicting options: cannot specify both --ip and per-network IPv4 address",
            ),
            (
                "--network name=a,mac-address=02:00:00:00:00:01 --mac-address 02:00:00:00:00:02",
                "conflicting options: cannot specify both --mac-address and per-network MAC address",
            ),
            (
                "--network host --network a",
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
            ),
            ("--network a --network a", "network \"a\" is specified multiple times"),
            ("--network-alias x", "network-scoped aliases are only supported for user-defined networks"),
            ("--link x", "links are only supported for user-defined networks"),
            (
                "--network alias=x",
                "invalid argument \"alias=x\" for \"--network\" flag: network name/id is not specified",
            ),
            (
                "--network name=a,fly=1",
                "invalid argument \"name=a,fly=1\" for \"--network\" flag: invalid field key fly",
            ),
        ] {
            assert_eq!(read(flags).unwrap_err(), why);
        }
    }
}
