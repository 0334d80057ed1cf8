//! What the caller decided about one container, in the runtime's own words: paths, numbers, descriptors.
//!
//! The caller (the engine, or `bocage runtime` for a bundle) fills a [`Setup`]; the shim program reads it as JSON from a
//! descriptor and makes it so. There is no image, no network and no service name in it, and nothing is looked
//! up later: what is not here does not happen.

mod mount;
mod process;
mod settings;

pub(crate) use mount::mount_words;
pub use mount::{IdRange, MapIds, Mount, MountKind, Options};
pub use process::{Capabilities, CpuAffinity, IoPriority, MemoryPolicy, Process, Scheduler, Seccomp};
pub use settings::{SettingOf, setting_of};

pub use crate::cgroup::Resources;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
pub use sys::mount::{Attributes, Change, Passing};

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
    /// How mounts pass between the container's root and the host; privately where nothing is said.
    pub root_passing: Option<Change>,
    /// The root is only changed, not exchanged: a container could find its way out. For roots that cannot be exchanged
    /// (an initial RAM disk).
    pub no_pivot: bool,
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
    /// Devices of the host to be made in `/dev` beside the default ones.
    pub devices: Vec<Device>,
    /// Device nodes to be made as they are described, which the host need not have.
    pub nodes: Vec<NewNode>,
    /// Whether `/dev` gets the nodes and links of every container though it is not mounted as one piece.
    pub default_nodes: bool,
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
    /// Programs that are run on the way.
    pub hooks: Hooks,
    /// Who stays with it.
    pub watch: Watch,
    /// Whether it is measured where the time of its start goes.
    pub timed: bool,
}

/// Who stays with a process once it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watch {
    /// A shim: it keeps the log, serves clients and tells how the process ended.
    #[default]
    Shim,
    /// Whoever started it: the process has their standard streams and becomes their child, or that of the nearest process
    /// above that takes orphans.
    Caller(Handover),
}

/// What a process without a shim is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// It waits, all set up, until somebody connects to [`START`](crate::shim::wire::START) in its directory.
    pub waits: bool,
    /// The inherited descriptor of a connected socket to which the terminal's other end is sent.
    pub console: Option<i32>,
    /// Inherited descriptors that are the program's, under the same numbers.
    pub preserved: Vec<i32>,
    /// What whoever decides over calls that the filter leaves to them is told of the container: its state, as JSON.
    pub state: String,
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
        /// Whether owners are shown through the mapping of the container's user namespace.
        map_ids: bool,
    },
    /// A directory as it is.
    Directory(PathBuf),
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

/// The namespace of users, groups and capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserNamespace {
    /// The host's: none is made.
    #[default]
    Host,
    /// A new one with these mappings.
    New {
        /// Users.
        users: Vec<IdRange>,
        /// Groups.
        groups: Vec<IdRange>,
    },
    /// One that exists.
    Existing(Namespace),
}

/// The clocks of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeNamespace {
    /// The host's: none is made.
    #[default]
    Host,
    /// A new one whose clocks are ahead by these seconds and nanoseconds: `monotonic`, `boottime`.
    New(Vec<(String, i64, u32)>),
    /// One that exists.
    Existing(Namespace),
}

/// All namespaces of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Users, groups and capabilities.
    pub user: UserNamespace,
    /// Clocks.
    pub time: TimeNamespace,
    /// Mounts. In the host's own, the container's mounts are the host's too.
    pub mount: Namespace,
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

/// A device node that is made as it is described, mknod(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNode {
    /// Where it appears.
    pub target: PathBuf,
    /// Its kind.
    pub kind: NodeKind,
    /// Its major and minor number; nothing for a pipe.
    pub device: (u32, u32),
    /// Its permissions.
    pub mode: u32,
    /// Its owner's number and its group's.
    pub owner: (u32, u32),
}

/// The kind of a device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// Characters, unbuffered included.
    Character,
    /// Blocks.
    Block,
    /// A named pipe.
    Pipe,
}

/// Programs that are run on the way of a container, in the order of the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// What they are told on their standard input, as JSON: an object to which the process number and the status
    /// are added.
    pub state: String,
    /// The environment of those outside that bring none: the caller's.
    pub env: Vec<String>,
    /// In the runtime's namespaces, once the container's exist and before its root does: `prestart`, then
    /// `createRuntime`.
    pub create_runtime: Vec<Hook>,
    /// In the container's namespaces, before the root changes.
    pub create_container: Vec<Hook>,
    /// In the container, just before its program.
    pub start_container: Vec<Hook>,
}

/// A program of the host that is run once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Its path, absolute.
    pub path: PathBuf,
    /// Its arguments, its name first.
    pub args: Vec<String>,
    /// `NAME=value`; none for what whoever runs it has.
    pub env: Option<Vec<String>>,
    /// After so many seconds it is killed and has failed.
    pub timeout_seconds: Option<u64>,
}

/// The control group of a container and what it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// The path beneath each hierarchy's root, such as `bocage-1a2b3c4d/<id>`.
    pub path: PathBuf,
    /// Its limits. Where they say nothing of devices, those that every container has and those that the setup names are
    /// allowed, and no other.
    pub resources: Resources,
}

/// Standard input and output. Of a program that no shim stays with, they are those of whoever starts it.
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
    /// Who stays with it.
    pub watch: Watch,
}

/// A process named so that another one with its number is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerProcess {
    /// Its number in the host's pid namespace.
    pub pid: u32,
    /// The clock ticks from boot to its start, as its status says.
    pub start_ticks: u64,
}
