//! All tags of a repository (distribution specification 1.1, "Listing Tags").

use super::error::RegistryError;
use super::session::{Ask, Session, resolve, whole};
use super::wait::{Listener, unless_gone};
use super::{Credentials, Registries};
use crate::{Reference, Result};
use hyper::header::LINK;
use hyper::{Method, Uri};
use serde::Deserialize;

/// Bytes of one page.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Tags of one repository.
const TAGS_MAX: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Registries {
    /// The names of all tags of a repository.
    ///
    /// # Errors
    /// What the registry says, or [`crate::Error::TooMany`].
    pub async fn tags<Step>(
        &self,
        repository: &Reference,
        credentials: &Credentials,
        listener: &impl Listener<Step>,
    ) -> Result<Vec<Reference>> {
        let mut last = None;
        for endpoint in Session::endpoints(self, repository.domain(), false) {
            let scopes = vec![format!("repository:{}:pull", repository.path())];
            let opened = Session::open(self, endpoint, repository.path(), scopes, credentials);
            match unless_gone(listener, opened).await {
                Ok(session) => return listed(&session, repository, listener).await,
                Err(error @ RegistryError::Reach { .. }) => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        let (url, source) = (repository.full_name(), "it has no address".into());
        Err(last.unwrap_or(RegistryError::Address { url, source }).into())
    }
}

async fn listed<Step>(
    session: &Session<'_>,
    repository: &Reference,
    listener: &impl Listener<Step>,
) -> Result<Vec<Reference>> {
    let mut tags = Vec::new();
    let mut next = Some(session.url("tags/list"));
    while let Some(url) = next.take() {
        let ask = Ask::new(Method::GET, url);
        let page = async {
            let response = session.ask(&ask).await?;
            let link = response.headers().get(LINK).and_then(|link| link.to_str().ok()).and_then(next_page);
            let link = link.and_then(|link| Some(resolve(&ask.url.parse::<Uri>().ok()?, link)));
            let body = whole(response, PAGE_BYTES_MAX, &ask.url, session.plumbing.patience()).await?;
            let page: Page = serde_json::from_slice(&body).map_err(|error| RegistryError::Protocol {
                url: ask.url.clone(),
                what: format!("with something that is no list of tags: {error}"),
            })?;
            Ok((page.tags.unwrap_or_default(), link))
        };
        let (found, link) = unless_gone(listener, page).await?;
        let is_empty = found.is_empty();
        for tag in found {
            tags.push(repository.tagged(&tag)?);
        }
        if tags.len() > TAGS_MAX {
            return Err(crate::Error::TooMany { what: "tags", max: TAGS_MAX as u64 });
        }
        // A page that brings nothing is the last one, whatever it says; and nobody is sent to another registry.
        next = link.filter(|link| !is_empty && link.starts_with(&session.plumbing.endpoint.base));
    }
    Ok(tags)
}

/// Where the next page is (RFC 8288): `</v2/x/tags/list?last=b>; rel="next"`.
pub(super) fn next_page(link: &str) -> Option<&str> {
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then_some(address)
}
