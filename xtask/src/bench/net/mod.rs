//! `cargo xtask bench net [ROUNDS]`: what names and published ports cost.
//!
//! | part | what is measured | beside |
//! |---|---|---|
//! | [`names`] | queries for a container's own name, one at a time, from inside it | Docker, Podman |
//! | [`ports`] | memory, descriptors and processes of ten thousand published ports, and the start of a container with one port beside them | – |

mod names;
mod ports;

use anyhow::{Context as _, Result, bail};

use super::engine::Engine;
use super::start;
use crate::{product, say};

/// Rounds, unless told otherwise.
const ROUNDS: usize = 10;

/// What the project promises of its own engine on two cores.
const WANTED: &str = "wanted of bocage: more than 29000 queries/s and a p99 under 66 us; ten thousand ports in at most 20 MiB, 100 descriptors \
    and no process of their own, one port more in the same time beside them";

/// Refuses words that cannot be understood.
pub(super) fn check(words: &[&str]) -> Result<()> {
    rounds(words).map(|_| ())
}

fn rounds(words: &[&str]) -> Result<usize> {
    match words {
        [] => Ok(ROUNDS),
        [count] => count.parse().with_context(|| format!("`{count}` is no number of rounds")),
        _ => bail!("`bench net` takes one word, the number of rounds"),
    }
}

/// The half that needs root.
pub(super) fn run(words: &[&str]) -> Result<()> {
    let rounds = rounds(words)?;
    let (mut engines, absent) = start::working(&product::built()?)?;
    absent.iter().for_each(|note| say::step(note));
    names::compare(&mut engines, rounds)?;
    if let Some(ours) = engines.iter_mut().find(|engine| engine.is_ours()) {
        ports::measure(ours)?;
    }
    say::line(&format!("\n{WANTED}"));
    engines.into_iter().try_for_each(Engine::stop)
}
