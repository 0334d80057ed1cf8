//! The keys of a distribution where this machine has no keyring of it: out of its own archive, by their fingerprints.
//!
//! The package with the keyring is fetched as it lies there, believed in nothing. Of the keys in it those are taken whose fingerprints
//! are known here: a fingerprint is a hash of the whole key, so that nobody can put another one in its place. With these keys the
//! archive is then verified from its beginning. What a mirror could do is to leave out that a key was revoked; a machine with the
//! distribution's keyring knows more, and that is why one that is there is always preferred.

use crate::archive::{self, Archive, Place, Shelf, Trust};
use crate::deb;
use crate::distribution::Distribution;
use crate::error::Result;
use crate::fetch::Fetcher;
use crate::openpgp::Keyring;
use crate::packing::{Bounded, package_error};
use base::Time;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Where a package has its keyrings.
const FOLDER: &str = "usr/share/keyrings";
/// Bytes of such a package, unpacked, and of one file in it.
const PACKAGE_BYTES_MAX: u64 = 64 << 20;
const KEYRING_BYTES_MAX: u64 = 16 << 20;

/// Finds the keys of these fingerprints in an archive; none where it has no such package, or none of them.
///
/// # Errors
/// The archive cannot be read.
pub async fn keys(
    fetcher: &Fetcher,
    shelf: &Shelf,
    place: &Place,
    distribution: &'static Distribution,
    architecture: &str,
    fingerprints: &[&str],
) -> Result<Option<Keyring>> {
    let nobody = Trust { keyring: None, expired: true, now: Time::default() };
    let archives = [Archive::open(fetcher, place.clone(), &nobody, distribution).await?];
    let index = archive::index(fetcher, shelf, &archives, architecture).await?;
    let Some(package) = index.get(distribution.keyring_package) else { return Ok(None) };
    let paths = archive::fetch(fetcher, shelf, &archives, &[package], &|_| {}).await?;
    let mut found = Keyring::default();
    for path in paths.values() {
        found.add_all(keyrings(path).map_err(package_error(path))?.only(fingerprints));
    }
    Ok((!found.is_empty()).then_some(found))
}

/// All keys in the keyrings of a package. What is no keyring among its files has none.
fn keyrings(path: &Path) -> io::Result<Keyring> {
    let files = deb::files(BufReader::new(File::open(path)?))?;
    let mut archive = tar::Archive::new(Bounded { input: files, left: PACKAGE_BYTES_MAX });
    let mut all = Keyring::default();
    for entry in archive.entries()? {
        let entry = entry?;
        let is_keyring = entry.path()?.parent().is_some_and(|folder| folder.ends_with(FOLDER));
        if is_keyring && entry.header().entry_type().is_file() {
            let mut bytes = Vec::new();
            entry.take(KEYRING_BYTES_MAX).read_to_end(&mut bytes)?;
            if let Ok(keyring) = Keyring::parse(&bytes) {
                all.add_all(keyring);
            }
        }
    }
    Ok(all)
}
