//! `cargo xtask torture …`: tests that take too long for every day.
//!
//! They are tests like any other, marked `#[ignore]`, whose names begin with `torture_`; each theme is a few of their modules. What
//! they count they print.

use anyhow::{Result, bail};

use crate::test::Test;
use crate::{say, shell, test};

/// A theme, its package, and what the full names of its tests hold.
const THEMES: [(&str, &str, &[&str]); 2] =
    [("images", "images", &["::crashes::", "::unusual::"]), ("registry", "images", &["::distribution::"])];

/// Runs the tests of a theme one after the other.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let theme = match words {
        [word] => THEMES.iter().find(|(name, ..)| name == word),
        _ => None,
    };
    let Some((_, package, places)) = theme else {
        let names: Vec<&str> = THEMES.iter().map(|(name, ..)| *name).collect();
        bail!("`torture` takes one of {}", names.join(", "));
    };
    let is_wanted = |test: &Test| {
        let name = format!("::{}", test.full_name());
        test.is_ignored && name.contains("::torture_") && places.iter().any(|place| name.contains(place))
    };
    let tests: Vec<Test> = test::collect(&["-p", package])?.into_iter().filter(is_wanted).collect();
    if tests.is_empty() {
        bail!("no test of that theme was found");
    }
    for test in &tests {
        say::step(&test.full_name());
        let program = test.program.to_string_lossy();
        shell::run(&mut shell::root(&program, &["--ignored", "--exact", &test.name, "--nocapture"]))?;
    }
    Ok(())
}
