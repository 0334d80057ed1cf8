//! Group commit, and who waits for what.
//!
//! ```text
//!            merge                 nobody commits: take it          outcome
//!  closure ---------> open batch ---------------------> committing ---------> told to every writer of the batch
//!                        ^  writers and lazy changes of the meantime  |
//!                        +--------- the next batch -------------------+
//! ```

use crate::changes::Changes;
use crate::disk::Disk;
use crate::{Error, ReadTx, WriteTx};
use std::mem;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes that redb may keep of the file in memory.
pub const CACHE_BYTES_MAX: usize = 1 << 20;
/// How long a lazy change may wait for its way to the disk.
pub const LAZY_DELAY: Duration = Duration::from_millis(200);
/// Lazy changes that may wait; one more is written like a synced one, so that memory stays bounded.
pub const LAZY_CHANGES_MAX: usize = 10_000;
/// Stack of the thread that writes lazy changes.
const FLUSH_STACK_BYTES: usize = 256 << 10;

/// When a write answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the disk, synced.
    Synced,
    /// At once; it reaches the disk soon after. For what can be seen again after a crash.
    Lazy,
}

/// The tables of one file. Share it in an `Arc`; dropping it writes what is left.
pub struct Store {
    shared: Arc<Shared>,
    flush: Option<JoinHandle<()>>,
}

/// Called with the new revision after each change.
type Listener = Box<dyn Fn(u64) + Send + Sync>;

struct Shared {
    disk: Disk,
    state: Mutex<State>,
    /// Woken when a commit ended, when a lazy change came in, when the revision moved, and at the end.
    moved: Condvar,
    listeners: Mutex<Vec<Arc<Listener>>>,
}

#[derive(Default)]
struct State {
    open: Batch,
    /// What the committing writer is putting on the disk; empty while nobody commits.
    committing: Arc<Changes>,
    busy: bool,
    closing: bool,
    revision: u64,
}

/// Changes that go to the disk together.
#[derive(Default)]
struct Batch {
    all: Arc<Changes>,
    /// Those of `all` that were acknowledged already, and so are kept when the commit fails.
    lazy: Changes,
    outcome: Arc<OnceLock<Result<(), Error>>>,
}

impl Store {
    /// Opens the file, and creates it where there is none.
    ///
    /// # Errors
    /// [`Error::Held`] when another process has it open; [`Error::Open`] otherwise.
    pub fn open(path: &Path) -> Result<Store, Error> {
        let shared = Arc::new(Shared {
            disk: Disk::open(path, CACHE_BYTES_MAX)?,
            state: Mutex::default(),
            moved: Condvar::new(),
            listeners: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let flush = std::thread::Builder::new()
            .name("store-flush".to_owned())
            .stack_size(FLUSH_STACK_BYTES)
            .spawn(move || theirs.flush_lazily())
            .map_err(|source| Error::Thread { source: Arc::new(source) })?;
        Ok(Store { shared, flush: Some(flush) })
    }

    /// Runs `look` on one consistent view of all tables. It must not call the store.
    ///
    /// # Errors
    /// What `look` returns, or [`Error::Read`].
    pub fn read<T, E: From<Error>>(&self, look: impl FnOnce(&ReadTx<'_>) -> Result<T, E>) -> Result<T, E> {
        let view = {
            let state = self.shared.lock();
            self.shared.view(&state)?
        };
        look(&view)
    }

    /// Runs `change`, and keeps all of its changes if it returns `Ok` and none otherwise. It must not call the store.
    /// No other writer runs in between.
    ///
    /// # Errors
    /// What `change` returns, or [`Error::Commit`]; nothing is changed then.
    pub fn write<T, E: From<Error>>(
        &self,
        durability: Durability,
        change: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut state = self.shared.lock();
        let mut transaction = WriteTx { below: self.shared.view(&state)?, own: Changes::default() };
        let answer = change(&mut transaction)?;
        let own = mem::take(&mut transaction.own);
        // Its view of the disk must be given back before anybody waits for a commit.
        drop(transaction);
        if own.is_empty() {
            return Ok(answer);
        }
        Arc::make_mut(&mut state.open.all).merge(&own);
        let wait = durability == Durability::Synced || state.open.lazy.len() >= LAZY_CHANGES_MAX;
        if durability == Durability::Lazy {
            state.open.lazy.merge(&own);
        }
        state.revision += 1;
        let revision = state.revision;
        if wait {
            let outcome = Arc::clone(&state.open.outcome);
            self.shared.commit_until(state, &outcome)?;
        } else {
            drop(state);
        }
        self.shared.moved.notify_all();
        self.shared.tell(revision);
        Ok(answer)
    }

    /// Puts every lazy change on the disk.
    ///
    /// # Errors
    /// [`Error::Commit`]; the changes are kept and tried again later.
    pub fn flush(&self) -> Result<(), Error> {
        self.shared.flush()
    }

    /// Counts the changes since this store was opened.
    pub fn revision(&self) -> u64 {
        self.shared.lock().revision
    }

    /// Waits until the revision is greater than `seen`, at most for `timeout`, and returns it.
    pub fn wait_beyond(&self, seen: u64, timeout: Duration) -> u64 {
        let state = self.shared.lock();
        let waited = self.shared.moved.wait_timeout_while(state, timeout, |state| state.revision <= seen);
        waited.unwrap_or_else(PoisonError::into_inner).0.revision
    }

    /// Calls `listener` with the new revision after each change, from the thread that made it. It may read the
    /// store, and should only wake whoever looks.
    pub fn on_change(&self, listener: impl Fn(u64) + Send + Sync + 'static) {
        let mut listeners = self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.push(Arc::new(Box::new(listener)));
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.moved.notify_all();
        if let Some(flush) = self.flush.take() {
            // The thread does not panic; if it did, there is nobody left to tell.
            let _ = flush.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A closure that panics has not touched the state yet, so that a poisoned lock is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, state: &State) -> Result<ReadTx<'_>, Error> {
        let (committed, guard) = self.disk.snapshot()?;
        Ok(ReadTx {
            committed,
            under_way: [Arc::clone(&state.committing), Arc::clone(&state.open.all)],
            _guard: guard,
        })
    }

    /// Waits for the outcome of a batch, and commits it where nobody else does.
    fn commit_until<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        outcome: &OnceLock<Result<(), Error>>,
    ) -> Result<(), Error> {
        loop {
            if let Some(outcome) = outcome.get() {
                return outcome.clone();
            }
            if state.busy {
                state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state = self.commit_open(state);
        }
    }

    /// Commits the open batch; the lock is free meanwhile.
    fn commit_open<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let batch = mem::take(&mut state.open);
        state.committing = Arc::clone(&batch.all);
        state.busy = true;
        drop(state);
        let outcome = self.disk.commit(&batch.all);
        let mut state = self.lock();
        state.busy = false;
        state.committing = Arc::default();
        if let Err(error) = &outcome {
            // Whoever wrote in the meantime has seen changes that are now taken back, and is told the same.
            let after = mem::take(&mut state.open);
            let mut kept = batch.lazy;
            kept.merge(&after.lazy);
            state.open.all = Arc::new(kept.clone());
            state.open.lazy = kept;
            state.revision += 1;
            let _ = after.outcome.set(Err(error.clone()));
        }
        let _ = batch.outcome.set(outcome);
        self.moved.notify_all();
        state
    }

    fn flush(&self) -> Result<(), Error> {
        let mut state = self.lock();
        while state.busy {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.open.all.is_empty() {
            return Ok(());
        }
        let outcome = Arc::clone(&state.open.outcome);
        self.commit_until(state, &outcome)
    }

    /// The body of the thread: lazy changes go to the disk a little after the first of them.
    fn flush_lazily(&self) {
        let mut state = self.lock();
        loop {
            while state.open.lazy.is_empty() && !state.closing {
                state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let waited = self.moved.wait_timeout_while(state, LAZY_DELAY, |state| !state.closing);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let closing = state.closing;
            drop(state);
            // A failure keeps the changes, and the next round tries again; a full disk is told to synced writers.
            let _ = self.flush();
            if closing {
                return;
            }
            state = self.lock();
        }
    }

    fn tell(&self, revision: u64) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in listeners {
            listener(revision);
        }
    }
}
