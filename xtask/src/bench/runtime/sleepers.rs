//! What containers cost while they do nothing: a hundred on every engine, a thousand on ours.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::detached::{AT_A_TIME, at_a_time};
use super::table::{Table, Unit};
use crate::bench::engine::Engine;
use crate::bench::memory::{self, mebibytes};
use crate::bench::numbers::milliseconds;
use crate::{say, shell};

/// Sleepers on every engine.
const SLEEPERS: usize = 100;
/// Sleepers on ours, where many are asked for.
const MANY: usize = 1000;
/// How often the list of many is asked for.
const LISTS: usize = 20;

/// Memory of the helpers and the daemon, with a hundred sleepers on each.
pub(super) fn run(engines: &mut [Engine], table: &mut Table) -> Result<()> {
    let (mut each, mut total) = (Vec::new(), Vec::new());
    for engine in engines {
        say::step(&format!("{SLEEPERS} sleepers on {}", engine.name));
        engine.reconnect()?;
        let before = memory::processes();
        let ids = (0..SLEEPERS).map(|_| sleeper(engine)).collect::<Result<Vec<_>>>()?;
        let memory = takes(engine, &before, &ids)?;
        for id in &ids {
            engine.remove(id)?;
        }
        let helpers: u64 = memory.helpers.iter().sum();
        total.push((engine.name.clone(), vec![mebibytes(helpers + memory.daemon)]));
        each.push((
            engine.name.clone(),
            memory.helpers.iter().map(|kilobytes| mebibytes(*kilobytes)).collect(),
        ));
    }
    let what = format!("one helper of {SLEEPERS} sleepers");
    table.add(&what, Unit::Mebibytes, Some("0.15 MiB"), each);
    table.add(&format!("all helpers and the daemon, {SLEEPERS} sleepers"), Unit::Mebibytes, None, total);
    Ok(())
}

fn sleeper(engine: &mut Engine) -> Result<String> {
    let id = engine.line().create(&["sleep", "100000"], "bridge")?;
    engine.line().start(&id)?;
    Ok(id)
}

/// Proportional set sizes, in KiB.
struct Takes {
    helpers: Vec<u64>,
    daemon: u64,
}

fn takes(engine: &mut Engine, before: &BTreeSet<u32>, ids: &[String]) -> Result<Takes> {
    let own = ids.iter().map(|id| engine.line().pid(id)).collect::<Result<Vec<_>>>()?;
    let helpers = memory::helpers(&engine.name, before, &own);
    let helpers = helpers.into_iter().map(|(_, kilobytes)| kilobytes).collect();
    let daemon = engine.daemon_pid().map_or(0, |pid| memory::daemon_kilobytes(&engine.name, pid));
    Ok(Takes { helpers, daemon })
}

/// A thousand on ours, on each network: up, listed, removed.
pub(super) fn many(engine: &mut Engine, table: &mut Table) -> Result<()> {
    for network in ["none", "bridge"] {
        say::step(&format!("{MANY} sleepers on network {network}"));
        engine.reconnect()?;
        let before = memory::processes();
        let begin = Instant::now();
        let ids = start_many(engine, network)?;
        let up = milliseconds(begin) / 1000.0;
        let memory = takes(engine, &before, &ids)?;
        let mut lists = Vec::with_capacity(LISTS);
        for _ in 0..LISTS {
            let begin = Instant::now();
            shell::quietly(&mut engine.command(&["ps"]).context("it has no command line")?)?;
            lists.push(milliseconds(begin));
        }
        let words: Vec<&str> = ["rm", "-f"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        let begin = Instant::now();
        shell::quietly(&mut engine.command(&words).context("it has no command line")?)?;
        let removed = milliseconds(begin) / 1000.0;

        let mut add = |what: &str, unit, wanted, values| {
            let what = format!("{MANY} sleepers, network {network}: {what}");
            table.add(&what, unit, Some(wanted), vec![(engine.name.clone(), values)]);
        };
        add(&format!("all up, {AT_A_TIME} at a time through the API"), Unit::Seconds, "10 s", vec![up]);
        let kilobytes = memory.helpers.iter().sum::<u64>() + memory.daemon;
        add("helpers and the daemon", Unit::Mebibytes, "200 MiB", vec![mebibytes(kilobytes)]);
        add("the daemon alone", Unit::Mebibytes, "–", vec![mebibytes(memory.daemon)]);
        add("`ps`", Unit::Milliseconds, "50 ms", lists);
        add("`rm -f` of all", Unit::Seconds, "5 s", vec![removed]);
    }
    Ok(())
}

/// Creates and starts them over as many connections as there are threads.
fn start_many(engine: &Engine, network: &str) -> Result<Vec<String>> {
    let spare = (0..AT_A_TIME).map(|_| engine.again()).collect::<Result<Vec<_>>>()?;
    let (spare, ids) = (Mutex::new(spare), Mutex::new(Vec::with_capacity(MANY)));
    let poisoned = "another job failed";
    at_a_time(MANY, |_| {
        // There are as many connections as jobs at a time, unless one broke.
        let taken = spare.lock().ok().context(poisoned)?.pop();
        let mut other = taken.context("no connection is left")?;
        let id = other.create(&["sleep", "100000"], network)?;
        other.start(&id)?;
        ids.lock().ok().context(poisoned)?.push(id);
        spare.lock().ok().context(poisoned)?.push(other);
        Ok(())
    })?;
    ids.into_inner().ok().context(poisoned)
}
