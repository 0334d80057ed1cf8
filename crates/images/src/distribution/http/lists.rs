//! Lists: repositories, tags, referrers. What does not fit on a page is linked to (RFC 8288).

use super::{Answer, Call, Query, encode, json, set};
use crate::Error;
use crate::distribution::access::Action;
use crate::distribution::lists::{Cut, Page};
use crate::distribution::{ContentDigest, Refusal};
use crate::manifest::OCI_INDEX;
use hyper::{Response, StatusCode};
use serde_json::json as object;

/// That this is a registry.
pub(super) async fn base(call: &mut Call<'_>) -> Answer {
    Ok(json(StatusCode::OK, &object!({}), call.is_head))
}

pub(super) async fn catalog(call: &mut Call<'_>) -> Answer {
    let cut = cut(&call.query)?;
    let (user, part) = (call.user.clone(), cut.clone());
    let page = call
        .blocking(move |registry| {
            registry.repositories(&part, &|repository| user.may(Action::Pull, repository))
        })
        .await?;
    let mut response = json(StatusCode::OK, &object!({ "repositories": page.names }), call.is_head);
    link(&mut response, "/v2/_catalog", &cut, &page);
    Ok(response)
}

pub(super) async fn tags(call: &mut Call<'_>) -> Answer {
    let cut = cut(&call.query)?;
    let repository = call.repository()?;
    let (name, part) = (repository.clone(), cut.clone());
    let page = call.blocking(move |registry| registry.tags(&name, &part)).await?;
    let document = object!({ "name": repository.as_str(), "tags": page.names });
    let mut response = json(StatusCode::OK, &document, call.is_head);
    link(&mut response, &format!("/v2/{repository}/tags/list"), &cut, &page);
    Ok(response)
}

/// The parameters `n` and `last`.
fn cut(query: &Query) -> Result<Cut, Refusal> {
    let count = query.given("n").map(|text| text.parse().map_err(|_| Refusal::Page(text.to_owned())));
    Ok(Cut { after: query.given("last").unwrap_or_default().to_owned(), count: count.transpose()? })
}

/// Says where the next page is.
fn link(response: &mut Response<super::Body>, path: &str, cut: &Cut, page: &Page) {
    let Some(last) = page.names.last().filter(|_| page.more) else { return };
    let count = cut.count.unwrap_or(page.names.len());
    let next = format!("<{path}?n={count}&last={}>; rel=\"next\"", encode(last));
    set(response.headers_mut(), "link", &next);
}

pub(super) async fn referrers(call: &mut Call<'_>) -> Answer {
    let repository = call.repository()?;
    let subject: ContentDigest = call.parameter.parse()?;
    let after = call.query.given("last").map(str::parse).transpose()?;
    let wanted = call.query.given("artifactType").map(str::to_owned);
    let (name, filter) = (repository.clone(), wanted.clone());
    let referrers =
        call.blocking(move |registry| registry.referrers(&name, subject, filter.as_deref(), after)).await?;
    let document = serde_json::to_value(&referrers.index)
        .map_err(|source| Error::Encode { what: "a list of referrers", source })?;
    let mut response = json(StatusCode::OK, &document, call.is_head);
    let headers = response.headers_mut();
    set(headers, "content-type", OCI_INDEX);
    let mut filter = String::new();
    if let Some(wanted) = wanted {
        set(headers, "oci-filters-applied", "artifactType");
        filter = format!("&artifactType={}", encode(&wanted));
    }
    if let Some(last) = referrers.more_after {
        let path = format!("/v2/{repository}/referrers/{subject}");
        set(headers, "link", &format!("<{path}?last={last}{filter}>; rel=\"next\""));
    }
    Ok(response)
}
