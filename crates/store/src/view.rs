//! What a closure sees: the committed entries with the changes that are on their way laid over them.

use crate::changes::Changes;
use crate::disk::{Committed, Guard};
use crate::{Error, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// One consistent view of all tables.
pub struct ReadTx<'a> {
    pub(crate) committed: Committed,
    /// Changes on their way, the oldest first.
    pub(crate) under_way: [Arc<Changes>; 2],
    pub(crate) _guard: Guard<'a>,
}

impl ReadTx<'_> {
    /// The value of `key`.
    ///
    /// # Errors
    /// When the file cannot be read, or its bytes do not fit the type.
    pub fn get<K: Display + FromStr, V: Serialize + DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<Option<V>, Error> {
        self.raw(&table.key(key))?.map(|bytes| table.decode(key, &bytes)).transpose()
    }

    /// All entries of a table, sorted by the text of their keys.
    ///
    /// # Errors
    /// When the file cannot be read, or its bytes do not fit the types.
    pub fn list<K: Display + FromStr, V: Serialize + DeserializeOwned>(
        &self,
        table: &Table<K, V>,
    ) -> Result<Vec<(K, V)>, Error> {
        self.list_under(table, "")
    }

    /// The entries whose keys' text begins with `prefix`, sorted by that text.
    ///
    /// # Errors
    /// When the file cannot be read, or its bytes do not fit the types.
    pub fn list_under<K: Display + FromStr, V: Serialize + DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        prefix: &str,
    ) -> Result<Vec<(K, V)>, Error> {
        let mut stored = table.prefix();
        stored.extend_from_slice(prefix.as_bytes());
        decode_all(table, self.raw_list(&stored)?)
    }

    fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        for changes in self.under_way.iter().rev() {
            if let Some(value) = changes.get(key) {
                return Ok(value.cloned());
            }
        }
        let value = self.committed.get(key).map_err(unreadable)?;
        Ok(value.map(|guard| guard.value().to_vec()))
    }

    fn raw_list(&self, prefix: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
        let mut entries = BTreeMap::new();
        for entry in self.committed.range(prefix..).map_err(unreadable)? {
            let (key, value) = entry.map_err(unreadable)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            entries.insert(key.value().to_vec(), value.value().to_vec());
        }
        for changes in &self.under_way {
            lay_over(&mut entries, changes, prefix);
        }
        Ok(entries)
    }
}

/// A view together with the changes that its closure makes.
pub struct WriteTx<'a> {
    pub(crate) below: ReadTx<'a>,
    pub(crate) own: Changes,
}

impl WriteTx<'_> {
    /// The value of `key`, this transaction's own changes included.
    ///
    /// # Errors
    /// When the file cannot be read, or its bytes do not fit the type.
    pub fn get<K: Display + FromStr, V: Serialize + DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<Option<V>, Error> {
        match self.own.get(&table.key(key)) {
            Some(None) => Ok(None),
            Some(Some(bytes)) => table.decode(key, bytes).map(Some),
            None => self.below.get(table, key),
        }
    }

    /// All entries of a table, sorted by the text of their keys, this transaction's own changes included.
    ///
    /// # Errors
    /// When the file cannot be read, or its bytes do not fit the types.
    pub fn list<K: Display + FromStr, V: Serialize + DeserializeOwned>(
        &self,
        table: &Table<K, V>,
    ) -> Result<Vec<(K, V)>, Error> {
        self.list_under(table, "")
    }

    /// The entries whose keys' text begins with `prefix`, sorted by that text, this transaction's own changes included.
    ///
    /// # Errors
    /// When the file cannot be read, or its bytes do not fit the types.
    pub fn list_under<K: Display + FromStr, V: Serialize + DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        prefix: &str,
    ) -> Result<Vec<(K, V)>, Error> {
        let mut stored = table.prefix();
        stored.extend_from_slice(prefix.as_bytes());
        let mut entries = self.below.raw_list(&stored)?;
        lay_over(&mut entries, &self.own, &stored);
        decode_all(table, entries)
    }

    /// Sets the value of `key`.
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn put<K: Display + FromStr, V: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
        value: &V,
    ) -> Result<(), Error> {
        let bytes = table.encode(key, value)?;
        self.own.set(table.key(key), Some(bytes));
        Ok(())
    }

    /// Removes `key`, which may be absent.
    pub fn remove<K: Display + FromStr, V: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
    ) {
        self.own.set(table.key(key), None);
    }
}

fn unreadable(error: redb::StorageError) -> Error {
    Error::Read { source: Arc::new(error.into()) }
}

fn lay_over(entries: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: &Changes, prefix: &[u8]) {
    for (key, value) in changes.with_prefix(prefix) {
        match value {
            Some(value) => entries.insert(key.clone(), value.clone()),
            None => entries.remove(key),
        };
    }
}

fn decode_all<K: Display + FromStr, V: Serialize + DeserializeOwned>(
    table: &Table<K, V>,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<Vec<(K, V)>, Error> {
    let one = |(key, value): (Vec<u8>, Vec<u8>)| {
        let key = table.read_key(&key)?;
        let value = table.decode(&key, &value)?;
        Ok((key, value))
    };
    entries.into_iter().map(one).collect()
}
