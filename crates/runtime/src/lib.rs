//! One container: what it is made of, the program that watches it, and the figures that the kernel keeps of it.
//!
//! ```text
//! engine ── Setup ──> start ── order ──> shim ── clone ──> isolate (a table of steps) ── execve ──> the program
//!                       └── Started <── report ──┘
//! engine <── shim::wire ──> shim (attach, signal, resize, wait)   engine ──> log::Reader, cgroup::Group
//! ```
//!
//! - [`setup`]: what a caller decided. There is no image, network or service name in it.
//! - [`start`] and [`exec`]: the library's two doors; both block until the program runs or has failed to.
//! - [`shim`]: the small program; its own process, so that a container survives the daemon.
//! - [`bundle`]: a runtime for OCI bundles, on the same steps.
//! - [`cgroup`], [`log`], [`view`]: what is asked of a container while it runs and after.
//!
//! Synchronous, single-threaded where it forks, no asynchronous runtime. `unsafe` is in `sys`.

pub mod bundle;
pub mod cgroup;
mod isolate;
pub mod log;
pub mod rooms;
pub mod seccomp;
pub mod setup;
pub mod shim;
mod start;
pub mod timings;
pub mod view;

pub use isolate::talk as message;
pub use start::{Ending, Error, Host, Shim, ShimProgram, Started, exec, start};
