//! The file itself: opened, read, committed to, and opened anew after it failed.
//!
//! After one failed write redb refuses every further one until the file is opened again. A file can be open once only,
//! so that whoever reads holds a guard, and reopening waits for the readers to leave. When opening fails too, the next
//! call tries again.

use crate::Error;
use crate::changes::Changes;
use redb::{Database, DatabaseError, ReadOnlyTable, ReadableDatabase, TableDefinition};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// All tables live in one of redb's, under keys that begin with the table's name: no table can be missing.
const ENTRIES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("entries");

/// The committed entries at one moment.
pub(crate) type Committed = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The state file.
pub(crate) struct Disk {
    path: PathBuf,
    cache_bytes_max: usize,
    database: RwLock<Option<Database>>,
}

/// Keeps the file from being opened anew while somebody reads.
pub(crate) type Guard<'a> = RwLockReadGuard<'a, Option<Database>>;

impl Disk {
    pub(crate) fn open(path: &Path, cache_bytes_max: usize) -> Result<Disk, Error> {
        let database = open_database(path, cache_bytes_max)?;
        Ok(Disk { path: path.to_owned(), cache_bytes_max, database: RwLock::new(Some(database)) })
    }

    /// A view of what is committed now, and the guard under which it may be used.
    pub(crate) fn snapshot(&self) -> Result<(Committed, Guard<'_>), Error> {
        let guard = self.guard()?;
        let database = guard.as_ref().ok_or_else(|| self.not_open())?;
        let read = |source: redb::Error| Error::Read { source: Arc::new(source) };
        let transaction = database.begin_read().map_err(|error| read(error.into()))?;
        let table = transaction.open_table(ENTRIES).map_err(|error| read(error.into()))?;
        Ok((table, guard))
    }

    /// Makes `changes` durable. On an error none of them is, and the file has been opened anew.
    pub(crate) fn commit(&self, changes: &Changes) -> Result<(), Error> {
        let outcome = {
            let guard = self.guard()?;
            let database = guard.as_ref().ok_or_else(|| self.not_open())?;
            write_changes(database, changes)
        };
        outcome.map_err(|source| {
            // If this fails as well, the next call tries again and tells why.
            let _ = self.reopen();
            Error::Commit { source: Arc::new(source) }
        })
    }

    fn guard(&self) -> Result<Guard<'_>, Error> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        if guard.is_some() {
            return Ok(guard);
        }
        drop(guard);
        self.reopen()?;
        Ok(self.database.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn reopen(&self) -> Result<(), Error> {
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The old handle must be gone first: it holds the lock of the file.
        *guard = None;
        *guard = Some(open_database(&self.path, self.cache_bytes_max)?);
        Ok(())
    }

    fn not_open(&self) -> Error {
        Error::Open { path: self.path.clone(), source: Arc::new(redb::Error::DatabaseClosed) }
    }
}

fn open_database(path: &Path, cache_bytes_max: usize) -> Result<Database, Error> {
    let failed = |source: redb::Error| Error::Open { path: path.to_owned(), source: Arc::new(source) };
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes_max);
    let database = builder.create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => Error::Held { path: path.to_owned() },
        other => failed(other.into()),
    })?;
    let has_table = |database: &Database| -> Result<bool, redb::Error> {
        match database.begin_read()?.open_table(ENTRIES) {
            Ok(_) => Ok(true),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    };
    if !has_table(&database).map_err(failed)? {
        write_changes(&database, &Changes::default()).map_err(failed)?;
    }
    Ok(database)
}

fn write_changes(database: &Database, changes: &Changes) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(ENTRIES)?;
        for (key, value) in changes.iter() {
            match value {
                Some(value) => drop(table.insert(key.as_slice(), value.as_slice())?),
                None => drop(table.remove(key.as_slice())?),
            }
        }
    }
    transaction.commit()?;
    Ok(())
}
