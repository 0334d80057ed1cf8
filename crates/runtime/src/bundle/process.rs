//! From a configuration's process to what the shim is told: pure, like [`convert`](super::convert).

use super::Error;
use super::config::{self, Config};
use super::names::{self, number};
use crate::setup::{Capabilities, CpuAffinity, IoPriority, MemoryPolicy, Process, Scheduler, Seccomp};

/// What runs, first or added. `field` is where it stands.
///
/// # Errors
/// [`Error::Invalid`] with the field's name.
pub fn process(from: &config::Process, config: &Config, field: &str) -> Result<Process, Error> {
    if from.args.is_empty() {
        return Err(Error::invalid(format!("{field}.args"), "there is nothing to run"));
    }
    if !from.cwd.is_absolute() {
        let why = format!("{:?} must be an absolute path", from.cwd);
        return Err(Error::invalid(format!("{field}.cwd"), why));
    }
    let named = |label: &Option<String>| label.clone().filter(|label| !label.is_empty());
    let sets = from.capabilities.clone().unwrap_or_default();
    let linux = &config.linux;
    let personality = linux.personality.as_ref();
    if let Some(flag) = personality.and_then(|one| one.flags.first()) {
        let why = format!("the specification knows no flags, and here is {flag:?}");
        return Err(Error::invalid("linux.personality.flags", why));
    }
    Ok(Process {
        args: from.args.clone(),
        env: last_of_each(&from.env),
        cwd: from.cwd.clone(),
        user: format!("{}:{}", from.user.uid, from.user.gid),
        groups: from.user.additional_gids.iter().map(u32::to_string).collect(),
        umask: from.user.umask,
        terminal: from.terminal,
        size: from.console_size.as_ref().map(|size| (size.height, size.width)),
        capabilities: Capabilities {
            bounding: known_capabilities(sets.bounding),
            effective: known_capabilities(sets.effective),
            permitted: known_capabilities(sets.permitted),
            inheritable: known_capabilities(sets.inheritable),
            ambient: known_capabilities(sets.ambient),
        },
        no_new_privileges: from.no_new_privileges,
        seccomp: match &linux.seccomp {
            None => Seccomp::Unconfined,
            Some(profile) => Seccomp::Profile(profile.to_string()),
        },
        rlimits: rlimits(&from.rlimits, field)?,
        oom_score_adj: from.oom_score_adj,
        apparmor: named(&from.apparmor_profile),
        selinux: named(&from.selinux_label),
        scheduler: from.scheduler.as_ref().map(scheduler).transpose()?,
        io_priority: from.io_priority.as_ref().map(io_priority).transpose()?,
        cpu_affinity: match &from.exec_cpu_affinity {
            None => CpuAffinity::default(),
            Some(affinity) => CpuAffinity { initial: named(&affinity.initial), last: named(&affinity.last) },
        },
        memory_policy: linux.memory_policy.as_ref().map(memory_policy).transpose()?,
        personality: personality
            .map(|one| number(names::PERSONALITIES, "linux.personality.domain", &one.domain))
            .transpose()?,
        keeps_keyring: false,
    })
}

/// Of two values for one variable the later counts, whoever reads them.
fn last_of_each(env: &[String]) -> Vec<String> {
    let name =
        |entry: &String| entry.split_once('=').map_or_else(|| entry.clone(), |(name, _)| name.to_owned());
    let mut all: Vec<String> = Vec::with_capacity(env.len());
    for entry in env {
        match all.iter_mut().find(|earlier| name(earlier) == name(entry)) {
            Some(earlier) => earlier.clone_from(entry),
            None => all.push(entry.clone()),
        }
    }
    all
}

/// The names in a process's sets that are no capability of any kernel, once each.
pub fn unknown_capabilities(process: Option<&config::Process>) -> Vec<String> {
    let sets = process.and_then(|process| process.capabilities.clone()).unwrap_or_default();
    let all = [sets.bounding, sets.effective, sets.permitted, sets.inheritable, sets.ambient].concat();
    let mut unknown: Vec<String> =
        all.into_iter().filter(|name| !crate::isolate::is_capability(name)).collect();
    unknown.sort();
    unknown.dedup();
    unknown
}

/// Names that are no capability of any kernel are passed over, as runc does: a newer engine may know more than this runtime.
fn known_capabilities(names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| crate::isolate::is_capability(name)).collect()
}

fn rlimits(from: &[config::Rlimit], field: &str) -> Result<Vec<(String, u64, u64)>, Error> {
    let mut all: Vec<(String, u64, u64)> = Vec::new();
    for limit in from {
        let wrong = |why: String| Error::invalid(format!("{field}.rlimits"), why);
        if !crate::isolate::is_resource_limit(&limit.kind) {
            return Err(wrong(format!("{:?} is no resource limit", limit.kind)));
        }
        if all.iter().any(|(kind, ..)| *kind == limit.kind) {
            return Err(wrong(format!("{:?} stands there twice", limit.kind)));
        }
        if limit.soft > limit.hard {
            return Err(wrong(format!("{}: the soft limit is above the hard one", limit.kind)));
        }
        all.push((limit.kind.clone(), limit.soft, limit.hard));
    }
    Ok(all)
}

fn scheduler(from: &config::Scheduler) -> Result<Scheduler, Error> {
    let mut flags = 0;
    for flag in &from.flags {
        flags |= number(names::SCHEDULE_FLAGS, "process.scheduler.flags", flag)?;
    }
    Ok(Scheduler {
        policy: number(names::POLICIES, "process.scheduler.policy", &from.policy)?,
        flags,
        nice: from.nice,
        priority: from.priority.unsigned_abs(),
        deadline_ns: (from.runtime, from.deadline, from.period),
    })
}

fn io_priority(from: &config::IoPriority) -> Result<IoPriority, Error> {
    let level = u8::try_from(from.priority).ok().filter(|level| *level < 8).ok_or_else(|| {
        let why = format!("{} is not from 0 to 7", from.priority);
        Error::invalid("process.ioPriority.priority", why)
    })?;
    match from.class.as_str() {
        "IOPRIO_CLASS_RT" => Ok(IoPriority::RealTime(level)),
        "IOPRIO_CLASS_BE" => Ok(IoPriority::BestEffort(level)),
        "IOPRIO_CLASS_IDLE" => Ok(IoPriority::Idle(level)),
        other => {
            let why = format!("{other:?} is none of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE");
            Err(Error::invalid("process.ioPriority.class", why))
        }
    }
}

fn memory_policy(from: &config::MemoryPolicy) -> Result<MemoryPolicy, Error> {
    let mut mode = number(names::MEMORY_MODES, "linux.memoryPolicy.mode", &from.mode)?;
    for flag in &from.flags {
        mode |= number(names::MEMORY_FLAGS, "linux.memoryPolicy.flags", flag)?;
    }
    Ok(MemoryPolicy { mode, nodes: from.nodes.clone() })
}
