//! Who asks, and how they are asked to say so.
//!
//! Passwords come as RFC 7617 says. Where some things are open to everybody, clients are asked for a token instead, which they
//! get here, with a password or without (the token protocol of Docker's registries).

use super::table::Operation;
use super::{Answer, Body, Call, Served, joined, json, set};
use crate::distribution::access::{Access, Claim, TOKEN_KEPT, User};
use crate::distribution::{Refusal, Repository};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::json as object;
use std::sync::Arc;

/// What clients show people whom they ask for a password.
const REALM: &str = "Bocage registry";

const NO_PASSWORD: &str = "say who you are: log in first";
const WRONG: &str = "the name, the password or the token is not right";

/// Who sends a request.
///
/// # Errors
/// [`Refusal::WhoAreYou`] if they are not who they say.
pub(super) async fn asks(parts: &Parts, served: &Arc<Served>, access: &Arc<Access>) -> Result<User, Refusal> {
    let header = parts.headers.get("authorization").map(|value| value.to_str().unwrap_or_default());
    let claim = Claim::parse(header);
    let now = served.clock.instant();
    let user = if access.is_known(&claim) {
        access.user(&claim, now)
    } else {
        // The semaphore is never closed.
        let permit = served.verifying.acquire().await;
        let access = Arc::clone(access);
        let user = joined(tokio::task::spawn_blocking(move || access.user(&claim, now)).await)?;
        drop(permit);
        user
    };
    user.ok_or(Refusal::WhoAreYou(WRONG))
}

/// Whether a user may do something.
///
/// # Errors
/// [`Refusal::Denied`], or [`Refusal::WhoAreYou`] if somebody else may.
pub(super) fn may(
    user: &User,
    access: &Access,
    operation: &Operation,
    repository: Option<&Repository>,
) -> Result<(), Refusal> {
    // Where nothing is open to everybody, nobody is told what there is.
    if user.is_anonymous() && access.has_users() && (operation.is_base() || !access.wants_tokens()) {
        return Err(Refusal::WhoAreYou(NO_PASSWORD));
    }
    let (Some(repository), Some(action)) = (repository, operation.action) else { return Ok(()) };
    if user.may(action, repository) {
        return Ok(());
    }
    if user.is_anonymous() {
        return Err(Refusal::WhoAreYou(NO_PASSWORD));
    }
    let (user, what) = (user.name().to_owned(), repository.to_string());
    Err(Refusal::Denied { user, action: action.word(), what })
}

/// Says how a client can tell who it is (RFC 9110, section 11.6.1).
pub(super) fn challenge(response: &mut Response<Body>, access: &Access, parts: &Parts, encrypted: bool) {
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
    let value = match host {
        Some(host) if access.wants_tokens() && parts.uri.path() != "/v2/token" => {
            let scheme = if encrypted { "https" } else { "http" };
            format!("Bearer realm=\"{scheme}://{host}/v2/token\",service=\"{REALM}\"")
        }
        _ => format!("Basic realm=\"{REALM}\""),
    };
    set(response.headers_mut(), "www-authenticate", &value);
}

/// Whether a text can be a host's name or address, with a port.
fn is_host(text: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.bytes().all(fits)
}

/// Gives a token to whoever asks, as who they are. What a client says it wants the token for is not looked at: a token allows
/// what its user may do.
pub(super) async fn token(call: &mut Call<'_>) -> Answer {
    let token = call.access.token(&call.user, call.served.clock.instant());
    let document = object!({ "token": token, "access_token": token, "expires_in": TOKEN_KEPT.as_secs() });
    Ok(json(StatusCode::OK, &document, call.is_head))
}
