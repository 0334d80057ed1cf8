//! Looks for repositories by a word.
//!
//! There is no standard for it: Docker's registry has an older interface of its own (`/v1/search`), which some others have as well.
//! One that has not is asked for the list of its repositories (`_catalog` of the distribution project), where it gives that.

use super::endpoint::{Endpoint, HUB};
use super::error::RegistryError;
use super::session::{Ask, Plumbing, Session, refused, resolve, whole};
use super::tags::next_page;
use super::token::form;
use super::{Credentials, Registries, Result};
use hyper::header::LINK;
use hyper::{Method, Uri};
use serde::Deserialize;

/// The machine that searches for Docker's registry.
const HUB_SEARCH: &str = "index.docker.io";
/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Pages of a list of repositories that are read.
const PAGES_MAX: usize = 100;
/// Repositories in one page, as it is asked for.
const PAGE: usize = 1000;

/// A repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Match {
    /// Its name, as its registry knows it.
    pub name: String,
    /// What it says of itself.
    #[serde(deserialize_with = "crate::config::null_is_default")]
    pub description: String,
    /// How many people like it.
    pub star_count: u64,
    /// Whether the registry vouches for it.
    pub is_official: bool,
}

#[derive(Deserialize)]
struct Matches {
    #[serde(default, deserialize_with = "crate::config::null_is_default")]
    results: Vec<Match>,
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(default, deserialize_with = "crate::config::null_is_default")]
    repositories: Vec<String>,
}

impl Registries {
    /// Repositories of a registry whose name or description has `word` in it, `limit` at most.
    ///
    /// # Errors
    /// What the registry says; that it gives neither way to look.
    pub async fn search(
        &self,
        domain: &str,
        word: &str,
        limit: usize,
        credentials: &Credentials,
    ) -> Result<Vec<Match>> {
        let mut last = None;
        for endpoint in Session::endpoints(self, domain, false) {
            match self.search_at(&endpoint, word, limit, credentials).await {
                Err(error) if error.may_be_reached_otherwise() => last = Some(error),
                other => return other,
            }
        }
        let (url, source) = (domain.to_owned(), "it has no address".into());
        Err(last.unwrap_or(RegistryError::Address { url, source }))
    }

    async fn search_at(
        &self,
        endpoint: &Endpoint,
        word: &str,
        limit: usize,
        credentials: &Credentials,
    ) -> Result<Vec<Match>> {
        let searching = match super::endpoint::domain_of(&endpoint.host) {
            HUB => Endpoint {
                base: format!("https://{HUB_SEARCH}"),
                host: HUB_SEARCH.to_owned(),
                insecure: endpoint.insecure,
            },
            _ => endpoint.clone(),
        };
        let plumbing = Plumbing::new(self, searching)?;
        let query = form(&[("q", word), ("n", &limit.to_string())]);
        let url = format!("{}/v1/search?{query}", plumbing.endpoint.base);
        let ask = Ask::new(Method::GET, url);
        let response = plumbing.patiently(&ask, None).await?;
        if response.status().is_success() {
            let body = whole(response, ANSWER_BYTES_MAX, &ask.url, plumbing.patience()).await?;
            // Something else may answer everything with a page for people.
            if let Ok(found) = serde_json::from_slice::<Matches>(&body) {
                return Ok(found.results.into_iter().take(limit).collect());
            }
        } else if endpoint.host != plumbing.endpoint.host {
            return Err(refused(response, &ask.url, plumbing.patience()).await);
        }
        self.listed(endpoint, word, limit, credentials).await
    }

    /// Repositories of the whole list whose names have the word in them.
    async fn listed(
        &self,
        endpoint: &Endpoint,
        word: &str,
        limit: usize,
        credentials: &Credentials,
    ) -> Result<Vec<Match>> {
        let scopes = vec!["registry:catalog:*".to_owned()];
        let session = Session::open(self, endpoint.clone(), "", scopes, credentials).await?;
        let mut found = Vec::new();
        let mut next = Some(endpoint.url(&format!("_catalog?n={PAGE}")));
        for _ in 0..PAGES_MAX {
            let Some(url) = next.take() else { break };
            let ask = Ask::new(Method::GET, url);
            let response = session.ask(&ask).await?;
            let link = response.headers().get(LINK).and_then(|link| link.to_str().ok()).and_then(next_page);
            let link = link.and_then(|link| Some(resolve(&ask.url.parse::<Uri>().ok()?, link)));
            let body = whole(response, ANSWER_BYTES_MAX, &ask.url, session.plumbing.patience()).await?;
            let page: Catalog = serde_json::from_slice(&body).map_err(|error| RegistryError::Protocol {
                url: ask.url.clone(),
                what: format!("with something that is no list of repositories: {error}"),
            })?;
            let is_empty = page.repositories.is_empty();
            let fitting = page.repositories.into_iter().filter(|name| name.contains(word));
            found.extend(fitting.map(|name| Match { name, ..Match::default() }));
            if found.len() >= limit {
                break;
            }
            // Nobody is sent to another registry.
            next = link.filter(|link| !is_empty && link.starts_with(&endpoint.base));
        }
        found.truncate(limit);
        Ok(found)
    }
}
