//! The engine's side of a shim: find it by its directory, ask it for things, and hear of the end of its process.
//!
//! The truth about a process is the shim's status file: it is written before anybody is told, so a connection that
//! breaks for whatever reason is answered by reading it. A shim that is gone without having written an end was killed, and its
//! process with it.

use base::Time;
use model::observed::Exit;
use platform::{Error, Streams};
use runtime::shim::wire;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Bytes of one answer line.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a line that are read at once while an end is waited for: as many containers run, as many of these there are.
const LINE_BYTES: usize = 256;
/// How long a shim may take to answer: it has little else to do.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a shim that could not be connected to is tried again, and how long in between.
const CONNECT_ATTEMPTS_MAX: u32 = 50;
const CONNECT_PAUSE: Duration = Duration::from_millis(20);
/// The exit code of a process whose shim was killed: it died of SIGKILL with it.
const KILLED_WITH_ITS_SHIM: i32 = 137;

/// A shim, by the directory it serves.
#[derive(Clone, Debug)]
pub(crate) struct Shim {
    directory: PathBuf,
}

impl Shim {
    pub(crate) fn new(directory: PathBuf) -> Shim {
        Shim { directory }
    }

    /// Connects to its socket. The way goes through a descriptor of the directory, as a socket's path may only have
    /// 107 bytes, unix(7).
    async fn connect(&self) -> io::Result<UnixStream> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&self.directory, flags, Mode::empty())?;
        UnixStream::connect(format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), wire::SOCKET)).await
    }

    /// Sends one request and leaves the stream behind its answer.
    async fn ask(&self, request: &wire::Request) -> Result<UnixStream, Error> {
        match tokio::time::timeout(ASK_TIMEOUT, self.ask_patiently(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::failed(format!(
                "the shim in {} does not answer within {} seconds",
                self.directory.display(),
                ASK_TIMEOUT.as_secs()
            ))),
        }
    }

    async fn ask_patiently(&self, request: &wire::Request) -> Result<UnixStream, Error> {
        let failed = |what: &str, why: String| {
            Error::failed(format!("{what} the shim in {}: {why}", self.directory.display()))
        };
        let mut stream = self.connect().await.map_err(|error| failed("reach", error.to_string()))?;
        let mut line = serde_json::to_vec(request).map_err(|error| failed("ask", error.to_string()))?;
        line.push(b'\n');
        stream.write_all(&line).await.map_err(|error| failed("ask", error.to_string()))?;
        let answer = read_line(&mut stream).await.map_err(|error| failed("hear", error.to_string()))?;
        match serde_json::from_slice(&answer).map_err(|error| failed("understand", error.to_string()))? {
            wire::Reply::Error(message) => Err(failed("ask", message)),
            _ => Ok(stream),
        }
    }

    /// Joins its process's streams.
    pub(crate) async fn attach(&self, streams: Streams) -> Result<UnixStream, Error> {
        let Streams { stdin, stdout, stderr } = streams;
        self.ask(&wire::Request::Attach(runtime::setup::Streams { stdin, stdout, stderr })).await
    }

    /// Sets the terminal's size.
    pub(crate) async fn resize(&self, rows: u16, columns: u16) -> Result<(), Error> {
        self.ask(&wire::Request::Resize { rows, columns }).await.map(drop)
    }

    /// Sends its process a signal.
    pub(crate) async fn signal(&self, number: i32) -> Result<(), Error> {
        self.ask(&wire::Request::Signal(number)).await.map(drop)
    }

    /// What its status file says; none if there is none that can be read.
    pub(crate) fn status(&self) -> Option<wire::Status> {
        status(&self.directory)
    }
}

/// Reads one line byte by byte, so that nothing of the raw stream behind it is taken.
async fn read_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    let mut line = Vec::with_capacity(128);
    while line.len() as u64 <= ANSWER_BYTES_MAX {
        match stream.read_u8().await? {
            b'\n' => return Ok(line),
            byte => line.push(byte),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("an answer has more than {ANSWER_BYTES_MAX} bytes"),
    ))
}

fn status(directory: &Path) -> Option<wire::Status> {
    wire::Status::read(directory).ok()?
}

/// Resolves once a container's root is mounted by nobody any more, however it resolves.
pub(crate) type Released = oneshot::Receiver<()>;

/// A process whose end will be heard of.
pub(crate) struct Watched {
    shim: Shim,
    released: Option<Released>,
    end: JoinHandle<End>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) exit: Exit,
    /// When, if its shim has said so.
    pub(crate) finished: Option<Time>,
    /// Its shim lived to the end and has cleaned up behind it.
    pub(crate) is_tidy: bool,
}

impl End {
    fn of(exit: &wire::Exit) -> End {
        let finished = Some(exit.finished_at);
        End { exit: Exit { code: exit.code, oom_killed: exit.oom_killed }, finished, is_tidy: false }
    }

    /// Its shim was killed, and it with the shim.
    fn unseen() -> End {
        let exit = Exit { code: KILLED_WITH_ITS_SHIM, oom_killed: false };
        End { exit, finished: None, is_tidy: false }
    }
}

impl Watched {
    /// Watches a process that this daemon has just started. To be called within the asynchronous runtime.
    pub(crate) fn started(shim: Shim, child: runtime::Shim, ending: runtime::Ending) -> Watched {
        let runtime::Ending { pipe, mut read } = ending;
        // Only where descriptors run out: then the end of the shim tells of the end, and the file says how it was.
        let pipe = pipe::Receiver::from_owned_fd(pipe).ok();
        let mut pipe = pipe.map(|pipe| BufReader::with_capacity(LINE_BYTES, pipe));
        let (held, released) = oneshot::channel::<()>();
        let word = async move {
            if let Some(pipe) = pipe.as_mut().filter(|_| !read.contains(&b'\n')) {
                let _ = pipe.read_until(b'\n', &mut read).await;
            }
            let Ok(wire::Report::Ended(exit)) = serde_json::from_slice(&read) else {
                reap(child.pidfd).await;
                return None;
            };
            tokio::spawn(async move {
                if let Some(pipe) = &mut pipe {
                    let _ = pipe.read_until(b'\n', &mut read).await;
                }
                drop(held);
                // It may stay for a client that is slow to read.
                reap(child.pidfd).await;
            });
            Some(End { is_tidy: true, ..End::of(&exit) })
        };
        Watched { released: Some(released), ..Watched::watch(shim, word) }
    }

    /// Watches a process that an earlier daemon started.
    async fn begin(shim: Shim) -> Result<Watched, Error> {
        let stream = match shim.connect().await {
            Ok(mut stream) => {
                let mut line = serde_json::to_vec(&wire::Request::Wait {}).unwrap_or_default();
                line.push(b'\n');
                // If the shim is already gone, the status file has the answer.
                let _ = stream.write_all(&line).await;
                Some(stream)
            }
            Err(_) if shim.status().is_some() => None,
            Err(error) => {
                return Err(Error::failed(format!(
                    "reach the shim in {}: {error}",
                    shim.directory.display()
                )));
            }
        };
        Ok(Watched::watch(shim, async move {
            if let Some(stream) = stream {
                // A line or the end of the stream: either way the file says what happened.
                let mut stream = BufReader::with_capacity(LINE_BYTES, stream);
                let _ = stream.read_line(&mut String::new()).await;
            }
            None
        }))
    }

    /// Waits for word of the end; where that does not say how it was, the status file does.
    fn watch(shim: Shim, word: impl Future<Output = Option<End>> + Send + 'static) -> Watched {
        let directory = shim.directory.clone();
        let end = tokio::spawn(async move {
            let written = || status(&directory)?.exit.as_ref().map(End::of);
            word.await.or_else(written).unwrap_or_else(End::unseen)
        });
        Watched { shim, end, released: None }
    }

    /// Begins to watch a process that an earlier daemon started; an error if its shim does not answer.
    pub(crate) async fn adopt(shim: Shim) -> Result<Watched, Error> {
        let mut attempts = 0;
        loop {
            match shim.connect().await {
                Ok(_) => return Watched::begin(shim).await,
                // Only these say that nobody listens; anything else is a lack of ours or of the machine, and passes.
                Err(error)
                    if attempts == CONNECT_ATTEMPTS_MAX
                        || matches!(
                            error.kind(),
                            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
                        ) =>
                {
                    let directory = shim.directory.display();
                    return Err(Error::failed(format!("reach the shim in {directory}: {error}")));
                }
                Err(_) => {
                    attempts += 1;
                    tokio::time::sleep(CONNECT_PAUSE).await;
                }
            }
        }
    }

    /// Tells when the root of a container that has ended is free. Who adopted it cannot know; the kernel then only warns.
    pub(crate) fn take_released(&mut self) -> Option<Released> {
        self.released.take()
    }

    /// The shim.
    pub(crate) fn shim(&self) -> &Shim {
        &self.shim
    }

    /// How the process ended, once it has. Can be asked again after it was given up in between.
    pub(crate) async fn ended(&mut self) -> End {
        (&mut self.end).await.unwrap_or_else(|_| End::unseen())
    }
}

/// Gives a descriptor to the asynchronous runtime.
#[expect(
    deprecated,
    reason = "the sound way is unsafe; an `OwnedFd` cannot be closed or exchanged behind its back"
)]
pub(crate) fn register(
    descriptor: std::os::fd::OwnedFd,
) -> io::Result<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
    tokio::io::unix::AsyncFd::new(descriptor)
}

/// Waits for a child by its pidfd, and takes its status so that it does not stay as a zombie.
pub(crate) async fn reap(child: std::os::fd::OwnedFd) {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let Ok(child) = register(child) else { return };
    let _ = child.readable().await;
    let _ = waitid(WaitId::PidFd(rustix::fd::AsFd::as_fd(child.get_ref())), WaitIdOptions::EXITED);
}
