//! The product: one static release binary.
//!
//! The shim program that it carries is built by the build script of the crate `bocage`, so one `cargo build` is all.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{say, shell};

/// The only target that is shipped: static, on musl.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-musl";

/// Where the release binary stands once it is built.
pub(crate) fn binary() -> PathBuf {
    shell::target().join(TARGET).join("release").join("bocage")
}

/// Builds the release binary and returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    say::step("building the release binary");
    shell::run(&mut shell::cargo(&[
        "build",
        "--quiet",
        "--release",
        "--package",
        "bocage",
        "--target",
        TARGET,
    ]))?;
    let binary = binary();
    if !binary.is_file() {
        bail!("cargo built no {}", binary.display());
    }
    Ok(binary)
}

/// The release binary, for the half of a command that runs as root after the other half has built it.
pub(crate) fn built() -> Result<PathBuf> {
    let binary = binary();
    if !binary.is_file() {
        bail!("{} is missing: run `cargo xtask build` first", binary.display());
    }
    Ok(binary)
}
