//! Control groups that others leave behind: of a name beneath the root of every hierarchy, those included that ours leaves alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use runtime::cgroup::Layout;

/// Whether any hierarchy has a group of this name beneath its root.
pub(super) fn exists(name: &str) -> bool {
    roots().iter().any(|root| root.join(name).is_dir())
}

/// Removes the groups of a name in which no process is left.
pub(super) fn remove(name: &str) {
    roots().iter().for_each(|root| remove_below(&root.join(name)));
}

fn remove_below(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    // One that is not there or not empty is left alone.
    let _ = fs::remove_dir(group);
}

/// The root of every hierarchy: v2 alone, or all that are mounted side by side.
fn roots() -> BTreeSet<PathBuf> {
    let Ok(layout) = Layout::detect() else { return BTreeSet::new() };
    if !layout.is_v1() {
        return layout.unified.into_iter().collect();
    }
    let sides: BTreeSet<&Path> =
        layout.hierarchies.iter().filter_map(|hierarchy| hierarchy.mount.parent()).collect();
    let entries = sides.into_iter().filter_map(|side| fs::read_dir(side).ok()).flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
