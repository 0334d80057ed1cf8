//! How tests ended, told one by one and counted at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::say;

/// How much of a failed test's output is shown.
const SHOWN_LINES_MAX: usize = 60;
/// From when on a passed test is named for being slow.
const SLOW: Duration = Duration::from_secs(10);

/// How one test ended.
pub(crate) struct Outcome {
    pub(crate) end: End,
    pub(crate) time: Duration,
    /// What the test printed.
    pub(crate) said: String,
}

/// The three ways a test ends; two of them with a reason.
pub(crate) enum End {
    Passed,
    Failed(String),
    Skipped(String),
}

/// Says how one test ended, if it is worth a line now.
pub(crate) fn tell(name: &str, outcome: &Outcome) {
    let seconds = outcome.time.as_secs_f64();
    match &outcome.end {
        End::Passed if outcome.time < SLOW => {}
        End::Passed => say::step(&format!("slow, {seconds:.1} s: {name}")),
        End::Failed(why) => say::step(&format!("FAILED after {seconds:.1} s: {name}: {why}")),
        End::Skipped(why) => say::step(&format!("skipped: {name}: {why}")),
    }
}

/// Prints the failures, the reasons of the skips and the last line, and fails where a test failed.
pub(crate) fn report(outcomes: &BTreeMap<String, Outcome>, time: Duration) -> Result<()> {
    let mut failed = 0_usize;
    let mut skips: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, outcome) in outcomes {
        match &outcome.end {
            End::Passed => {}
            End::Skipped(why) => *skips.entry(why).or_default() += 1,
            End::Failed(why) => {
                failed += 1;
                let lines: Vec<&str> = outcome.said.lines().collect();
                let tail = lines[lines.len().saturating_sub(SHOWN_LINES_MAX)..].join("\n");
                say::line(&format!("\n--- {name}: {why}\n{tail}"));
            }
        }
    }
    let skipped: usize = skips.values().sum();
    let passed = outcomes.len() - failed - skipped;
    say::line(&format!("\n{} tests in {:.0} s", outcomes.len(), time.as_secs_f64()));
    for (why, count) in &skips {
        say::line(&format!("skipped {count}: {why}"));
    }
    say::line(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
    if failed > 0 {
        bail!("{failed} tests failed");
    }
    Ok(())
}
