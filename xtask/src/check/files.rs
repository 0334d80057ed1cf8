//! Source files: which belong to a crate, which are reached by no `mod`, which are too long.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::shell;

/// From how many lines on a file is noted as long.
const FILE_LINES_MAX: usize = 500;

/// The packages of the workspace.
pub(super) fn members(metadata: &Value) -> Vec<&Value> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let members = metadata["workspace_members"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages.iter().filter(|package| members.contains(&package["id"])).collect()
}

/// Every Rust file below the folder of a package.
pub(super) fn sources(package: &Value) -> Result<BTreeSet<PathBuf>> {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
    let mut folders = vec![manifest.parent().context("a package has no folder")?.to_owned()];
    let mut files = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.insert(path);
            }
        }
    }
    Ok(files)
}

/// A path as it stands in the repository.
pub(super) fn short(path: &Path) -> String {
    path.strip_prefix(shell::workspace()).unwrap_or(path).display().to_string()
}

/// The files that no target of their package reaches through `mod` declarations: they are never compiled.
pub(super) fn dead(metadata: &Value) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for package in members(metadata) {
        let targets = package["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut reached = BTreeSet::new();
        for target in targets {
            reach(Path::new(target["src_path"].as_str().unwrap_or_default()), true, &mut reached)?;
        }
        for path in sources(package)?.difference(&reached) {
            found.push(format!("{} is part of no crate: no `mod` names it", short(path)));
        }
    }
    Ok(found)
}

/// Adds a file and all that it declares; `is_root` if its children stand beside it.
fn reach(path: &Path, is_root: bool, reached: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !reached.insert(path.to_owned()) {
        return Ok(());
    }
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let beside = path.parent().unwrap_or(Path::new(""));
    let children =
        if is_root || path.ends_with("mod.rs") { beside.to_owned() } else { path.with_extension("") };
    for declared in declared(&text) {
        let candidates = match declared {
            Declared::Path(file) => vec![beside.join(file)],
            Declared::Module(name) => {
                vec![children.join(format!("{name}.rs")), children.join(name).join("mod.rs")]
            }
        };
        for file in candidates.iter().filter(|file| file.is_file()) {
            reach(file, false, reached)?;
        }
    }
    Ok(())
}

/// A declaration of a module in a file of its own.
#[derive(Debug, PartialEq)]
enum Declared {
    Module(String),
    /// By an attribute `path`.
    Path(String),
}

fn declared(text: &str) -> Vec<Declared> {
    let mut found = Vec::new();
    let mut named: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            named = Some(path.to_owned());
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(name) = words.last().and_then(|word| word.strip_suffix(';'))
            && words.len() >= 2
            && words[words.len() - 2] == "mod"
            && !line.starts_with("//")
        {
            found.push(named.take().map_or_else(|| Declared::Module(name.to_owned()), Declared::Path));
        }
    }
    found
}

/// Files that are longer than a reader likes.
pub(super) fn long(metadata: &Value) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for package in members(metadata) {
        for path in sources(package)? {
            let lines = fs::read_to_string(&path).unwrap_or_default().lines().count();
            if lines > FILE_LINES_MAX {
                notes.push(format!("{} has {lines} lines, more than {FILE_LINES_MAX}", short(&path)));
            }
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::{Declared, declared};

    #[test]
    fn declarations_are_found_with_their_visibility_and_path() {
        let text =
            "mod one;\npub(crate) mod two;\n// mod three;\nmod four {\n}\n#[path = \"x/y.rs\"]\nmod five;\n";
        let module = |name: &str| Declared::Module(name.to_owned());
        assert_eq!(declared(text), [module("one"), module("two"), Declared::Path("x/y.rs".to_owned())]);
    }
}
