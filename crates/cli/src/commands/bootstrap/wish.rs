//! What was asked for, and whom to believe.

use super::steps::Steps;
use super::{Room, string};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::printer;
use crate::table::Parsed;
use base::Clock;
use bootstrap::archive::{Place, Trust};
use bootstrap::distribution::Distribution;
use bootstrap::fetch::Fetcher;
use bootstrap::openpgp::Keyring;
use bootstrap::{Error, known};
use std::fs;
use std::path::Path;

/// Bytes of a keyring; Debian's have 60 kB.
const KEYRING_BYTES_MAX: u64 = 16 << 20;

/// What was asked for.
pub(super) struct Wish {
    pub(super) distribution: &'static Distribution,
    pub(super) architecture: String,
    pub(super) places: Vec<Place>,
    pub(super) packages: Vec<String>,
    pub(super) name: String,
}

/// The words of a flag that may be given several times, and with commas.
fn words(given: &[String]) -> Vec<String> {
    given
        .iter()
        .flat_map(|words| words.split(','))
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A name with the tag that it has where none is written.
fn tagged(name: &str) -> String {
    let last = name.rfind('/').map_or(0, |at| at + 1);
    if name[last..].contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

/// Takes the command line apart, as far as the daemon's machine goes along.
pub(super) async fn wish(client: &Client, parsed: &Parsed) -> Result<Wish, Failure> {
    let operand = parsed.operands().first().cloned().unwrap_or_default();
    let (name, suite) =
        operand.split_once(':').map_or((operand.as_str(), None), |(name, suite)| (name, Some(suite)));
    let distribution = Distribution::of(name)?;
    let suite = suite.filter(|suite| !suite.is_empty()).unwrap_or(distribution.default_suite);
    let version = client.get("/version").await?;
    let architecture = string(&version, "Arch").to_owned();
    if let Some(wanted) = parsed.get("arch").filter(|wanted| *wanted != architecture) {
        return Err(Failure::new(format!("the daemon's machine is {architecture}, not {wanted}"))
            .with_hint("packages install themselves, which only a machine of their own kind can do"));
    }
    let (mirror, security) = distribution.mirrors(&architecture)?;
    let mirror = parsed.get("mirror").unwrap_or(mirror).trim_end_matches('/');
    let components = words(&[parsed.get("components").unwrap_or("main").to_owned()]);
    if components.is_empty() {
        return Err(
            Failure::new("--components names no component").with_hint("main has what every system needs")
        );
    }
    let place = |mirror: &str, suite: &str| Place {
        mirror: mirror.to_owned(),
        suite: suite.to_owned(),
        components: components.clone(),
    };
    let mut places = vec![place(mirror, suite)];
    if parsed.is("security") {
        places.push(place(security, &format!("{suite}{}", distribution.security_suffix)));
    }
    let name = parsed.get("tag").map_or_else(|| format!("{name}:{suite}"), tagged);
    // A name that is none is better refused now than when all is done.
    match client.get(&format!("/images/{}/json", escape(&name))).await {
        Err(failure) if failure.status == Some(400) => return Err(failure),
        _ => {}
    }
    Ok(Wish { distribution, architecture, places, packages: words(&parsed.all("package")), name })
}

/// Whom to believe: the keyring that is named, the one of this machine, or the keys that are known by their fingerprints.
pub(super) async fn trust(
    fetcher: &Fetcher,
    room: &Room,
    wish: &Wish,
    parsed: &Parsed,
    steps: &Steps,
) -> Result<Trust, Failure> {
    let trust = |keyring| Trust { keyring, expired: parsed.is("allow-expired"), now: Clock::system().now() };
    if parsed.is("allow-unsigned") {
        printer::note("WARNING! No signature is looked at: the packages are those of whoever answers.");
        return Ok(trust(None));
    }
    if let Some(path) = parsed.get("keyring") {
        return Ok(trust(Some(keyring(Path::new(path))?)));
    }
    let distribution = wish.distribution;
    let looked_at = distribution.keyrings();
    if let Some(path) = looked_at.iter().find(|path| path.is_file()) {
        return Ok(trust(Some(keyring(path)?)));
    }
    let fingerprints = distribution.fingerprints;
    let place = &wish.places[0];
    let found =
        known::keys(fetcher, &room.shelf, place, distribution, &wish.architecture, fingerprints).await?;
    let found = found.ok_or(Error::KeyringMissing {
        distribution: distribution.name,
        package: distribution.keyring_package,
        looked_at,
    })?;
    steps.line(&format!(
        "no keyring of {} is on this machine: its keys are those in the archive that have the fingerprints known here",
        distribution.name
    ));
    Ok(trust(Some(found)))
}

fn keyring(path: &Path) -> Result<Keyring, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::new(format!("open the keyring {}: {error}", path.display()));
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > KEYRING_BYTES_MAX {
        let shown = path.display();
        return Err(Failure::new(format!("the keyring {shown} has more than {KEYRING_BYTES_MAX} bytes")));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    Ok(Keyring::parse(&bytes).map_err(|source| Error::Keyring { path: path.to_owned(), source })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        assert_eq!((tagged("a:1").as_str(), tagged("r:5000/a").as_str()), ("a:1", "r:5000/a:latest"));
    }

    #[test]
    fn names_may_stand_between_commas() {
        assert_eq!(words(&["a,b".to_owned(), " c ,".to_owned()]), ["a", "b", "c"]);
    }
}
