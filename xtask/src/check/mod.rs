//! `cargo xtask check`: the project's rules, as far as a program can look after them.
//!
//! Every check runs, whatever the others found; each returns what it found as lines for a reader. One that cannot run here is
//! told and counted. Notes are printed and fail nothing.

mod files;
mod layers;
mod licences;
mod machines;
mod pages;
mod words;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::{generate, say, shell};

/// What a check came to.
enum Outcome {
    /// What it found, nothing where all is well.
    Found(Vec<String>),
    /// Why it cannot run here.
    Skipped(String),
}

/// A check: its name, and what looks.
type Check = (&'static str, fn(&Value) -> Result<Outcome>);

const CHECKS: [Check; 10] = [
    ("format", |_| told(&["fmt", "--all", "--", "--check", "-l"]).map(Outcome::Found)),
    ("lints", |_| {
        told(&["clippy", "--quiet", "--keep-going", "--workspace", "--all-targets", "--", "-D", "warnings"])
            .map(Outcome::Found)
    }),
    ("other machines", |_| machines::check()),
    ("layers", |metadata| layers::check(metadata).map(Outcome::Found)),
    ("invariants", |metadata| layers::invariants(metadata).map(Outcome::Found)),
    ("licences", |metadata| licences::check(metadata).map(Outcome::Found)),
    ("dead files", |metadata| files::dead(metadata).map(Outcome::Found)),
    ("pages", |_| pages::check().map(Outcome::Found)),
    ("generated pages", |_| generate::stale().map(Outcome::Found)),
    ("words", |_| words::check().map(Outcome::Found)),
];

/// Runs every check, or those whose name holds one of the words, and fails where one found something.
pub(crate) fn run(wanted: &[&str]) -> Result<()> {
    let words = ["metadata", "--format-version=1", "--filter-platform", crate::product::TARGET];
    let metadata: Value = serde_json::from_str(&shell::output(&mut shell::cargo(&words))?)?;
    let mut failed = Vec::new();
    let mut skipped = 0_usize;
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    for (name, check) in CHECKS.into_iter().filter(|(name, _)| chosen(name)) {
        let outcome = check(&metadata).unwrap_or_else(|error| Outcome::Found(vec![format!("{error:#}")]));
        let found = match outcome {
            Outcome::Found(found) => found,
            Outcome::Skipped(why) => {
                say::line(&format!("check {name}: skipped: {why}"));
                skipped += 1;
                continue;
            }
        };
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
    if skipped > 0 {
        say::line(&format!("{skipped} of {} checks skipped", CHECKS.len()));
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
