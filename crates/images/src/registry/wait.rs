//! Whoever waits for a pull or a push, and may go away before it ends.

use super::Result;
use super::error::RegistryError;
use std::future::Future;
use std::pin::Pin;

/// Hears how far something is, from several threads.
pub trait Listener<Step>: Sync {
    /// One more step. May block for a short time, and may leave out what only says how many bytes have come.
    fn tell(&self, step: Step);

    /// Ends when nobody listens any more.
    fn gone(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Waits for `work` unless the listener goes.
pub(crate) async fn unless_gone<T, Step, L: Listener<Step> + ?Sized>(
    listener: &L,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        () = listener.gone() => Err(RegistryError::Cancelled),
        done = work => done,
    }
}
