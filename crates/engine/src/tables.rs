//! What the engine keeps in the node's table.

use base::{Chain, Time};
use model::{ContainerId, ContainerIntent, DaemonId, NetworkId, NetworkIntent, Observed};
use platform::Error;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::sync::Arc;
use store::{Durability, Store, Table};

/// A container: what was asked for and what was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) intent: ContainerIntent,
    pub(crate) observed: Observed,
}

/// What is true of a data root for its whole life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Part of the name of everything that is made in the kernel.
    pub(crate) daemon: DaemonId,
    /// When the data root was first used.
    pub(crate) created: Time,
    /// The default bridge's network id, 64 digits.
    pub(crate) bridge: String,
    /// The bridge's subnet once it was chosen: base and prefix.
    pub(crate) subnet: Option<(Ipv4Addr, u8)>,
}

const CONTAINERS: Table<ContainerId, Record> = Table::new("containers");
const NETWORKS: Table<NetworkId, NetworkIntent> = Table::new("networks");
const IDENTITY: Table<String, Identity> = Table::new("identity");
/// The one row of `IDENTITY`.
const SELF: &str = "self";

/// The engine's tables.
#[derive(Clone)]
pub(crate) struct Tables {
    store: Arc<Store>,
}

fn failed(what: &str, error: &store::Error) -> Error {
    Error::failed(format!("{what}: {}", Chain(error)))
}

impl Tables {
    pub(crate) fn new(store: Arc<Store>) -> Tables {
        Tables { store }
    }

    /// Runs a write that waits for the disk where the asynchronous runtime does not mind.
    async fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        what: String,
        change: impl FnOnce(&mut store::WriteTx<'_>) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = Arc::clone(&self.store);
        let written = match durability {
            // Memory only: quicker than handing it to another thread.
            Durability::Lazy => store.write(durability, change),
            Durability::Synced => tokio::task::spawn_blocking(move || store.write(durability, change))
                .await
                .map_err(|error| Error::failed(format!("{what}: {error}")))?,
        };
        written.map_err(|error| failed(&what, &error))
    }

    pub(crate) async fn put_container(
        &self,
        intent: &ContainerIntent,
        observed: &Observed,
        durability: Durability,
    ) -> Result<(), Error> {
        let record = Record { intent: intent.clone(), observed: observed.clone() };
        let what = format!("record container {}", intent.id.short());
        self.write(durability, what, move |tx| tx.put(&CONTAINERS, &record.intent.id, &record)).await
    }

    /// The same at once, on a thread that may block.
    pub(crate) fn put_record(&self, record: &Record) -> Result<(), Error> {
        let put = |tx: &mut store::WriteTx<'_>| tx.put(&CONTAINERS, &record.intent.id, record);
        let what = format!("record container {}", record.intent.id.short());
        self.store.write(Durability::Synced, put).map_err(|error: store::Error| failed(&what, &error))
    }

    /// Records a new container with what belongs to it, on a thread that may block.
    pub(crate) fn put_new(
        &self,
        record: &Record,
        more: impl FnOnce(&mut store::WriteTx<'_>) -> Result<(), store::Error>,
    ) -> Result<(), Error> {
        let put = |tx: &mut store::WriteTx<'_>| {
            more(tx)?;
            tx.put(&CONTAINERS, &record.intent.id, record)
        };
        let what = format!("record container {}", record.intent.id.short());
        self.store.write(Durability::Synced, put).map_err(|error: store::Error| failed(&what, &error))
    }

    /// Forgets a container and what goes with it, on a thread that may block.
    pub(crate) fn remove_container(
        &self,
        id: ContainerId,
        more: impl FnOnce(&mut store::WriteTx<'_>),
    ) -> Result<(), Error> {
        let remove = |tx: &mut store::WriteTx<'_>| {
            more(tx);
            tx.remove(&CONTAINERS, &id);
            Ok(())
        };
        let what = format!("remove container {} from the table", id.short());
        self.store.write(Durability::Synced, remove).map_err(|error: store::Error| failed(&what, &error))
    }

    pub(crate) async fn put_network(&self, intent: &NetworkIntent) -> Result<(), Error> {
        let (intent, what) = (intent.clone(), format!("record the network {}", intent.spec.name));
        self.write(Durability::Synced, what, move |tx| tx.put(&NETWORKS, &intent.id, &intent)).await
    }

    pub(crate) async fn remove_network(&self, id: NetworkId) -> Result<(), Error> {
        let what = format!("remove the network {} from the table", id.short());
        self.write(Durability::Synced, what, move |tx| {
            tx.remove(&NETWORKS, &id);
            Ok(())
        })
        .await
    }

    /// All networks that somebody asked for.
    pub(crate) fn networks(&self) -> Result<Vec<NetworkIntent>, Error> {
        let listed =
            self.store.read(|tx| tx.list(&NETWORKS)).map_err(|error| failed("read networks", &error))?;
        Ok(listed.into_iter().map(|(_, intent)| intent).collect())
    }

    /// All containers, in the order in which they were created.
    pub(crate) fn containers(&self) -> Result<Vec<Record>, Error> {
        let listed =
            self.store.read(|tx| tx.list(&CONTAINERS)).map_err(|error| failed("read containers", &error))?;
        let mut records: Vec<Record> = listed.into_iter().map(|(_, record)| record).collect();
        records.sort_by_key(|record| (record.intent.created, record.intent.id));
        Ok(records)
    }

    /// Who this daemon is; made up when the data root is new.
    pub(crate) fn identity(&self, now: Time) -> Result<Identity, Error> {
        self.store
            .write(Durability::Synced, |tx| {
                if let Some(known) = tx.get(&IDENTITY, &SELF.to_owned())? {
                    return Ok(known);
                }
                let network = ContainerId::from_bytes(base::random::bytes());
                let identity = Identity {
                    daemon: DaemonId::from_bytes(base::random::bytes()),
                    created: now,
                    bridge: network.to_string(),
                    subnet: None,
                };
                tx.put(&IDENTITY, &SELF.to_owned(), &identity)?;
                Ok(identity)
            })
            .map_err(|error: store::Error| failed("read who this daemon is", &error))
    }

    pub(crate) fn put_identity(&self, identity: &Identity) -> Result<(), Error> {
        self.store
            .write(Durability::Synced, |tx| tx.put(&IDENTITY, &SELF.to_owned(), identity))
            .map_err(|error: store::Error| failed("record who this daemon is", &error))
    }
}
