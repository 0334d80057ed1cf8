//! `cargo xtask check`: the project's rules, as far as a program can look after them.
//!
//! Every check runs, whatever the others found; each returns what it found as lines for a reader. Notes are printed and fail
//! nothing.

mod files;
mod layers;
mod licences;
mod pages;
mod words;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::{generate, say, shell};

/// A check: its name, and what looks.
type Check = (&'static str, fn(&Value) -> Result<Vec<String>>);

const CHECKS: [Check; 9] = [
    ("format", |_| told(&["fmt", "--all", "--", "--check", "-l"])),
    ("lints", |_| {
        told(&["clippy", "--quiet", "--keep-going", "--workspace", "--all-targets", "--", "-D", "warnings"])
    }),
    ("layers", layers::check),
    ("invariants", layers::invariants),
    ("licences", licences::check),
    ("dead files", files::dead),
    ("pages", |_| pages::check()),
    ("generated pages", |_| generate::stale()),
    ("words", |_| words::check()),
];

/// Runs every check, or those whose name holds one of the words, and fails where one found something.
pub(crate) fn run(wanted: &[&str]) -> Result<()> {
    let words = ["metadata", "--format-version=1", "--filter-platform", crate::product::TARGET];
    let metadata: Value = serde_json::from_str(&shell::output(&mut shell::cargo(&words))?)?;
    let mut failed = Vec::new();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    for (name, check) in CHECKS.into_iter().filter(|(name, _)| chosen(name)) {
        let found = check(&metadata).unwrap_or_else(|error| vec![format!("{error:#}")]);
        say::line(&format!("check {name}: {}", if found.is_empty() { "ok" } else { "FAILED" }));
        for line in &found {
            say::line(&format!("  {line}"));
        }
        if !found.is_empty() {
            failed.push(name);
        }
    }
    for note in files::long(&metadata)? {
        say::line(&format!("note: {note}"));
    }
    if !failed.is_empty() {
        bail!("these checks failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Runs cargo, whose own words are the finding.
fn told(words: &[&str]) -> Result<Vec<String>> {
    Ok(shell::run(&mut shell::cargo(words)).err().map(|error| format!("{error:#}")).into_iter().collect())
}
