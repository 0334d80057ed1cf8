//! Requests to one registry on behalf of one repository: let in, redirected, tried again.
//!
//! ```text
//!  send: with what lets us in -> 401: get it (once) and again
//!    patiently: -> 429, 5xx, no answer: wait longer each time, and again, a bounded number of times
//!      once: -> 3xx: follow, without what lets us in when it leads elsewhere
//! ```

use super::challenge::{self, Challenge};
use super::credentials::Credentials;
use super::dial::{Body, Proxy, Requests};
use super::endpoint::{Endpoint, Patience, endpoints};
use super::error::{Cause, ERROR_BYTES_MAX, Refusal, RegistryError};
use super::ranges::Parts;
use super::{Registries, Result, locked, token};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION, RETRY_AFTER, USER_AGENT,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;

/// One request, as often as it is sent.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Makes the body, for each attempt anew.
    pub(crate) body: &'a (dyn Fn() -> Body + Send + Sync),
    /// Bytes of the body that are sent so far: while they grow, an answer is waited for.
    pub(crate) sent: Option<&'a AtomicU64>,
    /// Whether it may be sent again when nobody knows what became of it.
    pub(crate) again: bool,
}

pub(crate) fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

impl Ask<'_> {
    pub(crate) fn new(method: Method, url: String) -> Ask<'static> {
        Ask { method, url, headers: Vec::new(), body: &nothing, sent: None, again: true }
    }

    fn unreachable(&self, url: &str, source: impl Into<Cause>) -> RegistryError {
        RegistryError::Reach {
            method: go_method(&self.method),
            url: without_query(url).to_owned(),
            source: source.into(),
        }
    }
}

/// A method as Go writes it in errors, which is what Docker's users know.
fn go_method(method: &Method) -> &'static str {
    match method.as_str() {
        "HEAD" => "Head",
        "POST" => "Post",
        "PUT" => "Put",
        "PATCH" => "Patch",
        _ => "Get",
    }
}

/// Addresses may have secrets behind the question mark.
pub(crate) fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// What requests to one address are made with.
pub(crate) struct Plumbing<'r> {
    registries: &'r Registries,
    pub(crate) endpoint: Endpoint,
    client: Requests,
    proxy: Proxy,
}

impl<'r> Plumbing<'r> {
    pub(crate) fn new(registries: &'r Registries, endpoint: Endpoint) -> Result<Plumbing<'r>> {
        let (client, proxy) = registries.client(&endpoint)?;
        Ok(Plumbing { registries, endpoint, client, proxy })
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.registries.settings.parts
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.registries.settings.patience
    }

    /// What the registry wants before it answers; asked once and remembered. Nothing is tried again: an address at
    /// which nobody is says so at once.
    pub(crate) async fn challenge(&self) -> Result<Option<Challenge>> {
        if let Some(known) = locked(&self.registries.known).get(&self.endpoint) {
            return Ok(known.clone());
        }
        let ask = Ask::new(Method::GET, self.endpoint.url(""));
        let response = match self.once(&ask, None).await? {
            response if is_passing(response.status()) => self.patiently(&ask, None).await?,
            response => response,
        };
        let challenge = match response.status() {
            StatusCode::UNAUTHORIZED => Some(self.wanted(&response)?),
            status if is_passing(status) => return Err(refused(response, &ask.url, self.patience()).await),
            _ => None,
        };
        self.registries.remember(&self.endpoint, challenge.clone());
        Ok(challenge)
    }

    fn wanted(&self, response: &Response<Incoming>) -> Result<Challenge> {
        let offered = response.headers().get_all(WWW_AUTHENTICATE);
        let offered: Vec<&str> = offered.iter().filter_map(|value| value.to_str().ok()).collect();
        challenge::best(offered.iter().copied()).ok_or_else(|| RegistryError::Challenge {
            host: self.endpoint.host.clone(),
            offered: offered.join(", "),
        })
    }

    /// Sends until somebody answers with more than "not now".
    pub(crate) async fn patiently(
        &self,
        ask: &Ask<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>> {
        let mut attempt = 1;
        loop {
            let last = !ask.again || attempt >= self.patience().attempts;
            let asked_for = match self.once(ask, authorization).await {
                Ok(response) if !last && is_passing(response.status()) => match retry_after(&response) {
                    // Whoever wants to be left alone for longer says so now.
                    Some(pause) if pause > self.patience().pause_max => return Ok(response),
                    pause => pause,
                },
                Err(RegistryError::Reach { .. }) if !last => None,
                outcome => return outcome,
            };
            self.pause(attempt, asked_for).await;
            attempt += 1;
        }
    }

    /// Waits before the next attempt: twice as long each time, and not as long as everybody else.
    pub(crate) async fn pause(&self, attempt: u32, asked_for: Option<Duration>) {
        let patience = self.patience();
        let doubled = patience.first_pause.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        let spread = doubled.mul_f64(0.5 + (base::random::number() % 1024) as f64 / 1024.0);
        tokio::time::sleep(asked_for.unwrap_or(spread).min(patience.pause_max)).await;
    }

    /// Sends once, and follows to where it leads.
    async fn once(&self, ask: &Ask<'_>, authorization: Option<&HeaderValue>) -> Result<Response<Incoming>> {
        let address = |url: &str| {
            url.parse::<Uri>()
                .map_err(|source| RegistryError::Address { url: url.to_owned(), source: source.into() })
        };
        let first = address(&ask.url)?;
        let mut url = first.clone();
        let follows = [Method::GET, Method::HEAD].contains(&ask.method);
        for _ in 0..=REDIRECTS_MAX {
            let at_first = url.scheme() == first.scheme() && url.authority() == first.authority();
            let authorization = authorization.filter(|_| self.is_own(&url));
            let response = self.exchange(ask, &url, authorization, at_first).await?;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) = location.filter(|_| follows && response.status().is_redirection()) else {
                return Ok(response);
            };
            let next = address(&resolve(&url, location))?;
            if url.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                let why = "to where nothing is encrypted";
                return Err(RegistryError::Redirect { url: without_query(&ask.url).to_owned(), why });
            }
            url = next;
        }
        let why = "too often";
        Err(RegistryError::Redirect { url: without_query(&ask.url).to_owned(), why })
    }

    /// Whether an address is at the registry itself: what lets us in there is for nobody else.
    fn is_own(&self, url: &Uri) -> bool {
        let base = self.endpoint.base.parse::<Uri>().ok();
        base.is_some_and(|base| base.scheme() == url.scheme() && base.authority() == url.authority())
    }

    async fn exchange(
        &self,
        ask: &Ask<'_>,
        url: &Uri,
        authorization: Option<&HeaderValue>,
        at_first: bool,
    ) -> Result<Response<Incoming>> {
        let text = url.to_string();
        let mut request = Request::builder().method(ask.method.clone()).uri(url.clone());
        request = request.header(USER_AGENT, &self.registries.settings.user_agent);
        for (name, value) in &ask.headers {
            if at_first || name != AUTHORIZATION {
                request = request.header(name, value);
            }
        }
        for (name, value) in
            [(AUTHORIZATION, authorization.cloned()), (PROXY_AUTHORIZATION, self.proxy.authorization(url))]
        {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let request = request
            .body((ask.body)())
            .map_err(|source| RegistryError::Address { url: text.clone(), source: source.into() })?;
        let mut answer = std::pin::pin!(self.client.request(request));
        let mut sent_before = 0;
        loop {
            match tokio::time::timeout(self.patience().answer, &mut answer).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => return Err(ask.unreachable(&text, plainly(&error))),
                Err(_) => {
                    let sent = ask.sent.map_or(0, |sent| sent.load(Ordering::Relaxed));
                    if sent == sent_before {
                        return Err(ask.unreachable(&text, "no answer came in time"));
                    }
                    sent_before = sent;
                }
            }
        }
    }
}

/// The causes of an error of the HTTP client, without its own word in front of them.
fn plainly(error: &hyper_util::client::legacy::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => base::Chain(source).to_string(),
        None => error.to_string(),
    }
}

/// Statuses that may be others in a moment.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// How long the registry wants to be left alone (RFC 9110, 10.2.3), where it says it in seconds.
fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Where a location leads that was told at `base`; what is no whole address is below it.
pub(crate) fn resolve(base: &Uri, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let scheme = base.scheme_str().unwrap_or("https");
    let authority = base.authority().map(|authority| authority.as_str()).unwrap_or_default();
    match location.strip_prefix("//") {
        Some(rest) => format!("{scheme}://{rest}"),
        None if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        None => {
            let directory = base.path().rsplit_once('/').map_or("", |(directory, _)| directory);
            format!("{scheme}://{authority}{directory}/{location}")
        }
    }
}

/// One repository of a registry, and who asks.
pub(crate) struct Session<'r> {
    pub(crate) plumbing: Plumbing<'r>,
    /// The repository as the registry knows it.
    pub(crate) repository: String,
    scopes: Vec<String>,
    credentials: Credentials,
    challenge: tokio::sync::RwLock<Option<Challenge>>,
    authorization: tokio::sync::RwLock<Option<HeaderValue>>,
}

impl<'r> Session<'r> {
    /// Opens a session where one of the addresses answers. `scopes` is what tokens are asked for.
    ///
    /// # Errors
    /// Those of the last address, when none answers.
    pub(crate) async fn open(
        registries: &'r Registries,
        endpoint: Endpoint,
        repository: &str,
        scopes: Vec<String>,
        credentials: &Credentials,
    ) -> Result<Session<'r>> {
        let plumbing = Plumbing::new(registries, endpoint)?;
        let challenge = plumbing.challenge().await?;
        let authorization = match &challenge {
            None => None,
            Some(challenge) => token::authorization(&plumbing, challenge, &scopes, credentials).await?,
        };
        Ok(Session {
            plumbing,
            repository: repository.to_owned(),
            scopes,
            credentials: credentials.clone(),
            challenge: tokio::sync::RwLock::new(challenge),
            authorization: tokio::sync::RwLock::new(authorization),
        })
    }

    /// Opens a session at the first address of a registry that answers; mirrors are not asked.
    ///
    /// # Errors
    /// Those of the last address, when none answers.
    pub(crate) async fn reach(
        registries: &'r Registries,
        domain: &str,
        repository: &str,
        scopes: Vec<String>,
        credentials: &Credentials,
    ) -> Result<Session<'r>> {
        let mut last = None;
        for endpoint in Session::endpoints(registries, domain, false) {
            match Session::open(registries, endpoint, repository, scopes.clone(), credentials).await {
                Err(error) if error.may_be_reached_otherwise() => last = Some(error),
                other => return other,
            }
        }
        let (url, source) = (format!("{domain}/{repository}"), "it has no address".into());
        Err(last.unwrap_or(RegistryError::Address { url, source }))
    }

    /// The addresses at which a registry may be.
    pub(crate) fn endpoints(registries: &Registries, domain: &str, mirrors: bool) -> Vec<Endpoint> {
        let mut found = endpoints(&registries.settings, domain, mirrors);
        let known = locked(&registries.known);
        // Of several ways to speak to the same host, the one that worked is tried first.
        let hosts: Vec<String> = found.iter().map(|endpoint| endpoint.host.clone()).collect();
        found.sort_by_key(|endpoint| {
            (hosts.iter().position(|host| *host == endpoint.host), !known.contains_key(endpoint))
        });
        found
    }

    /// The address of something of this repository.
    pub(crate) fn url(&self, path: &str) -> String {
        self.plumbing.endpoint.url(&format!("{}/{path}", self.repository))
    }

    /// Sends a request; whatever else is answered, it is not "log in first", unless that was done.
    pub(crate) async fn send(&self, ask: &Ask<'_>) -> Result<Response<Incoming>> {
        let used = self.authorization.read().await.clone();
        let response = self.plumbing.patiently(ask, used.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let wanted = self.plumbing.wanted(&response)?;
        let mut authorization = self.authorization.write().await;
        if *authorization == used {
            // It was never had, or has run out.
            let new = token::authorization(&self.plumbing, &wanted, &self.scopes, &self.credentials).await?;
            if new == used {
                return Ok(response);
            }
            *self.challenge.write().await = Some(wanted);
            *authorization = new;
        }
        let now = authorization.clone();
        drop(authorization);
        self.plumbing.patiently(ask, now.as_ref()).await
    }

    /// The same, and anything but success is an error.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Response<Incoming>> {
        let response = self.send(ask).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refused(response, &ask.url, self.plumbing.patience()).await)
    }
}

/// What an answer that is no success says.
pub(crate) async fn refused(response: Response<Incoming>, url: &str, patience: &Patience) -> RegistryError {
    let status = response.status().as_u16();
    let url = without_query(url).to_owned();
    let body = whole(response, ERROR_BYTES_MAX, &url, patience).await.unwrap_or_default();
    Refusal::read(url, status, &body).into()
}

/// A whole body, bounded.
pub(crate) async fn whole(
    response: Response<Incoming>,
    bytes_max: usize,
    url: &str,
    patience: &Patience,
) -> Result<Bytes> {
    let broken = |what: String| RegistryError::Protocol { url: without_query(url).to_owned(), what };
    let body = Limited::new(response.into_body(), bytes_max);
    match tokio::time::timeout(patience.idle, body.collect()).await {
        Err(_) => Err(broken("too slowly".to_owned())),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(broken(format!("with more than {bytes_max} bytes")))
        }
        Ok(Err(error)) => Err(broken(format!("and broke off: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_understood_however_it_is_written() {
        let base: Uri = "https://r.example:5000/v2/x/blobs/uploads/".parse().unwrap();
        for (location, whole) in [
            ("https://cdn.example/y?z", "https://cdn.example/y?z"),
            ("/v2/y?state=1", "https://r.example:5000/v2/y?state=1"),
            ("//other/y", "https://other/y"),
            ("id", "https://r.example:5000/v2/x/blobs/uploads/id"),
        ] {
            assert_eq!(resolve(&base, location), whole);
        }
    }
}
