//! Builds the shim program and hands it to the binary that carries it.
//!
//! The shim is a target of the crate `runtime` in a profile of its own, static and small. A cargo inside cargo needs a target
//! folder of its own, as the outer one holds the lock of the first; it lives in `OUT_DIR` and is built again only when the
//! sources of the shim changed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates that the shim is made of.
const SOURCES: [&str; 4] = ["runtime", "sys", "model", "base"];

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts through the environment")]
fn var(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn main() {
    let crates = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("..");
    for source in SOURCES {
        say(&format!("cargo::rerun-if-changed={}", crates.join(source).join("src").display()));
        say(&format!("cargo::rerun-if-changed={}", crates.join(source).join("Cargo.toml").display()));
    }
    let target = var("TARGET");
    let folder = PathBuf::from(var("OUT_DIR")).join("shim");
    let shim = folder.join(&target).join("shim").join("bocage-shim");
    build(&crates, &target, &folder);
    assert!(shim.is_file(), "cargo built no shim program at {}", shim.display());
    say(&format!("cargo::rustc-env=BOCAGE_SHIM={}", shim.display()));
}

fn build(crates: &Path, target: &str, folder: &Path) {
    let mut cargo = Command::new(var("CARGO"));
    cargo
        .current_dir(crates.join("runtime"))
        .args([
            "build",
            "--quiet",
            "--profile",
            "shim",
            "--bin",
            "bocage-shim",
            "--target",
            target,
            "--target-dir",
        ])
        .arg(folder)
        // What the outer cargo says of its own build is not meant for this one.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_MAKEFLAGS")
        .env_remove("MAKEFLAGS");
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_FEATURE_") || text.starts_with("CARGO_CFG_") {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.status();
    assert!(
        status.as_ref().is_ok_and(|status| status.success()),
        "the shim program could not be built: {status:?}"
    );
}

/// Speaks to cargo, which listens on standard output.
fn say(line: &str) {
    println!("{line}");
}
