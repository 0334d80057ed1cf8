//! Whether a registry lets somebody in.

use super::endpoint::domain_of;
use super::error::RegistryError;
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
        let mut last = None;
        for endpoint in Session::endpoints(self, domain, false) {
            let ask = Ask::new(Method::GET, endpoint.url(""));
            let asked = async {
                let session = Session::open(self, endpoint, "", Vec::new(), credentials).await?;
                session.ask(&ask).await
            };
            match asked.await {
                Ok(_) => return Ok(LoggedIn { identity_token: String::new() }),
                Err(error @ RegistryError::Reach { .. }) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        let (url, source) = (address.to_owned(), "it has no address".into());
        Err(last.unwrap_or(RegistryError::Address { url, source }))
    }
}
