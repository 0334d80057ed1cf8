//! Containers on this machine's kernel, through the shim program.

mod bench;
mod exec;
mod isolation;
mod limits;
mod run;
mod streams;
