//! Limits as the files that the kernel wants them in: pure, one table for v1 and one for v2.
//!
//! The figures differ between the two: v1 limits memory and swap together where v2 limits swap alone, v1 has CPU
//! shares from 2 to 262144 where v2 has weights from 1 to 10000. Callers speak v1, as Docker does.

use crate::setup::Limits;

/// One value for one file of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// The controller whose hierarchy has the file.
    pub(crate) controller: &'static str,
    /// The file's name.
    pub(crate) file: &'static str,
    /// What is written.
    pub(crate) value: String,
    /// Whether the file may be missing: nobody asked for this value, it only completes another one.
    pub(crate) optional: bool,
}

/// A number or a word, as text.
struct Value(String);

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value(number.to_string())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value(number.to_string())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value(text.clone())
    }
}

fn write(controller: &'static str, file: &'static str, value: impl Into<Value>) -> Write {
    Write { controller, file, value: value.into().0, optional: false }
}

/// What v1 is told, in the order in which it accepts it.
pub(crate) fn writes_v1(limits: &Limits) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(cpus) = &limits.cpuset_cpus {
        writes.push(write("cpuset", "cpuset.cpus", cpus));
    }
    if let Some(nodes) = &limits.cpuset_mems {
        writes.push(write("cpuset", "cpuset.mems", nodes));
    }
    if let Some(bytes) = limits.memory_bytes {
        writes.push(write("memory", "memory.limit_in_bytes", bytes));
        let together = limits.memory_swap_bytes.unwrap_or_else(|| twice(bytes));
        writes.push(Write {
            optional: limits.memory_swap_bytes.is_none(),
            ..write("memory", "memory.memsw.limit_in_bytes", together)
        });
    }
    if let Some(bytes) = limits.memory_reservation_bytes {
        writes.push(write("memory", "memory.soft_limit_in_bytes", bytes));
    }
    if limits.oom_kill_disable {
        writes.push(write("memory", "memory.oom_control", 1u64));
    }
    if let Some(period) = limits.cpu_period_us {
        writes.push(write("cpu", "cpu.cfs_period_us", period));
    }
    if let Some(quota) = limits.cpu_quota_us {
        writes.push(write("cpu", "cpu.cfs_quota_us", quota));
    }
    if let Some(shares) = limits.cpu_shares {
        writes.push(write("cpu", "cpu.shares", shares));
    }
    if let Some(pids) = limits.pids {
        writes.push(write("pids", "pids.max", pids));
    }
    writes
}

/// What v2 is told.
pub(crate) fn writes_v2(limits: &Limits) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(cpus) = &limits.cpuset_cpus {
        writes.push(write("cpuset", "cpuset.cpus", cpus));
    }
    if let Some(nodes) = &limits.cpuset_mems {
        writes.push(write("cpuset", "cpuset.mems", nodes));
    }
    if let Some(bytes) = limits.memory_bytes {
        let together = limits.memory_swap_bytes.unwrap_or_else(|| twice(bytes));
        let swap = match u64::try_from(together) {
            Ok(together) => together.saturating_sub(bytes).to_string(),
            Err(_) => "max".to_owned(),
        };
        writes.push(Write {
            optional: limits.memory_swap_bytes.is_none(),
            ..write("memory", "memory.swap.max", swap)
        });
        writes.push(write("memory", "memory.max", bytes));
    }
    if let Some(bytes) = limits.memory_reservation_bytes {
        writes.push(write("memory", "memory.low", bytes));
    }
    if limits.cpu_quota_us.is_some() || limits.cpu_period_us.is_some() {
        let quota = match limits.cpu_quota_us {
            Some(quota) if quota > 0 => quota.to_string(),
            _ => "max".to_owned(),
        };
        // 100 milliseconds is the kernel's own default.
        writes.push(write("cpu", "cpu.max", format!("{quota} {}", limits.cpu_period_us.unwrap_or(100_000))));
    }
    if let Some(shares) = limits.cpu_shares {
        writes.push(write("cpu", "cpu.weight", weight(shares)));
    }
    if let Some(pids) = limits.pids {
        writes.push(write("pids", "pids.max", pids));
    }
    writes
}

/// Docker's rule where only memory is limited: as much swap again.
fn twice(bytes: u64) -> i64 {
    i64::try_from(bytes.saturating_mul(2)).unwrap_or(-1)
}

/// Shares from 2 to 262144 laid evenly over weights from 1 to 10000.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(writes: &[Write]) -> Vec<(&str, &str)> {
        writes.iter().map(|write| (write.file, write.value.as_str())).collect()
    }

    #[test]
    fn a_memory_limit_alone_allows_as_much_swap_again() {
        let limits = Limits { memory_bytes: Some(1 << 20), ..Limits::default() };
        assert_eq!(
            values(&writes_v1(&limits)),
            [("memory.limit_in_bytes", "1048576"), ("memory.memsw.limit_in_bytes", "2097152")]
        );
        assert_eq!(values(&writes_v2(&limits)), [("memory.swap.max", "1048576"), ("memory.max", "1048576")]);
    }

    #[test]
    fn swap_equal_to_memory_is_no_swap_and_minus_one_is_unlimited_swap() {
        let mut limits =
            Limits { memory_bytes: Some(4096), memory_swap_bytes: Some(4096), ..Limits::default() };
        assert_eq!(values(&writes_v2(&limits))[0], ("memory.swap.max", "0"));
        limits.memory_swap_bytes = Some(-1);
        assert_eq!(values(&writes_v2(&limits))[0], ("memory.swap.max", "max"));
        assert_eq!(values(&writes_v1(&limits))[1], ("memory.memsw.limit_in_bytes", "-1"));
    }

    #[test]
    fn shares_keep_their_ends_as_weights() {
        assert_eq!([weight(0), weight(2), weight(1024), weight(262_144)], [1, 1, 39, 10_000]);
    }

    #[test]
    fn a_quota_without_a_period_uses_the_kernels_period() {
        let limits = Limits { cpu_quota_us: Some(50_000), ..Limits::default() };
        assert_eq!(values(&writes_v2(&limits)), [("cpu.max", "50000 100000")]);
    }
}
