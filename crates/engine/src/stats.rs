//! Figures of a container, and the sample before them, so that a client can make a rate of two counters.
//!
//! The last sample is kept: who asks again within seconds is answered at once. Who asks for the first time waits half a
//! second: a limit of processors is kept in periods of 100 ms, and fewer than five of them say little.

use crate::Shared;
use base::{Chain, Time};
use model::container::NetworkMode;
use model::{ContainerId, ContainerIntent, Phase};
use platform::{Error, NetworkFigures, Stats, ThrottledCpu};
use runtime::cgroup::Block;
use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How far two samples must be apart to make a rate of them.
const APART_MIN: Duration = Duration::from_millis(500);
/// An older sample says nothing about now.
const AGE_MAX: Duration = Duration::from_secs(5);
/// Nanoseconds in one of the ticks that `/proc/stat` counts.
const TICK_NS: u64 = 10_000_000;

/// The last sample of each container.
#[derive(Default)]
pub(crate) struct Samples {
    last: Mutex<BTreeMap<ContainerId, Stats>>,
}

impl Samples {
    fn recent(&self, id: ContainerId, now: Time) -> Option<Stats> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |sample: &&Stats| {
            sample.read.is_some_and(|read| (APART_MIN..=AGE_MAX).contains(&now.since(read)))
        };
        last.get(&id).filter(fits).cloned()
    }

    fn keep(&self, id: ContainerId, sample: Stats) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = sample.read {
            last.retain(|_, old| old.read.is_some_and(|read| now.since(read) <= AGE_MAX));
        }
        last.insert(id, sample);
    }

    pub(crate) fn forget(&self, id: ContainerId) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// The figures now, and those of the sample before.
pub(crate) async fn sample(shared: &Arc<Shared>, name: &str) -> Result<(Stats, Stats), Error> {
    let (id, handle) = shared.registry.find(name)?;
    let snapshot = handle.snapshot();
    let (Phase::Running { pid } | Phase::Paused { pid }) = snapshot.observed.phase else {
        return Ok((Stats::default(), Stats::default()));
    };
    let before = match shared.samples.recent(id, shared.clock.now()) {
        Some(before) => before,
        None => {
            let first = read(shared, &snapshot.intent, pid).await?;
            tokio::time::sleep(APART_MIN).await;
            first
        }
    };
    let now = read(shared, &snapshot.intent, pid).await?;
    shared.samples.keep(id, now.clone());
    Ok((now, before))
}

async fn read(shared: &Arc<Shared>, intent: &Arc<ContainerIntent>, pid: i32) -> Result<Stats, Error> {
    let (shared, intent) = (Arc::clone(shared), Arc::clone(intent));
    let job = tokio::task::spawn_blocking(move || read_now(&shared, &intent, pid));
    job.await.unwrap_or_else(|error| Err(Error::failed(format!("read figures: {error}"))))
}

fn read_now(shared: &Shared, intent: &ContainerIntent, pid: i32) -> Result<Stats, Error> {
    let figures = shared.group(intent).figures().map_err(|error| {
        Error::failed(format!("read the figures of container {}: {}", intent.id.short(), Chain(&error)))
    })?;
    let all = crate::machine::memory_bytes();
    let operations = |read: fn(&Block) -> u64, written: fn(&Block) -> u64| {
        let both = |block: &Block| {
            let of = |operation: &str, count| (block.major, block.minor, operation.to_owned(), count);
            [of("read", read(block)), of("write", written(block))]
        };
        figures.block.iter().flat_map(both).collect()
    };
    Ok(Stats {
        read: Some(shared.clock.now()),
        cpu_total_ns: figures.cpu.total_ns,
        cpu_kernel_ns: figures.cpu.system_ns,
        cpu_user_ns: figures.cpu.user_ns,
        system_cpu_ns: system_cpu_ns(),
        online_cpus: crate::machine::cpus(),
        throttled: ThrottledCpu {
            periods: figures.cpu.periods,
            throttled_periods: figures.cpu.throttled_periods,
            throttled_ns: figures.cpu.throttled_ns,
        },
        memory_bytes: figures.memory.usage,
        memory_max_bytes: figures.memory.usage_max,
        memory_limit_bytes: figures.memory.limit.filter(|limit| *limit < all).unwrap_or(all),
        memory_fail_count: figures.memory.limit_hits,
        memory_details: figures.memory.details.clone().into_iter().collect(),
        pids: figures.pids,
        pids_limit: figures.pids_limit,
        block_bytes: operations(|block| block.read_bytes, |block| block.written_bytes),
        block_operations: operations(|block| block.reads, |block| block.writes),
        networks: networks(&intent.spec.network, pid),
        cgroup_v2: !shared.host.layout().is_v1(),
    })
}

/// CPU time of the whole machine, idle time included, as Docker counts it: the first eight figures of proc_stat(5).
fn system_cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    first.split_whitespace().skip(1).take(8).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>()
        * TICK_NS
}

/// The interfaces' counters, as its own process sees them: proc_pid_net(5).
fn networks(mode: &NetworkMode, pid: i32) -> Vec<(String, NetworkFigures)> {
    if matches!(mode, NetworkMode::Host | NetworkMode::None) {
        return Vec::new();
    }
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let lines = text.lines().skip(2).filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters.split_whitespace().filter_map(|count| count.parse().ok()).collect();
        let at = |index: usize| counters.get(index).copied().unwrap_or(0);
        let figures = NetworkFigures {
            rx_bytes: at(0),
            rx_packets: at(1),
            rx_errors: at(2),
            rx_dropped: at(3),
            tx_bytes: at(8),
            tx_packets: at(9),
            tx_errors: at(10),
            tx_dropped: at(11),
        };
        Some((name.trim().to_owned(), figures))
    });
    lines.filter(|(name, _)| name != "lo").collect()
}
