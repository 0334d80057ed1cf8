//! Containers on this machine's kernel, through the shim program.

#[expect(dead_code, reason = "not every test needs everything")]
mod bench;
mod run;
