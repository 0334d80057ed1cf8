//! Small things that are fetched whole: manifests and configurations.

use super::Result;
use super::error::RegistryError;
use super::session::{Ask, Session, whole};
use crate::hash::digest_of;
use crate::manifest::{ACCEPTED, DOCUMENT_BYTES_MAX, Descriptor};
use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use model::Digest;

/// Where registries say what they sent.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A manifest or an index as it came.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    /// What the registry says that it is.
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
}

/// Fetches a manifest by tag or digest. With a digest it is what it should be.
pub(crate) async fn manifest(session: &Session<'_>, name: &str) -> Result<Fetched> {
    let mut ask = Ask::new(Method::GET, session.url(&format!("manifests/{name}")));
    for kind in ACCEPTED {
        ask.headers.push((ACCEPT, HeaderValue::from_static(kind)));
    }
    let response = session.ask(&ask).await?;
    let text = |name: HeaderName| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (media_type, told) = (text(CONTENT_TYPE), text(CONTENT_DIGEST));
    let bytes = whole(response, DOCUMENT_BYTES_MAX, &ask.url, session.plumbing.patience()).await?.to_vec();
    let found = digest_of(&bytes);
    // A digest of another kind than ours says nothing to us.
    let told = told.parse::<Digest>().ok();
    if let Some(wanted) = name.parse::<Digest>().ok().or(told).filter(|wanted| *wanted != found) {
        return Err(RegistryError::Digest { what: format!("manifest {name}"), wanted, found });
    }
    Ok(Fetched { bytes, media_type, digest: found })
}

/// Fetches a small blob whole.
pub(crate) async fn small_blob(
    session: &Session<'_>,
    what: &str,
    descriptor: &Descriptor,
    bytes_max: u64,
) -> Result<Vec<u8>> {
    let wanted = descriptor.size;
    let url = session.url(&format!("blobs/{}", descriptor.digest));
    if wanted > bytes_max {
        let what = format!("with {what} of {wanted} bytes; {bytes_max} are taken at most");
        return Err(RegistryError::Protocol { url, what });
    }
    let ask = Ask::new(Method::GET, url);
    let mut attempt = 1;
    let bytes = loop {
        let response = session.ask(&ask).await?;
        match whole(response, bytes_max as usize, &ask.url, session.plumbing.patience()).await {
            // It broke off.
            Err(RegistryError::Protocol { .. }) if attempt < session.plumbing.patience().attempts => {
                session.plumbing.pause(attempt, None).await;
                attempt += 1;
            }
            other => break other?,
        }
    };
    if bytes.len() as u64 != wanted {
        return Err(RegistryError::Size { what: what.to_owned(), wanted, found: bytes.len() as u64 });
    }
    match digest_of(&bytes) {
        found if found == descriptor.digest => Ok(bytes.to_vec()),
        found => Err(RegistryError::Digest { what: what.to_owned(), wanted: descriptor.digest, found }),
    }
}

/// The digest of a manifest, as the registry tells it without sending it; `None` where it does not.
pub(crate) async fn digest(session: &Session<'_>, name: &str) -> Result<Option<Digest>> {
    let mut ask = Ask::new(Method::HEAD, session.url(&format!("manifests/{name}")));
    for kind in ACCEPTED {
        ask.headers.push((ACCEPT, HeaderValue::from_static(kind)));
    }
    let response = session.ask(&ask).await?;
    let told = response.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
    Ok(told.and_then(|digest| digest.parse().ok()))
}
