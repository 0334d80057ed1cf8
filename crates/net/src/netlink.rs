//! Netlink messages and the sockets that carry them, netlink(7).
//!
//! A [`Message`] is built once, attribute by attribute, and sent as it is. A request is acknowledged by the kernel message by
//! message; the first refusal is the error. Numbers are in the machine's order unless a method says otherwise.

use crate::Error;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};
use std::sync::{Mutex, PoisonError};

/// Bytes of a message's header.
const HEADER_BYTES: usize = 16;
/// Bytes that one answer of the kernel has at most (it fills a page or 32 KiB).
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// `NLM_F_REQUEST`: this is a question.
pub(crate) const REQUEST: u16 = 1;
/// `NLM_F_ACK`: it wants an answer.
pub(crate) const ACK: u16 = 4;
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

    fn wants_ack(&self) -> bool {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) & ACK != 0
    }
}

/// A message of the kernel.
#[derive(Debug)]
pub(crate) struct Reply {
    kind: u16,
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
        found.push(Reply { kind, sequence: number(bytes, 8), body: body.to_vec() });
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

impl Socket {
    /// Opens a socket for links, addresses and routes: `NETLINK_ROUTE`, which is protocol number 0.
    pub(crate) fn open_route() -> Result<Socket, Error> {
        Socket::open(None)
    }

    /// Opens a socket for nftables.
    pub(crate) fn open_netfilter() -> Result<Socket, Error> {
        Socket::open(Some(rustix::net::netlink::NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> Result<Socket, Error> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
            .map_err(Error::Open)?;
        Ok(Socket { socket, sequence: Mutex::new(1) })
    }

    /// Sends messages as one, and waits until the kernel has said yes to each that wants an answer.
    pub(crate) fn request(&self, messages: &[Message], operation: impl Fn() -> String) -> Result<(), Error> {
        self.exchange(messages, &operation).map(drop)
    }

    /// Asks for everything of a kind.
    pub(crate) fn dump(
        &self,
        message: &Message,
        operation: impl Fn() -> String,
    ) -> Result<Vec<Reply>, Error> {
        self.exchange(std::slice::from_ref(message), &operation)
    }

    fn exchange(&self, messages: &[Message], operation: &dyn Fn() -> String) -> Result<Vec<Reply>, Error> {
        let refused = |source| Error::Refused { operation: operation(), source };
        let mut sequence = self.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *sequence;
        let mut bytes = Vec::new();
        let mut waiting = Vec::new();
        for message in messages {
            bytes.extend_from_slice(&message.finish(*sequence));
            if message.wants_ack() || message.is_dump() {
                waiting.push(*sequence);
            }
            *sequence = sequence.wrapping_add(1);
        }
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.socket, &bytes, SendFlags::empty(), &kernel).map_err(refused)?;
        let mut found = Vec::new();
        let mut failure = None;
        let mut buffer = vec![0u8; ANSWER_BYTES_MAX];
        while !waiting.is_empty() {
            let (length, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty()).map_err(refused)?;
            for reply in replies(&buffer[..length]) {
                if reply.sequence.wrapping_sub(first) >= messages.len() as u32 {
                    continue;
                }
                match reply.kind {
                    ERROR => {
                        let code = reply.body.first_chunk().map(|code| i32::from_ne_bytes(*code));
                        let code = code.ok_or_else(|| Error::Answer { operation: operation() })?;
                        if code != 0 && failure.is_none() {
                            failure = Some(Errno::from_raw_os_error(-code));
                        }
                        waiting.retain(|sequence| *sequence != reply.sequence);
                        // A batch that was refused may not be answered message by message.
                        if code != 0 {
                            waiting.clear();
                        }
                    }
                    DONE => waiting.retain(|sequence| *sequence != reply.sequence),
                    _ => found.push(reply),
                }
            }
        }
        failure.map_or(Ok(found), |errno| Err(refused(errno)))
    }
}

impl Message {
    fn is_dump(&self) -> bool {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) & DUMP == DUMP
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
}
