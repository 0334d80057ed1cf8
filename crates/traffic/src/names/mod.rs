//! The DNS server of containers: what programs inside ask 127.0.0.11 for.
//!
//! Each container has two sockets in its own network namespace, opened by the daemon and handed over; whoever asks there is
//! that container, and sees its networks. Names of members are answered from memory, on the spot; everything else is passed on
//! to the servers that the container was given, if it may ask outside at all.
//!
//! - [`Server`]: what the control connection calls; `serve`: sockets and what comes on them
//! - `book`: who is called what; `message`: queries and answers; `upstream`: servers elsewhere; `cache`: what they said
//!
//! It answers as Docker's does: members with a time of 600 seconds, several addresses in turn, an empty answer where a name
//! has no address of the family or mail is asked for, `SERVFAIL` where nobody may be asked. What differs: a name of one word that
//! a member has is never passed on, whatever is asked for; answers of other servers are kept; a silent server delays a query by
//! less than a second.

mod book;
mod cache;
pub(crate) mod message;
mod serve;
mod upstream;

use crate::Error;
use base::Clock;
use model::{ContainerId, Member, NetworkKey, NetworkNames, Resolver};
use serve::Shared;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The port of name servers, RFC 1035.
const PORT: u16 = 53;

/// What serves one container.
struct Serving {
    tasks: [JoinHandle<()>; 2],
}

impl Serving {
    /// Ends it: its sockets are closed when this returns.
    async fn end(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

/// The server, on a thread of its own.
pub struct Server {
    shared: Arc<Shared>,
    runtime: Handle,
    serving: Mutex<HashMap<ContainerId, Serving>>,
    /// Dropped, it ends the thread.
    _alive: oneshot::Sender<()>,
}

impl Server {
    /// Starts it, with nothing to answer yet.
    ///
    /// # Errors
    /// The thread or its means could not be had.
    pub fn start(clock: Clock, stack_bytes: usize) -> Result<Server, Error> {
        Server::asking(clock, stack_bytes, PORT)
    }

    /// The same, with name servers elsewhere on another port.
    ///
    /// # Errors
    /// As above.
    pub fn asking(clock: Clock, stack_bytes: usize, port: u16) -> Result<Server, Error> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Socket)?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("names".to_owned())
            .stack_size(stack_bytes)
            .spawn(move || {
                let _ = runtime.block_on(ended);
            })
            .map_err(Error::Socket)?;
        let shared = Arc::new(Shared::new(clock, port));
        Ok(Server { shared, runtime: handle, serving: Mutex::default(), _alive: alive })
    }

    fn serving(&self) -> MutexGuard<'_, HashMap<ContainerId, Serving>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows a network, and all its members.
    pub fn set_network(&self, network: NetworkKey, names: NetworkNames) {
        self.shared.change().set_network(network, names);
    }

    /// Forgets a network.
    pub fn drop_network(&self, network: &str) {
        self.shared.change().drop_network(network);
    }

    /// Knows a member of a network.
    ///
    /// # Errors
    /// The network is not known.
    pub fn set_member(&self, network: &str, id: ContainerId, member: Member) -> Result<(), Error> {
        if self.shared.change().set_member(network, id, member) {
            Ok(())
        } else {
            Err(Error::Refused { reason: format!("the network {network} is not known") })
        }
    }

    /// Forgets a member of a network.
    pub fn drop_member(&self, network: &str, id: ContainerId) {
        self.shared.change().drop_member(network, id);
    }

    /// Answers a container: on these sockets, or without them on those that it has. Says whether it has any.
    ///
    /// # Errors
    /// The sockets cannot be served.
    pub async fn set_resolver(
        &self,
        container: ContainerId,
        resolver: Resolver,
        sockets: Option<[OwnedFd; 2]>,
    ) -> Result<bool, Error> {
        self.shared.change().set_resolver(container, resolver);
        let Some([datagrams, listener]) = sockets else {
            return Ok(self.serving().contains_key(&container));
        };
        let tasks = {
            let _inside = self.runtime.enter();
            let datagrams = adopt_datagrams(datagrams).map_err(Error::Socket)?;
            let listener = adopt_listener(listener).map_err(Error::Socket)?;
            let by_datagram = serve::datagrams(Arc::clone(&self.shared), container, datagrams);
            let by_stream = serve::streams(Arc::clone(&self.shared), container, listener);
            [self.runtime.spawn(by_datagram), self.runtime.spawn(by_stream)]
        };
        let old = self.serving().insert(container, Serving { tasks });
        if let Some(old) = old {
            old.end().await;
        }
        Ok(true)
    }

    /// Answers it no longer; its sockets are closed when this returns.
    pub async fn drop_resolver(&self, container: ContainerId) {
        self.shared.change().drop_resolver(container);
        let gone = self.serving().remove(&container);
        if let Some(gone) = gone {
            gone.end().await;
        }
    }

    /// Knows this and nothing else. Sockets of containers that are still there stay; returns those that have none.
    pub async fn replace(
        &self,
        networks: BTreeMap<NetworkKey, NetworkNames>,
        resolvers: BTreeMap<ContainerId, Resolver>,
    ) -> Vec<ContainerId> {
        let gone: Vec<ContainerId> =
            self.serving().keys().filter(|id| !resolvers.contains_key(id)).copied().collect();
        for id in gone {
            self.drop_resolver(id).await;
        }
        let without = {
            let serving = self.serving();
            resolvers.keys().filter(|id| !serving.contains_key(id)).copied().collect()
        };
        self.shared.change().replace(networks, resolvers);
        without
    }
}

fn adopt_datagrams(socket: OwnedFd) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::from(socket);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn adopt_listener(socket: OwnedFd) -> io::Result<TcpListener> {
    let socket = std::net::TcpListener::from(socket);
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}
