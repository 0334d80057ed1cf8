//! Who is there, what each takes, and the end of those who stay: proc(5).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every process of this moment.
pub(super) fn processes() -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_string_lossy().parse().ok()).collect()
}

/// Kills the processes that have a folder of the benchmark's own in their command line.
pub(super) fn end_those_of(folder: &Path) {
    let inside = format!("{}/", folder.display());
    for pid in processes().into_iter().filter(|pid| *pid != std::process::id()) {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| String::from_utf8_lossy(&words).contains(&inside)) {
            // One that has ended meanwhile is what was wanted.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// The proportional set size of a process, in KiB.
pub(super) fn kilobytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// KiB as MiB.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) fn mebibytes(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1024.0
}

/// The name of a process.
fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

/// Names of programs that stand beside a container for each engine.
const HELPERS: [(&str, &[&str]); 3] = [
    ("bocage", &["bocage"]),
    ("docker", &["containerd-shim", "docker-proxy"]),
    ("podman", &["conmon", "netavark", "aardvark", "slirp4netns", "rootlessport"]),
];

/// Names of programs that stand beside a daemon all the time, as its children.
const SECONDS: [(&str, &str); 2] = [("bocage", "bocage"), ("docker", "containerd")];

/// What a daemon takes, with what stands beside it all the time, in KiB.
pub(super) fn daemon_kilobytes(engine: &str, daemon: u32) -> u64 {
    let second = SECONDS.iter().find(|(name, _)| *name == engine).map(|(_, second)| *second);
    let beside =
        processes().into_iter().filter(|pid| parent(*pid) == Some(daemon) && name(*pid).as_deref() == second);
    beside.chain([daemon]).filter_map(kilobytes).sum()
}

/// The parent of a process.
pub(super) fn parent(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// The processes that an engine started since then, the containers' own left aside: name and KiB of each.
pub(super) fn helpers(engine: &str, before: &BTreeSet<u32>, own: &[u32]) -> Vec<(String, u64)> {
    let names = HELPERS.iter().find(|(name, _)| *name == engine).map(|(_, names)| *names).unwrap_or_default();
    let new = processes().into_iter().filter(|pid| !before.contains(pid) && !own.contains(pid));
    let named = new.filter_map(|pid| Some((name(pid)?, kilobytes(pid)?)));
    named.filter(|(name, _)| names.iter().any(|helper| name.starts_with(helper))).collect()
}
