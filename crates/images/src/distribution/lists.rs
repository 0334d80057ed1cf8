//! What there is: repositories, tags, and what is said of a manifest, page by page.

use super::Registry;
use super::digest::ContentDigest;
use super::names::{Repository, Target};
use super::records::{REFERRERS, REPOSITORIES, TAGS, referrers_to, tags_of};
use super::refusal::Refusal;
use crate::manifest::{Descriptor, Document, Index, OCI_INDEX};

/// Names of one page.
pub(crate) const NAMES_MAX: usize = 10_000;
/// Bytes of the descriptors of one page; the last one may reach beyond.
const DESCRIPTOR_BYTES_MAX: usize = 1 << 20;

/// Some names, and whether there are more behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) names: Vec<String>,
    pub(crate) more: bool,
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Only what comes behind this.
    pub(crate) after: String,
    /// At most so many.
    pub(crate) count: Option<usize>,
}

impl Cut {
    /// The page of a list that is sorted.
    pub(crate) fn page(&self, names: impl Iterator<Item = String>) -> Page {
        let count = self.count.unwrap_or(NAMES_MAX).min(NAMES_MAX);
        let mut behind = names.filter(|name| *name > self.after);
        let names: Vec<String> = behind.by_ref().take(count).collect();
        // Who asks for none is not told where to go on.
        Page { more: !names.is_empty() && behind.next().is_some(), names }
    }
}

/// What is said of a manifest.
#[derive(Debug)]
pub(crate) struct Referrers {
    pub(crate) index: Index<ContentDigest>,
    /// Where the next page begins.
    pub(crate) more_after: Option<ContentDigest>,
}

impl Registry {
    /// The names of the repositories that `may_see` allows.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub(crate) fn repositories(
        &self,
        cut: &Cut,
        may_see: &dyn Fn(&Repository) -> bool,
    ) -> Result<Page, Refusal> {
        let all = self.images.store.read(|tx| tx.list(&REPOSITORIES))?;
        let mut seen: Vec<String> =
            all.into_iter().filter(|(name, _)| may_see(name)).map(|(name, _)| name.to_string()).collect();
        seen.sort_unstable();
        Ok(cut.page(seen.into_iter()))
    }

    /// The tags of a repository.
    ///
    /// # Errors
    /// [`Refusal::UnknownRepository`] when there is none.
    pub(crate) fn tags(&self, repository: &Repository, cut: &Cut) -> Result<Page, Refusal> {
        self.images.store.read(|tx| {
            if tx.get(&REPOSITORIES, repository)?.is_none() {
                return Err(Refusal::UnknownRepository(repository.clone()));
            }
            // Their keys begin alike, so that they are sorted as the tags are.
            let tags = tx.list_under(&TAGS, &tags_of(repository))?;
            Ok(cut.page(tags.into_iter().map(|(key, _)| key.tag.to_string())))
        })
    }

    /// The manifests that have this one as their subject, behind `after`; those of one type where that is asked for.
    ///
    /// # Errors
    /// When the tables or the manifests cannot be read.
    pub(crate) fn referrers(
        &self,
        repository: &Repository,
        subject: ContentDigest,
        artifact_type: Option<&str>,
        after: Option<ContentDigest>,
    ) -> Result<Referrers, Refusal> {
        let keys =
            self.images.store.read(|tx| tx.list_under(&REFERRERS, &referrers_to(repository, &subject)))?;
        let digests = keys.into_iter().map(|(key, _)| key.digest);
        let mut manifests = Vec::new();
        let (mut bytes, mut last, mut more_after) = (0, None, None);
        for digest in
            digests.filter(|digest| after.is_none_or(|after| digest.to_string() > after.to_string()))
        {
            if bytes >= DESCRIPTOR_BYTES_MAX {
                more_after = last;
                break;
            }
            let descriptor = match self.describe(repository, digest) {
                Err(Refusal::UnknownManifest { .. }) => continue,
                other => other?,
            };
            last = Some(digest);
            if artifact_type.is_none_or(|wanted| descriptor.artifact_type == wanted) {
                let said = descriptor.annotations.iter().map(|(key, value)| key.len() + value.len());
                bytes += descriptor.media_type.len() + digest.hex().len() + said.sum::<usize>();
                manifests.push(descriptor);
            }
        }
        let index = Index {
            schema_version: 2,
            media_type: OCI_INDEX.to_owned(),
            artifact_type: String::new(),
            manifests,
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        };
        Ok(Referrers { index, more_after })
    }

    /// A manifest as a list of referrers tells of it.
    fn describe(
        &self,
        repository: &Repository,
        digest: ContentDigest,
    ) -> Result<Descriptor<ContentDigest>, Refusal> {
        let (found, bytes) = self.manifest(repository, &Target::Digest(digest))?;
        let document =
            Document::<ContentDigest>::read(&bytes, &found.media_type).map_err(Refusal::Manifest)?;
        Ok(Descriptor {
            media_type: found.media_type,
            digest,
            size: found.bytes,
            urls: Vec::new(),
            annotations: document.annotations().clone(),
            data: None,
            platform: None,
            artifact_type: document.artifact_type().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(after: &str, count: Option<usize>) -> (String, bool) {
        let cut = Cut { after: after.to_owned(), count };
        let page = cut.page(["a", "b", "c"].into_iter().map(str::to_owned));
        (page.names.concat(), page.more)
    }

    #[test]
    fn a_page_begins_behind_the_last_name_and_tells_whether_there_is_more() {
        assert_eq!(page("", None), ("abc".to_owned(), false));
        assert_eq!(page("", Some(2)), ("ab".to_owned(), true));
        assert_eq!(page("a", Some(2)), ("bc".to_owned(), false));
        assert_eq!(page("aa", Some(1)), ("b".to_owned(), true));
        assert_eq!(page("c", None), (String::new(), false));
        assert_eq!(page("", Some(0)), (String::new(), false));
    }
}
