//! What a rule does, as values, and how each is said to the kernel: linux/netfilter/nf_tables.h.
//!
//! Registers are counted here in words of four bytes from 0; a key of several parts lies in consecutive ones.

use crate::netlink::Message;
use std::net::Ipv4Addr;

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
const PROTOCOL_TCP: u8 = 6;
/// `RTN_LOCAL`: an address of this host.
const TYPE_LOCAL: u32 = 2;
/// `ct state established,related` and `ct status dnat` as bits.
const STATE_KNOWN: u32 = 2 | 4;
const STATUS_TRANSLATED: u32 = 1 << 5;
const JUMP: i32 = -3;
/// Offsets in the header of IPv4 and IPv6.
const SOURCE4: u32 = 12;
const DESTINATION4: u32 = 16;
const DESTINATION6: u32 = 24;
const DESTINATION_PORT: u32 = 2;
/// Bytes of a link's name with its end, as the kernel compares them.
const LINK_NAME_BYTES: usize = 16;

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Only IPv4.
    Ipv4,
    /// Only IPv6.
    Ipv6,
    /// Only TCP.
    Tcp,
    /// Only to an address of this host.
    ToThisHost,
    /// Only where a link's name is, or is not, this one.
    Link { incoming: bool, name: String, equal: bool },
    /// Only where an address lies in a subnet.
    Address { source: bool, subnet: Ipv4Addr, prefix: u8 },
    /// Only what belongs to a connection that is known.
    KnownConnection,
    /// Only what was translated.
    WasTranslated,
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
    /// Translates the destination to the address and port in the first two registers.
    Translate,
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
    pub(crate) fn from_link(name: &str) -> Expression {
        Expression::Link { incoming: true, name: name.to_owned(), equal: true }
    }

    pub(crate) fn to_link(name: &str) -> Expression {
        Expression::Link { incoming: false, name: name.to_owned(), equal: true }
    }

    pub(crate) fn not_to_link(name: &str) -> Expression {
        Expression::Link { incoming: false, name: name.to_owned(), equal: false }
    }

    pub(crate) fn from(subnet: Ipv4Addr, prefix: u8) -> Expression {
        Expression::Address { source: true, subnet, prefix }
    }

    pub(crate) fn to(subnet: Ipv4Addr, prefix: u8) -> Expression {
        Expression::Address { source: false, subnet, prefix }
    }

    /// Says it to the kernel.
    pub(crate) fn write(&self, list: &mut Message) {
        match self {
            Expression::Ipv4 => meta(list, META_FAMILY, &[FAMILY_IPV4], EQUAL),
            Expression::Ipv6 => meta(list, META_FAMILY, &[FAMILY_IPV6], EQUAL),
            Expression::Tcp => meta(list, META_PROTOCOL, &[PROTOCOL_TCP], EQUAL),
            Expression::ToThisHost => to_this_host(list),
            Expression::Link { incoming, name, equal } => {
                let mut bytes = name.as_bytes().to_vec();
                bytes.resize(LINK_NAME_BYTES, 0);
                let key = if *incoming { META_IN_NAME } else { META_OUT_NAME };
                meta(list, key, &bytes, if *equal { EQUAL } else { NOT_EQUAL });
            }
            Expression::Address { source, subnet, prefix } => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
                payload(list, NETWORK_HEADER, if *source { SOURCE4 } else { DESTINATION4 }, 4, 0);
                masked(list, &mask.to_be_bytes());
                compare(list, EQUAL, &(subnet.to_bits() & mask).to_be_bytes());
            }
            Expression::KnownConnection => connection(list, CT_STATE, STATE_KNOWN),
            Expression::WasTranslated => connection(list, CT_STATUS, STATUS_TRANSLATED),
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
            Expression::Translate => expression(list, "nat", |inner| {
                const DESTINATION: u32 = 1;
                inner
                    .big(1, DESTINATION)
                    .big(2, FAMILY_IPV4.into())
                    .big(3, REGISTER_0)
                    .big(5, REGISTER_0 + 1);
            }),
            Expression::Masquerade => expression(list, "masq", |_| {}),
            Expression::Redirect(port) => {
                expression(list, "immediate", |inner| {
                    inner.big(1, REGISTER_0).nest(2, |data| {
                        data.attribute(DATA_VALUE, &port.to_be_bytes());
                    });
                });
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

fn meta(list: &mut Message, key: u32, value: &[u8], operator: u32) {
    load_meta(list, key, 0);
    compare(list, operator, value);
}

fn payload(list: &mut Message, base: u32, offset: u32, length: u32, register: u32) {
    expression(list, "payload", |inner| {
        inner.big(1, REGISTER_0 + register).big(2, base).big(3, offset).big(4, length);
    });
}

/// `register & mask`.
fn masked(list: &mut Message, mask: &[u8; 4]) {
    expression(list, "bitwise", |inner| {
        inner.big(1, REGISTER_0).big(2, REGISTER_0).big(3, 4);
        inner.nest(4, |data| {
            data.attribute(DATA_VALUE, mask);
        });
        inner.nest(5, |data| {
            data.attribute(DATA_VALUE, &[0; 4]);
        });
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
