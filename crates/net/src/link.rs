//! Links, addresses and routes, rtnetlink(7).

use crate::Error;
use crate::netlink::{ACK, CREATE, DUMP, EXCLUSIVE, Message, REPLACE, Socket};
use crate::value::Ipv4Net;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use std::net::Ipv4Addr;
use std::time::Duration;

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOUR: u16 = 28;

// Attributes of links: linux/if_link.h.
const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_MASTER: u16 = 10;
const LINK_STATE: u16 = 16;
const LINK_INFO: u16 = 18;
const LINK_NAMESPACE_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_SLAVE_KIND: u16 = 4;
const INFO_SLAVE_DATA: u16 = 5;
const VETH_PEER: u16 = 1;
const PORT_HAIRPIN: u16 = 4;

const ADDRESS_ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ADDRESS_BROADCAST: u16 = 4;
const NEIGHBOUR_ADDRESS: u16 = 1;
const NEIGHBOUR_LINK_ADDRESS: u16 = 2;
const ROUTE_DESTINATION: u16 = 1;
const ROUTE_OUT: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;

const FAMILY_INET: u8 = 2;
const LINK_HEADER_BYTES: usize = 16;
const ADDRESS_HEADER_BYTES: usize = 8;
const ROUTE_HEADER_BYTES: usize = 12;
/// `IF_OPER_UP` of linux/if.h: the link carries packets.
const STATE_UP: u8 = 6;
/// How often, and how long in between, a link is asked whether it carries packets.
const UP_ATTEMPTS_MAX: u32 = 100;
const UP_PAUSE: Duration = Duration::from_millis(1);
/// `NUD_STALE`: used at once, and checked when it is.
const NEIGHBOUR_STALE: u16 = 4;
const UP: u32 = 1;
const LOOPBACK_INDEX: u32 = 1;
/// The routing table `main`, and routes made at boot, of scope universe, to one host.
const TABLE_MAIN: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const UNICAST: u8 = 1;

/// A link as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) master: Option<u32>,
}

/// `struct ifinfomsg`.
fn header(index: u32, flags: u32, change: u32) -> [u8; LINK_HEADER_BYTES] {
    let mut bytes = [0; LINK_HEADER_BYTES];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn link(body: &[u8], attributes: &[(u16, &[u8])]) -> Option<Link> {
    let value = |kind: u16| attributes.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value);
    let name = value(LINK_NAME)?;
    let name = String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned();
    Some(Link { index: number(body.get(4..8)?)?, name, master: value(LINK_MASTER).and_then(number) })
}

/// All links of the socket's namespace.
pub(crate) fn list(socket: &Socket) -> Result<Vec<Link>, Error> {
    let mut message = Message::new(GET_LINK, DUMP);
    message.raw(&header(0, 0, 0));
    let replies = socket.dump(&message, || "list the links".to_owned())?;
    Ok(replies.iter().filter_map(|reply| link(reply.body(), &reply.attributes(LINK_HEADER_BYTES))).collect())
}

/// The index of a link by its name; none if there is no such link.
pub(crate) fn index(socket: &Socket, name: &str) -> Result<Option<u32>, Error> {
    let mut message = Message::new(GET_LINK, ACK);
    message.raw(&header(0, 0, 0)).text(LINK_NAME, name);
    match socket.dump(&message, || format!("look up the link {name}")) {
        Ok(replies) => Ok(replies.first().and_then(|reply| number(reply.body().get(4..8)?))),
        Err(Error::Refused { source: Errno::NODEV, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until a link carries packets. The kernel notices some time after the other end came up, and until then the bridge
/// drops what is sent: a connection that a container opens first of all would hang for a second. To be asked
/// makes newer kernels (6.8) look at once; older ones are asked again. One that never looks is not waited for.
/// A bridge carries packets from when its first port does, and has to be asked after that.
pub(crate) fn await_up(socket: &Socket, name: &str) -> Result<(), Error> {
    let mut message = Message::new(GET_LINK, ACK);
    message.raw(&header(0, 0, 0)).text(LINK_NAME, name);
    for _ in 0..UP_ATTEMPTS_MAX {
        let replies = socket.dump(&message, || format!("look up the link {name}"))?;
        let is_up = replies.iter().any(|reply| {
            reply
                .attributes(LINK_HEADER_BYTES)
                .iter()
                .any(|(kind, value)| *kind == LINK_STATE && **value == [STATE_UP])
        });
        if is_up {
            break;
        }
        std::thread::sleep(UP_PAUSE);
    }
    Ok(())
}

/// Makes a bridge that is up, unless it is there; returns its index.
pub(crate) fn bridge(socket: &Socket, name: &str, mac: [u8; 6], mtu: u32) -> Result<u32, Error> {
    let operation = || format!("make the bridge {name}");
    if let Some(index) = index(socket, name)? {
        let mut up = Message::new(NEW_LINK, ACK);
        up.raw(&header(index, UP, UP));
        socket.request(&[up], operation)?;
        return Ok(index);
    }
    let mut message = Message::new(NEW_LINK, ACK | CREATE | EXCLUSIVE);
    message
        .raw(&header(0, UP, UP))
        .text(LINK_NAME, name)
        .number(LINK_MTU, mtu)
        .attribute(LINK_ADDRESS, &mac)
        .nest(LINK_INFO, |info| {
            info.text(INFO_KIND, "bridge");
        });
    socket.request(&[message], operation)?;
    index(socket, name)?.ok_or_else(|| Error::Answer { operation: operation() })
}

/// A pair of links that connects a namespace to a bridge.
pub(crate) struct Pair<'a> {
    /// The name of this side's end.
    pub(crate) name: &'a str,
    /// The bridge's index.
    pub(crate) bridge: u32,
    pub(crate) mtu: u32,
    /// Where the other end goes.
    pub(crate) namespace: BorrowedFd<'a>,
    /// The other end's addresses.
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: [u8; 6],
}

/// Makes a pair of links: one end here, up and a port of the bridge, and `eth0` in the namespace, which [`configure`] brings
/// up: the kernel refuses to bring up an end whose peer is not complete.
pub(crate) fn veth(socket: &Socket, pair: &Pair<'_>) -> Result<(), Error> {
    let namespace = u32::try_from(pair.namespace.as_raw_fd()).unwrap_or(u32::MAX);
    let mut message = Message::new(NEW_LINK, ACK | CREATE | EXCLUSIVE);
    message
        .raw(&header(0, UP, UP))
        .text(LINK_NAME, pair.name)
        .number(LINK_MTU, pair.mtu)
        .number(LINK_MASTER, pair.bridge)
        .nest(LINK_INFO, |info| {
            info.text(INFO_KIND, "veth").nest(INFO_DATA, |data| {
                data.nest(VETH_PEER, |peer| {
                    peer.raw(&header(0, 0, 0)).text(LINK_NAME, "eth0").number(LINK_MTU, pair.mtu);
                    peer.attribute(LINK_ADDRESS, &pair.mac).number(LINK_NAMESPACE_FD, namespace);
                });
            });
        });
    let mut messages = vec![message, hairpin(pair.name)];
    messages.push(neighbour(pair.bridge, pair.address, pair.mac));
    socket.request(&messages, || format!("make the link {}", pair.name))
}

/// A container may reach itself through its published port: where the kernel translates on the bridge, the packet leaves
/// by the port on which it came.
fn hairpin(name: &str) -> Message {
    let mut message = Message::new(NEW_LINK, ACK);
    message.raw(&header(0, 0, 0)).text(LINK_NAME, name).nest(LINK_INFO, |info| {
        info.text(INFO_SLAVE_KIND, "bridge").nest(INFO_SLAVE_DATA, |data| {
            data.attribute(PORT_HAIRPIN, &[1]);
        });
    });
    message
}

/// The host learns the container's hardware address before it asks, and forgets the one of an earlier container.
fn neighbour(link: u32, address: Ipv4Addr, mac: [u8; 6]) -> Message {
    // `struct ndmsg`: family, padding, link, state, flags, type.
    let mut header = [0; 12];
    header[0] = FAMILY_INET;
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[8..10].copy_from_slice(&NEIGHBOUR_STALE.to_ne_bytes());
    let mut message = Message::new(NEW_NEIGHBOUR, ACK | CREATE | REPLACE);
    message
        .raw(&header)
        .attribute(NEIGHBOUR_ADDRESS, &address.octets())
        .attribute(NEIGHBOUR_LINK_ADDRESS, &mac);
    message
}

/// Makes a link a port of a bridge again, and brings it up.
pub(crate) fn connect(socket: &Socket, name: &str, bridge: u32) -> Result<(), Error> {
    let mut message = Message::new(NEW_LINK, ACK);
    message.raw(&header(0, UP, UP)).text(LINK_NAME, name).number(LINK_MASTER, bridge);
    socket.request(&[message, hairpin(name)], || format!("connect the link {name}"))
}

/// Brings up the loopback link.
pub(crate) fn loopback_up(socket: &Socket) -> Result<(), Error> {
    let mut message = Message::new(NEW_LINK, ACK);
    message.raw(&header(LOOPBACK_INDEX, UP, UP));
    socket.request(&[message], || "bring up the loopback link".to_owned())
}

/// Deletes a link by name. That it is gone already is no error.
pub(crate) fn delete(socket: &Socket, name: &str) -> Result<(), Error> {
    let mut message = Message::new(DELETE_LINK, ACK);
    message.raw(&header(0, 0, 0)).text(LINK_NAME, name);
    tolerant(socket.request(&[message], || format!("delete the link {name}")))
}

/// The same by index.
pub(crate) fn delete_index(socket: &Socket, index: u32) -> Result<(), Error> {
    let mut message = Message::new(DELETE_LINK, ACK);
    message.raw(&header(index, 0, 0));
    tolerant(socket.request(&[message], || format!("delete the link of index {index}")))
}

fn tolerant(outcome: Result<(), Error>) -> Result<(), Error> {
    match outcome {
        Err(Error::Refused { source: Errno::NODEV, .. }) => Ok(()),
        other => other,
    }
}

fn address_message(index: u32, address: Ipv4Addr, prefix: u8) -> Message {
    let mut message = Message::new(NEW_ADDRESS, ACK | CREATE);
    let mut header = [FAMILY_INET, prefix, 0, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let broadcast = address.to_bits() | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    message
        .raw(&header)
        .attribute(ADDRESS_LOCAL, &address.octets())
        .attribute(ADDRESS_ADDRESS, &address.octets());
    message.attribute(ADDRESS_BROADCAST, &Ipv4Addr::from_bits(broadcast).octets());
    message
}

/// Gives a link an address, unless it has it.
pub(crate) fn address(socket: &Socket, index: u32, address: Ipv4Addr, prefix: u8) -> Result<(), Error> {
    match socket
        .request(&[address_message(index, address, prefix)], || format!("give the bridge {address}/{prefix}"))
    {
        Err(Error::Refused { source: Errno::EXIST, .. }) => Ok(()),
        other => other,
    }
}

/// Brings a link up, gives it its address and sends everything else to the gateway, in one go.
pub(crate) fn configure(
    socket: &Socket,
    index: u32,
    address: Ipv4Addr,
    prefix: u8,
    gateway: Ipv4Addr,
) -> Result<(), Error> {
    let mut route = Message::new(NEW_ROUTE, ACK | CREATE);
    // `struct rtmsg`: family, the prefixes of destination and source, tos, table, protocol, scope, type, flags.
    route.raw(&[FAMILY_INET, 0, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, 0, UNICAST, 0, 0, 0, 0]);
    route.attribute(ROUTE_GATEWAY, &gateway.octets()).number(ROUTE_OUT, index);
    let mut up = Message::new(NEW_LINK, ACK);
    up.raw(&header(index, UP, UP));
    socket.request(&[up, address_message(index, address, prefix), route], || {
        format!("give eth0 {address}/{prefix} and the gateway {gateway}")
    })
}

/// The subnets that the host's addresses and routes lie in, the default route left out.
pub(crate) fn subnets(socket: &Socket) -> Result<Vec<Ipv4Net>, Error> {
    let four = |value: &[u8]| value.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets));
    let find = |attributes: &[(u16, &[u8])], kind: u16| {
        attributes.iter().find(|(found, _)| *found == kind).and_then(|(_, value)| four(value))
    };
    let mut found = Vec::new();
    let mut message = Message::new(GET_ADDRESS, DUMP);
    message.raw(&[FAMILY_INET, 0, 0, 0, 0, 0, 0, 0]);
    for reply in socket.dump(&message, || "list the addresses".to_owned())? {
        let prefix = reply.body().get(1).copied();
        let address = find(&reply.attributes(ADDRESS_HEADER_BYTES), ADDRESS_ADDRESS);
        found.extend(address.zip(prefix).map(|(address, prefix)| Ipv4Net { address, prefix }));
    }
    let mut message = Message::new(GET_ROUTE, DUMP);
    message.raw(&[FAMILY_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for reply in socket.dump(&message, || "list the routes".to_owned())? {
        let prefix = reply.body().get(1).copied().filter(|prefix| *prefix > 0);
        let address = find(&reply.attributes(ROUTE_HEADER_BYTES), ROUTE_DESTINATION);
        found.extend(address.zip(prefix).map(|(address, prefix)| Ipv4Net { address, prefix }));
    }
    Ok(found)
}
