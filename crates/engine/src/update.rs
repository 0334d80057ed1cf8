//! New limits laid over those that a container has: what is not given stays.

use crate::container::Change;
use model::ContainerSpec;

/// Lays a change over a spec.
pub(crate) fn apply(spec: &mut ContainerSpec, change: &Change) {
    let (have, new) = (&mut spec.resources, &change.resources);
    let lay = |have: &mut Option<u64>, new: Option<u64>| *have = new.or(*have);
    lay(&mut have.memory_bytes, new.memory_bytes);
    lay(&mut have.memory_reservation_bytes, new.memory_reservation_bytes);
    lay(&mut have.nano_cpus, new.nano_cpus);
    lay(&mut have.cpu_period_us, new.cpu_period_us);
    lay(&mut have.cpu_shares, new.cpu_shares);
    lay(&mut have.pids, new.pids);
    have.memory_swap_bytes = new.memory_swap_bytes.or(have.memory_swap_bytes);
    have.cpu_quota_us = new.cpu_quota_us.or(have.cpu_quota_us);
    for (have, new) in [(&mut have.cpuset_cpus, &new.cpuset_cpus), (&mut have.cpuset_mems, &new.cpuset_mems)]
    {
        if new.is_some() {
            have.clone_from(new);
        }
    }
    spec.restart = change.restart.unwrap_or(spec.restart);
    if let Some(origin) = &change.origin {
        spec.origin.clone_from(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::container::{Resources, RestartPolicy};

    #[test]
    fn what_is_not_given_stays() {
        let mut spec = ContainerSpec::default();
        spec.resources.memory_bytes = Some(1);
        spec.resources.pids = Some(2);
        let resources = Resources { pids: Some(3), ..Resources::default() };
        apply(&mut spec, &Change { resources, restart: Some(RestartPolicy::Always), origin: None });
        assert_eq!((spec.resources.memory_bytes, spec.resources.pids), (Some(1), Some(3)));
        assert_eq!(spec.restart, RestartPolicy::Always);
    }
}
