//! Netlink messages and the sockets that carry them, netlink(7).
//!
//! A [`Message`] is built once, attribute by attribute, and sent as it is. The kernel works while a message is being sent and
//! queues its answers, so what is asked to answer must fit into the socket's queue: a long batch asks for one answer, of
//! its last message; refusals are answered in any case, and the first one is the error. Numbers are in the machine's order
//! unless a method says otherwise.

use crate::Error;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
    sockopt,
};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes of a message's header.
const HEADER_BYTES: usize = 16;
/// Bytes that one answer of the kernel has at most (it fills a page or 32 KiB).
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Bytes that one request has at most: some ten thousand ports at once.
const REQUEST_BYTES_MAX: usize = 8 << 20;
/// Answers are there when a message has been sent; one that was lost is not waited for any longer than this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a list is asked for again that changed while it was given.
const DUMP_ATTEMPTS_MAX: u32 = 8;

/// `NLM_F_REQUEST`: this is a question.
pub(crate) const REQUEST: u16 = 1;
/// `NLM_F_ACK`: it wants an answer.
pub(crate) const ACK: u16 = 4;
/// `NLM_F_REPLACE`: it takes the place of what is there.
pub(crate) const REPLACE: u16 = 0x100;
/// `NLM_F_EXCL`: what it makes must not be there.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`: it makes something.
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`: at the end of a list.
pub(crate) const APPEND: u16 = 0x800;
/// `NLM_F_DUMP`: it wants everything.
pub(crate) const DUMP: u16 = 0x300;

const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Flags of answers: the list changed while it was given; the request is not repeated; attributes follow.
const INTERRUPTED: u16 = 0x10;
const CAPPED: u16 = 0x100;
const EXPLAINED: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`: the reason of a refusal, as text.
const REASON: u16 = 1;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// An empty message of a kind.
    pub(crate) fn new(kind: u16, flags: u16) -> Message {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        Message { bytes }
    }

    /// Raw bytes, padded to four.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Message {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// An attribute.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Message {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.raw(value)
    }

    /// A text with its end.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Message {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// A number in the machine's order.
    pub(crate) fn number(&mut self, kind: u16, value: u32) -> &mut Message {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// A number in the network's order, as nftables wants them.
    pub(crate) fn big(&mut self, kind: u16, value: u32) -> &mut Message {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// An attribute of attributes.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) -> &mut Message {
        let start = self.bytes.len();
        self.attribute(kind | NESTED, &[]);
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// The bytes to be sent, with length and sequence number filled in.
    fn finish(&self, sequence: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        bytes
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[4], self.bytes[5]])
    }

    fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]])
    }

    /// Asks for an answer.
    pub(crate) fn acknowledged(&mut self) {
        let flags = self.flags() | ACK;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    }

    fn wants_answer(&self) -> bool {
        self.flags() & ACK != 0 || self.flags() & DUMP == DUMP
    }
}

/// A message of the kernel.
#[derive(Debug)]
pub(crate) struct Reply {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: Vec<u8>,
}

impl Reply {
    /// The part behind the header.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Its attributes behind a fixed part of `fixed` bytes: kind and value.
    pub(crate) fn attributes(&self, fixed: usize) -> Vec<(u16, &[u8])> {
        attributes(self.body.get(fixed.next_multiple_of(4)..).unwrap_or_default())
    }

    /// What an answer of the kind [`ERROR`] says: success, or why not and in which words.
    fn verdict(&self) -> Option<Result<(), (Errno, String)>> {
        let code = i32::from_ne_bytes(*self.body.first_chunk()?);
        if code == 0 {
            return Some(Ok(()));
        }
        // Behind the code stands the header of the request, or all of it where the kernel cannot leave it out.
        let request = u32::from_ne_bytes(*self.body.get(4..)?.first_chunk()?) as usize;
        let fixed = 4 + if self.flags & CAPPED == 0 { request } else { HEADER_BYTES };
        let attributes = if self.flags & EXPLAINED == 0 { Vec::new() } else { self.attributes(fixed) };
        let reason = attributes
            .iter()
            .find(|(kind, _)| *kind == REASON)
            .map_or("".into(), |(_, text)| String::from_utf8_lossy(text.strip_suffix(&[0]).unwrap_or(text)));
        Some(Err((Errno::from_raw_os_error(code.checked_neg()?), reason.into_owned())))
    }
}

/// Attributes in a row; one that claims more than there is ends the list.
pub(crate) fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let [a, b, c, d, ..] = *bytes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let Some(value) = bytes.get(4..length) else { break };
        found.push((u16::from_ne_bytes([c, d]) & !NESTED, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut found = Vec::new();
    let number = |bytes: &[u8], at: usize| {
        u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    while bytes.len() >= HEADER_BYTES {
        let length = number(bytes, 0) as usize;
        let Some(body) = bytes.get(HEADER_BYTES..length) else { break };
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        let flags = u16::from_ne_bytes([bytes[6], bytes[7]]);
        found.push(Reply { kind, flags, sequence: number(bytes, 8), body: body.to_vec() });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// A socket to one part of the kernel, in the network namespace in which it was opened.
pub(crate) struct Socket {
    socket: OwnedFd,
    /// The next sequence number; held while a request is under way, so that answers are not mixed up.
    sequence: Mutex<u32>,
}

/// `NFNLGRP_NFTABLES` as the bit that asks for it.
const NFTABLES_GROUP: u32 = 1 << 6;

/// A socket on which the kernel tells every change of nftables in the caller's namespace.
pub(crate) fn changes_of_nftables() -> Result<OwnedFd, Error> {
    let open = || {
        let protocol = Some(rustix::net::netlink::NETFILTER);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        // Without the right to more, the usual size holds.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, REQUEST_BYTES_MAX);
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, NFTABLES_GROUP))?;
        Ok(socket)
    };
    open().map_err(Error::Open)
}

impl Socket {
    /// The number by which the kernel tells this socket's changes from those of others; it has one once it was used.
    pub(crate) fn number(&self) -> Result<u32, Error> {
        let name = rustix::net::getsockname(&self.socket).and_then(SocketAddrNetlink::try_from);
        Ok(name.map_err(Error::Open)?.pid())
    }

    /// Opens a socket for links, addresses and routes: `NETLINK_ROUTE`, which is protocol number 0.
    pub(crate) fn open_route() -> Result<Socket, Error> {
        Socket::open(None)
    }

    /// Opens a socket for nftables.
    pub(crate) fn open_netfilter() -> Result<Socket, Error> {
        Socket::open(Some(rustix::net::netlink::NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> Result<Socket, Error> {
        let open = || {
            let socket =
                socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
            sys::socket::explain_refusals(&socket)?;
            sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT))?;
            // Without the right to more, the usual size holds, and long requests are refused.
            let _ = sockopt::set_socket_send_buffer_size_force(&socket, REQUEST_BYTES_MAX);
            Ok(socket)
        };
        Ok(Socket { socket: open().map_err(Error::Open)?, sequence: Mutex::new(1) })
    }

    /// Sends messages as one, and waits until the kernel has said yes to each that wants an answer.
    pub(crate) fn request(&self, messages: &[Message], operation: impl Fn() -> String) -> Result<(), Error> {
        self.exchange(messages, &operation).map(drop)
    }

    /// Asks for one thing, or for everything of a kind.
    pub(crate) fn dump(
        &self,
        message: &Message,
        operation: impl Fn() -> String,
    ) -> Result<Vec<Reply>, Error> {
        let mut found = Vec::new();
        for _ in 0..DUMP_ATTEMPTS_MAX {
            found = self.exchange(std::slice::from_ref(message), &operation)?;
            if !found.iter().any(|reply| reply.flags & INTERRUPTED != 0) {
                break;
            }
        }
        Ok(found)
    }

    fn exchange(&self, messages: &[Message], operation: &dyn Fn() -> String) -> Result<Vec<Reply>, Error> {
        let failed = |source| Error::Refused { operation: operation(), reason: String::new(), source };
        let mut sequence = self.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *sequence;
        let mut bytes = Vec::new();
        let mut waiting = 0_usize;
        for message in messages {
            bytes.extend_from_slice(&message.finish(*sequence));
            waiting += usize::from(message.wants_answer());
            *sequence = sequence.wrapping_add(1);
        }
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.socket, &bytes, SendFlags::empty(), &kernel).map_err(failed)?;
        let mut found = Vec::new();
        let mut buffer = vec![0u8; ANSWER_BYTES_MAX];
        while waiting > 0 {
            let (length, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty()).map_err(failed)?;
            let answers = replies(&buffer[..length]);
            if answers.is_empty() {
                return Err(Error::Answer { operation: operation() });
            }
            // What is left of earlier requests, that were refused before all was answered, is passed over.
            for reply in answers {
                if reply.sequence.wrapping_sub(first) as usize >= messages.len() {
                    continue;
                }
                match reply.kind {
                    ERROR => match reply.verdict() {
                        Some(Ok(())) => waiting = waiting.saturating_sub(1),
                        Some(Err((source, reason))) => {
                            return Err(Error::Refused { operation: operation(), reason, source });
                        }
                        None => return Err(Error::Answer { operation: operation() }),
                    },
                    DONE => waiting = waiting.saturating_sub(1),
                    _ => found.push(reply),
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_read_back() {
        let mut message = Message::new(16, ACK);
        message.text(3, "lo").nest(18, |inner| {
            inner.number(1, 7);
        });
        let bytes = message.finish(5);
        assert_eq!(bytes.len() % 4, 0);
        let read = attributes(&bytes[HEADER_BYTES..]);
        assert_eq!(read[0], (3, &b"lo\0"[..]));
        assert_eq!(attributes(read[1].1), [(1, &7u32.to_ne_bytes()[..])]);
    }

    #[test]
    fn an_attribute_that_claims_too_much_ends_the_list() {
        assert!(attributes(&[200, 0, 1, 0, 1, 2, 3, 4]).is_empty());
        assert!(attributes(&[2, 0, 1, 0]).is_empty());
        assert!(replies(&[255; 40]).is_empty());
    }

    #[test]
    fn a_refusal_is_read_with_the_kernels_own_words() {
        let mut body = (-17_i32).to_ne_bytes().to_vec();
        body.extend_from_slice(&[0; HEADER_BYTES]);
        let mut words = Message::new(0, 0);
        words.text(REASON, "no room");
        body.extend_from_slice(&words.bytes[HEADER_BYTES..]);
        let mut reply = Reply { kind: ERROR, flags: CAPPED | EXPLAINED, sequence: 1, body };
        assert_eq!(reply.verdict(), Some(Err((Errno::EXIST, "no room".to_owned()))));
        reply.body = i32::MIN.to_ne_bytes().to_vec();
        assert_eq!(reply.verdict(), None);
        reply.body = vec![0; 4];
        assert_eq!(reply.verdict(), Some(Ok(())));
    }

    #[test]
    fn the_kernel_says_why_it_refuses() {
        let socket = Socket::open_route().unwrap();
        let mut message = Message::new(16, ACK | CREATE);
        message.raw(&[0; 16]).text(3, "x").nest(18, |info| {
            info.text(1, "no-such-kind");
        });
        // Without the right to make links it is refused earlier, without words.
        match socket.request(&[message], || "make a link".to_owned()) {
            Err(Error::Refused { source: Errno::OPNOTSUPP, reason, .. }) => {
                assert_eq!(reason, "Unknown device type");
            }
            other => assert!(matches!(other, Err(Error::Refused { source: Errno::PERM, .. })), "{other:?}"),
        }
    }
}
