//! Repositories, tags and what a path asks for, as the distribution specification 1.1 spells them ("Pulling manifests").

use super::digest::ContentDigest;
use super::refusal::Refusal;
use crate::reference::{is_component, is_tag};
use std::fmt;
use std::str::FromStr;

/// Bytes of a repository's name. Clients take 255 together with the registry's own name.
const REPOSITORY_BYTES_MAX: usize = 255;

/// The name of a repository: components in lower case, with slashes between them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(String);

impl Repository {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Repository {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Repository, Refusal> {
        if text.len() > REPOSITORY_BYTES_MAX || !text.split('/').all(is_component) {
            return Err(Refusal::Name { name: text.to_owned(), max: REPOSITORY_BYTES_MAX });
        }
        Ok(Repository(text.to_owned()))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Tag, Refusal> {
        if is_tag(text) { Ok(Tag(text.to_owned())) } else { Err(Refusal::Tag(text.to_owned())) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which manifest of a repository is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one that a tag stands at.
    Tag(Tag),
    /// The one of that name.
    Digest(ContentDigest),
}

impl FromStr for Target {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Target, Refusal> {
        match text.contains(':') {
            true => Ok(Target::Digest(text.parse()?)),
            false => text.parse().map(Target::Tag),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tag(tag) => tag.fmt(f),
            Target::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_follow_the_grammar_of_the_specification() {
        for good in ["a", "library/nginx", "a.b_c__d--e/f0", "a/b/c/d"] {
            assert_eq!(good.parse::<Repository>().unwrap().to_string(), good);
        }
        for bad in ["", "A", "a//b", "/a", "a/", "a..b", "..", "a/../b", "-a", "a b", "a@b", "a:b"] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
        assert!("a/".repeat(200).parse::<Repository>().is_err());
    }

    #[test]
    fn what_holds_a_colon_can_only_be_a_digest() {
        let digest = ContentDigest::Sha256(model::Digest::from_sha256([1; 32]));
        assert_eq!(digest.to_string().parse::<Target>().unwrap(), Target::Digest(digest));
        assert!(matches!("v1.0_x-y".parse::<Target>(), Ok(Target::Tag(_))));
        for bad in ["sha256:baddigeststring", "", ".a", "a/b", &"a".repeat(129)] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
