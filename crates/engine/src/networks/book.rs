//! What is given out: addresses, numbers of links, ports of the host. Kept in memory, and rebuilt from the running containers
//! when a daemon starts. What is given out is entered under one lock, so two containers never get the same.

use model::network::Pool;
use model::observed::{Endpoint, Published};
use model::{Attachment, NetworkId, NetworkIntent, Protocol};
use plan::address::{self, Unfit};
use platform::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The numbers of links: as many as fit into their names.
const LINK_NUMBERS: u32 = 1 << 24;

/// What of one network is given out.
#[derive(Default)]
struct Given {
    addresses: BTreeSet<IpAddr>,
    /// The address of each pool, by its place, that was given out last.
    last: BTreeMap<usize, IpAddr>,
    endpoints: usize,
}

/// What is given out.
#[derive(Default)]
pub(super) struct Book {
    networks: BTreeMap<NetworkId, Given>,
    /// Networks that are about to go: nobody gets anything of them any more.
    leaving: BTreeSet<NetworkId>,
    links: BTreeSet<u32>,
    last_link: u32,
    /// Host ports by protocol and number, and the addresses they are taken on; none is every address.
    ports: BTreeMap<(Protocol, u16), Vec<Option<IpAddr>>>,
    pub(super) last_port: Option<u16>,
}

/// What a container gets of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserved {
    pub(super) ipv4: Option<(Ipv4Addr, u8)>,
    pub(super) ipv6: Option<(Ipv6Addr, u8)>,
    pub(super) link: u32,
}

/// What both kinds of networks say when there is nothing left, and what to do about it.
fn exhausted(network: &NetworkIntent, family: &str) -> Error {
    let pools: Vec<String> = network.spec.pools.iter().map(|pool| pool.subnet.to_string()).collect();
    Error::failed(format!(
        "no available {family} addresses on this network's address pools: {} ({}): all of {} are in use; remove containers that are \
         not needed, or make a network with a larger --subnet",
        network.spec.name,
        network.id,
        pools.join(", ")
    ))
}

fn unfit(unfit: Unfit, wanted: IpAddr) -> Error {
    match unfit {
        Unfit::Taken => Error::failed(format!("Address already in use: {wanted}")),
        Unfit::Outside => Error::invalid(format!(
            "invalid endpoint settings: no configured subnet or ip-range contain the IP address {wanted}"
        )),
    }
}

impl Given {
    /// Gives out one address of a family: the wanted one, or the next.
    fn take(
        &mut self,
        network: &NetworkIntent,
        wanted: Option<IpAddr>,
        claimed: &BTreeSet<IpAddr>,
        ipv4: bool,
    ) -> Result<Option<(IpAddr, u8)>, Error> {
        let family = |pool: &&Pool| pool.subnet.is_ipv4() == ipv4;
        let pools = &network.spec.pools;
        if !pools.iter().any(|pool| family(&pool)) {
            let refusal = |wanted| unfit(Unfit::Outside, wanted);
            return wanted.map(refusal).map_or(Ok(None), Err);
        }
        let found = match wanted {
            Some(wanted) => {
                address::check_wanted(pools, &self.addresses, wanted).map_err(|why| unfit(why, wanted))?;
                wanted
            }
            None => {
                let mut of_family = pools.iter().enumerate().filter(|(_, pool)| family(pool));
                let all: BTreeSet<IpAddr>;
                let taken = if claimed.is_empty() {
                    &self.addresses
                } else {
                    all = self.addresses.union(claimed).copied().collect();
                    &all
                };
                let (place, address) = of_family
                    .find_map(|(place, pool)| {
                        let last = self.last.get(&place).copied();
                        Some((place, address::free_address(pool, taken, last)?))
                    })
                    .ok_or_else(|| exhausted(network, if ipv4 { "IPv4" } else { "IPv6" }))?;
                self.last.insert(place, address);
                address
            }
        };
        self.addresses.insert(found);
        let prefix = pools.iter().find(|pool| pool.subnet.contains(found)).map(|pool| pool.subnet.prefix());
        Ok(prefix.map(|prefix| (found, prefix)))
    }
}

impl Book {
    /// Gives a container addresses and a link on a network of at most `limit` containers; none that others have `claimed`, unless
    /// it asks for it by itself.
    pub(super) fn reserve(
        &mut self,
        network: &NetworkIntent,
        attachment: &Attachment,
        claimed: &BTreeSet<IpAddr>,
        limit: usize,
    ) -> Result<Reserved, Error> {
        if self.leaving.contains(&network.id) {
            return Err(Error::not_found(format!("network {} not found", network.spec.name)));
        }
        let given = self.networks.entry(network.id).or_default();
        if given.endpoints >= limit {
            return Err(Error::failed(format!(
                "the network {} is full: the kernel connects at most {limit} containers to one bridge; make another network",
                network.spec.name
            )));
        }
        let ipv4 = given.take(network, attachment.ipv4.map(IpAddr::V4), claimed, true)?;
        let ipv6 = match given.take(network, attachment.ipv6.map(IpAddr::V6), claimed, false) {
            Ok(taken) => taken,
            Err(error) => {
                if let Some((address, _)) = ipv4 {
                    given.addresses.remove(&address);
                }
                return Err(error);
            }
        };
        given.endpoints += 1;
        let link = (1..=LINK_NUMBERS)
            .map(|step| self.last_link.wrapping_add(step) % LINK_NUMBERS)
            .find(|number| !self.links.contains(number))
            .unwrap_or_default();
        self.links.insert(link);
        self.last_link = link;
        Ok(Reserved {
            ipv4: ipv4.and_then(|(address, prefix)| match address {
                IpAddr::V4(address) => Some((address, prefix)),
                IpAddr::V6(_) => None,
            }),
            ipv6: ipv6.and_then(|(address, prefix)| match address {
                IpAddr::V6(address) => Some((address, prefix)),
                IpAddr::V4(_) => None,
            }),
            link,
        })
    }

    /// Enters what a running container has.
    pub(super) fn adopt(&mut self, endpoint: &Endpoint, link: Option<u32>) {
        let given = self.networks.entry(endpoint.network).or_default();
        given.endpoints += 1;
        given.addresses.extend(addresses(endpoint));
        self.links.extend(link);
        endpoint.ports.iter().for_each(|published| self.take(published));
    }

    /// Gives back all that a container had.
    pub(super) fn release(&mut self, endpoint: &Endpoint, link: Option<u32>) {
        if let Some(given) = self.networks.get_mut(&endpoint.network) {
            given.endpoints = given.endpoints.saturating_sub(1);
            for address in addresses(endpoint) {
                given.addresses.remove(&address);
            }
        }
        if let Some(link) = link {
            self.links.remove(&link);
        }
        self.give_back(&endpoint.ports);
    }

    /// Gives back the number of a link that is not made.
    pub(super) fn release_link(&mut self, link: u32) {
        self.links.remove(&link);
    }

    /// Gives back ports of the host.
    pub(super) fn give_back(&mut self, published: &[Published]) {
        published.iter().for_each(|published| self.give_back_one(published));
    }

    /// Whether any container has something of a network.
    fn is_used(&self, network: NetworkId) -> bool {
        self.networks.get(&network).is_some_and(|given| given.endpoints > 0)
    }

    /// Gives out nothing more of a network, unless a container has something of it: then it says no.
    pub(super) fn begin_to_leave(&mut self, network: NetworkId) -> bool {
        !self.is_used(network) && self.leaving.insert(network)
    }

    /// It stays.
    pub(super) fn stay(&mut self, network: NetworkId) {
        self.leaving.remove(&network);
    }

    /// Forgets a network.
    pub(super) fn forget(&mut self, network: NetworkId) {
        self.leaving.remove(&network);
        self.networks.remove(&network);
    }

    /// Whether a port of the host is given out.
    pub(super) fn is_taken(&self, protocol: Protocol, port: u16, host: Option<IpAddr>) -> bool {
        let taken = self.ports.get(&(protocol, port));
        taken.is_some_and(|hosts| {
            hosts.iter().any(|other| other.is_none() || host.is_none() || *other == host)
        })
    }

    /// Gives out a port of the host.
    pub(super) fn take(&mut self, published: &Published) {
        self.ports.entry((published.inside.protocol, published.host_port)).or_default().push(published.host);
    }

    fn give_back_one(&mut self, published: &Published) {
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

/// The addresses of an endpoint.
fn addresses(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    let ipv4 = endpoint.ipv4.map(|(address, _)| IpAddr::V4(address));
    ipv4.into_iter().chain(endpoint.ipv6.map(|(address, _)| IpAddr::V6(address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::NetworkSpec;

    fn network(subnets: &[&str]) -> NetworkIntent {
        let pool = |text: &&str| {
            let mut pool = Pool {
                subnet: text.parse().unwrap(),
                range: None,
                gateway: None,
                auxiliary: BTreeMap::new(),
            };
            pool.gateway = address::gateway(&pool);
            pool
        };
        let spec = NetworkSpec {
            name: "red".to_owned(),
            pools: subnets.iter().map(pool).collect(),
            ..NetworkSpec::default()
        };
        NetworkIntent {
            id: NetworkId::from_bytes([7; 32]),
            created: base::Time::NEVER,
            borrowed: false,
            spec,
        }
    }

    #[test]
    fn addresses_of_both_families_are_given_out_once() {
        let (network, mut book) = (network(&["10.0.0.0/29", "fd00::/64"]), Book::default());
        let first = book.reserve(&network, &Attachment::default(), &BTreeSet::new(), 10).unwrap();
        let second = book.reserve(&network, &Attachment::default(), &BTreeSet::new(), 10).unwrap();
        assert_eq!(first.ipv4, Some((Ipv4Addr::new(10, 0, 0, 2), 29)));
        assert_eq!(second.ipv6.unwrap().0.to_string(), "fd00::3");
        assert_ne!(first.link, second.link);
    }

    #[test]
    fn a_wanted_address_is_had_once_and_a_failure_gives_back_the_other() {
        let (network, mut book) = (network(&["10.0.0.0/29", "fd00::/64"]), Book::default());
        let wanted = Attachment { ipv4: Some(Ipv4Addr::new(10, 0, 0, 5)), ..Attachment::default() };
        assert_eq!(
            book.reserve(&network, &wanted, &BTreeSet::new(), 10).unwrap().ipv4,
            Some((Ipv4Addr::new(10, 0, 0, 5), 29))
        );
        let error = book.reserve(&network, &wanted, &BTreeSet::new(), 10).unwrap_err();
        assert_eq!(error.message, "Address already in use: 10.0.0.5");
        let beyond = Attachment { ipv6: Some("fd01::1".parse().unwrap()), ..Attachment::default() };
        let error = book.reserve(&network, &beyond, &BTreeSet::new(), 10).unwrap_err();
        assert!(error.message.ends_with("contain the IP address fd01::1"), "{error}");
        // What the failures had taken of IPv4 is free.
        for _ in 0..4 {
            book.reserve(&network, &Attachment::default(), &BTreeSet::new(), 10).unwrap();
        }
        let error = book.reserve(&network, &Attachment::default(), &BTreeSet::new(), 10).unwrap_err();
        assert!(error.message.starts_with("no available IPv4 addresses"), "{error}");
    }

    #[test]
    fn an_address_that_a_resting_container_has_claimed_is_not_given_to_another() {
        let (network, mut book) = (network(&["10.0.0.0/29"]), Book::default());
        let claimed = BTreeSet::from([IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))]);
        let given = book.reserve(&network, &Attachment::default(), &claimed, 10).unwrap();
        assert_eq!(given.ipv4, Some((Ipv4Addr::new(10, 0, 0, 3), 29)));
        let own = Attachment { ipv4: Some(Ipv4Addr::new(10, 0, 0, 2)), ..Attachment::default() };
        assert!(book.reserve(&network, &own, &claimed, 10).is_ok());
    }

    #[test]
    fn a_full_bridge_says_so_before_anything_is_made() {
        let (network, mut book) = (network(&["10.0.0.0/16"]), Book::default());
        book.reserve(&network, &Attachment::default(), &BTreeSet::new(), 1).unwrap();
        let error = book.reserve(&network, &Attachment::default(), &BTreeSet::new(), 1).unwrap_err();
        assert!(error.message.contains("at most 1 containers"), "{error}");
    }

    #[test]
    fn what_a_container_had_can_be_had_again() {
        let (network, mut book) = (network(&["10.0.0.0/30"]), Book::default());
        let had = book.reserve(&network, &Attachment::default(), &BTreeSet::new(), 10).unwrap();
        assert!(book.reserve(&network, &Attachment::default(), &BTreeSet::new(), 10).is_err());
        let endpoint = Endpoint {
            network: network.id,
            link: String::new(),
            inside: "eth0".to_owned(),
            ipv4: had.ipv4,
            gateway4: None,
            ipv6: None,
            gateway6: None,
            mac: [0; 6],
            ports: Vec::new(),
        };
        assert!(book.is_used(network.id));
        book.release(&endpoint, Some(had.link));
        assert!(!book.is_used(network.id));
        assert_eq!(
            book.reserve(&network, &Attachment::default(), &BTreeSet::new(), 10).unwrap().ipv4,
            had.ipv4
        );
    }
}
