//! One container: what it is made of, the program that watches it, and the figures that the kernel keeps of it.
//!
//! Synchronous, single-threaded where it forks, no asynchronous runtime.

pub mod cgroup;
mod isolate;
pub mod setup;
pub mod shim;
