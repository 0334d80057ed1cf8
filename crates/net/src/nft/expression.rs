//! What a rule does, as values, and how each is said to the kernel: linux/netfilter/nf_tables.h.
//!
//! Registers are counted here in words of four bytes from 0; a key of several parts lies in consecutive ones.

use crate::netlink::Message;
use model::{Protocol, Subnet};
use std::net::IpAddr;

// The kernel's names of what a rule may ask for and do.
const REGISTER_0: u32 = 8;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const LIST_ELEMENT: u16 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const VERDICT_REGISTER: u32 = 0;

const META_IN_NAME: u32 = 6;
const META_OUT_NAME: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
/// `RTN_LOCAL`: an address of this host.
const TYPE_LOCAL: u32 = 2;
/// `ct state established,related` and `ct status dnat` as bits.
const STATE_KNOWN: u32 = 2 | 4;
const STATUS_TRANSLATED: u32 = 1 << 5;
const JUMP: i32 = -3;
/// Offsets in the header of IPv4 and IPv6.
const SOURCE4: u32 = 12;
const DESTINATION4: u32 = 16;
const SOURCE6: u32 = 8;
const DESTINATION6: u32 = 24;
const SOURCE_PORT: u32 = 0;
const DESTINATION_PORT: u32 = 2;
/// `NFT_PAYLOAD_CSUM_INET`.
const CHECKSUM_OF_INTERNET: u32 = 1;
/// Registers that a link's name fills.
const LINK_NAME_REGISTERS: u32 = 4;
/// `enum nft_nat_types`.
const NAT_SOURCE: u32 = 0;
const NAT_DESTINATION: u32 = 1;

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Only IPv4.
    Ipv4,
    /// Only IPv6.
    Ipv6,
    /// Only this transport protocol, by its number.
    Transport(u8),
    /// Only where a port is this one.
    Port { source: bool, port: u16 },
    /// Writes another port in its place, and the checksum of that protocol anew, without the connection tracking.
    SetPort { source: bool, port: u16, protocol: Protocol },
    /// Only to an address of this host.
    ToThisHost,
    /// Only where an address lies in a subnet, whose family is known to be the packet's.
    Address { source: bool, subnet: Subnet },
    /// Only what belongs to a connection that is known.
    KnownConnection,
    /// Only what was translated.
    WasTranslated,
    /// Puts the name of the link on which it came, or leaves, into four registers.
    LoadLink { incoming: bool, register: u32 },
    /// Puts the source into registers from this one on.
    LoadSource4(u32),
    /// The same for IPv6: four registers.
    LoadSource6(u32),
    /// Puts the destination into registers from this one on.
    LoadDestination4(u32),
    /// The same for IPv6: four registers.
    LoadDestination6(u32),
    /// Puts the transport protocol into a register.
    LoadProtocol(u32),
    /// Puts the destination port into a register.
    LoadPort(u32),
    /// Only what is found under the key in the registers from 0 on; a map's data replace it there.
    Lookup { set: &'static str, data: bool },
    /// Translates the destination to the address of IPv4 and the port in the first two registers.
    Translate4,
    /// Translates the destination to the address of IPv6 and the port in the first five registers.
    Translate6,
    /// Translates the source to the address in the first registers.
    TranslateSource { ipv4: bool },
    /// Gives the packet the address of the link on which it leaves.
    Masquerade,
    /// Sends it to a port of this host.
    Redirect(u16),
    /// Goes on in another chain.
    Jump(&'static str),
    /// Lets it pass.
    Accept,
    /// Does not.
    Drop,
}

impl Expression {
    pub(crate) fn from(subnet: Subnet) -> Expression {
        Expression::Address { source: true, subnet }
    }

    pub(crate) fn to(subnet: Subnet) -> Expression {
        Expression::Address { source: false, subnet }
    }

    /// Only this transport protocol.
    pub(crate) fn transport(protocol: Protocol) -> Expression {
        Expression::Transport(protocol_number(protocol))
    }

    /// Only where the link on which it came, or leaves, is in a set.
    pub(crate) fn link_in(incoming: bool, set: &'static str) -> [Expression; 2] {
        [Expression::LoadLink { incoming, register: 0 }, Expression::Lookup { set, data: false }]
    }

    /// Only where the two links, the one on which it came first, are in a set of pairs.
    pub(crate) fn links_in(set: &'static str) -> [Expression; 3] {
        [
            Expression::LoadLink { incoming: true, register: 0 },
            Expression::LoadLink { incoming: false, register: LINK_NAME_REGISTERS },
            Expression::Lookup { set, data: false },
        ]
    }

    /// Says it to the kernel.
    pub(crate) fn write(&self, list: &mut Message) {
        match self {
            Expression::Ipv4 => meta(list, META_FAMILY, &[FAMILY_IPV4]),
            Expression::Ipv6 => meta(list, META_FAMILY, &[FAMILY_IPV6]),
            Expression::Transport(number) => meta(list, META_PROTOCOL, &[*number]),
            Expression::Port { source, port } => {
                payload(list, TRANSPORT_HEADER, port_offset(*source), 2, 0);
                compare(list, EQUAL, &port.to_be_bytes());
            }
            Expression::SetPort { source, port, protocol } => {
                immediate(list, &port.to_be_bytes());
                set_port(list, *source, *protocol);
            }
            Expression::ToThisHost => to_this_host(list),
            Expression::LoadLink { incoming, register } => {
                load_meta(list, if *incoming { META_IN_NAME } else { META_OUT_NAME }, *register);
            }
            Expression::Address { source, subnet } => {
                let (offset, base) = match (subnet.base(), source) {
                    (IpAddr::V4(base), true) => (SOURCE4, base.octets().to_vec()),
                    (IpAddr::V4(base), false) => (DESTINATION4, base.octets().to_vec()),
                    (IpAddr::V6(base), true) => (SOURCE6, base.octets().to_vec()),
                    (IpAddr::V6(base), false) => (DESTINATION6, base.octets().to_vec()),
                };
                let length = u32::try_from(base.len()).unwrap_or_default();
                payload(list, NETWORK_HEADER, offset, length, 0);
                masked(list, &mask(base.len(), subnet.prefix()));
                compare(list, EQUAL, &base);
            }
            Expression::KnownConnection => connection(list, CT_STATE, STATE_KNOWN),
            Expression::WasTranslated => connection(list, CT_STATUS, STATUS_TRANSLATED),
            Expression::LoadSource4(register) => payload(list, NETWORK_HEADER, SOURCE4, 4, *register),
            Expression::LoadSource6(register) => payload(list, NETWORK_HEADER, SOURCE6, 16, *register),
            Expression::LoadDestination4(register) => {
                payload(list, NETWORK_HEADER, DESTINATION4, 4, *register);
            }
            Expression::LoadDestination6(register) => {
                payload(list, NETWORK_HEADER, DESTINATION6, 16, *register);
            }
            Expression::LoadProtocol(register) => load_meta(list, META_PROTOCOL, *register),
            Expression::LoadPort(register) => payload(list, TRANSPORT_HEADER, DESTINATION_PORT, 2, *register),
            Expression::Lookup { set, data } => expression(list, "lookup", |inner| {
                inner.text(1, set).big(2, REGISTER_0);
                if *data {
                    inner.big(3, REGISTER_0);
                }
            }),
            Expression::Translate4 => translate(list, NAT_DESTINATION, FAMILY_IPV4, Some(1)),
            Expression::Translate6 => translate(list, NAT_DESTINATION, FAMILY_IPV6, Some(4)),
            Expression::TranslateSource { ipv4 } => {
                translate(list, NAT_SOURCE, if *ipv4 { FAMILY_IPV4 } else { FAMILY_IPV6 }, None);
            }
            Expression::Masquerade => expression(list, "masq", |_| {}),
            Expression::Redirect(port) => {
                immediate(list, &port.to_be_bytes());
                expression(list, "redir", |inner| {
                    inner.big(1, REGISTER_0);
                });
            }
            Expression::Jump(chain) => verdict(list, JUMP, Some(chain)),
            Expression::Accept => verdict(list, 1, None),
            Expression::Drop => verdict(list, 0, None),
        }
    }
}

fn expression(list: &mut Message, name: &str, fill: impl FnOnce(&mut Message)) {
    list.nest(LIST_ELEMENT, |element| {
        element.text(EXPRESSION_NAME, name).nest(EXPRESSION_DATA, fill);
    });
}

/// Puts a value into the first register.
fn immediate(list: &mut Message, value: &[u8]) {
    expression(list, "immediate", |inner| {
        inner.big(1, REGISTER_0).nest(2, |data| {
            data.attribute(DATA_VALUE, value);
        });
    });
}

/// The number of a protocol in a packet.
pub(crate) const fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

const fn port_offset(source: bool) -> u32 {
    if source { SOURCE_PORT } else { DESTINATION_PORT }
}

/// Where a checksum stands in the header.
const fn checksum_offset(protocol: Protocol) -> u32 {
    match protocol {
        Protocol::Tcp => 16,
        Protocol::Udp => 6,
        Protocol::Sctp => 8,
    }
}

fn compare(list: &mut Message, operator: u32, value: &[u8]) {
    expression(list, "cmp", |inner| {
        inner.big(1, REGISTER_0).big(2, operator).nest(3, |data| {
            data.attribute(DATA_VALUE, value);
        });
    });
}

fn load_meta(list: &mut Message, key: u32, register: u32) {
    expression(list, "meta", |inner| {
        inner.big(1, REGISTER_0 + register).big(2, key);
    });
}

fn meta(list: &mut Message, key: u32, value: &[u8]) {
    load_meta(list, key, 0);
    compare(list, EQUAL, value);
}

fn payload(list: &mut Message, base: u32, offset: u32, length: u32, register: u32) {
    expression(list, "payload", |inner| {
        inner.big(1, REGISTER_0 + register).big(2, base).big(3, offset).big(4, length);
    });
}

/// Puts the first register in the place of a port.
fn set_port(list: &mut Message, source: bool, protocol: Protocol) {
    expression(list, "payload", |inner| {
        inner.big(5, REGISTER_0).big(2, TRANSPORT_HEADER).big(3, port_offset(source)).big(4, 2);
        inner.big(6, CHECKSUM_OF_INTERNET).big(7, checksum_offset(protocol)).big(8, 0);
    });
}

/// The bits of a prefix in an address of so many bytes.
fn mask(bytes: usize, prefix: u8) -> Vec<u8> {
    (0..bytes)
        .map(|index| {
            let bits = usize::from(prefix).saturating_sub(index * 8).min(8);
            !u8::MAX.checked_shr(u32::try_from(bits).unwrap_or(8)).unwrap_or(0)
        })
        .collect()
}

/// `register & mask`.
fn masked(list: &mut Message, mask: &[u8]) {
    expression(list, "bitwise", |inner| {
        inner.big(1, REGISTER_0).big(2, REGISTER_0).big(3, u32::try_from(mask.len()).unwrap_or_default());
        inner.nest(4, |data| {
            data.attribute(DATA_VALUE, mask);
        });
        inner.nest(5, |data| {
            data.attribute(DATA_VALUE, &vec![0; mask.len()]);
        });
    });
}

/// Translates to the address in the first registers, and to the port in that register.
fn translate(list: &mut Message, kind: u32, family: u8, port: Option<u32>) {
    expression(list, "nat", |inner| {
        inner.big(1, kind).big(2, family.into()).big(3, REGISTER_0);
        if let Some(port) = port {
            inner.big(5, REGISTER_0 + port);
        }
    });
}

fn connection(list: &mut Message, key: u32, bits: u32) {
    expression(list, "ct", |inner| {
        inner.big(1, REGISTER_0).big(2, key);
    });
    // What the connection tracking says is in the machine's order.
    masked(list, &bits.to_ne_bytes());
    compare(list, NOT_EQUAL, &[0; 4]);
}

/// `fib daddr type local`.
fn to_this_host(list: &mut Message) {
    const ADDRESS_TYPE: u32 = 3;
    const OF_DESTINATION: u32 = 2;
    expression(list, "fib", |inner| {
        inner.big(1, REGISTER_0).big(2, ADDRESS_TYPE).big(3, OF_DESTINATION);
    });
    compare(list, EQUAL, &TYPE_LOCAL.to_ne_bytes());
}

fn verdict(list: &mut Message, code: i32, chain: Option<&str>) {
    expression(list, "immediate", |inner| {
        inner.big(1, VERDICT_REGISTER).nest(2, |data| {
            data.nest(DATA_VERDICT, |verdict| {
                verdict.attribute(VERDICT_CODE, &code.to_be_bytes());
                if let Some(chain) = chain {
                    verdict.text(VERDICT_CHAIN, chain);
                }
            });
        });
    });
}
