//! Through the API, over one kept connection: a container's whole life, and one more process in a container that runs.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::table::{Table, Unit};
use crate::bench::engine::Engine;
use crate::bench::numbers::milliseconds;
use crate::bench::start;
use crate::say;

/// Rounds that are not counted.
const WARM_UP_ROUNDS: usize = 5;
/// Ours takes more turns than this only beside nobody.
pub(super) const ROUNDS_OF_OTHERS_MAX: usize = 100;

/// Create, start, wait and delete, and an exec beside them, in turn on every engine and network.
pub(super) fn run(engines: &mut [Engine], rounds: usize, table: &mut Table) -> Result<()> {
    for (network, wanted) in [("none", "5 ms"), ("bridge", "8 ms")] {
        say::step(&format!("lives on network {network}: {rounds} rounds"));
        let mut sleepers = Vec::new();
        for engine in engines.iter_mut() {
            let id = engine.line().create(&["sleep", "100000"], network)?;
            engine.line().start(&id)?;
            sleepers.push(id);
        }
        let measured = both(engines, &sleepers, network, rounds);
        // They are taken away whatever happened.
        for (engine, id) in engines.iter_mut().zip(&sleepers) {
            engine.remove(id)?;
        }
        let (lives, stages, execs) = measured?;
        let names = || engines.iter().map(|engine| engine.name.clone());
        let life = format!("create + start + wait + delete, network {network}");
        table.add(&life, Unit::Milliseconds, Some(wanted), names().zip(lives).collect());
        for (stage, times) in ["create", "start", "wait", "delete"].iter().zip(stages) {
            let what = format!("  of which {stage}, network {network}");
            table.add(&what, Unit::Milliseconds, None, names().zip(times).collect());
        }
        let exec = format!("exec: create + start + end, network {network}");
        table.add(&exec, Unit::Milliseconds, Some("3 ms"), names().zip(execs).collect());
    }
    Ok(())
}

/// How often our daemon waits for the disk in one life. The others are left alone: traced, they take minutes.
pub(super) fn syncs(engine: &mut Engine, table: &mut Table) -> Result<()> {
    let each = start::syncs_each(engine, "bridge")?;
    let lines = vec![(engine.name.clone(), each.into_iter().collect())];
    table.add("syncs of the daemon in one life, network bridge", Unit::Count, None, lines);
    Ok(())
}

/// The figures of one network: whole lives, their four stages, execs; each by engine.
type Measured = (Vec<Vec<f64>>, [Vec<Vec<f64>>; 4], Vec<Vec<f64>>);

fn both(engines: &mut [Engine], sleepers: &[String], network: &str, rounds: usize) -> Result<Measured> {
    let empty = || vec![Vec::new(); engines.len()];
    let (mut lives, mut stages, mut execs) = (empty(), [empty(), empty(), empty(), empty()], empty());
    for round in 0..WARM_UP_ROUNDS + rounds {
        for (at, engine) in engines.iter_mut().enumerate() {
            if round >= WARM_UP_ROUNDS + ROUNDS_OF_OTHERS_MAX && !engine.is_ours() {
                continue;
            }
            let told = |engine: &Engine| format!("round {round} on {}", engine.name);
            let life = start::one(engine, network).with_context(|| told(engine))?;
            let begin = Instant::now();
            engine.exec(&sleepers[at], &["true"]).with_context(|| told(engine))?;
            let exec = milliseconds(begin);
            if round >= WARM_UP_ROUNDS {
                lives[at].push(life.iter().sum());
                stages.iter_mut().zip(life).for_each(|(times, time)| times[at].push(time));
                execs[at].push(exec);
            }
        }
    }
    Ok((lives, stages, execs))
}

/// What a user namespace of its own costs a container's life.
pub(super) fn users(engine: &mut Engine, rounds: usize, table: &mut Table) -> Result<()> {
    let host = [
        ("none, the host's users", json!({ "NetworkMode": "none", "UsernsMode": "host" })),
        ("none, users of its own", json!({ "NetworkMode": "none", "UsernsMode": "auto" })),
        ("bridge, the host's users", json!({ "NetworkMode": "bridge", "UsernsMode": "host" })),
        ("bridge, users of its own", json!({ "NetworkMode": "bridge", "UsernsMode": "auto" })),
    ];
    let mut times = [(); 4].map(|()| Vec::new());
    for round in 0..WARM_UP_ROUNDS + rounds {
        for ((_, host), times) in host.iter().zip(&mut times) {
            match life(engine, host) {
                Ok(time) if round >= WARM_UP_ROUNDS => times.push(time),
                Ok(_) => {}
                Err(error) => {
                    table.note(&format!("user namespaces are not built: {error:#}"));
                    return Ok(());
                }
            }
        }
    }
    let lines = host.iter().map(|(name, _)| (*name).to_owned()).zip(times).collect();
    table.add("create + start + wait + delete, by network and users", Unit::Milliseconds, None, lines);
    Ok(())
}

fn life(engine: &mut Engine, host: &Value) -> Result<f64> {
    let begin = Instant::now();
    let id = engine.line().create_with(&["true"], host)?;
    engine.line().start(&id)?;
    engine.line().wait(&id)?;
    engine.line().delete(&id)?;
    Ok(milliseconds(begin))
}
