//! `cargo xtask bench start`: what it costs to run `true` in a container, ours beside Docker and Podman where they are installed.
//!
//! Each round makes one container on each engine in turn, so that whatever else the machine does falls on all of them alike:
//! create, start, wait, delete, over one kept connection to each engine's API. Network `none`, then `bridge`.
//!
//! Then what stands by costs: memory of the idle daemon and of the helpers of sleeping containers, as proportional set size, in
//! which shared pages are shared out (proc(5), `smaps_rollup`), and syncs to the disk for each round, where strace is installed.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::engine::{self, Engine};
use super::memory::{self, mebibytes};
use super::numbers::{self, median, milliseconds, percentile};
use crate::{images, product, say, shell};

/// The networks that are measured.
const NETWORKS: [&str; 2] = ["none", "bridge"];
/// Rounds for each network, unless told otherwise.
const ROUNDS: usize = 300;
/// Rounds that are not counted: caches fill, pools are made ready.
const WARM_UP_ROUNDS: usize = 5;
/// Containers that sleep while memory is measured.
const SLEEPERS: usize = 20;
/// Rounds whose syncs are counted.
const SYNC_ROUNDS: usize = 20;

/// What the project promises of its own engine on two cores.
const WANTED: &str = "wanted of bocage: medians of at most 15 ms (none) and 25 ms (bridge), a daemon at rest of at most 15 MiB, \
    helpers of at most 0.4 MiB a container";

/// Refuses words that cannot be understood.
pub(super) fn check(words: &[&str]) -> Result<()> {
    rounds(words).map(|_| ())
}

fn rounds(words: &[&str]) -> Result<usize> {
    match words {
        [] => Ok(ROUNDS),
        [count] => count.parse().with_context(|| format!("`{count}` is no number of rounds")),
        _ => bail!("`bench start` takes one word, the number of rounds"),
    }
}

/// The half that needs root.
pub(super) fn run(words: &[&str]) -> Result<()> {
    let rounds = rounds(words)?;
    let (mut engines, absent) = working(&product::built()?)?;
    absent.iter().for_each(|note| say::step(note));
    let names: Vec<&str> = engines.iter().map(|engine| engine.name.as_str()).collect();
    say::line(&format!("engines: {}; {rounds} rounds", names.join(", ")));
    for engine in &engines {
        if let Some(kilobytes) = engine.idle_kilobytes() {
            say::line(&format!("{}: idle, {:.1} MiB", engine.name, mebibytes(kilobytes)));
        }
    }
    for network in NETWORKS {
        compare(&mut engines, network, rounds)?;
    }
    for engine in &mut engines {
        sleepers(engine)?;
        syncs(engine)?;
    }
    say::line(&format!("\n{WANTED}"));
    engines.into_iter().try_for_each(Engine::stop)
}

/// Ours first, then every other engine on which containers work; and of the others, why they are left out.
pub(super) fn working(binary: &Path) -> Result<(Vec<Engine>, Vec<String>)> {
    let archive = images::path("busybox");
    let (mut engines, mut absent) = engine::all(binary)?;
    engines.retain_mut(|engine| match works(engine, &archive) {
        Ok(()) => true,
        Err(error) => {
            absent.push(format!("{} is left out: {error:#}", engine.name));
            false
        }
    });
    if engines.first().is_none_or(|engine| !engine.is_ours()) {
        bail!("our own engine does not work: {}", absent.join("; "));
    }
    Ok((engines, absent))
}

/// Gives an engine the image and makes one container on each network, before anything is measured.
fn works(engine: &mut Engine, archive: &Path) -> Result<()> {
    engine.load(archive)?;
    NETWORKS.iter().try_for_each(|network| {
        one(engine, network).map(|_| ()).with_context(|| format!("network {network}"))
    })
}

/// The rounds on one network, and their figures.
fn compare(engines: &mut [Engine], network: &str, rounds: usize) -> Result<()> {
    let mut times: Vec<Vec<[f64; 4]>> = vec![Vec::new(); engines.len()];
    for round in 0..WARM_UP_ROUNDS + rounds {
        for (engine, times) in engines.iter_mut().zip(&mut times) {
            let time = one(engine, network);
            let time = time.with_context(|| format!("round {round} on {}", engine.name))?;
            if round >= WARM_UP_ROUNDS {
                times.push(time);
            }
        }
    }
    say::line(&format!("\nnetwork {network}: create + start + wait + delete, in ms"));
    let head = ["engine", "median", "p95", "create", "start", "wait", "delete", "ratio"];
    say::line(&format!(
        "{:<10}{}",
        head[0],
        head[1..].iter().map(|word| format!("{word:>9}")).collect::<String>()
    ));
    let mut ours = None;
    for (engine, times) in engines.iter().zip(&times) {
        let totals: Vec<f64> = times.iter().map(|stages| stages.iter().sum()).collect();
        let middle = median(&totals);
        let base = *ours.get_or_insert(middle);
        let mut figures = vec![middle, percentile(&totals, 95)];
        figures.extend(
            (0..4).map(|stage| median(&times.iter().map(|stages| stages[stage]).collect::<Vec<_>>())),
        );
        let cells: String = figures.iter().map(|figure| format!("{figure:>9.2}")).collect();
        say::line(&format!("{:<10}{cells}{:>8.1}x", engine.name, middle / base));
    }
    Ok(())
}

/// One container from its creation to its removal: the milliseconds of the four stages.
pub(super) fn one(engine: &mut Engine, network: &str) -> Result<[f64; 4]> {
    let mut times = [0.0; 4];
    let start = Instant::now();
    let id = engine.line().create(&["true"], network)?;
    times[0] = milliseconds(start);
    let start = Instant::now();
    engine.line().start(&id)?;
    times[1] = milliseconds(start);
    let start = Instant::now();
    let code = engine.line().wait(&id)?;
    times[2] = milliseconds(start);
    let start = Instant::now();
    engine.line().delete(&id)?;
    times[3] = milliseconds(start);
    if code != 0 {
        bail!("`true` ended with {code}");
    }
    Ok(times)
}

/// What the helpers of sleeping containers take.
fn sleepers(engine: &mut Engine) -> Result<()> {
    let before = memory::processes();
    let mut ids = Vec::new();
    for _ in 0..SLEEPERS {
        let id = engine.line().create(&["sleep", "1000"], "bridge")?;
        engine.line().start(&id)?;
        ids.push(id);
    }
    let own = ids.iter().map(|id| engine.line().pid(id)).collect::<Result<Vec<_>>>()?;
    let helpers = memory::helpers(&engine.name, &before, &own);
    let total: u64 = helpers.iter().map(|(_, kilobytes)| kilobytes).sum();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = mebibytes(total) / SLEEPERS as f64;
    let mut kinds: Vec<&str> = helpers.iter().map(|(name, _)| name.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    say::line(&format!(
        "\n{}: {SLEEPERS} sleeping containers: {each:.2} MiB of helpers each ({}: {})",
        engine.name,
        helpers.len(),
        kinds.join(", ")
    ));
    if let Some(kilobytes) = engine.idle_kilobytes() {
        say::line(&format!("{}: the daemon with them, {:.1} MiB", engine.name, mebibytes(kilobytes)));
    }
    ids.iter().try_for_each(|id| engine.remove(id))
}

/// Says how often the daemon waits for the disk, for each round.
fn syncs(engine: &mut Engine) -> Result<()> {
    match syncs_each(engine, "bridge")? {
        Some(each) => {
            say::line(&format!("{}: {each:.1} syncs for each create + start + wait + delete", engine.name));
        }
        None => say::line(&format!("{}: its syncs cannot be counted", engine.name)),
    }
    Ok(())
}

/// How often the daemon waits for the disk, for each round; none where its process or strace is not to be had.
pub(super) fn syncs_each(engine: &mut Engine, network: &str) -> Result<Option<f64>> {
    let Some(pid) = engine.daemon_pid().filter(|_| shell::found("strace")) else { return Ok(None) };
    let trace = numbers::Syncs::start(pid)?;
    for _ in 0..SYNC_ROUNDS {
        one(engine, network)?;
    }
    let count = trace.count()?;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = count as f64 / SYNC_ROUNDS as f64;
    Ok(Some(each))
}
