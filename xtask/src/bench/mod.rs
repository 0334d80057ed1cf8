//! `cargo xtask bench …`: what things cost, ours beside the others that are installed, in one run.
//!
//! | command | what it measures |
//! |---|---|
//! | `bench start` | create, start, wait and delete through the API; memory; syncs ([`start`]) |
//! | `bench runtime` | the same and everything around it: bundles, exec, many at a time, a thousand ([`runtime`]) |
//! | `bench images` | load, save, pull and push of a large image ([`self::images`]) |
//! | `bench net` | names and published ports ([`net`]) |
//!
//! Whatever is compared takes turns, one round each, so that whatever else the machine does falls on all of them alike.
//!
//! Absent on purpose: a verdict. A shared machine has bad days; the ratios are what to look at.

mod docker;
mod engine;
mod facts;
mod groups;
mod images;
mod line;
mod memory;
mod net;
mod numbers;
mod podman;
mod runtime;
mod start;

use anyhow::{Result, bail};

use crate::{product, shell};

/// Builds as the user, then measures as root.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    check(words)?;
    product::build()?;
    crate::images::ensure()?;
    let all: Vec<&str> = ["bench"].iter().chain(words).copied().collect();
    shell::as_root(&all, || as_root(words))
}

/// Refuses wrong words before anything is built.
fn check(words: &[&str]) -> Result<()> {
    match words {
        ["start", rest @ ..] => start::check(rest),
        ["runtime", rest @ ..] => runtime::check(rest),
        ["images", rest @ ..] => images::check(rest),
        ["net", rest @ ..] => net::check(rest),
        _ => bail!("`bench` takes `start`, `runtime`, `images` or `net`"),
    }
}

/// The half that needs root.
pub(crate) fn as_root(words: &[&str]) -> Result<()> {
    match words {
        ["start", rest @ ..] => start::run(rest),
        ["runtime", rest @ ..] => runtime::run(rest),
        ["images", rest @ ..] => images::run(rest),
        ["net", rest @ ..] => net::run(rest),
        _ => bail!("`bench` takes `start`, `runtime`, `images` or `net`"),
    }
}

/// The program that makes the floor, which a run of `bench runtime` starts; see [`runtime::floor`].
pub(crate) fn floor(words: &[&str]) -> Result<()> {
    runtime::floor::serve(words)
}
