//! The other machines that the project is written for: what depends on one is compiled for it, as far as that goes without
//! its linker and its C compiler.

use std::path::Path;

use anyhow::Result;

use super::Outcome;
use crate::shell;

/// The machine that this one is not.
const OTHER: &str = "aarch64-unknown-linux-musl";

/// The crates with code of one machine: system calls, their numbers and their filter.
const CRATES: [&str; 2] = ["sys", "runtime"];

/// Compiles these crates, where the standard library for that machine is installed.
pub(super) fn check() -> Result<Outcome> {
    let words = ["--print", "target-libdir", "--target", OTHER];
    let folder = shell::output(&mut shell::command("rustc", &words))?;
    if !Path::new(folder.trim()).is_dir() {
        return Ok(Outcome::Skipped(format!("no {OTHER} here: rustup target add {OTHER}")));
    }
    let mut words = vec!["clippy", "--quiet", "--target", OTHER];
    words.extend(CRATES.iter().flat_map(|name| ["-p", name]));
    words.extend(["--", "-D", "warnings"]);
    super::told(&words).map(Outcome::Found)
}
