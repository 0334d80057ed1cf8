//! What of a push is one request: is a blob there, mounted from elsewhere, a manifest set.

use super::Result;
use super::error::RegistryError;
use super::fetch::CONTENT_DIGEST;
use super::session::{Ask, Session, refused};
use super::token::form;
use crate::contents::NewManifest;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use model::Digest;

impl Session<'_> {
    /// Whether the repository has a blob.
    pub(super) async fn has_blob(&self, digest: Digest) -> Result<bool> {
        let ask = Ask::new(Method::HEAD, self.url(&format!("blobs/{digest}")));
        let response = self.send(&ask).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(refused(response, &ask.url, self.plumbing.patience()).await),
        }
    }

    /// Whether the registry takes a blob from another of its repositories, or from wherever it has it. One that would rather have it
    /// sent has begun an upload, which it forgets by itself.
    pub(super) async fn mounted(&self, digest: Digest, from: Option<&str>) -> Result<bool> {
        let digest = digest.to_string();
        let query: Vec<(&str, &str)> =
            [("mount", digest.as_str())].into_iter().chain(from.map(|from| ("from", from))).collect();
        let mut ask = Ask::new(Method::POST, self.url(&format!("blobs/uploads/?{}", form(&query))));
        ask.headers.push((CONTENT_LENGTH, HeaderValue::from_static("0")));
        Ok(self.send(&ask).await?.status() == StatusCode::CREATED)
    }

    /// Sets a tag, or the name that it has by its digest, to a manifest, and sees that the registry has understood it as it is
    /// meant.
    pub(super) async fn put_manifest(&self, manifest: &NewManifest, name: &str) -> Result<()> {
        let bytes = Bytes::from(manifest.text.clone());
        let size = bytes.len();
        let body = move || Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync();
        let mut ask = Ask::new(Method::PUT, self.url(&format!("manifests/{name}")));
        let kind = HeaderValue::from_str(&manifest.media_type);
        ask.headers.extend(kind.ok().map(|kind| (CONTENT_TYPE, kind)));
        ask.headers.push((CONTENT_LENGTH, HeaderValue::from(size)));
        ask.body = &body;
        let response = self.ask(&ask).await?;
        let told = response.headers().get(CONTENT_DIGEST).and_then(|digest| digest.to_str().ok());
        match told.and_then(|digest| digest.parse::<Digest>().ok()) {
            Some(found) if found != manifest.digest => {
                let what = format!("the manifest as the registry took it for {name}");
                Err(RegistryError::Digest { what, wanted: manifest.digest, found })
            }
            _ => Ok(()),
        }
    }
}
