//! Figures of a running container, once or each second.

use crate::body::Body;
use crate::server::{Answer, Call, json_line, typed};
use crate::wire::stats::{
    BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, StatsAnswer,
    ThrottlingData,
};
use base::Time;
use bytes::Bytes;
use futures_util::stream;
use hyper::Response;
use platform::{Doors, Error, Stats};
use std::time::Duration;

/// How often figures are sent.
const PERIOD: Duration = Duration::from_secs(1);

pub(crate) async fn stats(call: Call) -> Answer {
    let container = call.doors.control.inspect(&call.parameter, false).await?;
    let source = Source {
        doors: call.doors,
        id: container.intent.id.to_string(),
        name: format!("/{}", container.intent.name),
        one_shot: call.query.flag("one-shot") && call.version >= 41,
    };
    if !call.query.flag_or("stream", true) {
        let line = source.line().await?;
        return Ok(typed(Response::new(Body::Whole(Some(line))), "application/json"));
    }
    let parts = stream::unfold((source, true), |(source, first)| async move {
        if !first {
            tokio::time::sleep(PERIOD).await;
        }
        // The container may have been removed: that is the stream's end.
        let line = source.line().await.ok()?;
        Some((Ok(line), (source, false)))
    });
    Ok(typed(Response::new(Body::parts(parts)), "application/json"))
}

struct Source {
    doors: Doors,
    id: String,
    name: String,
    one_shot: bool,
}

impl Source {
    async fn line(&self) -> Result<Bytes, Error> {
        let (now, mut before) = self.doors.node.stats(&self.id).await?;
        if self.one_shot {
            before = Stats::default();
        }
        json_line(&answer(&self.id, &self.name, &now, &before))
    }
}

fn answer(id: &str, name: &str, now: &Stats, before: &Stats) -> StatsAnswer {
    let time = |stats: &Stats| stats.read.unwrap_or(Time::NEVER).to_string();
    let networks = now.networks.iter().map(|(name, figures)| {
        let stats = NetworkStats {
            rx_bytes: figures.rx_bytes,
            rx_packets: figures.rx_packets,
            rx_errors: figures.rx_errors,
            rx_dropped: figures.rx_dropped,
            tx_bytes: figures.tx_bytes,
            tx_packets: figures.tx_packets,
            tx_errors: figures.tx_errors,
            tx_dropped: figures.tx_dropped,
        };
        (name.clone(), stats)
    });
    StatsAnswer {
        name: name.to_owned(),
        id: id.to_owned(),
        read: time(now),
        preread: time(before),
        pids_stats: PidsStats { current: now.pids, limit: now.pids_limit.unwrap_or(0) },
        blkio_stats: BlkioStats {
            io_service_bytes_recursive: blkio(&now.block_bytes),
            io_serviced_recursive: blkio(&now.block_operations),
            ..BlkioStats::default()
        },
        cpu_stats: cpu(now),
        precpu_stats: cpu(before),
        memory_stats: MemoryStats {
            usage: now.memory_bytes,
            max_usage: now.memory_max_bytes,
            stats: now.memory_details.iter().cloned().collect(),
            failcnt: now.memory_fail_count,
            limit: now.memory_limit_bytes,
        },
        networks: networks.collect(),
        ..StatsAnswer::default()
    }
}

fn cpu(stats: &Stats) -> CpuStats {
    CpuStats {
        cpu_usage: CpuUsage {
            total_usage: stats.cpu_total_ns,
            percpu_usage: Vec::new(),
            usage_in_kernelmode: stats.cpu_kernel_ns,
            usage_in_usermode: stats.cpu_user_ns,
        },
        system_cpu_usage: stats.system_cpu_ns,
        online_cpus: stats.online_cpus,
        throttling_data: ThrottlingData {
            periods: stats.throttled.periods,
            throttled_periods: stats.throttled.throttled_periods,
            throttled_time: stats.throttled.throttled_ns,
        },
    }
}

fn blkio(figures: &[(u64, u64, String, u64)]) -> Option<Vec<BlkioEntry>> {
    let entries: Vec<BlkioEntry> = figures
        .iter()
        .map(|(major, minor, op, value)| BlkioEntry {
            major: *major,
            minor: *minor,
            op: op.clone(),
            value: *value,
        })
        .collect();
    Some(entries).filter(|entries| !entries.is_empty())
}
