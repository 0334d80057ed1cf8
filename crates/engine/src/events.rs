//! What happened, told to whoever listens and remembered for those who ask later.

use base::Time;
use platform::{Actor, Event, EventKind};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tokio::sync::broadcast;

/// Events that a slow listener may lag behind before it is told that it missed some.
const LISTENER_EVENTS_MAX: usize = 1024;
/// Events that are remembered.
const PAST_EVENTS_MAX: usize = 1024;

/// The node's events.
pub(crate) struct Events {
    sender: broadcast::Sender<Event>,
    past: Mutex<VecDeque<Event>>,
}

impl Events {
    pub(crate) fn new() -> Events {
        Events { sender: broadcast::Sender::new(LISTENER_EVENTS_MAX), past: Mutex::new(VecDeque::new()) }
    }

    /// Tells everybody.
    pub(crate) fn tell(
        &self,
        time: Time,
        kind: EventKind,
        action: impl Into<String>,
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let event =
            Event { time, kind, action: action.into(), actor: Actor { id: id.to_owned(), attributes } };
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() == PAST_EVENTS_MAX {
            past.pop_front();
        }
        past.push_back(event.clone());
        // Sent under the lock, so that a listener and the memory agree on the order. Nobody listening is no error.
        let _ = self.sender.send(event);
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    /// What is remembered of a span of time, the oldest first.
    pub(crate) fn between(&self, since: Time, until: Time) -> Vec<Event> {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.iter().filter(|event| (since..=until).contains(&event.time)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_bounded_and_ordered() {
        let events = Events::new();
        for second in 0..2000 {
            events.tell(
                Time::from_unix_seconds(second),
                EventKind::Container,
                "start",
                &second.to_string(),
                BTreeMap::new(),
            );
        }
        let past = events.between(Time::from_unix_seconds(0), Time::from_unix_seconds(1500));
        assert_eq!(
            past.first().map(|event| event.time),
            Some(Time::from_unix_seconds(2000 - PAST_EVENTS_MAX as i64))
        );
        assert_eq!(past.last().map(|event| event.time), Some(Time::from_unix_seconds(1500)));
    }
}
