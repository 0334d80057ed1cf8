//! Networks: which there are, and the containers on them.
//!
//! ```text
//!  create, remove        table (synced) -> known -> the data plane: bridge and rules
//!  a container's start   book: addresses, links, ports -> the data plane: its links, its way out, its ports
//! ```
//!
//! - `create`: what a network is asked for, checked and completed; `door`: what the platform's door calls
//! - `endpoints`: a container on its networks, and off them; `ports`: the host's ports that lead to it
//! - `names`: what the edge process is told, which answers for names
//! - `book`: what is given out
//!
//! What was asked for stands in the table before anything of it is made, and is taken out before anything is unmade: what a
//! daemon left half done, the next one makes whole or sweeps.

mod book;
mod create;
mod door;
mod endpoints;
mod names;
mod ports;
mod rules;

pub(crate) use door::{memberships, resolve};
pub(crate) use endpoints::Claims;
pub(crate) use names::naming;

use crate::edge::Edge;
use crate::tables::{Identity, Tables};
use base::{Chain, Time};
use book::Book;
use model::network::{Driver, Pool};
use model::observed::Endpoint;
use model::{ContainerIntent, NetworkId, NetworkIntent, NetworkSpec, PublishedPort};
use net::Dataplane;
use plan::address::{self, Space};
use plan::network::BridgeOptions;
use platform::Error;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// What the kernel calls dynamic ports where it does not say: ip(7).
const DYNAMIC_PORTS: (u16, u16) = (32768, 60999);

/// Stack of the thread that watches the table, in bytes.
const WATCH_STACK_BYTES: usize = 256 << 10;

/// The kernel's side of networks, and the process beside it.
pub(crate) struct Plane {
    pub(crate) dataplane: Arc<Dataplane>,
    pub(crate) edge: Edge,
}

/// What connects the containers of a network.
#[derive(Clone, Debug)]
enum Wiring {
    Bridge(net::Bridge, Box<BridgeOptions>),
    Upon(net::Upon),
    /// The host's own, or none: nothing is connected.
    Nothing,
}

/// A network that is known.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) intent: NetworkIntent,
    wiring: Wiring,
    /// Why it could not be made.
    broken: Option<Error>,
}

/// The networks of this node.
pub(crate) struct Networks {
    daemon: String,
    tables: Tables,
    /// Why containers can be on no network at all, where that is so.
    plane: Result<Plane, Error>,
    known: RwLock<BTreeMap<NetworkId, Arc<Network>>>,
    /// Held while a network is made or removed.
    changing: tokio::sync::Mutex<()>,
    book: Mutex<Book>,
    dynamic: (u16, u16),
    spaces: Vec<Space>,
    predefined: Predefined,
}

/// The networks that are always there.
#[derive(Clone, Copy)]
struct Predefined {
    bridge: NetworkId,
    host: NetworkId,
    none: NetworkId,
}

impl Predefined {
    /// The ids of the other two follow from the bridge's, so that they last as long.
    fn of(bridge: NetworkId) -> Predefined {
        let altered = |mask: u8| NetworkId::from_bytes(bridge.as_bytes().map(|byte| byte ^ mask));
        Predefined { bridge, host: altered(0x55), none: altered(0xaa) }
    }

    fn has(&self, id: NetworkId) -> bool {
        [self.bridge, self.host, self.none].contains(&id)
    }
}

impl Networks {
    /// Makes every network of the table, or takes it over with everything that hangs on it.
    pub(crate) fn open(
        tables: &Tables,
        identity: &mut Identity,
        wanted: &[Space],
        edge: PathBuf,
    ) -> Result<Networks, Error> {
        let daemon = identity.daemon.to_string();
        let bridge: NetworkId = identity
            .bridge
            .parse()
            .map_err(|error| Error::failed(format!("the default bridge's id in the table: {error}")))?;
        let [a, b, c, d, e, ..] = *bridge.as_bytes();
        let plane = Dataplane::open(daemon.clone())
            .map(Arc::new)
            .map(|dataplane| Plane { edge: Edge::new(edge, Arc::clone(&dataplane)), dataplane })
            .map_err(|error| Error::failed(format!("make the networks: {}", Chain(&error))));
        let dynamic = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
            .ok()
            .and_then(|text| {
                let mut ends = text.split_whitespace().filter_map(|end| end.parse().ok());
                Some((ends.next()?, ends.next()?))
            })
            .unwrap_or(DYNAMIC_PORTS);
        let networks = Networks {
            daemon,
            tables: tables.clone(),
            plane,
            known: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
            book: Mutex::default(),
            dynamic,
            spaces: address::chosen_spaces(wanted, [a, b, c, d, e]),
            predefined: Predefined::of(bridge),
        };
        let intents = tables.networks()?;
        let default = networks.default_bridge(identity, &intents)?;
        if identity.subnet.is_none()
            && let Some(Pool { subnet, .. }) = default.spec.pools.first()
            && let IpAddr::V4(base) = subnet.base()
        {
            identity.subnet = Some((base, subnet.prefix()));
            tables.put_identity(identity)?;
        }
        let Predefined { host, none, .. } = networks.predefined;
        let mut all = vec![default];
        all.push(networks.without_links(host, "host", Driver::Host, identity.created));
        all.push(networks.without_links(none, "none", Driver::Null, identity.created));
        all.extend(intents);
        networks.know(all);
        Ok(networks)
    }

    /// The default bridge, with the subnet that it had, or the first that nobody uses.
    fn default_bridge(&self, identity: &Identity, others: &[NetworkIntent]) -> Result<NetworkIntent, Error> {
        let subnet = match identity.subnet {
            Some((base, prefix)) => Some(model::Subnet::of(IpAddr::V4(base), prefix)),
            None => address::free_subnet(&self.spaces, true, &self.used_subnets(others)?),
        };
        let mut spec = NetworkSpec {
            name: "bridge".to_owned(),
            driver: Driver::Bridge,
            ipv4: true,
            ..NetworkSpec::default()
        };
        let option = |name: &str, value: &str| (format!("com.docker.network.{name}"), value.to_owned());
        spec.options = BTreeMap::from([
            option("bridge.default_bridge", "true"),
            option("bridge.enable_icc", "true"),
            option("bridge.enable_ip_masquerade", "true"),
            option("bridge.host_binding_ipv4", "0.0.0.0"),
            option("bridge.name", &format!("boc-{}", self.daemon)),
            option("driver.mtu", &net::MTU.to_string()),
        ]);
        let mut pool = Pool {
            subnet: subnet.ok_or_else(|| create::out_of_subnets(&self.spaces, true))?,
            range: None,
            gateway: None,
            auxiliary: BTreeMap::new(),
        };
        pool.gateway = address::gateway(&pool);
        spec.pools.push(pool);
        Ok(NetworkIntent { id: self.predefined.bridge, created: identity.created, borrowed: false, spec })
    }

    fn without_links(&self, id: NetworkId, name: &str, driver: Driver, created: Time) -> NetworkIntent {
        let spec = NetworkSpec { name: name.to_owned(), driver, ipv4: true, ..NetworkSpec::default() };
        NetworkIntent { id, created, borrowed: false, spec }
    }

    /// The subnets of these networks, and those that the host uses.
    fn used_subnets(&self, networks: &[NetworkIntent]) -> Result<Vec<model::Subnet>, Error> {
        let mut used = Dataplane::used_subnets()
            .map_err(|error| Error::failed(format!("list the host's subnets: {}", Chain(&error))))?;
        used.extend(networks.iter().flat_map(|network| &network.spec.pools).map(|pool| pool.subnet));
        Ok(used)
    }

    /// Takes in networks and makes them, all in one change of the table; one that cannot be made is known all the same, with the
    /// reason.
    fn know(&self, intents: Vec<NetworkIntent>) {
        let wired: Vec<(NetworkIntent, Result<Wiring, Error>)> = intents
            .into_iter()
            .map(|intent| {
                let wiring = create::wiring(&intent);
                (intent, wiring)
            })
            .collect();
        let bridge = |wiring: &Result<Wiring, Error>| match wiring {
            Ok(Wiring::Bridge(bridge, _)) => Some(bridge.clone()),
            _ => None,
        };
        let bridges: Vec<net::Bridge> = wired.iter().filter_map(|(_, wiring)| bridge(wiring)).collect();
        let names: Vec<String> = bridges.iter().map(|bridge| bridge.link.clone()).collect();
        let mut broken: BTreeMap<String, Error> = BTreeMap::new();
        match self.plane() {
            Ok(plane) => {
                for (name, made) in names.into_iter().zip(plane.dataplane.take_over(&bridges)) {
                    if let Err(error) = made {
                        let why = format!("make the bridge {name}: {}", Chain(&error));
                        broken.insert(name, Error::failed(why));
                    }
                }
            }
            Err(error) => broken.extend(names.into_iter().map(|name| (name, error.clone()))),
        }
        for (intent, wiring) in wired {
            let why = bridge(&wiring).and_then(|bridge| broken.remove(&bridge.link));
            let (wiring, why) = match wiring {
                Ok(wiring) => (wiring, why),
                Err(error) => (Wiring::Nothing, Some(error)),
            };
            if let Some(error) = &why {
                tracing::error!(network = intent.spec.name, %error, "containers on this network cannot be started");
            }
            self.insert(Network { intent, wiring, broken: why });
        }
    }

    fn insert(&self, network: Network) {
        self.name_network(&network);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(network.intent.id, Arc::new(network));
    }

    /// Makes what a network has in the kernel.
    fn make(&self, intent: &NetworkIntent, wiring: &Wiring) -> Result<(), Error> {
        let Wiring::Bridge(bridge, _) = wiring else { return Ok(()) };
        let made = self.plane()?.dataplane.add_bridge(bridge.clone());
        made.map_err(|error| {
            Error::failed(format!("make the bridge of the network {}: {}", intent.spec.name, Chain(&error)))
        })
    }

    /// The kernel's side, or why there is none.
    pub(crate) fn plane(&self) -> Result<&Plane, Error> {
        self.plane.as_ref().map_err(Error::clone)
    }

    /// Why containers cannot be on networks, or on the default one; none if they can.
    pub(crate) fn warning(&self) -> Option<String> {
        let plane = self.plane.as_ref().err();
        let default = self.by_id(self.predefined.bridge).and_then(|network| network.broken.clone());
        plane.cloned().or(default).map(|error| error.message)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn by_id(&self, id: NetworkId) -> Option<Arc<Network>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// All networks: the three that are always there, then the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Network>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Network>> = known.values().cloned().collect();
        drop(known);
        let Predefined { bridge, host, none } = self.predefined;
        let rank = |id: NetworkId| [bridge, host, none].iter().position(|other| *other == id).unwrap_or(3);
        all.sort_by_key(|network| (rank(network.intent.id), network.intent.created, network.intent.id));
        all
    }

    /// The network that a text means: its name, its id, or a prefix that no other id has.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Network>, Error> {
        let all = self.all();
        let exact = all
            .iter()
            .find(|network| network.intent.id.to_string() == name)
            .or_else(|| all.iter().find(|network| network.intent.spec.name == name));
        if let Some(network) = exact {
            return Ok(Arc::clone(network));
        }
        let mut fitting =
            all.iter().filter(|network| !name.is_empty() && network.intent.id.to_string().starts_with(name));
        match (fitting.next(), fitting.next()) {
            (Some(network), None) => Ok(Arc::clone(network)),
            (Some(_), Some(_)) => {
                Err(Error::invalid(format!("network {name} is ambiguous: it fits more than one id")))
            }
            (None, _) => Err(Error::not_found(format!("network {name} not found"))),
        }
    }

    /// The host's address on the default bridge.
    pub(crate) fn default_gateway(&self) -> Option<Ipv4Addr> {
        let network = self.by_id(self.predefined.bridge)?;
        match network.intent.spec.pools.first()?.gateway? {
            IpAddr::V4(gateway) => Some(gateway),
            IpAddr::V6(_) => None,
        }
    }

    /// Enters what running containers hold (each with its process and its places), and removes from the kernel what none of them
    /// holds.
    pub(crate) fn adopt(&self, live: &[(&ContainerIntent, i32, &[Endpoint])]) -> Result<(), Error> {
        let plane = self.plane()?;
        let mut links: Vec<(String, String)> = Vec::new();
        for place in live.iter().flat_map(|(_, _, places)| *places) {
            self.book().adopt(place, plane.dataplane.link_number(&place.link));
            if let Some(network) = self.by_id(place.network)
                && let Wiring::Bridge(bridge, _) = &network.wiring
            {
                links.push((place.link.clone(), bridge.link.clone()));
            }
        }
        let links: Vec<(&str, &str)> =
            links.iter().map(|(link, bridge)| (link.as_str(), bridge.as_str())).collect();
        let (view, namespaces) = self.view(live);
        let ports: Vec<PublishedPort> = view.ports.values().flatten().cloned().collect();
        plane
            .dataplane
            .retain(&links, &ports)
            .map_err(|error| Error::failed(format!("clean up the networks: {}", Chain(&error))))?;
        plane.edge.adopt(view, namespaces)
    }

    /// Waits on a thread of its own for somebody else to take something out of the table, and writes it again each time.
    pub(crate) fn keep_table(&self) {
        let Ok(plane) = self.plane() else { return };
        let (dataplane, edge) = (Arc::clone(&plane.dataplane), plane.edge.clone());
        let keep = move || -> Result<(), net::Error> {
            let watch = dataplane.watch()?;
            loop {
                if watch.changed()? == net::Seen::TooMuch && dataplane.is_whole()? {
                    continue;
                }
                let (ports, port) = edge.published();
                dataplane.repair(&ports, port)?;
                tracing::warn!("somebody flushed the nftables table of this daemon: it was written again");
            }
        };
        let started = std::thread::Builder::new().stack_size(WATCH_STACK_BYTES).spawn(move || {
            if let Err(error) = keep() {
                tracing::error!(error = %Chain(&error), "a flush of the nftables table would not be repaired");
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "a flush of the nftables table would not be repaired");
        }
    }
}
