//! Where a registry is asked: its mirrors first, then itself, and how each is spoken to.
//!
//! Decided from the configuration and the name alone. Encrypted, unless the registry is on this machine or the
//! configuration calls it insecure: then its certificate is not looked at, and where there is none, plain HTTP is spoken.

use super::ranges::Parts;
pub use ::dial::Proxies;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The registry of names without one, and the machine that answers for it.
pub const HUB: &str = "docker.io";
const HUB_HOST: &str = "registry-1.docker.io";
/// Other names of it, as they stand in addresses of logins.
const HUB_NAMES: [&str; 3] = ["index.docker.io", HUB_HOST, HUB];

/// What the configuration says of one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Addresses that are asked before it, like `https://mirror.example:5000`; they may have a path.
    pub mirrors: Vec<String>,
    /// Whether its certificate is not looked at, and plain HTTP is spoken where it has none.
    pub insecure: bool,
}

/// How long registries are waited for, and how often they are asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until an answer begins.
    pub answer: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// Before the first new attempt; doubled for each further one.
    pub first_pause: Duration,
    /// The longest pause, also where the registry asks for a longer one.
    pub pause_max: Duration,
    /// Attempts for one request, and of reading on where a body broke off without a single byte.
    pub attempts: u32,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            first_pause: Duration::from_millis(500),
            pause_max: Duration::from_secs(30),
            attempts: 5,
        }
    }
}

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// By their name in names of images: a host, maybe with a port; `docker.io` for names without one.
    pub hosts: BTreeMap<String, HostSettings>,
    /// Directories that have one directory for each registry, named as above, with authorities (`*.crt`) and
    /// certificates of our own (`*.cert`, each with its `*.key`).
    pub certificates: Vec<PathBuf>,
    /// Proxies.
    pub proxies: Proxies,
    /// How we call ourselves.
    pub user_agent: String,
    /// How long is waited.
    pub patience: Patience,
    /// Which layers are fetched in parts.
    pub parts: Parts,
}

/// One address of a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Endpoint {
    /// `https://host:port`, and a path where a mirror has one.
    pub(crate) base: String,
    /// The host with its port: whose certificates are used.
    pub(crate) host: String,
    /// Whether its certificate is not looked at.
    pub(crate) insecure: bool,
}

impl Endpoint {
    /// The address of something below `/v2/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/v2/{path}", self.base)
    }

    /// Whether it is on this machine, as far as its name tells.
    pub(crate) fn is_here(&self) -> bool {
        is_loopback(&self.host)
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.base.starts_with("https://")
    }
}

/// The addresses of a registry in the order in which they are asked. Those of mirrors come first, where they may be
/// asked at all: nothing is pushed to a mirror.
pub(crate) fn endpoints(settings: &Settings, domain: &str, mirrors: bool) -> Vec<Endpoint> {
    let mut found = Vec::new();
    let host = settings.hosts.get(domain);
    if mirrors {
        for mirror in host.iter().flat_map(|host| &host.mirrors) {
            let mirror = mirror.trim_end_matches('/');
            let (scheme, rest) = mirror.split_once("://").unwrap_or(("https", mirror));
            let name = rest.split('/').next().unwrap_or_default().to_owned();
            let insecure = scheme == "http" || is_insecure(settings, &name);
            found.push(Endpoint { base: format!("{scheme}://{rest}"), host: name, insecure });
        }
    }
    let name = if domain == HUB { HUB_HOST } else { domain };
    let insecure = is_insecure(settings, domain);
    let schemes: &[&str] = if insecure { &["https", "http"] } else { &["https"] };
    for scheme in schemes {
        found.push(Endpoint { base: format!("{scheme}://{name}"), host: name.to_owned(), insecure });
    }
    found
}

/// Whether a registry's certificate is not looked at: as the configuration says; otherwise if it is on this machine.
fn is_insecure(settings: &Settings, host: &str) -> bool {
    if let Some(settings) = settings.hosts.get(host)
        && settings.insecure
    {
        return true;
    }
    is_loopback(host)
}

/// Whether a host, maybe with a port, is this machine.
fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The registry that the address of a login means: `https://index.docker.io/v1/`, `host:5000` or nothing.
pub(crate) fn domain_of(address: &str) -> &str {
    let bare = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = bare.split('/').next().unwrap_or_default();
    if host.is_empty() || HUB_NAMES.contains(&host) { HUB } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(settings: &Settings, domain: &str, mirrors: bool) -> Vec<String> {
        endpoints(settings, domain, mirrors).into_iter().map(|endpoint| endpoint.base).collect()
    }

    #[test]
    fn what_is_not_on_this_machine_is_encrypted_unless_it_is_configured_otherwise() {
        let mut settings = Settings::default();
        assert_eq!(bases(&settings, "docker.io", true), ["https://registry-1.docker.io"]);
        assert_eq!(bases(&settings, "r.example:5000", true), ["https://r.example:5000"]);
        for local in ["localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "localhost"] {
            let both = [format!("https://{local}"), format!("http://{local}")];
            assert_eq!(bases(&settings, local, true), both, "{local}");
        }
        let insecure = HostSettings { insecure: true, ..HostSettings::default() };
        settings.hosts.insert("r.example:5000".to_owned(), insecure);
        assert_eq!(
            bases(&settings, "r.example:5000", false),
            ["https://r.example:5000", "http://r.example:5000"]
        );
        assert!(!is_insecure(&settings, "r.example"));
        assert!(!is_insecure(&settings, "127.0.0.1.example"));
    }

    #[test]
    fn mirrors_of_any_registry_are_asked_first_and_never_pushed_to() {
        let mut settings = Settings::default();
        let mirrors = vec!["http://cache:5000/hub/".to_owned(), "other.example".to_owned()];
        settings.hosts.insert("ghcr.io".to_owned(), HostSettings { mirrors, insecure: false });
        let all = ["http://cache:5000/hub", "https://other.example", "https://ghcr.io"];
        assert_eq!(bases(&settings, "ghcr.io", true), all);
        assert_eq!(bases(&settings, "ghcr.io", false), ["https://ghcr.io"]);
        assert_eq!(
            endpoints(&settings, "ghcr.io", true)[0].url("x/tags/list"),
            "http://cache:5000/hub/v2/x/tags/list"
        );
    }

    #[test]
    fn the_address_of_a_login_names_a_registry() {
        for (address, domain) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("localhost:5000", "localhost:5000"),
            ("https://r.example/v2/", "r.example"),
        ] {
            assert_eq!(domain_of(address), domain);
        }
    }
}
