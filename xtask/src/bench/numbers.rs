//! Figures of many measurements, and the count of syncs by strace(1).

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::scratch::until;

/// The calls that wait for the disk.
const SYNC_CALLS: &str = "trace=fsync,fdatasync,syncfs,sync,sync_file_range,msync";
/// How long strace may take to attach.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);

/// The time since then.
pub(super) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// The middle of many measurements.
pub(super) fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// The value that so many of a hundred measurements do not exceed; zero for none.
pub(super) fn percentile(values: &[f64], of_a_hundred: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * of_a_hundred).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

/// strace, attached to a daemon.
pub(super) struct Syncs {
    child: Child,
    log: PathBuf,
}

impl Syncs {
    /// Attaches to a process and all its threads.
    pub(super) fn start(pid: u32) -> Result<Self> {
        let log = PathBuf::from(format!("/var/tmp/bocage-bench-{}.strace", std::process::id()));
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", SYNC_CALLS, "-p", &pid.to_string(), "-o"]).arg(&log);
        strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = strace.spawn().context("strace cannot be started")?;
        let syncs = Self { child, log };
        until(ATTACH_TIMEOUT, || is_traced(pid)).context("strace does not attach")?;
        Ok(syncs)
    }

    /// Detaches, and says how many calls there were.
    pub(super) fn count(mut self) -> Result<usize> {
        self.end();
        let text = fs::read_to_string(&self.log).context("strace wrote nothing")?;
        Ok(text.lines().filter(|line| line.contains("sync") && !line.contains("resumed>")).count())
    }

    fn end(&mut self) {
        // SIGTERM lets it detach; SIGKILL would leave the daemon stopped.
        if let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or_default())
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// Refuses until every thread of a process has a tracer.
fn is_traced(pid: u32) -> Result<()> {
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("the daemon is gone")? {
        let status = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
        if status.lines().any(|line| line == "TracerPid:\t0") {
            bail!("strace does not hold every thread of the daemon yet");
        }
    }
    Ok(())
}

impl Drop for Syncs {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_file(&self.log);
    }
}

#[cfg(test)]
mod tests {
    use super::{median, percentile};

    #[test]
    fn percentiles_are_measured_values() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((median(&values) - 50.0).abs() < f64::EPSILON);
        assert!((percentile(&values, 95) - 95.0).abs() < f64::EPSILON);
        assert!((percentile(&[7.0], 95) - 7.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 95).abs() < f64::EPSILON);
    }
}
