//! What is known of the distributions: where their archives are, which suites they have, who signs them.

use crate::error::{Error, Result};
use std::path::PathBuf;

/// A distribution.
#[derive(Debug)]
pub struct Distribution {
    /// Its name, which becomes the image's.
    pub name: &'static str,
    /// The suite that is meant where none is named.
    pub default_suite: &'static str,
    /// Suites that may be tried; a mirror has some of them.
    pub suites: &'static [&'static str],
    /// The package with its keyring.
    pub keyring_package: &'static str,
    /// The fingerprints of the keys that sign its archives today, in hexadecimal digits.
    pub fingerprints: &'static [&'static str],
    /// The end of a suite's name with the security updates of another.
    pub security_suffix: &'static str,
    keyring: &'static str,
    /// Architecture, mirror, mirror of security updates.
    mirrors: &'static [(&'static str, &'static str, &'static str)],
}

const DEBIAN: Distribution = Distribution {
    name: "debian",
    default_suite: "stable",
    suites: &["oldstable", "stable", "testing", "bullseye", "bookworm", "trixie", "forky", "sid"],
    keyring_package: "debian-archive-keyring",
    fingerprints: &[
        // The archive, its security updates, and the release, of Debian 11, 12 and 13 (https://ftp-master.debian.org/keys.html).
        "1F89983E0081FDE018F3CC9673A4F27B8DD47936",
        "AC530D520F2F3269F5E98313A48449044AAD5C5D",
        "A4285295FC7B1A81600062A9605C66F00D6C9793",
        "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8",
        "05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0",
        "4D64FEC119C2029067D6E791F8D2585B8783D481",
        "04B54C3CDCA79751B16BC6B5225629DF75B188BD",
        "5E04A1E3223A19A20706E20F9904613D4CCE68C6",
        "41587F7DB8C774BCCF131416762F67A0B2C39DE4",
    ],
    security_suffix: "-security",
    keyring: "debian-archive-keyring",
    mirrors: &[
        ("amd64", "http://deb.debian.org/debian", "http://deb.debian.org/debian-security"),
        ("arm64", "http://deb.debian.org/debian", "http://deb.debian.org/debian-security"),
    ],
};

const UBUNTU: Distribution = Distribution {
    name: "ubuntu",
    default_suite: "noble",
    suites: &["focal", "jammy", "noble", "questing", "resolute"],
    keyring_package: "ubuntu-keyring",
    fingerprints: &[
        // The archive since 2012, and since 2018.
        "790BC7277767219C42C86F933B4FE6ACC0B21F32",
        "F6ECB3762474EDA9D21B7022871920D1991BC93C",
    ],
    security_suffix: "-security",
    keyring: "ubuntu-archive-keyring",
    mirrors: &[
        ("amd64", "http://archive.ubuntu.com/ubuntu", "http://security.ubuntu.com/ubuntu"),
        ("arm64", "http://ports.ubuntu.com/ubuntu-ports", "http://ports.ubuntu.com/ubuntu-ports"),
    ],
};

/// Where keyrings lie, and how their names may end.
const KEYRINGS: &str = "/usr/share/keyrings";
const KEYRING_ENDS: [&str; 3] = ["gpg", "pgp", "asc"];

impl Distribution {
    /// The distribution of a name.
    ///
    /// # Errors
    /// There is none.
    pub fn of(name: &str) -> Result<&'static Distribution> {
        match name {
            "debian" => Ok(&DEBIAN),
            "ubuntu" => Ok(&UBUNTU),
            other => Err(Error::UnknownDistribution(other.to_owned())),
        }
    }

    /// Its mirror for an architecture, and the one with its security updates.
    ///
    /// # Errors
    /// It has no packages for it, as far as is known.
    pub fn mirrors(&'static self, architecture: &str) -> Result<(&'static str, &'static str)> {
        let found = self.mirrors.iter().find(|(own, _, _)| *own == architecture);
        found.map(|(_, mirror, security)| (*mirror, *security)).ok_or_else(|| Error::UnknownArchitecture {
            distribution: self.name,
            architecture: architecture.to_owned(),
        })
    }

    /// Where its keyring may lie on this machine.
    pub fn keyrings(&self) -> Vec<PathBuf> {
        KEYRING_ENDS.iter().map(|end| PathBuf::from(format!("{KEYRINGS}/{}.{end}", self.keyring))).collect()
    }
}

/// Whether a name can be one of a suite or a component: letters, digits and a few signs, so that no address is made of it that leads
/// elsewhere.
pub fn is_plain_name(name: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+' | b'~' | b'/');
    !name.is_empty()
        && name.len() <= 500
        && name.bytes().all(plain)
        && name.split('/').all(|part| !part.is_empty() && !part.bytes().all(|byte| byte == b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_none() {
        for good in ["bookworm", "bookworm-security", "stable/updates", "main", "non-free-firmware"] {
            assert!(is_plain_name(good), "{good}");
        }
        for bad in ["", "../x", "a/../b", "/a", "a//b", "a b", "a?b", "a%2e", "."] {
            assert!(!is_plain_name(bad), "{bad}");
        }
    }

    #[test]
    fn an_architecture_without_packages_is_refused_by_its_name() {
        let debian = Distribution::of("debian").unwrap();
        assert_eq!(debian.mirrors("amd64").unwrap().0, "http://deb.debian.org/debian");
        assert!(debian.mirrors("m68k").unwrap_err().to_string().contains("m68k"));
        assert!(Distribution::of("fedora").unwrap_err().to_string().contains("fedora"));
    }
}
