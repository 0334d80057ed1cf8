//! The node itself.

use crate::{Answer, Volume};
use model::{ContainerId, ImageId};
use std::collections::BTreeMap;

/// What a node says of itself. Texts that are unknown are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemInfo {
    /// The daemon's id.
    pub id: String,
    /// The host's name.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// `uname -r`.
    pub kernel: String,
    /// The distribution, as `/etc/os-release` calls it.
    pub operating_system: String,
    /// The distribution's version.
    pub os_version: String,
    /// `x86_64`, `aarch64`.
    pub machine: String,
    /// CPUs.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// `1` or `2`.
    pub cgroup_version: String,
    /// Which limits can be kept here, by the names of Docker's `info`: `MemoryLimit`, `SwapLimit`, `CpuCfsQuota`, `CPUShares`, `CPUSet`, `PidsLimit`, …
    pub limits: Vec<(String, bool)>,
    /// Where data are.
    pub data_root: String,
    /// Where what lives only as long as the machine is up is.
    pub exec_root: String,
    /// The daemon's process id.
    pub pid: i32,
    /// Containers that run, are paused, and rest.
    pub containers: (u64, u64, u64),
    /// Images.
    pub images: u64,
    /// When the daemon started.
    pub started: base::Time,
    /// The time now.
    pub now: base::Time,
    /// Open descriptors of the daemon.
    pub descriptors: u64,
    /// What is wrong with this machine, a sentence each.
    pub warnings: Vec<String>,
    /// Proxies of the environment: http, https, no.
    pub proxies: (String, String, String),
    /// The file system below the data root (`extfs`, `btrfs`, …).
    pub backing_filesystem: String,
    /// Whether IPv4 forwarding is on.
    pub ipv4_forwarding: bool,
}

/// Of what the room is measured: to walk through much takes long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Images, and what the node's registry keeps.
    pub images: bool,
    /// Containers.
    pub containers: bool,
    /// Volumes.
    pub volumes: bool,
}

/// What takes room on the disk, in bytes as du(1) counts them; nothing of what was not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// All images: layers unpacked, their archives, configurations, and the beginnings of layers that a pull left.
    pub images: u64,
    /// What the node's registry keeps and no image of the node needs.
    pub registry: u64,
    /// Of each image's size, what other images share.
    pub shared: BTreeMap<ImageId, u64>,
    /// Each container: what it has written, its log, its own files.
    pub containers: BTreeMap<ContainerId, u64>,
    /// Volumes.
    pub volumes: Vec<Volume>,
}

/// The node itself.
pub trait System: Send + Sync {
    /// Its description.
    fn info(&self) -> Answer<'_, SystemInfo>;

    /// What takes room on the disk. What was not measured before is walked through.
    fn disk_usage(&self, of: Measured) -> Answer<'_, DiskUsage>;

    /// Removes the beginnings of layers that pulls left which failed.
    fn forget_unfinished(&self) -> Answer<'_, ()>;

    /// Ends the daemon once the answer is out; with `containers` they are all stopped before.
    fn stop_daemon(&self, containers: bool) -> Answer<'_, ()>;

    /// Makes the built-in demonstration image from this very binary, and tells its name.
    fn demo_image(&self) -> Answer<'_, String>;
}
