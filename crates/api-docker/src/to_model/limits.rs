//! Limits and the restart policy.

use crate::wire::{self, HostConfig};
use model::container::{Resources, RestartPolicy};
use platform::Error;

/// The limits; what is zero or empty was not given.
pub(crate) fn resources(host: &HostConfig) -> Resources {
    let given = |amount: i64| u64::try_from(amount).ok().filter(|amount| *amount != 0);
    let text = |list: &String| Some(list.clone()).filter(|list| !list.is_empty());
    Resources {
        memory_bytes: given(host.memory),
        memory_swap_bytes: Some(host.memory_swap).filter(|bytes| *bytes != 0),
        memory_reservation_bytes: given(host.memory_reservation),
        oom_kill_disable: host.oom_kill_disable.unwrap_or(false),
        nano_cpus: given(host.nano_cpus),
        cpu_quota_us: Some(host.cpu_quota).filter(|quota| *quota != 0),
        cpu_period_us: given(host.cpu_period),
        cpu_shares: given(host.cpu_shares),
        cpuset_cpus: text(&host.cpuset_cpus),
        cpuset_mems: text(&host.cpuset_mems),
        pids: host.pids_limit.and_then(given),
    }
}

/// The restart policy.
pub(crate) fn restart_policy(policy: &wire::RestartPolicy) -> Result<RestartPolicy, Error> {
    let count = policy.maximum_retry_count;
    let kind = match policy.name.as_str() {
        "" | "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => {
            if count < 0 {
                return Err(Error::invalid("invalid restart policy: maximum retry count cannot be negative"));
            }
            return Ok(RestartPolicy::OnFailure { max_retries: u32::try_from(count).unwrap_or(u32::MAX) });
        }
        name => {
            return Err(Error::invalid(format!(
                "invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or \
                 'unless-stopped'"
            )));
        }
    };
    match count {
        0 => Ok(kind),
        ..0 => Err(Error::invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative",
        )),
        _ => Err(Error::invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        )),
    }
}

/// Names of resource limits, getrlimit(2).
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Resource limits of the processes: name, soft, hard.
pub(super) fn ulimits(host: &HostConfig) -> Result<Vec<(String, u64, u64)>, Error> {
    let convert = |limit: &wire::Ulimit| {
        let wire::Ulimit { name, hard, soft } = limit;
        if !ULIMITS.contains(&name.as_str()) {
            return Err(Error::invalid(format!("invalid ulimit type: {name}")));
        }
        let unlimited = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
        if unlimited(*soft) > unlimited(*hard) {
            return Err(Error::invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )));
        }
        Ok((name.clone(), unlimited(*soft), unlimited(*hard)))
    };
    host.ulimits.iter().map(convert).collect()
}
