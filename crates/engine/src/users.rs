//! User namespaces: which containers have one, and which numbers each has on the host.
//!
//! Ranges are held in memory only: layers and volumes carry the numbers of the inside and are shown through a mapping, so a
//! container may have another range at each start. A new daemon reads the ranges of what runs from the kernel.

use crate::Shared;
use model::container::{NetworkMode, Sharing, Userns};
use model::{ContainerId, ContainerIntent};
use plan::ranges::{self, Pool, RANGE_IDS};
use platform::Error;
use runtime::setup::{IdRange, Namespace, UserNamespace};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The users whose lines in `/etc/subuid` and `/etc/subgid` are for containers.
const OWNERS: [&str; 2] = ["bocage", "containers"];

/// The ranges of this machine.
pub(crate) struct Users {
    pools: Vec<Pool>,
    /// What containers have that do not say what they want.
    default: Userns,
    taken: Mutex<BTreeMap<ContainerId, u32>>,
}

impl Users {
    /// Reads what may be given out.
    pub(crate) fn new(default: Userns) -> Users {
        let read = |path: &str| ranges::pools(&std::fs::read_to_string(path).unwrap_or_default(), &OWNERS);
        let (users, groups) = (read("/etc/subuid"), read("/etc/subgid"));
        let pools = if users.is_empty() && groups.is_empty() {
            vec![ranges::DEFAULT]
        } else {
            ranges::common(&users, &groups)
        };
        Users { pools, default, taken: Mutex::default() }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<ContainerId, u32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a container a range.
    fn take(&self, id: ContainerId) -> Result<u32, Error> {
        let mut taken = self.taken();
        let others: BTreeSet<u32> = taken.values().copied().collect();
        let first = ranges::free(&self.pools, &others).ok_or_else(|| {
            Error::failed(format!(
                "no range of {RANGE_IDS} user ids is free: {} containers have one; give `bocage` more in /etc/subuid and /etc/subgid",
                taken.len()
            ))
        })?;
        taken.insert(id, first);
        Ok(first)
    }

    /// Takes a container's range back, if it had one.
    pub(crate) fn give_back(&self, id: ContainerId) {
        self.taken().remove(&id);
    }

    /// Enters the range of a container that runs, as the kernel tells it.
    pub(crate) fn adopt(&self, id: ContainerId, pid: i32) {
        let text = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap_or_default();
        let mut fields = text.split_whitespace().map_while(|field| field.parse::<u32>().ok());
        if let (Some(0), Some(first), Some(RANGE_IDS)) = (fields.next(), fields.next(), fields.next()) {
            self.taken().insert(id, first);
        }
    }
}

/// What a container gets: what it asked for, or else the daemon's default where that makes sense.
fn wanted(shared: &Shared, intent: &ContainerIntent) -> Userns {
    let spec = &intent.spec;
    if spec.userns != Userns::Default {
        return spec.userns;
    }
    let on_host = spec.network == NetworkMode::Host
        || [&spec.pid, &spec.ipc, &spec.uts].iter().any(|sharing| **sharing == Sharing::Host);
    // What is the host's has the host's numbers.
    if spec.security.privileged || on_host { Userns::Host } else { shared.users.default }
}

/// The user namespace that a container starts in. `joined` is the first process of the first container whose namespaces
/// it shares: it then shares this one too.
pub(crate) fn namespace(
    shared: &Shared,
    intent: &ContainerIntent,
    joined: Option<i32>,
) -> Result<UserNamespace, Error> {
    if let Some(pid) = joined {
        let path = PathBuf::from(format!("/proc/{pid}/ns/user"));
        let own = std::fs::read_link("/proc/self/ns/user").ok();
        let is_ours = own.is_some() && own == std::fs::read_link(&path).ok();
        return Ok(if is_ours {
            UserNamespace::Host
        } else {
            UserNamespace::Existing(Namespace::Path(path))
        });
    }
    let mapped = |first: u32, length: u32| {
        let range = vec![IdRange { inside: 0, outside: first, length }];
        UserNamespace::New { users: range.clone(), groups: range }
    };
    Ok(match wanted(shared, intent) {
        Userns::Default | Userns::Host => UserNamespace::Host,
        Userns::Keep => mapped(0, u32::MAX),
        Userns::Auto => mapped(shared.users.take(intent.id)?, RANGE_IDS),
    })
}

/// Whether what is on disk is shown with other owners: not where the numbers are the host's.
pub(crate) fn is_shifted(namespace: &UserNamespace) -> bool {
    match namespace {
        UserNamespace::Host => false,
        UserNamespace::New { users, .. } => users.iter().any(|range| range.inside != range.outside),
        UserNamespace::Existing(_) => true,
    }
}
