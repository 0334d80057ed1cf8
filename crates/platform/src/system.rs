//! The node itself.

use crate::{Answer, Volume};
use model::{ContainerId, ImageId};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

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

/// The default bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// The network's id: 64 digits, the same for the life of the data root.
    pub id: String,
    /// The link's name on the host.
    pub link: String,
    /// Its subnet: address and prefix bits.
    pub subnet: (Ipv4Addr, u8),
    /// The gateway, which is the host.
    pub gateway: Ipv4Addr,
    /// Bytes in a packet.
    pub mtu: u32,
    /// When it was made.
    pub created: base::Time,
}

/// What takes room on the disk, in bytes as du(1) counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// All images: layers unpacked, their archives, configurations.
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

    /// The default bridge; none where it could not be made, with the reason as the error.
    fn bridge(&self) -> Answer<'_, Bridge>;

    /// What takes room on the disk. Everything that was not measured before is walked through.
    fn disk_usage(&self) -> Answer<'_, DiskUsage>;

    /// Ends the daemon once the answer is out; with `containers` they are all stopped before.
    fn stop_daemon(&self, containers: bool) -> Answer<'_, ()>;

    /// Makes the built-in demonstration image from this very binary, and tells its name.
    fn demo_image(&self) -> Answer<'_, String>;
}
