//! The steps that still see the host: parentage, control groups, namespaces, kernel settings.

use super::environment::{Child, During, Outcome, Problem};
use crate::setup::Namespace;
use crate::shim::IGNORED_SIGNALS;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, Signal};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};
use std::path::Path;
use sys::process::NewNamespaces;

/// The kernel kills this process when the shim dies. Set again once the user has changed, which clears it.
pub(super) fn die_with_shim(child: &mut Child<'_>) -> Outcome {
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
pub(super) fn join_cgroups(child: &mut Child<'_>) -> Outcome {
    for (path, tasks) in &child.entrance.tasks {
        rustix::io::write(tasks, b"0").during(format_args!("write 0 to {}", path.display()))?;
    }
    Ok(())
}

/// Joins the namespaces that exist already. A new cgroup namespace takes the groups that this process is in as its
/// root, which is why it is not made by the clone.
pub(super) fn join_namespaces(child: &mut Child<'_>) -> Outcome {
    for (descriptor, kind) in child.join {
        let kind = match *kind {
            NewNamespaces::NETWORK => LinkNameSpaceType::Network,
            NewNamespaces::IPC => LinkNameSpaceType::InterProcessCommunication,
            NewNamespaces::UTS => LinkNameSpaceType::HostNameAndNISDomainName,
            NewNamespaces::CGROUP => LinkNameSpaceType::ControlGroup,
            // The shim joined it before the clone: it holds children only.
            _ => continue,
        };
        rustix::thread::move_into_link_name_space(rustix::fd::AsFd::as_fd(descriptor), Some(kind))
            .during(format_args!("join the {kind:?} namespace"))?;
    }
    let own = child.setup.is_some_and(|setup| setup.namespaces.cgroup == Namespace::New);
    if own {
        sys::process::unshare(NewNamespaces::CGROUP).during("make a cgroup namespace")?;
    }
    Ok(())
}

/// Joins every namespace of the container, and with its mounts its root. The shim joined its pid namespace already.
pub(super) fn enter(child: &mut Child<'_>) -> Outcome {
    let Some(container) = child.container else { return Err(Problem::new("no container to enter")) };
    let all = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::CONTROL_GROUP;
    rustix::thread::move_into_thread_name_spaces(container, all).during("join the container's namespaces")?;
    let root = rustix::fs::open(
        c"/",
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    child.root = Some(root.during("open the container's root")?);
    Ok(())
}

/// A session and a keyring of its own.
pub(super) fn session(child: &mut Child<'_>) -> Outcome {
    rustix::process::setsid().during("make a session")?;
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

/// Through the host's `proc`, which nobody in the container can have replaced.
pub(super) fn out_of_memory_score(child: &mut Child<'_>) -> Outcome {
    let Some(score) = child.process.oom_score_adj else { return Ok(()) };
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
