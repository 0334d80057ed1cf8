//! The shim: the small program that starts one process of a container and stays with it to its end.
//!
//! ```text
//! daemon ── order (memory file) ──> launch ── clone ──> isolate::run … execve
//!        <── report (one line) ────   │ (single-threaded)
//!                                     v
//!        <══ shim.sock ══════════>  serve: output -> log and clients, input, signals, exit
//!                                     │
//!                                     v
//!                                  status.json, group removed, gone
//! ```
//!
//! Invariants: a start that fails leaves nothing. The status file is written before anything else once the process has
//! exited, so that whoever finds no shim finds the truth there. Everything that was written before the exit reaches
//! the log and the clients. No client can hold more than a bounded amount of memory, and one that has gone holds up
//! nobody. The shim ends by itself: there is nothing for a daemon to tidy up.
//!
//! Absent on purpose: threads, an asynchronous runtime, configuration, the environment.

mod client;
mod clone;
mod entry;
mod host;
mod init;
mod launch;
mod order;
mod serve;
pub mod wire;

pub(crate) use clone::start_ticks;
pub use launch::main;
pub(crate) use launch::{IGNORED_SIGNALS, PROGRAM_NAME};
pub(crate) use order::{Filter, Order, Task};
