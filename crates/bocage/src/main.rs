//! `bocage`: which role this process plays, and the wiring of each.
//!
//! | role | what it is |
//! |---|---|
//! | `bocage daemon …` | the node: engine, API ([`daemon`]) |
//! | `bocage edge …` | the process that carries the traffic which the kernel's translation cannot take; outlives the daemon |
//! | `bocage registry …` | a registry alone, without any daemon ([`registry`]) |
//! | `bocage runtime …` | an OCI runtime for bundles, without any daemon ([`oci`]) |
//! | `bocage internal …` | the built-in web server of the demonstration, and what the project's own tools ask for |
//! | anything else | the command line, which reaches a daemon through its API |
//!
//! Only this crate and `cli` read arguments and the environment.

mod config;
mod daemon;
mod internal;
mod lock;
mod log;
mod oci;
mod registry;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let role = arguments.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    match role {
        "edge" => internal::edge(&arguments[2..]),
        "registry" if !arguments.iter().any(|word| word == "--help") => registry::run(&arguments[2..]),
        "runtime" => oci::main(&arguments[2..]),
        "internal" => internal::run(&arguments[2..]),
        _ => cli::main(&arguments, daemon::run),
    }
}
