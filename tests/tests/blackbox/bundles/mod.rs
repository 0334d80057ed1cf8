//! `bocage runtime` from outside: runc's verbs on bundles, without a daemon.
//!
//! - `lives`: from `create` to `delete`, and everything that can be done to a container between them.
//! - `running`: `run`, terminals, and where numbers and errors are written.
//! - `refusals`: wrong input, each with its message, and nothing left behind.
//! - `users`: namespaces of users, and mounts and clocks that depend on one.
//! - `hooks`: programs on the way, and filters of system calls.

mod hooks;
mod lives;
mod refusals;
mod running;
mod users;
