//! What the table says of a volume, and how what lies on the disk is made to agree with it.
//!
//! | in the table | on the disk               | then                                                        |
//! |--------------|---------------------------|-------------------------------------------------------------|
//! | yes          | its directory             | nothing, but a copy into it that was cut short goes on       |
//! | yes          | `.new-NAME`               | it was made, and not yet in its place: moved there           |
//! | yes          | `.gone-NAME`              | it was about to be removed, which nobody was told: moved back |
//! | yes          | a directory of its name   | its renaming is finished                                     |
//! | yes          | nothing                   | an empty one is made: the disk lost it                       |
//! | no           | `.new-…`, `.gone-…`       | removed                                                      |
//! | no           | any other directory       | a volume that came from elsewhere: taken in                  |

use crate::copyup::{self, Beside};
use crate::{DATA, Error, Result, mounting, wish};
use base::Time;
use model::{VolumeIntent, VolumeSpec};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use store::{Durability, Store, Table};

/// In front of the name of a directory that is being made.
const NEW: &str = ".new-";
/// In front of the name of one that is being removed.
const GONE: &str = ".gone-";

pub(crate) const VOLUMES: Table<String, Record> = Table::new("volumes");

/// A volume as it stands in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) intent: VolumeIntent,
    /// Its directory's name: its own, but for a moment while it is renamed.
    pub(crate) directory: String,
}

/// The directory with all volumes.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    pub(crate) fn new(root: PathBuf) -> Home {
        Home(root)
    }

    /// A volume's directory.
    pub(crate) fn of(&self, record: &Record) -> PathBuf {
        self.0.join(&record.directory)
    }

    /// Any directory.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where a volume is made.
    pub(crate) fn new_one(&self, name: &str) -> PathBuf {
        self.0.join(format!("{NEW}{name}"))
    }

    /// Where a volume is removed.
    pub(crate) fn gone(&self, name: &str) -> PathBuf {
        self.0.join(format!("{GONE}{name}"))
    }

    fn names(&self) -> Result<Vec<String>> {
        let failed = |error| Error::disk("list the volumes in", &self.0, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir())
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// Removes a volume's directory, but never what is mounted in it: that is somebody else's.
pub(crate) fn clear(directory: &Path) -> Result<()> {
    mounting::unmount(&directory.join(DATA))?;
    base::file::remove_all(directory)
        .map_err(|error| Error::disk("remove the volume's files at", directory, error))
}

/// Moves a directory.
pub(crate) fn rename(what: &'static str, from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| Error::disk(what, from, error))
}

/// Reads the table and makes the disk agree with it.
pub(crate) fn recover(home: &Home, store: &Store, now: Time) -> Result<BTreeMap<String, Record>> {
    let table_error = |source| Error::Table { source };
    let listed = store.read(|tx| tx.list(&VOLUMES)).map_err(table_error)?;
    let mut records: BTreeMap<String, Record> = listed.into_iter().collect();
    let mut changed = Vec::new();
    let directories: BTreeSet<String> = records.values().map(|record| record.directory.clone()).collect();
    for (name, record) in &mut records {
        let before = record.clone();
        if !home.of(record).exists() {
            bring_back(home, name, record, &directories)?;
        }
        if record.directory != *name && !home.at(name).exists() {
            rename("rename the volume at", &home.of(record), &home.at(name))?;
            record.directory.clone_from(name);
        }
        if *record != before {
            changed.push(record.clone());
        }
        go_on(home, record);
    }
    let known: BTreeSet<String> = records.values().map(|record| record.directory.clone()).collect();
    for name in home.names()? {
        if name.starts_with(NEW) || name.starts_with(GONE) {
            if let Err(error) = clear(&home.at(&name)) {
                let error = base::Chain(&error);
                tracing::warn!(%error, "what is left of a volume could not be removed");
            }
        } else if !known.contains(&name)
            && wish::check_name(&name).is_ok()
            && home.at(&name).join(DATA).is_dir()
        {
            let record = stranger(home, &name, now);
            changed.push(record.clone());
            records.insert(name, record);
        }
    }
    if !changed.is_empty() {
        let write = |tx: &mut store::WriteTx<'_>| {
            changed.iter().try_for_each(|record| tx.put(&VOLUMES, &record.intent.name, record))
        };
        store.write(Durability::Synced, write).map_err(table_error)?;
    }
    Ok(records)
}

/// Finds the directory of a volume that has none in its place.
fn bring_back(home: &Home, name: &str, record: &mut Record, others: &BTreeSet<String>) -> Result<()> {
    let place = home.of(record);
    for from in [home.new_one(name), home.gone(name)] {
        if from.exists() {
            return rename("move back the volume at", &from, &place);
        }
    }
    if record.directory != name && home.at(name).exists() && !others.contains(name) {
        // Killed in its renaming, after its directory was moved.
        name.clone_into(&mut record.directory);
        return Ok(());
    }
    tracing::error!(volume = name, path = %place.display(), "its directory is missing: an empty one is made");
    fs::create_dir_all(place.join(DATA)).map_err(|error| Error::disk("make the volume at", place, error))
}

/// Goes on with a copy that was cut short. A volume that is a file system of its own is looked at once that is mounted.
fn go_on(home: &Home, record: &Record) {
    if record.intent.spec.options.is_empty() {
        let directory = home.of(record);
        if let Err(error) = copyup::go_on(&directory.join(DATA), &Beside::outside(&directory)) {
            tracing::error!(volume = record.intent.name, %error, "a copy into it could not go on");
        }
    }
}

/// A volume that nobody made here.
fn stranger(home: &Home, name: &str, now: Time) -> Record {
    let anonymous = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    tracing::info!(volume = name, path = %home.at(name).display(), "a directory that was found is a volume now");
    let spec = VolumeSpec { anonymous, ..VolumeSpec::default() };
    let intent = VolumeIntent { name: name.to_owned(), created: now, spec };
    Record { intent, directory: name.to_owned() }
}
