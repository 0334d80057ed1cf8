//! Messages between a shim and the processes that it makes: whole ones, one descriptor at most with each.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;

/// The shim's answer to a child that has asked for something.
pub(crate) const GO: &[u8] = b"go";
/// A child asks for what only the host may do to it: mappings, limits.
pub(crate) const PRIVILEGES: &[u8] = b"privileges";
/// A child asks for the hooks that run outside of it.
pub(crate) const HOOKS: &[u8] = b"hooks";
/// A child is set up and waits to be started.
pub(crate) const CREATED: &[u8] = b"created";
/// A child has only its program left to execute.
pub(crate) const READY: &[u8] = b"ready";
/// Comes before what was measured, as JSON.
pub(crate) const TIMINGS: &[u8] = b"timings ";
/// Brings the other end of a terminal.
pub(crate) const TERMINAL: &[u8] = b"terminal";
/// Brings the descriptor on which a filter asks.
pub(crate) const LISTENER: &[u8] = b"listener";
/// Brings a process that takes the place of the one that sends this.
pub(crate) const SUCCESSOR: &[u8] = b"successor";

/// The longest message, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Two connected ends. A message is whole or absent; the end of the other side is an empty one.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends a message.
pub(crate) fn send(socket: BorrowedFd<'_>, message: &[u8]) -> Result<(), Errno> {
    let length = message.len().min(MESSAGE_BYTES_MAX);
    rustix::net::send(socket, &message[..length], SendFlags::NOSIGNAL).map(drop)
}

/// Sends a message with a copy of a descriptor.
pub(crate) fn send_descriptor(
    socket: BorrowedFd<'_>,
    message: &[u8],
    descriptor: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Errno::NOBUFS);
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut ancillary, SendFlags::NOSIGNAL).map(drop)
}

/// Waits for a message; an empty one is the end.
///
/// # Errors
/// What recvmsg(2) says.
pub fn receive(socket: BorrowedFd<'_>) -> Result<(Vec<u8>, Option<OwnedFd>), Errno> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            socket.as_fd(),
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        );
        let length = match received {
            Ok(message) => message.bytes,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        };
        bytes.truncate(length);
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        return Ok((bytes, descriptor));
    }
}
