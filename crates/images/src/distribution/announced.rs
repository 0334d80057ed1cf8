//! What pushes count on.
//!
//! A client that is told that a blob is here does not send it, and refers to it in a manifest a little later. Until then
//! nothing in the tables says that the blob is needed: its announcement does, for a while. Announcements are not kept on the disk: all
//! that was here when the registry was opened counts as announced then.

use super::records::Held;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a blob stays that was announced and that no manifest needs.
pub(crate) const ANNOUNCED_KEPT: Duration = Duration::from_secs(6 * 60 * 60);
/// Announcements that are remembered one by one.
const ANNOUNCED_MAX: usize = 100_000;

/// The announcements of this process.
pub(crate) struct Announced {
    state: Mutex<State>,
}

struct State {
    /// All that is not in `each` counts as announced then.
    all: Instant,
    each: HashMap<Held, Instant>,
}

impl Announced {
    pub(crate) fn new(now: Instant) -> Announced {
        Announced { state: Mutex::new(State { all: now, each: HashMap::new() }) }
    }

    /// Remembers that a push may count on some content. To be called before the content is looked up.
    pub(crate) fn announce(&self, held: Held, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.each.len() >= ANNOUNCED_MAX && !state.each.contains_key(&held) {
            // Keeping too much is no harm, and forgetting one would be.
            state.each.clear();
            state.all = now;
            return;
        }
        state.each.insert(held, now);
    }

    /// Whether a push may still count on some content.
    pub(crate) fn holds(&self, held: &Held, now: Instant) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = state.each.get(held).copied().unwrap_or(state.all).max(state.all);
        now.saturating_duration_since(since) < ANNOUNCED_KEPT
    }

    /// Forgets what holds nothing any more.
    pub(crate) fn forget_old(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.each.retain(|_, since| now.saturating_duration_since(*since) < ANNOUNCED_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::ContentDigest;
    use base::Clock;

    fn held(number: u64) -> Held {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        let digest = ContentDigest::Sha256(model::Digest::from_sha256(hash));
        Held { digest, repository: "a".parse().unwrap() }
    }

    #[test]
    fn what_was_here_at_the_start_and_what_was_announced_later_is_held_for_a_while() {
        let start = Clock::system().instant();
        let announced = Announced::new(start);
        let later = start + ANNOUNCED_KEPT;
        assert!(announced.holds(&held(1), start) && !announced.holds(&held(1), later));
        announced.announce(held(2), later);
        announced.forget_old(later);
        assert!(announced.holds(&held(2), later) && !announced.holds(&held(1), later));
        announced.forget_old(later + ANNOUNCED_KEPT);
        assert!(!announced.holds(&held(2), later + ANNOUNCED_KEPT));
    }

    #[test]
    fn more_announcements_than_are_remembered_hold_everything() {
        let start = Clock::system().instant();
        let later = start + ANNOUNCED_KEPT;
        let announced = Announced::new(start);
        for number in 0..=ANNOUNCED_MAX as u64 {
            announced.announce(held(number), later);
        }
        assert!(announced.holds(&held(0), later) && announced.holds(&held(u64::MAX), later));
    }
}
