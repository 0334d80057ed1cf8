//! Fifty containers that stay, eight commands at a time, and the removal of all of them: each by its own command line, as a script
//! on a machine that boots would do it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::bundle::Bundles;
use super::bundles::Runtime;
use super::table::{Table, Unit};
use crate::bench::engine::Engine;
use crate::bench::numbers::milliseconds;
use crate::{say, shell};

/// Containers of one round.
const CONTAINERS: usize = 50;
/// Commands at a time.
pub(super) const AT_A_TIME: usize = 8;
/// Rounds, of which the first is not counted.
const ROUNDS: usize = 4;

/// Whoever starts containers by a command line.
enum Peer<'a> {
    Engine(&'a Engine, &'static str),
    Runtime(&'a Runtime, PathBuf),
}

impl Peer<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Engine(engine, _) => &engine.name,
            Self::Runtime(runtime, _) => runtime.name,
        }
    }

    /// The name of a container of a round.
    fn container(&self, number: usize) -> String {
        format!("bocage-bench-{}-{number}", std::process::id())
    }

    fn start(&self, number: usize) -> Result<()> {
        let name = self.container(number);
        match self {
            Self::Engine(engine, network) => {
                let words =
                    ["run", "-d", "--name", &name, "--network", network, "busybox:latest", "sleep", "100000"];
                shell::quietly(&mut engine.command(&words).context("it has no command line")?)
            }
            // Its container inherits these streams, and what holds a pipe is waited for.
            Self::Runtime(runtime, bundle) => runtime.apart(|| {
                let bundle = bundle.to_string_lossy();
                silently(&mut runtime.command(&["run", "--detach", "--bundle", &bundle, &name]))
            }),
        }
    }

    /// Removes all: in one call where the command line takes many, else as many at a time as they were started.
    fn remove(&self) -> Result<()> {
        match self {
            Self::Engine(engine, _) => {
                let names: Vec<String> = (0..CONTAINERS).map(|number| self.container(number)).collect();
                // Podman alone would wait for each to end by itself.
                let first: &[&str] =
                    if engine.name == "podman" { &["rm", "-f", "-t", "0"] } else { &["rm", "-f"] };
                let words: Vec<&str> =
                    first.iter().copied().chain(names.iter().map(String::as_str)).collect();
                shell::quietly(&mut engine.command(&words).context("it has no command line")?)
            }
            Self::Runtime(runtime, _) => at_a_time(CONTAINERS, |number| {
                runtime
                    .apart(|| silently(&mut runtime.command(&["delete", "--force", &self.container(number)])))
            }),
        }
    }
}

/// Runs a program whose output nobody reads.
fn silently(command: &mut Command) -> Result<()> {
    shell::run(command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()))
}

/// Does so many jobs, [`AT_A_TIME`] at a time; the first failure, after all were tried.
pub(super) fn at_a_time(count: usize, job: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if let Err(error) = job(number)
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().ok().flatten().map_or(Ok(()), Err)
}

/// Everybody in turn: on each network where there is one to choose.
pub(super) fn run(engines: &[Engine], runtimes: &[Runtime], bundles: &Bundles, table: &mut Table) {
    for (network, wanted) in [("none", "0.25 s"), ("bridge", "0.4 s")] {
        let mut peers: Vec<Peer<'_>> = engines.iter().map(|engine| Peer::Engine(engine, network)).collect();
        if network == "none" {
            // Ours is there already, with all that an engine does besides.
            let others = runtimes.iter().filter(|runtime| runtime.name != super::table::OURS);
            peers.extend(others.map(|runtime| Peer::Runtime(runtime, bundles.sleeping())));
        }
        say::step(&format!("{CONTAINERS} detached on network {network}"));
        let (started, removed) = rounds(&peers, table);
        let names = || peers.iter().map(|peer| peer.name().to_owned());
        let what = format!("{CONTAINERS} x run -d, {AT_A_TIME} at a time, network {network}");
        table.add(&what, Unit::Seconds, Some(wanted), names().zip(started).collect());
        let what = format!("rm -f of the {CONTAINERS}, network {network}");
        table.add(&what, Unit::Seconds, Some("0.15 s"), names().zip(removed).collect());
    }
}

/// The seconds of starting and of removing, each by peer. Who fails is noted and does not take part any more.
fn rounds(peers: &[Peer<'_>], table: &mut Table) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let mut started = vec![Vec::new(); peers.len()];
    let mut removed = vec![Vec::new(); peers.len()];
    let mut failed = vec![false; peers.len()];
    for round in 0..ROUNDS {
        for (at, peer) in peers.iter().enumerate().filter(|(at, _)| !failed[*at]).collect::<Vec<_>>() {
            let begin = Instant::now();
            let start = at_a_time(CONTAINERS, |number| peer.start(number));
            let start_time = milliseconds(begin) / 1000.0;
            let begin = Instant::now();
            let removal = peer.remove();
            let removal_time = milliseconds(begin) / 1000.0;
            if let Err(error) = start.and(removal) {
                table.note(&format!("{} does not start {CONTAINERS} detached: {error:#}", peer.name()));
                failed[at] = true;
            } else if round > 0 {
                started[at].push(start_time);
                removed[at].push(removal_time);
            }
        }
    }
    (started, removed)
}
