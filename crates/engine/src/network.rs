//! Addresses and ports: who has which, and the kernel objects that go with them.
//!
//! The book of what is given out is kept here in memory and rebuilt from the running containers when a daemon starts; `net`
//! makes and removes what the kernel holds. A port is given out once its entry is made in the book under one lock, so two
//! containers never get the same one.

use base::Chain;
use model::observed::{Endpoint, Published};
use model::{ContainerIntent, PortBinding, PortKey, Protocol, PublishedPort};
use net::Network;
use plan::address::{self, Subnet};
use platform::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the kernel calls dynamic ports where it does not say: ip(7).
const DYNAMIC_PORTS: (u16, u16) = (32768, 60999);

/// What is given out.
#[derive(Default)]
struct Book {
    addresses: BTreeSet<Ipv4Addr>,
    last_address: Option<Ipv4Addr>,
    /// Host ports by protocol and number, and the addresses they are taken on; none is every address.
    ports: BTreeMap<(Protocol, u16), Vec<Option<IpAddr>>>,
    last_port: Option<u16>,
}

impl Book {
    fn is_taken(&self, protocol: Protocol, port: u16, host: Option<IpAddr>) -> bool {
        let taken = self.ports.get(&(protocol, port));
        taken.is_some_and(|hosts| {
            hosts.iter().any(|other| other.is_none() || host.is_none() || *other == host)
        })
    }

    fn take(&mut self, published: &Published) {
        self.ports.entry((published.inside.protocol, published.host_port)).or_default().push(published.host);
    }

    fn give_back(&mut self, published: &Published) {
        let key = (published.inside.protocol, published.host_port);
        if let Some(hosts) = self.ports.get_mut(&key) {
            if let Some(at) = hosts.iter().position(|host| *host == published.host) {
                hosts.swap_remove(at);
            }
            if hosts.is_empty() {
                self.ports.remove(&key);
            }
        }
    }
}

/// The default bridge and what is given out on it.
pub(crate) struct Bridge {
    network: Arc<Network>,
    subnet: Subnet,
    dynamic: (u16, u16),
    book: Mutex<Book>,
    edge: crate::edge::Edge,
}

/// Which subnet the bridge takes: the one it had, or the first that the host does not use.
pub(crate) fn choose_subnet(had: Option<(Ipv4Addr, u8)>) -> Result<Subnet, Error> {
    if let Some((base, prefix)) = had {
        return Ok(Subnet { base, prefix });
    }
    let used = Network::used_subnets()
        .map_err(|error| Error::failed(format!("list the host's subnets: {}", Chain(&error))))?;
    let used: Vec<Subnet> = used.iter().map(|net| Subnet::of(net.address, net.prefix)).collect();
    address::free_pool(&used).ok_or_else(|| {
        Error::failed("no subnet is free for the default bridge: the host uses all of 172.17-31.0.0/16 and 192.168.0.0/16")
    })
}

impl Bridge {
    /// Makes the bridge, or takes it over with everything that hangs on it.
    pub(crate) fn open(daemon: String, subnet: Subnet, edge: PathBuf) -> Result<Bridge, Error> {
        let config = net::NetConfig {
            daemon,
            subnet: net::Ipv4Net { address: subnet.base, prefix: subnet.prefix },
            gateway: subnet.gateway(),
            mtu: net::MTU,
        };
        let network = Network::open(config)
            .map(Arc::new)
            .map_err(|error| Error::failed(format!("make the default bridge: {}", Chain(&error))))?;
        let dynamic = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
            .ok()
            .and_then(|text| {
                let mut ends = text.split_whitespace().filter_map(|end| end.parse().ok());
                Some((ends.next()?, ends.next()?))
            })
            .unwrap_or(DYNAMIC_PORTS);
        let edge = crate::edge::Edge::new(edge, Arc::clone(&network));
        Ok(Bridge { network, subnet, dynamic, book: Mutex::default(), edge })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    pub(crate) fn subnet(&self) -> Subnet {
        self.subnet
    }

    pub(crate) fn edge(&self) -> &crate::edge::Edge {
        &self.edge
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters what running containers hold, and removes from the kernel what none of them holds.
    pub(crate) fn adopt(&self, live: &[&Endpoint]) -> Result<(), Error> {
        let ports: Vec<PublishedPort> = live.iter().flat_map(|endpoint| published_ports(endpoint)).collect();
        {
            let mut book = self.book();
            for endpoint in live {
                book.addresses.insert(endpoint.address);
                endpoint.ports.iter().for_each(|published| book.take(published));
            }
        }
        let addresses: Vec<Ipv4Addr> = live.iter().map(|endpoint| endpoint.address).collect();
        self.network
            .retain(&addresses, &ports)
            .map_err(|error| Error::failed(format!("clean up the default bridge: {}", Chain(&error))))?;
        self.edge.adopt(ports)
    }

    /// Gives a container an address and its ports, and connects it: in `room`, where it has a namespace already. Returns
    /// its place and its network namespace.
    pub(crate) fn connect(
        &self,
        intent: &ContainerIntent,
        room: Option<OwnedFd>,
    ) -> Result<(Endpoint, net::Namespace), Error> {
        let address = {
            let mut book = self.book();
            let address = address::free_address(self.subnet, &book.addresses, book.last_address).ok_or_else(|| {
                Error::failed(format!(
                    "the default bridge has no free address left in {}/{}: remove containers that are not needed",
                    self.subnet.base, self.subnet.prefix
                ))
            })?;
            book.addresses.insert(address);
            book.last_address = Some(address);
            address
        };
        let mut endpoint = Endpoint {
            address,
            prefix: self.subnet.prefix,
            gateway: self.subnet.gateway(),
            mac: intent.spec.mac.unwrap_or_else(|| address::mac(address)),
            ports: Vec::new(),
        };
        match self.make(intent, &mut endpoint, room) {
            Ok(namespace) => Ok((endpoint, namespace)),
            Err(error) => {
                self.disconnect(&endpoint);
                Err(error)
            }
        }
    }

    fn make(
        &self,
        intent: &ContainerIntent,
        endpoint: &mut Endpoint,
        room: Option<OwnedFd>,
    ) -> Result<net::Namespace, Error> {
        for binding in wanted_ports(intent) {
            endpoint.ports.push(self.take_port(intent, endpoint.address, &binding)?);
        }
        let failed = |what: &str, error: &net::Error| {
            Error::failed(format!("{what} of container {}: {}", intent.id.short(), Chain(error)))
        };
        let namespace = room.map_or_else(|| self.network.namespace(), net::Namespace::adopt);
        let namespace = namespace.map_err(|error| failed("make the network namespace", &error))?;
        let place = net::Endpoint { address: endpoint.address, mac: endpoint.mac };
        self.network.attach(&namespace, &place).map_err(|error| failed("connect the network", &error))?;
        let ports = published_ports(endpoint);
        if !ports.is_empty() {
            self.network.publish(&ports).map_err(|error| failed("publish the ports", &error))?;
            self.edge.publish(&ports)?;
        }
        Ok(namespace)
    }

    /// Finds a port of the host for one binding: free in the book, and not held by a program of the host.
    fn take_port(
        &self,
        intent: &ContainerIntent,
        address: Ipv4Addr,
        binding: &PortBinding,
    ) -> Result<Published, Error> {
        let protocol = binding.inside.protocol;
        let shown = binding.host.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let prefix = format!(
            "failed to set up container networking: driver failed programming external connectivity on endpoint {} ({})",
            intent.name,
            intent.id.short()
        );
        let mut refusal = Error::failed(format!("{prefix}: all ports are allocated"));
        let last = self.book().last_port;
        for port in address::port_candidates(binding.first, binding.last, self.dynamic, last) {
            let published = Published { inside: binding.inside, host: binding.host, host_port: port };
            let mut book = self.book();
            if book.is_taken(protocol, port, binding.host) {
                refusal = Error::failed(format!(
                    "{prefix}: Bind for {}: port is already allocated",
                    at(shown, port)
                ));
                continue;
            }
            if let Err(error) = Network::probe_port(&published_port(address, &published)) {
                refusal = Error::failed(format!(
                    "{prefix}: failed to bind host port for {}:{address}:{}: {}",
                    at(shown, port),
                    binding.inside,
                    Chain(&error)
                ));
                continue;
            }
            book.take(&published);
            if binding.first == 0 {
                book.last_port = Some(port);
            }
            return Ok(published);
        }
        Err(refusal)
    }

    /// Takes a container off the bridge: goes on after a failure, as what is left is swept later.
    pub(crate) fn disconnect(&self, endpoint: &Endpoint) {
        let ports = published_ports(endpoint);
        let mut failures = Vec::new();
        if !ports.is_empty() {
            failures.extend(self.network.unpublish(&ports).err().map(|error| Chain(&error).to_string()));
            failures.extend(self.edge.unpublish(&ports).err().map(|error| error.message));
        }
        failures.extend(self.network.detach(endpoint.address).err().map(|error| Chain(&error).to_string()));
        let mut book = self.book();
        book.addresses.remove(&endpoint.address);
        endpoint.ports.iter().for_each(|published| book.give_back(published));
        drop(book);
        for failure in failures {
            tracing::warn!(address = %endpoint.address, failure, "part of a container's network is left");
        }
    }
}

fn at(host: IpAddr, port: u16) -> String {
    match host {
        IpAddr::V4(host) => format!("{host}:{port}"),
        IpAddr::V6(host) => format!("[{host}]:{port}"),
    }
}

/// The ports that a container wants answered for, the exposed ones included where all are published.
fn wanted_ports(intent: &ContainerIntent) -> Vec<PortBinding> {
    let spec = &intent.spec;
    let mut wanted = spec.ports.clone();
    if spec.publish_all {
        let bound: BTreeSet<PortKey> = wanted.iter().map(|binding| binding.inside).collect();
        let open = spec.exposed.iter().filter(|port| !bound.contains(port));
        wanted.extend(open.map(|&inside| PortBinding { inside, host: None, first: 0, last: 0 }));
    }
    for binding in &mut wanted {
        // Both unspecified addresses are what none means: every address of both families.
        let every = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        binding.host = binding.host.filter(|host| !every.contains(host));
    }
    wanted
}

fn published_port(address: Ipv4Addr, published: &Published) -> PublishedPort {
    PublishedPort {
        protocol: published.inside.protocol,
        host: published.host,
        host_port: published.host_port,
        ipv4: Some(address),
        ipv6: None,
        port: published.inside.port,
    }
}

fn published_ports(endpoint: &Endpoint) -> Vec<PublishedPort> {
    endpoint.ports.iter().map(|published| published_port(endpoint.address, published)).collect()
}
