//! Volumes: directories that outlive the containers that have them, filled, mounted, copied and removed.
//!
//! ```text
//! make      .new-NAME ---------> row, synced ---------> NAME            (killed before the row: never was)
//! remove    NAME ---> .gone-NAME ---> row away, synced ---> files away  (killed before that: still is)
//! rename    row with the new name and the old directory, synced ---> directory moved ---> row with the new one
//! ```
//!
//! The row in the table decides whether there is a volume; what lies on the disk is made to agree with it when the daemon
//! starts (`records`). Nothing is copied into a directory of a volume but by moves of what is whole (`copyup`).
//!
//! Each change holds the names that it is about ([`Volumes::hold`]), so that two changes of one volume never meet, and no
//! change waits for another volume's. Who has a volume is kept here in memory, told by the engine for each container
//! that is made and for all when it starts: while anybody has it, it stays.
//!
//! - `wish`: names and options
//! - `records`: the table, and the disk brought back to it
//! - `building`: a volume until it is there; `retired`: one until it is gone
//! - `mounting`: volumes that are file systems of their own, mounted while a container runs that has them
//! - `copyup`, `copy`: files of images and of other volumes
//!
//! Absent on purpose: archives and containers, which the engine brings together with what is here.

mod building;
mod copy;
mod copyup;
mod error;
mod mounting;
mod records;
mod retired;
mod wish;

pub use building::{Building, Filling};
pub use copy::Copied;
pub use error::{Error, Result};
pub use retired::Retired;
pub use wish::{check_name, check_options, check_subpath};

use base::Clock;
use model::{ContainerId, VolumeIntent, VolumeSpec};
use mounting::Wanted;
use records::{Home, Record, VOLUMES};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use store::{Durability, Store};

/// What a volume's files lie in, below its directory.
pub(crate) const DATA: &str = "_data";

/// A volume: what was asked for, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// What was asked for.
    pub intent: VolumeIntent,
    /// Where its files are.
    pub path: PathBuf,
    /// The containers that have it.
    pub users: Vec<ContainerId>,
    /// Whether it is a file system that is mounted now.
    pub is_mounted: bool,
}

struct Entry {
    record: Record,
    users: BTreeSet<ContainerId>,
}

#[derive(Default)]
struct State {
    all: BTreeMap<String, Entry>,
    /// Names that somebody changes.
    held: BTreeSet<String>,
    /// Who needs a volume mounted, of those that are file systems of their own.
    mounted: BTreeMap<String, BTreeSet<ContainerId>>,
    /// How many read the files of a volume for a while.
    read: BTreeMap<String, usize>,
}

impl State {
    /// Refuses what somebody has.
    fn unused(&self, doing: &'static str, name: &str) -> Result<&Entry> {
        let entry =
            self.all.get(name).ok_or_else(|| no_such(if doing == "remove" { "get" } else { doing }, name))?;
        if !entry.users.is_empty() {
            let by = entry.users.iter().copied().collect();
            return Err(Error::InUse { doing, name: name.to_owned(), by });
        }
        if self.read.contains_key(name) {
            return Err(Error::Read { doing, name: name.to_owned() });
        }
        Ok(entry)
    }
}

/// The volumes of a node.
pub struct Volumes {
    home: Home,
    store: Arc<Store>,
    clock: Clock,
    state: Mutex<State>,
    released: Condvar,
}

/// Names that nobody else changes meanwhile.
pub(crate) struct Held<'a> {
    volumes: &'a Volumes,
    names: BTreeSet<String>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = self.volumes.lock();
        for name in &self.names {
            state.held.remove(name);
        }
        drop(state);
        self.volumes.released.notify_all();
    }
}

impl Volumes {
    /// Opens the volumes below a directory that is there, and finishes or takes back what a crash cut short.
    ///
    /// # Errors
    /// [`Error::Table`], or what cannot be brought in order on the disk.
    pub fn open(root: &Path, store: Arc<Store>, clock: Clock) -> Result<Volumes> {
        let home = Home::new(root.to_owned());
        let records = records::recover(&home, &store, clock.now())?;
        let all = records.into_iter().map(|(name, record)| (name, Entry { record, users: BTreeSet::new() }));
        let state = Mutex::new(State { all: all.collect(), ..State::default() });
        Ok(Volumes { home, store, clock, state, released: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No closure runs under this lock, so that nothing is half changed by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody changes any of the names, and takes them.
    fn hold<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Held<'_> {
        let names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
        let state = self.lock();
        let is_held = |state: &mut State| names.iter().any(|name| state.held.contains(name));
        // All at once or none: nobody holds one name while waiting for another.
        let mut state = self.released.wait_while(state, is_held).unwrap_or_else(PoisonError::into_inner);
        state.held.extend(names.iter().cloned());
        drop(state);
        Held { volumes: self, names }
    }

    /// Tells which containers have which volumes, and which of them run: once, when a daemon starts.
    pub fn adopt(&self, container: ContainerId, names: &[&str], runs: bool) {
        let mut state = self.lock();
        for name in names {
            let Some(entry) = state.all.get_mut(*name) else { continue };
            entry.users.insert(container);
            if runs && !entry.record.intent.spec.options.is_empty() {
                state.mounted.entry((*name).to_owned()).or_default().insert(container);
            }
        }
    }

    /// Unmounts what an earlier daemon mounted for containers that run no more. Once all are adopted.
    pub fn settle(&self) {
        let unused: Vec<(String, PathBuf)> = {
            let state = self.lock();
            let own = state.all.iter().filter(|(name, entry)| {
                !entry.record.intent.spec.options.is_empty() && !state.mounted.contains_key(*name)
            });
            own.map(|(name, entry)| (name.clone(), self.data(&entry.record))).collect()
        };
        for (name, path) in unused {
            if let Err(error) = mounting::unmount(&path) {
                tracing::warn!(volume = name, error = %base::Chain(&error), "it stays mounted");
            }
        }
    }

    fn data(&self, record: &Record) -> PathBuf {
        self.home.of(record).join(DATA)
    }

    fn seen(&self, state: &State, entry: &Entry) -> Volume {
        let Record { intent, .. } = &entry.record;
        Volume {
            intent: intent.clone(),
            path: self.data(&entry.record),
            users: entry.users.iter().copied().collect(),
            is_mounted: state.mounted.contains_key(&intent.name),
        }
    }

    /// All volumes, by name.
    pub fn list(&self) -> Vec<Volume> {
        let state = self.lock();
        state.all.values().map(|entry| self.seen(&state, entry)).collect()
    }

    /// One volume.
    ///
    /// # Errors
    /// [`Error::NoSuch`].
    pub fn get(&self, name: &str) -> Result<Volume> {
        let state = self.lock();
        match state.all.get(name) {
            Some(entry) => Ok(self.seen(&state, entry)),
            None => Err(no_such("get", name)),
        }
    }

    /// Where a volume's files are, be there one or not.
    pub fn path(&self, name: &str) -> PathBuf {
        match self.lock().all.get(name) {
            Some(entry) => self.data(&entry.record),
            None => self.home.at(name).join(DATA),
        }
    }

    /// Makes a volume; one that is there already, and is not another one, is told as it is. The flag says whether it is
    /// new. Once this answers it survives the loss of power.
    ///
    /// # Errors
    /// A name or options that make no sense, [`Error::Taken`], or what the disk says.
    pub fn create(&self, name: Option<&str>, spec: VolumeSpec) -> Result<(Volume, bool)> {
        let (name, spec) = match name {
            Some(name) => (name.to_owned(), spec),
            None => (made_up(), VolumeSpec { anonymous: true, ..spec }),
        };
        let mut building = self.build(&[(name.clone(), spec)])?;
        let is_new = building.is_new(&name);
        if is_new {
            building.record()?;
        }
        building.finish(None)?;
        Ok((self.get(&name)?, is_new))
    }

    /// Removes a volume that nobody has, with all its files.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::InUse`], or what the disk says.
    pub fn remove(&self, name: &str) -> Result<()> {
        let held = self.hold([name]);
        self.lock().unused("remove", name)?;
        let mut retired = Retired::new(held);
        retired.take(name)?;
        retired.record()?;
        retired.finish()
    }

    /// Gives a volume that nobody has another name.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::InUse`], [`Error::Taken`], a name that is none, or what the disk says.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name(to)?;
        let _held = self.hold([from, to]);
        let mut record = {
            let state = self.lock();
            let record = state.unused("rename", from)?.record.clone();
            if from == to {
                return Ok(());
            }
            if state.all.contains_key(to) {
                return Err(taken("rename", to, "there is one of that name"));
            }
            record
        };
        record.intent.name = to.to_owned();
        record.intent.spec.anonymous = false;
        let renamed = |tx: &mut store::WriteTx<'_>| {
            tx.remove(&VOLUMES, &from.to_owned());
            tx.put(&VOLUMES, &to.to_owned(), &record)
        };
        self.write(to, renamed)?;
        // From here on it has the new name, whatever becomes of its directory.
        let place = self.home.at(to);
        let moved = (!place.exists())
            .then(|| records::rename("rename the volume at", &self.home.of(&record), &place));
        if let Some(Ok(())) = moved {
            to.clone_into(&mut record.directory);
        }
        let again = record.clone();
        if let Err(error) = self.write(to, |tx| tx.put(&VOLUMES, &to.to_owned(), &again)) {
            tracing::warn!(volume = to, error = %base::Chain(&error), "the next daemon finishes its renaming");
        }
        let mut state = self.lock();
        state.all.remove(from);
        state.all.insert(to.to_owned(), Entry { record, users: BTreeSet::new() });
        drop(state);
        moved.unwrap_or(Ok(()))
    }

    /// Gives a volume other labels.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::Record`].
    pub fn relabel(&self, name: &str, labels: BTreeMap<String, String>) -> Result<()> {
        let _held = self.hold([name]);
        let mut record = {
            let state = self.lock();
            state.all.get(name).ok_or_else(|| no_such("update", name))?.record.clone()
        };
        record.intent.spec.labels = labels;
        self.write(name, |tx| tx.put(&VOLUMES, &name.to_owned(), &record))?;
        if let Some(entry) = self.lock().all.get_mut(name) {
            entry.record = record;
        }
        Ok(())
    }

    /// A container that is gone has no volumes.
    pub fn release(&self, container: ContainerId) {
        let mut state = self.lock();
        for entry in state.all.values_mut() {
            entry.users.remove(&container);
        }
    }

    /// Mounts what a volume's options say, unless it is mounted, and tells where its files are. It stays so until
    /// [`Volumes::unmount`] of the last container.
    ///
    /// # Errors
    /// [`Error::NoSuch`], or why it cannot be mounted.
    pub fn mount(&self, container: ContainerId, name: &str) -> Result<PathBuf> {
        let look = |state: &State| {
            let entry = state.all.get(name).ok_or_else(|| no_such("get", name))?;
            Ok((Wanted::read(&entry.record.intent.spec.options), self.data(&entry.record)))
        };
        if let (None, path) = look(&self.lock())? {
            return Ok(path);
        }
        let _held = self.hold([name]);
        let (wanted, path) = look(&self.lock())?;
        if let Some(wanted) = wanted {
            wanted.mount(&path)?;
            self.lock().mounted.entry(name.to_owned()).or_default().insert(container);
        }
        Ok(path)
    }

    /// Whether something is mounted for a container.
    pub fn is_mounted_for(&self, container: ContainerId) -> bool {
        self.lock().mounted.values().any(|by| by.contains(&container))
    }

    /// A container has ended: what was mounted for it alone is unmounted.
    pub fn unmount(&self, container: ContainerId) {
        let needed = |state: &State, container| -> Vec<String> {
            let mounted = state.mounted.iter().filter(|(_, by)| by.contains(&container));
            mounted.map(|(name, _)| name.clone()).collect()
        };
        let names = needed(&self.lock(), container);
        for name in names {
            let _held = self.hold([name.as_str()]);
            let path = {
                let mut state = self.lock();
                let Some(by) = state.mounted.get_mut(&name) else { continue };
                by.remove(&container);
                if !by.is_empty() {
                    continue;
                }
                state.mounted.remove(&name);
                state.all.get(&name).map(|entry| self.data(&entry.record))
            };
            if let Some(Err(error)) = path.map(|path| mounting::unmount(&path)) {
                tracing::warn!(volume = name, error = %base::Chain(&error), "it stays mounted");
            }
        }
    }

    /// Keeps a volume, mounted, for as long as somebody reads its files.
    ///
    /// # Errors
    /// As [`Volumes::mount`].
    pub fn visit(&self, name: &str) -> Result<Visit<'_>> {
        {
            let _held = self.hold([name]);
            let mut state = self.lock();
            if !state.all.contains_key(name) {
                return Err(no_such("get", name));
            }
            *state.read.entry(name.to_owned()).or_default() += 1;
        }
        let visitor = ContainerId::from_bytes(base::random::bytes());
        let mut visit = Visit { volumes: self, visitor, name: name.to_owned(), path: PathBuf::new() };
        visit.path = self.mount(visitor, name)?;
        Ok(visit)
    }

    fn write(
        &self,
        name: &str,
        change: impl FnOnce(&mut store::WriteTx<'_>) -> Result<(), store::Error>,
    ) -> Result<()> {
        let failed = |source| Error::Record { name: name.to_owned(), source };
        self.store.write(Durability::Synced, change).map_err(failed)
    }
}

/// A volume that stays, mounted, while somebody reads it.
pub struct Visit<'a> {
    volumes: &'a Volumes,
    visitor: ContainerId,
    name: String,
    path: PathBuf,
}

impl Visit<'_> {
    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.volumes.unmount(self.visitor);
        let mut state = self.volumes.lock();
        if let Some(count) = state.read.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                state.read.remove(&self.name);
            }
        }
    }
}

/// A name that nobody has: 64 digits.
pub fn made_up() -> String {
    ContainerId::from_bytes(base::random::bytes()).to_string()
}

fn no_such(doing: &'static str, name: &str) -> Error {
    Error::NoSuch { doing, name: name.to_owned() }
}

fn taken(doing: &'static str, name: &str, why: &'static str) -> Error {
    Error::Taken { doing, name: name.to_owned(), why }
}

#[cfg(test)]
mod tests;
