//! `run` of a bundle to its end, by each runtime's own command line, over the floor.
//!
//! A command is measured from before it is started until it was waited for. The bare process is what starting a program costs
//! whoever does it; the floor is measured from within, so that both together are what a command could come down to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::bundle::Bundles;
use super::floor::Floor;
use super::table::{OURS, Table, Unit};
use crate::bench::numbers::milliseconds;
use crate::{say, shell};

/// Rounds that are not counted.
const WARM_UP_ROUNDS: usize = 3;

/// A runtime that is called by its command line, in runc's words.
pub(super) struct Runtime {
    /// What it is called in the tables.
    pub(super) name: &'static str,
    program: PathBuf,
    /// Words before runc's.
    first: &'static [&'static str],
    state: PathBuf,
}

impl Runtime {
    /// Its command line with these words.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.first).arg("--root").arg(&self.state).args(words);
        command.stdin(std::process::Stdio::null()).current_dir("/");
        command
    }

    /// Runs a bundle to its end.
    fn run(&self, bundle: &Path, id: &str) -> Result<()> {
        shell::quietly(&mut self.command(&["run", "--bundle", &bundle.to_string_lossy(), id]))
    }
}

/// Ours and those that are installed, each of which has run one bundle; who did not is noted.
pub(super) fn runtimes(binary: &Path, bundles: &Bundles, table: &mut Table) -> Vec<Runtime> {
    let ours =
        Runtime { name: OURS, program: binary.to_owned(), first: &["runtime"], state: bundles.state(OURS) };
    let mut all = vec![ours];
    for name in ["crun", "runc"] {
        match shell::path_of(name) {
            Some(program) => {
                all.push(Runtime { name, program, first: &[], state: bundles.state(name) });
            }
            None => table.note(&format!("{name} is not installed")),
        }
    }
    all.retain(|runtime| {
        let worked = std::fs::create_dir_all(&runtime.state)
            .context("no folder for its state")
            .and_then(|()| runtime.run(&bundles.ending(), "bocage-bench-first"));
        match worked {
            Ok(()) => true,
            Err(error) if runtime.name == OURS => {
                table.note(&format!("bocage runtime is not built: {error:#}"));
                false
            }
            Err(error) => {
                table.note(&format!("{} does not run the bundle: {error:#}", runtime.name));
                false
            }
        }
    });
    all
}

/// Measures a run on everybody in turn.
pub(super) fn run(runtimes: &[Runtime], bundles: &Bundles, rounds: usize, table: &mut Table) -> Result<()> {
    say::step(&format!("bundles: {rounds} rounds"));
    let mut floor = Floor::start(&bundles.root())?;
    let busybox = bundles.root().join("bin/busybox");
    let bundle = bundles.ending();
    let mut bare: [Vec<f64>; 3] = Default::default();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); runtimes.len()];
    for round in 0..WARM_UP_ROUNDS + rounds {
        let mut seen = Vec::with_capacity(bare.len() + times.len());
        let start = Instant::now();
        shell::quietly(Command::new(&busybox).arg("true"))?;
        seen.push(milliseconds(start));
        seen.push(floor.round(false)?);
        seen.push(floor.round(true)?);
        for runtime in runtimes {
            let start = Instant::now();
            runtime.run(&bundle, &format!("bocage-bench-{round}")).with_context(|| runtime.name)?;
            seen.push(milliseconds(start));
        }
        if round >= WARM_UP_ROUNDS {
            bare.iter_mut().chain(&mut times).zip(seen).for_each(|(times, time)| times.push(time));
        }
    }
    let names = ["a bare process", "floor, the host's network", "floor"];
    let mut lines: Vec<_> = names.map(str::to_owned).into_iter().zip(bare).collect();
    lines.extend(runtimes.iter().map(|runtime| runtime.name.to_owned()).zip(times));
    table.add("run of a bundle, `true`", Unit::Milliseconds, Some("4 ms, 0.7 of crun"), lines);
    Ok(())
}
