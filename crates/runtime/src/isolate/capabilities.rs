//! The steps that take privileges away, capabilities(7), and load the filter.

use super::environment::{Child, During, Outcome, Problem};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// The capabilities by number, in the kernel's order.
const NAMES: [&str; 41] = [
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
    let kept = set_of(&child.process.capabilities)?;
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
/// Inheritable and ambient stay empty. `SYS_ADMIN` stays permitted where the filter still needs it.
pub(super) fn keep(child: &mut Child<'_>) -> Outcome {
    let had = rustix::thread::capabilities(None).during("read the capabilities")?.permitted;
    let kept = set_of(&child.process.capabilities)? & had;
    let for_filter =
        if needs_capability(child) { CapabilitySet::SYS_ADMIN & had } else { CapabilitySet::empty() };
    set(kept, kept | for_filter)?;
    rustix::thread::clear_ambient_capability_set().during("clear the ambient capabilities")
}

/// The kernel takes a filter from a process that can gain no privileges, or from one that may do everything.
fn needs_capability(child: &Child<'_>) -> bool {
    child.filter.is_some() && !child.process.no_new_privileges
}

fn set(effective: CapabilitySet, permitted: CapabilitySet) -> Outcome {
    let sets = CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).during("set the capabilities")
}

/// From here on no executed file gives privileges.
pub(super) fn no_new_privileges(child: &mut Child<'_>) -> Outcome {
    if child.process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).during("set no_new_privs")?;
    }
    Ok(())
}

/// Loads the filter.
pub(super) fn filter(child: &mut Child<'_>) -> Outcome {
    let Some(filter) = child.filter else { return Ok(()) };
    if needs_capability(child) {
        let now = rustix::thread::capabilities(None).during("read the capabilities")?;
        set(now.effective | (CapabilitySet::SYS_ADMIN & now.permitted), now.permitted)?;
    }
    sys::filter::load(filter).during("load the system call filter")
}

/// Drops the capability that only the filter needed. Nothing follows but the program.
pub(super) fn drop_last(child: &mut Child<'_>) -> Outcome {
    if !needs_capability(child) {
        return Ok(());
    }
    let kept = set_of(&child.process.capabilities)?;
    if kept.contains(CapabilitySet::SYS_ADMIN) {
        return Ok(());
    }
    let now = rustix::thread::capabilities(None).during("read the capabilities")?;
    set(now.effective - CapabilitySet::SYS_ADMIN, now.permitted - CapabilitySet::SYS_ADMIN)
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
