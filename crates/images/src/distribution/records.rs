//! The tables of a registry, and what in them keeps content from being removed.
//!
//! | table | key | says |
//! |---|---|---|
//! | repositories | name | there is such a repository |
//! | links | digest@repository | the repository has this blob |
//! | manifests | digest@repository | the repository has this manifest, and which parts that needs |
//! | parts | digest@repository@manifest | the manifest needs this content, so that it stays |
//! | tags | repository:tag | the manifest that the tag stands at |
//! | cached | digest@repository | the manifest is a copy of another registry's, and when somebody last asked for it |
//! | referrers | repository@subject@digest | the manifest says something of its subject, which need not be there |
//!
//! The keys of links and manifests begin with the digest: whether anybody needs some content is asked more often than what
//! all a repository has.

use super::digest::ContentDigest;
use super::names::{Repository, Tag};
use super::refusal::Refusal;
use crate::Result;
use base::Time;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use store::{ReadTx, Table};

pub(crate) const REPOSITORIES: Table<Repository, RepositoryRecord> = Table::new("registry-repositories");
pub(crate) const LINKS: Table<Held, LinkRecord> = Table::new("registry-links");
pub(crate) const MANIFESTS: Table<Held, ManifestRecord> = Table::new("registry-manifests");
pub(crate) const PARTS: Table<PartKey, PartRecord> = Table::new("registry-parts");
pub(crate) const TAGS: Table<TagKey, ContentDigest> = Table::new("registry-tags");
pub(crate) const CACHED: Table<Held, CachedRecord> = Table::new("registry-cached");
pub(crate) const REFERRERS: Table<ReferrerKey, ReferrerRecord> = Table::new("registry-referrers");

/// A repository that somebody pushed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RepositoryRecord {}

/// A blob of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkRecord {
    /// Its bytes.
    pub(crate) bytes: u64,
}

/// A manifest of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestRecord {
    /// The type that it came as.
    pub(crate) media_type: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// What it says something of.
    pub(crate) subject: Option<ContentDigest>,
    /// The parts that it needs in its repository, each once.
    pub(crate) needs: Vec<ContentDigest>,
}

/// A manifest of a copied repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CachedRecord {
    /// When somebody last asked for it, to the hour.
    pub(crate) used: Time,
}

/// That a manifest needs something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRecord {}

/// That a manifest has a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReferrerRecord {}

/// Some content in a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Held {
    pub(crate) digest: ContentDigest,
    pub(crate) repository: Repository,
}

/// What the keys of all repositories that hold some content begin with.
pub(crate) fn held_anywhere(digest: &ContentDigest) -> String {
    format!("{digest}@")
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.digest, self.repository)
    }
}

/// Why a stored key is none.
#[derive(Debug, thiserror::Error)]
#[error("a key of the registry's tables is damaged")]
pub(crate) struct BadKey;

impl From<Refusal> for BadKey {
    fn from(_: Refusal) -> BadKey {
        BadKey
    }
}

impl FromStr for Held {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Held, BadKey> {
        let (digest, repository) = text.split_once('@').ok_or(BadKey)?;
        Ok(Held { digest: digest.parse().map_err(|_| BadKey)?, repository: repository.parse()? })
    }
}

/// Some content that a manifest of a repository needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartKey {
    pub(crate) part: Held,
    pub(crate) manifest: ContentDigest,
}

/// What the keys of all manifests begin with that need some content of their repository.
pub(crate) fn users_of(part: &Held) -> String {
    format!("{part}@")
}

impl fmt::Display for PartKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.part, self.manifest)
    }
}

impl FromStr for PartKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<PartKey, BadKey> {
        let (part, manifest) = text.rsplit_once('@').ok_or(BadKey)?;
        Ok(PartKey { part: part.parse()?, manifest: manifest.parse().map_err(|_| BadKey)? })
    }
}

/// A tag of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TagKey {
    pub(crate) repository: Repository,
    pub(crate) tag: Tag,
}

/// What the keys of all tags of a repository begin with.
pub(crate) fn tags_of(repository: &Repository) -> String {
    format!("{repository}:")
}

impl fmt::Display for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

impl FromStr for TagKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<TagKey, BadKey> {
        let (repository, tag) = text.split_once(':').ok_or(BadKey)?;
        Ok(TagKey { repository: repository.parse()?, tag: tag.parse()? })
    }
}

/// A manifest with a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReferrerKey {
    pub(crate) repository: Repository,
    pub(crate) subject: ContentDigest,
    pub(crate) digest: ContentDigest,
}

/// What the keys of all that say something of a manifest begin with.
pub(crate) fn referrers_to(repository: &Repository, subject: &ContentDigest) -> String {
    format!("{repository}@{subject}@")
}

impl fmt::Display for ReferrerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}@{}", self.repository, self.subject, self.digest)
    }
}

impl FromStr for ReferrerKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<ReferrerKey, BadKey> {
        let (repository, rest) = text.split_once('@').ok_or(BadKey)?;
        let (subject, digest) = rest.split_once('@').ok_or(BadKey)?;
        let (subject, digest) = (subject.parse(), digest.parse());
        Ok(ReferrerKey {
            repository: repository.parse()?,
            subject: subject.map_err(|_| BadKey)?,
            digest: digest.map_err(|_| BadKey)?,
        })
    }
}

/// Whether a repository has some content, as a blob or as a manifest.
pub(crate) fn is_held(tx: &ReadTx<'_>, digest: &ContentDigest) -> Result<bool> {
    let prefix = held_anywhere(digest);
    Ok(!tx.list_under(&LINKS, &prefix)?.is_empty() || !tx.list_under(&MANIFESTS, &prefix)?.is_empty())
}

/// All content that any repository has.
pub(crate) fn all_held(tx: &ReadTx<'_>) -> Result<HashSet<ContentDigest>> {
    let blobs = tx.list(&LINKS)?.into_iter().map(|(key, _)| key.digest);
    let manifests = tx.list(&MANIFESTS)?.into_iter().map(|(key, _)| key.digest);
    Ok(blobs.chain(manifests).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Digest;

    #[test]
    fn keys_are_read_back_as_they_were_written() {
        let digest = ContentDigest::Sha256(Digest::from_sha256([1; 32]));
        let subject = ContentDigest::Sha512([2; 64]);
        let repository: Repository = "a/b".parse().unwrap();
        let held = Held { digest, repository: repository.clone() };
        assert_eq!(held.to_string().parse::<Held>().unwrap(), held);
        let key = ReferrerKey { repository: repository.clone(), subject, digest };
        assert_eq!(key.to_string().parse::<ReferrerKey>().unwrap(), key);
        let key = PartKey { part: held, manifest: subject };
        assert_eq!(key.to_string().parse::<PartKey>().unwrap(), key);
        let key = TagKey { repository, tag: "v1".parse().unwrap() };
        assert_eq!(key.to_string().parse::<TagKey>().unwrap(), key);
        assert!("a".parse::<Held>().is_err() && "a@b@c".parse::<ReferrerKey>().is_err());
    }
}
