//! `Release`: what a suite of an archive has, and by which hashes (the Debian wiki's "DebianRepository/Format"; Debian's
//! `apt-secure(8)`).

use crate::deb822::Paragraphs;
use crate::distribution::is_plain_name;
use crate::error::{Error, Result};
use base::Time;
use model::Digest;
use std::collections::BTreeMap;

/// Files that a suite may have.
const FILES_MAX: usize = 1_000_000;

/// A file of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The hash of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

/// What a suite says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The name that moves on with time: `stable`.
    pub suite: String,
    /// The name that stays: `bookworm`.
    pub codename: String,
    /// When it was made.
    pub date: Time,
    /// Until when it may be believed; none says forever.
    pub valid_until: Option<Time>,
    /// The architectures that it has packages for.
    pub architectures: Vec<String>,
    /// Whether files can also be fetched by their hashes.
    pub by_hash: bool,
    /// Its files, by their path below the suite.
    pub files: BTreeMap<String, Listed>,
}

impl Release {
    /// Reads the text of `Release`, or of `InRelease` once its signature is seen to be right. `url` is where it is from.
    ///
    /// # Errors
    /// It is none, or names its files by weak hashes only.
    pub fn parse(text: &str, url: &str) -> Result<Release> {
        let wrong = |what: String| Error::Archive { url: url.to_owned(), what };
        let mut paragraphs = Paragraphs::new(text.as_bytes());
        let read = |source| Error::Malformed { url: url.to_owned(), source };
        let fields = paragraphs.read().map_err(read)?.ok_or_else(|| wrong("it is empty".to_owned()))?;
        if paragraphs.read().map_err(read)?.is_some() {
            return Err(wrong("it has more than one paragraph".to_owned()));
        }
        let time = |name: &str| {
            let parse = |text| {
                parse_time(text).ok_or_else(|| wrong(format!("its field {name} is no time: {text:?}")))
            };
            fields.get(name).map(parse).transpose()
        };
        let own = |name: &str| fields.get(name).unwrap_or_default().to_owned();
        let date = time("Date")?.ok_or_else(|| wrong("it has no field Date".to_owned()))?;
        let Some(lines) = fields.get("SHA256") else {
            let weak: Vec<&str> =
                ["MD5Sum", "SHA1"].into_iter().filter(|name| fields.get(name).is_some()).collect();
            return Err(match weak.is_empty() {
                true => wrong("it names no files: there is no field SHA256".to_owned()),
                false => Error::WeakHashes {
                    url: url.to_owned(),
                    what: "its files".to_owned(),
                    hashes: weak.join(" and "),
                },
            });
        };
        Ok(Release {
            suite: own("Suite"),
            codename: own("Codename"),
            date,
            valid_until: time("Valid-Until")?,
            architectures: fields.words("Architectures").map(str::to_owned).collect(),
            by_hash: fields.get("Acquire-By-Hash") == Some("yes"),
            files: files(lines).map_err(wrong)?,
        })
    }

    /// Whether this is the suite that was asked for, by one of its names.
    pub fn is_called(&self, name: &str) -> bool {
        !name.is_empty() && (self.suite == name || self.codename == name)
    }
}

/// `HASH SIZE PATH`, a line each.
fn files(lines: &str) -> Result<BTreeMap<String, Listed>, String> {
    let mut files = BTreeMap::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let parsed = match words[..] {
            [hash, size, path] => {
                let digest = format!("sha256:{}", hash.to_ascii_lowercase()).parse().ok();
                digest.zip(size.parse().ok()).map(|(digest, size)| (path, Listed { digest, size }))
            }
            _ => None,
        };
        let (path, listed) = parsed.ok_or_else(|| format!("its field SHA256 has the line {line:?}"))?;
        if files.insert(path.to_owned(), listed).is_some_and(|before| before != listed) {
            return Err(format!("it names {path} twice, by different hashes"));
        }
        if files.len() > FILES_MAX {
            return Err("it has too many files".to_owned());
        }
    }
    Ok(files)
}

/// Reads a time as archives write it, always in UTC: `Sat, 11 Jul 2026 10:16:37 UTC` (RFC 5322, 3.3, with a name for the zone).
pub fn parse_time(text: &str) -> Option<Time> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, clock, zone] = words[..] else { return None };
    if !matches!(zone, "UTC" | "GMT" | "Z" | "+0000") || year.len() != 4 {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    // Hours below ten have one digit only in some archives.
    let clock = if clock.len() == 7 { format!("0{clock}") } else { clock.to_owned() };
    let day: u8 = day.parse().ok()?;
    Time::parse_rfc3339(&format!("{year}-{month:02}-{day:02}T{clock}Z"))
}

/// Refuses names of suites and components of which no address can be made.
pub(crate) fn check_name(name: &str, what: &'static str) -> Result<()> {
    if is_plain_name(name) { Ok(()) } else { Err(Error::BadName(name.to_owned(), what)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> Result<Release> {
        Release::parse(text, "http://x/InRelease")
    }

    #[test]
    fn a_release_is_read() {
        let text = format!(
            "Suite: stable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nValid-Until: Sat, 18 Jul 2026  9:16:37 GMT\n\
             Acquire-By-Hash: yes\nArchitectures: all amd64\nMD5Sum:\n 00 1 x\nSHA256:\n {HASH} 0 main/binary-amd64/Packages\n"
        );
        let release = parse(&text).unwrap();
        assert!(release.is_called("stable") && release.is_called("bookworm") && !release.is_called("sid"));
        assert_eq!(release.date.to_string(), "2026-07-11T10:16:37Z");
        assert_eq!(release.valid_until.unwrap().to_string(), "2026-07-18T09:16:37Z");
        assert_eq!(release.files["main/binary-amd64/Packages"].digest.hex(), HASH);
        assert!(release.by_hash && !release.is_called(""));
    }

    #[test]
    fn a_release_without_strong_hashes_is_refused_by_their_names() {
        let told = parse("Date: Sat, 11 Jul 2026 10:16:37 UTC\nMD5Sum:\n 00 1 x\nSHA1:\n 00 1 x\n")
            .unwrap_err()
            .to_string();
        assert!(told.contains("MD5Sum and SHA1 only"), "{told}");
        let told = parse("Date: Sat, 11 Jul 2026 10:16:37 UTC\n").unwrap_err().to_string();
        assert!(told.contains("no field SHA256"), "{told}");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let other = HASH.replace('e', "f");
        for (fields, told) in [
            (format!("SHA256:\n {HASH} 0 a\n {other} 0 a\n"), "names a twice"),
            ("SHA256:\n 12 0 a\n".to_owned(), "has the line"),
            (format!("SHA256:\n {HASH} 0 a\n\nSuite: x\n"), "more than one paragraph"),
            (format!("Valid-Until: soon\nSHA256:\n {HASH} 0 a\n"), "Valid-Until is no time"),
        ] {
            let error =
                parse(&format!("Date: Sat, 11 Jul 2026 10:16:37 UTC\n{fields}")).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(parse("Suite: x\nSHA256:\n").unwrap_err().to_string().contains("no field Date"));
        assert_eq!(parse_time("Sat, 11 Jul 2026 10:16:37 CEST"), None);
    }
}
