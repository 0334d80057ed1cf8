//! What runs: a program, who it is, and what it may do.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
    /// The mask of permissions for new files; `0o022` where nothing is said.
    pub umask: Option<u32>,
    /// Whether a pseudo-terminal is its standard input and output.
    pub terminal: bool,
    /// The terminal's first size: rows, columns.
    pub size: Option<(u16, u16)>,
    /// The capabilities it keeps.
    pub capabilities: Capabilities,
    /// Whether privileges can no longer be gained.
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// Resource limits: name such as `nofile`, soft, hard (`u64::MAX` is unlimited).
    pub rlimits: Vec<(String, u64, u64)>,
    /// The adjustment of the out-of-memory score, where set.
    pub oom_score_adj: Option<i32>,
    /// The AppArmor profile it enters, where one is named.
    pub apparmor: Option<String>,
    /// The SELinux label it gets, where one is named.
    pub selinux: Option<String>,
    /// How it is scheduled, where that differs from the caller.
    pub scheduler: Option<Scheduler>,
    /// The priority of its input and output, where that differs from the caller.
    pub io_priority: Option<IoPriority>,
    /// The processors it may run on, where that differs from the caller.
    pub cpu_affinity: CpuAffinity,
    /// Where its memory comes from, where that differs from the caller.
    pub memory_policy: Option<MemoryPolicy>,
    /// The system it takes itself to be on, personality(2), where that differs from the caller.
    pub personality: Option<u64>,
    /// It stays in the caller's session keyring.
    pub keeps_keyring: bool,
}

/// The five sets of capabilities(7), by name: `CAP_CHOWN`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// What it can ever have.
    pub bounding: Vec<String>,
    /// What is in force.
    pub effective: Vec<String>,
    /// What it may put in force.
    pub permitted: Vec<String>,
    /// What a program keeps whose file says so.
    pub inheritable: Vec<String>,
    /// What every program keeps.
    pub ambient: Vec<String>,
}

impl Capabilities {
    /// Bounding, permitted and effective; nothing is inherited beyond that.
    pub fn of(names: Vec<String>) -> Capabilities {
        Capabilities {
            effective: names.clone(),
            permitted: names.clone(),
            bounding: names,
            ..Capabilities::default()
        }
    }
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

/// How a process is scheduled, sched_setattr(2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// The policy's number.
    pub policy: u32,
    /// Its flags.
    pub flags: u64,
    /// Its share, -20 to 19.
    pub nice: i32,
    /// Its priority among the real-time ones.
    pub priority: u32,
    /// Nanoseconds of work in a period, until when they must be done, and the period.
    pub deadline_ns: (u64, u64, u64),
}

/// The priority of input and output, ioprio_set(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IoPriority {
    /// First served, at a level from 0 to 7.
    RealTime(u8),
    /// As everybody, at a level from 0 to 7.
    BestEffort(u8),
    /// When nobody else asks; the level means nothing, and is kept.
    Idle(u8),
}

/// The processors that a process may run on, as lists such as `0-3,7`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuAffinity {
    /// While it is set up, before it is in its control groups.
    pub initial: Option<String>,
    /// From then on.
    pub last: Option<String>,
}

/// Where memory comes from, set_mempolicy(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// The mode with its flags.
    pub mode: i32,
    /// Memory nodes, as a list such as `0-1`.
    pub nodes: String,
}
