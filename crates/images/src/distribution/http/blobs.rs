//! Blobs: read, in parts too, and deleted.

use super::body::Body;
use super::range::{Wanted, wanted};
use super::{Answer, Call, empty, set};
use crate::Error;
use crate::distribution::cache::Brought;
use crate::distribution::{ContentDigest, Refusal, Repository};
use hyper::{Response, StatusCode};
use std::io::{Seek, SeekFrom};

/// Where a blob can be had.
pub(super) fn location(repository: &Repository, digest: &ContentDigest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

pub(super) async fn head(call: &mut Call<'_>) -> Answer {
    let (repository, digest) = (call.repository()?, call.parameter.parse()?);
    if let Brought::Coming(coming) = call.bring_blob(digest).await? {
        let mut response = described(StatusCode::OK, &digest);
        set(response.headers_mut(), "content-length", &coming.bytes.to_string());
        return Ok(response);
    }
    let blob = call.blocking(move |registry| registry.blob(&repository, digest)).await?;
    let mut response = described(StatusCode::OK, &digest);
    set(response.headers_mut(), "content-length", &blob.bytes.to_string());
    Ok(response)
}

pub(super) async fn get(call: &mut Call<'_>) -> Answer {
    let (repository, digest) = (call.repository()?, call.parameter.parse()?);
    let range = call.header("range").map(str::to_owned);
    if let Brought::Coming(coming) = call.bring_blob(digest).await? {
        // Who wants a part waits until all is here; so does who comes when it is just taking its place.
        let reader = if range.is_none() { coming.reader().ok() } else { None };
        if let Some(reader) = reader {
            let mut response = described(StatusCode::OK, &digest);
            *response.body_mut() = Body::reader(reader, coming.bytes);
            return Ok(response);
        }
        coming.ended().await;
    }
    let (blob, part, bytes) = call
        .blocking(move |registry| {
            let mut blob = registry.blob(&repository, digest)?;
            let bytes = blob.bytes;
            let part = match wanted(range.as_deref(), bytes) {
                Wanted::All => None,
                Wanted::Part(part) => Some(part),
                Wanted::Nothing => return Err(Refusal::Range { bytes }),
            };
            if let Some(part) = &part {
                let path = std::path::PathBuf::from(digest.to_string());
                blob.file.seek(SeekFrom::Start(part.start)).map_err(Error::read(&path))?;
            }
            Ok((blob, part, bytes))
        })
        .await?;
    let Some(part) = part else {
        let mut response = described(StatusCode::OK, &digest);
        *response.body_mut() = Body::file(blob.file, bytes);
        return Ok(response);
    };
    let mut response = described(StatusCode::PARTIAL_CONTENT, &digest);
    let range = format!("bytes {}-{}/{bytes}", part.start, part.end - 1);
    set(response.headers_mut(), "content-range", &range);
    *response.body_mut() = Body::file(blob.file, part.end - part.start);
    Ok(response)
}

/// The headers of a blob, which never changes.
fn described(status: StatusCode, digest: &ContentDigest) -> Response<Body> {
    let mut response = empty(status);
    let headers = response.headers_mut();
    set(headers, "content-type", "application/octet-stream");
    set(headers, "accept-ranges", "bytes");
    set(headers, "docker-content-digest", &digest.to_string());
    set(headers, "etag", &format!("\"{digest}\""));
    response
}

pub(super) async fn delete(call: &mut Call<'_>) -> Answer {
    let (repository, digest) = (call.repository()?, call.parameter.parse()?);
    call.blocking(move |registry| registry.delete_blob(&repository, digest)).await?;
    Ok(empty(StatusCode::ACCEPTED))
}
