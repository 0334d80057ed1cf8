//! Which containers there are: by id and by name, and what was last seen of each.
//!
//! Each container has a task that owns it (`container`); the registry holds the task's mailbox and a watch on which the
//! task publishes a snapshot after each change. Reading never asks the task, so `ps` and `inspect` answer while a
//! container starts or stops.

use crate::container::Request;
use base::Time;
use model::{ContainerId, ContainerIntent, Observed};
use platform::Error;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{mpsc, watch};

/// What a container's task last published.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// What was asked for.
    pub(crate) intent: Arc<ContainerIntent>,
    /// What was seen.
    pub(crate) observed: Observed,
    /// How often its process has ended since this daemon knows it.
    pub(crate) exits: u64,
    /// How it last ended.
    pub(crate) last_exit: i32,
    /// Whether it is gone.
    pub(crate) removed: bool,
}

/// A container's task, from outside.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) mailbox: mpsc::Sender<Request>,
    pub(crate) seen: watch::Receiver<Snapshot>,
}

impl Handle {
    /// The latest snapshot.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.seen.borrow().clone()
    }
}

#[derive(Default)]
struct Index {
    containers: BTreeMap<ContainerId, Handle>,
    names: HashMap<String, ContainerId>,
}

/// All containers of the node.
#[derive(Default)]
pub(crate) struct Registry {
    index: RwLock<Index>,
}

/// The refusal that clients know.
pub(crate) fn no_such(name: &str) -> Error {
    Error::not_found(format!("No such container: {name}"))
}

impl Registry {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a name for a container, before it is made.
    pub(crate) fn claim(&self, name: &str, id: ContainerId) -> Result<(), Error> {
        let mut index = self.write();
        match index.names.get(name) {
            Some(owner) if *owner != id => Err(Error::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove (or \
                 rename) that container to be able to reuse that name."
            ))),
            _ => {
                index.names.insert(name.to_owned(), id);
                Ok(())
            }
        }
    }

    /// Gives a name back, if that container has it.
    pub(crate) fn release(&self, name: &str, id: ContainerId) {
        let mut index = self.write();
        if index.names.get(name) == Some(&id) {
            index.names.remove(name);
        }
    }

    /// Adds a container whose name is claimed.
    pub(crate) fn insert(&self, id: ContainerId, handle: Handle) {
        self.write().containers.insert(id, handle);
    }

    /// Forgets a container and its name.
    pub(crate) fn forget(&self, id: ContainerId) {
        let mut index = self.write();
        index.containers.remove(&id);
        index.names.retain(|_, owner| *owner != id);
    }

    /// The container that a text means: its name, its id, or a prefix that no other id has.
    pub(crate) fn find(&self, name: &str) -> Result<(ContainerId, Handle), Error> {
        let index = self.read();
        let bare = name.strip_prefix('/').unwrap_or(name);
        let exact = name.parse::<ContainerId>().ok().or_else(|| index.names.get(bare).copied());
        if let Some(id) = exact {
            return index.containers.get(&id).map(|handle| (id, handle.clone())).ok_or_else(|| no_such(name));
        }
        if bare.is_empty() || !bare.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(no_such(name));
        }
        let mut fitting = index.containers.iter().filter(|(id, _)| id.to_string().starts_with(bare));
        match (fitting.next(), fitting.next()) {
            (Some((id, handle)), None) => Ok((*id, handle.clone())),
            (None, _) => Err(no_such(name)),
            (Some(_), Some(_)) => {
                Err(Error::invalid(format!("multiple IDs found with provided prefix: {name}")))
            }
        }
    }

    /// All containers, the newest first.
    pub(crate) fn all(&self) -> Vec<Snapshot> {
        let mut all: Vec<Snapshot> = self.read().containers.values().map(Handle::snapshot).collect();
        all.sort_by_key(|snapshot: &Snapshot| -> std::cmp::Reverse<(Time, ContainerId)> {
            std::cmp::Reverse((snapshot.intent.created, snapshot.intent.id))
        });
        all
    }

    /// All handles, in no order.
    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.read().containers.values().cloned().collect()
    }
}
