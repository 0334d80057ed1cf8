//! What a test needs of the machine, and how it says that something is missing.

use std::path::{Path, PathBuf};

use crate::Client;

/// Says why this test does not run here. `cargo xtask test` counts these lines.
#[expect(clippy::print_stderr, reason = "the line is read by who counts the tests")]
pub fn skip(reason: &str) {
    eprintln!("SKIP: {reason}");
}

/// The archive of a test image, which `cargo xtask images` makes.
#[must_use]
pub fn image_path(name: &str) -> PathBuf {
    target().join("test-images").join(format!("{name}.tar"))
}

/// Whether the client, the images and the rights are there; says which is missing if not.
#[must_use]
pub fn ready(client: Client, images: &[&str]) -> bool {
    if !rustix::process::geteuid().is_root() {
        skip("not run as root");
        return false;
    }
    if client == Client::Docker && on_path("docker").is_none() {
        skip("no docker client is installed");
        return false;
    }
    for image in images {
        if !image_path(image).is_file() {
            skip(&format!("the image {image} could not be made: no mirror of Debian's packages"));
            return false;
        }
    }
    true
}

/// Where a program is.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').map(|folder| Path::new(folder).join(program)).find(|file| file.is_file())
}

/// The binary under test: `BOCAGE_BIN`, or the release binary, or the one of a debug build.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("BOCAGE_BIN") {
        return PathBuf::from(named);
    }
    let folder = target().join("x86_64-unknown-linux-musl");
    let found =
        ["release", "debug"].iter().map(|kind| folder.join(kind).join("bocage")).find(|path| path.is_file());
    found.expect("there is no binary to test: run `cargo xtask build` first")
}

fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}
