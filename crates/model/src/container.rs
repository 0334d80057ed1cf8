//! What a person asks for when they ask for a container.
//!
//! A front-end fills a [`ContainerSpec`] completely: the image's defaults (command, environment, user, …) are merged
//! in by the engine when the intent is created, so that what stands in the table is what runs, whatever happens to the
//! image's tag later.

use crate::{Attachment, ContainerId, ImageId, PortBinding, PortKey, VolumeSpec};
use base::Time;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One container intent as it stands in the node's table. Written by front-ends, through the Control door.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerIntent {
    /// Its id, for ever.
    pub id: ContainerId,
    /// Its name, unique on the node, without a leading slash.
    pub name: String,
    /// When it was asked for; restarts after a reboot go in this order.
    pub created: Time,
    /// The image it is made from.
    pub image: ImageId,
    /// What it is.
    pub spec: ContainerSpec,
    /// Whether it shall run.
    pub desired: Desired,
}

/// Whether a container shall run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desired {
    /// Created, and never started yet.
    Created,
    /// Shall run; the restart policy says what happens when its process ends.
    Running,
    /// Somebody stopped it, or it ended and its policy lets it rest.
    Stopped,
}

/// What a client sent, in its own dialect, so that it can be shown the same again. Only the front-end that wrote it reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin(pub String);

/// A container, without any dialect's words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The image as it was named.
    pub image: String,
    /// Replaces the image's entry point where given; `Some(vec![])` removes it.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command where given.
    pub command: Option<Vec<String>>,
    /// `NAME=value`, over the image's.
    pub env: Vec<String>,
    /// Replaces the image's working directory unless empty.
    pub working_dir: String,
    /// Replaces the image's user unless empty.
    pub user: String,
    /// Groups besides the user's own, by name or number.
    pub groups: Vec<String>,
    /// Labels, over the image's.
    pub labels: BTreeMap<String, String>,
    /// Whether its standard streams are a pseudo-terminal.
    pub terminal: bool,
    /// Whether standard input stays open without a client.
    pub open_stdin: bool,
    /// Whether standard input closes when its first client has gone.
    pub stdin_once: bool,
    /// The first size of the terminal: rows, columns.
    pub terminal_size: Option<(u16, u16)>,
    /// The host name; empty for the short id.
    pub hostname: String,
    /// The NIS domain name; empty for none.
    pub domainname: String,
    /// Which network it is on.
    pub network: NetworkMode,
    /// The networks it is on where `network` says that it is on any; none is the default bridge.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Whether it has left every network, the default bridge included, that it was on.
    #[serde(default)]
    pub has_left_all: bool,
    /// Ports the host answers for.
    pub ports: Vec<PortBinding>,
    /// Ports it says that it listens on, the image's included once merged.
    pub exposed: BTreeSet<PortKey>,
    /// Whether each exposed port gets a free port of the host.
    pub publish_all: bool,
    /// Name servers instead of the host's.
    pub dns: Vec<IpAddr>,
    /// Search domains instead of the host's.
    pub dns_search: Vec<String>,
    /// Resolver options, resolv.conf(5).
    pub dns_options: Vec<String>,
    /// Lines of `/etc/hosts`: name and address; `host-gateway` stands for the bridge's own address.
    pub extra_hosts: Vec<(String, String)>,
    /// Where its process namespace comes from.
    pub pid: Sharing,
    /// Where its IPC namespace comes from.
    pub ipc: Sharing,
    /// Where its UTS namespace comes from.
    pub uts: Sharing,
    /// Where its control group namespace comes from.
    pub cgroup: Sharing,
    /// Whose user and group numbers it has.
    pub userns: Userns,
    /// Files, directories and volumes shown inside.
    pub mounts: Vec<Mount>,
    /// Paths that want a volume of their own unless something is mounted there; none once created.
    #[serde(default)]
    pub volumes: BTreeSet<String>,
    /// The kind of volumes that are made with it; empty for the local one, which is the only one.
    #[serde(default)]
    pub volume_driver: String,
    /// Containers whose mounts are shown inside too; none once created, when they stand among the mounts.
    #[serde(default)]
    pub volumes_from: Vec<VolumesFrom>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// Limits.
    pub resources: Resources,
    /// Capabilities, filters and the like.
    pub security: Security,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Kernel settings inside.
    pub sysctls: BTreeMap<String, String>,
    /// Resource limits of its processes: name, soft, hard; `u64::MAX` is unlimited.
    pub ulimits: Vec<(String, u64, u64)>,
    /// Bytes of `/dev/shm`; none for 64 MiB.
    pub shm_bytes: Option<u64>,
    /// Whether a small init reaps orphans and passes signals on.
    pub init: bool,
    /// Adjustment of the out-of-memory score.
    pub oom_score_adj: Option<i32>,
    /// What happens when its process ends.
    pub restart: RestartPolicy,
    /// Whether it is removed, with its anonymous volumes, once it has ended.
    pub auto_remove: bool,
    /// The signal that asks it to end, by name or number; empty for the image's, or SIGTERM.
    pub stop_signal: String,
    /// Seconds between that signal and SIGKILL; negative waits for ever, none is ten.
    pub stop_timeout_seconds: Option<i64>,
    /// What is kept of its output.
    pub log: LogPolicy,
    /// What the client sent.
    pub origin: Origin,
}

/// Which network a container is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// The networks that its attachments name.
    #[default]
    #[serde(alias = "Bridge")]
    Attached,
    /// The host's own.
    Host,
    /// Nothing but a loopback device.
    None,
    /// The network namespace of another container, by id or name as given; by id once created.
    Container(String),
}

/// Whose user and group numbers a container has on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Userns {
    /// What the daemon does where nobody says otherwise.
    #[default]
    Default,
    /// The host's: its root is the host's, with fewer rights.
    Host,
    /// A range of its own: its root is nobody.
    Auto,
    /// A user namespace of its own in which the numbers are the host's.
    Keep,
}

/// Where a namespace comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    /// One of its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's, by id or name as given; by id once created.
    Container(String),
}

/// Something shown at a path inside the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The absolute path inside.
    pub target: String,
    /// What is shown there.
    pub source: MountSource,
    /// Whether it cannot be written through this path.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A path of the host.
    Bind {
        /// The absolute path.
        path: String,
        /// Whether a missing path is made as a directory (`-v`) or refused (`--mount`).
        create: bool,
        /// Whether mounts beneath it come along.
        recursive: bool,
        /// `private`, `rprivate`, `slave`, `rslave`, `shared`, `rshared`; empty is `rprivate`.
        propagation: String,
        /// Whether mounts beneath a read-only one stay as they are.
        #[serde(default)]
        read_only_top: bool,
    },
    /// A volume.
    Volume(VolumeMount),
    /// An image's files, which nobody can write.
    Image {
        /// The image as it was named.
        name: String,
        /// Which that is, once created.
        id: Option<ImageId>,
        /// The part of it that is shown; empty for all.
        subpath: String,
    },
    /// Memory.
    Tmpfs {
        /// Bytes at most; none for the kernel's default.
        size_bytes: Option<u64>,
        /// The mode of its root directory; none for 1777.
        mode: Option<u32>,
        /// Options of mount(8) besides.
        options: Vec<String>,
    },
}

/// A volume shown inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// Its name; empty for one that is made up.
    pub name: String,
    /// Whether the name was made up: the volume may then go with its last container.
    #[serde(default)]
    pub anonymous: bool,
    /// Whether an empty volume takes over what the image has at that path.
    pub copy: bool,
    /// The directory of the volume that is shown; empty for all of it.
    #[serde(default)]
    pub subpath: String,
    /// What it is made as where there is none of that name.
    #[serde(default)]
    pub spec: VolumeSpec,
}

/// A container whose mounts another one shows too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// Its name or id.
    pub container: String,
    /// Whether they can be written: as in that container where nobody says.
    pub writable: Option<bool>,
}

/// A device of the host shown inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The path on the host: a device, or a directory of devices.
    pub source: String,
    /// The path inside.
    pub target: String,
    /// A subset of `rwm`.
    pub access: String,
}

/// Limits; none or zero is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of memory and swap; `-1` for unlimited swap.
    pub memory_swap_bytes: Option<i64>,
    /// Bytes left to it under pressure.
    pub memory_reservation_bytes: Option<u64>,
    /// Whether the out-of-memory killer passes it over.
    pub oom_kill_disable: bool,
    /// CPUs, in billionths: 1.5 CPUs are 1_500_000_000.
    pub nano_cpus: Option<u64>,
    /// Microseconds of CPU in a period.
    pub cpu_quota_us: Option<i64>,
    /// The period in microseconds.
    pub cpu_period_us: Option<u64>,
    /// Relative share.
    pub cpu_shares: Option<u64>,
    /// CPUs it may use.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes it may use.
    pub cpuset_mems: Option<String>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// What a container may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// Everything is allowed and all devices are shown.
    pub privileged: bool,
    /// Capabilities over the default fourteen, as given: `NET_ADMIN`, `CAP_NET_ADMIN`, `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
    /// Whether privileges can no longer be gained.
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// Paths hidden; none for the default list.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that cannot be written; none for the default list.
    pub read_only_paths: Option<Vec<String>>,
}

/// The system call filter that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// The default one.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile in Docker's JSON form.
    Profile(String),
}

/// What happens when a container's process ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// It rests.
    #[default]
    No,
    /// It is started again, also after the machine was, unless somebody stopped it while the daemon lived.
    Always,
    /// As `Always`, but one that was stopped stays stopped after the machine started again.
    UnlessStopped,
    /// It is started again after a failure.
    OnFailure {
        /// Attempts in a row; 0 for no limit.
        max_retries: u32,
    },
}

/// What is kept of a container's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPolicy {
    /// Nothing is kept.
    pub none: bool,
    /// Bytes in one file.
    pub file_bytes_max: u64,
    /// Files kept.
    pub files_max: u32,
}

impl Default for LogPolicy {
    /// 100 MB in all: enough to find out what happened, too little to fill a disk.
    fn default() -> LogPolicy {
        LogPolicy { none: false, file_bytes_max: 20_000_000, files_max: 5 }
    }
}
