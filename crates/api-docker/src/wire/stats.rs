//! Figures of a running container. Docker spells these in lower case with underscores.

use super::is_default;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! figures {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name { $($body)* }
    )+};
}

figures! {
    pub struct StatsAnswer {
        #[serde(skip_serializing_if = "is_default")]
        pub name: String,
        #[serde(skip_serializing_if = "is_default")]
        pub id: String,
        pub read: String,
        pub preread: String,
        pub pids_stats: PidsStats,
        pub blkio_stats: BlkioStats,
        pub num_procs: u32,
        pub storage_stats: super::Empty,
        pub cpu_stats: CpuStats,
        pub precpu_stats: CpuStats,
        pub memory_stats: MemoryStats,
        #[serde(skip_serializing_if = "is_default")]
        pub networks: BTreeMap<String, NetworkStats>,
    }

    pub struct PidsStats {
        #[serde(skip_serializing_if = "is_default")]
        pub current: u64,
        #[serde(skip_serializing_if = "is_default")]
        pub limit: u64,
    }

    pub struct BlkioStats {
        pub io_service_bytes_recursive: Option<Vec<BlkioEntry>>,
        pub io_serviced_recursive: Option<Vec<BlkioEntry>>,
        pub io_queue_recursive: Option<Vec<BlkioEntry>>,
        pub io_service_time_recursive: Option<Vec<BlkioEntry>>,
        pub io_wait_time_recursive: Option<Vec<BlkioEntry>>,
        pub io_merged_recursive: Option<Vec<BlkioEntry>>,
        pub io_time_recursive: Option<Vec<BlkioEntry>>,
        pub sectors_recursive: Option<Vec<BlkioEntry>>,
    }

    pub struct BlkioEntry {
        pub major: u64,
        pub minor: u64,
        pub op: String,
        pub value: u64,
    }

    pub struct CpuStats {
        pub cpu_usage: CpuUsage,
        #[serde(skip_serializing_if = "is_default")]
        pub system_cpu_usage: u64,
        #[serde(skip_serializing_if = "is_default")]
        pub online_cpus: u32,
        pub throttling_data: ThrottlingData,
    }

    /// Nanoseconds.
    pub struct CpuUsage {
        pub total_usage: u64,
        #[serde(skip_serializing_if = "is_default")]
        pub percpu_usage: Vec<u64>,
        pub usage_in_kernelmode: u64,
        pub usage_in_usermode: u64,
    }

    pub struct ThrottlingData {
        pub periods: u64,
        pub throttled_periods: u64,
        pub throttled_time: u64,
    }

    /// Bytes.
    pub struct MemoryStats {
        #[serde(skip_serializing_if = "is_default")]
        pub usage: u64,
        #[serde(skip_serializing_if = "is_default")]
        pub max_usage: u64,
        #[serde(skip_serializing_if = "is_default")]
        pub stats: BTreeMap<String, u64>,
        #[serde(skip_serializing_if = "is_default")]
        pub failcnt: u64,
        #[serde(skip_serializing_if = "is_default")]
        pub limit: u64,
    }

    pub struct NetworkStats {
        pub rx_bytes: u64,
        pub rx_packets: u64,
        pub rx_errors: u64,
        pub rx_dropped: u64,
        pub tx_bytes: u64,
        pub tx_packets: u64,
        pub tx_errors: u64,
        pub tx_dropped: u64,
    }
}
