//! The crate table of `ARCHITECTURE.md`, against what cargo says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::files;
use crate::shell;

/// One line of the table.
struct Line {
    level: u32,
    /// The crates it may import; none means all.
    may: Option<BTreeSet<String>>,
}

/// Each crate has a line, each line a crate; a crate imports what its line names, and a line names only lower levels.
pub(super) fn check(metadata: &Value) -> Result<Vec<String>> {
    let page = fs::read_to_string(shell::workspace().join("ARCHITECTURE.md"))
        .context("there is no ARCHITECTURE.md")?;
    Ok(compare(&table(&page), &imports(metadata)))
}

fn compare(table: &BTreeMap<String, Line>, imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for name in table.keys().filter(|name| !imports.contains_key(*name)) {
        found.push(format!("ARCHITECTURE.md has a line for `{name}`, and there is no such crate"));
    }
    for (name, imported) in imports {
        let Some(line) = table.get(name) else {
            found.push(format!("the crate `{name}` has no line in ARCHITECTURE.md"));
            continue;
        };
        for other in imported {
            if line.may.as_ref().is_some_and(|may| !may.contains(other)) {
                found.push(format!("`{name}` imports `{other}`, which its line does not name"));
            }
        }
        let named = line.may.as_ref().unwrap_or(imported);
        for other in named {
            if table.get(other).is_some_and(|below| below.level >= line.level) {
                found.push(format!("`{name}` may not name `{other}`, which is not of a lower level"));
            }
        }
    }
    found
}

/// The lines of the table: `| level | crate | what | may import |`.
fn table(page: &str) -> BTreeMap<String, Line> {
    let mut table = BTreeMap::new();
    for row in page.lines().filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [level, name, _, may] = cells[..] else { continue };
        let Ok(level) = level.parse() else { continue };
        let words = may.split_whitespace().filter(|word| *word != "–").map(str::to_owned).collect();
        let may = if may == "all" { None } else { Some(words) };
        table.insert(name.trim_matches('`').to_owned(), Line { level, may });
    }
    table
}

/// What each crate of the workspace imports of the others, tests left aside.
fn imports(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let packages = files::members(metadata);
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut all = BTreeMap::new();
    for package in &packages {
        let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
        let imported = dependencies
            .iter()
            .filter(|dependency| dependency["kind"] != "dev")
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| names.contains(name))
            .map(str::to_owned)
            .collect();
        all.insert(package["name"].as_str().unwrap_or_default().to_owned(), imported);
    }
    all
}

/// Words that only some crates may write, as no lint tells crates apart: the words, who may, and why.
const RESERVED: [(&[&str], &[&str], &str); 3] = [
    (&["allow(unsafe_code", "expect(unsafe_code"], &["sys", "xtask"], "only `sys` writes unsafe code"),
    (
        &["env::args", "env::var"],
        &["bocage", "cli", "runtime", "xtask", "blackbox"],
        "only `bocage`, `cli` and the shim program read arguments and the environment",
    ),
    (&["println!(", "eprintln!("], &["cli", "xtask", "blackbox"], "only the command line's printer prints"),
];

/// What the table cannot say: words that are reserved to some crates.
pub(super) fn invariants(metadata: &Value) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for package in files::members(metadata) {
        let name = package["name"].as_str().unwrap_or_default();
        for path in files::sources(package)? {
            let text =
                fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            for (words, may, why) in RESERVED {
                if !may.contains(&name) && !is_test(&path) && product_code(&text).any(|line| has(line, words))
                {
                    found.push(format!("{}: {why}", files::short(&path)));
                }
            }
        }
    }
    Ok(found)
}

fn has(line: &str, words: &[&str]) -> bool {
    !line.trim_start().starts_with("//") && words.iter().any(|word| line.contains(word))
}

/// The lines of a file before its tests.
fn product_code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]")
}

/// Whether a file is a test or a build script as a whole.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.ends_with("build.rs")
        || path.ends_with("tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "| Level | Crate | One line | May import |\n|---|---|---|---|\n\
        | 0 | `base` | a | – |\n| 1 | `model` | b | base |\n| 2 | `plan` | c | model base |\n| 8 | `top` | d | all |\n";

    fn imports(of: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        of.iter()
            .map(|(name, to)| ((*name).to_owned(), to.iter().map(|to| (*to).to_owned()).collect()))
            .collect()
    }

    #[test]
    fn a_workspace_that_keeps_to_its_table_is_left_alone() {
        let real =
            imports(&[("base", &[]), ("model", &["base"]), ("plan", &["model"]), ("top", &["plan", "base"])]);
        assert_eq!(compare(&table(PAGE), &real), Vec::<String>::new());
    }

    #[test]
    fn an_import_that_no_line_names_and_a_crate_without_a_line_are_told() {
        let real = imports(&[
            ("base", &[]),
            ("model", &["base", "plan"]),
            ("plan", &[]),
            ("top", &[]),
            ("new", &[]),
        ]);
        let found = compare(&table(PAGE), &real);
        assert_eq!(
            found,
            [
                "`model` imports `plan`, which its line does not name",
                "the crate `new` has no line in ARCHITECTURE.md"
            ]
        );
    }
}
