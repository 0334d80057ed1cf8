//! Ten thousand published ports, on every address of both families: what the process that carries them takes, and whether
//! one port more costs what it cost before.

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::super::engine::Engine;
use super::super::memory::{self, mebibytes};
use super::super::numbers::{median, milliseconds};
use crate::say;

/// The ports.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 10_000;
/// The port of the containers that come and go beside them.
const ONE_PORT: u16 = 9_999;
/// How many of them.
const STARTS: usize = 30;

/// The figures of our own engine.
pub(super) fn measure(engine: &mut Engine) -> Result<()> {
    let daemon = engine.daemon_pid().context("our daemon's process is not known")?;
    say::line(&format!("\nports: {PORTS} on every address"));
    let without = starts(engine, &published(ONE_PORT, 1))?;
    // The first port of the daemon has started the process.
    let before = edge(daemon).context("no edge process is there")?;
    let processes = memory::processes();
    let id = engine.line().create_with(&["sleep", "10000"], &published(FIRST_PORT, PORTS))?;
    let start = Instant::now();
    engine.line().start(&id)?;
    let all = milliseconds(start);
    let pid = engine.line().pid(&id)?;
    let new = memory::helpers("bocage", &processes, &[pid]);
    let with = starts(engine, &published(ONE_PORT, 1))?;
    let now = edge(daemon).context("no edge process is there")?;
    say::line(&format!(
        "start of a container with one port, in ms: {without:.2} alone, {with:.2} beside {PORTS} others"
    ));
    say::line(&format!(
        "start of the container with {PORTS} ports, in ms: {all:.0}; new processes: {} (its shim)",
        new.len()
    ));
    for (when, edge) in [("with one port", before), ("with all of them", now)] {
        let (kilobytes, descriptors) = edge;
        say::line(&format!(
            "edge process {when}: {:.1} MiB, {descriptors} descriptors",
            mebibytes(kilobytes)
        ));
    }
    engine.remove(&id)
}

/// The settings of a container with so many ports, each published under its own number.
fn published(first: u16, count: u16) -> Value {
    let ports =
        (first..first + count).map(|port| (format!("{port}/tcp"), json!([{ "HostPort": port.to_string() }])));
    json!({ "NetworkMode": "bridge", "PortBindings": ports.collect::<Map<_, _>>() })
}

/// The median time that such a container's start takes.
fn starts(engine: &mut Engine, settings: &Value) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let id = engine.line().create_with(&["sleep", "10000"], settings)?;
        let start = Instant::now();
        engine.line().start(&id)?;
        times.push(milliseconds(start));
        engine.remove(&id)?;
    }
    Ok(median(&times))
}

/// What the edge process of a daemon takes: KiB and descriptors.
fn edge(daemon: u32) -> Option<(u64, usize)> {
    let is_edge = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        memory::parent(*pid) == Some(daemon) && words.split(|byte| *byte == 0).nth(1) == Some(b"edge")
    };
    let pid = memory::processes().into_iter().find(is_edge)?;
    Some((memory::kilobytes(pid)?, fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()))
}
