//! Asks the kernel's connection tracking where a redirected datagram was going, linux/netfilter/nfnetlink_conntrack.h.
//!
//! A redirected connection of TCP tells it itself; a datagram does not, and its socket serves all ports. The kernel finds the
//! connection by what an answer to it would look like: from the address that the datagram came to here, to its sender.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Subsystem 1, request 1: get one connection.
const GET: u16 = 1 << 8 | 1;
/// What it is answered with.
const NEW: u16 = 1 << 8;
const REQUEST: u16 = 1;
const HEADER_BYTES: usize = 16;
/// `struct nfgenmsg`.
const FAMILY_BYTES: usize = 4;
const NESTED: u16 = 0x8000;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ADDRESSES: u16 = 1;
const PROTOCOL: u16 = 2;
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
const UDP: u8 = 17;
/// An answer speaks of one connection: some hundred bytes.
const ANSWER_BYTES_MAX: usize = 4096;
/// Answers of earlier requests that may lie before the one that is waited for.
const STALE_ANSWERS_MAX: usize = 8;

/// The connection tracking of the network that this process is in.
pub(crate) struct Tracking {
    socket: OwnedFd,
    sequence: u32,
}

/// Attributes of source and destination address, and what `struct nfgenmsg` calls the family.
fn numbers(address: IpAddr) -> (u16, u16, u8) {
    if address.is_ipv4() { (1, 2, 2) } else { (3, 4, 10) }
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend_from_slice(&u16::try_from(4 + value.len()).unwrap_or(u16::MAX).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The request for the connection whose answers go from one address to another; both of one family.
fn request(from: SocketAddr, to: SocketAddr, sequence: u32) -> Vec<u8> {
    let (source, destination, family) = numbers(from.ip());
    let mut addresses = Vec::new();
    attribute(&mut addresses, source, &octets(from.ip()));
    attribute(&mut addresses, destination, &octets(to.ip()));
    let mut protocol = Vec::new();
    attribute(&mut protocol, NUMBER, &[UDP]);
    attribute(&mut protocol, SOURCE_PORT, &from.port().to_be_bytes());
    attribute(&mut protocol, DESTINATION_PORT, &to.port().to_be_bytes());
    let mut tuple = Vec::new();
    attribute(&mut tuple, ADDRESSES | NESTED, &addresses);
    attribute(&mut tuple, PROTOCOL | NESTED, &protocol);
    let mut message = vec![0; 4];
    message.extend_from_slice(&GET.to_ne_bytes());
    message.extend_from_slice(&REQUEST.to_ne_bytes());
    message.extend_from_slice(&sequence.to_ne_bytes());
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&[family, 0, 0, 0]);
    attribute(&mut message, REPLY | NESTED, &tuple);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

/// The value of an attribute in a row of them; a row that claims more than there is ends there.
fn find(mut row: &[u8], kind: u16) -> Option<&[u8]> {
    while let [a, b, c, d, ..] = *row {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = row.get(4..length)?;
        if u16::from_ne_bytes([c, d]) & !NESTED == kind {
            return Some(value);
        }
        row = row.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// Where the connection of an answer was going at first.
fn original(body: &[u8]) -> Option<SocketAddr> {
    let tuple = find(body.get(FAMILY_BYTES..)?, ORIGINAL)?;
    let addresses = find(tuple, ADDRESSES)?;
    let port = find(find(tuple, PROTOCOL)?, DESTINATION_PORT)?;
    let address = match body.first()? {
        2 => Ipv4Addr::from(*find(addresses, 2)?.first_chunk::<4>()?).into(),
        10 => Ipv6Addr::from(*find(addresses, 4)?.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_be_bytes(*port.first_chunk()?)))
}

impl Tracking {
    /// Opens the way to it.
    pub(crate) fn open() -> Result<Tracking, Errno> {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))?;
        Ok(Tracking { socket, sequence: 0 })
    }

    /// Where a datagram was going that came to `local` here from `peer`. None if it was not redirected, or the kernel does not
    /// know of it any more.
    pub(crate) fn destination(&mut self, local: SocketAddr, peer: SocketAddr) -> Option<SocketAddr> {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let (local, peer) = (canonical(local), canonical(peer));
        if local.is_ipv4() != peer.is_ipv4() {
            return None;
        }
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(local, peer, self.sequence);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.socket, &request, SendFlags::DONTWAIT, &kernel).ok()?;
        let mut answer = [0; ANSWER_BYTES_MAX];
        // The kernel has answered before sending returns.
        for _ in 0..STALE_ANSWERS_MAX {
            let (length, _) = rustix::net::recv(&self.socket, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
            let answer = answer.get(..length)?;
            let (header, body) = answer.split_at_checked(HEADER_BYTES)?;
            let sequence = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
            if sequence == self.sequence {
                let is_connection = u16::from_ne_bytes([header[4], header[5]]) == NEW;
                return is_connection.then(|| original(body)).flatten();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_in_both_families_and_a_broken_one_says_nothing() {
        for (from, to) in [("127.0.0.1:1", "127.0.0.1:2"), ("[::1]:1", "[::1]:2")] {
            let message = request(from.parse().unwrap(), to.parse().unwrap(), 7);
            let mut body = message[HEADER_BYTES..].to_vec();
            // The same tuple, as an answer would have it.
            body[FAMILY_BYTES + 2..FAMILY_BYTES + 4].copy_from_slice(&(ORIGINAL | NESTED).to_ne_bytes());
            assert_eq!(original(&body), Some(to.parse().unwrap()));
            for length in 0..body.len() {
                assert_eq!(original(&body[..length]), None, "{length}");
            }
        }
    }

    #[test]
    fn what_was_not_redirected_is_not_known() {
        let Ok(mut tracking) = Tracking::open() else { return };
        let (local, peer) = ("[::1]:1".parse().unwrap(), "[::1]:2".parse().unwrap());
        assert_eq!(tracking.destination(local, peer), None);
        assert_eq!(tracking.destination("127.0.0.1:1".parse().unwrap(), peer), None);
    }
}
