//! What the engine calls: the bridges of a node with their table, and the containers on them.

use crate::namespace::{Namespace, Pool};
use crate::netlink::Socket;
use crate::reaper::Reaper;
use crate::value::{Bridge, Endpoint, Upon, WayOut};
use crate::watch::Watch;
use crate::{Error, conntrack, link, nft, setting};
use model::{PublishedPort, Subnet};
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Containers that the kernel connects to one bridge: `BR_MAX_PORTS` less the number 0.
pub const BRIDGE_PORTS_MAX: usize = 1023;

/// A bridge that is there.
struct Made {
    bridge: Bridge,
    index: u32,
}

/// The networks of a node as the kernel has them: bridges, the links of containers, and one table for all.
pub struct Dataplane {
    daemon: String,
    socket: Socket,
    table: nft::Table,
    bridges: Mutex<BTreeMap<String, Made>>,
    pool: Pool,
    reaper: Reaper,
}

impl Dataplane {
    /// Writes the table, or takes it over with what is in its sets. Nothing that passes is cut off.
    ///
    /// # Errors
    /// The step that the kernel refused.
    pub fn open(daemon: String) -> Result<Dataplane, Error> {
        let table = nft::Table::new(format!("bocage-{daemon}"))?;
        table.write()?;
        Ok(Dataplane {
            daemon,
            socket: Socket::open_route()?,
            table,
            bridges: Mutex::default(),
            pool: Pool::default(),
            reaper: Reaper::new()?,
        })
    }

    /// The subnets that the host's addresses and routes use.
    ///
    /// # Errors
    /// The kernel did not list them.
    pub fn used_subnets() -> Result<Vec<Subnet>, Error> {
        link::subnets(&Socket::open_route()?)
    }

    fn bridges(&self) -> MutexGuard<'_, BTreeMap<String, Made>> {
        self.bridges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the host's end of a container's link of this number.
    pub fn link_name(&self, number: u32) -> String {
        format!("v{}{number:06x}", self.daemon)
    }

    /// The number in the name of a link of this daemon.
    pub fn link_number(&self, name: &str) -> Option<u32> {
        let digits = name.strip_prefix('v')?.strip_prefix(self.daemon.as_str())?;
        if digits.len() == 6 { u32::from_str_radix(digits, 16).ok() } else { None }
    }

    /// Makes a bridge with its settings and its part of the table, or takes it over as it is.
    ///
    /// # Errors
    /// The step that the kernel refused; [`Dataplane::remove_bridge`] removes what was made before.
    pub fn add_bridge(&self, bridge: Bridge) -> Result<(), Error> {
        self.take_over(&[bridge]).into_iter().collect()
    }

    /// The same for several, with one change of the table: what an earlier daemon left goes on passing as it did. Of each is told
    /// whether it is as it shall be; one that is not stays as it is.
    pub fn take_over(&self, bridges: &[Bridge]) -> Vec<Result<(), Error>> {
        let made: Vec<Result<(), Error>> = bridges.iter().map(|bridge| self.make_bridge(bridge)).collect();
        let mut written = self.write_bridges(&self.bridges()).err();
        made.into_iter()
            .zip(bridges)
            .map(|(made, bridge)| {
                made?;
                written.take().map_or(Ok(()), Err)?;
                // Only now, as the table keeps off who would use it from outside.
                setting::of_link("ipv4", &bridge.link, "route_localnet", "1")
            })
            .collect()
    }

    fn make_bridge(&self, bridge: &Bridge) -> Result<(), Error> {
        let name = &bridge.link;
        let index = if bridge.is_foreign {
            let missing = || Error::NoLink { name: name.clone() };
            link::index(&self.socket, name)?.ok_or_else(missing)?
        } else {
            let alias = format!("bocage {}", self.daemon);
            link::bridge(&self.socket, name, link::bridge_mac(&bridge.gateways), bridge.mtu, &alias)?
        };
        // From here on it is known, and not swept, whatever is refused below.
        self.bridges().insert(name.clone(), Made { bridge: bridge.clone(), index });
        if !bridge.is_foreign {
            // A container is no router of the host's.
            setting::of_link("ipv6", name, "accept_ra", "0")?;
            setting::of_link("ipv6", name, "accept_redirects", "0")?;
            setting::of_link("ipv6", name, "disable_ipv6", if bridge.has_ipv6() { "0" } else { "1" })?;
        }
        for address in &bridge.gateways {
            let prefix = bridge.prefix(*address).unwrap_or_else(|| model::subnet::width(*address));
            link::address(&self.socket, index, *address, prefix)?;
        }
        setting::forward_ipv4()?;
        if bridge.has_ipv6() {
            setting::forward_ipv6()?;
        }
        Ok(())
    }

    /// Whether a bridge of this name is there that is not this daemon's.
    ///
    /// # Errors
    /// [`Error::NoBridge`] if it is another kind of link; the kernel did not list the links.
    pub fn has_foreign_link(&self, name: &str) -> Result<bool, Error> {
        let ours = format!("bocage {}", self.daemon);
        let all = link::list(&self.socket)?;
        let foreign =
            all.iter().find(|link| link.name == name && link.alias.as_deref() != Some(ours.as_str()));
        match foreign {
            Some(link) if link.kind.as_deref() != Some("bridge") => {
                Err(Error::NoBridge { name: name.to_owned() })
            }
            other => Ok(other.is_some()),
        }
    }

    /// Notices when somebody else takes something out of the table.
    ///
    /// # Errors
    /// The kernel does not tell its changes.
    pub fn watch(&self) -> Result<Watch, Error> {
        self.table.watch()
    }

    /// Whether the table has all its rules.
    ///
    /// # Errors
    /// The kernel did not list them.
    pub fn is_whole(&self) -> Result<bool, Error> {
        self.table.is_whole()
    }

    /// Writes the table again as it shall be, whatever has become of it.
    ///
    /// # Errors
    /// The step that the kernel refused.
    pub fn repair(&self, ports: &[PublishedPort], edge: Option<u16>) -> Result<(), Error> {
        self.table.write()?;
        self.write_bridges(&self.bridges())?;
        self.table.replace(ports)?;
        edge.map_or(Ok(()), |port| self.table.redirect(port))
    }

    /// What a bridge and these ports have in the kernel: where it stands, what it says, and why.
    pub fn explain(&self, bridge: &Bridge, ports: &[PublishedPort]) -> Vec<(String, String, String)> {
        nft::explain(&self.table, bridge, ports)
    }

    fn write_bridges(&self, bridges: &BTreeMap<String, Made>) -> Result<(), Error> {
        let all: Vec<&Bridge> = bridges.values().map(|made| &made.bridge).collect();
        self.table.connect(&all)
    }

    /// Removes a bridge and its part of the table. That it is gone already is no error.
    ///
    /// # Errors
    /// The first refusal; the rest is removed all the same.
    pub fn remove_bridge(&self, name: &str, is_foreign: bool) -> Result<(), Error> {
        let opened = if is_foreign { setting::of_link("ipv4", name, "route_localnet", "0") } else { Ok(()) };
        let mut bridges = self.bridges();
        bridges.remove(name);
        let written = self.write_bridges(&bridges);
        drop(bridges);
        if is_foreign {
            return opened.and(written);
        }
        written.and(link::delete(&self.socket, name))
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

    /// Connects a namespace to a bridge. A link that is still there from an earlier container of this name is replaced.
    ///
    /// # Errors
    /// The step that the kernel refused, [`Error::BridgeFull`] above all; [`Dataplane::detach`] removes what was made before.
    pub fn attach(&self, namespace: &Namespace, bridge: &str, endpoint: &Endpoint) -> Result<(), Error> {
        let (index, mtu, isolated) = {
            let bridges = self.bridges();
            let made = bridges.get(bridge).ok_or_else(|| Error::NoLink { name: bridge.to_owned() })?;
            (made.index, made.bridge.mtu, !made.bridge.neighbours)
        };
        let pair = link::Pair { bridge: index, mtu, isolated, namespace: namespace.as_fd(), endpoint };
        let made = match link::veth(&self.socket, &pair) {
            Err(Error::Refused { source: Errno::EXIST, .. }) => {
                link::delete(&self.socket, &endpoint.link)?;
                link::veth(&self.socket, &pair)
            }
            other => other,
        };
        match made {
            Err(Error::Refused { source: Errno::XFULL, .. }) => {
                return Err(Error::BridgeFull { bridge: bridge.to_owned() });
            }
            other => other?,
        }
        self.configure(namespace, endpoint)?;
        link::await_up(&self.socket, &endpoint.link)?;
        link::await_up(&self.socket, bridge)
    }

    /// Gives a namespace a link upon a link of the host.
    ///
    /// # Errors
    /// The step that the kernel refused.
    pub fn attach_upon(&self, namespace: &Namespace, upon: &Upon, endpoint: &Endpoint) -> Result<(), Error> {
        link::upon(&self.socket, upon, namespace.as_fd(), endpoint)?;
        self.configure(namespace, endpoint)
    }

    fn configure(&self, namespace: &Namespace, endpoint: &Endpoint) -> Result<(), Error> {
        if endpoint.ipv6.is_some() {
            namespace.allow_ipv6(&endpoint.inside)?;
        }
        let inside = link::index(namespace.socket(), &endpoint.inside)?
            .ok_or_else(|| Error::Answer { operation: format!("find {} inside", endpoint.inside) })?;
        link::configure(namespace.socket(), inside, endpoint)
    }

    /// Sends what is on none of a namespace's subnets this way, and no other.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn set_way_out(namespace: &Namespace, way: &WayOut) -> Result<(), Error> {
        link::set_way_out(namespace.socket(), way)
    }

    /// Removes a link inside a namespace. That it is gone already is no error.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn remove_inside(namespace: &Namespace, name: &str) -> Result<(), Error> {
        link::delete(namespace.socket(), name)
    }

    /// Takes a container off its bridge. That it is off already is no error. The link is gone when the kernel has taken down
    /// the ended container's namespace, or a tenth of a second later if something keeps that alive.
    ///
    /// # Errors
    /// The kernel refused, this time or where a link was to be gone since the last time.
    pub fn detach(&self, link: &str) -> Result<(), Error> {
        match link::index(&self.socket, link)? {
            Some(index) => self.reaper.delete(index),
            None => Ok(()),
        }
    }

    /// Lets the host answer for ports.
    ///
    /// # Errors
    /// The kernel refused; then none of them is published.
    pub fn publish(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        self.table.publish(ports)?;
        conntrack::forget_earlier(ports)
    }

    /// Lets it answer no longer, clients of datagram ports that are known already included. Ports that are not published are
    /// passed over.
    ///
    /// # Errors
    /// The first refusal; the others are gone all the same.
    pub fn unpublish(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        self.table.unpublish(ports).and(conntrack::forget(ports))
    }

    /// Points the redirection at the edge process's port, the same for connections and for datagrams.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn set_edge_port(&self, port: u16) -> Result<(), Error> {
        self.table.redirect(port)
    }

    /// Removes what belongs to none of these links and ports, and connects again what lost its bridge. `links` are the host's ends
    /// and their bridges.
    ///
    /// # Errors
    /// The first step that the kernel refused; the others are made all the same.
    pub fn retain(&self, links: &[(&str, &str)], ports: &[PublishedPort]) -> Result<(), Error> {
        self.table.replace(ports).and(self.sweep(links))
    }

    /// Removes this daemon's links of containers that are not named, and its bridges that are not known; links that are named shall
    /// be ports of their bridges.
    fn sweep(&self, links: &[(&str, &str)]) -> Result<(), Error> {
        let mut outcome = Ok(());
        let wanted: BTreeMap<&str, &str> = links.iter().copied().collect();
        let bridges: BTreeMap<String, u32> =
            self.bridges().iter().map(|(name, made)| (name.clone(), made.index)).collect();
        let isolated: BTreeSet<String> = self
            .bridges()
            .values()
            .filter(|made| !made.bridge.neighbours)
            .map(|made| made.bridge.link.clone())
            .collect();
        let ours = format!("bocage {}", self.daemon);
        for found in link::list(&self.socket)? {
            if let Some(bridge) = wanted.get(found.name.as_str()) {
                let master = bridges.get(*bridge).copied();
                if let Some(master) = master.filter(|_| found.master != master) {
                    let is_isolated = isolated.contains(*bridge);
                    outcome = outcome.and(link::connect(&self.socket, &found.name, master, is_isolated));
                }
            } else if self.link_number(&found.name).is_some()
                || found.alias.as_deref() == Some(ours.as_str()) && !bridges.contains_key(&found.name)
            {
                outcome = outcome.and(link::delete_index(&self.socket, found.index));
            }
        }
        outcome
    }

    /// Removes bridges and table: every trace. Containers that are still connected lose their network.
    ///
    /// # Errors
    /// The first refusal.
    pub fn destroy(&self) -> Result<(), Error> {
        let bridges = std::mem::take(&mut *self.bridges());
        for made in bridges.values().filter(|made| made.bridge.is_foreign) {
            setting::of_link("ipv4", &made.bridge.link, "route_localnet", "0")?;
        }
        let strays = self.sweep(&[]);
        self.table.delete().and(strays)
    }
}
