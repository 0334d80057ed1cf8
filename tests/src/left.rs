//! What is left over of a daemon or a container: processes, mounts, links, tables, control groups, files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How deep control groups are looked through.
const GROUP_DEPTH_MAX: usize = 6;
/// How often a control group is tried to be removed.
const REMOVE_ATTEMPTS_MAX: usize = 10_000;

/// Everything on this machine that carries this text, each in words. A daemon's id and its folder are such texts.
#[must_use]
pub fn left_of(text: &str) -> Vec<String> {
    let mut left = Vec::new();
    left.extend(processes(text).into_iter().map(|(pid, words)| format!("process {pid}: {words}")));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    left.extend(mounts.lines().filter(|line| line.contains(text)).map(|line| format!("mount: {line}")));
    left.extend(links(text).into_iter().map(|name| format!("link {name}")));
    left.extend(
        tables().into_iter().filter(|name| name.contains(text)).map(|name| format!("nftables: {name}")),
    );
    let mut found = Vec::new();
    groups(Path::new("/sys/fs/cgroup"), text, 0, &mut found);
    left.extend(found.iter().map(|path| format!("control group {}", path.display())));
    left
}

/// Takes away the links, tables and control groups that carry a daemon's id, after a test that failed.
pub(crate) fn sweep(id: &str) {
    for link in links(id) {
        let _ = Command::new("ip").args(["link", "delete", &link]).output();
    }
    for table in tables().into_iter().filter(|line| line.contains(id)) {
        // A line of the list is `table FAMILY NAME`.
        let _ = Command::new("nft").arg("delete").args(table.split_whitespace()).output();
    }
    let mut left = Vec::new();
    groups(Path::new("/sys/fs/cgroup"), id, 0, &mut left);
    for group in &left {
        remove_group(group, 0);
    }
}

/// Links whose names or aliases carry a text.
fn links(text: &str) -> Vec<String> {
    let alias = |name: &str| fs::read_to_string(format!("/sys/class/net/{name}/ifalias")).unwrap_or_default();
    names_in("/sys/class/net")
        .into_iter()
        .filter(|name| name.contains(text) || alias(name).contains(text))
        .collect()
}

/// Removes a control group with those in it, which must have no process left.
fn remove_group(folder: &Path, depth: usize) {
    let inside = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in
        inside.filter(|entry| depth < GROUP_DEPTH_MAX && entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        remove_group(&entry.path(), depth + 1);
    }
    // The kernel refuses for a moment after the last process was killed.
    for _ in 0..REMOVE_ATTEMPTS_MAX {
        if fs::remove_dir(folder).is_ok() {
            return;
        }
        std::thread::yield_now();
    }
}

/// Processes, other than this one, whose words, folder, control group or open files carry this text.
fn processes(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for name in names_in("/proc") {
        let Ok(pid) = name.parse::<u32>() else { continue };
        if pid == std::process::id() {
            continue;
        }
        let folder = PathBuf::from("/proc").join(&name);
        let words = fs::read(folder.join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        let group = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
        if words.contains(text) || group.contains(text) || has_file(&folder, text) {
            found.push((pid, words));
        }
    }
    found
}

/// Processes that have a file open, or stand, below a folder. Shims name no folder in their words.
#[must_use]
pub fn processes_with_file_below(folder: &Path) -> Vec<u32> {
    processes(&folder.to_string_lossy()).into_iter().map(|(pid, _)| pid).collect()
}

fn has_file(process: &Path, text: &str) -> bool {
    let carries = |link: &Path| fs::read_link(link).is_ok_and(|place| place.to_string_lossy().contains(text));
    if carries(&process.join("cwd")) {
        return true;
    }
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files.flatten().any(|file| carries(&file.path()))
}

fn groups(folder: &Path, text: &str, depth: usize, left: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().contains(text) {
            left.push(entry.path());
        } else if depth < GROUP_DEPTH_MAX {
            groups(&entry.path(), text, depth + 1, left);
        }
    }
}

fn tables() -> Vec<String> {
    // A machine without the program has its tables looked at by nobody: the links tell most of it.
    let Ok(output) = Command::new("nft").args(["list", "tables"]).output() else { return Vec::new() };
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn names_in(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
