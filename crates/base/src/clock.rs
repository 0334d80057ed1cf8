//! The one place that reads the time.

use crate::Time;
use std::time::{Duration, Instant, SystemTime};

/// Where a component gets the time from. Cheap to copy; handed down from `main`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock(());

impl Clock {
    /// The machine's own clock. Only `main` functions and tests call this.
    pub const fn system() -> Clock {
        Clock(())
    }

    /// The time of day, which may jump when somebody sets the clock.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is handed")]
    pub fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Time::from_unix_nanos(since.as_nanos() as i128)
    }

    /// A moment for measuring how long something took; never jumps.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is handed")]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }
}
