//! Who asks: a name and a password, or a token that stands for them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;
use std::fmt;

/// What is shown to a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
    /// A token with which others are had, instead of a password.
    pub identity_token: String,
    /// A token that the registry itself takes, instead of everything else.
    pub registry_token: String,
}

impl Credentials {
    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        *self == Credentials::default()
    }

    /// User and password for a header (RFC 7617); `None` without them.
    pub(crate) fn basic(&self) -> Option<HeaderValue> {
        if self.user.is_empty() && self.password.is_empty() {
            return None;
        }
        let text = BASE64_STANDARD.encode(format!("{}:{}", self.user, self.password));
        sensitive(&format!("Basic {text}"))
    }
}

/// A header that is not to be shown in logs.
pub(crate) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for Credentials {
    /// Whose they are; never the secret itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_written_for_the_registry_and_not_for_logs() {
        let credentials =
            Credentials { user: "Aladdin".into(), password: "open sesame".into(), ..Credentials::default() };
        let header = credentials.basic().unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{credentials:?} {header:?}").contains("sesame"));
        assert_eq!(Credentials::default().basic(), None);
    }
}
