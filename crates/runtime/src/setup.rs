//! What the caller decided about one container, in the runtime's own words: paths, numbers, descriptors.
//!
//! The caller (the engine, or `bocage runtime` for a bundle) fills a [`Setup`]; the shim program reads it as JSON from a
//! descriptor and makes it so. There is no image, no network and no service name in it, and nothing is looked
//! up later: what is not here does not happen.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One container to be made and run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The container's id: names its cgroup and is used in messages.
    pub id: String,
    /// The directory in the exec root for the shim's socket and status file; it exists.
    pub directory: PathBuf,
    /// Where the root file system comes from.
    pub root: Root,
    /// Whether the root is mounted read-only.
    pub root_read_only: bool,
    /// What is mounted over the root, in this order.
    pub mounts: Vec<Mount>,
    /// Which namespaces the container has and where they come from.
    pub namespaces: Namespaces,
    /// The host name in a UTS namespace of its own.
    pub hostname: Option<String>,
    /// The NIS domain name in a UTS namespace of its own.
    pub domainname: Option<String>,
    /// Kernel settings (`net.core.somaxconn` and the like), written inside the container's namespaces.
    pub sysctls: Vec<(String, String)>,
    /// Devices to be made in `/dev` beside the default ones.
    pub devices: Vec<Device>,
    /// All of the host's devices are shown and allowed (a privileged container).
    pub all_devices: bool,
    /// Paths hidden from the container; those that do not exist are passed over.
    pub masked_paths: Vec<PathBuf>,
    /// Paths that cannot be written; those that do not exist are passed over.
    pub read_only_paths: Vec<PathBuf>,
    /// The control group and its limits.
    pub cgroup: Cgroup,
    /// Whether a small init of ours is process 1, reaps orphans and passes signals on to the command.
    pub init: bool,
    /// What runs.
    pub process: Process,
    /// Where its output goes and its input comes from.
    pub stdio: Stdio,
    /// The container's log; none where nothing is kept.
    pub log: Option<Log>,
}

/// Where the root file system comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// Layers under a writable one, mounted in the container's own mount namespace only.
    Overlay {
        /// Read-only layers, the top one first.
        lower: Vec<PathBuf>,
        /// The writable layer.
        upper: PathBuf,
        /// The kernel's scratch directory on the same file system as `upper`.
        work: PathBuf,
    },
    /// A directory as it is.
    Directory(PathBuf),
}

/// One mount inside the root. The target is resolved inside the root and made where it is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The absolute path inside the container.
    pub target: PathBuf,
    /// What is mounted.
    pub kind: MountKind,
    /// Mounted read-only (recursively for a bind).
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// A file or directory of the host, with everything mounted beneath it if `recursive`.
    Bind {
        /// The path on the host.
        source: PathBuf,
        /// Whether mounts beneath it come along.
        recursive: bool,
        /// How later mounts pass between host and container.
        propagation: Propagation,
    },
    /// A file system in memory.
    Tmpfs {
        /// Its size, in bytes; none for the kernel's default of half the memory.
        size_bytes: Option<u64>,
        /// The mode of its root directory.
        mode: u32,
        /// Options besides: `noexec`, `nosuid`, `nodev`, `uid=1`, … as in mount(8).
        options: Vec<String>,
    },
    /// `proc` of the container's process namespace.
    Proc,
    /// `sysfs`; writable only in a privileged container.
    Sysfs,
    /// `/dev` with its default nodes and links, `pts`, and `mqueue`; `shm` is a mount of its own.
    Dev,
    /// The container's view of the control groups.
    Cgroup,
    /// POSIX message queues.
    Mqueue,
}

/// Mount propagation, mount_namespaces(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Nothing passes.
    #[default]
    Private,
    /// The host's later mounts appear in the container.
    Slave,
    /// Both ways.
    Shared,
}

/// Where one namespace comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Namespace {
    /// A new one.
    #[default]
    New,
    /// The host's: none is made.
    Host,
    /// An open descriptor that the shim inherits under this number, or a path such as `/proc/42/ns/net`.
    Descriptor(i32),
    /// A path that is opened before the first step.
    Path(PathBuf),
}

/// All namespaces of a container; its mount namespace is always new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Processes.
    pub pid: Namespace,
    /// Network.
    pub network: Namespace,
    /// System V and POSIX inter-process communication.
    pub ipc: Namespace,
    /// Host name.
    pub uts: Namespace,
    /// Control groups.
    pub cgroup: Namespace,
}

/// A device node in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The node on the host that is shown.
    pub source: PathBuf,
    /// Where it appears.
    pub target: PathBuf,
    /// What is allowed: a subset of `rwm`.
    pub access: String,
}

/// The control group of a container and its limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cgroup {
    /// The path beneath each hierarchy's root, such as `bocage-1a2b3c4d/<id>`.
    pub path: PathBuf,
    /// The limits.
    pub limits: Limits,
}

/// Limits as the kernel's control groups know them; none means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of memory and swap together; `-1` is unlimited swap, none is twice the memory limit.
    pub memory_swap_bytes: Option<i64>,
    /// Bytes that are left to it under pressure.
    pub memory_reservation_bytes: Option<u64>,
    /// Whether a process over the limit waits instead of being killed (v1 only).
    pub oom_kill_disable: bool,
    /// CPU time in one period, in microseconds.
    pub cpu_quota_us: Option<i64>,
    /// The period, in microseconds.
    pub cpu_period_us: Option<u64>,
    /// Relative share, 2 to 262144; 1024 is the default.
    pub cpu_shares: Option<u64>,
    /// CPUs that may be used, such as `0-2,7`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes that may be used.
    pub cpuset_mems: Option<String>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// What runs in a container: its first process, or one that is added by exec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// The program and its arguments; the program is looked up in the container's `PATH`.
    pub args: Vec<String>,
    /// `NAME=value`; `HOME` is completed from the user's entry, `PATH` must be there.
    pub env: Vec<String>,
    /// The working directory, made where it is missing.
    pub cwd: PathBuf,
    /// `user`, `uid`, `user:group` … as in a Dockerfile's USER, looked up inside the root; empty is root.
    pub user: String,
    /// Groups besides, by name or number.
    pub groups: Vec<String>,
    /// Whether a pseudo-terminal is its standard input and output.
    pub terminal: bool,
    /// The terminal's first size: rows, columns.
    pub size: Option<(u16, u16)>,
    /// The capabilities it keeps (bounding, permitted, effective; inheritable stays empty), by name: `CAP_CHOWN`.
    pub capabilities: Vec<String>,
    /// Whether privileges can no longer be gained.
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// Resource limits: name such as `nofile`, soft, hard (`u64::MAX` is unlimited).
    pub rlimits: Vec<(String, u64, u64)>,
    /// The adjustment of the out-of-memory score, where set.
    pub oom_score_adj: Option<i32>,
}

/// The system call filter of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Seccomp {
    /// The default profile (what Docker's default denies is denied), fitted to the capabilities that are kept.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile in Docker's JSON form.
    Profile(String),
}

/// Standard input and output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdio {
    /// Whether standard input is a pipe or terminal that clients may write to; `/dev/null` otherwise.
    pub open_stdin: bool,
    /// Whether standard input closes when the first client that wrote to it has gone.
    pub stdin_once: bool,
    /// Clients that were there before the start: sockets that the shim inherits under these numbers.
    pub attached: Vec<Attached>,
}

/// One client that reads output or writes input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The inherited descriptor of a stream socket.
    pub descriptor: i32,
    /// What it takes part in.
    pub streams: Streams,
}

/// Which streams a client takes part in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// What it sends goes to standard input.
    pub stdin: bool,
    /// It is sent the standard output.
    pub stdout: bool,
    /// It is sent the standard error.
    pub stderr: bool,
}

/// A log that cannot fill the disk: once the file has `file_bytes_max`, it is set aside, and the oldest is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The directory of its files; it exists.
    pub directory: PathBuf,
    /// Bytes in one file.
    pub file_bytes_max: u64,
    /// Files kept, the current one included.
    pub files_max: u32,
}

/// One more process in a container that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecSetup {
    /// The exec's id, for messages.
    pub id: String,
    /// A directory of its own in the exec root, for the shim's socket and status file; it exists.
    pub directory: PathBuf,
    /// The container's first process.
    pub container: ContainerProcess,
    /// The container's control group, beneath each hierarchy's root.
    pub cgroup: PathBuf,
    /// What runs.
    pub process: Process,
    /// Where its output goes and its input comes from. There is no log.
    pub stdio: Stdio,
}

/// A process named so that another one with its number is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerProcess {
    /// Its number in the host's pid namespace.
    pub pid: u32,
    /// The clock ticks from boot to its start, as its status says.
    pub start_ticks: u64,
}
