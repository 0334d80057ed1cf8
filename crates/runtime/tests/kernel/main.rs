//! Containers on this machine's kernel, through the shim program.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says why and ends")]

mod bench;
mod cost;
mod escapes;
mod exec;
mod isolation;
mod limits;
mod resources;
mod run;
mod streams;
