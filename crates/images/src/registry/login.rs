//! Whether a registry lets somebody in.

use super::endpoint::domain_of;
use super::session::{Ask, Session};
use super::{Credentials, Registries, Result};
use hyper::Method;

/// What a registry said to credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// A token that stands for the password from now on; empty where the password is to be kept.
    pub identity_token: String,
}

impl Registries {
    /// Shows credentials to the registry of an address, which may be written as in `docker login`.
    ///
    /// # Errors
    /// When it does not let them in, or cannot be asked.
    pub async fn login(&self, address: &str, credentials: &Credentials) -> Result<LoggedIn> {
        let domain = domain_of(address);
        let session = Session::reach(self, domain, "", Vec::new(), credentials).await?;
        let ask = Ask::new(Method::GET, session.plumbing.endpoint.url(""));
        session.ask(&ask).await?;
        Ok(LoggedIn { identity_token: String::new() })
    }
}
