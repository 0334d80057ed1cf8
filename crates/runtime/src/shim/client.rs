//! One connection to a shim: first a request, then, for some, a stream.
//!
//! What a client has not read yet is kept here, and bounded: while one that takes part in a stream holds
//! [`PENDING_BYTES_MAX`], the container's output is not read, and the container waits, as it would on any pipe.

use super::wire::{FRAME_HEADER_BYTES, REQUEST_BYTES_MAX, Reply, Request, Stream, frame_header};
use crate::setup::Streams;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// Bytes that a client may be behind before the container waits for it.
pub(super) const PENDING_BYTES_MAX: usize = 64 * 1024;

/// What a connection is for.
#[derive(Debug)]
pub(super) enum Role {
    /// Its request is not complete yet.
    Asking(Vec<u8>),
    /// It takes part in streams; whether its input goes on.
    Attached { streams: Streams, input_open: bool },
    /// It is told when the process has exited.
    Waiting,
    /// It is sent what it is still owed, then closed.
    Leaving,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    socket: OwnedFd,
    pub(super) role: Role,
    pending: Vec<u8>,
    sent: usize,
    /// Nobody is at the other end.
    pub(super) gone: bool,
}

/// What came in.
pub(super) enum Incoming {
    /// Nothing now.
    Nothing,
    /// A whole request.
    Request(Request),
    /// A request that is none.
    Nonsense(String),
    /// This many bytes of input stand in the buffer.
    Input(usize),
    /// There is no more input.
    EndOfInput,
}

impl Client {
    /// A new connection.
    pub(super) fn new(socket: OwnedFd) -> Client {
        Client { socket, role: Role::Asking(Vec::new()), pending: Vec::new(), sent: 0, gone: false }
    }

    /// One that was there before the start and needs no request.
    pub(super) fn attached(socket: OwnedFd, streams: Streams) -> Client {
        Client { role: Role::Attached { streams, input_open: streams.stdin }, ..Client::new(socket) }
    }

    /// Its socket.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether it takes part in a stream of output.
    fn wants(&self, stream: Stream) -> bool {
        match (&self.role, stream) {
            (Role::Attached { streams, .. }, Stream::Stdout) => streams.stdout,
            (Role::Attached { streams, .. }, Stream::Stderr) => streams.stderr,
            _ => false,
        }
    }

    /// Whether the container must wait for it.
    pub(super) fn is_behind(&self) -> bool {
        !self.gone && self.pending.len() - self.sent >= PENDING_BYTES_MAX
    }

    /// Whether it is owed something.
    pub(super) fn is_owed(&self) -> bool {
        !self.gone && self.sent < self.pending.len()
    }

    /// Whether what it says is of interest now.
    pub(super) fn may_speak(&self, input_has_room: bool) -> bool {
        match &self.role {
            Role::Asking(_) => true,
            Role::Attached { input_open, .. } => *input_open && input_has_room,
            Role::Waiting | Role::Leaving => false,
        }
    }

    /// Reads what it says. Input goes to `buffer`.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Incoming {
        let received = rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT);
        let length = match received {
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Incoming::Nothing,
            Err(_) => {
                self.gone = true;
                0
            }
        };
        match &mut self.role {
            Role::Asking(line) => {
                line.extend_from_slice(&buffer[..length]);
                let end = line.iter().position(|byte| *byte == b'\n');
                match end {
                    Some(end) => match serde_json::from_slice(&line[..end]) {
                        Ok(request) => Incoming::Request(request),
                        Err(error) => Incoming::Nonsense(error.to_string()),
                    },
                    None if length == 0 => {
                        self.gone = true;
                        Incoming::Nothing
                    }
                    None if line.len() >= REQUEST_BYTES_MAX => {
                        Incoming::Nonsense("the request is too long".to_owned())
                    }
                    None => Incoming::Nothing,
                }
            }
            Role::Attached { input_open, .. } if length == 0 => {
                *input_open = false;
                Incoming::EndOfInput
            }
            Role::Attached { .. } => Incoming::Input(length),
            Role::Waiting | Role::Leaving => {
                self.gone |= length == 0;
                Incoming::Nothing
            }
        }
    }

    /// Bytes that came right after the request line: the beginning of its input.
    pub(super) fn take_after_request(&mut self) -> Vec<u8> {
        match &self.role {
            Role::Asking(line) => {
                let end = line.iter().position(|byte| *byte == b'\n').map_or(line.len(), |end| end + 1);
                line[end..].to_vec()
            }
            _ => Vec::new(),
        }
    }

    /// Sends a piece of output, framed unless there is a terminal, if it takes part in that stream.
    pub(super) fn output(&mut self, stream: Stream, bytes: &[u8], raw: bool) {
        if self.gone || !self.wants(stream) {
            return;
        }
        if !raw {
            let header: [u8; FRAME_HEADER_BYTES] = frame_header(stream, bytes.len() as u32);
            self.pending.extend_from_slice(&header);
        }
        self.pending.extend_from_slice(bytes);
        self.flush();
    }

    /// Answers a request.
    pub(super) fn reply(&mut self, reply: &Reply) {
        if let Ok(mut line) = serde_json::to_vec(reply) {
            line.push(b'\n');
            self.pending.extend_from_slice(&line);
            self.flush();
        }
    }

    /// Sends as much as it takes now. What is sent is let go of.
    pub(super) fn flush(&mut self) {
        while self.is_owed() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.socket, &self.pending[self.sent..], flags) {
                Ok(length) => self.sent += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return self.compact(),
                Err(_) => self.gone = true,
            }
        }
        (self.pending, self.sent) = (Vec::new(), 0);
    }

    /// Keeps what was sent from piling up before what was not.
    fn compact(&mut self) {
        if self.sent > PENDING_BYTES_MAX {
            self.pending.drain(..self.sent);
            self.sent = 0;
        }
    }
}
