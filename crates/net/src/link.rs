//! Links, addresses and routes, rtnetlink(7).

use crate::Error;
use crate::netlink::{ACK, CREATE, DUMP, EXCLUSIVE, Message, REPLACE, Socket};
use crate::value::{Endpoint, Upon, UponMode, WayOut};
use model::Subnet;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOUR: u16 = 28;

// Attributes of links: linux/if_link.h.
const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_PARENT: u16 = 5;
const LINK_MASTER: u16 = 10;
const LINK_STATE: u16 = 16;
const LINK_INFO: u16 = 18;
const LINK_ALIAS: u16 = 20;
const LINK_NAMESPACE_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_SLAVE_KIND: u16 = 4;
const INFO_SLAVE_DATA: u16 = 5;
const VETH_PEER: u16 = 1;
const PORT_HAIRPIN: u16 = 4;
const PORT_ISOLATED: u16 = 33;
/// `IFLA_MACVLAN_MODE` and `IFLA_IPVLAN_MODE`.
const UPON_MODE: u16 = 1;

const ADDRESS_ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ADDRESS_BROADCAST: u16 = 4;
const NEIGHBOUR_ADDRESS: u16 = 1;
const NEIGHBOUR_LINK_ADDRESS: u16 = 2;
const ROUTE_DESTINATION: u16 = 1;
const ROUTE_OUT: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;

const FAMILY_INET: u8 = 2;
const FAMILY_INET6: u8 = 10;
/// `IFA_F_NODAD`: nobody else can have the address, so it need not be asked for.
const ADDRESS_IS_UNIQUE: u8 = 2;
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
    pub(crate) alias: Option<String>,
    /// What kind of link it is, where the kernel says: `bridge`, `veth`.
    pub(crate) kind: Option<String>,
}

/// The bytes of an address.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { FAMILY_INET } else { FAMILY_INET6 }
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
    let text = |value: &[u8]| String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned();
    Some(Link {
        index: number(body.get(4..8)?)?,
        name: text(value(LINK_NAME)?),
        master: value(LINK_MASTER).and_then(number),
        alias: value(LINK_ALIAS).map(text),
        kind: value(LINK_INFO).and_then(|info| {
            let info = crate::netlink::attributes(info);
            info.iter().find(|(found, _)| *found == INFO_KIND).map(|(_, kind)| text(kind))
        }),
    })
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

/// The hardware address of a bridge: the same whenever it is made again, so that nobody has to learn it anew.
pub(crate) fn bridge_mac(gateways: &[IpAddr]) -> [u8; 6] {
    let four = gateways.iter().find_map(|gateway| match gateway {
        IpAddr::V4(gateway) => Some(gateway.octets()),
        IpAddr::V6(_) => None,
    });
    let [a, b, c, d] = four.unwrap_or_else(base::random::bytes);
    [0x02, 0x42, a, b, c, d]
}

/// Makes a bridge that is up, unless it is there; returns its index. Its alias says whose it is.
pub(crate) fn bridge(socket: &Socket, name: &str, mac: [u8; 6], mtu: u32, alias: &str) -> Result<u32, Error> {
    let operation = || format!("make the bridge {name}");
    if let Some(index) = index(socket, name)? {
        let mut up = Message::new(NEW_LINK, ACK);
        up.raw(&header(index, UP, UP)).text(LINK_ALIAS, alias);
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
    let mut owned = Message::new(NEW_LINK, ACK);
    owned.raw(&header(0, 0, 0)).text(LINK_NAME, name).text(LINK_ALIAS, alias);
    socket.request(&[message, owned], operation)?;
    index(socket, name)?.ok_or_else(|| Error::Answer { operation: operation() })
}

/// A pair of links that connects a namespace to a bridge.
pub(crate) struct Pair<'a> {
    /// The bridge's index.
    pub(crate) bridge: u32,
    pub(crate) mtu: u32,
    /// Whether it reaches the bridge alone, and none of the other links on it.
    pub(crate) isolated: bool,
    /// Where the other end goes.
    pub(crate) namespace: BorrowedFd<'a>,
    pub(crate) endpoint: &'a Endpoint,
}

/// The number by which netlink knows a descriptor.
fn descriptor(namespace: BorrowedFd<'_>) -> u32 {
    u32::try_from(namespace.as_raw_fd()).unwrap_or(u32::MAX)
}

/// Makes a pair of links: one end here, up and a port of the bridge, and the other in the namespace, which [`configure`] brings
/// up: the kernel refuses to bring up an end whose peer is not complete.
pub(crate) fn veth(socket: &Socket, pair: &Pair<'_>) -> Result<(), Error> {
    let endpoint = pair.endpoint;
    let mut message = Message::new(NEW_LINK, ACK | CREATE | EXCLUSIVE);
    message
        .raw(&header(0, UP, UP))
        .text(LINK_NAME, &endpoint.link)
        .number(LINK_MTU, pair.mtu)
        .number(LINK_MASTER, pair.bridge)
        .nest(LINK_INFO, |info| {
            info.text(INFO_KIND, "veth").nest(INFO_DATA, |data| {
                data.nest(VETH_PEER, |peer| {
                    peer.raw(&header(0, 0, 0)).text(LINK_NAME, &endpoint.inside).number(LINK_MTU, pair.mtu);
                    peer.attribute(LINK_ADDRESS, &endpoint.mac)
                        .number(LINK_NAMESPACE_FD, descriptor(pair.namespace));
                });
            });
        });
    let mut messages = vec![message, port(&endpoint.link, pair.isolated)];
    let addresses = endpoint.ipv4.map(|(address, _)| IpAddr::V4(address)).into_iter();
    for address in addresses.chain(endpoint.ipv6.map(|(address, _)| IpAddr::V6(address))) {
        messages.push(neighbour(pair.bridge, address, endpoint.mac));
    }
    socket.request(&messages, || format!("make the link {}", endpoint.link))
}

/// A container may reach itself through its published port: where the kernel translates on the bridge, the packet leaves
/// by the port on which it came. An isolated port reaches the bridge and no other isolated one.
fn port(name: &str, isolated: bool) -> Message {
    let mut message = Message::new(NEW_LINK, ACK);
    message.raw(&header(0, 0, 0)).text(LINK_NAME, name).nest(LINK_INFO, |info| {
        info.text(INFO_SLAVE_KIND, "bridge").nest(INFO_SLAVE_DATA, |data| {
            data.attribute(PORT_HAIRPIN, &[1]).attribute(PORT_ISOLATED, &[u8::from(isolated)]);
        });
    });
    message
}

/// The host learns the container's hardware address before it asks, and forgets the one of an earlier container.
fn neighbour(link: u32, address: IpAddr, mac: [u8; 6]) -> Message {
    // `struct ndmsg`: family, padding, link, state, flags, type.
    let mut header = [0; 12];
    header[0] = family(address);
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[8..10].copy_from_slice(&NEIGHBOUR_STALE.to_ne_bytes());
    let mut message = Message::new(NEW_NEIGHBOUR, ACK | CREATE | REPLACE);
    message
        .raw(&header)
        .attribute(NEIGHBOUR_ADDRESS, &octets(address))
        .attribute(NEIGHBOUR_LINK_ADDRESS, &mac);
    message
}

/// Makes a link in a namespace upon a link of this one.
pub(crate) fn upon(
    socket: &Socket,
    upon: &Upon,
    namespace: BorrowedFd<'_>,
    endpoint: &Endpoint,
) -> Result<(), Error> {
    let missing = || Error::NoLink { name: upon.parent.clone() };
    let parent = index(socket, &upon.parent)?.ok_or_else(missing)?;
    let (kind, mode) = match upon.mode {
        UponMode::MacvlanPrivate => ("macvlan", 1),
        UponMode::MacvlanVepa => ("macvlan", 2),
        UponMode::MacvlanBridge => ("macvlan", 4),
        UponMode::MacvlanPassthru => ("macvlan", 8),
        UponMode::IpvlanL2 => ("ipvlan", 0),
        UponMode::IpvlanL3 => ("ipvlan", 1),
        UponMode::IpvlanL3s => ("ipvlan", 2_u16),
    };
    let mut message = Message::new(NEW_LINK, ACK | CREATE | EXCLUSIVE);
    message
        .raw(&header(0, 0, 0))
        .text(LINK_NAME, &endpoint.inside)
        .number(LINK_PARENT, parent)
        .number(LINK_NAMESPACE_FD, descriptor(namespace));
    if let Some(mtu) = upon.mtu {
        message.number(LINK_MTU, mtu);
    }
    if kind == "macvlan" {
        message.attribute(LINK_ADDRESS, &endpoint.mac);
    }
    message.nest(LINK_INFO, |info| {
        info.text(INFO_KIND, kind).nest(INFO_DATA, |data| {
            if kind == "macvlan" {
                data.number(UPON_MODE, mode.into());
            } else {
                data.attribute(UPON_MODE, &mode.to_ne_bytes());
            }
        });
    });
    match socket.request(&[message], || format!("make a link of kind {kind} upon {}", upon.parent)) {
        Err(Error::Refused { source: Errno::OPNOTSUPP, .. }) => Err(Error::NoKind { kind }),
        other => other,
    }
}

/// Makes a link a port of a bridge again, and brings it up.
pub(crate) fn connect(socket: &Socket, name: &str, bridge: u32, isolated: bool) -> Result<(), Error> {
    let mut message = Message::new(NEW_LINK, ACK);
    message.raw(&header(0, UP, UP)).text(LINK_NAME, name).number(LINK_MASTER, bridge);
    socket.request(&[message, port(name, isolated)], || format!("connect the link {name}"))
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

fn address_message(index: u32, address: IpAddr, prefix: u8) -> Message {
    let mut message = Message::new(NEW_ADDRESS, ACK | CREATE);
    let flags = if address.is_ipv4() { 0 } else { ADDRESS_IS_UNIQUE };
    let mut header = [family(address), prefix, flags, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let bytes = octets(address);
    message.raw(&header).attribute(ADDRESS_LOCAL, &bytes).attribute(ADDRESS_ADDRESS, &bytes);
    if address.is_ipv4() {
        message.attribute(ADDRESS_BROADCAST, &octets(Subnet::of(address, prefix).last()));
    }
    message
}

/// Gives a link an address, unless it has it.
pub(crate) fn address(socket: &Socket, index: u32, address: IpAddr, prefix: u8) -> Result<(), Error> {
    match socket
        .request(&[address_message(index, address, prefix)], || format!("give the bridge {address}/{prefix}"))
    {
        Err(Error::Refused { source: Errno::EXIST, .. }) => Ok(()),
        other => other,
    }
}

/// Brings a link up and gives it its addresses, in one go.
pub(crate) fn configure(socket: &Socket, index: u32, endpoint: &Endpoint) -> Result<(), Error> {
    let mut up = Message::new(NEW_LINK, ACK);
    up.raw(&header(index, UP, UP));
    let mut messages = vec![up];
    if let Some((address, prefix)) = endpoint.ipv4 {
        messages.push(address_message(index, address.into(), prefix));
    }
    if let Some((address, prefix)) = endpoint.ipv6 {
        messages.push(address_message(index, address.into(), prefix));
    }
    socket.request(&messages, || format!("give {} its addresses", endpoint.inside))
}

/// `struct rtmsg` of a default route: family, the prefixes of destination and source, tos, table, protocol, scope, type, flags.
fn default_route(family: u8) -> [u8; ROUTE_HEADER_BYTES] {
    [family, 0, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, 0, UNICAST, 0, 0, 0, 0]
}

/// Makes these the default routes of a namespace, in place of those that it has.
pub(crate) fn set_way_out(socket: &Socket, way: &WayOut) -> Result<(), Error> {
    let hop4 = way.ipv4.as_ref().map(|(link, hop)| (link, hop.map(IpAddr::V4)));
    let hop6 = way.ipv6.as_ref().map(|(link, hop)| (link, hop.map(IpAddr::V6)));
    for (family, hop) in [(FAMILY_INET, hop4), (FAMILY_INET6, hop6)] {
        let Some((link, hop)) = hop else {
            remove_default_route(socket, family)?;
            continue;
        };
        let operation = || match hop {
            Some(hop) => format!("send everything else to the gateway {hop} by {link}"),
            None => format!("send everything else by {link}"),
        };
        let out = index(socket, link)?.ok_or_else(|| Error::Answer { operation: operation() })?;
        let mut route = Message::new(NEW_ROUTE, ACK | CREATE | REPLACE);
        route.raw(&default_route(family));
        if let Some(hop) = hop {
            route.attribute(ROUTE_GATEWAY, &octets(hop));
        }
        route.number(ROUTE_OUT, out);
        socket.request(&[route], operation)?;
    }
    Ok(())
}

fn remove_default_route(socket: &Socket, family: u8) -> Result<(), Error> {
    let mut route = Message::new(DELETE_ROUTE, ACK);
    route.raw(&default_route(family));
    match socket.request(&[route], || "remove the default route".to_owned()) {
        // There is none, or no such family.
        Err(Error::Refused { source: Errno::SRCH | Errno::AFNOSUPPORT | Errno::OPNOTSUPP, .. }) => Ok(()),
        other => other,
    }
}

/// The subnets that the host's addresses and routes lie in, the default route left out.
pub(crate) fn subnets(socket: &Socket) -> Result<Vec<Subnet>, Error> {
    let read = |family: u8, value: &[u8]| match family {
        FAMILY_INET => value.first_chunk::<4>().map(|octets| IpAddr::V4(Ipv4Addr::from(*octets))),
        FAMILY_INET6 => value.first_chunk::<16>().map(|octets| IpAddr::V6(Ipv6Addr::from(*octets))),
        _ => None,
    };
    let mut found = Vec::new();
    let mut address = Message::new(GET_ADDRESS, DUMP);
    address.raw(&[0; ADDRESS_HEADER_BYTES]);
    let mut route = Message::new(GET_ROUTE, DUMP);
    route.raw(&[0; ROUTE_HEADER_BYTES]);
    let lists = [
        (address, ADDRESS_HEADER_BYTES, ADDRESS_ADDRESS, "list the addresses"),
        (route, ROUTE_HEADER_BYTES, ROUTE_DESTINATION, "list the routes"),
    ];
    for (message, header, kind, operation) in lists {
        for reply in socket.dump(&message, || operation.to_owned())? {
            let [family, prefix, ..] = *reply.body() else { continue };
            let attributes = reply.attributes(header);
            let value = attributes.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value);
            if prefix > 0
                && let Some(address) = value.and_then(|value| read(family, value))
            {
                found.push(Subnet::of(address, prefix));
            }
        }
    }
    Ok(found)
}
