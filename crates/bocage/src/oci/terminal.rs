//! The caller's own terminal around a container's: for `run` and `exec` in the foreground, where nobody gave a console socket.

use super::Failure;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::termios::{OptionalActions, Termios};
use std::sync::mpsc::{Receiver, channel};

/// As much as is passed on at once, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;
/// SIGWINCH and SIGCHLD.
const WINDOW: i32 = 28;
const CHILD: i32 = 17;
/// SIGURG, with which other runtimes prod their own threads, and signals of the terminal's, which raw mode passes as bytes.
const URGENT: i32 = 23;

/// Both ends of a console socket of our own: the first stays, the second goes to the container.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd), Failure> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|error| Failure::new(format!("make a console socket: {error}")))
}

/// The container's terminal, and the state in which ours was.
pub(super) struct Relay {
    master: OwnedFd,
    before: Option<Termios>,
}

impl Relay {
    /// Takes the terminal from the console socket and makes ours a mere passage to it.
    pub(super) fn accept(socket: &OwnedFd) -> Result<Relay, Failure> {
        let failed = |error: Errno| Failure::new(format!("take the container's terminal: {error}"));
        let (_, master) = runtime::message::receive(socket.as_fd()).map_err(failed)?;
        let master = master.ok_or_else(|| Failure::new("the container has sent no terminal"))?;
        let stdin = rustix::stdio::stdin();
        let before = rustix::termios::tcgetattr(stdin).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            rustix::termios::tcsetattr(stdin, OptionalActions::Drain, &raw).map_err(failed)?;
        }
        let relay = Relay { master, before };
        relay.fit();
        Ok(relay)
    }

    /// Gives the container's terminal our size.
    fn fit(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
            // A terminal of another size works all the same.
            let _ = rustix::termios::tcsetwinsize(&self.master, size);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, before);
        }
    }
}

/// Passes signals, and with a terminal all that is typed and written, until the process has ended.
pub(super) fn pass_on(
    process: BorrowedFd<'_>,
    relay: Option<&Relay>,
    signals: &Signals,
) -> Result<(), Failure> {
    let mut typed = relay.is_some();
    let mut written = relay.is_some();
    loop {
        let stdin = rustix::stdio::stdin();
        let mut set =
            vec![PollFd::from_borrowed_fd(process, PollFlags::IN), PollFd::new(&signals.wake, PollFlags::IN)];
        if let Some(relay) = relay {
            let one = |wanted: bool| if wanted { PollFlags::IN } else { PollFlags::empty() };
            set.push(PollFd::from_borrowed_fd(stdin, one(typed)));
            set.push(PollFd::new(&relay.master, one(written)));
        }
        match poll(&mut set, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Failure::new(format!("wait for the process: {error}"))),
        }
        let happened: Vec<bool> = set.iter().map(|one| !one.revents().is_empty()).collect();
        if happened[1] {
            let _ = rustix::io::read(&signals.wake, &mut [0; 64]);
            while let Ok(signal) = signals.received.try_recv() {
                match (signal, relay) {
                    (WINDOW, Some(relay)) => relay.fit(),
                    (CHILD | URGENT, _) => {}
                    // One that has ended takes no signal, and is noticed below.
                    _ => drop(sys::process::signal_pidfd(process, signal)),
                }
            }
        }
        if let Some(relay) = relay {
            let master = relay.master.as_fd();
            if typed && happened[2] {
                typed = copy(stdin, master);
            }
            if written && happened[3] {
                written = copy(master, rustix::stdio::stdout());
            }
        }
        if happened[0] {
            break;
        }
    }
    if let Some(relay) = relay {
        // What it wrote last is still to be read.
        let _ = rustix::fs::fcntl_setfl(&relay.master, OFlags::RDWR | OFlags::NONBLOCK);
        while written && copy(relay.master.as_fd(), rustix::stdio::stdout()) {}
    }
    Ok(())
}

/// Passes one piece on. Whether there may be more.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = vec![0; CHUNK_BYTES];
    let length = match rustix::io::read(from, &mut buffer[..]) {
        Err(Errno::INTR) => return true,
        // A terminal that nobody has open any more says EIO.
        Ok(0) | Err(_) => return false,
        Ok(length) => length,
    };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(length) => rest = &rest[length..],
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Signals to this process, as they come.
pub(super) struct Signals {
    received: Receiver<i32>,
    wake: OwnedFd,
}

/// All signals are blocked here and taken by a thread of their own, so that they can be waited for beside everything else.
/// To be called before there is a process: one that came in between would end this one and leave the other alone.
pub(super) fn signals() -> Result<Signals, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("watch for signals: {error}"));
    let (wake, waker) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let (send, received) = channel();
    sys::process::block_signals();
    let watch = move || {
        while let Ok(signal) = sys::process::next_signal() {
            if send.send(signal).is_err() || rustix::io::write(&waker, b"!").is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().spawn(watch).map_err(failed)?;
    Ok(Signals { received, wake })
}
