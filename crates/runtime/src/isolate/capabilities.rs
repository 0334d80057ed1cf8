//! The steps that take privileges away, capabilities(7), and load the filter.

use super::environment::{Child, During, Outcome, Problem};
use super::talk;
use rustix::fd::{AsFd, AsRawFd};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the thread looks for the listener, and the wait between two looks.
const LISTENER_LOOKS_MAX: u32 = 10_000;
const LISTENER_LOOK_EVERY: Duration = Duration::from_micros(200);

/// The capabilities by number, in the kernel's order.
pub(crate) const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Whether a name is that of a capability.
pub(crate) fn is_capability(name: &str) -> bool {
    set_of(&[name.to_owned()]).is_ok()
}

/// The set of these names; `CAP_` before a name may be left out.
fn set_of(names: &[String]) -> Result<CapabilitySet, Problem> {
    let mut set = CapabilitySet::empty();
    for name in names {
        let upper = name.to_ascii_uppercase();
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let Some(number) = NAMES.iter().position(|known| *known == short) else {
            return Err(Problem::new(format!("{name:?} is no capability")));
        };
        set |= CapabilitySet::from_bits_retain(1 << number);
    }
    Ok(set)
}

/// Drops from the bounding set what the program may never have, even by executing a file with capabilities.
pub(super) fn bound(child: &mut Child<'_>) -> Outcome {
    let kept = set_of(&child.process.capabilities.bounding)?;
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(one) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The kernel knows no capability of this number, and none above.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error).during(format_args!("drop capability {number}")),
        }
    }
    Ok(())
}

/// Keeps the capabilities that were asked for and that this process has: one that the host itself lacks cannot be given.
/// `SYS_ADMIN` stays permitted where the filter still needs it.
pub(super) fn keep(child: &mut Child<'_>) -> Outcome {
    let had = rustix::thread::capabilities(None).during("read the capabilities")?.permitted;
    let wanted = &child.process.capabilities;
    let permitted = set_of(&wanted.permitted)? & had;
    let for_filter =
        if needs_capability(child) { CapabilitySet::SYS_ADMIN & had } else { CapabilitySet::empty() };
    let sets = CapabilitySets {
        effective: set_of(&wanted.effective)? & permitted,
        permitted: permitted | for_filter,
        inheritable: set_of(&wanted.inheritable)? & had,
    };
    rustix::thread::set_capabilities(None, sets).during("set the capabilities")?;
    rustix::thread::clear_ambient_capability_set().during("clear the ambient capabilities")?;
    // The kernel keeps only those ambient that are permitted and inheritable.
    let ambient = set_of(&wanted.ambient)? & sets.permitted & sets.inheritable;
    for one in ambient.iter() {
        rustix::thread::configure_capability_in_ambient_set(one, true)
            .during("raise an ambient capability")?;
    }
    Ok(())
}

/// The kernel takes a filter from a process that can gain no privileges, or from one that may do everything.
fn needs_capability(child: &Child<'_>) -> bool {
    child.filter.is_some() && !child.process.no_new_privileges
}

/// From here on no program can give more than there is.
pub(super) fn no_new_privileges(child: &mut Child<'_>) -> Outcome {
    if child.process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).during("set no_new_privs")?;
    }
    Ok(())
}

/// Loads the filter. Where it leaves calls to somebody, the descriptor for that goes to the shim by a thread that is not
/// filtered: this one may no longer be allowed to send anything.
pub(super) fn filter(child: &mut Child<'_>) -> Outcome {
    let Some(filter) = child.filter else { return Ok(()) };
    if needs_capability(child) {
        let now = rustix::thread::capabilities(None).during("read the capabilities")?;
        let effective = now.effective | (CapabilitySet::SYS_ADMIN & now.permitted);
        rustix::thread::set_capabilities(None, CapabilitySets { effective, ..now })
            .during("set the capabilities")?;
    }
    let is_sent = if filter.asks() { Some(send_listener_later(child)?) } else { None };
    let listener =
        sys::filter::load_with(&filter.instructions, filter.flags).during("load the system call filter")?;
    // No call may be made here: it might be one that is asked about, before anybody has heard of the listener.
    if let Some(is_sent) = is_sent {
        while !is_sent.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
    }
    // It closes as the program is executed, with all that is not standard.
    std::mem::forget(listener);
    Ok(())
}

/// Starts a thread, to which the filter does not apply, that finds the listener under the number which the kernel gives
/// out next, passes it on, and says so. It ends with the execution of the program at the latest.
fn send_listener_later(child: &Child<'_>) -> Result<Arc<AtomicBool>, Problem> {
    let report = rustix::io::fcntl_dupfd_cloexec(child.report, 3).during("copy the report socket")?;
    let next = rustix::io::fcntl_dupfd_cloexec(child.report, 3).during("find a free descriptor")?;
    let number = next.as_raw_fd();
    drop(next);
    let is_sent = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_sent);
    let look = move || {
        for _ in 0..LISTENER_LOOKS_MAX {
            if let Ok(listener) = sys::process::duplicate_number(number) {
                let _ = talk::send_descriptor(report.as_fd(), talk::LISTENER, listener.as_fd());
                break;
            }
            std::thread::sleep(LISTENER_LOOK_EVERY);
        }
        told.store(true, Ordering::Release);
    };
    let started = std::thread::Builder::new().spawn(look);
    started.during("start the thread that passes the listener on")?;
    Ok(is_sent)
}

/// Drops the capability that only the filter needed. Nothing follows but the program.
pub(super) fn drop_last(child: &mut Child<'_>) -> Outcome {
    if !needs_capability(child) {
        return Ok(());
    }
    let kept = set_of(&child.process.capabilities.permitted)?;
    if kept.contains(CapabilitySet::SYS_ADMIN)
        && set_of(&child.process.capabilities.effective)?.contains(CapabilitySet::SYS_ADMIN)
    {
        return Ok(());
    }
    let now = rustix::thread::capabilities(None).during("read the capabilities")?;
    let effective = now.effective & set_of(&child.process.capabilities.effective)?;
    let sets = CapabilitySets { effective, permitted: now.permitted & kept, ..now };
    rustix::thread::set_capabilities(None, sets).during("set the capabilities")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_the_kernels_numbers() {
        let set = |name: &str| set_of(&[name.to_owned()]).unwrap();
        assert_eq!(set("CAP_CHOWN"), CapabilitySet::CHOWN);
        assert_eq!(set("sys_admin"), CapabilitySet::SYS_ADMIN);
        assert_eq!(set("CAP_CHECKPOINT_RESTORE"), CapabilitySet::CHECKPOINT_RESTORE);
        assert!(set_of(&["CAP_EVERYTHING".to_owned()]).is_err());
    }
}
