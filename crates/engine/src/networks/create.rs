//! What a network is asked for, checked and completed, and what the kernel is told of it.

use super::{Network, Networks, Wiring};
use crate::Shared;
use base::Chain;
use model::network::{Driver, Pool};
use model::{NetworkId, NetworkIntent, NetworkSpec, Subnet};
use net::UponMode;
use plan::address::{self, Space};
use plan::network::{bridge_options, upon_options};
use platform::{CreatedNetwork, Error};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The names of the networks that are always there, and words that stand for one in a container's request.
const RESERVED: [&str; 5] = ["bridge", "host", "none", "default", "container"];

/// What is said when every space is used up.
pub(super) fn out_of_subnets(spaces: &[Space], ipv4: bool) -> Error {
    let of_family = spaces.iter().filter(|space| space.base.is_ipv4() == ipv4);
    let listed: Vec<String> =
        of_family.map(|space| format!("{} in parts of /{}", space.base, space.part)).collect();
    Error::failed(format!(
        "all predefined address pools have been fully subnetted: {}: give a --subnet, remove networks that are not needed, or \
         name more under network.pools in the configuration file",
        listed.join(", ")
    ))
}

/// What the kernel is told of a network.
pub(super) fn wiring(intent: &NetworkIntent) -> Result<Wiring, Error> {
    let spec = &intent.spec;
    match spec.driver {
        Driver::Host | Driver::Null => Ok(Wiring::Nothing),
        Driver::Bridge => {
            let options = bridge_options(spec).map_err(Error::invalid)?;
            let gateways = spec
                .pools
                .iter()
                .filter_map(|pool| pool.gateway)
                .filter(|gateway| !(options.without_host4 && gateway.is_ipv4()))
                .collect();
            let bridge = net::Bridge {
                link: options.link.clone().unwrap_or_else(|| format!("br-{}", intent.id.short())),
                is_foreign: intent.borrowed,
                mtu: options.mtu.unwrap_or(net::MTU),
                subnets: spec.pools.iter().map(|pool| pool.subnet).collect(),
                gateways,
                neighbours: options.neighbours,
                internal: spec.internal,
                ipv4: options.ipv4,
                ipv6: options.ipv6,
            };
            Ok(Wiring::Bridge(bridge, Box::new(options)))
        }
        Driver::Macvlan | Driver::Ipvlan => {
            let options = upon_options(spec).map_err(Error::invalid)?;
            let mode = match (spec.driver, options.mode.as_str()) {
                (Driver::Ipvlan, "l3") => UponMode::IpvlanL3,
                (Driver::Ipvlan, "l3s") => UponMode::IpvlanL3s,
                (Driver::Ipvlan, _) => UponMode::IpvlanL2,
                (_, "private") => UponMode::MacvlanPrivate,
                (_, "vepa") => UponMode::MacvlanVepa,
                (_, "passthru") => UponMode::MacvlanPassthru,
                _ => UponMode::MacvlanBridge,
            };
            Ok(Wiring::Upon(net::Upon { parent: options.parent, mode, mtu: options.mtu }))
        }
    }
}

/// A name without characters that mean something elsewhere.
fn check_name(name: &str) -> Result<(), Error> {
    if RESERVED.contains(&name) {
        return Err(Error::forbidden(format!("operation is not permitted on predefined {name} network")));
    }
    if name.trim().is_empty() || name.contains(['/', '\0']) {
        return Err(Error::invalid(format!("invalid network name {name:?}: it is empty, or has a slash")));
    }
    Ok(())
}

/// Checks that what a pool names lies in its subnet, and gives it a gateway.
fn complete(pool: &mut Pool) -> Result<(), Error> {
    let subnet = pool.subnet;
    let inside = |address: IpAddr, what: &str| {
        if subnet.contains(address) {
            return Ok(());
        }
        Err(Error::invalid(format!("{what} {address} is not in the subnet {subnet}")))
    };
    if let Some(range) = pool.range {
        inside(range.base(), "the ip-range of")?;
        inside(range.last(), "the ip-range up to")?;
    }
    for (name, address) in &pool.auxiliary {
        inside(*address, &format!("the auxiliary address {name}"))?;
    }
    match pool.gateway {
        Some(gateway) => inside(gateway, "the gateway")?,
        None => pool.gateway = address::gateway(pool),
    }
    if pool.gateway.is_none() {
        return Err(Error::invalid(format!(
            "the subnet {subnet} has no address for a gateway: make it larger"
        )));
    }
    Ok(())
}

impl Networks {
    /// Makes a network.
    pub(super) async fn create(
        &self,
        shared: &Arc<Shared>,
        mut spec: NetworkSpec,
    ) -> Result<CreatedNetwork, Error> {
        check_name(&spec.name)?;
        if matches!(spec.driver, Driver::Host | Driver::Null) {
            return Err(Error::forbidden(format!(
                "only one instance of \"{}\" network is allowed",
                spec.driver
            )));
        }
        if !spec.ipv4 && !spec.ipv6 {
            return Err(Error::invalid("IPv4 or IPv6 must be enabled"));
        }
        let _one_at_a_time = self.changing.lock().await;
        let known = self.all();
        if known.iter().any(|network| network.intent.spec.name == spec.name) {
            return Err(Error::conflict(format!("network with name {} already exists", spec.name)));
        }
        let warnings = self.complete(&known, &mut spec)?;
        let id = NetworkId::from_bytes(base::random::bytes());
        let mut intent = NetworkIntent { id, created: shared.clock.now(), borrowed: false, spec };
        let mut wiring = wiring(&intent)?;
        if let Wiring::Bridge(bridge, _) = &mut wiring {
            bridge.is_foreign = self.is_borrowed(&known, &bridge.link)?;
            intent.borrowed = bridge.is_foreign;
        }
        self.tables.put_network(&intent).await?;
        if let Err(error) = self.make(&intent, &wiring) {
            self.unmake(&wiring);
            self.tables.remove_network(id).await?;
            return Err(error);
        }
        self.insert(Network { intent: intent.clone(), wiring, broken: None });
        shared.tell_network("create", &intent.spec, id, None);
        Ok(CreatedNetwork { id, warnings })
    }

    /// Gives a network the subnets and gateways that it does not name.
    fn complete(&self, known: &[Arc<Network>], spec: &mut NetworkSpec) -> Result<Vec<String>, Error> {
        let taken: Vec<NetworkIntent> = known.iter().map(|network| network.intent.clone()).collect();
        let mut warnings = Vec::new();
        for (ipv4, wanted) in [(true, spec.ipv4), (false, spec.ipv6)] {
            let named = spec.pools.iter().any(|pool| pool.subnet.is_ipv4() == ipv4);
            if named && !wanted {
                let family = if ipv4 { "IPv4" } else { "IPv6" };
                return Err(Error::invalid(format!(
                    "an {family} subnet is given, and {family} is switched off"
                )));
            }
            if named || !wanted {
                continue;
            }
            if !ipv4 && !std::path::Path::new("/proc/sys/net/ipv6").exists() {
                warnings.push("this kernel has no IPv6: the network has IPv4 alone".to_owned());
                spec.ipv6 = false;
                continue;
            }
            let used = self.used_subnets(&taken)?;
            let subnet = address::free_subnet(&self.spaces, ipv4, &used)
                .ok_or_else(|| out_of_subnets(&self.spaces, ipv4))?;
            spec.pools.push(Pool { subnet, range: None, gateway: None, auxiliary: BTreeMap::new() });
        }
        let others: Vec<Subnet> =
            taken.iter().flat_map(|network| &network.spec.pools).map(|pool| pool.subnet).collect();
        for (index, pool) in spec.pools.iter_mut().enumerate() {
            // Links upon one link of the host may share its subnet, and those who make them know why.
            let is_alone = spec.driver == Driver::Bridge;
            if let Some(other) = others.iter().find(|other| is_alone && other.overlaps(&pool.subnet)) {
                return Err(Error::forbidden(format!(
                    "invalid pool request: Pool overlaps with other one on this address space: {} with {other}",
                    pool.subnet
                )));
            }
            complete(pool).map_err(|error| Error::invalid(format!("pool {}: {error}", index + 1)))?;
        }
        Ok(warnings)
    }

    /// Whether a bridge of this name is there and is not ours, so that it is used and left as it is.
    fn is_borrowed(&self, known: &[Arc<Network>], link: &str) -> Result<bool, Error> {
        let owner = known
            .iter()
            .find(|network| matches!(&network.wiring, Wiring::Bridge(bridge, _) if bridge.link == link));
        if let Some(owner) = owner {
            return Err(Error::forbidden(format!(
                "the bridge {link} is the one of the network {}: give another com.docker.network.bridge.name",
                owner.intent.spec.name
            )));
        }
        self.plane()?
            .dataplane
            .has_foreign_link(link)
            .map_err(|error| Error::failed(format!("look for a bridge {link}: {}", Chain(&error))))
    }

    /// Removes what a network has in the kernel.
    fn unmake(&self, wiring: &Wiring) {
        let (Wiring::Bridge(bridge, _), Ok(plane)) = (wiring, self.plane()) else { return };
        if let Err(error) = plane.dataplane.remove_bridge(&bridge.link, bridge.is_foreign) {
            tracing::warn!(link = bridge.link, error = %Chain(&error), "part of a network is left");
        }
    }

    /// Removes a network on which no container is.
    pub(super) async fn remove(&self, shared: &Arc<Shared>, name: &str) -> Result<(), Error> {
        let _one_at_a_time = self.changing.lock().await;
        let network = self.find(name)?;
        let (id, spec) = (network.intent.id, &network.intent.spec);
        if self.predefined.has(id) {
            return Err(Error::forbidden(format!(
                "{} is a pre-defined network and cannot be removed",
                spec.name
            )));
        }
        let members = super::door::members(shared, id);
        if !members.is_empty() || !self.book().begin_to_leave(id) {
            let named: Vec<String> = members
                .iter()
                .map(|member| format!("name:\"{}\" id:\"{}\"", member.name, member.id.short()))
                .collect();
            return Err(Error::forbidden(format!(
                "error while removing network: network {} has active endpoints ({})",
                spec.name,
                named.join(", ")
            )));
        }
        if let Err(error) = self.tables.remove_network(id).await {
            self.book().stay(id);
            return Err(error);
        }
        self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&id);
        self.book().forget(id);
        self.forget_names(id);
        self.unmake(&network.wiring);
        shared.tell_network("destroy", spec, id, None);
        Ok(())
    }
}
