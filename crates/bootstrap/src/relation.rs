//! What a package says it needs and provides (deb-control(5); Debian Policy 7.1).

use crate::version::Version;
use std::cmp::Ordering;
use std::fmt;

/// How a version must stand to the one that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Strictly earlier: `<<`.
    Earlier,
    /// Earlier or the same: `<=`.
    AtMost,
    /// The same: `=`.
    Exactly,
    /// Later or the same: `>=`.
    AtLeast,
    /// Strictly later: `>>`.
    Later,
}

/// One package by its name, maybe in some versions only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Which versions will do; none says all.
    pub versions: Option<(Relation, Version)>,
}

impl Wanted {
    /// A package in any version.
    pub fn any(name: &str) -> Wanted {
        Wanted { name: name.to_owned(), versions: None }
    }

    /// Whether a version will do.
    pub fn takes(&self, version: &Version) -> bool {
        let Some((relation, bound)) = &self.versions else { return true };
        let order = version.cmp(bound);
        match relation {
            Relation::Earlier => order == Ordering::Less,
            Relation::AtMost => order != Ordering::Greater,
            Relation::Exactly => order == Ordering::Equal,
            Relation::AtLeast => order != Ordering::Less,
            Relation::Later => order == Ordering::Greater,
        }
    }

    fn parse(text: &str) -> Option<Wanted> {
        // Restrictions to architectures and build profiles stand in sources only; what is in an index applies.
        let bare = text.split(['[', '<']).next().filter(|_| !text.contains('(')).unwrap_or(text);
        let (name, versions) = match bare.split_once('(') {
            None => (bare, None),
            Some((name, rest)) => (name, Some(parse_versions(rest.split(')').next()?)?)),
        };
        // `perl:any` is perl: there is one architecture only.
        let name = name.trim().split(':').next()?.trim();
        (!name.is_empty() && !name.contains(char::is_whitespace))
            .then(|| Wanted { name: name.to_owned(), versions })
    }
}

fn parse_versions(text: &str) -> Option<(Relation, Version)> {
    let text = text.trim();
    let length = text.bytes().take_while(|byte| matches!(byte, b'<' | b'=' | b'>')).count();
    let relation = match &text[..length] {
        "<<" => Relation::Earlier,
        // A single sign means "or the same", from before there were two of them.
        "<=" | "<" => Relation::AtMost,
        "=" => Relation::Exactly,
        ">=" | ">" => Relation::AtLeast,
        ">>" => Relation::Later,
        _ => return None,
    };
    let version = text[length..].trim();
    (!version.is_empty()).then(|| (relation, Version::new(version)))
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let Some((relation, version)) = &self.versions else { return Ok(()) };
        let sign = match relation {
            Relation::Earlier => "<<",
            Relation::AtMost => "<=",
            Relation::Exactly => "=",
            Relation::AtLeast => ">=",
            Relation::Later => ">>",
        };
        write!(f, " ({sign} {version})")
    }
}

/// One thing that is needed: any of these will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need(pub Vec<Wanted>);

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, wanted) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" | ")?;
            }
            wanted.fmt(f)?;
        }
        Ok(())
    }
}

/// Reads a field like `Depends`.
///
/// # Errors
/// The part that makes no sense.
pub fn needs(text: &str) -> Result<Vec<Need>, String> {
    let one = |text: &str| Wanted::parse(text).ok_or_else(|| text.trim().to_owned());
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.split('|').map(one).collect::<Result<_, _>>().map(Need)).collect()
}

/// Reads a field like `Provides`: names, each maybe with the version that it stands for.
pub fn provides(text: &str) -> Vec<(String, Option<Version>)> {
    let parts = text.split(',').filter_map(Wanted::parse);
    parts.map(|wanted| (wanted.name, wanted.versions.map(|(_, version)| version))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_are_read_with_their_alternatives_and_versions() {
        let read = needs("libc6 (>= 2.36), debconf (>= 0.5) | debconf-2.0, perl:any,\n x (<<1), ").unwrap();
        let told: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["libc6 (>= 2.36)", "debconf (>= 0.5) | debconf-2.0", "perl", "x (<< 1)"]);
        assert_eq!(needs("a (~ 1)"), Err("a (~ 1)".to_owned()));
        assert_eq!(needs("a (>= )"), Err("a (>= )".to_owned()));
        assert!(needs("two words").is_err());
    }

    #[test]
    fn versions_are_compared_as_they_ask() {
        let takes = |need: &str, version: &str| needs(need).unwrap()[0].0[0].takes(&Version::new(version));
        assert!(takes("a (>= 1)", "1") && !takes("a (>> 1)", "1") && takes("a (= 1)", "0:1"));
        assert!(takes("a (<< 2~)", "1.9") && !takes("a (<< 2~)", "2~") && takes("a (<= 2)", "2"));
        assert!(takes("a", "anything"));
    }

    #[test]
    fn what_is_provided_may_have_a_version() {
        let read = provides("awk, debconf-2.0 (= 2.0), libgcc1 (= 1:12)");
        assert_eq!(read[0], ("awk".to_owned(), None));
        assert_eq!(read[1], ("debconf-2.0".to_owned(), Some(Version::new("2.0"))));
    }
}
