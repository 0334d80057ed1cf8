//! A copy of the sources, with a target folder of its own, that may be broken.
//!
//! Invariant: a file is written only where its content differs, so that cargo builds again what changed and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::sabotages::{Edit, Place, Sabotage};
use crate::{images, product, shell};

/// The copy.
pub(super) struct Tree {
    folder: PathBuf,
}

/// Tests that are built.
pub(super) struct Built {
    /// The program that holds them.
    pub(super) program: PathBuf,
    /// The folder they run in.
    pub(super) folder: PathBuf,
    /// The product that they drive, for tests from outside.
    pub(super) product: PathBuf,
}

impl Tree {
    /// Makes the copy, or brings one that is there up to date.
    pub(super) fn copy() -> Result<Self> {
        let tree = Self { folder: shell::target().join("broken").join("tree") };
        fs::create_dir_all(tree.target())
            .with_context(|| format!("{} cannot be made", tree.target().display()))?;
        tree.restore()?;
        // The images are made once for all; tests look for them in the target folder.
        let link = tree.target().join("test-images");
        if !link.is_dir() {
            symlink(images::folder(), &link)
                .with_context(|| format!("{} cannot be linked", link.display()))?;
        }
        Ok(tree)
    }

    fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    /// Makes every file of the copy what it is in the workspace, and removes what is not there.
    pub(super) fn restore(&self) -> Result<()> {
        let words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = shell::output(&mut shell::command("git", &words))?;
        let names: BTreeSet<&str> = listed.split('\0').filter(|name| !name.is_empty()).collect();
        for name in &names {
            let (from, to) = (shell::workspace().join(name), self.folder.join(name));
            // A file that is removed and still listed is none.
            let Ok(content) = fs::read(&from) else { continue };
            write_if_other(&to, &content)?;
        }
        self.remove_all_but(&self.folder, &names)
    }

    fn remove_all_but(&self, folder: &Path, names: &BTreeSet<&str>) -> Result<()> {
        let told = || format!("{} cannot be cleaned", folder.display());
        for entry in fs::read_dir(folder).with_context(told)? {
            let path = entry.with_context(told)?.path();
            if path == self.target() {
                continue;
            }
            let name = path.strip_prefix(&self.folder).unwrap_or(&path).to_string_lossy().into_owned();
            if path.is_dir() {
                self.remove_all_but(&path, names)?;
            } else if !names.contains(name.as_str()) || !shell::workspace().join(&name).exists() {
                fs::remove_file(&path).with_context(|| format!("{name} cannot be removed"))?;
            }
        }
        Ok(())
    }

    /// Breaks the copy. Each text must stand exactly once in its file.
    pub(super) fn apply(&self, sabotage: &Sabotage) -> Result<()> {
        for edit in sabotage.edits {
            let path = self.folder.join(edit.file);
            let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", edit.file))?;
            write_if_other(&path, applied(&text, edit)?.as_bytes())?;
        }
        Ok(())
    }

    /// Builds the tests of one place, and for tests from outside the product that they drive.
    pub(super) fn build(&self, place: Place) -> Result<Built> {
        if place == Place::BlackBox {
            self.cargo(&["build", "--quiet", "--package", "bocage"])?;
        }
        let mut words = vec!["test", "--no-run", "--quiet", "--message-format=json-render-diagnostics"];
        words.extend(place.cargo_words());
        let said = self.cargo(&words)?;
        let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut tests = messages.filter(|message| message["profile"]["test"] == true);
        let program = tests.find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
        Ok(Built {
            program: program.context("cargo built no tests")?,
            folder: self.folder.join(place.folder()),
            product: self.target().join(product::TARGET).join("debug").join("bocage"),
        })
    }

    fn cargo(&self, words: &[&str]) -> Result<String> {
        let mut command: Command = shell::cargo(words);
        command.current_dir(&self.folder).env("CARGO_TARGET_DIR", self.target()).stdin(Stdio::null());
        // A sabotage leaves things unused; that is no reason to fail.
        shell::output(command.env("CARGO_TERM_COLOR", "never"))
    }
}

/// A file's text with an edit made.
pub(super) fn applied(text: &str, edit: &Edit) -> Result<String> {
    match text.matches(edit.find).count() {
        1 => Ok(text.replacen(edit.find, edit.replace, 1)),
        count => bail!("{} has {count} times, and not once: {}", edit.file, edit.find),
    }
}

fn write_if_other(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|found| found == content) {
        return Ok(());
    }
    let told = || format!("{} cannot be written", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(told)?;
    }
    fs::write(path, content).with_context(told)
}
