//! `linux.resources` of a bundle in the runtime's words.

use super::Error;
use super::config;
use crate::cgroup::resources::{
    Block, Cpu, DeviceWeight, HugePages, Memory, Network, Rdma, Resources, Swap, Throttle,
};
use crate::cgroup::{DeviceEntry, DeviceKind, DeviceRule};

/// What a control group is told. Where the configuration speaks of devices, what every container may use is allowed besides.
///
/// # Errors
/// For a device rule that makes no sense.
pub fn resources(from: &config::Resources) -> Result<Resources, Error> {
    let throttles = |all: &[config::ThrottleDevice]| -> Vec<Throttle> {
        all.iter().map(|one| Throttle { major: one.major, minor: one.minor, rate: one.rate }).collect()
    };
    let mut devices = Vec::new();
    for (number, rule) in from.devices.iter().enumerate() {
        devices.push(device(number, rule)?);
    }
    if !devices.is_empty() {
        devices.extend(DeviceRule::DEFAULT.iter().map(DeviceEntry::from));
    }
    let (cpu, block) = (&from.cpu, &from.block_io);
    let named = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Ok(Resources {
        memory: memory(&from.memory),
        cpu: Cpu {
            shares: cpu.shares.filter(|shares| *shares != 0),
            quota_us: cpu.quota.filter(|quota| *quota != 0),
            period_us: cpu.period.filter(|period| *period != 0),
            burst_us: cpu.burst,
            realtime_runtime_us: cpu.realtime_runtime.filter(|us| *us != 0),
            realtime_period_us: cpu.realtime_period.filter(|us| *us != 0),
            cpus: named(&cpu.cpus),
            mems: named(&cpu.mems),
            idle: cpu.idle,
        },
        // Zero has always meant that nobody said anything.
        pids: from.pids.as_ref().map(|pids| pids.limit).filter(|limit| *limit != 0),
        block: Block {
            weight: block.weight.filter(|weight| *weight != 0),
            leaf_weight: block.leaf_weight.filter(|weight| *weight != 0),
            device_weights: block
                .weight_device
                .iter()
                .map(|one| DeviceWeight {
                    major: one.major,
                    minor: one.minor,
                    weight: one.weight,
                    leaf_weight: one.leaf_weight,
                })
                .collect(),
            read_bytes_per_second: throttles(&block.throttle_read_bps_device),
            write_bytes_per_second: throttles(&block.throttle_write_bps_device),
            reads_per_second: throttles(&block.throttle_read_iops_device),
            writes_per_second: throttles(&block.throttle_write_iops_device),
        },
        huge_pages: from
            .hugepage_limits
            .iter()
            .map(|one| HugePages { size: one.page_size.clone(), limit_bytes: one.limit })
            .collect(),
        network: Network {
            class_id: from.network.class_id.filter(|class| *class != 0),
            priorities: from.network.priorities.iter().map(|one| (one.name.clone(), one.priority)).collect(),
        },
        rdma: from
            .rdma
            .iter()
            .map(|(name, one)| (name.clone(), Rdma { handles: one.hca_handles, objects: one.hca_objects }))
            .collect(),
        unified: from.unified.clone(),
        devices,
    })
}

/// Memory; zero has always meant that nobody said anything.
fn memory(memory: &config::Memory) -> Memory {
    Memory {
        limit_bytes: memory.limit.filter(|bytes| *bytes != 0),
        swap: memory.swap.filter(|bytes| *bytes != 0).map_or(Swap::Unset, Swap::Together),
        reservation_bytes: memory.reservation.filter(|bytes| *bytes != 0),
        kernel_bytes: memory.kernel,
        kernel_tcp_bytes: memory.kernel_tcp,
        swappiness: memory.swappiness,
        oom_kill_disable: memory.disable_oom_killer,
        use_hierarchy: memory.use_hierarchy,
        check_before_update: memory.check_before_update,
    }
}

fn device(number: usize, rule: &config::DeviceRule) -> Result<DeviceEntry, Error> {
    let field = format!("linux.resources.devices[{number}]");
    let kind = match rule.kind.as_deref().unwrap_or("a") {
        "a" | "" => DeviceKind::Any,
        "b" => DeviceKind::Block,
        "c" | "u" => DeviceKind::Character,
        other => return Err(Error::invalid(field, format!("type {other:?} is none of a, b, c"))),
    };
    let one = |value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| Error::invalid(field.clone(), format!("{value} is no device number"))),
    };
    let access = rule.access.as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
    if let Some(odd) = access.chars().find(|letter| !"rwm".contains(*letter)) {
        return Err(Error::invalid(
            field,
            format!("access {access:?} has {odd:?}, which is none of r, w, m"),
        ));
    }
    Ok(DeviceEntry {
        allow: rule.allow,
        kind,
        major: one(rule.major)?,
        minor: one(rule.minor)?,
        read: access.contains('r'),
        write: access.contains('w'),
        make: access.contains('m'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_container_may_use_follows_the_rules_of_the_bundle() {
        let deny = config::DeviceRule { access: Some("rwm".into()), ..Default::default() };
        let from = config::Resources { devices: vec![deny], ..Default::default() };
        let devices = resources(&from).unwrap().devices;
        assert_eq!(devices[0], DeviceEntry::DENY_ALL);
        assert_eq!(devices.len(), 1 + DeviceRule::DEFAULT.len());
        assert!(resources(&config::Resources::default()).unwrap().devices.is_empty());
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_named() {
        let wrong = config::DeviceRule { access: Some("rx".into()), ..Default::default() };
        let from = config::Resources { devices: vec![wrong], ..Default::default() };
        let error = resources(&from).unwrap_err().to_string();
        assert_eq!(error, "linux.resources.devices[0]: access \"rx\" has 'x', which is none of r, w, m");
    }
}
