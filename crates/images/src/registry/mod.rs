//! Registries, from the client's side: images are pulled from them and pushed to them (OCI distribution specification
//! 1.1; distribution project, "Token Authentication Specification").
//!
//! ```text
//!  Images::pull -> endpoints (mirrors, itself) -> Session: requests, tokens, new attempts -> manifest, configuration
//!                                                    |
//!                     a few threads: Download (reads on where it broke off) -> intake -> unpacked -> placed
//!  Images::push -> Session -> which blobs are there? mounted or sent -> manifest
//! ```
//!
//! HTTP is asynchronous and the image store blocks: a pull or push runs on a thread that may block, and each of its
//! downloads is read by a thread of its own, which waits for the network on the runtime it was given. So a slow disk holds
//! the network back by itself, and nothing is buffered in between.
//!
//! Invariants:
//! - Nothing that came from a registry is used before its digest and its size were seen to be right.
//! - A password goes to the registry it is for, and to the token service that this registry names; nowhere else, and
//!   not in plain text where the registry itself is encrypted.
//! - Every answer, attempt, redirect and wait is bounded.
//! - Whoever listens may go: then all ends soon, and nothing is left.
//!
//! Start at `pull`.

mod blob;
mod challenge;
mod coming;
mod credentials;
mod deliver;
mod dial;
mod downloads;
mod endpoint;
mod error;
pub(crate) mod fetch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod login;
mod publish;
mod pull;
mod push;
mod ranges;
mod remote;
mod search;
mod session;
mod tags;
mod together;
mod token;
mod upload;
mod wait;

pub use credentials::Credentials;
pub use endpoint::{HUB, HostSettings, Patience, Proxies, Settings};
pub use error::{Complaint, Refusal, RegistryError};
pub use login::LoggedIn;
pub use publish::{Member, PublishRequest};
pub use pull::{LayerState, PullRequest, PullStep, Pulled};
pub use push::{Compression, PushRequest, PushState, PushStep, Pushed};
pub use ranges::Parts;
pub use remote::Remote;
pub use search::Match;
pub use wait::{Doing, Listener};

pub(crate) use blob::{Download, Halt};
pub(crate) use session::Session;
pub(crate) use together::Together;
pub(crate) use wait::Unheard;

use self::dial::{Proxy, Requests};
use challenge::Challenge;
use endpoint::Endpoint;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Registries that are remembered; beyond it all are forgotten and looked at anew.
const KNOWN_MAX: usize = 256;

type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// Everything that is asked of registries goes through one of these: it keeps connections for the next request.
pub struct Registries {
    settings: Settings,
    clients: Mutex<BTreeMap<Endpoint, (Requests, Proxy)>>,
    /// Addresses that answered, with what they want before they answer more.
    known: Mutex<BTreeMap<Endpoint, Option<Challenge>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registries {
    /// Nothing is asked before it is needed.
    pub fn new(settings: Settings) -> Registries {
        Registries { settings, clients: Mutex::default(), known: Mutex::default() }
    }

    /// The client for an address.
    fn client(&self, endpoint: &Endpoint) -> Result<(Requests, Proxy)> {
        let mut clients = locked(&self.clients);
        if let Some(client) = clients.get(endpoint) {
            return Ok(client.clone());
        }
        if clients.len() >= KNOWN_MAX {
            clients.clear();
        }
        let client = self::dial::requests(&self.settings, endpoint)?;
        clients.insert(endpoint.clone(), client.clone());
        Ok(client)
    }

    /// Looks at an address anew the next time: the registry may have become another.
    fn forget(&self, endpoint: &Endpoint) {
        locked(&self.known).remove(endpoint);
    }

    fn remember(&self, endpoint: &Endpoint, challenge: Option<Challenge>) {
        let mut known = locked(&self.known);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(endpoint.clone(), challenge);
    }
}

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registries").field("hosts", &self.settings.hosts).finish_non_exhaustive()
    }
}
