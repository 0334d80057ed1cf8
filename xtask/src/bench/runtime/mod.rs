//! `cargo xtask bench runtime [ROUNDS] [--long] [--many] [PART…]`: what everything costs, beside everybody who is installed.
//!
//! | part | what is measured | beside |
//! |---|---|---|
//! | `bundles` | `run` of a bundle by the command line ([`bundles`]), over the floor of bare system calls ([`floor`]) | crun, runc |
//! | `api` | a container's whole life and an exec through the API ([`api`]) | Docker, Podman |
//! | `users` | the same with and without a user namespace | – |
//! | `detached` | fifty that stay, eight commands at a time, and their removal ([`detached`]) | all |
//! | `sleepers` | memory of the helpers of a hundred sleepers ([`sleepers`]) | Docker, Podman |
//! | `many` | a thousand sleepers: up, listed, removed; only with `--many` | – |
//!
//! All parts run unless some are named. `--long` measures a thousand lives of our own containers. Who is absent or refuses is
//! said by name, and the others go on. All figures are printed at the end in one table ([`table`]), with what the machine was.

mod api;
mod bundle;
mod bundles;
mod detached;
pub(super) mod floor;
mod sleepers;
mod table;

use anyhow::{Result, bail};

use self::bundle::Bundles;
use self::table::Table;
use super::engine::Engine;
use super::{facts, start};
use crate::{product, say};

/// Rounds, unless told otherwise.
const ROUNDS: usize = 100;
/// Rounds of our own containers' lives where a long run is asked for.
const ROUNDS_LONG: usize = 1000;
/// The parts, in their order.
const PARTS: [&str; 6] = ["bundles", "api", "users", "detached", "sleepers", "many"];

/// What was asked for.
struct Wishes {
    rounds: usize,
    long: bool,
    parts: Vec<&'static str>,
}

/// Refuses words that cannot be understood.
pub(super) fn check(words: &[&str]) -> Result<()> {
    Wishes::read(words).map(|_| ())
}

impl Wishes {
    fn read(words: &[&str]) -> Result<Self> {
        let mut wishes = Self { rounds: ROUNDS, long: false, parts: Vec::new() };
        let mut many = false;
        for word in words {
            match (*word, word.parse()) {
                ("--long", _) => wishes.long = true,
                ("--many", _) => many = true,
                (_, Ok(rounds)) if rounds > 0 => wishes.rounds = rounds,
                (name, _) => match PARTS.iter().find(|part| **part == name) {
                    Some(part) => wishes.parts.push(part),
                    None => bail!(
                        "`bench runtime` takes a number of rounds, --long, --many and the parts {}, not `{name}`",
                        PARTS.join(", ")
                    ),
                },
            }
        }
        if wishes.parts.is_empty() {
            wishes.parts = PARTS.to_vec();
            wishes.parts.retain(|part| *part != "many");
        }
        if many && !wishes.parts.contains(&"many") {
            wishes.parts.push("many");
        }
        Ok(wishes)
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.contains(&part)
    }
}

/// The half that needs root.
pub(super) fn run(words: &[&str]) -> Result<()> {
    let wishes = Wishes::read(words)?;
    let binary = product::built()?;
    let mut table = Table::default();
    let load_before = facts::load();
    let bundles = Bundles::make()?;
    let runtimes = if wishes.wants("bundles") || wishes.wants("detached") {
        bundles::runtimes(&binary, &bundles, &mut table)
    } else {
        Vec::new()
    };
    if wishes.wants("bundles") {
        let measured = bundles::run(&runtimes, &bundles, wishes.rounds, &mut table);
        told(&mut table, "bundles", measured);
    }
    if wishes.parts.iter().any(|part| *part != "bundles") {
        let (mut engines, absent) = start::working(&binary)?;
        absent.iter().for_each(|note| table.note(note));
        engine_parts(&wishes, &mut engines, &mut table);
        if wishes.wants("detached") {
            detached::run(&engines, &runtimes, &bundles, &mut table);
        }
        memory_parts(&wishes, &mut engines, &mut table);
        for engine in engines {
            let name = engine.name.clone();
            let stopped = engine.stop();
            told(&mut table, &format!("the end of {name}"), stopped);
        }
    }
    drop(bundles);
    table.print();
    say::line(&format!("\nmachine: {} (at the beginning {load_before})", facts::machine()));
    let versions = ["crun", "runc", "dockerd", "podman"].into_iter().filter_map(facts::version);
    say::line(&format!("beside: {}", versions.collect::<Vec<_>>().join("; ")));
    Ok(())
}

/// What goes through the API.
fn engine_parts(wishes: &Wishes, engines: &mut [Engine], table: &mut Table) {
    if wishes.wants("api") {
        let rounds = if wishes.long { wishes.rounds.max(ROUNDS_LONG) } else { wishes.rounds };
        let measured = api::run(engines, rounds, table);
        told(table, "api", measured);
        if let Some(ours) = engines.first_mut() {
            let counted = api::syncs(ours, table);
            told(table, "syncs", counted);
        }
    }
    if let (true, Some(ours)) = (wishes.wants("users"), engines.first_mut()) {
        let measured = api::users(ours, wishes.rounds, table);
        told(table, "users", measured);
    }
}

/// What is measured of containers that sleep.
fn memory_parts(wishes: &Wishes, engines: &mut [Engine], table: &mut Table) {
    if wishes.wants("sleepers") {
        let measured = sleepers::run(engines, table);
        told(table, "sleepers", measured);
    }
    if let (true, Some(ours)) = (wishes.wants("many"), engines.first_mut()) {
        let measured = sleepers::many(ours, table);
        told(table, "many", measured);
    }
}

/// A part that failed is noted, and the others go on.
fn told(table: &mut Table, part: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        table.note(&format!("{part}: {error:#}"));
    }
}

#[cfg(test)]
mod tests {
    use super::Wishes;

    #[test]
    fn many_are_measured_only_where_they_are_asked_for() {
        let parts = |words: &[&str]| Wishes::read(words).unwrap().parts;
        assert!(!parts(&[]).contains(&"many"));
        assert!(parts(&["--many"]).contains(&"many") && parts(&["--many"]).contains(&"api"));
        assert_eq!(parts(&["many", "7"]), ["many"]);
        assert!(Wishes::read(&["fast"]).is_err());
        assert!(Wishes::read(&["0"]).is_err());
    }
}
