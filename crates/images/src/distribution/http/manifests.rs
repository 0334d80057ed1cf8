//! Manifests: read, pushed, deleted, by tag and by digest.

use super::body::Body;
use super::{Answer, Call, empty, set};
use crate::distribution::manifests::Found;
use crate::distribution::{Refusal, Tag, Target};
use crate::manifest::DOCUMENT_BYTES_MAX;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{Response, StatusCode};
use std::time::Duration;

/// How long a client may take to send a manifest.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Tags that one request sets.
const TAGS_MAX: usize = 100;

pub(super) async fn head(call: &mut Call<'_>) -> Answer {
    let (repository, target) = (call.repository()?, call.parameter.parse::<Target>()?);
    call.bring_manifest(&target).await?;
    let found = call.blocking(move |registry| registry.find_manifest(&repository, &target)).await?;
    let mut response = described(&found);
    set(response.headers_mut(), "content-length", &found.bytes.to_string());
    Ok(response)
}

pub(super) async fn get(call: &mut Call<'_>) -> Answer {
    let (repository, target) = (call.repository()?, call.parameter.parse::<Target>()?);
    call.bring_manifest(&target).await?;
    let (found, bytes) = call.blocking(move |registry| registry.manifest(&repository, &target)).await?;
    let mut response = described(&found);
    *response.body_mut() = Body::whole(bytes.into());
    Ok(response)
}

fn described(found: &Found) -> Response<Body> {
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    set(headers, "content-type", &found.media_type);
    set(headers, "docker-content-digest", &found.digest.to_string());
    set(headers, "etag", &format!("\"{}\"", found.digest));
    response
}

pub(super) async fn put(call: &mut Call<'_>) -> Answer {
    let (repository, target) = (call.repository()?, call.parameter.parse::<Target>()?);
    let mut tags: Vec<Tag> = Vec::new();
    // Tags are set beside a digest only; beside a tag, the parameter means nothing.
    if matches!(target, Target::Digest(_)) {
        for tag in call.query.all("tag") {
            if tags.len() >= TAGS_MAX {
                return Err(Refusal::TooLarge {
                    what: "the list of tags in the address",
                    max: TAGS_MAX as u64,
                });
            }
            tags.push(tag.parse()?);
        }
    }
    let came_as = call.header("content-type").unwrap_or_default().to_owned();
    let bytes = document(call).await?;
    let (name, set_tags) = (repository.clone(), tags.clone());
    let pushed = call
        .blocking(move |registry| registry.put_manifest(&name, &target, &set_tags, &came_as, &bytes))
        .await?;
    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    set(headers, "location", &format!("/v2/{repository}/manifests/{}", pushed.digest));
    set(headers, "docker-content-digest", &pushed.digest.to_string());
    if let Some(subject) = pushed.subject {
        set(headers, "oci-subject", &subject.to_string());
    }
    if !tags.is_empty() {
        let names: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        set(headers, "oci-tag", &names.join(", "));
    }
    Ok(response)
}

/// Reads a manifest, which is small.
async fn document(call: &mut Call<'_>) -> Result<Bytes, Refusal> {
    let reading = Limited::new(&mut *call.body, DOCUMENT_BYTES_MAX).collect();
    let read = tokio::time::timeout(MANIFEST_TIMEOUT, reading).await;
    match read.map_err(|_| Refusal::Stalled(MANIFEST_TIMEOUT))? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Refusal::TooLarge { what: "a manifest", max: DOCUMENT_BYTES_MAX as u64 })
        }
        Err(error) => Err(Refusal::Cut(error.to_string())),
    }
}

pub(super) async fn delete(call: &mut Call<'_>) -> Answer {
    let (repository, target) = (call.repository()?, call.parameter.parse::<Target>()?);
    call.blocking(move |registry| registry.delete_manifest(&repository, &target)).await?;
    Ok(empty(StatusCode::ACCEPTED))
}
