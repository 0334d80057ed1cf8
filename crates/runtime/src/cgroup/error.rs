//! Why something about a control group failed: each variant names the operation and its object.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

/// Why an operation on a control group failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No hierarchy is mounted.
    #[error("no control groups are mounted: mount cgroup2 on /sys/fs/cgroup")]
    NotMounted,
    /// A limit needs a controller that this machine does not have.
    #[error("no control group controller `{controller}` is available, which a limit needs")]
    NoController {
        /// The controller.
        controller: Cow<'static, str>,
    },
    /// A limit needs a file that this kernel does not have.
    #[error("{} is not there, which a limit needs", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// Swap is limited together with memory, and memory is not limited.
    #[error("swap is limited together with memory: a limit of memory is needed beside that of swap")]
    SwapWithoutMemory,
    /// The limit of memory and swap together is less than that of memory.
    #[error(
        "memory and swap together ({together_bytes} bytes) are less than memory alone ({memory_bytes} bytes)"
    )]
    SwapBelowMemory {
        /// Memory and swap.
        together_bytes: i64,
        /// Memory.
        memory_bytes: i64,
    },
    /// More is in use than the new limit, and the caller wanted it refused then.
    #[error("{used_bytes} bytes of memory are in use, more than the new limit of {limit_bytes}")]
    MemoryInUse {
        /// What is in use.
        used_bytes: i64,
        /// The new limit.
        limit_bytes: i64,
    },
    /// A key of v2 on a machine with v1.
    #[error("`{key}` is a file of control groups v2, and this machine limits with v1")]
    OnlyV2 {
        /// The key.
        key: String,
    },
    /// A key that is no file of a controller.
    #[error("`{key}` is no file of a control group: `controller.name` is")]
    Key {
        /// The key.
        key: String,
    },
    /// A size of huge pages that the kernel does not write so.
    #[error("`{size}` is no size of huge pages: `2MB` is")]
    HugePageSize {
        /// The size.
        size: String,
    },
    /// A device rule takes a part out of another one, which v1 cannot remember.
    #[error(
        "the device rule `{rule}` covers a part of an earlier one: control groups v1 cannot tell them apart"
    )]
    DevicePart {
        /// The rule as v1 writes it.
        rule: String,
    },
    /// A group could not be made.
    #[error("make the control group {}", path.display())]
    Make {
        /// The group's directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A value was not accepted.
    #[error("write {value:?} to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The device filter of v2 was not accepted.
    #[error("attach the device filter to {}", path.display())]
    DeviceFilter {
        /// The group's directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The group did not freeze in time.
    #[error("freeze {}: some of its processes still run", path.display())]
    Freeze {
        /// The group's directory.
        path: PathBuf,
    },
    /// A group could not be removed.
    #[error("remove the control group {}", path.display())]
    Remove {
        /// The group's directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}
