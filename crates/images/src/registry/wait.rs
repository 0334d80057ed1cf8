//! Whoever waits for a pull or a push, and may go away before it ends.

use super::Result;
use super::error::RegistryError;
use std::future::Future;
use std::pin::Pin;

/// What a listener does in its own time.
pub type Doing<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Hears how far something is, from several threads.
pub trait Listener<Step>: Sync {
    /// One more step; ends when it is taken. What only says how many bytes have come may be left out.
    fn tell(&self, step: Step) -> Doing<'_>;

    /// Ends when nobody listens any more.
    fn gone(&self) -> Doing<'_>;
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

/// Nobody listens, and nobody goes: who asks drops the question, or sees it through.
pub(crate) struct Unheard;

impl<Step> Listener<Step> for Unheard {
    fn tell(&self, _: Step) -> Doing<'_> {
        Box::pin(std::future::ready(()))
    }

    fn gone(&self) -> Doing<'_> {
        Box::pin(std::future::pending())
    }
}
