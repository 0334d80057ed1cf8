//! The steps that decide how the program runs rather than what it may do: on which processors, in which order, from which memory,
//! and under which label of the host's security modules.

use super::environment::{Child, During, Outcome, Problem};
use crate::setup::IoPriority;
use rustix::io::Errno;
use rustix::thread::CpuSet;
use sys::attributes::{IoClass, Scheduling};

/// Where the kernel takes the label of the next program.
const LABELS: [(&str, &str); 2] =
    [("apparmor", "/proc/thread-self/attr/apparmor/exec"), ("selinux", "/proc/thread-self/attr/exec")];

/// The processors while it is set up, before it is in its groups.
pub(super) fn first_processors(child: &mut Child<'_>) -> Outcome {
    run_on(child.process.cpu_affinity.initial.as_deref())
}

/// The processors from here on.
pub(super) fn last_processors(child: &mut Child<'_>) -> Outcome {
    run_on(child.process.cpu_affinity.last.as_deref())
}

fn run_on(list: Option<&str>) -> Outcome {
    let Some(list) = list else { return Ok(()) };
    let mut set = CpuSet::new();
    for number in numbers(list)? {
        if number >= CpuSet::MAX_CPU {
            return Err(Problem::new(format!("processor {number} is beyond the {} known", CpuSet::MAX_CPU)));
        }
        set.set(number);
    }
    rustix::thread::sched_setaffinity(None, &set).during(format_args!("run on the processors {list:?}"))
}

/// The numbers of a list such as `0-2,7`.
pub(super) fn numbers(list: &str) -> Result<Vec<usize>, Problem> {
    let wrong = || Problem::new(format!("{list:?} is no list of numbers such as 0-2,7"));
    let mut all = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bounds = (first.trim().parse::<u16>(), last.trim().parse::<u16>());
        let (Ok(first), Ok(last)) = bounds else { return Err(wrong()) };
        if first > last {
            return Err(wrong());
        }
        all.extend(usize::from(first)..=usize::from(last));
    }
    Ok(all)
}

/// The system that the program takes itself to be on.
pub(super) fn personality(child: &mut Child<'_>) -> Outcome {
    let Some(domain) = child.process.personality else { return Ok(()) };
    sys::attributes::set_personality(domain).during(format_args!("set the personality {domain:#x}"))
}

/// Its share of the processors and of the disks.
pub(super) fn scheduling(child: &mut Child<'_>) -> Outcome {
    if let Some(how) = &child.process.scheduler {
        let (runtime_ns, deadline_ns, period_ns) = how.deadline_ns;
        let scheduling = Scheduling {
            policy: how.policy,
            flags: how.flags,
            nice: how.nice,
            priority: how.priority,
            runtime_ns,
            deadline_ns,
            period_ns,
        };
        sys::attributes::set_scheduling(&scheduling).during("set the scheduler")?;
    }
    let Some(priority) = child.process.io_priority else { return Ok(()) };
    let (class, level) = match priority {
        IoPriority::RealTime(level) => (IoClass::RealTime, level),
        IoPriority::BestEffort(level) => (IoClass::BestEffort, level),
        IoPriority::Idle(level) => (IoClass::Idle, level),
    };
    sys::attributes::set_io_priority(class, level).during("set the priority of input and output")
}

/// Where its memory comes from.
pub(super) fn memory_policy(child: &mut Child<'_>) -> Outcome {
    let Some(policy) = &child.process.memory_policy else { return Ok(()) };
    let mut nodes = Vec::new();
    if !policy.nodes.trim().is_empty() {
        for number in numbers(&policy.nodes)? {
            let (word, bit) = (number / 64, number % 64);
            if nodes.len() <= word {
                nodes.resize(word + 1, 0u64);
            }
            nodes[word] |= 1 << bit;
        }
    }
    sys::attributes::set_memory_policy(policy.mode, &nodes)
        .during(format_args!("take memory from the nodes {:?}", policy.nodes))
}

/// Opens, while the host's `proc` is there, what takes the labels of its security modules: a path in the container's own `proc` could
/// be anything.
pub(super) fn open_labels(child: &mut Child<'_>) -> Outcome {
    let wanted = [&child.process.apparmor, &child.process.selinux];
    for ((module, path), label) in LABELS.iter().zip(wanted) {
        let Some(label) = label else { continue };
        let opened = match std::fs::OpenOptions::new().write(true).open(path) {
            // AppArmor's file of kernels before 5.8, which other modules share.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && *module == "apparmor" => {
                std::fs::OpenOptions::new().write(true).open("/proc/thread-self/attr/exec")
            }
            other => other,
        };
        let is_enabled = std::path::Path::new(match *module {
            "apparmor" => "/sys/kernel/security/apparmor",
            _ => "/sys/fs/selinux/enforce",
        })
        .exists();
        let file = match opened {
            Ok(file) if is_enabled => file,
            _ => {
                return Err(Problem::new(format!(
                    "{module} label {label:?} was asked for, but this kernel has {module} neither built in nor enabled: \
                     remove the label, or boot with it"
                )));
            }
        };
        let text = if *module == "apparmor" { format!("exec {label}") } else { label.clone() };
        child.found.labels.push((file.into(), text));
    }
    Ok(())
}

/// Sets the labels of the program that comes next.
pub(super) fn set_labels(child: &mut Child<'_>) -> Outcome {
    for (file, text) in &child.found.labels {
        match rustix::io::write(file, text.as_bytes()) {
            Err(Errno::NOENT) => return Err(Problem::new(format!("the label {text:?} is not loaded"))),
            other => drop(other.during(format_args!("set the label {text:?}"))?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers_are_read_as_the_kernel_writes_them() {
        assert_eq!(numbers("0-2,7").unwrap(), [0, 1, 2, 7]);
        assert_eq!(numbers(" 3\n").unwrap(), [3]);
        for wrong in ["", "a", "3-1", "1,,2", "99999"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
    }
}
