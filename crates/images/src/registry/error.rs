//! What can go wrong between here and a registry.

use serde::Deserialize;
use std::fmt;

/// A cause from another crate.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of an answer that are read to find out what went wrong.
pub(crate) const ERROR_BYTES_MAX: usize = 64 << 10;

/// Why a registry could not be asked, or would not answer.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No answer came.
    #[error("{method} {url:?}")]
    Reach {
        /// The method, in Go's writing, as Docker shows it.
        method: &'static str,
        /// The address.
        url: String,
        /// Why.
        source: Cause,
    },
    /// It answered that it will not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It wants a way to log in that is not understood.
    #[error("the registry {host} wants to be logged in to by {offered:?}; basic and bearer are supported")]
    Challenge {
        /// The registry.
        host: String,
        /// What it offers.
        offered: String,
    },
    /// Its token service is not to be trusted with a password.
    #[error(
        "the registry {host} sends logins to {realm:?}, which is not encrypted; they are not sent there, since the registry itself is"
    )]
    OpenRealm {
        /// The registry.
        host: String,
        /// Where tokens are to be had.
        realm: String,
    },
    /// Its token service gave none.
    #[error("the token service {realm:?} gave no token")]
    NoToken {
        /// Where tokens are to be had.
        realm: String,
    },
    /// An address makes no sense.
    #[error("{url:?} is no address of a registry")]
    Address {
        /// The address.
        url: String,
        /// Why.
        source: Cause,
    },
    /// It sends in a circle, or to where nobody may be sent.
    #[error("{url:?} redirects {why}")]
    Redirect {
        /// The address.
        url: String,
        /// What is wrong with where it leads.
        why: &'static str,
    },
    /// What it sent is not what it was to be.
    #[error("{what} has the digest {found}, not {wanted}")]
    Digest {
        /// What was fetched.
        what: String,
        /// The digest that it should have.
        wanted: model::Digest,
        /// The digest of what came.
        found: model::Digest,
    },
    /// What it sent has another length than was said.
    #[error("{what} has {found} bytes, not {wanted}")]
    Size {
        /// What was fetched.
        what: String,
        /// The bytes that it should have.
        wanted: u64,
        /// The bytes that came, or were announced.
        found: u64,
    },
    /// It breaks the protocol.
    #[error("{url:?} answered {what}")]
    Protocol {
        /// The address.
        url: String,
        /// What it did.
        what: String,
    },
    /// Certificates for a registry cannot be used.
    #[error("use the certificates in {}", directory.display())]
    Certificates {
        /// Where they are.
        directory: std::path::PathBuf,
        /// Why.
        source: Cause,
    },
    /// Whoever asked for it has gone.
    #[error("context canceled")]
    Cancelled,
}

/// One error in an answer (distribution specification 1.1, "Error Codes").
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Complaint {
    /// Its code, like `MANIFEST_UNKNOWN`.
    #[serde(default)]
    pub code: String,
    /// In words.
    #[serde(default)]
    pub message: String,
}

/// The answer of a registry that refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The address.
    pub url: String,
    /// The status of HTTP.
    pub status: u16,
    /// What it says about it; maybe nothing.
    pub complaints: Vec<Complaint>,
}

impl fmt::Display for Refusal {
    /// In Docker's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.complaints.as_slice() {
            [] => {
                let words = hyper::StatusCode::from_u16(self.status).ok();
                let words = words.and_then(|status| status.canonical_reason()).unwrap_or_default();
                write!(f, "{}: received unexpected HTTP status: {} {words}", self.url, self.status)
            }
            [one] => one.fmt(f),
            several => {
                f.write_str("errors:")?;
                several.iter().try_for_each(|one| write!(f, "\n{one}"))
            }
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.to_lowercase().replace('_', " ");
        match (code.is_empty(), self.message.is_empty()) {
            (true, _) => f.write_str(&self.message),
            (false, true) => f.write_str(&code),
            (false, false) => write!(f, "{code}: {}", self.message),
        }
    }
}

impl Refusal {
    /// Reads the body of an answer, as far as it is understood.
    pub(crate) fn read(url: String, status: u16, body: &[u8]) -> Refusal {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Body {
            errors: Vec<Complaint>,
            /// What token services answer.
            details: String,
            message: String,
            error: String,
        }
        let mut body: Body = serde_json::from_slice(body).unwrap_or_default();
        if body.errors.is_empty() {
            let told = [body.details, body.message, body.error].into_iter().find(|text| !text.is_empty());
            let code = if status == 401 { "UNAUTHORIZED" } else { "" };
            body.errors =
                told.into_iter().map(|message| Complaint { code: code.to_owned(), message }).collect();
        }
        if body.errors.is_empty() && status == 401 {
            body.errors.push(Complaint {
                code: "UNAUTHORIZED".to_owned(),
                message: "authentication required".to_owned(),
            });
        }
        Refusal { url, status, complaints: body.errors }
    }

    /// Whether it has a complaint of this code.
    pub fn has(&self, code: &str) -> bool {
        self.complaints.iter().any(|complaint| complaint.code == code)
    }
}

/// What rustls says where the other side ended the conversation (RFC 8446, 6).
const TLS_ALERT: &str = "received fatal alert";

impl RegistryError {
    /// Whether somebody is at the address who will not be spoken to so, but in another way perhaps: not encrypted, or with a mirror. An
    /// alert of TLS says that it is encrypted or nothing.
    pub(crate) fn may_be_reached_otherwise(&self) -> bool {
        match self {
            RegistryError::Reach { source, .. } => !source.to_string().contains(TLS_ALERT),
            _ => false,
        }
    }

    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            RegistryError::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> String {
        Refusal::read("https://r/v2/".to_owned(), status, body.as_bytes()).to_string()
    }

    #[test]
    fn whoever_answers_with_an_alert_is_not_asked_in_plain() {
        let reach = |why: &str| RegistryError::Reach {
            method: "Get",
            url: "https://r/v2/".to_owned(),
            source: why.into(),
        };
        assert!(reach("tcp connect error: Connection refused (os error 111)").may_be_reached_otherwise());
        assert!(!reach("received fatal alert: CertificateRequired").may_be_reached_otherwise());
        assert!(!RegistryError::Cancelled.may_be_reached_otherwise());
    }

    #[test]
    fn what_a_registry_says_is_told_in_the_words_that_users_know() {
        let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#;
        assert_eq!(said(404, unknown), "manifest unknown: manifest unknown");
        let two = r#"{"errors":[{"code":"A_B","message":"c"},{"code":"D"}]}"#;
        assert_eq!(said(400, two), "errors:\na b: c\nd");
        assert_eq!(
            said(401, r#"{"details":"incorrect username or password"}"#),
            "unauthorized: incorrect username or password"
        );
        assert_eq!(said(401, ""), "unauthorized: authentication required");
        assert_eq!(
            said(503, "<html>"),
            "https://r/v2/: received unexpected HTTP status: 503 Service Unavailable"
        );
    }
}
