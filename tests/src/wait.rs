//! Waiting for conditions, within limits.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// The longest wait for a condition, unless a test names another.
const LIMIT: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until a condition gives a value.
///
/// # Panics
/// With `what` where it does not within 20 seconds.
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    until_within(LIMIT, what, condition)
}

/// Waits until a condition gives a value.
///
/// # Panics
/// With `what` where it does not within the limit.
pub fn until_within<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(LOOK_EVERY);
    }
}
