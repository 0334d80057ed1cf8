//! What stands in the files of `/etc` that a container is given.

use model::view::RESOLVER_ADDRESS;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// The name that an extra host's address may have: the host as seen from the container.
pub const HOST_GATEWAY: &str = "host-gateway";

/// `/etc/hosts`, hosts(5).
pub fn hosts(
    addresses: &[IpAddr],
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
    for address in addresses {
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

/// What follows a word at the beginning of a line of `resolv.conf`, line by line.
fn words<'a>(file: &'a str, key: &'static str) -> impl DoubleEndedIterator<Item = Vec<String>> + 'a {
    let lines = file.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    lines.filter_map(move |line| {
        let mut parts = line.split_whitespace();
        (parts.next() == Some(key)).then(|| parts.map(str::to_owned).collect())
    })
}

/// The host's name servers, as they are written.
fn host_servers(host: &str) -> impl Iterator<Item = String> {
    words(host, "nameserver").filter_map(|words| words.into_iter().next())
}

fn search(host: &str, wanted: Resolver<'_>) -> Vec<String> {
    match wanted.search {
        [] => words(host, "search")
            .next_back()
            .or_else(|| words(host, "domain").next_back())
            .unwrap_or_default(),
        [dot] if dot == "." => Vec::new(),
        given => given.to_vec(),
    }
}

fn options(host: &str, wanted: Resolver<'_>) -> Vec<String> {
    if wanted.options.is_empty() {
        words(host, "options").flatten().collect()
    } else {
        wanted.options.to_vec()
    }
}

fn write(servers: &[String], search: &[String], options: &[String]) -> String {
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

/// `/etc/resolv.conf`, resolv.conf(5), from the host's own.
///
/// With `own_network` a name server on the host's loopback addresses cannot be reached from inside and is left out; if
/// none is left, none is written, and names are not resolved rather than asked of a stranger.
pub fn resolv_conf(host: &str, wanted: Resolver<'_>, own_network: bool) -> String {
    let servers: Vec<String> = if wanted.servers.is_empty() {
        let reachable = |server: &String| {
            let plain = server.split('%').next().unwrap_or_default();
            !own_network || !plain.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        host_servers(host).filter(reachable).collect()
    } else {
        wanted.servers.iter().map(IpAddr::to_string).collect()
    };
    write(&servers, &search(host, wanted), &options(host, wanted))
}

/// How names are asked for on a network that has names of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// The container's `resolv.conf`: it asks at [`RESOLVER_ADDRESS`] alone.
    pub text: String,
    /// Who is asked there for names that are no member's, from the host's network: those wanted, or the host's own, be they on
    /// its loopback addresses.
    pub upstreams: Vec<IpAddr>,
    /// Whether a name of one word is no question for others: somebody, not we, wants it looked for in the search domains first.
    pub keeps_single_words: bool,
}

/// `/etc/resolv.conf` of a container on a network with names, as Docker has it: the host's search domains and options, and where
/// nobody says otherwise `ndots:0`, so that a name of one word is asked for as it is.
pub fn naming(host: &str, wanted: Resolver<'_>) -> Naming {
    let upstreams: Vec<IpAddr> = if wanted.servers.is_empty() {
        host_servers(host).filter_map(|server| server.parse().ok()).collect()
    } else {
        wanted.servers.to_vec()
    };
    let mut options = options(host, wanted);
    let dots = |option: &String| option.strip_prefix("ndots:").map(|number| number.parse::<u32>().ok());
    // What is no number is nothing that was wanted.
    options.retain(|option| option != "ndots" && dots(option) != Some(None));
    let said = options.iter().rev().find_map(|option| dots(option).flatten());
    if said.is_none() {
        options.push("ndots:0".to_owned());
    }
    let mut text = write(&[RESOLVER_ADDRESS.to_string()], &search(host, wanted), &options);
    let list: Vec<String> = upstreams.iter().map(IpAddr::to_string).collect();
    let _ = match list.as_slice() {
        [] => writeln!(text, "# Names of the container's networks are answered there; no other names."),
        list => writeln!(
            text,
            "# Names of the container's networks are answered there; others are asked for at {}.",
            list.join(", ")
        ),
    };
    Naming { text, upstreams, keeps_single_words: said.is_some_and(|dots| dots > 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_names_the_container_and_what_was_added() {
        let extra = [("db".to_owned(), "10.0.0.9".to_owned()), ("me".to_owned(), HOST_GATEWAY.to_owned())];
        let text = hosts(
            &[Ipv4Addr::new(172, 17, 0, 2).into()],
            "web",
            "",
            &extra,
            Some(Ipv4Addr::new(172, 17, 0, 1)),
        );
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("10.0.0.9\tdb\n172.17.0.1\tme\n172.17.0.2\tweb\n"), "{text}");
        let text = hosts(&[Ipv4Addr::new(172, 17, 0, 2).into()], "web", "example.org", &[], None);
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

    #[test]
    fn on_a_network_with_names_they_are_asked_for_there_and_others_of_the_hosts_servers() {
        let naming = |host: &str, wanted: Resolver<'_>| super::naming(host, wanted);
        let own = naming(HOST, Resolver::default());
        assert_eq!(
            own.text,
            "nameserver 127.0.0.11\nsearch a.example b.example\noptions edns0 trust-ad ndots:0\n\
             # Names of the container's networks are answered there; others are asked for at 127.0.0.53, 192.0.2.1.\n"
        );
        assert_eq!(own.upstreams, ["127.0.0.53".parse::<IpAddr>().unwrap(), "192.0.2.1".parse().unwrap()]);
        assert!(!own.keeps_single_words);
        let none = naming("", Resolver::default());
        assert!(
            none.text.starts_with("nameserver 127.0.0.11\noptions ndots:0\n") && none.upstreams.is_empty()
        );
    }

    #[test]
    fn what_was_asked_for_goes_before_the_hosts_and_dots_are_heeded() {
        let servers = ["9.9.9.9".parse().unwrap()];
        for (option, last, keeps) in [
            ("ndots:2", "ndots:2", true),
            ("ndots:0", "ndots:0", false),
            ("ndots:x", "ndots:0", false),
            ("ndots", "ndots:0", false),
            ("rotate", "rotate ndots:0", false),
        ] {
            let options = [option.to_owned()];
            let wanted = Resolver { servers: &servers, search: &[".".to_owned()], options: &options };
            let naming = naming(HOST, wanted);
            let begin = format!("nameserver 127.0.0.11\noptions {last}\n#");
            assert!(naming.text.starts_with(&begin), "{}", naming.text);
            assert_eq!((naming.upstreams.as_slice(), naming.keeps_single_words), (&servers[..], keeps));
        }
        let host = "options ndots:3\n";
        assert!(naming(host, Resolver::default()).keeps_single_words);
    }
}
