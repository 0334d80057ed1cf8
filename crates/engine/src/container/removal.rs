//! Removing a container with everything that was made for it.

use super::{Reply, State, Stopping, Task, until_released};
use crate::doors::blocking;
use crate::{signal, volumes};
use model::{Desired, Phase};
use platform::{Error, RemoveOptions};
use std::sync::Arc;

impl Task {
    pub(super) async fn asked_to_remove(&mut self, options: RemoveOptions, reply: Reply<()>) {
        let paused = matches!(self.observed.phase, Phase::Paused { .. });
        if let State::Live(live) = &mut self.state {
            if !options.force {
                let name = &self.intent.name;
                let _ = reply.send(Err(Error::conflict(if paused {
                    format!("cannot remove container \"/{name}\": container is paused and must be unpaused first")
                } else {
                    format!(
                        "cannot remove container \"/{name}\": container is running: stop the container before removing or \
                         force remove"
                    )
                })));
                return;
            }
            let mut waiters = live.stopping.take().map(|earlier| earlier.waiters).unwrap_or_default();
            waiters.push(reply);
            let then_remove = Some(options);
            live.stopping =
                Some(Stopping { deadline: None, waiters, then_start: false, then_remove, leaving: false });
            self.signal(signal::KILL).await;
            return;
        }
        if !options.force && matches!(self.state, State::Waiting(_)) {
            let _ = reply.send(Err(Error::conflict(format!(
                "cannot remove container \"/{}\": container is restarting: stop the container before removing or force remove",
                self.intent.name
            ))));
            return;
        }
        let answer = self.remove(options).await;
        let _ = reply.send(answer);
    }

    pub(super) async fn remove_if_automatic(&mut self) {
        let rests = matches!(self.state, State::Resting) && self.intent.desired == Desired::Stopped;
        if self.intent.spec.auto_remove && rests {
            let options = RemoveOptions { force: false, volumes: true };
            if let Err(error) = self.remove(options).await {
                tracing::error!(container = %self.intent.id, %error, "automatic removal failed");
            }
        }
    }

    /// Removes everything that was made for a container that does not run. The table comes first: once it is out of
    /// there it is gone, and what a crash leaves of its files is swept by the next start of the daemon.
    pub(super) async fn remove(&mut self, options: RemoveOptions) -> Result<(), Error> {
        let (shared, intent) = (Arc::clone(&self.shared), self.intent.clone());
        blocking(move || volumes::forget(&shared, &intent, options.volumes)).await?;
        self.clients.clear();
        self.shared.registry.forget(self.intent.id);
        self.remove_files().await;
        self.tell("destroy");
        self.shared.collect_images_soon();
        self.state = State::Gone;
        self.publish();
        Ok(())
    }

    /// Removes its files. Nobody waits for it, but where the disk is nearly full: whoever removes a container there wants the
    /// room, and has it once this has returned.
    async fn remove_files(&mut self) {
        let (shared, intent, released) =
            (Arc::clone(&self.shared), self.intent.clone(), self.released.take());
        let files = shared.roots.containers();
        let is_scarce = base::disk::Room::at(&files).is_ok_and(|room| room.is_scarce());
        let removal = tokio::spawn(async move {
            // What is removed while it is mounted keeps its room until it is not.
            until_released(released).await;
            if let Err(error) = shared.remove_files(&intent).await {
                tracing::error!(container = %intent.id, %error, "files of a removed container are left");
            }
        });
        if is_scarce {
            let _ = removal.await;
        }
    }
}
