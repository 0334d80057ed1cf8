//! Limits as the files that the kernel wants them in: pure, one table for v1 and one for v2.
//!
//! The figures differ between the two: v1 limits memory and swap together where v2 limits swap alone, v1 has CPU
//! shares from 2 to 262144 where v2 has weights from 1 to 10000. Callers speak v1, as Docker does. What makes no sense
//! on one of them is an error here, before anything is made; what [`Resources::passed_over`] names is left out.

use super::Error;
use super::block;
use super::resources::{Cpu, HugePages, Memory, Network, Rdma, Resources, Swap};
use std::borrow::Cow;

/// One value for one file of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// The controller whose hierarchy has the file.
    pub(super) controller: Cow<'static, str>,
    /// The file's name.
    pub(super) file: Cow<'static, str>,
    /// What is written.
    pub(super) value: String,
    /// What it means that the file is not there.
    pub(super) missing: Missing,
}

/// What it means that a file is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The limit cannot be had.
    Refused,
    /// Nothing: nobody asked for this value, it only completes another one.
    Ignored,
    /// Another file says the same.
    Instead(Box<Write>),
}

impl Write {
    /// The same, with another file for the case that this one is not there.
    pub(super) fn or(self, other: Write) -> Write {
        Write { missing: Missing::Instead(Box::new(other)), ..self }
    }

    fn if_there(self) -> Write {
        Write { missing: Missing::Ignored, ..self }
    }
}

/// A write whose file has to be there.
#[expect(clippy::needless_pass_by_value, reason = "numbers and texts are given alike")]
pub(super) fn write(
    controller: &'static str,
    file: impl Into<Cow<'static, str>>,
    value: impl ToString,
) -> Write {
    let (controller, file) = (Cow::Borrowed(controller), file.into());
    Write { controller, file, value: value.to_string(), missing: Missing::Refused }
}

/// The controllers that a group is put under only because these limits need them.
pub(super) fn on_demand(resources: &Resources) -> Vec<&str> {
    let named = [
        (!resources.huge_pages.is_empty(), "hugetlb"),
        (!resources.rdma.is_empty(), "rdma"),
        (resources.network.class_id.is_some(), "net_cls"),
        (!resources.network.priorities.is_empty(), "net_prio"),
    ];
    let named = named.into_iter().filter(|(asked, _)| *asked).map(|(_, name)| name);
    let keys = resources.unified.keys().filter_map(|key| Some(key.split_once('.')?.0));
    named.chain(keys.filter(|name| *name != "cgroup")).collect()
}

/// What v1 is told.
pub(super) fn writes_v1(resources: &Resources) -> Result<Vec<Write>, Error> {
    if let Some(key) = resources.unified.keys().next() {
        return Err(Error::OnlyV2 { key: key.clone() });
    }
    let mut writes = cpuset(&resources.cpu);
    writes.extend(memory_v1(&resources.memory));
    writes.extend(cpu_v1(&resources.cpu));
    writes.extend(pids(resources.pids));
    writes.extend(block::writes_v1(&resources.block));
    writes.extend(huge_pages(&resources.huge_pages, ".limit_in_bytes")?);
    writes.extend(network(&resources.network));
    writes.extend(resources.rdma.iter().map(|(device, rdma)| rdma_max(device, *rdma)));
    Ok(writes)
}

/// What v2 is told.
pub(super) fn writes_v2(resources: &Resources) -> Result<Vec<Write>, Error> {
    let mut writes = cpuset(&resources.cpu);
    writes.extend(memory_v2(&resources.memory)?);
    writes.extend(cpu_v2(&resources.cpu));
    writes.extend(pids(resources.pids));
    writes.extend(block::writes_v2(&resources.block));
    writes.extend(huge_pages(&resources.huge_pages, ".max")?);
    // There is no such controller: it is said to be missing.
    writes.extend(network(&resources.network));
    writes.extend(resources.rdma.iter().map(|(device, rdma)| rdma_max(device, *rdma)));
    for (key, value) in &resources.unified {
        let (controller, _) = key
            .split_once('.')
            .filter(|(controller, name)| !controller.is_empty() && !name.is_empty() && !key.contains('/'))
            .ok_or_else(|| Error::Key { key: key.clone() })?;
        let (controller, file) = (controller.to_owned().into(), key.clone().into());
        writes.push(Write { controller, file, value: value.clone(), missing: Missing::Refused });
    }
    Ok(writes)
}

fn cpuset(cpu: &Cpu) -> Vec<Write> {
    let cpus = cpu.cpus.as_ref().map(|list| write("cpuset", "cpuset.cpus", list));
    let mems = cpu.mems.as_ref().map(|list| write("cpuset", "cpuset.mems", list));
    cpus.into_iter().chain(mems).collect()
}

fn pids(limit: Option<i64>) -> Option<Write> {
    limit.map(|limit| write("pids", "pids.max", or_max(limit)))
}

fn memory_v1(memory: &Memory) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(bytes) = memory.limit_bytes {
        writes.push(write("memory", "memory.limit_in_bytes", unlimited_as_minus_one(bytes)));
    }
    let together = |bytes: i64| write("memory", "memory.memsw.limit_in_bytes", unlimited_as_minus_one(bytes));
    match (memory.swap, memory.limit_bytes) {
        (Swap::Together(bytes), _) => writes.push(together(bytes)),
        (Swap::SameAgain, Some(bytes)) => writes.push(together(twice(bytes)).if_there()),
        (Swap::SameAgain, None) | (Swap::Unset, _) => {}
    }
    if let Some(bytes) = memory.reservation_bytes {
        writes.push(write("memory", "memory.soft_limit_in_bytes", unlimited_as_minus_one(bytes)));
    }
    if let Some(bytes) = memory.kernel_tcp_bytes {
        writes.push(write("memory", "memory.kmem.tcp.limit_in_bytes", unlimited_as_minus_one(bytes)));
    }
    if let Some(swappiness) = memory.swappiness {
        writes.push(write("memory", "memory.swappiness", swappiness));
    }
    if memory.oom_kill_disable {
        writes.push(write("memory", "memory.oom_control", 1));
    }
    writes
}

fn memory_v2(memory: &Memory) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    let swap = |bytes: i64| write("memory", "memory.swap.max", or_max(bytes));
    match (memory.swap, memory.limit_bytes) {
        (Swap::Together(bytes), _) if bytes < 0 => writes.push(swap(-1)),
        (Swap::Together(together_bytes), Some(memory_bytes)) if memory_bytes >= 0 => {
            if together_bytes < memory_bytes {
                return Err(Error::SwapBelowMemory { together_bytes, memory_bytes });
            }
            writes.push(swap(together_bytes - memory_bytes));
        }
        (Swap::Together(_), _) => return Err(Error::SwapWithoutMemory),
        (Swap::SameAgain, Some(bytes)) => writes.push(swap(bytes).if_there()),
        (Swap::SameAgain, None) | (Swap::Unset, _) => {}
    }
    if let Some(bytes) = memory.limit_bytes {
        writes.push(write("memory", "memory.max", or_max(bytes)));
    }
    if let Some(bytes) = memory.reservation_bytes {
        writes.push(write("memory", "memory.low", or_max(bytes)));
    }
    Ok(writes)
}

fn cpu_v1(cpu: &Cpu) -> Vec<Write> {
    let quota = cpu.quota_us.map(|quota| if quota > 0 { quota } else { -1 });
    let all = [
        cpu.period_us.map(|period| write("cpu", "cpu.cfs_period_us", period)),
        quota.map(|quota| write("cpu", "cpu.cfs_quota_us", quota)),
        cpu.burst_us.map(|burst| write("cpu", "cpu.cfs_burst_us", burst)),
        cpu.realtime_period_us.map(|period| write("cpu", "cpu.rt_period_us", period)),
        cpu.realtime_runtime_us.map(|runtime| write("cpu", "cpu.rt_runtime_us", runtime)),
    ];
    let mut writes: Vec<Write> = all.into_iter().flatten().collect();
    writes.extend(share(cpu, |shares| write("cpu", "cpu.shares", shares)));
    writes
}

fn cpu_v2(cpu: &Cpu) -> Vec<Write> {
    let mut writes = Vec::new();
    let quota = match cpu.quota_us {
        Some(quota) if quota > 0 => quota.to_string(),
        _ => "max".to_owned(),
    };
    // A quota alone keeps the period that stands.
    if let Some(period) = cpu.period_us {
        writes.push(write("cpu", "cpu.max", format!("{quota} {period}")));
    } else if cpu.quota_us.is_some() {
        writes.push(write("cpu", "cpu.max", quota));
    }
    writes.extend(cpu.burst_us.map(|burst| write("cpu", "cpu.max.burst", burst)));
    writes.extend(share(cpu, |shares| write("cpu", "cpu.weight", weight(shares))));
    writes
}

/// The share, and whether the group is idle: an idle group's share cannot be written.
fn share(cpu: &Cpu, shares: impl Fn(u64) -> Write) -> Vec<Write> {
    let idle = cpu.idle.map(|idle| write("cpu", "cpu.idle", idle));
    let shares = cpu.shares.filter(|_| cpu.idle != Some(1)).map(shares);
    idle.into_iter().chain(shares).collect()
}

fn huge_pages(limits: &[HugePages], ending: &str) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    for HugePages { size, limit_bytes } in limits {
        let digits = size.trim_end_matches("KB").trim_end_matches("MB").trim_end_matches("GB");
        let is_number = digits.len() + 2 == size.len() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || digits.is_empty() {
            return Err(Error::HugePageSize { size: size.clone() });
        }
        writes.push(write("hugetlb", format!("hugetlb.{size}{ending}"), limit_bytes));
        // What is reserved counts apart, from Linux 5.7 on.
        writes.push(write("hugetlb", format!("hugetlb.{size}.rsvd{ending}"), limit_bytes).if_there());
    }
    Ok(writes)
}

fn network(network: &Network) -> Vec<Write> {
    let class = network.class_id.map(|class| write("net_cls", "net_cls.classid", class));
    let priorities = network.priorities.iter();
    let priorities = priorities.map(|(interface, priority)| {
        write("net_prio", "net_prio.ifpriomap", format!("{interface} {priority}"))
    });
    class.into_iter().chain(priorities).collect()
}

fn rdma_max(device: &str, rdma: Rdma) -> Write {
    let value = |limit: Option<u32>| limit.map_or("max".to_owned(), |limit| limit.to_string());
    let line = format!("{device} hca_handle={} hca_object={}", value(rdma.handles), value(rdma.objects));
    write("rdma", "rdma.max", line)
}

fn or_max(number: i64) -> String {
    if number < 0 { "max".to_owned() } else { number.to_string() }
}

fn unlimited_as_minus_one(bytes: i64) -> i64 {
    bytes.max(-1)
}

/// Docker's rule where only memory is limited: as much swap again.
fn twice(bytes: i64) -> i64 {
    bytes.checked_mul(2).unwrap_or(-1)
}

/// Shares from 2 to 262144 laid evenly over weights from 1 to 10000.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(writes: Result<Vec<Write>, Error>) -> Vec<(String, String)> {
        writes.unwrap().into_iter().map(|write| (write.file.into_owned(), write.value)).collect()
    }

    fn pair(file: &str, value: &str) -> (String, String) {
        (file.to_owned(), value.to_owned())
    }

    #[test]
    fn a_memory_limit_alone_allows_as_much_swap_again() {
        let mut limits = Resources::default();
        limits.memory.limit_bytes = Some(1 << 20);
        limits.memory.swap = Swap::SameAgain;
        assert_eq!(
            values(writes_v1(&limits)),
            [pair("memory.limit_in_bytes", "1048576"), pair("memory.memsw.limit_in_bytes", "2097152")]
        );
        assert_eq!(
            values(writes_v2(&limits)),
            [pair("memory.swap.max", "1048576"), pair("memory.max", "1048576")]
        );
    }

    #[test]
    fn swap_equal_to_memory_is_no_swap_and_minus_one_is_unlimited_swap() {
        let mut resources = Resources::default();
        resources.memory.limit_bytes = Some(4096);
        resources.memory.swap = Swap::Together(4096);
        assert_eq!(values(writes_v2(&resources))[0], pair("memory.swap.max", "0"));
        resources.memory.swap = Swap::Together(-1);
        assert_eq!(values(writes_v2(&resources))[0], pair("memory.swap.max", "max"));
        assert_eq!(values(writes_v1(&resources))[1], pair("memory.memsw.limit_in_bytes", "-1"));
    }

    #[test]
    fn swap_that_cannot_be_said_on_v2_is_refused() {
        let mut resources = Resources::default();
        resources.memory.swap = Swap::Together(4096);
        assert!(matches!(writes_v2(&resources), Err(Error::SwapWithoutMemory)));
        resources.memory.limit_bytes = Some(8192);
        assert!(matches!(writes_v2(&resources), Err(Error::SwapBelowMemory { .. })));
    }

    #[test]
    fn shares_keep_their_ends_as_weights() {
        assert_eq!([weight(0), weight(2), weight(1024), weight(262_144)], [1, 1, 39, 10_000]);
    }

    #[test]
    fn a_quota_without_a_period_leaves_the_period() {
        let cpu = Cpu { quota_us: Some(50_000), ..Cpu::default() };
        let mut resources = Resources { cpu, ..Resources::default() };
        assert_eq!(values(writes_v2(&resources)), [pair("cpu.max", "50000")]);
        resources.cpu.period_us = Some(200_000);
        assert_eq!(values(writes_v2(&resources)), [pair("cpu.max", "50000 200000")]);
        resources.cpu.quota_us = Some(0);
        assert_eq!(values(writes_v2(&resources)), [pair("cpu.max", "max 200000")]);
        assert_eq!(
            values(writes_v1(&resources)),
            [pair("cpu.cfs_period_us", "200000"), pair("cpu.cfs_quota_us", "-1")]
        );
    }

    #[test]
    fn an_idle_group_has_no_share() {
        let mut resources = Resources::default();
        resources.cpu.shares = Some(1024);
        resources.cpu.idle = Some(1);
        assert_eq!(values(writes_v2(&resources)), [pair("cpu.idle", "1")]);
        resources.cpu.idle = Some(0);
        assert_eq!(values(writes_v2(&resources)), [pair("cpu.idle", "0"), pair("cpu.weight", "39")]);
    }

    #[test]
    fn what_only_v1_has_is_written_there() {
        let mut resources = Resources::default();
        resources.memory.swappiness = Some(10);
        resources.memory.kernel_tcp_bytes = Some(-5);
        resources.memory.kernel_bytes = Some(4096);
        resources.cpu.realtime_runtime_us = Some(950_000);
        resources.pids = Some(-1);
        assert_eq!(
            values(writes_v1(&resources)),
            [
                pair("memory.kmem.tcp.limit_in_bytes", "-1"),
                pair("memory.swappiness", "10"),
                pair("cpu.rt_runtime_us", "950000"),
                pair("pids.max", "max"),
            ]
        );
        assert_eq!(values(writes_v2(&resources)), [pair("pids.max", "max")]);
    }

    #[test]
    fn controllers_that_few_need_are_used_on_demand() {
        let mut resources = Resources::default();
        assert!(on_demand(&resources).is_empty());
        resources.huge_pages.push(HugePages { size: "2MB".into(), limit_bytes: 4 << 20 });
        resources.rdma.insert("mlx5_1".into(), Rdma { handles: Some(3), objects: None });
        resources.network.class_id = Some(0x10_0001);
        resources.network.priorities.insert("eth0".into(), 5);
        assert_eq!(on_demand(&resources), ["hugetlb", "rdma", "net_cls", "net_prio"]);
        assert_eq!(
            values(writes_v1(&resources)),
            [
                pair("hugetlb.2MB.limit_in_bytes", "4194304"),
                pair("hugetlb.2MB.rsvd.limit_in_bytes", "4194304"),
                pair("net_cls.classid", "1048577"),
                pair("net_prio.ifpriomap", "eth0 5"),
                pair("rdma.max", "mlx5_1 hca_handle=3 hca_object=max"),
            ]
        );
        assert_eq!(values(writes_v2(&resources))[0], pair("hugetlb.2MB.max", "4194304"));
    }

    #[test]
    fn a_size_or_key_that_is_a_path_is_refused() {
        for size in ["", "MB", "2", "../x2MB", "2MBMB", "2mb"] {
            let pages = HugePages { size: size.into(), limit_bytes: 0 };
            let resources = Resources { huge_pages: vec![pages], ..Resources::default() };
            assert!(matches!(writes_v2(&resources), Err(Error::HugePageSize { .. })), "{size}");
        }
        for key in ["", "memory", "memory.", ".high", "../memory.high", "memory.high/x"] {
            let mut resources = Resources::default();
            resources.unified.insert(key.into(), "1".into());
            assert!(matches!(writes_v2(&resources), Err(Error::Key { .. })), "{key}");
        }
    }

    #[test]
    fn keys_of_v2_come_last_and_are_refused_on_v1() {
        let mut resources = Resources { pids: Some(5), ..Resources::default() };
        resources.unified.insert("memory.high".into(), "4096".into());
        resources.unified.insert("misc.max".into(), "sev 1".into());
        let writes = writes_v2(&resources).unwrap();
        assert_eq!((writes[1].controller.as_ref(), writes[1].file.as_ref()), ("memory", "memory.high"));
        assert_eq!(on_demand(&resources), ["memory", "misc"]);
        assert!(matches!(writes_v1(&resources), Err(Error::OnlyV2 { .. })));
    }
}
