//! The daemon's configuration file, in YAML. No setting is needed: without a file everything has its default.
//!
//! ```yaml
//! registries:
//!   docker.io:
//!     mirrors: [https://mirror.example:5000]
//!   registry.example:5000:
//!     insecure: true
//! certificates: [/etc/bocage/certs.d]
//! registry:
//!   enabled: true
//!   listen: 127.0.0.1:5000
//! network:
//!   pools:
//!     - {base: 10.128.0.0/9, size: 24}
//! ```
//!
//! A name that is no setting is refused: a slip must not leave a default in force unseen.

use images::registry::HostSettings;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Where the file is looked for unless another is named.
pub(crate) const FILE: &str = "/etc/bocage/config.yaml";
/// Bytes of the file.
const BYTES_MAX: u64 = 1 << 20;
/// Where authorities and certificates for registries lie, a directory for each registry: ours, and Docker's.
const CERTIFICATES: [&str; 2] = ["/etc/bocage/certs.d", "/etc/docker/certs.d"];

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// How registries are reached, by their name in names of images.
    pub(crate) registries: BTreeMap<String, Registry>,
    /// Directories with a directory of certificates for each registry.
    pub(crate) certificates: Vec<PathBuf>,
    /// The daemon's own registry.
    pub(crate) registry: crate::registry::Options,
    /// Networks that say nothing themselves.
    pub(crate) network: Network,
}

/// What networks get that do not ask for it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Network {
    /// Where subnets are cut from; of a family of addresses that is not named, the daemon's own choice.
    pools: Vec<NetworkPool>,
}

/// A space for subnets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkPool {
    /// All of it.
    base: model::Subnet,
    /// The bits of the prefix of each subnet.
    size: u8,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            registries: BTreeMap::new(),
            certificates: CERTIFICATES.map(PathBuf::from).to_vec(),
            registry: crate::registry::Options::default(),
            network: Network::default(),
        }
    }
}

/// How one registry is reached.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registry {
    /// Addresses that are asked before it.
    mirrors: Vec<String>,
    /// Whether its certificate is not looked at, and plain HTTP is spoken where it has none.
    insecure: bool,
}

impl Config {
    /// Reads the file that was named, or the usual one if it is there.
    ///
    /// # Errors
    /// In words for the user: what cannot be read or understood, and where.
    pub(crate) fn read(named: Option<&Path>) -> Result<Config, String> {
        let path = named.unwrap_or(Path::new(FILE));
        let failed = |why: String| format!("read the configuration {}: {why}", path.display());
        match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
                return Ok(Config::default());
            }
            Err(error) => return Err(failed(error.to_string())),
            Ok(metadata) if metadata.len() > BYTES_MAX => {
                return Err(failed(format!("it has more than {BYTES_MAX} bytes")));
            }
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Config::parse(&text).map_err(failed)
    }

    fn parse(text: &str) -> Result<Config, String> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Config::default());
        }
        let config: Config = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        for (name, registry) in &config.registries {
            if name.is_empty() || name.contains(['/', ' ']) {
                return Err(format!(
                    "registries: {name:?} is no registry; give the host as in names of images, like docker.io or r.example:5000"
                ));
            }
            for mirror in &registry.mirrors {
                check_mirror(name, mirror)?;
            }
        }
        for NetworkPool { base, size } in &config.network.pools {
            let most = model::subnet::width(base.base()) - 2;
            if *size < base.prefix() || *size > most {
                return Err(format!(
                    "network.pools: subnets of /{size} cannot be cut from {base}: give a size from {} to {most}",
                    base.prefix()
                ));
            }
        }
        Ok(config)
    }

    /// Where networks get their subnets from.
    pub(crate) fn network_spaces(&self) -> Vec<plan::address::Space> {
        let space = |pool: &NetworkPool| plan::address::Space { base: pool.base, part: pool.size };
        self.network.pools.iter().map(space).collect()
    }

    /// How registries are reached, as the client for them wants it.
    pub(crate) fn hosts(&self) -> BTreeMap<String, HostSettings> {
        let host = |registry: &Registry| HostSettings {
            mirrors: registry.mirrors.clone(),
            insecure: registry.insecure,
        };
        self.registries.iter().map(|(name, registry)| (name.clone(), host(registry))).collect()
    }
}

fn check_mirror(name: &str, mirror: &str) -> Result<(), String> {
    let rest = mirror.strip_prefix("https://").or_else(|| mirror.strip_prefix("http://"));
    let is_address = rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.contains(['?', '#', '@', ' '])
    });
    if is_address {
        return Ok(());
    }
    Err(format!(
        "registries.{name}.mirrors: {mirror:?} is no address; give one like https://mirror.example:5000"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_and_insecure_registries_are_read_for_any_registry() {
        let text = "registries:\n  docker.io:\n    mirrors: [https://m.example:5000, http://10.0.0.1/hub]\n  \
                    r.example:5000:\n    insecure: true\n";
        let hosts = Config::parse(text).map(|config| config.hosts());
        let mirrors = vec!["https://m.example:5000".to_owned(), "http://10.0.0.1/hub".to_owned()];
        let expected = BTreeMap::from([
            ("docker.io".to_owned(), HostSettings { mirrors, insecure: false }),
            ("r.example:5000".to_owned(), HostSettings { insecure: true, ..HostSettings::default() }),
        ]);
        assert_eq!(hosts, Ok(expected));
        assert!(Config::parse("# nothing yet\n").is_ok_and(|config| config.certificates.len() == 2));
    }

    #[test]
    fn the_daemons_own_registry_is_set_in_the_file_too() {
        let config = Config::parse("registry:\n  enabled: true\n  listen: 127.0.0.1:7\n");
        let port = config.and_then(|config| config.registry.address("registry-"));
        assert_eq!(port.map(|address| address.port()), Ok(7));
        let asked = |text: &str| Config::parse(text).map(|config| config.registry.is_asked_for());
        assert_eq!(asked("registry: {enabled: false, listen: x}"), Ok(false));
        assert_eq!(asked("registry: {users: /u}"), Ok(true));
    }

    #[test]
    fn what_is_no_setting_is_refused_by_its_name() {
        for (text, told) in [
            ("registrys: {}", "registrys"),
            ("registry: {listens: x}", "listens"),
            ("registries:\n  a.b: {mirrors: [m.example]}", "m.example"),
            ("registries:\n  a.b: {insecur: true}", "insecur"),
            ("registries:\n  https://a.b: {insecure: true}", "https://a.b"),
            ("registries: [", "line"),
            ("network: {pools: [{base: 10.0.0.0, size: 24}]}", "invalid CIDR address: 10.0.0.0"),
            ("network: {pools: [{base: 10.0.0.0/16, size: 8}]}", "from 16 to 30"),
        ] {
            let error = Config::parse(text).map(|_| ()).err().unwrap_or_default();
            assert!(error.contains(told), "{text}: {error}");
        }
        let missing = Path::new("/does/not/exist.yaml");
        assert!(Config::read(Some(missing)).is_err_and(|error| error.contains("/does/not/exist.yaml")));
    }
}
