//! Notices when somebody else takes something out of the node's table: `nft flush ruleset` above all, which firewalls run when
//! they are loaded again.
//!
//! The kernel tells every change of nftables to whoever listens, with the number of the socket that asked for it; what came
//! from our own socket is passed over.

use crate::Error;
use crate::netlink::{attributes, changes_of_nftables};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::time::Duration;

// Of linux/netfilter/nf_tables.h, with the subsystem.
const DELETE_TABLE: u16 = 10 << 8 | 2;
const DELETE_CHAIN: u16 = 10 << 8 | 5;
const DELETE_RULE: u16 = 10 << 8 | 8;
const DELETE_ELEMENT: u16 = 10 << 8 | 14;
/// In each of them, the attribute that names the table.
const TABLE_NAME: u16 = 1;
const HEADER_BYTES: usize = 16;
/// `struct nfgenmsg`.
const FAMILY_BYTES: usize = 4;
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A firewall that is loaded again does much at once: the last of it is waited for.
const PAUSE: Duration = Duration::from_millis(100);

/// What was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Somebody else took something out of the table.
    Taken,
    /// More changes were told than there was room for, our own it may be: the table has to be looked at.
    TooMuch,
}

/// Notices foreign changes of one table.
pub struct Watch {
    socket: OwnedFd,
    table: String,
    own: u32,
}

impl Watch {
    pub(crate) fn new(table: String, own: u32) -> Result<Watch, Error> {
        Ok(Watch { socket: changes_of_nftables()?, table, own })
    }

    /// Waits until somebody else took something out of the table, or may have done so.
    ///
    /// # Errors
    /// The kernel tells nothing any more.
    pub fn changed(&self) -> Result<Seen, Error> {
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        let seen = loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) if self.concerns(&buffer[..length]) => break Seen::Taken,
                Err(Errno::NOBUFS) => break Seen::TooMuch,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::Open(errno)),
            }
        };
        std::thread::sleep(PAUSE);
        while !matches!(recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT), Err(Errno::AGAIN)) {}
        Ok(seen)
    }

    /// Whether some of these messages is a foreign change of the table.
    fn concerns(&self, mut bytes: &[u8]) -> bool {
        let number = |bytes: &[u8], at: usize| {
            bytes
                .get(at..at + 4)
                .and_then(|four| four.first_chunk())
                .map_or(0, |four| u32::from_ne_bytes(*four))
        };
        while bytes.len() >= HEADER_BYTES + FAMILY_BYTES {
            let length = (number(bytes, 0) as usize).clamp(HEADER_BYTES, bytes.len());
            let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
            let is_taken = [DELETE_TABLE, DELETE_CHAIN, DELETE_RULE, DELETE_ELEMENT].contains(&kind);
            let body = bytes.get(HEADER_BYTES + FAMILY_BYTES..length).unwrap_or_default();
            let names_it = || {
                attributes(body).iter().any(|(kind, value)| {
                    *kind == TABLE_NAME && value.strip_suffix(&[0]) == Some(self.table.as_bytes())
                })
            };
            if is_taken && number(bytes, 12) != self.own && names_it() {
                return true;
            }
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        false
    }
}
