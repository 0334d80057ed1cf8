//! What a registry is asked to be, alone or as a part of the daemon: one set of flags, read in one place.

use base::Chain;
use images::distribution::{Access, Cache, Rights, Served, tls_config};
use images::registry::{Credentials, Registries, Settings};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where it listens where nobody says otherwise.
pub(crate) const LISTEN: &str = "127.0.0.1:5000";

/// Where a registry listens, and who may do what there: from flags, or from the section `registry` of the daemon's
/// configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Options {
    /// Whether it is wanted; without a word of it, it is wanted where anything else is said of it.
    enabled: Option<bool>,
    listen: Option<String>,
    users: Option<PathBuf>,
    anonymous_pull: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    /// Who signs the certificates of clients; without one of those nobody gets in.
    tls_client_ca: Option<PathBuf>,
    /// Registries of which repositories are copied.
    cache: Vec<String>,
    /// Who asks there, by registry.
    cache_logins: BTreeMap<String, CacheLogin>,
    without_users: bool,
    without_tls: bool,
}

/// Who asks a registry for what is copied of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CacheLogin {
    user: String,
    /// A file with the password, or a token that the registry takes for one.
    password_file: PathBuf,
}

/// What a flag is followed by.
pub(crate) enum Taken {
    /// It is none of a registry's.
    No,
    /// It stands alone, and is read.
    Alone,
    /// A value.
    Value,
}

impl Options {
    /// Reads a flag that stands alone; tells whether a value has to follow.
    pub(crate) fn flag(&mut self, name: &str, has_value: bool) -> Taken {
        match (name, has_value) {
            ("without-users", false) => self.without_users = true,
            ("without-tls", false) => self.without_tls = true,
            (
                "listen" | "users" | "anonymous-pull" | "tls-cert" | "tls-key" | "tls-client-ca" | "cache"
                | "cache-login",
                _,
            ) => {
                return Taken::Value;
            }
            _ => return Taken::No,
        }
        Taken::Alone
    }

    /// Says that it is wanted.
    pub(crate) fn turn_on(&mut self) {
        self.enabled = Some(true);
    }

    /// Sets the value of a flag for which [`Options::flag`] wants one.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        match name {
            "listen" => self.listen = Some(value),
            "users" => self.users = Some(value.into()),
            "anonymous-pull" => self.anonymous_pull = Some(value),
            "tls-cert" => self.tls_cert = Some(value.into()),
            "tls-key" => self.tls_key = Some(value.into()),
            "tls-client-ca" => self.tls_client_ca = Some(value.into()),
            "cache" => self.cache.extend(value.split(',').map(|name| name.trim().to_owned())),
            "cache-login" => {
                let (registry, login) = value.split_once('=').unwrap_or((&value, ""));
                let (user, file) = login.split_once(':').unwrap_or((login, ""));
                let login = CacheLogin { user: user.to_owned(), password_file: file.into() };
                self.cache_logins.insert(registry.to_owned(), login);
            }
            _ => {}
        }
    }

    /// Where to listen, once it is clear that this gives nothing away that nobody asked to be given away. `prefix` stands in
    /// front of the flags' names in messages.
    pub(crate) fn address(&self, prefix: &str) -> Result<SocketAddr, String> {
        let listen = self.listen.as_deref().unwrap_or(LISTEN);
        let address: SocketAddr = listen.parse().map_err(|_| {
            format!(
                "--{prefix}listen {listen}: an address and a port are needed, as in {LISTEN} or [::1]:5000"
            )
        })?;
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => {
                return Err(format!(
                    "--{prefix}tls-cert needs the certificate's key: --{prefix}tls-key FILE"
                ));
            }
            (None, Some(_)) => {
                return Err(format!("--{prefix}tls-key needs its certificate: --{prefix}tls-cert FILE"));
            }
            (None, None) if self.tls_client_ca.is_some() => {
                return Err(format!(
                    "--{prefix}tls-client-ca needs TLS: add --{prefix}tls-cert FILE and --{prefix}tls-key FILE"
                ));
            }
            _ => {}
        }
        if self.anonymous_pull.is_some() && self.users.is_none() {
            return Err(format!(
                "--{prefix}anonymous-pull means nothing without users, as everybody may do everything then: add --{prefix}users FILE"
            ));
        }
        if address.ip().is_loopback() {
            return Ok(address);
        }
        if self.users.is_none() && self.tls_client_ca.is_none() && !self.without_users {
            return Err(format!(
                "--{prefix}listen {listen} is refused without users: whoever reaches it could push and delete; add --{prefix}users FILE or \
                 --{prefix}tls-client-ca FILE, or --{prefix}without-users if that is what you want"
            ));
        }
        if self.tls_cert.is_none() && !self.without_tls {
            return Err(format!(
                "--{prefix}listen {listen} is refused without TLS: passwords and images would be open to whoever is on the way; add \
                 --{prefix}tls-cert FILE and --{prefix}tls-key FILE, or --{prefix}without-tls if that is what you want"
            ));
        }
        Ok(address)
    }

    /// Whether it listens at all.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.enabled.unwrap_or(*self != Options::default())
    }

    /// These, and where they say nothing, what another place says. Any of these turns the registry on.
    pub(crate) fn over(self, other: &Options) -> Options {
        let enabled = if self.is_asked_for() { Some(true) } else { self.enabled.or(other.enabled) };
        let other = other.clone();
        Options {
            enabled: enabled.or(if other.is_asked_for() { Some(true) } else { None }),
            listen: self.listen.or(other.listen),
            users: self.users.or(other.users),
            anonymous_pull: self.anonymous_pull.or(other.anonymous_pull),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            tls_client_ca: self.tls_client_ca.or(other.tls_client_ca),
            cache: if self.cache.is_empty() { other.cache } else { self.cache },
            cache_logins: other.cache_logins.into_iter().chain(self.cache_logins).collect(),
            without_users: self.without_users || other.without_users,
            without_tls: self.without_tls || other.without_tls,
        }
    }

    /// The scheme of its address.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() { "https" } else { "http" }
    }

    /// Reads the file of users.
    pub(crate) fn access(&self) -> Result<Access, String> {
        let Some(path) = &self.users else { return Ok(Access::everyone()) };
        let file = read(path)?;
        let file = String::from_utf8(file).map_err(|error| format!("read {}: {error}", path.display()))?;
        let anonymous = self.anonymous_pull.as_deref().map(Rights::pull).unwrap_or_default();
        Access::users(&file, anonymous).map_err(|error| format!("read {}: {error}", path.display()))
    }

    /// Copies other registries' repositories, where that is wished. `settings` tell how those are reached.
    pub(crate) fn copy(&self, served: Served, settings: Settings) -> Result<Served, String> {
        if self.cache.is_empty() && self.cache_logins.is_empty() {
            return Ok(served);
        }
        let runtime = tokio::runtime::Handle::current();
        let cache = Cache::new(Registries::new(settings), runtime, &self.cache);
        let mut cache = cache.map_err(|error| format!("cache: {error}"))?;
        for (registry, login) in &self.cache_logins {
            let credentials = login.read(registry)?;
            cache = cache.with_login(registry, credentials).map_err(|error| format!("cache: {error}"))?;
        }
        Ok(served.with_cache(cache))
    }

    /// Reads the certificate, where there is one.
    pub(crate) fn encrypt(&self, served: Served) -> Result<Served, String> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(served) };
        let clients = self.tls_client_ca.as_deref().map(read).transpose()?;
        let config = tls_config(&read(certificate)?, &read(key)?, clients.as_deref()).map_err(|error| {
            format!("encrypt with {} and {}: {}", certificate.display(), key.display(), Chain(&error))
        })?;
        Ok(served.with_tls(config))
    }
}

impl CacheLogin {
    /// Reads the password.
    fn read(&self, registry: &str) -> Result<Credentials, String> {
        if self.user.is_empty() || self.password_file.as_os_str().is_empty() {
            return Err(format!(
                "the login for {registry} needs a user and a file with the password: --cache-login {registry}=USER:FILE, or user and \
                 password_file in the configuration"
            ));
        }
        let path = self.password_file.display();
        let password = String::from_utf8(read(&self.password_file)?);
        let password = password.map_err(|error| format!("read {path}: {error}"))?;
        let password = password.trim_end_matches(['\r', '\n']);
        if password.is_empty() || password.contains('\n') {
            return Err(format!(
                "read {path}: one line is needed, the password of {} at {registry}",
                self.user
            ));
        }
        Ok(Credentials { user: self.user.clone(), password: password.to_owned(), ..Credentials::default() })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(flags: &[(&str, &str)]) -> Options {
        let mut options = Options::default();
        for (name, value) in flags {
            if matches!(options.flag(name, !value.is_empty()), Taken::Value) {
                options.set(name, (*value).to_owned());
            }
        }
        options
    }

    #[test]
    fn the_address_is_loopback_unless_another_is_given() {
        assert_eq!(options(&[]).address("").map(|address| address.to_string()), Ok(LISTEN.to_owned()));
        assert!(!options(&[]).is_asked_for() && options(&[("listen", LISTEN)]).is_asked_for());
    }

    #[test]
    fn flags_come_before_the_file_and_turn_the_registry_on() {
        let file = options(&[("listen", "127.0.0.1:1"), ("users", "u")]);
        assert!(Options::default().over(&file).is_asked_for());
        assert!(!Options::default().over(&Options::default()).is_asked_for());
        let off = Options { enabled: Some(false), ..file };
        assert!(!Options::default().over(&off).is_asked_for());
        let both = options(&[("listen", "127.0.0.1:2")]).over(&off);
        assert!(both.is_asked_for() && both.users == Some("u".into()));
        assert_eq!(both.address("").map(|address| address.port()), Ok(2));
    }

    #[test]
    fn a_login_with_an_upstream_is_a_user_and_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let given = |word: &str, text: &str| {
            std::fs::write(&file, text).unwrap();
            let options = options(&[("cache-login", &word.replace("FILE", &file.display().to_string()))]);
            options.cache_logins["r.example:5000"].read("r.example:5000")
        };
        let credentials = given("r.example:5000=ann:FILE", "se:cret\n").unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("ann", "se:cret"));
        for (word, text) in [
            ("=ann", "x"),
            ("", "x"),
            ("=:FILE", "x"),
            ("=ann:FILE", "\n"),
            ("=ann:FILE", "a\nb"),
            ("=ann:FILE.no", "x"),
        ] {
            let error = given(&format!("r.example:5000{word}"), text).err();
            assert!(error.is_some_and(|error| !error.contains("x\n")), "{word}");
        }
        let file = options(&[("cache-login", "a.example=one:f"), ("cache-login", "b.example=two:f")]);
        let both = options(&[("cache-login", "a.example=me:g")]).over(&file).cache_logins;
        assert_eq!((both["a.example"].user.as_str(), both["b.example"].user.as_str()), ("me", "two"));
    }

    #[test]
    fn what_would_be_open_to_all_has_to_be_asked_for() {
        let all = ("listen", "0.0.0.0:5000");
        let tls = [("tls-cert", "c"), ("tls-key", "k")];
        for (flags, told) in [
            (vec![all], "without users"),
            (vec![all, ("users", "u")], "without TLS"),
            (vec![tls[0]], "--registry-tls-key"),
            (vec![tls[1]], "--registry-tls-cert"),
            (vec![("tls-client-ca", "a")], "needs TLS"),
            (vec![("anonymous-pull", "*")], "means nothing"),
            (vec![("listen", "5000")], "an address and a port"),
        ] {
            let error = options(&flags).address("registry-").err().unwrap_or_default();
            assert!(error.contains(told), "{flags:?}: {error}");
        }
        for flags in [
            vec![all, ("users", "u"), tls[0], tls[1]],
            vec![all, ("without-users", ""), ("without-tls", "")],
            vec![("users", "u"), ("anonymous-pull", "public/*")],
            vec![all, tls[0], tls[1], ("tls-client-ca", "a")],
        ] {
            assert!(options(&flags).address("").is_ok(), "{flags:?}");
        }
    }
}
