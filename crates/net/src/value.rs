//! What the engine tells this crate, as plain values.

use std::net::Ipv4Addr;

/// A subnet of IPv4, or an address with the prefix of its subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Net {
    /// An address in it.
    pub address: Ipv4Addr,
    /// The bits of its prefix.
    pub prefix: u8,
}

/// What a bridge shall be.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// The daemon's id, eight hexadecimal digits.
    pub daemon: String,
    /// The bridge's subnet.
    pub subnet: Ipv4Net,
    /// The host's address in it.
    pub gateway: Ipv4Addr,
    /// Bytes in a packet.
    pub mtu: u32,
}

/// A container's place on the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its hardware address.
    pub mac: [u8; 6],
}
