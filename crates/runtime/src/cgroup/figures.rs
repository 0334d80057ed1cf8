//! What the kernel counts for a group, in one unit for both versions: nanoseconds, bytes, processes.

use super::{Error, Group, read_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// v2 counts time in microseconds.
const NANOS_PER_MICRO: u64 = 1_000;
/// v1 counts user and system time in ticks; `USER_HZ` is 100 on every architecture that is built for.
const NANOS_PER_TICK: u64 = 10_000_000;
/// v1 writes "no limit" as the largest multiple of a page; anything near it means unlimited.
const UNLIMITED_V1: u64 = i64::MAX as u64 & !0xffff;

/// The figures of one group at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Processor time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Processes and threads now.
    pub pids: u64,
    /// How many there may be; none for unlimited.
    pub pids_limit: Option<u64>,
    /// Bytes and operations by block device.
    pub block: Vec<Block>,
}

/// Processor time, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// All of it.
    pub total_ns: u64,
    /// In programs.
    pub user_ns: u64,
    /// In the kernel.
    pub system_ns: u64,
    /// On each processor, where it is counted (v1).
    pub each_ns: Vec<u64>,
    /// Periods in which the quota was looked at.
    pub periods: u64,
    /// Periods in which it was used up.
    pub throttled_periods: u64,
    /// Time for which processes had to wait because of it.
    pub throttled_ns: u64,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Used, page cache included.
    pub usage: u64,
    /// The most that was ever used, where it is counted.
    pub usage_max: u64,
    /// How often the limit was hit.
    pub limit_hits: u64,
    /// The limit; none for unlimited.
    pub limit: Option<u64>,
    /// The kernel's own details, by its names (`inactive_file`, `total_inactive_file` …).
    pub details: BTreeMap<String, u64>,
}

impl Memory {
    /// What `docker stats` shows: usage without the cache that can be dropped at once.
    pub fn working_set(&self) -> u64 {
        let cache = self.details.get("total_inactive_file").or_else(|| self.details.get("inactive_file"));
        self.usage.saturating_sub(cache.copied().unwrap_or(0))
    }
}

/// Traffic of one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The device's major number.
    pub major: u64,
    /// Its minor number.
    pub minor: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Read operations.
    pub reads: u64,
    /// Write operations.
    pub writes: u64,
}

impl Group {
    /// Reads all figures. A controller that is absent leaves its figures at zero.
    ///
    /// # Errors
    /// Where a file that is there cannot be read.
    pub fn figures(&self) -> Result<Figures, Error> {
        if self.layout.is_v1() { self.figures_v1() } else { self.figures_v2() }
    }

    /// How many processes of the group were killed because memory ran out.
    ///
    /// # Errors
    /// Where the counter is there and cannot be read.
    pub fn out_of_memory_kills(&self) -> Result<u64, Error> {
        let file = if self.layout.is_v1() { "memory.oom_control" } else { "memory.events" };
        let Some(directory) = self.directory("memory") else { return Ok(0) };
        Ok(pairs(&read_text(&directory.join(file))?).get("oom_kill").copied().unwrap_or(0))
    }

    fn text(&self, controller: &str, file: &str) -> Result<String, Error> {
        self.directory(controller).map_or(Ok(String::new()), |path| read_text(&path.join(file)))
    }

    fn number(&self, controller: &str, file: &str) -> Result<u64, Error> {
        Ok(self.text(controller, file)?.trim().parse().unwrap_or(0))
    }

    fn figures_v1(&self) -> Result<Figures, Error> {
        let ticks = pairs(&self.text("cpuacct", "cpuacct.stat")?);
        let quota = pairs(&self.text("cpu", "cpu.stat")?);
        let each = self.text("cpuacct", "cpuacct.usage_percpu")?;
        let of = |map: &BTreeMap<String, u64>, key: &str| map.get(key).copied().unwrap_or(0);
        let limit = self.number("memory", "memory.limit_in_bytes")?;
        Ok(Figures {
            cpu: Cpu {
                total_ns: self.number("cpuacct", "cpuacct.usage")?,
                user_ns: of(&ticks, "user") * NANOS_PER_TICK,
                system_ns: of(&ticks, "system") * NANOS_PER_TICK,
                each_ns: each.split_whitespace().filter_map(|word| word.parse().ok()).collect(),
                periods: of(&quota, "nr_periods"),
                throttled_periods: of(&quota, "nr_throttled"),
                throttled_ns: of(&quota, "throttled_time"),
            },
            memory: Memory {
                usage: self.number("memory", "memory.usage_in_bytes")?,
                usage_max: self.number("memory", "memory.max_usage_in_bytes")?,
                limit_hits: self.number("memory", "memory.failcnt")?,
                limit: (limit != 0 && limit < UNLIMITED_V1).then_some(limit),
                details: pairs(&self.text("memory", "memory.stat")?),
            },
            pids: self.number("pids", "pids.current")?,
            pids_limit: self.text("pids", "pids.max")?.trim().parse().ok(),
            block: blocks_v1(
                &self.text("blkio", "blkio.throttle.io_service_bytes")?,
                &self.text("blkio", "blkio.throttle.io_serviced")?,
            ),
        })
    }

    fn figures_v2(&self) -> Result<Figures, Error> {
        let time = pairs(&self.text("cpu", "cpu.stat")?);
        let of = |key: &str| time.get(key).copied().unwrap_or(0);
        let events = pairs(&self.text("memory", "memory.events")?);
        Ok(Figures {
            cpu: Cpu {
                total_ns: of("usage_usec") * NANOS_PER_MICRO,
                user_ns: of("user_usec") * NANOS_PER_MICRO,
                system_ns: of("system_usec") * NANOS_PER_MICRO,
                each_ns: Vec::new(),
                periods: of("nr_periods"),
                throttled_periods: of("nr_throttled"),
                throttled_ns: of("throttled_usec") * NANOS_PER_MICRO,
            },
            memory: Memory {
                usage: self.number("memory", "memory.current")?,
                usage_max: self.number("memory", "memory.peak")?,
                limit_hits: events.get("max").copied().unwrap_or(0),
                limit: self.text("memory", "memory.max")?.trim().parse().ok(),
                details: pairs(&self.text("memory", "memory.stat")?),
            },
            pids: self.number("pids", "pids.current")?,
            pids_limit: self.text("pids", "pids.max")?.trim().parse().ok(),
            block: blocks_v2(&self.text("io", "io.stat")?),
        })
    }
}

/// Lines of a name and a number.
fn pairs(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?)))
        .collect()
}

/// `8:0 Read 4096`, one file for bytes and one for operations.
fn blocks_v1(bytes: &str, operations: &str) -> Vec<Block> {
    let mut found: BTreeMap<(u64, u64), Block> = BTreeMap::new();
    for (text, is_bytes) in [(bytes, true), (operations, false)] {
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(device), Some(what), Some(value)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let (Some((major, minor)), Ok(value)) = (device_numbers(device), value.parse()) else { continue };
            let block = found.entry((major, minor)).or_insert(Block { major, minor, ..Block::default() });
            match (what, is_bytes) {
                ("Read", true) => block.read_bytes = value,
                ("Write", true) => block.written_bytes = value,
                ("Read", false) => block.reads = value,
                ("Write", false) => block.writes = value,
                _ => {}
            }
        }
    }
    found.into_values().collect()
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`.
fn blocks_v2(text: &str) -> Vec<Block> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (major, minor) = device_numbers(words.next()?)?;
            let mut block = Block { major, minor, ..Block::default() };
            for (key, value) in words.filter_map(|word| word.split_once('=')) {
                let value = value.parse().ok()?;
                match key {
                    "rbytes" => block.read_bytes = value,
                    "wbytes" => block.written_bytes = value,
                    "rios" => block.reads = value,
                    "wios" => block.writes = value,
                    _ => {}
                }
            }
            Some(block)
        })
        .collect()
}

fn device_numbers(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_say_the_same_about_a_block_device() {
        let one = blocks_v1(
            "8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\nTotal 4608\n",
            "8:0 Read 1\n8:0 Write 2\nTotal 3\n",
        );
        let two = blocks_v2("8:0 rbytes=4096 wbytes=512 rios=1 wios=2 dbytes=0 dios=0\n");
        assert_eq!(one, two);
        assert_eq!(one[0].written_bytes, 512);
    }

    #[test]
    fn the_working_set_leaves_out_inactive_cache() {
        let memory = Memory {
            usage: 100,
            details: BTreeMap::from([("inactive_file".to_owned(), 30)]),
            ..Memory::default()
        };
        assert_eq!(memory.working_set(), 70);
    }
}
