//! The verbs that change a container that runs, and those that look at its processes.

use super::arguments::{Flag, path, text};
use super::report::{json, wants_json};
use super::verbs::{id, layout, more};
use super::{Context, Failure, Outcome};
use clap::ArgMatches;
use runtime::bundle::config::{Pids, Resources};
use runtime::bundle::control;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;

/// The limits of `update`, by runc's names.
pub(super) const UPDATE_FLAGS: &[Flag] = &[
    path('r', "resources", "take all from this file, in the specification's form; `-` is standard input"),
    text("blkio-weight", "share of block devices, 10 to 1000"),
    text("cpu-period", "microseconds of a period"),
    text("cpu-quota", "microseconds of processor time in a period"),
    text("cpu-burst", "microseconds that may be saved up"),
    text("cpu-rt-period", "microseconds of a period of real-time processes"),
    text("cpu-rt-runtime", "microseconds of real-time processes in a period"),
    text("cpu-share", "share of processor time"),
    text("cpu-idle", "1: only when nobody else wants to run"),
    text("cpuset-cpus", "processors, such as 0-2,7"),
    text("cpuset-mems", "memory nodes, such as 0-1"),
    text("memory", "bytes of memory; -1 is unlimited"),
    text("memory-reservation", "bytes that are left to it under pressure"),
    text("memory-swap", "bytes of memory and swap together; -1 is unlimited"),
    text("pids-limit", "processes and threads; -1 is unlimited"),
];

/// Bytes of a description of limits that are read.
const RESOURCES_BYTES_MAX: u64 = 1 << 20;

pub(super) fn update(context: &Context, matches: &ArgMatches) -> Outcome {
    let limits = match matches.get_one::<PathBuf>("resources") {
        Some(path) => read(path)?,
        None => named(matches)?,
    };
    control::update(&context.store, &layout()?, id(matches), &limits)?;
    Ok(0)
}

fn read(path: &PathBuf) -> Result<Resources, Failure> {
    let mut text = Vec::new();
    let source: Result<Box<dyn Read>, std::io::Error> = if path.as_os_str() == "-" {
        Ok(Box::new(std::io::stdin()))
    } else {
        std::fs::File::open(path).map(|file| Box::new(file) as Box<dyn Read>)
    };
    source
        .and_then(|source| source.take(RESOURCES_BYTES_MAX).read_to_end(&mut text))
        .map_err(|error| Failure::new(format!("read {}: {error}", path.display())))?;
    Ok(control::read_limits(&text)?)
}

fn named(matches: &ArgMatches) -> Result<Resources, Failure> {
    let mut limits = Resources::default();
    let (cpu, memory) = (&mut limits.cpu, &mut limits.memory);
    cpu.period = number(matches, "cpu-period")?;
    cpu.quota = number(matches, "cpu-quota")?;
    cpu.burst = number(matches, "cpu-burst")?;
    cpu.realtime_period = number(matches, "cpu-rt-period")?;
    cpu.realtime_runtime = number(matches, "cpu-rt-runtime")?;
    cpu.shares = number(matches, "cpu-share")?;
    cpu.idle = number(matches, "cpu-idle")?;
    cpu.cpus = matches.get_one::<String>("cpuset-cpus").cloned();
    cpu.mems = matches.get_one::<String>("cpuset-mems").cloned();
    memory.limit = number(matches, "memory")?;
    memory.reservation = number(matches, "memory-reservation")?;
    memory.swap = number(matches, "memory-swap")?;
    limits.block_io.weight = number(matches, "blkio-weight")?;
    limits.pids = number(matches, "pids-limit")?.map(|limit| Pids { limit });
    Ok(limits)
}

fn number<T: std::str::FromStr>(matches: &ArgMatches, name: &str) -> Result<Option<T>, Failure> {
    let Some(text) = matches.get_one::<String>(name) else { return Ok(None) };
    let wrong = || Failure::new(format!("--{name}: {text:?} is no number that fits"));
    text.trim().parse().map(Some).map_err(|_| wrong())
}

pub(super) fn pause(context: &Context, matches: &ArgMatches) -> Outcome {
    control::freeze(&context.store, &layout()?, id(matches), true)?;
    Ok(0)
}

pub(super) fn resume(context: &Context, matches: &ArgMatches) -> Outcome {
    control::freeze(&context.store, &layout()?, id(matches), false)?;
    Ok(0)
}

pub(super) fn ps(context: &Context, matches: &ArgMatches) -> Outcome {
    let pids = control::processes(&context.store, &layout()?, id(matches))?;
    if wants_json(matches)? {
        return json(&pids.into());
    }
    let words = more(matches);
    let words = if words.is_empty() { vec!["-ef".to_owned()] } else { words };
    let output = Command::new("ps").args(&words).output();
    let output =
        output.map_err(|error| Failure::new(format!("run ps: {error}; `--format json` does without it")))?;
    if !output.status.success() {
        return Err(Failure::new(format!("ps: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| Failure::new(format!("ps {} shows no PID", words.join(" "))))?;
    cli::print(&format!("{head}\n"));
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            cli::print(&format!("{line}\n"));
        }
    }
    Ok(0)
}

pub(super) fn checkpoint(_: &Context, _: &ArgMatches) -> Outcome {
    Err(Failure::new(
        "checkpoint and restore are not supported: stop the container and start it again, or keep its data in a volume",
    ))
}
