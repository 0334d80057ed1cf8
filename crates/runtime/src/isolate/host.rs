//! The steps that still see the host: parentage, control groups, namespaces, kernel settings.

use super::environment::{Child, During, Outcome, Problem};
use super::talk;
use crate::cgroup::Entrance;
use crate::setup::Namespace;
use crate::shim::IGNORED_SIGNALS;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal};
use rustix::thread::{Gid, LinkNameSpaceType, ThreadNameSpaceType, Uid};
use std::path::Path;
use sys::process::NewNamespaces;

/// The kernel kills this process when the shim dies. Set again once the user has changed, which clears it. Where no
/// shim stays, nobody's death is its own.
pub(super) fn die_with_shim(child: &mut Child<'_>) -> Outcome {
    if child.handover.is_some() {
        return Ok(());
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).during("set the death signal")?;
    // The shim may have died before: its end of the report socket is then closed. (Its process number says nothing
    // inside a pid namespace of its own.)
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut report = [PollFd::new(&child.report, PollFlags::empty())];
    poll(&mut report, Some(&now)).during("look for the shim")?;
    if report[0].revents().contains(PollFlags::HUP) {
        return Err(Problem::new("the shim has died"));
    }
    Ok(())
}

/// No process of a namespace that is shared may trace this one or open what it has open.
pub(super) fn hide(_: &mut Child<'_>) -> Outcome {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).during("become undumpable")
}

/// Neither what the shim ignores nor what it blocks is inherited; the mask for new files is as in any container.
pub(super) fn default_signals(_: &mut Child<'_>) -> Outcome {
    sys::process::reset_signals(&IGNORED_SIGNALS);
    rustix::process::umask(rustix::fs::Mode::empty());
    Ok(())
}

/// v1: this thread moves itself, which needs no lock that is shared. In v2 it was born there.
pub(super) fn join_own_cgroups(child: &mut Child<'_>) -> Outcome {
    join_cgroups(child.entrance)
}

/// The same, for a process that is to make the child.
pub(crate) fn join_cgroups(entrance: &Entrance) -> Outcome {
    for (path, tasks) in &entrance.tasks {
        rustix::io::write(tasks, b"0").during(format_args!("write 0 to {}", path.display()))?;
    }
    Ok(())
}

/// Joins the namespaces that exist already. A new cgroup namespace takes the groups that this process is in as its
/// root, which is why it is not made by the clone.
pub(super) fn join_namespaces(child: &mut Child<'_>) -> Outcome {
    for (descriptor, kind) in child.join {
        join(descriptor.as_fd(), *kind)?;
    }
    let own = child.setup.is_some_and(|setup| setup.namespaces.cgroup == Namespace::New);
    if own {
        sys::process::unshare(NewNamespaces::CGROUP).during("make a cgroup namespace")?;
    }
    Ok(())
}

/// Joins one namespace.
pub(crate) fn join(descriptor: BorrowedFd<'_>, kind: NewNamespaces) -> Outcome {
    let (kind, name) = match kind {
        NewNamespaces::NETWORK => (LinkNameSpaceType::Network, "network"),
        NewNamespaces::IPC => (LinkNameSpaceType::InterProcessCommunication, "ipc"),
        NewNamespaces::UTS => (LinkNameSpaceType::HostNameAndNISDomainName, "uts"),
        NewNamespaces::CGROUP => (LinkNameSpaceType::ControlGroup, "cgroup"),
        NewNamespaces::MOUNT => (LinkNameSpaceType::Mount, "mount"),
        NewNamespaces::USER => (LinkNameSpaceType::User, "user"),
        NewNamespaces::TIME => (LinkNameSpaceType::Time, "time"),
        // The shim joined it before the clone: it holds children only.
        _ => return Ok(()),
    };
    rustix::thread::move_into_link_name_space(descriptor, Some(kind))
        .during(format_args!("join the {name} namespace"))
}

/// In a user namespace: asks for what only the host may do (its mapping, first of all), then takes the place of its root.
pub(super) fn take_privileges(child: &mut Child<'_>) -> Outcome {
    if !child.has_user_namespace() {
        return Ok(());
    }
    child.ask(talk::PRIVILEGES)?;
    become_root_inside()
}

/// Becomes the root of the user namespace that this process has come into.
pub(crate) fn become_root_inside() -> Outcome {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    match rustix::thread::set_thread_groups(&[]) {
        // A namespace that was set up by an ordinary user may forbid it.
        Ok(()) | Err(Errno::PERM) => {}
        Err(error) => return Err(error).during("leave the caller's groups"),
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid).during("become group 0 of the user namespace")?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).during("become user 0 of the user namespace")?;
    // A change of user makes the process one that others may trace.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).during("become undumpable")
}

/// Joins every namespace of the container that differs, and with its mounts its root. The shim joined its pid namespace
/// already.
pub(super) fn enter(child: &mut Child<'_>) -> Outcome {
    let Some(container) = child.container else { return Err(Problem::new("no container to enter")) };
    rustix::thread::move_into_thread_name_spaces(container.process.as_fd(), container.namespaces)
        .during("join the container's namespaces")?;
    if let Some(root) = &container.root {
        rustix::process::fchdir(root).during("enter the container's root")?;
        rustix::process::chroot(c".").during("chroot")?;
    }
    if container.namespaces.contains(ThreadNameSpaceType::USER) {
        become_root_inside()?;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(c"/", flags, Mode::empty());
    child.found.root = Some(root.during("open the container's root")?);
    Ok(())
}

/// A session and a keyring of its own.
pub(super) fn session(child: &mut Child<'_>) -> Outcome {
    rustix::process::setsid().during("make a session")?;
    if child.process.keeps_keyring {
        return Ok(());
    }
    // A kernel without keyrings, or a user at the limit of its keys, has nothing to hide from this process but the
    // caller's own session keyring, which the daemon does not use.
    let _ = sys::process::join_session_keyring(&child.keyring);
    Ok(())
}

/// The names, in a UTS namespace that is the container's.
pub(super) fn host_name(child: &mut Child<'_>) -> Outcome {
    let Some(setup) = child.setup else { return Ok(()) };
    if setup.namespaces.uts == Namespace::Host {
        return Ok(());
    }
    if let Some(name) = &setup.hostname {
        rustix::system::sethostname(name.as_bytes()).during(format_args!("set the host name {name:?}"))?;
    }
    if let Some(name) = &setup.domainname {
        rustix::system::setdomainname(name.as_bytes())
            .during(format_args!("set the domain name {name:?}"))?;
    }
    Ok(())
}

/// A network namespace is born with its loopback link down.
pub(super) fn loopback(child: &mut Child<'_>) -> Outcome {
    if child.setup.is_some_and(|setup| setup.namespaces.network == Namespace::New) {
        sys::link::bring_loopback_up().during("bring up the loopback link")?;
    }
    Ok(())
}

/// Through the host's `proc`, which nobody in the container can have replaced. In a user namespace the shim has done it.
pub(super) fn out_of_memory_score(child: &mut Child<'_>) -> Outcome {
    let Some(score) = child.process.oom_score_adj.filter(|_| !child.has_user_namespace()) else {
        return Ok(());
    };
    std::fs::write("/proc/self/oom_score_adj", score.to_string())
        .during(format_args!("set the out-of-memory score {score}"))
}

/// Settings belong to the namespaces of the process that writes them.
pub(super) fn kernel_settings(child: &mut Child<'_>) -> Outcome {
    let Some(setup) = child.setup else { return Ok(()) };
    for (name, value) in &setup.sysctls {
        // A dot in a link's name is written as a slash, sysctl(8).
        let path: String = name
            .chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect();
        if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(Problem::new(format!("{name:?} is no kernel setting")));
        }
        std::fs::write(Path::new("/proc/sys").join(path), value)
            .during(format_args!("set {name} to {value:?}"))?;
    }
    Ok(())
}
