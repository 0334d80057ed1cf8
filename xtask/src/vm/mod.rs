//! Debian machines in QEMU: for what this machine's own kernel does not show.
//!
//! | part | what it is |
//! |---|---|
//! | [`demo`] | `cargo xtask vm-demo`: the release binary and nothing else of ours |
//! | [`test`] | `cargo xtask vm-test`: the project's own tests, on control groups v2 alone |
//! | [`machine`] | the root, its disk, the boot; shared by both |
//! | [`said`] | what the machine of the tests prints, understood |

mod demo;
mod machine;
mod said;
mod test;

pub(crate) use demo::{as_root as demo_as_root, run as demo};
pub(crate) use test::{as_root as test_as_root, run as test};
