//! The process itself: its one socket for daemons, its one port for redirected traffic, and what it does with each request.

use crate::control::{Answer, REQUEST_BYTES_MAX, REQUEST_SOCKETS, Request, SOCKET, file, line, socket_path};
use crate::held::{Held, bound, is_without_ipv6};
use crate::{Error, names, ports, tcp, udp};
use base::{Chain, Clock};
use model::{ContainerId, PublishedPort, View};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketType, recvmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

const LOCK: &str = "lock";
/// How long a daemon may take to read an answer, or to say the rest of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Daemons that are connected at once: one, and those that are about to take over or to end.
const CONNECTIONS_MAX: usize = 8;
/// Bytes that are taken from a connection at once.
const READ_BYTES: usize = 64 << 10;
/// Room that a connection keeps between requests.
const KEPT_BYTES_MAX: usize = 16 << 10;
/// Redirected connections at once, each with two descriptors and two buffers.
const RELAYED_MAX: u64 = 4096;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// How often a port is tried that is free for both kinds of traffic.
const PORT_ATTEMPTS_MAX: u32 = 32;
/// Stack of the threads besides, in bytes.
const STACK_BYTES: usize = 256 << 10;

/// Serves a directory until it is told to end.
///
/// # Errors
/// Another process serves it, or a socket could not be had.
pub fn serve(directory: &Path, clock: Clock) -> Result<(), Error> {
    let lock_path = directory.join(LOCK);
    let lock = File::create(&lock_path).map_err(file("open", &lock_path))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Error::Served { path: directory.to_owned() });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .max_blocking_threads(1)
        .build()
        .map_err(file("start the edge process of", directory))?;
    runtime.block_on(run(directory, clock))
}

/// Lets this process have as many descriptors as it may; returns how many connections, and clients of datagrams, that is enough
/// for, half of them left for names.
fn relayed_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((descriptors / 6).min(RELAYED_MAX)).unwrap_or(usize::MAX)
}

/// A port of this host for redirected traffic: a listener, and a socket for datagrams of the same number, so that one rule
/// leads to both. Each for both families, where the host has both.
fn open_port() -> Result<(u16, OwnedFd, OwnedFd), Error> {
    let mut unspecified = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let mut last = Errno::ADDRINUSE;
    for _ in 0..PORT_ATTEMPTS_MAX {
        match pair(unspecified) {
            Ok(found) => return Ok(found),
            Err(errno) if unspecified.is_ipv6() && is_without_ipv6(errno) => {
                unspecified = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
            }
            // The other kind of traffic has that port already.
            Err(errno @ Errno::ADDRINUSE) => last = errno,
            Err(source) => return Err(Error::Bind { address: unspecified, source }),
        }
    }
    Err(Error::Bind { address: unspecified, source: last })
}

fn pair(mut address: SocketAddr) -> Result<(u16, OwnedFd, OwnedFd), Errno> {
    let listener = bound(SocketType::STREAM, address, true)?;
    rustix::net::listen(&listener, BACKLOG)?;
    let port = SocketAddr::try_from(rustix::net::getsockname(&listener)?).map_or(0, |found| found.port());
    address.set_port(port);
    let datagrams = bound(SocketType::DGRAM, address, true)?;
    if address.is_ipv6() {
        sys::socket::tell_local_addresses(&datagrams)?;
    }
    Ok((port, listener, datagrams))
}

/// What the process serves.
struct Served {
    port: u16,
    ports: ports::Shared,
    held: Mutex<Held>,
    names: names::Server,
    ended: Notify,
}

impl Served {
    fn set_ports(&self, owner: ContainerId, ports: &[PublishedPort]) {
        let before = {
            let mut book = self.ports.write().unwrap_or_else(PoisonError::into_inner);
            book.set(owner, ports.to_vec())
        };
        self.held.lock().unwrap_or_else(PoisonError::into_inner).follow(&before, ports);
    }

    async fn replace(&self, view: View) -> Vec<ContainerId> {
        let owners = self.ports.read().unwrap_or_else(PoisonError::into_inner).owners();
        for gone in owners.iter().filter(|owner| !view.ports.contains_key(owner)) {
            self.set_ports(*gone, &[]);
        }
        for (owner, ports) in view.ports {
            self.set_ports(owner, &ports);
        }
        self.names.replace(view.networks, view.resolvers).await
    }

    /// Does what was asked for.
    async fn perform(&self, request: Request, sockets: Option<[OwnedFd; 2]>) -> Result<Answer, Error> {
        let mut answer = Answer { port: self.port, ..Answer::default() };
        match request {
            Request::Greet => {}
            Request::SetPorts { owner, ports } => self.set_ports(owner, &ports),
            Request::SetNetwork { network, names } => self.names.set_network(network, names),
            Request::DropNetwork { network } => self.names.drop_network(&network),
            Request::SetMember { network, id, member } => self.names.set_member(&network, id, member)?,
            Request::DropMember { network, id } => self.names.drop_member(&network, id),
            Request::SetResolver { container, resolver } => {
                if !self.names.set_resolver(container, resolver, sockets).await? {
                    answer.without_sockets.push(container);
                }
            }
            Request::DropResolver { container } => self.names.drop_resolver(container).await,
            Request::Replace { view } => answer.without_sockets = self.replace(view).await,
            // Once it is answered.
            Request::Exit => {}
        }
        Ok(answer)
    }

    /// Answers one daemon's requests until it goes.
    async fn converse(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut inbox = Inbox::default();
        loop {
            let Some(length) = inbox.line() else {
                if inbox.bytes.is_empty() {
                    // A daemon may be silent between requests for as long as it lives.
                    if inbox.read(&stream).await? == 0 {
                        return Ok(());
                    }
                } else if timeout(REQUEST_TIMEOUT, inbox.read(&stream)).await?? == 0 {
                    return Ok(());
                }
                continue;
            };
            let mut is_last = false;
            let outcome = match serde_json::from_slice(&inbox.bytes[..length]) {
                Ok(request) => {
                    is_last = matches!(request, Request::Exit);
                    self.perform(request, inbox.take_sockets()).await
                }
                Err(error) => Err(Error::Refused { reason: format!("this is no request: {error}") }),
            };
            inbox.drop_line(length);
            let answer = outcome.unwrap_or_else(|error| Answer {
                port: self.port,
                refusal: Some(Chain(&error).to_string()),
                ..Answer::default()
            });
            let written = timeout(REQUEST_TIMEOUT, stream.write_all(&line(&answer)?)).await;
            if is_last {
                self.ended.notify_one();
            }
            written??;
        }
    }
}

/// What has come on a connection and was not dealt with yet.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    /// Where the search for the end of a line goes on.
    searched: usize,
    sockets: VecDeque<OwnedFd>,
}

impl Inbox {
    /// The length of the first line, without its end.
    fn line(&mut self) -> Option<usize> {
        let rest = self.bytes.get(self.searched..).unwrap_or_default();
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => Some(self.searched + at),
            None => {
                self.searched = self.bytes.len();
                None
            }
        }
    }

    fn drop_line(&mut self, length: usize) {
        self.bytes.drain(..=length);
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.searched = 0;
        // Those that the line did not ask for.
        self.sockets.clear();
    }

    fn take_sockets(&mut self) -> Option<[OwnedFd; REQUEST_SOCKETS]> {
        let sockets: Vec<OwnedFd> = self.sockets.drain(..).collect();
        sockets.try_into().ok()
    }

    /// Waits for more; returns how many bytes came, none at the end.
    async fn read(&mut self, stream: &UnixStream) -> io::Result<usize> {
        if self.bytes.len() >= REQUEST_BYTES_MAX {
            return Err(io::Error::other("a request is too long"));
        }
        let begin = self.bytes.len();
        let length = stream
            .async_io(Interest::READABLE, || {
                self.bytes.resize(begin + READ_BYTES, 0);
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
                let mut ancillary = RecvAncillaryBuffer::new(&mut space);
                let mut parts = [IoSliceMut::new(&mut self.bytes[begin..])];
                let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
                let received = recvmsg(stream, &mut parts, &mut ancillary, flags);
                self.bytes.truncate(begin + received.as_ref().map_or(0, |received| received.bytes));
                for message in ancillary.drain() {
                    if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                        self.sockets.extend(descriptors);
                    }
                }
                Ok(received?.bytes)
            })
            .await?;
        Ok(length)
    }
}

async fn run(directory: &Path, clock: Clock) -> Result<(), Error> {
    let relayed_max = relayed_max();
    let (port, listener, datagrams) = open_port()?;
    let (_directory, path) = socket_path(directory)?;
    // The lock is held: what is left here is of a process that was killed.
    base::file::remove_all(&directory.join(SOCKET)).map_err(file("clear", directory))?;
    let control = UnixListener::bind(&path).map_err(file("listen in", directory))?;
    let ports = ports::Shared::default();
    let names = names::Server::start(clock, STACK_BYTES)?;
    let listener = TcpListener::from_std(listener.into()).map_err(Error::Socket)?;
    let datagrams = tokio::net::UdpSocket::from_std(UdpSocket::from(datagrams)).map_err(Error::Socket)?;
    let relay = udp::Relay::new(datagrams, Arc::clone(&ports), clock, relayed_max).map_err(Error::Socket)?;
    tokio::spawn(tcp::serve(listener, Arc::clone(&ports), relayed_max));
    tokio::spawn(relay.serve());
    let served = Arc::new(Served { port, ports, held: Mutex::default(), names, ended: Notify::new() });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = control.accept() => accepted,
            () = served.ended.notified() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                // One too many is closed: it may come again.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    // A daemon that breaks off ends its own conversation and nothing else.
                    let _ = served.converse(stream).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(tcp::ACCEPT_PAUSE).await,
        }
    }
    // That it is gone already is as good.
    let _ = std::fs::remove_file(directory.join(SOCKET));
    Ok(())
}
