//! The edge process: one for all containers of a daemon, for the traffic that the kernel's translation cannot take.
//!
//! Containers have IPv4 addresses only, so whoever comes to a published port over IPv6, from the host's own `::1` above
//! all, needs a program in between. nftables redirects all such TCP connections to one listener, which asks the kernel
//! where each was going; datagrams come to a socket a port. Every published port is also held here with a bound socket, so that
//! other programs and other daemons find it taken. The ports to serve stand in a file, [`VIEW`], so that the process serves on, and
//! starts again, without a daemon.
//!
//! ```text
//!  daemon --- writes view.json, says "reload" on edge.sock ---> edge
//!  client --- [::1]:8080 --- redirect ---> listener --- 172.17.0.2:80
//! ```

mod held;
mod tcp;
mod udp;

use crate::Error;
use base::file::{Durability, read_if_there, write_atomically};
use model::PublishedPort;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream as Control};
use tokio::time::timeout;

/// The file that says which ports are served.
pub const VIEW: &str = "view.json";
const SOCKET: &str = "edge.sock";
const LOCK: &str = "lock";
/// How long an answer of the process is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a daemon may think about its next request, or take to read an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of all requests of one connection.
const REQUEST_BYTES_MAX: u64 = 256;
/// The pause after accepting failed, for lack of descriptors above all.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Redirected connections at once, each with two descriptors and two buffers.
const CONNECTIONS_MAX: u64 = 4096;
/// Stack of the one thread besides, in bytes.
const STACK_BYTES: usize = 128 << 10;

/// What is served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct View {
    ports: Vec<PublishedPort>,
}

/// The view as all connections see it.
type Shared = Arc<RwLock<Vec<PublishedPort>>>;

/// Where a published port leads, by the family that the container has.
fn inside(port: &PublishedPort) -> Option<SocketAddr> {
    let address = port.ipv4.map(IpAddr::V4).or(port.ipv6.map(IpAddr::V6))?;
    Some(SocketAddr::new(address, port.port))
}

fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { operation, path, source }
}

/// Writes what an edge process serves after its next `reload`.
///
/// # Errors
/// The file could not be written; the old one stands.
pub fn write_view(directory: &Path, ports: &[PublishedPort]) -> Result<(), Error> {
    let path = directory.join(VIEW);
    let bytes = serde_json::to_vec(&View { ports: ports.to_vec() })
        .map_err(|error| file("write", &path)(error.into()))?;
    write_atomically(&path, &bytes, Durability::Process).map_err(file("write", &path))
}

fn read_view(directory: &Path) -> Result<Vec<PublishedPort>, Error> {
    let path = directory.join(VIEW);
    let Some(bytes) = read_if_there(&path).map_err(file("read", &path))? else { return Ok(Vec::new()) };
    let view: View = serde_json::from_slice(&bytes).map_err(|error| file("read", &path)(error.into()))?;
    Ok(view.ports)
}

/// The way to the socket through a descriptor of its directory, as a socket's path may only have 107 bytes, unix(7).
fn socket_path(directory: &Path) -> Result<(File, PathBuf), Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(directory, flags, Mode::empty())
        .map_err(|errno| file("open", directory)(errno.into()))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()));
    Ok((File::from(opened), path))
}

/// A daemon's connection to an edge process.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the process that serves a directory.
    ///
    /// # Errors
    /// None serves it.
    pub fn connect(directory: &Path) -> Result<Client, Error> {
        let (_directory, path) = socket_path(directory)?;
        let stream = UnixStream::connect(&path).map_err(file("connect to the edge process of", directory))?;
        stream
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .map_err(file("connect to the edge process of", directory))?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// The process that answers, so that its end can be waited for: readable once it has ended, pidfd_open(2).
    ///
    /// # Errors
    /// It has ended already.
    pub fn process(&self) -> Result<OwnedFd, Error> {
        let failed = |errno: rustix::io::Errno| Error::File {
            operation: "watch the edge process",
            path: PathBuf::from(SOCKET),
            source: errno.into(),
        };
        let peer = rustix::net::sockopt::socket_peercred(self.stream.get_ref()).map_err(failed)?;
        rustix::process::pidfd_open(peer.pid, rustix::process::PidfdFlags::empty()).map_err(failed)
    }

    fn ask(&mut self, request: &str) -> Result<String, Error> {
        let failed =
            |source| Error::File { operation: "ask the edge process", path: PathBuf::from(SOCKET), source };
        writeln!(self.stream.get_mut(), "{request}").map_err(failed)?;
        let mut answer = String::new();
        self.stream.read_line(&mut answer).map_err(failed)?;
        Ok(answer.trim().to_owned())
    }

    /// Lets it read its view again; tells the port that redirected connections must come to.
    ///
    /// # Errors
    /// It could not, in its own words.
    pub fn reload(&mut self) -> Result<u16, Error> {
        let answer = self.ask("reload")?;
        let port = answer.strip_prefix("ok ").and_then(|port| port.parse().ok());
        port.ok_or(Error::EdgeAnswer { answer })
    }

    /// Ends it.
    ///
    /// # Errors
    /// It did not answer.
    pub fn exit(mut self) -> Result<(), Error> {
        self.ask("exit").map(drop)
    }
}

/// Serves a directory until it is told to end.
///
/// # Errors
/// Another process serves it, or a socket could not be had.
pub fn serve(directory: &Path) -> Result<(), Error> {
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
    runtime.block_on(run(directory))
}

/// Lets this process have as many descriptors as it may; returns how many connections that is enough for, half of them
/// left for ports and datagrams.
fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((descriptors / 4).min(CONNECTIONS_MAX)).unwrap_or(usize::MAX)
}

/// Whether a refusal means that this host has no IPv6.
fn is_without_ipv6(errno: Errno) -> bool {
    matches!(errno, Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
}

/// What the process serves, changed as a whole by each reload.
struct Served {
    directory: PathBuf,
    /// The listener's port.
    port: u16,
    shared: Shared,
    held: held::Held,
    datagrams: udp::Sockets,
}

impl Served {
    async fn follow(&mut self, ports: Vec<PublishedPort>) {
        self.held.follow(&ports);
        self.datagrams.follow(&ports).await;
        *self.shared.write().unwrap_or_else(PoisonError::into_inner) = ports;
    }

    /// Answers one daemon's requests; says whether the process goes on.
    async fn answer(&mut self, stream: Control) -> ControlFlow<()> {
        let (read, mut write) = stream.into_split();
        let mut lines =
            tokio::io::BufReader::new(tokio::io::AsyncReadExt::take(read, REQUEST_BYTES_MAX)).lines();
        while let Ok(Ok(Some(line))) = timeout(REQUEST_TIMEOUT, lines.next_line()).await {
            let answer = match line.as_str() {
                "reload" => match read_view(&self.directory) {
                    Ok(ports) => {
                        self.follow(ports).await;
                        format!("ok {}\n", self.port)
                    }
                    Err(error) => format!("error {}\n", base::Chain(&error)),
                },
                "exit" => {
                    let _ = timeout(REQUEST_TIMEOUT, write.write_all(b"ok\n")).await;
                    return ControlFlow::Break(());
                }
                other => format!("error unknown request {other:?}\n"),
            };
            if !matches!(timeout(REQUEST_TIMEOUT, write.write_all(answer.as_bytes())).await, Ok(Ok(()))) {
                break;
            }
        }
        ControlFlow::Continue(())
    }
}

async fn run(directory: &Path) -> Result<(), Error> {
    let connections = connections();
    let listener = tcp::listen()?;
    let port = listener.local_addr().map_err(file("listen for", directory))?.port();
    let (_directory, path) = socket_path(directory)?;
    // The lock is held: what is left here is of a process that was killed.
    base::file::remove_all(&directory.join(SOCKET)).map_err(file("clear", directory))?;
    let control = UnixListener::bind(&path).map_err(file("listen in", directory))?;
    let mut served = Served {
        directory: directory.to_owned(),
        port,
        shared: Shared::default(),
        held: held::Held::default(),
        datagrams: udp::Sockets::default(),
    };
    served.follow(read_view(directory)?).await;
    tokio::spawn(tcp::serve(listener, Arc::clone(&served.shared), connections));
    loop {
        // One daemon at a time, a few requests each: no need to serve several at once.
        match control.accept().await {
            Ok((stream, _)) => {
                if served.answer(stream).await.is_break() {
                    break;
                }
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    // That it is gone already is as good.
    let _ = std::fs::remove_file(directory.join(SOCKET));
    Ok(())
}
