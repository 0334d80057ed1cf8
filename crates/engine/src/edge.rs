//! The edge process: one for all containers of a daemon, for the traffic that the kernel's translation cannot take.
//!
//! It is this same binary in the role `edge`, started with the first published port, adopted by the next daemon, and
//! told of changes through a file and a socket. It serves on while no daemon lives; while one does, it is started again
//! when somebody kills it.

use base::Chain;
use model::PublishedPort;
use net::{Network, edge};
use platform::Error;
use rustix::event::{PollFd, PollFlags, poll};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a new edge process is looked for, and how long in between.
const CONNECT_ATTEMPTS_MAX: u32 = 500;
const CONNECT_PAUSE: Duration = Duration::from_millis(2);
/// The pause before one that ended is started again: one that cannot live must not keep the machine busy.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// Stack of the thread that waits for its end, in bytes.
const STACK_BYTES: usize = 128 << 10;

#[derive(Default)]
struct Book {
    ports: Vec<PublishedPort>,
    /// The port that the kernel redirects to, once the process is known to serve.
    redirected: Option<u16>,
    /// Whether a thread waits for the end of the process.
    is_watched: bool,
}

/// The edge process of this daemon. A clone is the same one.
#[derive(Clone)]
pub(crate) struct Edge {
    directory: PathBuf,
    network: Arc<Network>,
    book: Arc<Mutex<Book>>,
}

impl Edge {
    pub(crate) fn new(directory: PathBuf, network: Arc<Network>) -> Edge {
        Edge { directory, network, book: Arc::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, what: &str, why: impl std::fmt::Display) -> Error {
        Error::failed(format!("{what} the edge process in {}: {why}", self.directory.display()))
    }

    /// Takes over what an earlier daemon published.
    pub(crate) fn adopt(&self, ports: Vec<PublishedPort>) -> Result<(), Error> {
        let mut book = self.book();
        book.ports = ports;
        if book.ports.is_empty() {
            drop(book);
            self.end();
            return Ok(());
        }
        self.serve(&mut book)
    }

    /// Adds ports.
    pub(crate) fn publish(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        let mut book = self.book();
        book.ports.extend_from_slice(ports);
        self.serve(&mut book)
    }

    /// Takes ports away.
    pub(crate) fn unpublish(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        let mut book = self.book();
        let before = book.ports.len();
        book.ports.retain(|port| !ports.contains(port));
        if book.ports.len() == before {
            return Ok(());
        }
        self.write(&book)?;
        match edge::Client::connect(&self.directory) {
            Ok(mut client) => client.reload().map(drop).map_err(|error| self.failed("tell", Chain(&error))),
            // It is not there: then it serves nothing either, and the next port starts it.
            Err(_) => Ok(()),
        }
    }

    fn write(&self, book: &Book) -> Result<(), Error> {
        edge::write_view(&self.directory, &book.ports)
            .map_err(|error| self.failed("write the view of", Chain(&error)))
    }

    fn serve(&self, book: &mut Book) -> Result<(), Error> {
        std::fs::create_dir_all(&self.directory)
            .map_err(|error| self.failed("make the directory of", error))?;
        self.write(book)?;
        let mut client = match edge::Client::connect(&self.directory) {
            Ok(client) => client,
            Err(_) => self.spawn()?,
        };
        let port = client.reload().map_err(|error| self.failed("tell", Chain(&error)))?;
        if book.redirected != Some(port) {
            self.network.set_edge_port(port).map_err(|error| self.failed("redirect to", Chain(&error)))?;
            book.redirected = Some(port);
        }
        if !book.is_watched {
            let process = client.process().map_err(|error| self.failed("watch", Chain(&error)))?;
            book.is_watched = self.watch(process);
        }
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
            book.redirected = None;
            if !book.ports.is_empty()
                && let Err(error) = edge.serve(&mut book)
            {
                tracing::error!(%error, "nothing is served over IPv6 until the next port is published");
            }
        };
        std::thread::Builder::new().stack_size(STACK_BYTES).spawn(wait).is_ok()
    }

    /// Starts the process and waits until it answers. It is a session of its own, so that nothing that ends the daemon ends it.
    fn spawn(&self) -> Result<edge::Client, Error> {
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
            match edge::Client::connect(&self.directory) {
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
        if self.book().ports.is_empty() {
            self.end();
        }
    }

    fn end(&self) {
        self.book().redirected = None;
        if let Ok(client) = edge::Client::connect(&self.directory) {
            let _ = client.exit();
        }
    }
}
