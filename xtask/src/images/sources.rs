//! Where this machine's Debian packages come from: its mirror, its release, its proxy.

use std::fs;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// How long a mirror may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The mirror that this machine installs from.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    /// Where it is, `http://…/debian`.
    pub(crate) uri: String,
    /// The release, `bookworm`.
    pub(crate) suite: String,
    /// The sections that hold what the images need.
    pub(crate) components: &'static str,
    /// The proxy that apt is told to use, if any.
    pub(crate) proxy: Option<String>,
}

impl Mirror {
    /// Finds the mirror in apt's own settings, and makes sure that it answers.
    pub(crate) fn find() -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let value = |name: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        let suite = value("VERSION_CODENAME");
        let components = if value("ID") == "ubuntu" { "main,universe" } else { "main" };
        let texts = source_files().into_iter().filter_map(|file| fs::read_to_string(file).ok());
        let mut uris: Vec<String> =
            texts.flat_map(|text| entries(&text, &suite)).filter_map(|uri| plain(&uri)).collect();
        // Other people's archives may carry the same release name; the distribution's own end with its name.
        uris.sort_by_key(|uri| !(uri.ends_with("/debian") || uri.ends_with("/ubuntu")));
        let uri = uris.into_iter().next().with_context(|| format!("apt knows no mirror of `{suite}`"))?;
        let proxy = proxy();
        let mirror = Self { uri, suite, components, proxy };
        mirror.answers()?;
        Ok(mirror)
    }

    fn answers(&self) -> Result<()> {
        let url = self.proxy.as_deref().unwrap_or(&self.uri);
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let host = rest.split('/').next().unwrap_or(rest);
        let host = host.rsplit('@').next().unwrap_or(host);
        let place = if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:{}", if scheme == "https" { 443 } else { 80 })
        };
        let addresses = place.to_socket_addrs().context("the mirror of Debian's packages has no address")?;
        for address in addresses {
            if TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_ok() {
                return Ok(());
            }
        }
        bail!("the mirror of Debian's packages does not answer")
    }
}

fn source_files() -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(folder) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(folder.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    files
}

/// The URIs in an apt source file, of either format, that carry the section `main` of a release. See sources.list(5).
fn entries(text: &str, suite: &str) -> Vec<String> {
    let mut uris = Vec::new();
    for line in text.lines().filter_map(|line| line.trim().strip_prefix("deb ")) {
        // Options stand in brackets before the URI.
        let line = line.trim().rsplit("] ").next().unwrap_or(line);
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.len() > 2 && words[1] == suite && words[2..].contains(&"main") {
            uris.push(words[0].trim_end_matches('/').to_owned());
        }
    }
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            let found = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let fits = field("Suites").iter().any(|word| word == suite)
            && field("Components").iter().any(|word| word == "main")
            && field("Enabled").first().is_none_or(|word| word != "no");
        if fits {
            uris.extend(field("URIs").iter().map(|uri| uri.trim_end_matches('/').to_owned()));
        }
    }
    uris
}

/// A URI that debootstrap understands: apt's lists of mirrors, as cloud images have them, stand for their first line. See
/// apt-transport-mirror(1).
fn plain(uri: &str) -> Option<String> {
    let Some(list) = uri.strip_prefix("mirror+file:") else {
        return Some(uri.to_owned());
    };
    let text = fs::read_to_string(format!("/{}", list.trim_start_matches('/'))).ok()?;
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'))?;
    Some(first.split_whitespace().next()?.trim_end_matches('/').to_owned())
}

fn proxy() -> Option<String> {
    let said = shell::output(&mut shell::command("apt-config", &["dump", "Acquire::http::Proxy"])).ok()?;
    let named =
        said.lines().find_map(|line| line.strip_prefix("Acquire::http::Proxy \"")?.strip_suffix("\";"));
    let named = named.map(str::to_owned).or_else(|| std::env::var("http_proxy").ok());
    named.filter(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use super::entries;

    #[test]
    fn a_mirror_is_found_in_both_formats_and_foreign_archives_are_not_taken() {
        let old = "# a note\ndeb [arch=amd64] http://one.example/debian/ bookworm main contrib\n\
                   deb https://two.example/linux bookworm stable\n";
        assert_eq!(entries(old, "bookworm"), ["http://one.example/debian"]);
        let new = "Types: deb\nURIs: http://three.example/debian\nSuites: bookworm bookworm-updates\n\
                   Components: main\n\nTypes: deb\nURIs: http://four.example\nSuites: nodistro\nComponents: main\n";
        assert_eq!(entries(new, "bookworm"), ["http://three.example/debian"]);
    }
}
