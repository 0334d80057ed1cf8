//! Everything that a control group can be told, as plain data: what an OCI bundle may ask for, in the runtime's words.
//!
//! A field that is not set is not written: the kernel's own value stays. Figures are those of v1, as Docker and OCI
//! speak them; the tables in `limits` turn them into v2's where that is what the machine has. What a version of
//! control groups has no room for and does no harm by its absence is passed over, and [`Resources::passed_over`] says
//! so; what somebody may rely on (a device rule, a network class, a key of v2) is refused instead.

use super::DeviceRule;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a control group is told; the default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Memory.
    pub memory: Memory,
    /// Processor time.
    pub cpu: Cpu,
    /// Processes and threads; negative is unlimited.
    pub pids: Option<i64>,
    /// Block devices.
    pub block: Block,
    /// Huge pages, by their size.
    pub huge_pages: Vec<HugePages>,
    /// How packets are marked (v1 only).
    pub network: Network,
    /// Remote direct memory access, by the name of the device.
    pub rdma: BTreeMap<String, Rdma>,
    /// Files of v2 and what is written to them after everything else, such as `memory.high`.
    pub unified: BTreeMap<String, String>,
    /// Devices, rule after rule; the last that fits an access decides it. Where none fits, it is allowed: a list that
    /// shall deny the rest begins with [`DeviceEntry::DENY_ALL`]. They are set when the group is made, never later.
    pub devices: Vec<DeviceEntry>,
}

/// Memory. Negative bytes are unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// The most that it may use.
    pub limit_bytes: Option<i64>,
    /// Swap beside it.
    pub swap: Swap,
    /// What is left to it under pressure.
    pub reservation_bytes: Option<i64>,
    /// Memory of the kernel itself. No kernel since 6.1 limits it apart: passed over.
    pub kernel_bytes: Option<i64>,
    /// Buffers of TCP (v1 only).
    pub kernel_tcp_bytes: Option<i64>,
    /// How readily it is swapped out, 0 to 100 (v1 only).
    pub swappiness: Option<u64>,
    /// Whether a process over the limit waits instead of being killed (v1 only).
    pub oom_kill_disable: bool,
    /// Whether groups beneath count into this one. They always do: passed over.
    pub use_hierarchy: Option<bool>,
    /// Whether a limit beneath what is used now is refused. On v1 the kernel does that unasked.
    pub check_before_update: bool,
}

/// Swap, said together with memory as v1 does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Swap {
    /// It stays as it is.
    #[default]
    Unset,
    /// Bytes of memory and swap together; negative is unlimited.
    Together(i64),
    /// As much again as memory, where the kernel counts swap: what Docker does where nobody said anything.
    SameAgain,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cpu {
    /// Relative share, 2 to 262144; 1024 is the default.
    pub shares: Option<u64>,
    /// Time in one period, in microseconds; zero or less is unlimited.
    pub quota_us: Option<i64>,
    /// The period, in microseconds.
    pub period_us: Option<u64>,
    /// What may be saved up from periods before, in microseconds.
    pub burst_us: Option<u64>,
    /// Time of real-time processes in one of their periods, in microseconds (v1 only).
    pub realtime_runtime_us: Option<i64>,
    /// The period of real-time processes, in microseconds (v1 only).
    pub realtime_period_us: Option<u64>,
    /// CPUs that may be used, such as `0-2,7`.
    pub cpus: Option<String>,
    /// Memory nodes that may be used.
    pub mems: Option<String>,
    /// 1: it runs only when nobody else wants to; its share then means nothing.
    pub idle: Option<i64>,
}

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Block {
    /// Relative weight, 10 to 1000.
    pub weight: Option<u16>,
    /// Weight of its own processes against groups beneath it (v1 before Linux 5.0 only).
    pub leaf_weight: Option<u16>,
    /// Weights on single devices.
    pub device_weights: Vec<DeviceWeight>,
    /// Bytes read in a second; zero is unlimited, here and in the next three.
    pub read_bytes_per_second: Vec<Throttle>,
    /// Bytes written in a second.
    pub write_bytes_per_second: Vec<Throttle>,
    /// Read operations in a second.
    pub reads_per_second: Vec<Throttle>,
    /// Write operations in a second.
    pub writes_per_second: Vec<Throttle>,
}

/// Weights on one block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWeight {
    /// The device's major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Relative weight, 10 to 1000.
    pub weight: Option<u16>,
    /// As [`Block::leaf_weight`].
    pub leaf_weight: Option<u16>,
}

/// A rate on one block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// The device's major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// How much in a second.
    pub rate: u64,
}

/// Huge pages of one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugePages {
    /// The size as the kernel writes it: `64KB`, `2MB`, `1GB`.
    pub size: String,
    /// The most of them, in bytes.
    pub limit_bytes: u64,
}

/// How packets are marked, v1 only: v2 leaves that to the firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// The class of all packets.
    pub class_id: Option<u32>,
    /// The priority of packets that leave by an interface, by its name.
    pub priorities: BTreeMap<String, u32>,
}

/// Resources of one device for remote direct memory access; none is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rdma {
    /// Handles.
    pub handles: Option<u32>,
    /// Objects.
    pub objects: Option<u32>,
}

/// One rule about devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// Whether it allows (otherwise it denies).
    pub allow: bool,
    /// Which kind of devices it is about.
    pub kind: DeviceKind,
    /// The major number; none for any.
    pub major: Option<u32>,
    /// The minor number; none for any.
    pub minor: Option<u32>,
    /// It is about opening for reading.
    pub read: bool,
    /// It is about opening for writing.
    pub write: bool,
    /// It is about mknod(2).
    pub make: bool,
}

/// Kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// Both.
    Any,
    /// Block devices.
    Block,
    /// Character devices.
    Character,
}

impl DeviceEntry {
    /// No access to any device.
    pub const DENY_ALL: DeviceEntry = DeviceEntry {
        allow: false,
        kind: DeviceKind::Any,
        major: None,
        minor: None,
        read: true,
        write: true,
        make: true,
    };
}

impl From<&DeviceRule> for DeviceEntry {
    fn from(rule: &DeviceRule) -> DeviceEntry {
        let DeviceRule { block, major, minor, read, write, make } = *rule;
        let kind = if block { DeviceKind::Block } else { DeviceKind::Character };
        DeviceEntry { allow: true, kind, major, minor, read, write, make }
    }
}

impl Resources {
    /// What was asked for and is not set on v1 or on v2, each with the reason, for the user to read.
    pub fn passed_over(&self, v1: bool) -> Vec<&'static str> {
        let (memory, cpu, block) = (&self.memory, &self.cpu, &self.block);
        let leaf =
            block.leaf_weight.is_some() || block.device_weights.iter().any(|one| one.leaf_weight.is_some());
        let always = [
            (
                memory.kernel_bytes.is_some(),
                "the kernel's memory has no limit of its own: it counts as memory",
            ),
            (memory.use_hierarchy == Some(false), "groups beneath a group always count into it"),
        ];
        let on_v2 = [
            (memory.kernel_tcp_bytes.is_some(), "control groups v2 have no limit for TCP's buffers alone"),
            (memory.swappiness.is_some(), "control groups v2 have no swappiness"),
            (memory.oom_kill_disable, "control groups v2 always kill when memory runs out"),
            (
                cpu.realtime_runtime_us.is_some() || cpu.realtime_period_us.is_some(),
                "control groups v2 do not limit real-time processes",
            ),
            (leaf, "control groups v2 have no leaf weights"),
        ];
        let on_this = if v1 { &[][..] } else { &on_v2[..] };
        always.iter().chain(on_this).filter(|(asked, _)| *asked).map(|(_, reason)| *reason).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_is_an_empty_object() {
        assert_eq!(serde_json::from_str::<Resources>("{}").unwrap(), Resources::default());
    }

    #[test]
    fn what_is_passed_over_has_a_reason() {
        let mut resources = Resources::default();
        assert!(resources.passed_over(false).is_empty());
        resources.memory.swappiness = Some(10);
        resources.memory.kernel_bytes = Some(1 << 20);
        assert_eq!(resources.passed_over(true).len(), 1);
        assert_eq!(resources.passed_over(false).len(), 2);
    }
}
