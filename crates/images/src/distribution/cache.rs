//! Repositories that are copies of those of other registries: what is not here is fetched when it is asked for.
//!
//! ```text
//!  GET manifests/TAG  -> asked within the last minute? given : upstream's digest the same? given : fetched, kept, given
//!  GET blobs/DIGEST   -> here? given : a part of a manifest that is kept? fetched, and given while it comes, kept once verified
//! ```
//!
//! A repository `path` of the registry `host` is called `host/path` here. Clients that take this registry for a mirror ask for
//! `path` alone, with the registry as a parameter (`?ns=host`, as containerd has it) or, as Docker does, without: then the
//! first upstream is meant, unless there is such a repository here.
//!
//! Invariants:
//! - Nothing is kept whose digest is not verified, and no blob is fetched that no kept manifest names.
//! - When the upstream does not answer, what is here is given.
//! - Nobody pushes to a copy. What nobody asked for in [`KEPT`] goes.
//! - A login is for its upstream and the token service that this names, and for nobody else. What it opens is here for whoever may
//!   pull the copy.
//!
//! Absent: lists of what an upstream has.

use super::digest::ContentDigest;
use super::names::{Repository, Tag, Target};
use super::records::{CACHED, CachedRecord, Held, PARTS, REPOSITORIES, users_of};
use super::{Refusal, Registry, upstream};
use crate::manifest::Document;
use crate::registry::{Credentials, Registries};
use crate::{Error, Result};
use base::Time;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::Durability;
use tokio::runtime::Handle;
use upstream::{Answered, Asker, Coming, Fetch};

/// How long what was asked for last stays.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The same where the disk gets full.
const KEPT_ON_A_FULL_DISK: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a tag is not asked for again.
const FRESH: Duration = Duration::from_secs(60);
/// Tags of which that is remembered.
const FRESH_MAX: usize = 10_000;
/// How often it is written down that something was asked for.
const USED_EVERY: Duration = Duration::from_secs(60 * 60);

/// Why a text is no registry that can be copied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no registry: a host is needed as in names of images, such as docker.io or registry.example:5000"
)]
pub struct BadUpstream(pub String);

/// Why nobody logs in with a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is a login for {0:?}, of which nothing is copied")]
pub struct NoUpstream(pub String);

/// A registry of which repositories are copied.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Upstream {
    /// As in names of images.
    domain: String,
    /// The first part of its repositories' names here.
    directory: String,
    /// Who asks there.
    credentials: Credentials,
}

/// A repository here that is a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// What it is called here.
    pub(crate) here: Repository,
    /// The registry that has it.
    pub(crate) domain: String,
    /// What it is called there.
    pub(crate) path: Repository,
}

/// A blob that somebody asked for.
pub(crate) enum Brought {
    /// It is in its place.
    Here,
    /// It is being fetched.
    Coming(Arc<Coming>),
}

/// The copies of a registry.
pub struct Cache {
    registries: Arc<Registries>,
    runtime: Handle,
    upstreams: Vec<Upstream>,
    /// When an upstream said last that a tag is as it is here.
    fresh: Mutex<HashMap<(Repository, Tag), Instant>>,
    coming: Mutex<HashMap<Held, Arc<Coming>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// Copies repositories of these registries; where a client does not say which, it means the first. The network is waited for
    /// on `runtime`.
    ///
    /// # Errors
    /// When one of them is no registry.
    pub fn new(registries: Registries, runtime: Handle, upstreams: &[String]) -> Result<Cache, BadUpstream> {
        let upstream = |domain: &String| {
            let directory = domain.replace(':', "_");
            let fits = domain.contains(['.', ':']) || domain == "localhost";
            match directory.parse::<Repository>() {
                Ok(name) if fits && !name.as_str().contains('/') => {
                    let credentials = Credentials::default();
                    Ok(Upstream { domain: domain.clone(), directory, credentials })
                }
                _ => Err(BadUpstream(domain.clone())),
            }
        };
        Ok(Cache {
            registries: Arc::new(registries),
            runtime,
            upstreams: upstreams.iter().map(upstream).collect::<Result<_, _>>()?,
            fresh: Mutex::default(),
            coming: Mutex::default(),
        })
    }

    /// Logs in with one of the upstreams.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn with_login(mut self, domain: &str, credentials: Credentials) -> Result<Cache, NoUpstream> {
        let mut upstreams = self.upstreams.iter_mut();
        let upstream = upstreams.find(|upstream| upstream.domain == domain);
        upstream.ok_or_else(|| NoUpstream(domain.to_owned()))?.credentials = credentials;
        Ok(self)
    }

    /// Who asks for what is copied.
    fn credentials(&self, copied: &Copied) -> Credentials {
        let upstream = self.upstreams.iter().find(|upstream| upstream.domain == copied.domain);
        upstream.map(|upstream| upstream.credentials.clone()).unwrap_or_default()
    }

    /// Whose copy a repository is. `ns` is the registry that the client says it means.
    pub(crate) fn copied(
        &self,
        asked: &Repository,
        ns: Option<&str>,
        is_here: impl FnOnce() -> bool,
    ) -> Option<Copied> {
        let of = |upstream: &Upstream, path: &str| {
            let here = format!("{}/{path}", upstream.directory).parse().ok()?;
            Some(Copied { here, domain: upstream.domain.clone(), path: path.parse().ok()? })
        };
        for upstream in &self.upstreams {
            let below = asked.as_str().strip_prefix(&upstream.directory);
            if let Some(path) = below.and_then(|rest| rest.strip_prefix('/')) {
                return of(upstream, path);
            }
        }
        match ns {
            Some(domain) => {
                let upstream = self.upstreams.iter().find(|upstream| upstream.domain == domain)?;
                of(upstream, asked.as_str())
            }
            None if is_here() => None,
            None => of(self.upstreams.first()?, asked.as_str()),
        }
    }

    /// Sees that a manifest is here, as its upstream has it now.
    ///
    /// # Errors
    /// [`Refusal::UnknownManifest`] when the upstream does not have it, [`Refusal::Upstream`] when it does not answer, and nothing
    /// is here.
    pub(crate) async fn manifest(
        &self,
        registry: &Arc<Registry>,
        copied: &Copied,
        target: &Target,
    ) -> Result<(), Refusal> {
        let (repository, wanted) = (copied.here.clone(), target.clone());
        let here = blocking(registry, move |registry| {
            let found = registry.find_manifest(&repository, &wanted);
            if let Ok(found) = &found {
                registry.used(&Held { digest: found.digest, repository })?;
            }
            Ok(found.ok().map(|found| found.digest))
        });
        let here = here.await?;
        let now = registry.clock.instant();
        let is_settled = match target {
            Target::Digest(_) => here.is_some(),
            Target::Tag(tag) => here.is_some() && self.is_fresh(copied, tag, now),
        };
        if is_settled {
            return Ok(());
        }
        let asker = Asker { registries: &self.registries, credentials: &self.credentials(copied) };
        let fetched = match upstream::manifest(asker, copied, target, here).await {
            Ok(Answered::Same) => {
                self.remember(copied, target, now);
                return Ok(());
            }
            Ok(Answered::Fetched(fetched)) => fetched,
            Err(error) if here.is_some() => {
                let (upstream, error) = (&copied.domain, base::Chain(&error));
                tracing::warn!(%upstream, %error, "what is here of a copied repository is given as it is");
                return Ok(());
            }
            Err(error) if error.refusal().is_some_and(|refusal| refusal.status == 404) => {
                let (repository, target) = (copied.here.clone(), target.clone());
                return Err(Refusal::UnknownManifest { repository, target });
            }
            Err(error) => {
                let (upstream, why) = (copied.domain.clone(), base::Chain(&error).to_string());
                return Err(Refusal::Upstream { upstream, why });
            }
        };
        let (repository, wanted) = (copied.here.clone(), target.clone());
        blocking(registry, move |registry| {
            registry.keep_copy(&repository, &wanted, &fetched.media_type, &fetched.bytes)
        })
        .await?;
        self.remember(copied, target, now);
        Ok(())
    }

    fn is_fresh(&self, copied: &Copied, tag: &Tag, now: Instant) -> bool {
        let fresh = locked(&self.fresh);
        let asked = fresh.get(&(copied.here.clone(), tag.clone()));
        asked.is_some_and(|asked| now.saturating_duration_since(*asked) < FRESH)
    }

    fn remember(&self, copied: &Copied, target: &Target, now: Instant) {
        let Target::Tag(tag) = target else { return };
        let mut fresh = locked(&self.fresh);
        if fresh.len() >= FRESH_MAX {
            fresh.clear();
        }
        fresh.insert((copied.here.clone(), tag.clone()), now);
    }

    /// Sees that a blob is here, or comes. Whoever asks for one that comes already takes part in that.
    ///
    /// # Errors
    /// [`Refusal::UnknownBlob`] when no manifest that is here names it.
    pub(crate) async fn blob(
        self: &Arc<Self>,
        registry: &Arc<Registry>,
        copied: &Copied,
        digest: ContentDigest,
    ) -> Result<Brought, Refusal> {
        let held = Held { digest, repository: copied.here.clone() };
        let (cache, copied) = (Arc::clone(self), copied.clone());
        let begun = Arc::clone(registry);
        blocking(registry, move |_| cache.begin(&begun, copied, held)).await
    }

    /// Begins to fetch a blob, unless it is here or comes already.
    fn begin(
        self: &Arc<Self>,
        registry: &Arc<Registry>,
        copied: Copied,
        held: Held,
    ) -> Result<Brought, Refusal> {
        let bytes = match registry.part(&held)? {
            Part::Here => return Ok(Brought::Here),
            Part::Wanted(bytes) => bytes,
        };
        let Some(digest) = held.digest.sha256() else {
            // Only what can be verified while it comes is fetched.
            return Err(Refusal::UnknownBlob { repository: held.repository, digest: held.digest });
        };
        let mut coming = locked(&self.coming);
        if let Some(there) = coming.get(&held) {
            return Ok(Brought::Coming(Arc::clone(there)));
        }
        let (registries, runtime) = (Arc::clone(&self.registries), self.runtime.clone());
        let credentials = self.credentials(&copied);
        let fetch = Fetch { registries, runtime, copied, credentials, digest, bytes };
        let (stage, spool) = fetch.begin(&registry.images)?;
        let there = Arc::new(Coming::of(&spool, bytes).map_err(Error::ReadArchive)?);
        coming.insert(held.clone(), Arc::clone(&there));
        drop(coming);
        let (cache, registry, done) = (Arc::clone(self), Arc::clone(registry), Arc::clone(&there));
        self.runtime.spawn_blocking(move || {
            let fetched = fetch.run(spool).and_then(|path| registry.keep_part(&held, bytes, &path));
            if let Err(error) = &fetched {
                let upstream = &fetch.copied.domain;
                tracing::warn!(blob = %held.digest, %upstream, %error, "a blob was not fetched");
            }
            drop(stage);
            locked(&cache.coming).remove(&held);
            done.end();
        });
        Ok(Brought::Coming(there))
    }
}

/// Whether a blob of a copied repository is here.
pub(crate) enum Part {
    /// It is.
    Here,
    /// It is not, and a manifest names it with so many bytes.
    Wanted(u64),
}

/// Runs what may block on a thread for that.
async fn blocking<T: Send + 'static>(
    registry: &Arc<Registry>,
    work: impl FnOnce(&Registry) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    super::http::blocking(registry, work).await
}

impl Registry {
    /// Whether there is a repository of that name.
    pub(crate) fn has_repository(&self, name: &Repository) -> bool {
        self.images.store.read(|tx| tx.get(&REPOSITORIES, name)).is_ok_and(|record| record.is_some())
    }

    /// Writes down that somebody asked for a manifest of a copied repository.
    fn used(&self, held: &Held) -> Result<(), Refusal> {
        let now = self.clock.now();
        let known = self.images.store.read(|tx| tx.get(&CACHED, held).map_err(Error::from))?;
        if known.is_some_and(|record| now.since(record.used) >= USED_EVERY) {
            let record = CachedRecord { used: now };
            self.images.store.write(Durability::Lazy, |tx| tx.put(&CACHED, held, &record))?;
        }
        Ok(())
    }

    /// The size of a part, as the manifests tell it that need it.
    fn part(&self, held: &Held) -> Result<Part, Refusal> {
        match self.blob(&held.repository, held.digest) {
            Ok(_) => return Ok(Part::Here),
            Err(Refusal::UnknownBlob { .. }) => {}
            Err(other) => return Err(other),
        }
        let users =
            self.images.store.read(|tx| tx.list_under(&PARTS, &users_of(held)).map_err(Error::from))?;
        for (user, _) in users {
            let target = Target::Digest(user.manifest);
            let Ok((found, bytes)) = self.manifest(&held.repository, &target) else { continue };
            let document = Document::<ContentDigest>::read(&bytes, &found.media_type);
            let document = document.map_err(Refusal::Manifest)?;
            if let Some(part) = document.descriptors().find(|part| part.digest == held.digest) {
                return Ok(Part::Wanted(part.size));
            }
        }
        Err(Refusal::UnknownBlob { repository: held.repository.clone(), digest: held.digest })
    }

    /// Removes the copies that nobody asked for in a long time.
    pub(crate) fn forget_unused(&self, now: Time) -> Result<usize, Refusal> {
        let is_full = base::disk::Room::at(self.images.home.uploads()).is_ok_and(|room| room.is_low());
        self.forget_unused_for(if is_full { KEPT_ON_A_FULL_DISK } else { KEPT }, now)
    }

    fn forget_unused_for(&self, kept: Duration, now: Time) -> Result<usize, Refusal> {
        let cached = self.images.store.read(|tx| tx.list(&CACHED).map_err(Error::from))?;
        let mut gone = 0;
        for (held, record) in cached {
            if now.since(record.used) < kept {
                continue;
            }
            let target = Target::Digest(held.digest);
            match self.delete_manifest(&held.repository, &target) {
                Ok(()) => gone += 1,
                Err(Refusal::UnknownManifest { .. }) => {}
                Err(other) => return Err(other),
            }
            self.images.store.write(Durability::Lazy, |tx| {
                tx.remove(&CACHED, &held);
                Ok::<_, Error>(())
            })?;
        }
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(
        upstreams: &[&str],
        asked: &str,
        ns: Option<&str>,
        is_here: bool,
    ) -> Option<(String, String, String)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let upstreams: Vec<String> = upstreams.iter().map(|name| (*name).to_owned()).collect();
        let registries = Registries::new(crate::registry::Settings::default());
        let cache = Cache::new(registries, runtime.handle().clone(), &upstreams).unwrap();
        let copied = cache.copied(&asked.parse().unwrap(), ns, || is_here)?;
        Some((copied.here.to_string(), copied.domain, copied.path.to_string()))
    }

    #[test]
    fn a_name_says_whose_copy_it_is() {
        let of = |here: &str, domain: &str, path: &str| {
            Some((here.to_owned(), domain.to_owned(), path.to_owned()))
        };
        let both = ["docker.io", "r.example:5000"];
        let nginx = of("docker.io/library/nginx", "docker.io", "library/nginx");
        assert_eq!(copied(&both, "docker.io/library/nginx", None, true), nginx);
        assert_eq!(copied(&both, "library/nginx", None, false), nginx);
        assert_eq!(copied(&both, "library/nginx", None, true), None, "a repository of its own");
        assert_eq!(copied(&both, "library/nginx", Some("docker.io"), true), nginx);
        let other = of("r.example_5000/a/b", "r.example:5000", "a/b");
        assert_eq!(copied(&both, "a/b", Some("r.example:5000"), false), other);
        assert_eq!(copied(&both, "r.example_5000/a/b", None, false), other);
        assert_eq!(copied(&both, "a", Some("quay.io"), false), None, "no upstream");
        assert_eq!(copied(&[], "a", None, false), None);
    }

    #[test]
    fn a_login_is_for_a_registry_that_is_copied() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let registries = Registries::new(crate::registry::Settings::default());
        let cache = Cache::new(registries, runtime.handle().clone(), &["a.example".to_owned()]).unwrap();
        let me = || Credentials { user: "me".to_owned(), ..Credentials::default() };
        let cache = cache.with_login("a.example", me()).unwrap();
        let copied = |name: &str| cache.copied(&name.parse().unwrap(), None, || false).unwrap();
        assert_eq!(cache.credentials(&copied("a.example/x")), me());
        assert!(
            cache
                .with_login("b.example", me())
                .is_err_and(|error| error == NoUpstream("b.example".to_owned()))
        );
    }

    #[test]
    fn copies_that_nobody_asked_for_go_and_what_was_pushed_stays() {
        let root = tempfile::tempdir().unwrap();
        let store = Arc::new(store::Store::open(&root.path().join("table")).unwrap());
        let images = crate::Images::open(&root.path().join("images"), store, base::Clock::system()).unwrap();
        let registry = Registry::open(Arc::new(images), base::Clock::system()).unwrap();
        let (name, target): (Repository, Target) =
            ("host.example/app".parse().unwrap(), "1".parse().unwrap());
        let (kind, index) = (crate::manifest::OCI_INDEX, br#"{"schemaVersion":2,"manifests":[]}"#);
        registry.keep_copy(&name, &target, kind, index).unwrap();
        let own: Repository = "app".parse().unwrap();
        registry.put_manifest(&own, &target, &[], kind, index).unwrap();
        let now = registry.clock.now();
        assert_eq!(registry.forget_unused_for(KEPT, now.plus(KEPT / 2)).unwrap(), 0);
        assert!(registry.find_manifest(&name, &target).is_ok());
        assert_eq!(registry.forget_unused_for(KEPT, now.plus(KEPT)).unwrap(), 1);
        assert!(registry.find_manifest(&name, &target).is_err());
        assert!(registry.manifest(&own, &target).is_ok());
        assert_eq!(registry.forget_unused_for(KEPT, now.plus(KEPT)).unwrap(), 0);
    }

    #[test]
    fn what_is_no_registry_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for bad in ["", "hub", "docker.io/library", "Docker.io", "https://docker.io"] {
            let registries = Registries::new(crate::registry::Settings::default());
            let cache = Cache::new(registries, runtime.handle().clone(), &[bad.to_owned()]);
            assert!(cache.is_err_and(|error| error == BadUpstream(bad.to_owned())), "{bad}");
        }
    }
}
