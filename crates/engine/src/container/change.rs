//! What can be changed of a container, and who takes part in its streams.

use super::{Change, State, Task};
use model::Phase;
use platform::{Error, Streams};
use store::Durability;
use tokio::net::UnixStream;

/// Clients that may wait for a container that does not run.
const WAITING_CLIENTS_MAX: usize = 64;

impl Task {
    pub(super) async fn freeze(&mut self, on: bool) -> Result<(), Error> {
        let id = self.intent.id;
        self.observed.phase = match (&self.observed.phase, on) {
            (Phase::Running { pid }, true) | (Phase::Paused { pid }, false) => {
                let pid = *pid;
                self.shared.freeze(&self.intent, on).await?;
                if on { Phase::Paused { pid } } else { Phase::Running { pid } }
            }
            (Phase::Paused { .. }, true) => {
                return Err(Error::conflict(format!("container {id} is already paused")));
            }
            (Phase::Running { .. }, false) => {
                return Err(Error::conflict(format!("container {id} is not paused")));
            }
            _ => return Err(self.not_running()),
        };
        self.publish();
        self.tell(if on { "pause" } else { "unpause" });
        // Not lazily: the next daemon lets go on what it finds still and not recorded as paused.
        self.record(Durability::Synced).await
    }

    pub(super) async fn rename(&mut self, name: String) -> Result<(), Error> {
        self.shared.registry.claim(&name, self.intent.id)?;
        let old = std::mem::replace(&mut self.intent.name, name);
        if let Err(error) = self.record(Durability::Synced).await {
            let new = std::mem::replace(&mut self.intent.name, old);
            self.shared.registry.release(&new, self.intent.id);
            return Err(error);
        }
        self.shared.registry.release(&old, self.intent.id);
        self.shared.networks.renamed(&self.intent, &self.observed.endpoints);
        self.publish();
        self.shared.tell_container("rename", &self.intent, &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    pub(super) async fn update(&mut self, change: Change) -> Result<Vec<String>, Error> {
        let before = self.intent.clone();
        crate::update::apply(&mut self.intent.spec, &change);
        let warnings = match crate::create::checked_resources(&self.shared, &self.intent.spec.resources) {
            Ok(warnings) => warnings,
            Err(error) => {
                self.intent = before;
                return Err(error);
            }
        };
        let changed = async {
            if matches!(self.state, State::Live(_)) {
                self.shared.set_limits(&self.intent).await?;
            }
            self.record(Durability::Synced).await
        };
        if let Err(error) = changed.await {
            self.intent = before;
            return Err(error);
        }
        self.publish();
        self.tell("update");
        Ok(warnings)
    }

    /// Joins a client to the process; of one that does not run yet, as soon as it does.
    pub(super) async fn attach(&mut self, streams: Streams) -> Result<UnixStream, Error> {
        self.tell("attach");
        if let State::Live(live) = &self.state {
            return live.watched.shim().attach(streams).await;
        }
        if self.clients.len() == WAITING_CLIENTS_MAX {
            return Err(Error::conflict(format!(
                "{WAITING_CLIENTS_MAX} clients are waiting for container {} to start: no more are taken",
                self.intent.id
            )));
        }
        let failed =
            |error: std::io::Error| Error::failed(format!("make a stream for an attached client: {error}"));
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let ours = UnixStream::from_std(ours).map_err(failed)?;
        self.clients.push((theirs, streams));
        Ok(ours)
    }
}
