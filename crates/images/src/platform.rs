//! Where an image runs, and which of several images runs best on a machine.
//!
//! Names are those of Go (`amd64`, `arm64`, `arm` with `v6` or `v7`), as the OCI image specification wants them
//! (`image-index.md`, `platform.variant`). What people write besides (`x86_64`, `aarch64`, `armhf`) is understood.

use std::fmt;

/// Where an image runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The operating system.
    pub os: String,
    /// The processor, as Go calls it.
    pub architecture: String,
    /// The processor's variant, or nothing.
    pub variant: String,
}

/// Why a text names no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a platform of the form os[/arch[/variant]], like linux/amd64 or linux/arm/v7: invalid argument"
)]
pub struct BadPlatform(pub String);

/// Operating systems that a platform of one word may mean; any other word is a processor.
const SYSTEMS: [&str; 9] =
    ["linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "illumos", "aix"];
/// Parts of a platform.
const PARTS_MAX: usize = 3;

impl Default for Platform {
    /// This machine.
    fn default() -> Platform {
        let (os, architecture) = ("linux".to_owned(), crate::architecture().to_owned());
        Platform { os, architecture, variant: String::new() }
    }
}

impl Platform {
    /// Reads `os[/arch[/variant]]`; what is missing or empty is this machine's.
    pub fn parse(text: &str) -> Platform {
        let mut platform = Platform::default();
        let mut parts = text.split('/').filter(|part| !part.is_empty());
        if let Some(os) = parts.next() {
            platform.os = os.to_owned();
        }
        if let Some(architecture) = parts.next() {
            platform.architecture = architecture.to_owned();
        }
        platform.variant = parts.collect::<Vec<_>>().join("/");
        platform
    }

    /// Reads what a person asks for with `--platform`: as [`Platform::parse`], but one word may be a processor, and
    /// what makes no sense is refused.
    ///
    /// # Errors
    /// When a part is empty or has characters that no platform has, or there are too many parts.
    pub fn asked_for(text: &str) -> Result<Platform, BadPlatform> {
        let bad = || BadPlatform(text.to_owned());
        let is_word = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() > PARTS_MAX || !parts.iter().all(is_word) {
            return Err(bad());
        }
        let lower = text.to_ascii_lowercase();
        Ok(match parts.len() {
            1 if SYSTEMS.contains(&lower.as_str()) => Platform { os: lower, ..Platform::default() },
            1 => Platform { architecture: lower, ..Platform::default() }.normal(),
            _ => Platform::parse(&lower).normal(),
        })
    }

    /// Itself in the one spelling that is compared: usual names of processors, and no variant where it is the usual
    /// one of its processor, except for `arm`, which always has one.
    #[must_use]
    pub fn normal(&self) -> Platform {
        let (os, given) = (self.os.to_ascii_lowercase(), self.architecture.to_ascii_lowercase());
        let variant = self.variant.to_ascii_lowercase();
        let (architecture, variant) = match given.as_str() {
            "x86_64" | "x86-64" => ("amd64", variant),
            "amd64" => ("amd64", variant),
            "i386" | "i486" | "i586" | "i686" => ("386", String::new()),
            "aarch64" | "arm64" => ("arm64", variant),
            "armhf" => ("arm", "v7".to_owned()),
            "armel" => ("arm", "v6".to_owned()),
            other => (other, variant),
        };
        let variant = match (architecture, variant.as_str()) {
            ("amd64", "v1") | ("arm64", "v8" | "8" | "v8.0") => String::new(),
            ("arm", "") => "v7".to_owned(),
            ("arm", "5" | "6" | "7" | "8") => format!("v{variant}"),
            _ => variant,
        };
        Platform { os, architecture: architecture.to_owned(), variant }
    }

    /// How well an image for `other` runs here: the smaller the better; `None` if it does not run. A processor runs
    /// what is made for older ones of its kind.
    pub fn rank(&self, other: &Platform) -> Option<u32> {
        let (here, other) = (self.normal(), other.normal());
        if here.os != other.os {
            return None;
        }
        let level = |platform: &Platform, usual: u32| match platform.variant.as_str() {
            "" => Some(usual),
            variant => variant.strip_prefix('v').and_then(|digits| digits.parse::<u32>().ok()),
        };
        let older = |usual: u32| level(&here, usual)?.checked_sub(level(&other, usual)?);
        // What another kind of processor runs comes after all of its own kind.
        const OTHER_KIND: u32 = 1000;
        match (here.architecture.as_str(), other.architecture.as_str()) {
            ("amd64", "amd64") => older(1),
            ("arm64", "arm64") => older(8),
            ("arm", "arm") => older(7),
            ("amd64", "386") => Some(OTHER_KIND),
            ("arm64", "arm") => Some(OTHER_KIND + 8u32.checked_sub(level(&other, 7)?)?),
            (a, b) => (a == b && here.variant == other.variant).then_some(0),
        }
    }
}

impl fmt::Display for Platform {
    /// `os/arch`, and `/variant` where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Platform {
        Platform::asked_for(text).unwrap()
    }

    #[test]
    fn what_people_write_is_understood_in_its_spellings() {
        for (written, meant) in [
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("arm64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("LINUX/AMD64", "linux/amd64"),
            ("windows/amd64", "windows/amd64"),
            ("s390x", "linux/s390x"),
        ] {
            assert_eq!(asked(written).to_string(), meant, "{written}");
        }
        for bad in ["", "linux/", "/amd64", "linux/amd64/v1/x", "lin ux/amd64", "linux/am:d64"] {
            assert!(Platform::asked_for(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_processor_runs_what_is_made_for_older_ones_of_its_kind_and_not_the_other_way_around() {
        for (here, there, rank) in [
            ("linux/amd64", "linux/amd64", Some(0)),
            ("linux/amd64", "linux/amd64/v3", None),
            ("linux/amd64/v3", "linux/amd64/v2", Some(1)),
            ("linux/arm/v7", "linux/arm/v6", Some(1)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/amd64", "linux/arm64", None),
            ("linux/amd64", "windows/amd64", None),
            ("linux/riscv64", "linux/riscv64", Some(0)),
        ] {
            assert_eq!(asked(here).rank(&asked(there)), rank, "{there} on {here}");
        }
        assert!(
            asked("linux/arm64").rank(&asked("linux/arm/v7"))
                < asked("linux/arm64").rank(&asked("linux/arm/v6"))
        );
        assert!(asked("linux/amd64").rank(&asked("linux/386")).is_some());
    }
}
