//! Where the time of a start goes: a stopwatch that is passed along, and read once, at the end.

use base::Clock;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// How long one step took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The step.
    pub step: String,
    /// Nanoseconds.
    pub ns: u64,
}

/// A stopwatch; one that is not wanted measures nothing.
#[derive(Debug)]
pub struct Stopwatch {
    clock: Clock,
    last: Option<Instant>,
    timings: Vec<Timing>,
}

impl Stopwatch {
    /// Starts now, if it is wanted.
    pub fn new(clock: Clock, is_wanted: bool) -> Stopwatch {
        Stopwatch { clock, last: is_wanted.then(|| clock.instant()), timings: Vec::new() }
    }

    /// A step has ended.
    pub fn mark(&mut self, step: &str) {
        if let Some(last) = &mut self.last {
            let now = self.clock.instant();
            let ns = u64::try_from(now.duration_since(*last).as_nanos()).unwrap_or(u64::MAX);
            self.timings.push(Timing { step: step.to_owned(), ns });
            *last = now;
        }
    }

    /// Steps that another process has measured meanwhile: time goes on from here.
    pub fn add(&mut self, timings: Vec<Timing>) {
        self.timings.extend(timings);
        if let Some(last) = &mut self.last {
            *last = self.clock.instant();
        }
    }

    /// What was measured since the last time it was asked.
    pub fn take(&mut self) -> Vec<Timing> {
        std::mem::take(&mut self.timings)
    }

    /// Its clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Whether it measures.
    pub fn is_wanted(&self) -> bool {
        self.last.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_measured() {
        let mut off = Stopwatch::new(Clock::system(), false);
        off.mark("x");
        assert!(off.take().is_empty() && !off.is_wanted());
        let mut on = Stopwatch::new(Clock::system(), true);
        on.mark("x");
        on.mark("y");
        let steps: Vec<String> = on.take().into_iter().map(|one| one.step).collect();
        assert_eq!(steps, ["x", "y"]);
        assert!(on.take().is_empty());
    }
}
