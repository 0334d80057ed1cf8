//! Pages that are made from code, so that they cannot say something else than the code does.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{say, shell};

/// Each page, and the words with which the product prints it.
const PAGES: [(&str, &[&str]); 1] = [("docs/api-coverage.md", &["internal", "api-coverage"])];

/// Writes every generated page that differs.
pub(crate) fn write() -> Result<()> {
    for (path, content) in made()? {
        if fs::read_to_string(&path).is_ok_and(|found| found == content) {
            continue;
        }
        fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))?;
        say::line(&format!("written: {}", path.display()));
    }
    Ok(())
}

/// The generated pages that differ from what the code says.
pub(crate) fn stale() -> Result<Vec<String>> {
    let stale =
        made()?.into_iter().filter(|(path, content)| fs::read_to_string(path).ok().as_ref() != Some(content));
    Ok(stale
        .map(|(path, _)| format!("{} is not what the code says: run `cargo xtask generate`", path.display()))
        .collect())
}

fn made() -> Result<Vec<(PathBuf, String)>> {
    let mut pages = Vec::new();
    for (path, words) in PAGES {
        let all: Vec<&str> =
            ["run", "--quiet", "--package", "bocage", "--"].iter().chain(words).copied().collect();
        pages.push((shell::workspace().join(path), shell::output(&mut shell::cargo(&all))?));
    }
    Ok(pages)
}
