//! The processes of a container as ps(1) shows them.
//!
//! The usual question, `ps -ef`, is answered from `/proc` without running a program; any other is put to the host's `ps`,
//! whose rows are then picked by process id.

use platform::{Error, ProcessTable};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

/// The columns of `ps -ef`.
const TITLES: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];

/// What `/proc/PID/stat` says, proc_pid_stat(5).
struct Stat {
    command: String,
    parent: i32,
    terminal: i64,
    ticks: u64,
    started_ticks: u64,
}

/// The table for these processes.
pub(crate) fn table(pids: &[i32], ps_args: &str, now: base::Time) -> Result<ProcessTable, Error> {
    let asked = ps_args.trim();
    if matches!(asked, "" | "-ef") { Ok(own(pids, now)) } else { foreign(pids, asked) }
}

fn own(pids: &[i32], now: base::Time) -> ProcessTable {
    let users = users();
    let boot = boot_time();
    let rows = pids.iter().filter_map(|&pid| {
        let stat = stat(pid)?;
        let started = boot + stat.started_ticks / ticks_per_second();
        let seconds = stat.ticks / ticks_per_second();
        let lived = (now.unix_seconds().max(0) as u64).saturating_sub(started).max(1);
        Some(vec![
            owner(pid, &users),
            pid.to_string(),
            stat.parent.to_string(),
            (seconds * 100 / lived).min(99).to_string(),
            start_time(started, now),
            terminal(stat.terminal),
            format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
            command_line(pid).unwrap_or_else(|| format!("[{}]", stat.command)),
        ])
    });
    ProcessTable { rows: rows.collect(), titles: TITLES.map(str::to_owned).to_vec() }
}

/// The clock ticks in which `/proc` counts: fixed at 100 on the architectures we run on.
const fn ticks_per_second() -> u64 {
    100
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may contain any of them itself.
    let (open, close) = (text.find('(')?, text.rfind(')')?);
    let fields: Vec<&str> = text.get(close + 2..)?.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        command: text.get(open + 1..close)?.to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        terminal: fields.get(4)?.parse().ok()?,
        ticks: number(11)? + number(12)?,
        started_ticks: number(19)?,
    })
}

fn boot_time() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0)
}

fn users() -> BTreeMap<u32, String> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entries = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    });
    entries.collect()
}

fn owner(pid: i32, users: &BTreeMap<u32, String>) -> String {
    use std::os::unix::fs::MetadataExt;
    let uid = fs::metadata(format!("/proc/{pid}")).map_or(0, |metadata| metadata.uid());
    users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
}

fn terminal(number: i64) -> String {
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
    match (number, major) {
        (0, _) => "?".to_owned(),
        (_, 136..=143) => format!("pts/{}", minor + (major - 136) * 256),
        _ => format!("tty{minor}"),
    }
}

/// `HH:MM` of today, `MonDD` before.
fn start_time(started: u64, now: base::Time) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let at = base::Time::from_unix_seconds(started as i64);
    let (_, month, day, hour, minute, _) = at.civil();
    if at.unix_seconds().div_euclid(86_400) == now.unix_seconds().div_euclid(86_400) {
        format!("{hour:02}:{minute:02}")
    } else {
        format!("{}{day:02}", MONTHS[(month as usize).saturating_sub(1).min(11)])
    }
}

fn command_line(pid: i32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let text = words.join(" ").trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

fn foreign(pids: &[i32], args: &str) -> Result<ProcessTable, Error> {
    let output = Command::new("ps").args(args.split_whitespace()).output().map_err(|error| {
        Error::failed(format!(
            "run the host's ps (from the package procps) for the columns {args:?}: {error}"
        ))
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::invalid(format!("ps {args}: {}", said.trim())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles.iter().position(|title| title == "PID").ok_or_else(|| {
        Error::invalid(format!("Couldn't find PID field in ps output: ps {args} does not show process ids"))
    })?;
    let wanted: BTreeSet<String> = pids.iter().map(i32::to_string).collect();
    let rows = lines.filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !wanted.contains(*words.get(column)?) {
            return None;
        }
        let (plain, rest) = words.split_at((titles.len() - 1).min(words.len()));
        Some(plain.iter().map(|word| (*word).to_owned()).chain([rest.join(" ")]).collect())
    });
    Ok(ProcessTable { rows: rows.collect(), titles })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_is_shown_with_its_command() {
        let pid = std::process::id() as i32;
        let table = table(&[pid], "-ef", base::Clock::system().now()).unwrap();
        assert_eq!(table.titles, TITLES);
        assert_eq!(table.rows[0][1], pid.to_string());
        assert!(table.rows[0][7].contains("engine"), "{table:?}");
    }

    #[test]
    fn terminals_are_named_as_the_kernel_numbers_them() {
        assert_eq!(terminal(0), "?");
        assert_eq!(terminal((136 << 8) | 5), "pts/5");
    }
}
