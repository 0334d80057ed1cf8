//! What each command does with the daemon.

pub(crate) mod attach;
pub(crate) mod bootstrap;
pub(crate) mod container;
pub(crate) mod demo;
pub(crate) mod disk;
pub(crate) mod files;
pub(crate) mod image;
pub(crate) mod index;
pub(crate) mod list;
mod mounts;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod registry;
pub(crate) mod remote;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod spec;
pub(crate) mod stats;
pub(crate) mod tree;
pub(crate) mod volume;

use crate::client::Client;
use crate::failure::Failure;
use crate::printer;
use futures_util::stream::{self, StreamExt};

/// Names that are worked on at once, where their order does not matter.
pub(crate) const AT_ONCE_MAX: usize = 16;

/// Does the same for each name, so many at once, and goes on after a failure. All is told in the order of the names.
pub(crate) async fn each(
    names: &[String],
    at_once: usize,
    act: impl AsyncFn(&str) -> Result<Option<String>, Failure>,
) -> Result<(), Failure> {
    let mut failed = None;
    let mut outcomes = std::pin::pin!(stream::iter(names).map(|name| act(name)).buffered(at_once));
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(Some(said)) => printer::line(&said),
            Ok(None) => {}
            Err(failure) => {
                printer::note(&failure.message);
                failed = Some(Failure::silent(failure.code));
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The id and the configuration of a container.
pub(crate) async fn inspect(client: &Client, name: &str) -> Result<serde_json::Value, Failure> {
    client.get(&format!("/containers/{}/json", crate::client::escape(name))).await
}
