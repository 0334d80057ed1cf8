//! `cargo xtask broken`: every protection is taken away once, and a test must notice.
//!
//! A test of an attack that fails against a sound build shows little: it may be the attack that does not work. So each protection has
//! a [`Sabotage`], a change of the sources that takes it away, and names the tests that must fail then.
//!
//! Flow: copy the sources ([`tree`]), build and run all named tests once unbroken (they must pass), then for each sabotage: change
//! the copy, build, run its tests in a room of its own ([`room`]), look for a failure, change back. One line for each is printed.
//!
//! Invariants: the sources of the workspace are never changed; what a broken build does as root ends with its room. A sabotage whose
//! text is no longer there, whose build fails, or which no test notices, fails the command: a table that rots is worse than none.
//!
//! Absent on purpose: a place among the required tests. Each sabotage builds the product again.

#[cfg(test)]
mod page;
mod room;
mod sabotages;
mod tree;

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use self::room::Outcome;
use self::sabotages::{Place, SABOTAGES, Sabotage};
use self::tree::Tree;
use crate::{images, say, shell};

/// How one sabotage ended.
enum Verdict {
    /// These tests failed, and these of the named ones did not.
    Noticed { by: Vec<String>, not_by: Vec<&'static str> },
    /// Its tests passed all the same.
    Unnoticed,
    /// Its tests cannot run on this machine.
    Skipped(String),
    /// It could not be tried.
    Untried(String),
}

/// Tries every sabotage, or those whose name or tests hold one of the words.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let chosen: Vec<&Sabotage> = SABOTAGES.iter().filter(|sabotage| sabotage.is_meant_by(words)).collect();
    if chosen.is_empty() {
        bail!("no sabotage has such a name");
    }
    images::ensure()?;
    // Asks for a password once, before the first test would ask.
    shell::quietly(&mut shell::root("true", &[]))?;
    let tree = Tree::copy()?;
    let skipped = without_sabotage(&tree, &chosen)?;
    let mut count = Count::default();
    for sabotage in chosen {
        let verdict =
            match skipped.iter().find(|(name, _)| sabotage.tests.iter().all(|test| test.name == name)) {
                Some((_, why)) => Verdict::Skipped(why.clone()),
                None => attempt(&tree, sabotage)?,
            };
        count.tell(sabotage, &verdict);
    }
    count.report()
}

/// Runs the tests on the sources as they are: a failure there would be none of the sabotage's. Returns the tests that cannot run
/// here, each with the reason.
fn without_sabotage(tree: &Tree, chosen: &[&Sabotage]) -> Result<Vec<(String, String)>> {
    say::step("building and testing without sabotage");
    let mut skipped = Vec::new();
    for place in Place::ALL {
        let tests = chosen.iter().flat_map(|sabotage| sabotage.tests);
        let names: BTreeSet<&str> = tests.filter(|test| test.place == place).map(|test| test.name).collect();
        if names.is_empty() {
            continue;
        }
        let built = tree.build(place)?;
        for name in names {
            match room::run(&built, &[name])? {
                Outcome::Passed => {}
                Outcome::Skipped(why) => skipped.push((name.to_owned(), why)),
                Outcome::Failed(failed) => {
                    bail!("these tests fail without any sabotage: {}", failed.join(", "))
                }
                Outcome::None => bail!("there is no test `{name}`"),
            }
        }
    }
    Ok(skipped)
}

/// Breaks the copy, runs the tests and mends the copy again, whatever came of it.
fn attempt(tree: &Tree, sabotage: &Sabotage) -> Result<Verdict> {
    let verdict = match tree.apply(sabotage) {
        Ok(()) => noticed_by(tree, sabotage).unwrap_or_else(|error| Verdict::Untried(format!("{error:#}"))),
        Err(error) => Verdict::Untried(format!("{error:#}")),
    };
    tree.restore()?;
    Ok(verdict)
}

fn noticed_by(tree: &Tree, sabotage: &Sabotage) -> Result<Verdict> {
    let (mut by, mut not_by) = (Vec::new(), Vec::new());
    for place in Place::ALL {
        let tests = sabotage.tests.iter().filter(|test| test.place == place);
        let names: Vec<&'static str> = tests.map(|test| test.name).collect();
        if names.is_empty() {
            continue;
        }
        let failed = match room::run(&tree.build(place)?, &names)? {
            Outcome::Failed(failed) => failed,
            Outcome::Passed | Outcome::Skipped(_) | Outcome::None => Vec::new(),
        };
        not_by.extend(names.into_iter().filter(|name| !failed.iter().any(|test| test.starts_with(name))));
        by.extend(failed);
    }
    Ok(if by.is_empty() { Verdict::Unnoticed } else { Verdict::Noticed { by, not_by } })
}

/// How many sabotages ended how.
#[derive(Default)]
struct Count {
    noticed: usize,
    skipped: usize,
    bad: usize,
}

impl Count {
    /// Prints a line of the table.
    fn tell(&mut self, sabotage: &Sabotage, verdict: &Verdict) {
        let (word, told) = match verdict {
            Verdict::Noticed { by, not_by } if not_by.is_empty() => {
                ("noticed", format!("by {}", by.join(", ")))
            }
            Verdict::Noticed { by, not_by } => {
                ("noticed", format!("by {}; not by {}", by.join(", "), not_by.join(", ")))
            }
            Verdict::Unnoticed => ("UNNOTICED", format!("what it costs: {}", sabotage.why)),
            Verdict::Skipped(why) => ("skipped", why.clone()),
            Verdict::Untried(why) => ("UNTRIED", why.clone()),
        };
        match verdict {
            Verdict::Noticed { .. } => self.noticed += 1,
            Verdict::Skipped(_) => self.skipped += 1,
            Verdict::Unnoticed | Verdict::Untried(_) => self.bad += 1,
        }
        say::line(&format!("{word:<9} {:<52} {told}", sabotage.name));
    }

    /// Prints the last line, and fails where a sabotage was not noticed or not tried.
    fn report(&self) -> Result<()> {
        say::line(&format!("\n{} noticed, {} not, {} skipped", self.noticed, self.bad, self.skipped));
        if self.bad > 0 {
            bail!("{} sabotages were not noticed or could not be tried", self.bad);
        }
        Ok(())
    }
}
