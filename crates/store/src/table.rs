//! The name and the types of a table.

use crate::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

/// Ends the table's name within a stored key. No table's name holds it.
const SEPARATOR: u8 = 0;

/// A table: keys are stored as text and sorted as such, values as JSON. Declare one as a constant.
#[derive(Debug)]
pub struct Table<K, V> {
    name: &'static str,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    /// A table by its name, which is unique in the store.
    pub const fn new(name: &'static str) -> Table<K, V> {
        Table { name, types: PhantomData }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn prefix(&self) -> Vec<u8> {
        let mut out = self.name.as_bytes().to_vec();
        out.push(SEPARATOR);
        out
    }
}

impl<K: Display + FromStr, V: Serialize + DeserializeOwned> Table<K, V> {
    pub(crate) fn key(&self, key: &K) -> Vec<u8> {
        let mut out = self.prefix();
        out.extend_from_slice(key.to_string().as_bytes());
        out
    }

    pub(crate) fn read_key(&self, stored: &[u8]) -> Result<K, Error> {
        let text = stored.get(self.name.len() + 1..).and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::Key { table: self.name, key: String::from_utf8_lossy(stored).into_owned() })
    }

    pub(crate) fn encode(&self, key: &K, value: &V) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(value).map_err(|source| Error::Encode {
            table: self.name,
            key: key.to_string(),
            source: Arc::new(source),
        })
    }

    pub(crate) fn decode(&self, key: &K, bytes: &[u8]) -> Result<V, Error> {
        serde_json::from_slice(bytes).map_err(|source| Error::Decode {
            table: self.name,
            key: key.to_string(),
            source: Arc::new(source),
        })
    }
}
