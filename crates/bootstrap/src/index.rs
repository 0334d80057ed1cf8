//! `Packages`: what there is to install, and what each needs.

use crate::deb822::{Paragraph, Paragraphs};
use crate::distribution::is_plain_name;
use crate::error::{Error, Result};
use crate::relation::{Wanted, provides};
use crate::version::Version;
use model::Digest;
use std::collections::BTreeMap;
use std::io::BufRead;

/// Packages of all indexes together; Debian has some 65,000.
const PACKAGES_MAX: usize = 1_000_000;
/// The biggest package that is believed to be one.
const PACKAGE_BYTES_MAX: u64 = 8 << 30;

/// One package, in the one version that is best.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Whether no system is without it: `Essential: yes`, or `Priority: required`.
    pub is_required: bool,
    /// What must work before it can be unpacked, as it is written.
    pub pre_depends: String,
    /// What it needs, as it is written.
    pub depends: String,
    /// Where it is, below the mirror.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Their hash; none where the archive names weak ones only.
    pub digest: Option<Digest>,
    /// Which of the archives it is from.
    pub source: usize,
}

/// All packages of some archives.
#[derive(Clone, Debug, Default)]
pub struct Index {
    packages: BTreeMap<String, Package>,
    /// What is provided, by whom, and as which version.
    provided: BTreeMap<String, Vec<(String, Option<Version>)>>,
    /// In words, where it was looked.
    pub places: Vec<String>,
}

impl Index {
    /// Reads one more index. A package that is there already stays in its later version.
    ///
    /// # Errors
    /// It is none.
    pub fn add(&mut self, input: impl BufRead, url: &str, architecture: &str, source: usize) -> Result<()> {
        let mut paragraphs = Paragraphs::new(input);
        let read = |source| Error::Malformed { url: url.to_owned(), source };
        while let Some(fields) = paragraphs.read().map_err(read)? {
            let package =
                package(&fields, source).map_err(|what| Error::Archive { url: url.to_owned(), what })?;
            let own = fields.get("Architecture").unwrap_or_default();
            if own != architecture && own != "all" {
                continue;
            }
            match self.packages.get(&package.name) {
                Some(other) if other.version >= package.version => continue,
                Some(_) => {
                    self.provided.values_mut().for_each(|by| by.retain(|(name, _)| *name != package.name));
                }
                None => {}
            }
            if self.packages.len() >= PACKAGES_MAX {
                return Err(Error::Archive {
                    url: url.to_owned(),
                    what: "it has too many packages".to_owned(),
                });
            }
            for (what, version) in provides(fields.get("Provides").unwrap_or_default()) {
                self.provided.entry(what).or_default().push((package.name.clone(), version));
            }
            self.packages.insert(package.name.clone(), package);
        }
        Ok(())
    }

    /// The package of a name.
    pub fn get(&self, name: &str) -> Option<&Package> {
        self.packages.get(name)
    }

    /// All packages, by their names.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    /// The package that satisfies something by its own name.
    pub fn real(&self, wanted: &Wanted) -> Option<&Package> {
        self.packages.get(&wanted.name).filter(|package| wanted.takes(&package.version))
    }

    /// The packages that stand for something they do not bear the name of. One that does not say as which version stands for no
    /// version in particular (Debian Policy 7.5).
    pub fn providers<'i>(&'i self, wanted: &'i Wanted) -> impl Iterator<Item = &'i Package> {
        let by = self.provided.get(&wanted.name).into_iter().flatten();
        let fits = |version: &Option<Version>| match version {
            Some(version) => wanted.takes(version),
            None => wanted.versions.is_none(),
        };
        by.filter(move |(_, version)| fits(version)).filter_map(|(name, _)| self.packages.get(name))
    }

    /// Names like one that is none, for people who mistyped.
    pub fn near(&self, name: &str) -> Vec<String> {
        const SHOWN_MAX: usize = 5;
        let close = |other: &&String| {
            other.starts_with(name)
                || (name.len() > 3 && other.len() < name.len() + 2 && one_apart(name, other))
        };
        let mut near: Vec<&String> = self.packages.keys().filter(close).collect();
        near.sort_by_key(|other| (other.len().abs_diff(name.len()), other.as_str()));
        near.into_iter().take(SHOWN_MAX).cloned().collect()
    }
}

/// Whether one letter that is put in, left out, changed, or exchanged with its neighbour leads from one word to the other.
fn one_apart(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let same_front = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[same_front..], &other[same_front..]);
    let same_back = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[..one.len() - same_back], &other[..other.len() - same_back]);
    matches!((one, other), ([] | [_], [] | [_]))
        || matches!((one, other), ([a, b], [c, d]) if a == d && b == c)
}

/// Debian Policy 5.6.7, but for capital letters and short names, which harm nobody.
fn is_package_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.len() <= 200
        && name.bytes().all(inner)
}

fn package(fields: &Paragraph, source: usize) -> Result<Package, String> {
    let own = |name: &str| fields.get(name).unwrap_or_default();
    let name = own("Package");
    if !is_package_name(name) {
        return Err(format!("it has a package that is called {name:?}"));
    }
    let path = own("Filename");
    let size = own("Size").parse().ok().filter(|size| *size <= PACKAGE_BYTES_MAX);
    let digest = fields.get("SHA256").map(|hash| format!("sha256:{}", hash.to_ascii_lowercase()).parse());
    let (Some(size), Ok(digest)) = (size, digest.transpose()) else {
        return Err(format!("the package {name} has no size, or a hash that is none"));
    };
    if !is_plain_name(&path.replace(['%', ':', '@'], "+")) {
        return Err(format!("the package {name} is in a file {path:?}"));
    }
    Ok(Package {
        name: name.to_owned(),
        version: Version::new(own("Version")),
        is_required: own("Essential") == "yes" || own("Priority") == "required",
        pre_depends: own("Pre-Depends").to_owned(),
        depends: own("Depends").to_owned(),
        path: path.to_owned(),
        size,
        digest,
        source,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An index out of fields, with what every package has put in.
    pub(crate) fn index(paragraphs: &[&str]) -> Index {
        let mut index = Index { places: vec!["the test".to_owned()], ..Index::default() };
        let text: String = paragraphs
            .iter()
            .map(|fields| {
                let name = fields.lines().next().unwrap();
                let rest = fields.split_once('\n').map_or("", |(_, rest)| rest);
                let version = if rest.contains("Version:") { "" } else { "Version: 1\n" };
                format!("Package: {name}\nArchitecture: all\nFilename: pool/{name}.deb\nSize: 1\n{version}{rest}\n\n")
            })
            .collect();
        index.add(text.as_bytes(), "test", "amd64", 0).unwrap();
        index
    }

    #[test]
    fn the_later_version_of_a_package_stays() {
        let mut index = index(&["a\nVersion: 1.10\nProvides: x", "a\nVersion: 1.9\nProvides: y"]);
        assert_eq!(index.get("a").unwrap().version.text(), "1.10");
        assert_eq!(
            (index.providers(&Wanted::any("x")).count(), index.providers(&Wanted::any("y")).count()),
            (1, 0)
        );
        let newer = "Package: a\nArchitecture: amd64\nVersion: 2\nFilename: b\nSize: 2\n\nPackage: z\nArchitecture: arm64\nVersion: 1\nFilename: b\nSize: 2\n";
        index.add(newer.as_bytes(), "test", "amd64", 1).unwrap();
        assert_eq!((index.get("a").unwrap().source, index.get("z").is_none()), (1, true));
    }

    #[test]
    fn a_package_whose_file_lies_elsewhere_is_refused() {
        for path in ["../../x", "/etc/passwd", "", "a//b"] {
            let text = format!("Package: a\nArchitecture: all\nVersion: 1\nSize: 1\nFilename: {path}\n");
            let mut index = Index::default();
            assert!(index.add(text.as_bytes(), "test", "amd64", 0).is_err(), "{path}");
        }
    }

    #[test]
    fn a_package_whose_name_is_an_option_or_a_path_is_refused() {
        for name in ["-x", "~root", "a/b", "a b", "", ".."] {
            let text = format!("Package: {name}\nArchitecture: all\nVersion: 1\nSize: 1\nFilename: a\n");
            let mut index = Index::default();
            assert!(index.add(text.as_bytes(), "test", "amd64", 0).is_err(), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_close_to_the_one_that_was_meant() {
        let index = index(&["nginx", "nginx-core", "openssh-client", "bash"]);
        assert_eq!(index.near("ngin"), ["nginx", "nginx-core"]);
        assert_eq!(index.near("ngixn"), ["nginx"]);
        assert_eq!(index.near("bsah"), ["bash"]);
        assert!(index.near("frobnicate").is_empty());
    }
}
