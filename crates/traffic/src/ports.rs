//! What is published: found by protocol and port of the host in one step, however many there are.

use model::{ContainerId, Protocol, PublishedPort};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, RwLock};

/// The ports as all relays see them.
pub(crate) type Shared = Arc<RwLock<Ports>>;

/// All published ports.
#[derive(Default)]
pub(crate) struct Ports {
    owners: BTreeMap<ContainerId, Vec<PublishedPort>>,
    places: HashMap<(Protocol, u16), Vec<PublishedPort>>,
    /// Grows with each change, so that what was looked up before is known to be old.
    generation: u64,
}

/// Where a port leads: what is tried first, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inside {
    pub(crate) first: SocketAddr,
    pub(crate) second: Option<SocketAddr>,
}

impl Ports {
    /// The ports of a container are these; returns those that it had.
    pub(crate) fn set(&mut self, owner: ContainerId, ports: Vec<PublishedPort>) -> Vec<PublishedPort> {
        self.generation += 1;
        let old = self.owners.remove(&owner).unwrap_or_default();
        for port in &old {
            let place = (port.protocol, port.host_port);
            if let Some(here) = self.places.get_mut(&place) {
                if let Some(at) = here.iter().position(|other| other == port) {
                    here.swap_remove(at);
                }
                if here.is_empty() {
                    self.places.remove(&place);
                }
            }
        }
        for port in &ports {
            self.places.entry((port.protocol, port.host_port)).or_default().push(port.clone());
        }
        if !ports.is_empty() {
            self.owners.insert(owner, ports);
        }
        old
    }

    /// Who has ports.
    pub(crate) fn owners(&self) -> Vec<ContainerId> {
        self.owners.keys().copied().collect()
    }

    /// Changes with every change.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Where somebody leads who came to this address of the host: a port published on that address goes before one on all. The
    /// family that they came by goes first, as a server inside may tell its clients apart by it.
    pub(crate) fn find(&self, protocol: Protocol, wanted: SocketAddr) -> Option<Inside> {
        let here = self.places.get(&(protocol, wanted.port()))?;
        let host = wanted.ip().to_canonical();
        let on = |host: Option<IpAddr>| here.iter().find(|port| port.host == host);
        let port = on(Some(host)).or_else(|| on(None))?;
        let ipv4 = port.ipv4.map(|ip| SocketAddr::new(ip.into(), port.port));
        let ipv6 = port.ipv6.map(|ip| SocketAddr::new(ip.into(), port.port));
        let (same, other) = if host.is_ipv4() { (ipv4, ipv6) } else { (ipv6, ipv4) };
        match (same, other) {
            (Some(first), second) => Some(Inside { first, second }),
            (None, Some(first)) => Some(Inside { first, second: None }),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const ONE: ContainerId = ContainerId::from_bytes([1; 32]);
    const TWO: ContainerId = ContainerId::from_bytes([2; 32]);

    fn port(host: Option<IpAddr>, last: u8) -> PublishedPort {
        PublishedPort {
            protocol: Protocol::Tcp,
            host,
            host_port: 8080,
            ipv4: Some(Ipv4Addr::new(172, 17, 0, last)),
            ipv6: None,
            port: 80,
        }
    }

    fn found(ports: &Ports, to: &str) -> Option<String> {
        ports.find(Protocol::Tcp, to.parse().unwrap()).map(|inside| inside.first.to_string())
    }

    #[test]
    fn a_port_of_one_address_goes_before_a_port_of_all() {
        let mut ports = Ports::default();
        ports.set(ONE, vec![port(None, 2)]);
        ports.set(TWO, vec![port(Some(Ipv6Addr::LOCALHOST.into()), 3)]);
        assert_eq!(found(&ports, "[::1]:8080").as_deref(), Some("172.17.0.3:80"));
        assert_eq!(found(&ports, "[fd00::2]:8080").as_deref(), Some("172.17.0.2:80"));
        assert_eq!(found(&ports, "[::1]:81"), None);
        assert!(ports.find(Protocol::Udp, "[::1]:8080".parse().unwrap()).is_none());
    }

    #[test]
    fn the_ports_of_one_container_go_without_those_of_another() {
        let mut ports = Ports::default();
        ports.set(ONE, vec![port(None, 2)]);
        ports.set(TWO, vec![port(Some(Ipv6Addr::LOCALHOST.into()), 3)]);
        assert_eq!(ports.set(TWO, Vec::new()).len(), 1);
        assert_eq!(found(&ports, "[::1]:8080").as_deref(), Some("172.17.0.2:80"));
        ports.set(ONE, Vec::new());
        assert_eq!(found(&ports, "[::1]:8080"), None);
        assert!(ports.places.is_empty() && ports.owners.is_empty());
    }

    #[test]
    fn a_client_is_led_to_its_own_family_where_the_container_has_it() {
        let mut both = port(None, 2);
        both.ipv6 = Some("fd00::2".parse().unwrap());
        let mut ports = Ports::default();
        ports.set(ONE, vec![both]);
        assert_eq!(found(&ports, "[::1]:8080").as_deref(), Some("[fd00::2]:80"));
        assert_eq!(found(&ports, "127.0.0.1:8080").as_deref(), Some("172.17.0.2:80"));
        assert_eq!(found(&ports, "[::ffff:127.0.0.1]:8080").as_deref(), Some("172.17.0.2:80"));
        let inside = ports.find(Protocol::Tcp, "[::1]:8080".parse().unwrap()).unwrap();
        assert_eq!(inside.second, Some("172.17.0.2:80".parse().unwrap()));
    }
}
