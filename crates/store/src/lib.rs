//! Typed tables in one file on this machine, with transactions, group commit and a watch.
//!
//! A [`Table`] is a name with a key type and a value type. [`Store::read`] gives a closure one consistent view of all
//! tables; [`Store::write`] lets a closure change several tables at once: all of its changes or none are kept.
//!
//! ```text
//!  write(closure) -> its own changes -> the open batch -> one redb transaction -> one answer to every writer in it
//!                     (dropped on Err)   (in memory,       (whichever writer comes first while none is
//!                                         seen by all)      committing; the others wait for its outcome)
//! ```
//!
//! Closures run one after the other, each seeing what the ones before it did. Writers that arrive while a commit is
//! under way share the next one, so that many concurrent changes cost few syncs and nobody needs a thread of their own.
//!
//! Invariants:
//! - A [`Durability::Synced`] write that answered `Ok` survives `kill -9` and the loss of power.
//! - A [`Durability::Lazy`] write is seen at once by everybody, and is on disk with the next synced write, after
//!   [`LAZY_DELAY`], or when the store is dropped, whichever comes first. A crash in between loses it.
//! - When a commit fails (the disk is full), every writer that waits is told so and its changes are taken back; lazy
//!   changes are kept and tried again; the file is opened anew, and work goes on.
//!
//! Deliberately absent: nested transactions (a closure must not call the store), secondary indexes, migrations.
//! Start at [`Store::write`].

mod changes;
mod disk;
mod error;
mod store;
mod table;
mod view;

pub use error::Error;
pub use store::{CACHE_BYTES_MAX, Durability, LAZY_CHANGES_MAX, LAZY_DELAY, Store};
pub use table::Table;
pub use view::{ReadTx, WriteTx};
