//! What other servers said, kept as long as they allow: bounded in number and bytes; what was not asked for since the last
//! time that room was wanted goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Answers that are kept.
const ANSWERS_MAX: usize = 4096;
/// Bytes of all answers and their keys.
const BYTES_MAX: usize = 2 << 20;
/// An answer of more bytes is not kept.
const ANSWER_BYTES_MAX: usize = 8 << 10;
/// No answer is kept for longer, whatever it says.
const KEPT_SECONDS_MAX: u32 = 3600;

/// An answer as it came.
pub(super) struct Kept {
    /// All of it.
    pub(super) bytes: Box<[u8]>,
    /// Where in it times stand.
    pub(super) times: Box<[u16]>,
}

struct Entry {
    kept: Arc<Kept>,
    since: Instant,
    seconds: u32,
    was_asked: bool,
}

/// The answers.
#[derive(Default)]
pub(super) struct Cache {
    entries: HashMap<Arc<[u8]>, Entry>,
    /// Each key once, in the order in which room is made.
    order: VecDeque<Arc<[u8]>>,
    bytes: usize,
}

fn cost(key: &[u8], kept: &Kept) -> usize {
    key.len() + kept.bytes.len() + kept.times.len() * size_of::<u16>()
}

impl Cache {
    /// An answer that may still be given, and its age in seconds.
    pub(super) fn find(&mut self, key: &[u8], now: Instant) -> Option<(Arc<Kept>, u32)> {
        let entry = self.entries.get_mut(key)?;
        let age = u32::try_from(now.saturating_duration_since(entry.since).as_secs()).ok()?;
        if age >= entry.seconds {
            return None;
        }
        entry.was_asked = true;
        Some((Arc::clone(&entry.kept), age))
    }

    /// Keeps an answer.
    pub(super) fn keep(&mut self, key: &[u8], kept: Kept, seconds: u32, now: Instant) {
        if kept.bytes.len() > ANSWER_BYTES_MAX {
            return;
        }
        self.bytes += cost(key, &kept);
        let seconds = seconds.min(KEPT_SECONDS_MAX);
        let entry = Entry { kept: Arc::new(kept), since: now, seconds, was_asked: false };
        if let Some(old) = self.entries.get_mut(key) {
            self.bytes -= cost(key, &old.kept);
            *old = entry;
        } else {
            let key: Arc<[u8]> = key.into();
            self.order.push_back(Arc::clone(&key));
            self.entries.insert(key, entry);
        }
        while self.entries.len() > ANSWERS_MAX || self.bytes > BYTES_MAX {
            if !self.make_room(now) {
                break;
            }
        }
    }

    /// Looks at the oldest: one that was asked for and is still good has its turn later. False if nothing is left.
    fn make_room(&mut self, now: Instant) -> bool {
        let Some(key) = self.order.pop_front() else { return false };
        let Some(entry) = self.entries.get_mut(&key) else { return true };
        let is_good = now.saturating_duration_since(entry.since) < Duration::from_secs(entry.seconds.into());
        if std::mem::take(&mut entry.was_asked) && is_good {
            self.order.push_back(key);
        } else if let Some(gone) = self.entries.remove(&key) {
            self.bytes -= cost(&key, &gone.kept);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Clock;

    fn kept(bytes: usize) -> Kept {
        Kept { bytes: vec![0; bytes].into(), times: Box::default() }
    }

    #[test]
    fn an_answer_grows_older_and_is_given_no_longer() {
        let (mut cache, now) = (Cache::default(), Clock::system().instant());
        cache.keep(b"a", kept(10), 30, now);
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(cache.find(b"a", at(0)).map(|(_, age)| age), Some(0));
        assert_eq!(cache.find(b"a", at(29)).map(|(_, age)| age), Some(29));
        assert!(cache.find(b"a", at(30)).is_none());
        assert!(cache.find(b"b", now).is_none());
        cache.keep(b"a", kept(20), 30, at(30));
        assert!(cache.find(b"a", at(31)).is_some());
        assert_eq!((cache.order.len(), cache.bytes), (1, 21));
    }

    #[test]
    fn room_is_bounded_in_number_and_bytes_and_what_is_asked_for_stays() {
        let (mut cache, now) = (Cache::default(), Clock::system().instant());
        cache.keep(b"often", kept(10), 30, now);
        for number in 0..3 * ANSWERS_MAX {
            assert!(cache.find(b"often", now).is_some());
            cache.keep(format!("{number}").as_bytes(), kept(10), 30, now);
        }
        assert_eq!(cache.entries.len(), ANSWERS_MAX);
        assert_eq!(cache.order.len(), ANSWERS_MAX);
        for number in 0..2 * BYTES_MAX / ANSWER_BYTES_MAX {
            cache.keep(format!("big {number}").as_bytes(), kept(ANSWER_BYTES_MAX), 30, now);
        }
        assert!(cache.bytes <= BYTES_MAX);
        cache.keep(b"too big", kept(ANSWER_BYTES_MAX + 1), 30, now);
        assert!(cache.find(b"too big", now).is_none());
    }
}
