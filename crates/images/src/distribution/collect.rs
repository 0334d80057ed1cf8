//! Removes what nobody needs, while pushes go on.
//!
//! ```text
//!  blobs that no manifest of their repository needs, and no push counts on -> link removed, in a transaction that asks again
//!      -> bytes that no table knows -> deleted
//!  uploads without progress -> given up         repositories with nothing in them -> forgotten
//! ```
//!
//! Manifests stay until they are deleted by name: that no tag stands at one does not mean that nobody pulls it.

use super::Registry;
use super::digest::ContentDigest;
use super::names::Repository;
use super::records::{Held, LINKS, MANIFESTS, PARTS, REPOSITORIES, users_of};
use super::refusal::Refusal;
use crate::Error;
use std::collections::HashSet;
use std::time::Instant;
use store::{Durability, WriteTx};

/// Links that one transaction removes: nobody else can write meanwhile.
const LINKS_AT_ONCE: usize = 64;

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs of repositories.
    pub blobs: usize,
    /// Uploads that were given up.
    pub uploads: usize,
    /// Manifests of copied repositories that nobody asked for any more.
    pub copies: usize,
    /// Repositories in which nothing was left.
    pub repositories: usize,
}

impl Registry {
    /// Removes what nobody needs. Pushes may go on meanwhile; nothing is taken that one of them was told is here.
    ///
    /// # Errors
    /// When the tables cannot be changed or files cannot be removed; what was removed until then stays so.
    pub fn collect(&self) -> Result<Collected, Refusal> {
        self.collect_at(self.clock.instant())
    }

    pub(crate) fn collect_at(&self, now: Instant) -> Result<Collected, Refusal> {
        let uploads = self.uploads.give_up_stale(self.clock.now())?;
        let copies = self.forget_unused(self.clock.now())?;
        let candidates: Vec<Held> = self.images.store.read(|tx| {
            let mut unneeded = Vec::new();
            for (held, _) in tx.list(&LINKS)? {
                if !self.announced.holds(&held, now) && tx.list_under(&PARTS, &users_of(&held))?.is_empty() {
                    unneeded.push(held);
                }
            }
            Ok::<_, Error>(unneeded)
        })?;
        let mut blobs = 0;
        for some in candidates.chunks(LINKS_AT_ONCE) {
            let gone =
                self.images.store.write(Durability::Synced, |tx| self.unlink_unneeded(tx, some, now))?;
            blobs += gone.len();
            self.release(gone)?;
        }
        let repositories = self.forget_empty()?;
        self.announced.forget_old(now);
        Ok(Collected { blobs, uploads, copies, repositories })
    }

    /// Asks again, as the world went on since the candidates were found.
    fn unlink_unneeded(
        &self,
        tx: &mut WriteTx<'_>,
        some: &[Held],
        now: Instant,
    ) -> Result<Vec<ContentDigest>, Error> {
        let mut gone = Vec::new();
        for held in some {
            let needed = !tx.list_under(&PARTS, &users_of(held))?.is_empty();
            if !needed && !self.announced.holds(held, now) && tx.get(&LINKS, held)?.is_some() {
                tx.remove(&LINKS, held);
                gone.push(held.digest);
            }
        }
        Ok(gone)
    }

    fn forget_empty(&self) -> Result<usize, Error> {
        let empty = self.images.store.read(|tx| {
            let links = tx.list(&LINKS)?.into_iter().map(|(held, _)| held.repository);
            let manifests = tx.list(&MANIFESTS)?.into_iter().map(|(held, _)| held.repository);
            let used: HashSet<_> = links.chain(manifests).collect();
            let all = tx.list(&REPOSITORIES)?.into_iter().map(|(name, _)| name);
            Ok::<Vec<Repository>, Error>(all.filter(|name| !used.contains(name)).collect())
        })?;
        if empty.is_empty() {
            return Ok(0);
        }
        self.images.store.write(Durability::Lazy, |tx| {
            // Somebody may have pushed in the meantime.
            let links: HashSet<_> = tx.list(&LINKS)?.into_iter().map(|(held, _)| held.repository).collect();
            let manifests: HashSet<_> =
                tx.list(&MANIFESTS)?.into_iter().map(|(held, _)| held.repository).collect();
            let still = empty.iter().filter(|name| !links.contains(*name) && !manifests.contains(*name));
            let still: Vec<&Repository> = still.collect();
            still.iter().for_each(|name| tx.remove(&REPOSITORIES, name));
            Ok(still.len())
        })
    }
}
