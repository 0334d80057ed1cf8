//! What the black-box tests stand on: a daemon of one's own from the release binary, clients that drive it, a terminal to type
//! into, and a look at what is left over.
//!
//! ```text
//! rows! { test, for `docker` and for `bocage` } -> Node::start -> node.cli(client) -> run / ok / fails / terminal
//!                                               -> drop: daemon stopped, nothing may be left
//! ```
//!
//! Invariants: a test touches only what it made; two tests never share a daemon; nothing here knows a crate of the product. A test
//! that cannot run on this machine says so with [`skip`], which prints a line that `cargo xtask test` counts.
//!
//! Absent on purpose: sleeps. A test waits for a condition with [`until`], within a limit.

#![allow(clippy::disallowed_methods, reason = "tests of a program read the clock and the environment")]

#[path = "../../crates/bootstrap/tests/common/archive.rs"]
pub mod archive;
mod bundle;
mod cli;
mod left;
mod needs;
mod node;
mod registry;
mod terminal;
mod wait;
mod web;

pub use bundle::Bundle;
pub use cli::{Cli, Client, Said, Spawned};
pub(crate) use left::sweep;
pub use left::{left_of, processes_with_file_below};
pub use needs::{binary, image_path, ready, skip};
pub use node::{Answer, Node, Options};
pub use registry::Registry;
pub use terminal::Terminal;
pub use wait::{until, until_within};
pub use web::{free_port, host_address, page};

/// Makes of each function one test for each client.
///
/// A function takes a node and the client's command line on it, and names the images that must be there:
/// `fn what_must_be_seen(node, cli) needs ["busybox"] { … }`. The node has these images loaded.
#[macro_export]
macro_rules! rows {
    ($( $(#[$meta:meta])* fn $name:ident($node:ident, $cli:ident) needs [$($image:literal),*] $body:block )*) => {
        $(
            $(#[$meta])*
            mod $name {
                #[allow(unused_imports, reason = "not every row uses every tool of its file")]
                use super::*;

                fn row(client: $crate::Client) {
                    if !$crate::ready(client, &[$($image),*]) {
                        return;
                    }
                    #[allow(unused_mut, reason = "some rows kill and restart their node")]
                    let mut $node = $crate::Node::start(&[$($image),*]);
                    let body = |$node: &mut $crate::Node| {
                        let $cli = $node.cli(client);
                        $body
                    };
                    body(&mut $node);
                    $node.stop();
                }

                #[test]
                fn docker() {
                    row($crate::Client::Docker);
                }

                #[test]
                fn bocage() {
                    row($crate::Client::Bocage);
                }
            }
        )*
    };
}
