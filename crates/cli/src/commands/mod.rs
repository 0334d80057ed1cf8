//! What each command does with the daemon.

pub(crate) mod container;
pub(crate) mod demo;
pub(crate) mod image;
pub(crate) mod list;
pub(crate) mod node;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod spec;
pub(crate) mod stats;

use crate::client::Client;
use crate::failure::Failure;
use crate::printer;

/// Does the same for each name, and goes on after a failure; all failures are told.
pub(crate) async fn each(
    names: &[String],
    act: impl AsyncFn(&str) -> Result<Option<String>, Failure>,
) -> Result<(), Failure> {
    let mut failed = None;
    for name in names {
        match act(name).await {
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
