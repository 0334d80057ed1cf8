//! The test images: real programs from Debian packages, as archives that `docker load` and `bocage load` read.
//!
//! | file in `target/test-images` | tags | what is inside |
//! |---|---|---|
//! | `busybox.tar` | busybox:latest alpine:latest | Debian's static busybox and its applets |
//! | `debian.tar` | debian:latest | debootstrap's smallest root, procps and iproute2 |
//! | `nginx.tar` | nginx:latest | a second layer with nginx, its user, its entry point |
//! | `redis.tar` | redis:latest redis:alpine | a second layer with redis, its user, its volume |
//!
//! Flow: a recipe is a value; its hash stands beside the archive, and only a changed recipe is made again. Roots are kept under
//! `work`, as debootstrap takes a minute.
//!
//! Absent on purpose: a mirror's name. The packages come from where this machine's own packages come from.

mod archive;
mod layer;
mod recipes;
mod roots;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub(crate) use roots::debootstrap;
pub(crate) use sources::Mirror;

use crate::{say, shell};

/// Raised when the way of making changes, so that archives of the old way are made again.
const FORMAT: u32 = 1;

/// What an image is made of. Its printed form is its identity.
#[derive(Debug)]
struct Recipe {
    /// The archive's name without its ending.
    name: &'static str,
    tags: &'static [&'static str],
    base: Base,
    /// Debian packages of the second layer; those of one layer each, where they are only unpacked.
    packages: &'static [&'static str],
    /// Files of the second layer: path, mode, content.
    files: &'static [(&'static str, u32, &'static str)],
    /// Run by the root's own shell, in the root, after the packages and files are there.
    script: &'static str,
    /// The image's run-time settings, as the image specification names them.
    config: Value,
}

/// What an image stands on.
#[derive(Debug)]
enum Base {
    /// One static program.
    Busybox,
    /// The Debian root that all share.
    Debian,
    /// The same, with packages on it that are unpacked and not installed, in a layer for each word of them.
    Unpacked,
}

/// The folder of the archives.
pub(crate) fn folder() -> PathBuf {
    shell::target().join("test-images")
}

/// The archive of an image, whether it exists or not.
pub(crate) fn path(name: &str) -> PathBuf {
    folder().join(format!("{name}.tar"))
}

/// `cargo xtask images`: makes what is missing and prints the paths.
pub(crate) fn command() -> Result<()> {
    ensure()?;
    for recipe in recipes::all() {
        let path = path(recipe.name);
        if path.is_file() {
            say::line(&path.display().to_string());
        }
    }
    Ok(())
}

/// Makes what is missing, installing what that needs, as root where the user is not.
pub(crate) fn ensure() -> Result<()> {
    if recipes::all().iter().all(is_fresh) {
        return Ok(());
    }
    if let Err(error) = shell::install(&[("debootstrap", "debootstrap"), ("dpkg-deb", "dpkg")]) {
        say::step(&format!("the Debian packages that make images cannot be installed: {error:#}"));
    }
    shell::as_root(&["images"], make)
}

/// The archive that images are measured with, and its layers as plain archives. Made where it is missing; needs root.
pub(crate) fn stack() -> Result<(PathBuf, Vec<PathBuf>)> {
    let recipe = recipes::stack();
    let work = folder().join("work");
    if !is_fresh(&recipe) {
        say::step(&format!("making the image {}", recipe.tags[0]));
        fs::create_dir_all(&work).context("the folder of the test images cannot be made")?;
        make_one(&recipe)?;
    }
    let above =
        (1..=recipe.packages.len()).map(|number| work.join(format!("{}-{number}.layer", recipe.name)));
    Ok((path(recipe.name), std::iter::once(work.join("base.layer")).chain(above).collect()))
}

/// Makes every image whose recipe changed or whose archive is missing. Needs root. An image that cannot be made is told, and no
/// error: tests that want it are skipped and counted.
pub(crate) fn make() -> Result<()> {
    fs::create_dir_all(folder().join("work")).context("the folder of the test images cannot be made")?;
    for recipe in recipes::all().into_iter().filter(|recipe| !is_fresh(recipe)) {
        say::step(&format!("making the image {}", recipe.tags[0]));
        if let Err(error) = make_one(&recipe) {
            say::step(&format!("the image {} cannot be made: {error:#}", recipe.name));
        }
    }
    Ok(())
}

fn make_one(recipe: &Recipe) -> Result<()> {
    let work = folder().join("work");
    let root = work.join(recipe.name);
    let layers = match recipe.base {
        Base::Busybox => {
            roots::busybox(&root)?;
            vec![layer::write(None, &root, &work.join(format!("{}.layer", recipe.name)))?]
        }
        Base::Debian => {
            let base = roots::debian(&work)?;
            let mut layers = vec![layer::write(None, &base, &work.join("base.layer"))?];
            if !recipe.packages.is_empty() {
                roots::variant(&base, &root, recipe)?;
                layers.push(layer::write(Some(&base), &root, &work.join(format!("{}.layer", recipe.name)))?);
                fs::remove_dir_all(&root).with_context(|| format!("{} cannot be removed", root.display()))?;
            }
            layers
        }
        Base::Unpacked => {
            let base = roots::debian(&work)?;
            let mut layers = vec![layer::write(None, &base, &work.join("base.layer"))?];
            for packages in recipe.packages {
                roots::unpacked(&root, packages)?;
                let path = work.join(format!("{}-{}.layer", recipe.name, layers.len()));
                layers.push(layer::write(None, &root, &path)?);
                fs::remove_dir_all(&root).with_context(|| format!("{} cannot be removed", root.display()))?;
            }
            layers
        }
    };
    archive::write(recipe, &layers, &path(recipe.name))?;
    fs::write(stamp(recipe), hash(recipe))
        .with_context(|| format!("the stamp of {} cannot be written", recipe.name))
}

fn is_fresh(recipe: &Recipe) -> bool {
    path(recipe.name).is_file() && fs::read_to_string(stamp(recipe)).is_ok_and(|found| found == hash(recipe))
}

fn stamp(recipe: &Recipe) -> PathBuf {
    folder().join(format!("{}.recipe", recipe.name))
}

fn hash(recipe: &Recipe) -> String {
    hex(&Sha256::digest(format!("{FORMAT} {recipe:?}").as_bytes()))
}

/// Bytes as lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

/// Writes a file with its mode, and the folders above it.
fn write_file(path: &Path, mode: u32, content: &[u8]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let told = || format!("{} cannot be written", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(told)?;
    }
    fs::write(path, content).with_context(told)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(told)
}
