//! What the name of an image says about its registry, which is all that the command line needs to know of it.

/// The registry of names without one, and under what its logins are kept.
const HUB: &str = "docker.io";
const HUB_LOGIN: &str = "https://index.docker.io/v1/";
/// Other names of it.
const HUB_NAMES: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
const HUB_DIRECTORY: &str = "library";
const DEFAULT_TAG: &str = "latest";

/// A name in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name<'n> {
    /// The registry.
    pub(crate) registry: &'n str,
    /// The repository, in full.
    pub(crate) repository: String,
    /// The tag; none if there is a digest, and `latest` where there is neither.
    pub(crate) tag: Option<&'n str>,
    /// The digest.
    pub(crate) digest: Option<&'n str>,
    /// Whether the tag is one that was not written.
    pub(crate) tag_is_default: bool,
}

impl<'n> Name<'n> {
    /// Takes a name apart. Whether its parts are any good is for the daemon to say.
    pub(crate) fn of(text: &'n str) -> Name<'n> {
        let (bare, digest) = text.split_once('@').map_or((text, None), |(bare, digest)| (bare, Some(digest)));
        let last = bare.rfind('/').map_or(0, |at| at + 1);
        let (bare, tag) = match bare[last..].split_once(':') {
            Some((end, tag)) => (&bare[..last + end.len()], Some(tag)),
            None => (bare, None),
        };
        let is_registry = |first: &str| {
            first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase)
        };
        let (registry, path) = match bare.split_once('/') {
            Some((first, path)) if is_registry(first) => (first, path),
            _ => (HUB, bare),
        };
        let registry = if HUB_NAMES.contains(&registry) { HUB } else { registry };
        let repository = match registry == HUB && !path.contains('/') {
            true => format!("{HUB_DIRECTORY}/{path}"),
            false => path.to_owned(),
        };
        let tag_is_default = tag.is_none() && digest.is_none();
        let tag = if tag_is_default { Some(DEFAULT_TAG) } else { tag };
        Name { registry, repository, tag, digest, tag_is_default }
    }

    /// Registry and repository.
    pub(crate) fn full(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What is asked for in the repository.
    pub(crate) fn version(&self) -> &'n str {
        self.digest.or(self.tag).unwrap_or_default()
    }

    /// All of it as people write it: without the registry that need not be named.
    pub(crate) fn familiar(&self) -> String {
        let whole = self.whole();
        let short = whole.strip_prefix("docker.io/").unwrap_or(&whole);
        let bare = short.strip_prefix("library/").filter(|_| self.registry == HUB);
        bare.unwrap_or(short).to_owned()
    }

    /// All of it, as it is shown after a pull.
    pub(crate) fn whole(&self) -> String {
        let tag = self.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{}{tag}{digest}", self.full())
    }
}

/// Under what the logins to a registry are kept.
pub(crate) fn login_key(registry: &str) -> &str {
    if registry.is_empty() || registry == HUB_LOGIN || HUB_NAMES.contains(&bare_host(registry)) {
        HUB_LOGIN
    } else {
        bare_host(registry)
    }
}

/// A key of an older kind as a host: `https://r.example/v1/`.
pub(crate) fn bare_host(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_as_the_daemon_does() {
        for (text, whole, login) in [
            ("nginx", "docker.io/library/nginx:latest", HUB_LOGIN),
            ("me/app:1", "docker.io/me/app:1", HUB_LOGIN),
            ("index.docker.io/app", "docker.io/library/app:latest", HUB_LOGIN),
            ("localhost:5000/a", "localhost:5000/a:latest", "localhost:5000"),
            ("r.example/a/b:2", "r.example/a/b:2", "r.example"),
            ("nginx@sha256:00", "docker.io/library/nginx@sha256:00", HUB_LOGIN),
        ] {
            let name = Name::of(text);
            assert_eq!((name.whole().as_str(), login_key(name.registry)), (whole, login));
        }
        assert_eq!(login_key("https://r.example/v2/"), "r.example");
        assert_eq!(login_key(""), HUB_LOGIN);
    }
}
