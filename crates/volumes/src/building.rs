//! Volumes until they are there.
//!
//! ```text
//! build -> (fill, copy, unpack) -> put in a transaction -> finish
//!   |                                    |                   |
//!   .new-NAME                            row                 .new-NAME -> NAME, and its user is noted
//! ```
//!
//! One that is dropped before it was put in a transaction leaves nothing.

use crate::copyup::{self, Beside};
use crate::records::{self, Record, VOLUMES};
use crate::{
    Copied, DATA, Entry, Error, Held, Result, Volume, Volumes, Wanted, check_name, check_options, copy,
    no_such, taken,
};
use model::{ContainerId, VolumeIntent, VolumeSpec};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What an image has for a volume.
#[derive(Clone, Copy, Debug)]
pub struct Filling<'a> {
    /// The image's layers, the top one first.
    pub layers: &'a [PathBuf],
    /// The path in the image.
    pub path: &'a Path,
}

/// Volumes that are being made, and those that are there already among the ones that were named.
pub struct Building<'a> {
    held: Held<'a>,
    new: Vec<Record>,
    is_recorded: bool,
}

impl Volumes {
    /// Begins to make those volumes that are not there. All names stay held until it is finished or dropped.
    ///
    /// # Errors
    /// A name or options that make no sense, [`Error::Taken`] where one is there with other options, or what the disk
    /// says.
    pub fn build(&self, wanted: &[(String, VolumeSpec)]) -> Result<Building<'_>> {
        for (name, spec) in wanted {
            check_name(name)?;
            check_options(name, &spec.options)?;
        }
        let held = self.hold(wanted.iter().map(|(name, _)| name.as_str()));
        let mut building = Building { held, new: Vec::new(), is_recorded: false };
        for (name, spec) in wanted {
            if building.is_new(name) {
                // Named twice: the first spec counts.
                continue;
            }
            let there = self.lock().all.get(name).map(|entry| entry.record.intent.spec.options.clone());
            match there {
                Some(options) if !spec.options.is_empty() && spec.options != options => {
                    return Err(taken("create", name, "there is one of that name with other options"));
                }
                Some(_) => {}
                None => building.add(name, spec.clone())?,
            }
        }
        Ok(building)
    }

    /// Copies a volume into a new one, which has the spec. `copied` is told once nothing is read any more.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::Taken`], a name that is none, or what the disk says.
    pub fn copy(
        &self,
        from: &str,
        to: &str,
        spec: VolumeSpec,
        copied: impl FnOnce(),
    ) -> Result<(Volume, Copied)> {
        let visit = self.visit(from).map_err(|error| match error {
            Error::NoSuch { name, .. } => no_such("copy", &name),
            other => other,
        })?;
        let mut building = self.build_new(to, spec)?;
        let figures = tree(from, visit.path(), &building.data(to))?;
        copied();
        building.sync()?;
        building.record()?;
        building.finish(None)?;
        Ok((self.get(to)?, figures))
    }

    /// Copies a volume to a place of its own, which nobody knows as a volume and which is gone with the value. Its name there is
    /// told beside it.
    ///
    /// # Errors
    /// As [`Volumes::copy`].
    pub fn copy_aside(&self, from: &str) -> Result<(Building<'_>, String)> {
        let visit = self.visit(from)?;
        let name = crate::made_up();
        let building = self.build_new(&name, VolumeSpec::default())?;
        tree(from, visit.path(), &building.data(&name))?;
        Ok((building, name))
    }

    /// As [`Volumes::build`], of one volume that must be new.
    ///
    /// # Errors
    /// As there; [`Error::Taken`] where there is one of that name.
    pub fn build_new(&self, name: &str, spec: VolumeSpec) -> Result<Building<'_>> {
        let building = self.build(&[(name.to_owned(), spec)])?;
        if building.is_new(name) {
            return Ok(building);
        }
        Err(taken("create", name, "there is one of that name"))
    }
}

fn tree(name: &str, from: &Path, to: &Path) -> Result<Copied> {
    let copied = copy::open(from).and_then(|source| copy::tree(&source, &copy::open(to)?));
    copied.map_err(|error| Error::Copy { what: "copy", name: name.to_owned(), source: error.into() })
}

impl Building<'_> {
    fn add(&mut self, name: &str, spec: VolumeSpec) -> Result<()> {
        let volumes = self.held.volumes;
        let data = volumes.home.new_one(name).join(DATA);
        // What an earlier attempt left that could not clean up behind itself.
        records::clear(&volumes.home.new_one(name))?;
        let intent = VolumeIntent { name: name.to_owned(), created: volumes.clock.now(), spec };
        let taken = volumes.home.at(name).exists();
        // A directory of that name that is no volume of that name: one that is being renamed.
        let directory =
            if taken { format!("{name}-{:08x}", base::random::number() as u32) } else { name.to_owned() };
        self.new.push(Record { intent, directory });
        fs::create_dir_all(&data).map_err(|error| Error::disk("make the volume at", data, error))
    }

    /// Whether a volume is being made.
    pub fn is_new(&self, name: &str) -> bool {
        self.new.iter().any(|record| record.intent.name == name)
    }

    /// The names of those that are being made.
    pub fn new_names(&self) -> impl Iterator<Item = &str> {
        self.new.iter().map(|record| record.intent.name.as_str())
    }

    /// Where the files of a volume are that is being made.
    pub fn data(&self, name: &str) -> PathBuf {
        self.held.volumes.home.new_one(name).join(DATA)
    }

    /// Copies what an image has into a volume, if that is new or empty.
    ///
    /// # Errors
    /// What cannot be read or written, or not be mounted.
    pub fn fill(&self, name: &str, filling: Filling<'_>) -> Result<()> {
        let Filling { layers, path } = filling;
        let volumes = self.held.volumes;
        let failed = |source| Error::Copy { what: "fill", name: name.to_owned(), source };
        let found = self.new.iter().find(|record| record.intent.name == name).cloned();
        let (record, data) = match found {
            Some(record) => (record, self.data(name)),
            None => {
                let state = volumes.lock();
                let entry = state.all.get(name).ok_or_else(|| no_such("get", name))?;
                (entry.record.clone(), volumes.data(&entry.record))
            }
        };
        let Some(wanted) = Wanted::read(&record.intent.spec.options) else {
            return if self.is_new(name) {
                copyup::into_new(layers, path, &data).map_err(failed)
            } else {
                let beside = Beside::outside(&volumes.home.of(&record));
                copyup::into_existing(layers, path, &data, &beside).map_err(failed)
            };
        };
        let was_mounted = volumes.lock().mounted.contains_key(name);
        wanted.mount(&data)?;
        let filled = copyup::into_existing(layers, path, &data, &Beside::inside(&data)).map_err(failed);
        if was_mounted { filled } else { filled.and(crate::mounting::unmount(&data)) }
    }

    /// Writes the rows in a transaction with whatever else belongs together with them.
    ///
    /// # Errors
    /// What the table says.
    pub fn put(&self, tx: &mut store::WriteTx<'_>) -> Result<(), store::Error> {
        self.new.iter().try_for_each(|record| tx.put(&VOLUMES, &record.intent.name, record))
    }

    /// Makes the files of the new volumes survive the loss of power.
    ///
    /// # Errors
    /// What the disk says.
    pub fn sync(&self) -> Result<()> {
        for record in &self.new {
            let path = self.data(&record.intent.name);
            // Of one without files the row says it all.
            if std::fs::read_dir(&path).is_ok_and(|mut files| files.next().is_none()) {
                continue;
            }
            let synced = copy::open(&path).and_then(|directory| rustix::fs::syncfs(&directory));
            synced.map_err(|error| Error::disk("sync", path, error))?;
        }
        Ok(())
    }

    /// Writes the rows in a transaction of their own.
    ///
    /// # Errors
    /// [`Error::Record`].
    pub fn record(&mut self) -> Result<()> {
        let name = self.new.first().map_or("", |record| record.intent.name.as_str());
        self.held.volumes.write(name, |tx| self.put(tx))?;
        self.is_recorded = true;
        Ok(())
    }

    /// Puts the volumes in their place, once their rows are written. From now on the container has all that were named.
    ///
    /// # Errors
    /// What cannot be moved; the next daemon moves it.
    pub fn finish(mut self, user: Option<ContainerId>) -> Result<()> {
        self.is_recorded = true;
        let volumes = self.held.volumes;
        let mut outcome = Ok(());
        for record in &self.new {
            let from = volumes.home.new_one(&record.intent.name);
            outcome = outcome.and(records::rename("move the volume at", &from, &volumes.home.of(record)));
        }
        let mut state = volumes.lock();
        for record in std::mem::take(&mut self.new) {
            let name = record.intent.name.clone();
            state.all.insert(name, Entry { record, users: BTreeSet::new() });
        }
        if let Some(user) = user {
            for name in &self.held.names {
                if let Some(entry) = state.all.get_mut(name) {
                    entry.users.insert(user);
                }
            }
        }
        outcome
    }
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        if self.is_recorded {
            return;
        }
        for record in &self.new {
            let path = self.held.volumes.home.new_one(&record.intent.name);
            if let Err(error) = records::clear(&path) {
                let error = base::Chain(&error);
                tracing::warn!(%error, "what is left of a volume could not be removed");
            }
        }
    }
}
