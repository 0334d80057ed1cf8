//! What the verbs print, and where errors go.

use super::verbs::{id, layout};
use super::{Context, Failure, Outcome};
use base::Time;
use clap::ArgMatches;
use runtime::bundle::state::Status;
use runtime::bundle::{control, features as bundle};
use runtime::cgroup::Figures;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Between two lines of `events`.
const INTERVAL: Duration = Duration::from_secs(5);

/// Where errors go: to standard error, and to the file that engines read them from.
pub(super) struct Journal {
    file: Option<PathBuf>,
    is_json: bool,
}

impl Journal {
    pub(super) fn new(matches: &ArgMatches) -> Journal {
        Journal {
            file: matches.get_one::<PathBuf>("log").cloned(),
            is_json: matches.get_one::<String>("log-format").is_some_and(|format| format == "json"),
        }
    }

    /// Tells an error.
    pub(super) fn error(&self, message: &str) {
        // Engines and suites look for the word.
        cli::print_error(&format!("runtime error: {message}"));
        let Some(path) = &self.file else { return };
        let now: Time = base::Clock::system().now();
        let line = if self.is_json {
            json!({ "level": "error", "msg": message, "time": now.to_string() }).to_string()
        } else {
            format!("time=\"{now}\" level=error msg={message:?}")
        };
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
        if let Err(error) = opened.and_then(|mut file| writeln!(file, "{line}")) {
            cli::print_error(&format!("write to {}: {error}", path.display()));
        }
    }
}

/// Prints a value as people read JSON.
pub(super) fn json(value: &Value) -> Outcome {
    let text = serde_json::to_string_pretty(value)?;
    cli::print(&(text + "\n"));
    Ok(0)
}

/// A format that is asked for: whether it is JSON.
pub(super) fn wants_json(matches: &ArgMatches) -> Result<bool, Failure> {
    match matches.get_one::<String>("format").map_or("table", String::as_str) {
        "table" => Ok(false),
        "json" => Ok(true),
        other => Err(Failure::new(format!("--format: {other:?} is neither table nor json"))),
    }
}

pub(super) fn list(context: &Context, matches: &ArgMatches) -> Outcome {
    let layout = layout()?;
    let mut all = Vec::new();
    for record in context.store.list()? {
        let status = context.store.status(&record, &layout)?;
        all.push((record, status));
    }
    if matches.get_flag("quiet") {
        all.iter().for_each(|(record, _)| cli::print(&format!("{}\n", record.id)));
        return Ok(0);
    }
    if wants_json(matches)? {
        return json(&all.iter().map(|(record, status)| record.state(*status)).collect());
    }
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    for (record, status) in &all {
        let state = record.state(*status);
        let field = |name: &str| state[name].as_str().map_or_else(|| state[name].to_string(), str::to_owned);
        rows.push(["id", "pid", "status", "bundle", "created", "owner"].map(field));
    }
    cli::print(&table(&rows));
    Ok(0)
}

/// Columns under each other, as runc has them.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

pub(super) fn features(_: &Context, _: &ArgMatches) -> Outcome {
    json(&bundle::features())
}

pub(super) fn spec(_: &Context, matches: &ArgMatches) -> Outcome {
    let bundle = matches.get_one::<PathBuf>("bundle").cloned().unwrap_or_else(|| PathBuf::from("."));
    let path = bundle.join("config.json");
    let mut config = bundle::example();
    if matches.get_flag("rootless") {
        let own = |number: u32| json!([{ "containerID": 0, "hostID": number, "size": 1 }]);
        config["linux"]["uidMappings"] = own(rustix::process::getuid().as_raw());
        config["linux"]["gidMappings"] = own(rustix::process::getgid().as_raw());
        if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
            namespaces.push(json!({ "type": "user" }));
        }
    }
    let text = serde_json::to_string_pretty(&config)? + "\n";
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    match opened.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Failure::new(format!("{} exists already: remove it first", path.display())))
        }
        Err(error) => Err(Failure::new(format!("write {}: {error}", path.display()))),
    }
}

pub(super) fn events(context: &Context, matches: &ArgMatches) -> Outcome {
    let interval = match matches.get_one::<String>("interval") {
        None => INTERVAL,
        Some(text) => duration(text)?,
    };
    let layout = layout()?;
    loop {
        let figures = control::figures(&context.store, &layout, id(matches))?;
        let line = json!({ "type": "stats", "id": id(matches), "data": data(&figures) });
        cli::print(&format!("{line}\n"));
        if matches.get_flag("stats") {
            return Ok(0);
        }
        std::thread::sleep(interval);
        let (_, status) = control::look(&context.store, &layout, id(matches))?;
        if status == Status::Stopped {
            return Ok(0);
        }
    }
}

/// A time such as `5s` or `100ms`.
fn duration(text: &str) -> Result<Duration, Failure> {
    let wrong = || Failure::new(format!("--interval: {text:?} is no time such as 5s, 100ms or 1m"));
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().map_err(|_| wrong())?;
    let time = match &text[end..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err(wrong()),
    };
    if time.is_zero() { Err(wrong()) } else { Ok(time) }
}

/// The figures in runc's form.
fn data(figures: &Figures) -> Value {
    let Figures { cpu, memory, pids, pids_limit, block } = figures;
    let entry = |op: &str, value: u64, device: &runtime::cgroup::Block| json!({ "major": device.major, "minor": device.minor, "op": op, "value": value });
    let bytes: Vec<Value> = block
        .iter()
        .flat_map(|one| [entry("Read", one.read_bytes, one), entry("Write", one.written_bytes, one)])
        .collect();
    let operations: Vec<Value> = block
        .iter()
        .flat_map(|one| [entry("Read", one.reads, one), entry("Write", one.writes, one)])
        .collect();
    json!({
        "cpu": {
            "usage": {
                "total": cpu.total_ns, "percpu": cpu.each_ns, "kernel": cpu.system_ns, "user": cpu.user_ns,
            },
            "throttling": {
                "periods": cpu.periods, "throttledPeriods": cpu.throttled_periods,
                "throttledTime": cpu.throttled_ns,
            },
        },
        "memory": {
            "usage": {
                "limit": memory.limit.unwrap_or(u64::MAX), "usage": memory.usage, "max": memory.usage_max,
                "failcnt": memory.limit_hits,
            },
            "raw": memory.details,
        },
        "pids": { "current": pids, "limit": pids_limit.unwrap_or(0) },
        "blkio": { "ioServiceBytesRecursive": bytes, "ioServicedRecursive": operations },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("100ms").ok(), Some(Duration::from_millis(100)));
        for wrong in ["", "5", "0s", "-1s", "5h5"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [["ID", "PID"].map(str::to_owned), ["longer", "1"].map(str::to_owned)];
        assert_eq!(table(&rows), "ID       PID\nlonger   1\n");
    }
}
