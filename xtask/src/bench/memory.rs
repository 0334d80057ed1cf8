//! Memory of the daemon and of what stands beside each container, and the syncs of a round.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{mib, peers::Peer};
use crate::scratch::{Daemon, until};
use crate::{say, shell};

/// How many sleeping containers the helpers' memory is divided by.
const SLEEPERS: u32 = 10;
/// Rounds whose syncs are counted.
const SYNC_ROUNDS: usize = 20;
/// The most that a daemon at rest and the helpers of one sleeping container may take, as the project promises.
const WANTED: &str = "wanted: daemon at most 15 MiB, helpers at most 0.4 MiB for each container";
/// The longest wait for strace to hold the daemon, and to let it go.
const TRACE_TIMEOUT: Duration = Duration::from_secs(10);

/// The memory of a process in KiB: its own, and its share of what it shares. See proc_pid_smaps(5).
pub(super) fn proportional_kib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("the memory has no line `Pss:`")?;
    let number = line.split_whitespace().next().and_then(|word| word.parse().ok());
    number.with_context(|| format!("`{line}` is no number of KiB"))
}

/// Starts sleeping containers, one of them published, and prints what stands beside each.
pub(super) fn beside_sleepers(daemon: &Daemon) -> Result<()> {
    let mut names = Vec::new();
    let mut shims_kib = 0;
    for number in 0..SLEEPERS {
        let name = format!("sleeper-{number}");
        let mut words = vec!["run", "-d", "--name", &name];
        if number == 0 {
            words.extend(["-p", "127.0.0.1::80"]);
        }
        words.extend(["busybox:latest", "sleep", "86400"]);
        daemon.bocage(&words)?;
        let pid = daemon.bocage(&["inspect", "--format", "{{.State.Pid}}", &name])?;
        shims_kib += proportional_kib(parent(&pid)?)?;
        names.push(name);
    }
    let each = shims_kib / u64::from(SLEEPERS);
    say::line(&format!("{SLEEPERS} sleeping containers: the shim of each takes {} (PSS)", mib(each)));
    for (pid, words) in others(daemon)? {
        say::line(&format!("  beside all of them: `{words}` takes {}", mib(proportional_kib(pid)?)));
    }
    if let Some(pid) = daemon.pid() {
        say::line(&format!("  the daemon with {SLEEPERS} containers: {}", mib(proportional_kib(pid)?)));
    }
    say::line(&format!("  {WANTED}"));
    let all: Vec<&str> = ["rm", "-f"].into_iter().chain(names.iter().map(String::as_str)).collect();
    daemon.bocage(&all)?;
    Ok(())
}

/// The process that started a process. See proc_pid_status(5).
fn parent(pid: &str) -> Result<u32> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let found = text.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
    found.with_context(|| format!("{path} names no parent"))
}

/// Processes of our binary, other than the daemon, that work for it: their words name its roots.
fn others(daemon: &Daemon) -> Result<Vec<(u32, String)>> {
    let exec_root = daemon.exec_root();
    let root = exec_root.to_string_lossy();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("/proc cannot be read")? {
        let path = entry.context("/proc cannot be read")?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        if Some(pid) == daemon.pid() || !runs_us(&path) {
            continue;
        }
        let words = fs::read(path.join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains(&*root) {
            found.push((pid, words.trim().to_owned()));
        }
    }
    Ok(found)
}

/// Whether a process's program is called as ours is.
fn runs_us(process: &Path) -> bool {
    let program: PathBuf = fs::read_link(process.join("exe")).unwrap_or_default();
    program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("bocage"))
        && !program.to_string_lossy().contains("memfd:")
}

/// Counts the daemon's syncs over some rounds, where strace is installed.
pub(super) fn syncs(ours: &mut Peer, pid: u32) -> Result<()> {
    if !shell::found("strace") {
        say::line("syncs are not counted: strace is not installed");
        return Ok(());
    }
    let file = format!("/var/tmp/bocage-bench-syncs-{}", std::process::id());
    let mut strace = Command::new("strace")
        .args(["-f", "-q", "-e", "trace=fsync,fdatasync,syncfs,sync,msync,sync_file_range", "-o", &file, "-p"])
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("strace cannot be started")?;
    let counted = until(TRACE_TIMEOUT, || traced(pid)).and_then(|()| {
        for _ in 0..SYNC_ROUNDS {
            ours.round("none")?;
        }
        Ok(())
    });
    // SIGINT makes strace let go of the daemon and write the rest of its file.
    let strace_pid = rustix::process::Pid::from_child(&strace);
    rustix::process::kill_process(strace_pid, rustix::process::Signal::INT).context("strace cannot be ended")?;
    strace.wait().context("strace cannot be waited for")?;
    let text = fs::read_to_string(&file).context("strace wrote no file");
    let _ = fs::remove_file(&file);
    counted?;
    let count = text?.lines().filter(|line| line.contains("sync") && !line.contains("resumed>")).count();
    let tenths = count * 10 / SYNC_ROUNDS;
    say::line(&format!("syncs of one create+start+wait+delete: {}.{} (of {SYNC_ROUNDS} rounds)", tenths / 10, tenths % 10));
    Ok(())
}

/// Whether every thread of a process is held by a tracer.
fn traced(pid: u32) -> Result<()> {
    let folder = format!("/proc/{pid}/task");
    for entry in fs::read_dir(&folder).with_context(|| format!("{folder} cannot be read"))? {
        let path = entry.with_context(|| format!("{folder} cannot be read"))?.path().join("status");
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.lines().any(|line| line == "TracerPid:\t0") {
            bail!("strace does not hold every thread of the daemon yet");
        }
    }
    Ok(())
}
