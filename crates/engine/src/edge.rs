//! The edge process: one for all containers of a daemon, for the traffic that the kernel's translation cannot take, and for
//! the names that containers ask for.
//!
//! It is this same binary in the role `edge`, started with the first published port or the first container that asks for
//! names, adopted by the next daemon, and told of each change as it happens. It serves on while no daemon lives; while one does,
//! it is started again when somebody kills it, and told everything: the whole truth is in the book here. The sockets that
//! containers ask on are opened again then, in their namespaces, which are held open here for that.

use base::Chain;
use model::view::Member;
use model::{ContainerId, NetworkNames, PublishedPort, Resolver, View};
use net::Dataplane;
use platform::Error;
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use traffic::Client;

/// How often a new edge process is looked for, and how long in between.
const CONNECT_ATTEMPTS_MAX: u32 = 500;
const CONNECT_PAUSE: Duration = Duration::from_millis(2);
/// The pause before one that ended is started again: one that cannot live must not keep the machine busy.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// Stack of the thread that waits for its end, in bytes.
const STACK_BYTES: usize = 128 << 10;

#[derive(Default)]
struct Book {
    /// All that shall be served.
    view: View,
    /// The network namespaces of the containers that ask for names.
    namespaces: BTreeMap<ContainerId, OwnedFd>,
    /// The connection to the process; what is in the view is known there.
    client: Option<Client>,
    /// The port that the kernel redirects to.
    redirected: Option<u16>,
    /// Whether a thread waits for the end of the process.
    is_watched: bool,
}

/// The edge process of this daemon. A clone is the same one.
#[derive(Clone)]
pub(crate) struct Edge {
    directory: PathBuf,
    network: Arc<Dataplane>,
    book: Arc<Mutex<Book>>,
}

impl Edge {
    pub(crate) fn new(directory: PathBuf, network: Arc<Dataplane>) -> Edge {
        Edge { directory, network, book: Arc::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, what: &str, why: impl std::fmt::Display) -> Error {
        Error::failed(format!("{what} the edge process in {}: {why}", self.directory.display()))
    }

    /// Takes over what an earlier daemon had served: all of it, with the network namespaces of the containers that ask for names.
    pub(crate) fn adopt(&self, view: View, namespaces: BTreeMap<ContainerId, OwnedFd>) -> Result<(), Error> {
        let mut book = self.book();
        (book.view, book.namespaces) = (view, namespaces);
        if book.view.is_empty() {
            drop(book);
            self.end();
            return Ok(());
        }
        book.client = None;
        self.serve(&mut book)
    }

    /// All ports that are answered for, and the port of the process itself, once it serves.
    pub(crate) fn published(&self) -> (Vec<PublishedPort>, Option<u16>) {
        let book = self.book();
        (book.view.ports.values().flatten().cloned().collect(), book.redirected)
    }

    /// Answers for exactly these ports of a container.
    pub(crate) fn publish(&self, owner: ContainerId, ports: &[PublishedPort]) -> Result<(), Error> {
        if ports.is_empty() {
            return self.unpublish(owner);
        }
        let mut book = self.book();
        book.view.ports.insert(owner, ports.to_vec());
        self.tell(&mut book, |client| client.set_ports(owner, ports))
    }

    /// Answers for none of its ports.
    pub(crate) fn unpublish(&self, owner: ContainerId) -> Result<(), Error> {
        let mut book = self.book();
        if book.view.ports.remove(&owner).is_none() {
            return Ok(());
        }
        self.tell(&mut book, |client| client.set_ports(owner, &[]))
    }

    /// Knows a network and all its members.
    pub(crate) fn set_network(&self, network: &str, names: NetworkNames) -> Result<(), Error> {
        let mut book = self.book();
        book.view.networks.insert(network.to_owned(), names.clone());
        self.tell(&mut book, |client| client.set_network(network, names))
    }

    /// Forgets a network.
    pub(crate) fn remove_network(&self, network: &str) -> Result<(), Error> {
        let mut book = self.book();
        if book.view.networks.remove(network).is_none() {
            return Ok(());
        }
        self.tell(&mut book, |client| client.drop_network(network))
    }

    /// Knows a member of a network that is known, new or changed.
    pub(crate) fn set_member(&self, network: &str, id: ContainerId, member: Member) -> Result<(), Error> {
        let mut book = self.book();
        let names = book.view.networks.get_mut(network);
        let names =
            names.ok_or_else(|| self.failed("tell", format!("the network {network} is not known")))?;
        names.members.insert(id, member.clone());
        self.tell(&mut book, |client| client.set_member(network, id, member))
    }

    /// Forgets a member of a network.
    pub(crate) fn remove_member(&self, network: &str, id: ContainerId) -> Result<(), Error> {
        let mut book = self.book();
        let names = book.view.networks.get_mut(network);
        if names.and_then(|names| names.members.remove(&id)).is_none() {
            return Ok(());
        }
        self.tell(&mut book, |client| client.drop_member(network, id))
    }

    /// Answers what a container's programs ask: in its network namespace, or where that is none, in the one that it was
    /// given before.
    pub(crate) fn set_resolver(
        &self,
        id: ContainerId,
        resolver: Resolver,
        namespace: Option<OwnedFd>,
    ) -> Result<(), Error> {
        let mut book = self.book();
        let opened = namespace.as_ref().map(net::resolver_sockets).transpose();
        let opened = opened.map_err(|error| {
            Error::failed(format!("let the container {} ask for names: {}", id.short(), Chain(&error)))
        })?;
        book.view.resolvers.insert(id, resolver.clone());
        if let Some(namespace) = namespace {
            book.namespaces.insert(id, namespace);
        }
        let sockets = opened.map(|opened| [opened.datagrams, opened.listener]);
        self.tell(&mut book, |client| client.set_resolver(id, resolver, sockets).map(drop))
    }

    /// Answers it no longer.
    pub(crate) fn remove_resolver(&self, id: ContainerId) -> Result<(), Error> {
        let mut book = self.book();
        book.namespaces.remove(&id);
        if book.view.resolvers.remove(&id).is_none() {
            return Ok(());
        }
        self.tell(&mut book, |client| client.drop_resolver(id))
    }

    /// Tells the process of a change that is in the book. Where none is known, or what it was told last is not, one is found or
    /// started, and told everything; unless there is nothing to serve.
    fn tell(
        &self,
        book: &mut Book,
        change: impl FnOnce(&mut Client) -> Result<(), traffic::Error>,
    ) -> Result<(), Error> {
        if let Some(client) = &mut book.client {
            match change(client) {
                Ok(()) => return Ok(()),
                Err(error @ traffic::Error::Refused { .. }) => return Err(self.failed("tell", Chain(&error))),
                Err(_) => book.client = None,
            }
        }
        if book.view.is_empty() { Ok(()) } else { self.serve(book) }
    }

    /// Connects to the process, which is started if it is not there, and tells it everything.
    fn serve(&self, book: &mut Book) -> Result<(), Error> {
        std::fs::create_dir_all(&self.directory)
            .map_err(|error| self.failed("make the directory of", error))?;
        let mut client = match Client::connect(&self.directory) {
            Ok(client) => client,
            Err(_) => self.spawn()?,
        };
        let tell = |error: traffic::Error| self.failed("tell", Chain(&error));
        for id in client.replace(book.view.clone()).map_err(tell)? {
            let known = book.view.resolvers.get(&id).zip(book.namespaces.get(&id));
            let Some((resolver, namespace)) = known else { continue };
            // The others are answered all the same.
            match net::resolver_sockets(namespace) {
                Ok(opened) => {
                    let sockets = Some([opened.datagrams, opened.listener]);
                    client.set_resolver(id, resolver.clone(), sockets).map_err(tell)?;
                }
                Err(error) => {
                    tracing::error!(container = %id, error = %Chain(&error), "it cannot ask for names");
                }
            }
        }
        if book.redirected != Some(client.port()) {
            let redirected = self.network.set_edge_port(client.port());
            redirected.map_err(|error| self.failed("redirect to", Chain(&error)))?;
            book.redirected = Some(client.port());
        }
        if !book.is_watched {
            let process = client.process().map_err(|error| self.failed("watch", Chain(&error)))?;
            book.is_watched = self.watch(process);
        }
        book.client = Some(client);
        Ok(())
    }

    /// Waits for the end of the process on a thread of its own, and starts it again if it still has something to serve.
    fn watch(&self, process: OwnedFd) -> bool {
        let edge = self.clone();
        let wait = move || {
            // An interrupted wait is begun again; another error is as good as the end.
            while poll(&mut [PollFd::new(&process, PollFlags::IN)], None) == Err(rustix::io::Errno::INTR) {}
            std::thread::sleep(RESTART_PAUSE);
            let mut book = edge.book();
            book.is_watched = false;
            // Somebody may have started another one meanwhile: that one is connected to again, and watched.
            (book.redirected, book.client) = (None, None);
            if !book.view.is_empty()
                && let Err(error) = edge.serve(&mut book)
            {
                tracing::error!(%error, "no names are answered, and nothing over IPv6, until the next change");
            }
        };
        std::thread::Builder::new().stack_size(STACK_BYTES).spawn(wait).is_ok()
    }

    /// Starts the process and waits until it answers. It is a session of its own, so that nothing that ends the daemon ends it.
    fn spawn(&self) -> Result<Client, Error> {
        let mut child = Command::new("/proc/self/exe")
            .arg("edge")
            .arg("--dir")
            .arg(&self.directory)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| self.failed("start", error))?;
        let mut last = String::new();
        for _ in 0..CONNECT_ATTEMPTS_MAX {
            match Client::connect(&self.directory) {
                Ok(client) => {
                    // Reaped when it ends before the daemon; the thread costs nothing while it waits.
                    let _ = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || child.wait());
                    return Ok(client);
                }
                Err(error) => last = Chain(&error).to_string(),
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(self.failed("start", format!("it ended with {status}")));
            }
            std::thread::sleep(CONNECT_PAUSE);
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(self.failed("reach", last))
    }

    /// Ends the process if it serves nothing.
    pub(crate) fn end_if_idle(&self) {
        if self.book().view.is_empty() {
            self.end();
        }
    }

    fn end(&self) {
        let client = {
            let mut book = self.book();
            book.redirected = None;
            book.client.take()
        };
        if let Some(client) = client.or_else(|| Client::connect(&self.directory).ok()) {
            let _ = client.exit();
        }
    }
}
