//! What one command costs: its own time, and the processor's time of it and of the daemon that does the work.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::bench::numbers::milliseconds;
use crate::shell;

/// Where the times of a process begin in its `stat`, behind the name: user, system, and those of ended children (proc(5)).
const TIMES_AT: usize = 11;

/// The unit of those times, which Linux shows in hundredths whatever it counts in (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// What one command took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    /// Seconds from its start to its end.
    pub(super) wall: f64,
    /// Seconds of the processor, of the command and of its daemon.
    pub(super) processor: f64,
}

impl Spent {
    /// Runs a command to its end, with nothing left to be written before it.
    pub(super) fn by(command: &mut Command, daemon: Option<u32>) -> Result<Spent> {
        rustix::fs::sync();
        let before = ticks(daemon);
        let start = Instant::now();
        shell::quietly(command)?;
        let wall = milliseconds(start) / 1000.0;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let processor = (ticks(daemon) - before) as f64 / TICKS_PER_SECOND;
        Ok(Spent { wall, processor })
    }
}

/// The processor's time of this program's ended children, and of a daemon with its own.
fn ticks(daemon: Option<u32>) -> u64 {
    let own = times("/proc/self/stat");
    let daemon = daemon.map_or([0; 4], |pid| times(&format!("/proc/{pid}/stat")));
    own[2] + own[3] + daemon.iter().sum::<u64>()
}

fn times(path: &str) -> [u64; 4] {
    let text = fs::read_to_string(path).unwrap_or_default();
    // A name may hold spaces.
    let words = text.rsplit(") ").next().unwrap_or_default().split(' ').skip(TIMES_AT);
    let mut all = [0; 4];
    for (time, word) in all.iter_mut().zip(words) {
        *time = word.parse().unwrap_or_default();
    }
    all
}
