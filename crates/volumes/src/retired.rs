//! Volumes until they are gone.
//!
//! ```text
//! take                  put in a transaction   finish
//! NAME -> .gone-NAME    row away               files away
//! ```
//!
//! One that is dropped before its row is away is put back.

use crate::records::{self, Record, VOLUMES};
use crate::{Held, Result, Volumes, mounting};
use model::ContainerId;

/// Volumes that are being removed.
pub struct Retired<'a> {
    held: Held<'a>,
    records: Vec<Record>,
    is_recorded: bool,
}

impl Volumes {
    /// Begins to remove those of the volumes that only this container has.
    ///
    /// # Errors
    /// What the disk says; all stay then.
    pub fn retire(&self, container: ContainerId, names: &[&str]) -> Result<Retired<'_>> {
        let mut retired = Retired::new(self.hold(names.iter().copied()));
        for name in names {
            let is_alone = {
                let state = self.lock();
                let entry = state.all.get(*name);
                // One that is being copied stays: half of it would be taken for whole.
                let is_read = state.read.contains_key(*name);
                !is_read && entry.is_some_and(|entry| entry.users.iter().all(|user| *user == container))
            };
            if is_alone {
                retired.take(name)?;
            }
        }
        Ok(retired)
    }
}

impl<'a> Retired<'a> {
    pub(crate) fn new(held: Held<'a>) -> Retired<'a> {
        Retired { held, records: Vec::new(), is_recorded: false }
    }

    /// Takes a volume out of its place. Its name is held and nobody else has it.
    pub(crate) fn take(&mut self, name: &str) -> Result<()> {
        let volumes = self.held.volumes;
        let Some(record) = volumes.lock().all.get(name).map(|entry| entry.record.clone()) else {
            return Ok(());
        };
        mounting::unmount(&volumes.data(&record))?;
        let gone = volumes.home.gone(name);
        // What a removal left that did not come to its end.
        records::clear(&gone)?;
        records::rename("remove the volume at", &volumes.home.of(&record), &gone)?;
        self.records.push(record);
        Ok(())
    }

    /// The names of those that go.
    pub fn names(&self) -> Vec<String> {
        self.records.iter().map(|record| record.intent.name.clone()).collect()
    }

    /// Takes the rows away in a transaction with whatever else belongs together with that.
    pub fn put(names: &[String], tx: &mut store::WriteTx<'_>) {
        names.iter().for_each(|name| tx.remove(&VOLUMES, name));
    }

    /// Takes the rows away in a transaction of their own.
    pub(crate) fn record(&mut self) -> Result<()> {
        let names = self.names();
        let first = names.first().map_or("", String::as_str);
        self.held.volumes.write(first, |tx| {
            Retired::put(&names, tx);
            Ok(())
        })?;
        self.is_recorded = true;
        Ok(())
    }

    /// Removes the files, once the rows are away.
    ///
    /// # Errors
    /// What cannot be removed: it is no volume any more, and is removed by the next daemon.
    pub fn finish(mut self) -> Result<()> {
        self.is_recorded = true;
        let volumes = self.held.volumes;
        {
            let mut state = volumes.lock();
            for record in &self.records {
                state.all.remove(&record.intent.name);
                state.mounted.remove(&record.intent.name);
            }
        }
        let mut outcome = Ok(());
        for record in &self.records {
            let gone = volumes.home.gone(&record.intent.name);
            outcome = outcome.and(records::clear(&gone));
        }
        outcome
    }
}

impl Drop for Retired<'_> {
    fn drop(&mut self) {
        if self.is_recorded {
            return;
        }
        let volumes = self.held.volumes;
        for record in &self.records {
            let (gone, place) = (volumes.home.gone(&record.intent.name), volumes.home.of(record));
            if let Err(error) = records::rename("put back the volume at", &gone, &place) {
                tracing::error!(volume = record.intent.name, error = %base::Chain(&error), "the next daemon puts it back");
            }
        }
    }
}
