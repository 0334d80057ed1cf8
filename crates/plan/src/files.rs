//! What stands in the files of `/etc` that a container is given.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// The name that an extra host's address may have: the host as seen from the container.
pub const HOST_GATEWAY: &str = "host-gateway";

/// `/etc/hosts`, hosts(5).
pub fn hosts(
    address: Option<Ipv4Addr>,
    hostname: &str,
    domainname: &str,
    extra: &[(String, String)],
    gateway: Option<Ipv4Addr>,
) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for (name, address) in extra {
        let address = match gateway {
            Some(gateway) if address == HOST_GATEWAY => gateway.to_string(),
            _ => address.clone(),
        };
        let _ = writeln!(text, "{address}\t{name}");
    }
    if let Some(address) = address {
        if domainname.is_empty() {
            let _ = writeln!(text, "{address}\t{hostname}");
        } else {
            let _ = writeln!(text, "{address}\t{hostname}.{domainname} {hostname}");
        }
    }
    text
}

/// What a container's `resolv.conf` shall say where it differs from the host's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resolver<'a> {
    /// Name servers.
    pub servers: &'a [IpAddr],
    /// Search domains; a single `.` stands for none at all.
    pub search: &'a [String],
    /// Options.
    pub options: &'a [String],
}

/// `/etc/resolv.conf`, resolv.conf(5), from the host's own.
///
/// With `own_network` a name server on the host's loopback addresses cannot be reached from inside and is left out; if
/// none is left, none is written, and names are not resolved rather than asked of a stranger.
pub fn resolv_conf(host: &str, wanted: Resolver<'_>, own_network: bool) -> String {
    let lines =
        || host.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']) && !line.is_empty());
    let words = |key: &'static str| {
        lines().filter_map(move |line| {
            let mut parts = line.split_whitespace();
            (parts.next() == Some(key)).then(|| parts.map(str::to_owned).collect::<Vec<_>>())
        })
    };
    let servers: Vec<String> = if wanted.servers.is_empty() {
        let reachable = |server: &String| {
            let plain = server.split('%').next().unwrap_or_default();
            !own_network || !plain.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        words("nameserver").filter_map(|w| w.into_iter().next()).filter(reachable).collect()
    } else {
        wanted.servers.iter().map(IpAddr::to_string).collect()
    };
    let search: Vec<String> = match wanted.search {
        [] => words("search").next_back().or_else(|| words("domain").next_back()).unwrap_or_default(),
        [dot] if dot == "." => Vec::new(),
        given => given.to_vec(),
    };
    let options: Vec<String> = if wanted.options.is_empty() {
        words("options").flatten().collect()
    } else {
        wanted.options.to_vec()
    };
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    for (key, values) in [("search", search), ("options", options)] {
        if !values.is_empty() {
            let _ = writeln!(text, "{key} {}", values.join(" "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_names_the_container_and_what_was_added() {
        let extra = [("db".to_owned(), "10.0.0.9".to_owned()), ("me".to_owned(), HOST_GATEWAY.to_owned())];
        let text =
            hosts(Some(Ipv4Addr::new(172, 17, 0, 2)), "web", "", &extra, Some(Ipv4Addr::new(172, 17, 0, 1)));
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("10.0.0.9\tdb\n172.17.0.1\tme\n172.17.0.2\tweb\n"), "{text}");
        let text = hosts(Some(Ipv4Addr::new(172, 17, 0, 2)), "web", "example.org", &[], None);
        assert!(text.ends_with("172.17.0.2\tweb.example.org web\n"), "{text}");
    }

    const HOST: &str = "# made by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch a.example b.example\noptions edns0 trust-ad\n";

    #[test]
    fn the_hosts_loopback_name_server_is_left_out_on_a_network_of_ones_own() {
        let own = resolv_conf(HOST, Resolver::default(), true);
        assert_eq!(own, "nameserver 192.0.2.1\nsearch a.example b.example\noptions edns0 trust-ad\n");
        assert!(resolv_conf(HOST, Resolver::default(), false).starts_with("nameserver 127.0.0.53\n"));
    }

    #[test]
    fn what_was_asked_for_replaces_what_the_host_has() {
        let servers = ["9.9.9.9".parse().unwrap()];
        let search = [".".to_owned()];
        let options = ["ndots:2".to_owned()];
        let wanted = Resolver { servers: &servers, search: &search, options: &options };
        assert_eq!(resolv_conf(HOST, wanted, true), "nameserver 9.9.9.9\noptions ndots:2\n");
    }
}
