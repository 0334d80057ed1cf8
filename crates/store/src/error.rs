//! What can go wrong with a store.

use std::path::PathBuf;
use std::sync::Arc;

/// Why the store could not do it. Cheap to clone: every writer of a batch is told the same cause.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds the file.
    #[error("open {}: another process holds it", path.display())]
    Held {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened, created or repaired.
    #[error("open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<redb::Error>,
    },
    /// The committed state cannot be read.
    #[error("read the state")]
    Read {
        /// Why.
        source: Arc<redb::Error>,
    },
    /// The changes cannot be made durable. They are taken back.
    #[error("write the state")]
    Commit {
        /// Why.
        source: Arc<redb::Error>,
    },
    /// A value cannot be turned into bytes.
    #[error("encode {key} of table {table}")]
    Encode {
        /// The table's name.
        table: &'static str,
        /// The key.
        key: String,
        /// Why.
        source: Arc<serde_json::Error>,
    },
    /// Stored bytes do not fit the value's type.
    #[error("decode {key} of table {table}")]
    Decode {
        /// The table's name.
        table: &'static str,
        /// The key.
        key: String,
        /// Why.
        source: Arc<serde_json::Error>,
    },
    /// Stored bytes do not fit the key's type.
    #[error("decode the key {key:?} of table {table}")]
    Key {
        /// The table's name.
        table: &'static str,
        /// The key as stored.
        key: String,
    },
    /// The thread that writes lazy changes cannot be started.
    #[error("start the thread that writes lazy changes")]
    Thread {
        /// Why.
        source: Arc<std::io::Error>,
    },
}
