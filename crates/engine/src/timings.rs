//! Where the time of the last starts went, for clients that asked: in memory, and only so many.

use model::ContainerId;
use platform::{Error, Timing};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Starts that are remembered.
const KEPT_MAX: usize = 64;

/// What was measured. It outlives the container: one that removes itself may be gone before anybody can ask.
#[derive(Default)]
pub(crate) struct Timings(Mutex<VecDeque<(ContainerId, Vec<Timing>)>>);

impl Timings {
    /// Remembers one start.
    pub(crate) fn keep(&self, id: ContainerId, timings: Vec<runtime::timings::Timing>) {
        let timings = timings.into_iter().map(|one| Timing { step: one.step, ns: one.ns }).collect();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(other, _)| *other != id);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((id, timings));
    }

    /// The last start of a container, by its whole id.
    pub(crate) fn of(&self, id: &str) -> Result<Vec<Timing>, Error> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(other, _)| other.to_string() == id);
        found.map(|(_, timings)| timings.clone()).ok_or_else(|| {
            Error::not_found(format!(
                "no start of container {id} was measured: start it with the label {}",
                platform::TIMED_LABEL
            ))
        })
    }
}
