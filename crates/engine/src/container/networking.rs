//! A container joins networks and leaves them, while it runs or before.

use super::{State, Task};
use crate::networks::Claims;
use crate::{doors, start};
use model::container::NetworkMode;
use model::{Attachment, NetworkId};
use platform::Error;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use store::Durability;

impl Task {
    /// The network namespace of its process, if it runs.
    fn namespace(&self) -> Result<Option<OwnedFd>, Error> {
        let (State::Live(_), Some(pid)) = (&self.state, self.observed.pid()) else { return Ok(None) };
        let path = format!("/proc/{pid}/ns/net");
        match std::fs::File::open(&path) {
            Ok(file) => Ok(Some(file.into())),
            Err(error) => Err(Error::failed(format!("open {path}: {error}"))),
        }
    }

    pub(super) async fn connect(&mut self, attachment: Attachment) -> Result<(), Error> {
        match self.intent.spec.network {
            NetworkMode::Attached => {}
            NetworkMode::None => {
                return Err(Error::forbidden(
                    "container cannot be connected to multiple networks with one of the networks in private (none) mode",
                ));
            }
            NetworkMode::Host => {
                return Err(Error::forbidden(
                    "container cannot be disconnected from host network or connected to another one beside it",
                ));
            }
            NetworkMode::Container(_) => {
                return Err(Error::forbidden(
                    "container sharing network namespace with another container or host cannot be connected to any other network",
                ));
            }
        }
        let mut attachments = self.shared.networks.attachments(&self.intent);
        let network = self.shared.networks.find(&attachment.network)?;
        if attachments.iter().any(|other| other.network == attachment.network) {
            return Err(Error::forbidden(format!(
                "endpoint with name {} already exists in network {}",
                self.intent.name, network.intent.spec.name
            )));
        }
        attachments.push(attachment.clone());
        let namespace = self.namespace()?;
        let before = std::mem::replace(&mut self.intent.spec.attachments, attachments);
        let had_left_all = std::mem::take(&mut self.intent.spec.has_left_all);
        if let Some(namespace) = namespace {
            let (shared, intent) = (Arc::clone(&self.shared), self.intent.clone());
            let mut places = self.observed.endpoints.clone();
            let joined = doors::blocking(move || {
                let claims = Claims::all(&shared.registry);
                let joined = shared.networks.join(&intent, namespace, (&attachment, &claims), &mut places);
                Ok((joined.and(start::write_endpoints(&shared, intent.id, &places)), places))
            });
            let (joined, places) = joined.await?;
            self.observed.endpoints = places;
            if let Err(error) = joined {
                let is_on = self.observed.endpoints.iter().any(|place| place.network == network.intent.id);
                if !is_on {
                    self.intent.spec.attachments = before;
                    self.intent.spec.has_left_all = had_left_all;
                    return Err(error);
                }
                tracing::error!(container = %self.intent.id, %error, "the next daemon would not know all its places");
            }
            self.write_hosts();
        }
        self.record(Durability::Synced).await?;
        self.publish();
        self.shared.tell_network("connect", &network.intent.spec, network.intent.id, Some(self.intent.id));
        Ok(())
    }

    pub(super) async fn disconnect(&mut self, network: NetworkId) -> Result<(), Error> {
        let id = network.to_string();
        let mut attachments = self.shared.networks.attachments(&self.intent);
        let found = self.shared.networks.by_id(network);
        let name = found.as_ref().map_or(id.as_str(), |found| found.intent.spec.name.as_str());
        let count = attachments.len();
        attachments.retain(|attachment| attachment.network != id);
        if self.intent.spec.network != NetworkMode::Attached || attachments.len() == count {
            return Err(Error::forbidden(format!(
                "container {} is not connected to network {name}",
                self.intent.id
            )));
        }
        let namespace = self.namespace()?;
        self.intent.spec.has_left_all = attachments.is_empty();
        self.intent.spec.attachments = attachments;
        // The wish first: what a crash leaves of the link goes with the container's end.
        self.record(Durability::Synced).await?;
        if let Some(namespace) = namespace {
            let (shared, intent) = (Arc::clone(&self.shared), self.intent.clone());
            let mut places = self.observed.endpoints.clone();
            let left = doors::blocking(move || {
                let left = shared.networks.leave(&intent, namespace, network, &mut places);
                Ok((left.and(start::write_endpoints(&shared, intent.id, &places)), places))
            });
            let (left, places) = left.await?;
            self.observed.endpoints = places;
            self.write_hosts();
            self.record_what_happened().await;
            self.publish();
            left?;
        }
        self.publish();
        if let Some(found) = &found {
            self.shared.tell_network("disconnect", &found.intent.spec, network, Some(self.intent.id));
        }
        Ok(())
    }

    /// Tells that a container that started, or ended, is on its networks, or off them.
    pub(super) fn tell_networks(&self, action: &str, endpoints: &[model::observed::Endpoint]) {
        for place in endpoints {
            if let Some(network) = self.shared.networks.by_id(place.network) {
                self.shared.tell_network(action, &network.intent.spec, place.network, Some(self.intent.id));
            }
        }
    }

    /// Brings the container's list of hosts up to date with its addresses.
    fn write_hosts(&self) {
        if let Err(error) = start::write_hosts(&self.shared, &self.intent, &self.observed.endpoints) {
            tracing::warn!(container = %self.intent.id, %error, "its list of hosts is out of date");
        }
    }
}
