//! The other end of `pull` and `push`: a registry, as the OCI distribution specification 1.1 describes it.
//!
//! ```text
//!  client --> http (routing, bodies) --> Registry --> tables of `store`: who has what
//!                                           |
//!                                           +-------> blobs/, shared with the image store
//!  push:  upload begun -> bytes, hashed as they come -> digest verified -> synced, in its place -> table -> answered
//! ```
//!
//! - [`Registry`]: blobs, uploads, manifests, tags of repositories; what `http` asks. Every call blocks.
//! - `records`: the tables, and what keeps content from being removed
//! - `announced`, `collect`: what may be removed, beside pushes
//! - `cache`, `upstream`: repositories that are copies of other registries'
//! - `access`: who may do what
//! - `http`: requests, refusals and answers
//!
//! Invariants:
//! - Nothing is acknowledged before it is synced, and nothing takes its place whose digest is not verified.
//! - Content is in its place as long as a table knows it; it is one file, whoever knows it: a repository or an image.
//! - A manifest has all its parts in its repository, unless that is a copy: it is verified in the transaction that records it,
//!   and whoever takes a part away asks in a transaction too.
//! - What a push was told that it need not send stays long enough for the push to end (see `announced`).

mod access;
pub(crate) mod announced;
pub(crate) mod blobs;
mod cache;
mod collect;
pub(crate) mod digest;
mod http;
mod lists;
mod manifests;
mod names;
pub(crate) mod records;
mod refusal;
mod tls;
mod uploads;
mod upstream;

pub use access::{Access, Action, BadUsers, Rights, User, hash_password};
pub use cache::{BadUpstream, Cache, KEPT, NoUpstream};
pub use collect::Collected;
pub use digest::{BadContentDigest, ContentDigest};
#[cfg(any(test, fuzzing))]
pub use http::fuzzing::request_headers;
pub use http::{Served, serve};
pub use names::{Repository, Tag, Target};
pub(crate) use records::{all_held, is_held};
pub use refusal::Refusal;
pub use tls::{BadTls, tls_config};

use crate::{Images, Result};
use announced::Announced;
use base::Clock;
use std::sync::Arc;
use std::time::Instant;
use uploads::Uploads;

/// The repositories of a node. Share it in an `Arc`; every call blocks.
pub struct Registry {
    images: Arc<Images>,
    clock: Clock,
    uploads: Uploads,
    announced: Announced,
}

impl Registry {
    /// Opens the registry of an image store, with the uploads that were under way when it was last open.
    ///
    /// # Errors
    /// When the directory of uploads cannot be read.
    pub fn open(images: Arc<Images>, clock: Clock) -> Result<Registry> {
        Registry::open_at(images, clock, clock.instant())
    }

    /// Opens it as if it were `opened`.
    pub(crate) fn open_at(images: Arc<Images>, clock: Clock, opened: Instant) -> Result<Registry> {
        let uploads = Uploads::open(images.home.uploads())?;
        Ok(Registry { images, clock, uploads, announced: Announced::new(opened) })
    }
}

#[cfg(test)]
mod tests;
