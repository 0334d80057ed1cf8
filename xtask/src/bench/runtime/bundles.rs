//! `run` of a bundle to its end, by each runtime's own command line, over the floor.
//!
//! A command is measured from before it is started until it was waited for. The bare process is what starting a program costs
//! whoever does it; the floor is measured from within, so that both together are what a command could come down to.
//!
//! crun refuses a machine that has v2 with controllers beside v1. There it is started among mounts without v2, which are made for each
//! call before its time begins; it then joins one hierarchy fewer than the others.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ::runtime::cgroup::Layout;
use anyhow::{Context as _, Result, bail};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use sys::process::NewNamespaces;

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
    /// What is not mounted where it runs.
    hidden: Option<PathBuf>,
}

impl Runtime {
    /// Its command line with these words.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.first).arg("--root").arg(&self.state).args(words);
        command.stdin(std::process::Stdio::null()).current_dir("/");
        command
    }

    /// Does something where the runtime can be: on a thread with mounts of its own if something must be hidden from it.
    pub(super) fn apart<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let Some(hidden) = &self.hidden else { return act() };
        let there = || {
            // Of a thread alone: what it starts has its mounts, and nothing else of this process.
            sys::process::unshare(NewNamespaces::MOUNT).context("no mounts of its own")?;
            rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
                .context("the mounts cannot be made private")?;
            rustix::mount::unmount(hidden, UnmountFlags::DETACH)
                .with_context(|| format!("{} cannot be hidden", hidden.display()))?;
            act()
        };
        std::thread::scope(|scope| scope.spawn(there).join()).unwrap_or_else(|_| bail!("a thread failed"))
    }

    /// Runs a bundle to its end, and says in how many milliseconds.
    fn run(&self, bundle: &Path, id: &str) -> Result<f64> {
        self.apart(|| {
            let begin = Instant::now();
            shell::quietly(&mut self.command(&["run", "--bundle", &bundle.to_string_lossy(), id]))?;
            Ok(milliseconds(begin))
        })
    }

    /// Runs one bundle, hiding v2 where it does not work with it. The answer is what there is to say about that.
    fn try_out(&mut self, bundle: &Path) -> Result<Option<String>> {
        std::fs::create_dir_all(&self.state).context("there is no folder for its state")?;
        let Err(error) = self.run(bundle, "bocage-bench-first") else { return Ok(None) };
        let layout = Layout::detect().context("the control groups cannot be found")?;
        if self.name == OURS || !layout.is_v1() || layout.unified.is_none() {
            return Err(error);
        }
        self.hidden = layout.unified;
        self.run(bundle, "bocage-bench-first")?;
        Ok(Some(format!("{} refuses v2 beside v1 and runs where v2 is hidden from it", self.name)))
    }
}

/// Ours and those that are installed, each of which has run one bundle; who did not is noted.
pub(super) fn runtimes(binary: &Path, bundles: &Bundles, table: &mut Table) -> Vec<Runtime> {
    let programs = [
        (OURS, Some(binary.to_owned()), ["runtime"].as_slice()),
        ("crun", shell::path_of("crun"), &[]),
        ("runc", shell::path_of("runc"), &[]),
    ];
    let mut all = Vec::new();
    for (name, program, first) in programs {
        let Some(program) = program else {
            table.note(&format!("{name} is not installed"));
            continue;
        };
        let mut runtime = Runtime { name, program, first, state: bundles.state(name), hidden: None };
        match runtime.try_out(&bundles.ending()) {
            Ok(note) => {
                note.iter().for_each(|note| table.note(note));
                all.push(runtime);
            }
            Err(error) if name == OURS => {
                table.note(&format!("`bocage runtime` is not built: {}", said(&error)));
            }
            Err(error) => table.note(&format!("{name} does not run the bundle: {}", said(&error))),
        }
    }
    all
}

/// What a program that failed said first, which stands below how it was run.
fn said(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().nth(1).unwrap_or(&text).to_owned()
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
            let time = runtime.run(&bundle, &format!("bocage-bench-{round}"));
            seen.push(time.with_context(|| runtime.name)?);
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
