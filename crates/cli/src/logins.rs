//! Logins to registries, kept where `docker` keeps them, so that both know the same: `config.json` in `~/.docker` or
//! `DOCKER_CONFIG`, or a program of the machine that keeps secrets (`credsStore`, `credHelpers`; its protocol is that of
//! docker-credential-helpers).

use crate::failure::Failure;
use crate::names::{bare_host, login_key};
use api_docker::wire::AuthConfig;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes of the configuration.
const CONFIG_BYTES_MAX: u64 = 4 << 20;
/// The user of whom a helper keeps a token instead of a password.
const TOKEN_USER: &str = "<token>";
/// What helpers say when they have nothing.
const HELPER_HAS_NONE: &str = "credentials not found in native keychain";

/// The configuration with the logins.
pub(crate) struct Logins {
    path: PathBuf,
    config: Map<String, Value>,
}

impl Logins {
    /// Reads the configuration; one that is not there is empty.
    ///
    /// # Errors
    /// It cannot be read, or is no JSON.
    pub(crate) fn open(directory: &Path) -> Result<Logins, Failure> {
        let path = directory.join("config.json");
        let failed = |why: String| Failure::new(format!("read {}: {why}", path.display()));
        let config = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Map::new(),
            Err(error) => return Err(failed(error.to_string())),
            Ok(metadata) if metadata.len() > CONFIG_BYTES_MAX => {
                return Err(failed(format!("it has more than {CONFIG_BYTES_MAX} bytes")));
            }
            Ok(_) => {
                let text = fs::read(&path).map_err(|error| failed(error.to_string()))?;
                match text.iter().all(u8::is_ascii_whitespace) {
                    true => Map::new(),
                    false => serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?,
                }
            }
        };
        Ok(Logins { path, config })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The helper that keeps the logins to a registry, if any does.
    fn helper(&self, key: &str) -> Option<&str> {
        let own = self.config.get("credHelpers").and_then(|helpers| helpers.get(key)).and_then(Value::as_str);
        let all = || self.config.get("credsStore").and_then(Value::as_str);
        own.or_else(all).filter(|name| !name.is_empty())
    }

    /// Whether passwords stand in the configuration itself.
    pub(crate) fn are_in_the_open(&self, registry: &str) -> bool {
        self.helper(login_key(registry)).is_none()
    }

    /// The login to a registry; an empty one where there is none.
    ///
    /// # Errors
    /// A helper fails.
    pub(crate) fn get(&self, registry: &str) -> Result<AuthConfig, Failure> {
        let key = login_key(registry);
        if let Some(helper) = self.helper(key) {
            return from_helper(helper, key);
        }
        let Some(Value::Object(auths)) = self.config.get("auths") else { return Ok(AuthConfig::default()) };
        let older =
            || auths.iter().find(|(other, _)| bare_host(other) == bare_host(key)).map(|(_, auth)| auth);
        let Some(found) = auths.get(key).or_else(older) else { return Ok(AuthConfig::default()) };
        let mut auth: AuthConfig = serde_json::from_value(found.clone()).map_err(|error| {
            Failure::new(format!("read the login to {key} in {}: {error}", self.path.display()))
        })?;
        if !auth.auth.is_empty() {
            let text =
                BASE64_STANDARD.decode(&auth.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = text.as_deref().and_then(|text| text.split_once(':'));
            let (user, password) = pair.ok_or_else(|| {
                Failure::new(format!("the login to {key} in {} is damaged", self.path.display()))
                    .with_hint(format!("log in again: bocage login {registry}"))
            })?;
            (auth.username, auth.password) = (user.to_owned(), password.trim_end_matches('\0').to_owned());
            auth.auth = String::new();
        }
        auth.serveraddress = key.to_owned();
        Ok(auth)
    }

    /// Keeps a login.
    ///
    /// # Errors
    /// It cannot be written, or a helper fails.
    pub(crate) fn keep(&mut self, registry: &str, auth: &AuthConfig) -> Result<(), Failure> {
        let key = login_key(registry);
        let by_token = !auth.identitytoken.is_empty();
        let mut entry = json!({});
        if let Some(helper) = self.helper(key) {
            let (user, secret) = match by_token {
                true => (TOKEN_USER, &auth.identitytoken),
                false => (auth.username.as_str(), &auth.password),
            };
            let input = json!({"ServerURL": key, "Username": user, "Secret": secret}).to_string();
            helped(helper, "store", &input)?;
        } else if by_token {
            let user = BASE64_STANDARD.encode(format!("{}:", auth.username));
            entry = json!({"auth": user, "identitytoken": auth.identitytoken});
        } else {
            entry = json!({"auth": BASE64_STANDARD.encode(format!("{}:{}", auth.username, auth.password))});
        }
        let auths = self.config.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths[key] = entry;
        self.write()
    }

    /// Forgets a login; whether there was one.
    ///
    /// # Errors
    /// As [`Logins::keep`].
    pub(crate) fn forget(&mut self, registry: &str) -> Result<bool, Failure> {
        let key = login_key(registry).to_owned();
        let auths = self.config.get_mut("auths").and_then(Value::as_object_mut);
        let was_there = auths.is_some_and(|auths| auths.remove(&key).is_some());
        if let Some(helper) = self.helper(&key) {
            let known = from_helper(helper, &key)? != AuthConfig::default();
            if known {
                helped(helper, "erase", &key)?;
            }
            if was_there {
                self.write()?;
            }
            return Ok(was_there || known);
        }
        if was_there {
            self.write()?;
        }
        Ok(was_there)
    }

    /// Writes all of it, whole or not at all, for its owner alone.
    fn write(&self) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::new(format!("write {}: {error}", self.path.display()));
        let directory = self.path.parent().unwrap_or(Path::new("."));
        if !directory.exists() {
            fs::create_dir_all(directory).map_err(failed)?;
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        // Whoever keeps it elsewhere and links to it goes on to do so.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut half = target.clone().into_os_string();
        half.push(format!(".{:08x}.tmp", base::random::number() as u32));
        let half = PathBuf::from(half);
        let written = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
            let mut text = serde_json::to_vec_pretty(&self.config)?;
            text.push(b'\n');
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&half, &target)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&half);
        }
        written.map_err(failed)
    }
}

fn from_helper(helper: &str, key: &str) -> Result<AuthConfig, Failure> {
    let Some(answer) = asked(helper, "get", key)? else { return Ok(AuthConfig::default()) };
    let kept: Value = serde_json::from_str(&answer)
        .map_err(|error| Failure::new(format!("docker-credential-{helper} gave no JSON: {error}")))?;
    let text = |name: &str| kept[name].as_str().unwrap_or_default().to_owned();
    let (user, secret) = (text("Username"), text("Secret"));
    let auth = AuthConfig { serveraddress: key.to_owned(), ..AuthConfig::default() };
    Ok(match user.as_str() {
        TOKEN_USER => AuthConfig { identitytoken: secret, ..auth },
        _ => AuthConfig { username: user, password: secret, ..auth },
    })
}

fn helped(helper: &str, verb: &str, input: &str) -> Result<(), Failure> {
    asked(helper, verb, input).map(drop)
}

/// Runs a helper; `None` where it has nothing.
fn asked(helper: &str, verb: &str, input: &str) -> Result<Option<String>, Failure> {
    let program = format!("docker-credential-{helper}");
    let failed = |why: String| {
        Failure::new(format!("{program} {verb}: {why}")).with_hint(
            "it is named in the configuration by credsStore or credHelpers; see `bocage login --help`",
        )
    };
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read says why by its end.
        let _ = stdin.write_all(input.as_bytes());
    }
    let done = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    match done.status.success() {
        true => Ok(Some(said)),
        false if said.trim() == HELPER_HAS_NONE => Ok(None),
        false => Err(failed(said.trim().to_owned())),
    }
}

/// A login as it is sent along with a request.
pub(crate) fn header(auth: &AuthConfig) -> Option<String> {
    if *auth == AuthConfig::default() {
        return None;
    }
    let text = serde_json::to_vec(auth).unwrap_or_default();
    Some(BASE64_URL_SAFE.encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> PathBuf {
        std::env::temp_dir().join(format!("bocage-logins-{:016x}", base::random::number()))
    }

    fn login(user: &str) -> AuthConfig {
        AuthConfig { username: user.into(), password: "pa:ss".into(), ..AuthConfig::default() }
    }

    #[test]
    fn a_login_is_kept_beside_what_others_wrote_and_forgotten_again() {
        let directory = place();
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("config.json"), r#"{"psFormat":"x","auths":{"other":{"auth":"YTpi"}}}"#)
            .unwrap();
        let mut logins = Logins::open(&directory).unwrap();
        logins.keep("r.example:5000", &login("me")).unwrap();
        let mode = fs::metadata(logins.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut logins = Logins::open(&directory).unwrap();
        let kept = logins.get("https://r.example:5000/v2/").unwrap();
        assert_eq!((kept.username.as_str(), kept.password.as_str()), ("me", "pa:ss"));
        assert_eq!(logins.get("other").unwrap().username, "a");
        assert_eq!(logins.config["psFormat"], "x");
        assert_eq!(logins.get("docker.io").unwrap(), AuthConfig::default());
        assert_eq!((logins.forget("r.example:5000"), logins.forget("r.example:5000")), (Ok(true), Ok(false)));
        assert_eq!(Logins::open(&directory).unwrap().get("r.example:5000").unwrap(), AuthConfig::default());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_older_spelling_of_a_registry_is_found() {
        let directory = place();
        fs::create_dir_all(&directory).unwrap();
        let text = r#"{"auths":{"https://r.example/v1/":{"auth":"YTpi"},"https://index.docker.io/v1/":{"identitytoken":"t"}}}"#;
        fs::write(directory.join("config.json"), text).unwrap();
        let logins = Logins::open(&directory).unwrap();
        assert_eq!(logins.get("r.example").unwrap().username, "a");
        assert_eq!(logins.get("docker.io").unwrap().identitytoken, "t");
        fs::write(directory.join("config.json"), "{").unwrap();
        assert!(Logins::open(&directory).is_err_and(|failure| failure.message.contains("config.json")));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn nothing_is_sent_where_nothing_is_known() {
        assert_eq!(header(&AuthConfig::default()), None);
        let sent = BASE64_URL_SAFE.decode(header(&login("me")).unwrap()).unwrap();
        assert_eq!(String::from_utf8(sent).unwrap(), r#"{"username":"me","password":"pa:ss"}"#);
    }
}
