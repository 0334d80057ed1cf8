//! Fetches files: small ones whole, others onto the disk, where they are kept only if they are what they should be.
//!
//! A server that does not answer, or breaks off, is asked again a few times; one that answers something else is believed.

use crate::error::{Error, Result};
use crate::release::Listed;
use aws_lc_rs::digest;
use bytes::Bytes;
use dial::{Proxies, Proxy, Requests};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use model::Digest;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(15);
/// Until an answer begins, and between two pieces of it.
const ANSWER: Duration = Duration::from_secs(60);
/// How often a file is asked for, and how long before the second time; doubled for each further one.
const ATTEMPTS_MAX: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Redirects of one file.
const REDIRECTS_MAX: u32 = 5;

/// Fetches files from anywhere.
#[derive(Clone)]
pub struct Fetcher {
    client: Requests,
    proxy: Proxy,
    user_agent: String,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

/// What an attempt came to that failed.
enum Failed {
    /// It may work the next time.
    Again(Error),
    /// It will not.
    Finally(Error),
}

impl Failed {
    fn error(self) -> Error {
        match self {
            Failed::Again(error) | Failed::Finally(error) => error,
        }
    }
}

impl Fetcher {
    /// Goes through these proxies.
    ///
    /// # Errors
    /// The cryptography does not start.
    pub fn new(proxies: &Proxies, user_agent: &str) -> Result<Fetcher> {
        let tls = dial::public_tls()
            .map_err(|source| Error::Fetch { url: "https".to_owned(), source: source.into() })?;
        let (client, proxy) = dial::requests(proxies, CONNECT, tls);
        Ok(Fetcher { client, proxy, user_agent: user_agent.to_owned() })
    }

    /// The whole of a small file; none where there is none.
    ///
    /// # Errors
    /// It cannot be fetched, or is too big.
    pub async fn small(&self, url: &str, bytes_max: usize) -> Result<Option<Vec<u8>>> {
        self.attempts(async || {
            let Some(mut body) = self.ask(url).await? else { return Ok(None) };
            let mut all = Vec::new();
            while let Some(piece) = piece(&mut body, url).await? {
                all.extend_from_slice(&piece);
                if all.len() > bytes_max {
                    let what = format!("it has more than {bytes_max} bytes");
                    return Err(Failed::Finally(Error::Archive { url: url.to_owned(), what }));
                }
            }
            Ok(Some(all))
        })
        .await
    }

    /// Fetches a file to a path, where it is seen only once it is whole and right. `told` hears of every piece. Says whether there is
    /// such a file.
    ///
    /// # Errors
    /// It cannot be fetched, is another than it should be, or cannot be written.
    pub async fn file(&self, url: &str, listed: Listed, path: &Path, told: &dyn Fn(u64)) -> Result<bool> {
        let partial = path.with_extension(format!("{:08x}.part", base::random::number() as u32));
        let fetched = self.attempts(async || self.onto_disk(url, listed, &partial, told).await).await;
        let outcome = match fetched {
            Ok(Some(())) => std::fs::rename(&partial, path).map(|()| true).map_err(disk("write", path)),
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        if !matches!(outcome, Ok(true)) {
            let _ = std::fs::remove_file(&partial);
        }
        outcome
    }

    async fn onto_disk(
        &self,
        url: &str,
        listed: Listed,
        partial: &Path,
        told: &dyn Fn(u64),
    ) -> Result<Option<()>, Failed> {
        let Some(mut body) = self.ask(url).await? else { return Ok(None) };
        let written = |source| Failed::Finally(disk("write", partial)(source));
        let changed = |what, found, wanted| Error::Changed { url: url.to_owned(), what, found, wanted };
        let mut file = File::create(partial).map_err(written)?;
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut size = 0;
        while let Some(piece) = piece(&mut body, url).await? {
            size += piece.len() as u64;
            if size > listed.size {
                let wanted = listed.size.to_string();
                return Err(Failed::Finally(changed("its size is more than", size.to_string(), wanted)));
            }
            hash.update(&piece);
            file.write_all(&piece).map_err(written)?;
            told(piece.len() as u64);
        }
        if size != listed.size {
            // It may have been cut on its way.
            return Err(Failed::Again(changed("its size is", size.to_string(), listed.size.to_string())));
        }
        let found = sha256(hash);
        if found != listed.digest {
            let (found, wanted) = (found.to_string(), listed.digest.to_string());
            return Err(Failed::Finally(changed("its hash is", found, wanted)));
        }
        Ok(Some(()))
    }

    async fn attempts<T>(&self, attempt: impl AsyncFn() -> Result<T, Failed>) -> Result<T> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS_MAX {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(Failed::Finally(error)) => return Err(error),
                Err(Failed::Again(_)) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        attempt().await.map_err(Failed::error)
    }

    /// Asks once, and follows where it is sent; none where there is no such file.
    async fn ask(&self, url: &str) -> Result<Option<Incoming>, Failed> {
        let mut address: Uri = url.parse().map_err(|error| self.failed(url, error, false))?;
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.once(&address, url).await?;
            let status = answer.status();
            if status.is_success() {
                return Ok(Some(answer.into_body()));
            }
            if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
                return Ok(None);
            }
            if !status.is_redirection() {
                let error = Error::Status { url: url.to_owned(), status: status.as_u16() };
                let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                return Err(if again { Failed::Again(error) } else { Failed::Finally(error) });
            }
            let to = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            address = redirected(&address, to).ok_or_else(|| {
                self.failed(url, format!("it redirects to {to:?}, where nobody is sent"), false)
            })?;
        }
        Err(self.failed(url, "it redirects too often", false))
    }

    async fn once(&self, address: &Uri, url: &str) -> Result<Response<Incoming>, Failed> {
        let host = address.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        let mut request =
            Request::get(address.clone()).header(HOST, host).header(USER_AGENT, self.user_agent.as_str());
        if let Some(authorization) = self.proxy.authorization(address) {
            request = request.header(PROXY_AUTHORIZATION, authorization);
        }
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request = request.body(body).map_err(|error| self.failed(url, error, false))?;
        match tokio::time::timeout(ANSWER, self.client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failed(url, error, true)),
            Err(_) => Err(self.failed(url, "no answer in time", true)),
        }
    }

    fn failed(&self, url: &str, source: impl Into<dial::Cause>, again: bool) -> Failed {
        let error = Error::Fetch { url: url.to_owned(), source: source.into() };
        if again { Failed::Again(error) } else { Failed::Finally(error) }
    }
}

/// The next piece of an answer; none at its end.
async fn piece(body: &mut Incoming, url: &str) -> Result<Option<Bytes>, Failed> {
    let again = |source: dial::Cause| Failed::Again(Error::Fetch { url: url.to_owned(), source });
    loop {
        let frame = tokio::time::timeout(ANSWER, body.frame()).await;
        match frame.map_err(|_| again("it broke off: nothing more came in time".into()))? {
            None => return Ok(None),
            Some(Err(error)) => return Err(again(error.into())),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Where a redirect leads: anywhere, but not out of encryption.
fn redirected(from: &Uri, to: &str) -> Option<Uri> {
    let absolute = if to.starts_with('/') && !to.starts_with("//") {
        format!("{}://{}{to}", from.scheme_str()?, from.authority()?)
    } else {
        to.to_owned()
    };
    let to: Uri = absolute.parse().ok()?;
    match (from.scheme_str(), to.scheme_str()) {
        (_, Some("https")) | (Some("http"), Some("http")) => Some(to),
        _ => None,
    }
}

/// The end of a hash.
pub(crate) fn sha256(hash: digest::Context) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    Digest::from_sha256(bytes)
}

/// An error of the disk.
pub(crate) fn disk<'p>(operation: &'static str, path: &'p Path) -> impl Fn(std::io::Error) -> Error + 'p {
    move |source| Error::Disk { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_encrypted() {
        let from = |text: &str| text.parse::<Uri>().unwrap();
        let led = |one: &str, to: &str| redirected(&from(one), to).map(|uri| uri.to_string());
        assert_eq!(led("https://a/x", "/y").unwrap(), "https://a/y");
        assert_eq!(led("http://a/x", "https://b/").unwrap(), "https://b/");
        assert_eq!(led("https://a/x", "http://b/"), None);
        assert_eq!(led("http://a/x", "file:///etc/passwd"), None);
        assert_eq!(led("http://a/x", ""), None);
    }
}
