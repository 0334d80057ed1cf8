//! What the engine calls: a bridge with its table, and the containers on it.

use crate::namespace::{Namespace, Pool};
use crate::netlink::Socket;
use crate::reaper::Reaper;
use crate::value::{Endpoint, Ipv4Net, NetConfig};
use crate::{Error, conntrack, link, nft};
use model::{Protocol, PublishedPort};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Hexadecimal digits of an address in the name of its link.
const PORT_DIGITS: usize = 4;

/// A bridge with its table.
pub struct Network {
    config: NetConfig,
    index: u32,
    socket: Socket,
    table: nft::Table,
    pool: Pool,
    reaper: Reaper,
}

fn write_setting(path: String, value: &str) -> Result<(), Error> {
    // Written only where it differs: some of these settings tell everybody about each write.
    if fs::read_to_string(&path).is_ok_and(|found| found.trim() == value) {
        return Ok(());
    }
    match fs::write(&path, value) {
        // A kernel without IPv6 has no such switch, and needs none.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.contains("/ipv6/") => Ok(()),
        Err(source) => Err(Error::Setting { path: PathBuf::from(path), source }),
        Ok(()) => Ok(()),
    }
}

impl Network {
    /// The bridge's name.
    fn bridge(config: &NetConfig) -> String {
        format!("boc-{}", config.daemon)
    }

    /// The name of the host's end of a container's link: the lower half of the address tells it from others of the bridge.
    fn port(&self, address: Ipv4Addr) -> String {
        format!("v{}{:04x}", self.config.daemon, address.to_bits() & 0xffff)
    }

    /// Makes the bridge, its settings and its table, or takes them over as they are. Nothing that passes is cut off.
    ///
    /// # Errors
    /// The step that the kernel refused.
    pub fn open(config: NetConfig) -> Result<Network, Error> {
        let socket = Socket::open_route()?;
        let name = Network::bridge(&config);
        let [a, b, c, d] = config.gateway.octets();
        let index = link::bridge(&socket, &name, [0x02, 0x42, a, b, c, d], config.mtu)?;
        write_setting(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1")?;
        link::address(&socket, index, config.gateway, config.subnet.prefix)?;
        write_setting("/proc/sys/net/ipv4/ip_forward".to_owned(), "1")?;
        write_setting(format!("/proc/sys/net/ipv4/conf/{name}/route_localnet"), "1")?;
        let table = nft::Table::new(format!("bocage-{}", config.daemon))?;
        table.write(&name, config.subnet)?;
        Ok(Network { config, index, socket, table, pool: Pool::default(), reaper: Reaper::new()? })
    }

    /// The subnets that the host's addresses and routes use.
    ///
    /// # Errors
    /// The kernel did not list them.
    pub fn used_subnets() -> Result<Vec<Ipv4Net>, Error> {
        link::subnets(&Socket::open_route()?)
    }

    /// A network namespace with its loopback link up: one that is ready, or a new one.
    ///
    /// # Errors
    /// The step that failed.
    pub fn namespace(&self) -> Result<Namespace, Error> {
        self.pool.take()
    }

    /// A network namespace with its loopback link up and nothing else, if one is ready.
    pub fn ready_namespace(&self) -> Option<Namespace> {
        self.pool.take_ready()
    }

    /// Whether fewer than half of the namespaces are ready that could be.
    pub fn runs_low(&self) -> bool {
        self.pool.runs_low()
    }

    /// Makes one more namespace ready, unless enough are.
    ///
    /// # Errors
    /// The step that failed.
    pub fn refill(&self) -> Result<(), Error> {
        self.pool.refill()
    }

    /// Connects a namespace to the bridge. A link that is still there from an earlier container of this address is replaced.
    ///
    /// # Errors
    /// The step that the kernel refused, [`Error::BridgeFull`] above all; [`Network::detach`] removes what was made before.
    pub fn attach(&self, namespace: &Namespace, endpoint: &Endpoint) -> Result<(), Error> {
        let name = self.port(endpoint.address);
        let pair = link::Pair {
            name: &name,
            bridge: self.index,
            mtu: self.config.mtu,
            namespace: namespace.as_fd(),
            address: endpoint.address,
            mac: endpoint.mac,
        };
        let made = match link::veth(&self.socket, &pair) {
            Err(Error::Refused { source: Errno::EXIST, .. }) => {
                link::delete(&self.socket, &name)?;
                link::veth(&self.socket, &pair)
            }
            other => other,
        };
        match made {
            Err(Error::Refused { source: Errno::XFULL, .. }) => {
                return Err(Error::BridgeFull { bridge: Network::bridge(&self.config) });
            }
            other => other?,
        }
        let inside = link::index(namespace.socket(), "eth0")?
            .ok_or_else(|| Error::Answer { operation: format!("find eth0 behind {name}") })?;
        let prefix = self.config.subnet.prefix;
        link::configure(namespace.socket(), inside, endpoint.address, prefix, self.config.gateway)?;
        link::await_up(&self.socket, &name)?;
        link::await_up(&self.socket, &Network::bridge(&self.config))
    }

    /// Takes a container off the bridge. That it is off already is no error. The link is gone when the kernel has taken down
    /// the ended container's namespace, or a tenth of a second later if something keeps that alive; the
    /// address can be used again at once.
    ///
    /// # Errors
    /// The kernel refused, this time or where a link was to be gone since the last time.
    pub fn detach(&self, address: Ipv4Addr) -> Result<(), Error> {
        match link::index(&self.socket, &self.port(address))? {
            Some(index) => self.reaper.delete(index),
            None => Ok(()),
        }
    }

    /// Lets the host answer for ports.
    ///
    /// # Errors
    /// The kernel refused; then none of them is published.
    pub fn publish(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        self.table.publish(ports)
    }

    /// Lets it answer no longer, clients of datagram ports that are known already included. Ports that are not published are
    /// passed over.
    ///
    /// # Errors
    /// The first refusal; the others are gone all the same.
    pub fn unpublish(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        self.table.unpublish(ports).and(conntrack::forget(ports))
    }

    /// Points the redirection of IPv6 connections at the edge process.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn set_edge_port(&self, port: u16) -> Result<(), Error> {
        self.table.redirect(port)
    }

    /// Removes what belongs to none of these containers and ports, and connects again what lost its bridge.
    ///
    /// # Errors
    /// The first step that the kernel refused; the others are made all the same.
    pub fn retain(&self, addresses: &[Ipv4Addr], ports: &[PublishedPort]) -> Result<(), Error> {
        self.table.replace(ports).and(self.sweep(addresses))
    }

    /// Removes this daemon's links of containers that are not named; those that are shall be ports of the bridge.
    fn sweep(&self, addresses: &[Ipv4Addr]) -> Result<(), Error> {
        let mut outcome = Ok(());
        let kept: BTreeSet<String> = addresses.iter().map(|address| self.port(*address)).collect();
        let prefix = format!("v{}", self.config.daemon);
        for found in link::list(&self.socket)? {
            let Some(rest) = found.name.strip_prefix(&prefix) else { continue };
            if kept.contains(&found.name) {
                if found.master != Some(self.index) {
                    outcome = outcome.and(link::connect(&self.socket, &found.name, self.index));
                }
            } else if rest.len() == PORT_DIGITS {
                outcome = outcome.and(link::delete_index(&self.socket, found.index));
            }
        }
        outcome
    }

    /// Removes bridge and table: every trace. Containers that are still connected lose their network.
    ///
    /// # Errors
    /// The first refusal.
    pub fn destroy(&self) -> Result<(), Error> {
        let strays = self.sweep(&[]);
        let table = self.table.delete();
        let bridge = link::delete(&self.socket, &Network::bridge(&self.config));
        table.and(bridge).and(strays)
    }

    /// Tries whether a program of the host holds a port.
    ///
    /// # Errors
    /// [`Error::PortTaken`] if one does, [`Error::Port`] if the address cannot be bound for another reason.
    pub fn probe_port(port: &PublishedPort) -> Result<(), Error> {
        let addresses = match port.host {
            Some(host) => vec![host],
            None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        };
        for address in addresses {
            probe(port.protocol, SocketAddr::new(address, port.host_port), port.host.is_none())?;
        }
        Ok(())
    }
}

/// Binds and lets go at once.
fn probe(protocol: Protocol, address: SocketAddr, any: bool) -> Result<(), Error> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp | Protocol::Sctp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let number = (protocol == Protocol::Sctp).then_some(net::ipproto::SCTP);
    let bound = (|| {
        let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, number)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        if protocol == Protocol::Tcp {
            // Connections that wait for their last packets do not hold the port; listeners do.
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        net::bind(&socket, &address)?;
        // Only listening finds out every holder that let others bind too.
        if protocol == Protocol::Tcp { net::listen(&socket, 1) } else { Ok(()) }
    })();
    match bound {
        // A host without IPv6 has no port of that family to be held.
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if any && address.is_ipv6() => Ok(()),
        Err(Errno::ADDRINUSE) => Err(Error::PortTaken),
        Err(source) => Err(Error::Port { address, source }),
        Ok(()) => Ok(()),
    }
}
