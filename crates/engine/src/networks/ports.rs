//! Ports of the host that lead to containers: which are wanted, and which are free.

use super::Networks;
use base::Chain;
use model::network::GatewayMode;
use model::observed::{Endpoint, Published};
use model::{ContainerIntent, PortBinding, PortKey, PublishedPort};
use plan::address;
use plan::network::BridgeOptions;
use platform::Error;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl Networks {
    /// Finds ports of the host for all that a container wants answered for on a bridge.
    pub(super) fn take_ports(
        &self,
        intent: &ContainerIntent,
        options: &BridgeOptions,
        endpoint: &mut Endpoint,
    ) -> Result<(), Error> {
        for binding in wanted_ports(intent, options) {
            let published = self.take_port(intent, endpoint, &binding)?;
            endpoint.ports.push(published);
        }
        Ok(())
    }

    /// Finds a port of the host for one binding: free in the book, and not held by a program of the host.
    fn take_port(
        &self,
        intent: &ContainerIntent,
        endpoint: &Endpoint,
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
            if let Err(error) = net::probe_port(&published_port(endpoint, &published)) {
                let inside = endpoint.ipv4.map_or_else(String::new, |(address, _)| address.to_string());
                refusal = Error::failed(format!(
                    "{prefix}: failed to bind host port for {}:{inside}:{}: {}",
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
}

fn at(host: IpAddr, port: u16) -> String {
    match host {
        IpAddr::V4(host) => format!("{host}:{port}"),
        IpAddr::V6(host) => format!("[{host}]:{port}"),
    }
}

/// The ports that a container wants answered for, the exposed ones included where all are published.
fn wanted_ports(intent: &ContainerIntent, options: &BridgeOptions) -> Vec<PortBinding> {
    let spec = &intent.spec;
    let mut wanted = spec.ports.clone();
    if spec.publish_all {
        let bound: BTreeSet<PortKey> = wanted.iter().map(|binding| binding.inside).collect();
        let open = spec.exposed.iter().filter(|port| !bound.contains(port));
        wanted.extend(open.map(|&inside| PortBinding { inside, host: None, first: 0, last: 0 }));
    }
    // Both unspecified addresses are what none means: every address of both families.
    let every = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let own = options.binding4.map(IpAddr::V4).or(options.binding6.map(IpAddr::V6));
    for binding in &mut wanted {
        binding.host = binding.host.or(own).filter(|host| !every.contains(host));
    }
    wanted
}

fn published_port(endpoint: &Endpoint, published: &Published) -> PublishedPort {
    PublishedPort {
        protocol: published.inside.protocol,
        host: published.host,
        host_port: published.host_port,
        ipv4: endpoint.ipv4.map(|(address, _)| address),
        ipv6: endpoint.ipv6.map(|(address, _)| address),
        port: published.inside.port,
    }
}

/// The ports of an endpoint as the kernel and the edge process are told of them. What is reached by a route has no port of the host.
pub(super) fn published_ports(endpoint: &Endpoint, options: &BridgeOptions) -> Vec<PublishedPort> {
    let is_routed = |mode| mode == GatewayMode::Routed;
    let mut ports = Vec::new();
    for published in &endpoint.ports {
        let whole = published_port(endpoint, published);
        let (mut translated, mut routed) = (whole.clone(), whole);
        routed.host_port = 0;
        if is_routed(options.ipv4.mode) {
            translated.ipv4 = None;
        } else {
            routed.ipv4 = None;
        }
        if is_routed(options.ipv6.mode) {
            translated.ipv6 = None;
        } else {
            routed.ipv6 = None;
        }
        ports.extend(
            [translated, routed].into_iter().filter(|port| port.ipv4.is_some() || port.ipv6.is_some()),
        );
    }
    ports
}
