//! Tokens: had from the service that a registry names, for what is about to be done.

use super::Result;
use super::challenge::Challenge;
use super::credentials::{Credentials, sensitive};
use super::error::{Refusal, RegistryError};
use super::session::{Ask, Plumbing, whole};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;

/// Bytes of a token service's answer.
const TOKEN_BYTES_MAX: usize = 1 << 20;
/// How we call ourselves where a token stands for a password (OAuth 2.0).
const CLIENT_ID: &str = "bocage";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Granted {
    token: String,
    access_token: String,
}

/// What is to be sent along so that a registry that wants this answers; nothing where there is nothing to show.
pub(crate) async fn authorization(
    plumbing: &Plumbing<'_>,
    challenge: &Challenge,
    scopes: &[String],
    credentials: &Credentials,
) -> Result<Option<HeaderValue>> {
    if !credentials.registry_token.is_empty() {
        return Ok(sensitive(&format!("Bearer {}", credentials.registry_token)));
    }
    match challenge {
        Challenge::Basic => Ok(credentials.basic()),
        Challenge::Bearer { realm, service, scope } => {
            let mut scopes = scopes.to_vec();
            if scopes.is_empty() && !scope.is_empty() {
                scopes.push(scope.clone());
            }
            if realm.starts_with("http://") && plumbing.endpoint.is_encrypted() && !plumbing.endpoint.insecure
            {
                let (host, realm) = (plumbing.endpoint.host.clone(), realm.clone());
                return Err(RegistryError::OpenRealm { host, realm });
            }
            fetch(plumbing, realm, service, &scopes, credentials).await.map(Some)
        }
    }
}

async fn fetch(
    plumbing: &Plumbing<'_>,
    realm: &str,
    service: &str,
    scopes: &[String],
    credentials: &Credentials,
) -> Result<HeaderValue> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    if !service.is_empty() {
        pairs.push(("service", service));
    }
    let (response, url) = if credentials.identity_token.is_empty() {
        pairs.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
        if !credentials.user.is_empty() {
            pairs.push(("account", &credentials.user));
        }
        let separator = if realm.contains('?') { '&' } else { '?' };
        let mut ask = Ask::new(Method::GET, format!("{realm}{separator}{}", form(&pairs)));
        ask.headers.extend(credentials.basic().map(|basic| (AUTHORIZATION, basic)));
        (plumbing.patiently(&ask, None).await?, ask.url)
    } else {
        let scope = scopes.join(" ");
        pairs.extend([
            ("grant_type", "refresh_token"),
            ("refresh_token", &credentials.identity_token),
            ("client_id", CLIENT_ID),
            ("scope", &scope),
        ]);
        let body = Bytes::from(form(&pairs));
        let make = move || Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync();
        let mut ask = Ask::new(Method::POST, realm.to_owned());
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        ask.headers.push((CONTENT_TYPE, kind));
        ask.body = &make;
        (plumbing.patiently(&ask, None).await?, ask.url.clone())
    };
    let status = response.status();
    let body = whole(response, TOKEN_BYTES_MAX, &url, plumbing.patience()).await?;
    if !status.is_success() {
        return Err(Refusal::read(realm.to_owned(), status.as_u16(), &body).into());
    }
    let granted: Granted = serde_json::from_slice(&body).unwrap_or_default();
    let token = [granted.token, granted.access_token].into_iter().find(|token| !token.is_empty());
    let header = token.and_then(|token| sensitive(&format!("Bearer {token}")));
    header.ok_or_else(|| RegistryError::NoToken { realm: realm.to_owned() })
}

/// Names and values as forms and queries have them (RFC 3986, 2.1).
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    let escape = |text: &str| {
        let mut out = String::with_capacity(text.len());
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    out.push(char::from(byte));
                }
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    };
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={}", escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}
