//! The machine that was measured, in one line, and the others' versions.

use std::fs;

use runtime::cgroup::Layout;

use crate::shell;

/// Processors, memory, kernel, control groups and what else the machine was doing.
pub(super) fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    let groups = match Layout::detect() {
        Ok(layout) if !layout.is_v1() => "control groups v2".to_owned(),
        Ok(layout) => {
            let beside = if layout.unified.is_some() { " and v2 beside them" } else { "" };
            format!("control groups in {} v1 hierarchies{beside}", layout.hierarchies.len())
        }
        Err(error) => error.to_string(),
    };
    let load = load();
    format!("{processors} x {model}; {memory} of memory; Linux {kernel}; {groups}; load {load}")
}

/// The machine's load averages.
pub(super) fn load() -> String {
    read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// What a program says of its version, in its first line.
pub(super) fn version(program: &str) -> Option<String> {
    let program = shell::path_of(program)?;
    let text = shell::output(&mut shell::command(&program.to_string_lossy(), &["--version"])).ok()?;
    text.lines().next().map(str::to_owned)
}

/// The first value of a name in a file of `name : value` lines.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
