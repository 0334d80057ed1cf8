//! What a network has in the kernel, and why.

use super::{Network, Wiring};
use crate::Shared;
use platform::{Error, Rule};

/// The rules of one network.
pub(super) fn rules(shared: &Shared, network: &Network) -> Result<Vec<Rule>, Error> {
    let plane = shared.networks.plane()?;
    let mut rules = Vec::new();
    match &network.wiring {
        Wiring::Bridge(bridge, options) => {
            let ports: Vec<_> = super::door::members(shared, network.intent.id)
                .iter()
                .filter_map(|member| member.endpoint.as_ref())
                .flat_map(|endpoint| super::ports::published_ports(endpoint, options))
                .collect();
            for (place, text, reason) in plane.dataplane.explain(bridge, &ports) {
                rules.push(Rule { place, text, reason });
            }
        }
        Wiring::Upon(upon) => rules.push(Rule {
            place: format!("link {}", upon.parent),
            text: format!("{:?} links of containers upon it", upon.mode),
            reason: "containers have addresses on the wire of this link; nothing of the host filters or translates them".to_owned(),
        }),
        Wiring::Nothing => {}
    }
    Ok(rules)
}
