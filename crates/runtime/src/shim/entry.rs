//! Where a child goes: its control groups, its namespaces, and, for one more process, its container.

use super::launch::{Inherited, failure};
use super::wire::Failure;
use super::{Order, Task};
use crate::isolate::{self, Container, Node};
use crate::setup::{Namespace, Setup, TimeNamespace, UserNamespace};
use base::Chain;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};
use sys::process::NewNamespaces;

/// A container's groups are made here, with the host's devices that its limits name.
pub(super) fn make_group(order: &Order) -> Result<Vec<Node>, Failure> {
    let Task::Run(setup) = &order.task else { return Ok(Vec::new()) };
    let nodes = isolate::host_nodes(setup).map_err(|problem| problem.at("devices"))?;
    let mut resources = setup.cgroup.resources.clone();
    if resources.devices.is_empty() {
        resources.devices = isolate::rules(setup, &nodes);
    }
    order
        .group
        .create(&resources)
        .map_err(|error| failure("make the control groups", Chain(&error).to_string()))?;
    Ok(nodes)
}

/// For one more process: the container's first one, if it is still that.
pub(super) fn container_of(order: &Order) -> Result<Option<Container>, Failure> {
    let Task::Exec(setup) = &order.task else { return Ok(None) };
    let gone = || failure("find the container", "the container is not running");
    let number = setup.container.pid;
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
    let mut namespaces = ThreadNameSpaceType::empty();
    for (name, kind) in [
        ("user", ThreadNameSpaceType::USER),
        ("mnt", ThreadNameSpaceType::MOUNT),
        ("net", ThreadNameSpaceType::NETWORK),
        ("ipc", ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION),
        ("uts", ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME),
        ("cgroup", ThreadNameSpaceType::CONTROL_GROUP),
        ("time", ThreadNameSpaceType::TIME),
    ] {
        let of = |process: &str| rustix::fs::stat(format!("/proc/{process}/ns/{name}"));
        match (of("self"), of(&number.to_string())) {
            (Ok(own), Ok(theirs)) if own.st_ino == theirs.st_ino => {}
            (Ok(_), Ok(_)) => namespaces |= kind,
            (Ok(_), Err(_)) => return Err(gone()),
            // A kernel without this kind.
            (Err(_), _) => {}
        }
    }
    let root = if namespaces.contains(ThreadNameSpaceType::MOUNT) {
        None
    } else {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(format!("/proc/{number}/root"), flags, Mode::empty());
        Some(root.map_err(|_| gone())?)
    };
    // The number may have come to mean another process between the first look and the last, but not back again.
    if super::clone::start_ticks(number).ok() != Some(setup.container.start_ticks) {
        return Err(gone());
    }
    rustix::thread::move_into_thread_name_spaces(process.as_fd(), ThreadNameSpaceType::PROCESS_ID)
        .map_err(|_| gone())?;
    Ok(Some(Container { process, namespaces, root }))
}

/// Where a child's namespaces come from.
#[derive(Default)]
pub(super) struct Namespaces {
    /// Made by the clone.
    pub(super) new: NewNamespaces,
    /// Joined by the child, or by the process that clones it.
    pub(super) join: Vec<(OwnedFd, NewNamespaces)>,
    /// The user namespace, where it exists already: joined last, since it takes the rights to join the others.
    pub(super) user: Option<OwnedFd>,
}

/// Opens what exists, and makes the clocks, which only children come to be in.
pub(super) fn namespaces(order: &Order, inherited: &mut Inherited) -> Result<Namespaces, Failure> {
    let Some(setup) = order.task.setup() else { return Ok(Namespaces::default()) };
    let mut all = Namespaces::default();
    for (namespace, kind, name) in kinds(setup) {
        match namespace {
            Namespace::Host => {}
            // Made by the child once it is in its groups.
            Namespace::New if kind == NewNamespaces::CGROUP => {}
            Namespace::New => all.new = all.new.and(kind),
            existing => {
                let descriptor = open(existing, name, inherited)?;
                if kind == NewNamespaces::PID {
                    // It holds children only, and this process has one.
                    let kind = Some(LinkNameSpaceType::ProcessID);
                    rustix::thread::move_into_link_name_space(descriptor.as_fd(), kind)
                        .map_err(|error| failure("namespaces", format!("join the pid namespace: {error}")))?;
                }
                all.join.push((descriptor, kind));
            }
        }
    }
    match &setup.namespaces.user {
        UserNamespace::Host => {}
        UserNamespace::New { .. } => all.new = all.new.and(NewNamespaces::USER),
        UserNamespace::Existing(existing) => all.user = Some(open(existing, "user", inherited)?),
    }
    match &setup.namespaces.time {
        TimeNamespace::Host => {}
        TimeNamespace::New(offsets) => make_clocks(offsets)?,
        TimeNamespace::Existing(existing) => {
            all.join.push((open(existing, "time", inherited)?, NewNamespaces::TIME));
        }
    }
    Ok(all)
}

fn open(namespace: &Namespace, name: &str, inherited: &mut Inherited) -> Result<OwnedFd, Failure> {
    match namespace {
        Namespace::Descriptor(number) => inherited
            .remove(number)
            .ok_or_else(|| failure("namespaces", format!("no descriptor {number} for the {name} namespace"))),
        Namespace::Path(path) => rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| {
                failure("namespaces", format!("open the {name} namespace {}: {error}", path.display()))
            }),
        Namespace::New | Namespace::Host => {
            Err(failure("namespaces", format!("the {name} namespace is to be an existing one")))
        }
    }
}

fn kinds(setup: &Setup) -> [(&Namespace, NewNamespaces, &'static str); 6] {
    let all = &setup.namespaces;
    [
        (&all.mount, NewNamespaces::MOUNT, "mount"),
        (&all.pid, NewNamespaces::PID, "pid"),
        (&all.network, NewNamespaces::NETWORK, "network"),
        (&all.ipc, NewNamespaces::IPC, "ipc"),
        (&all.uts, NewNamespaces::UTS, "uts"),
        (&all.cgroup, NewNamespaces::CGROUP, "cgroup"),
    ]
}

/// A namespace of clocks for the children of this process, with its offsets written before the first one is in it.
fn make_clocks(offsets: &[(String, i64, u32)]) -> Result<(), Failure> {
    sys::process::unshare(NewNamespaces::TIME)
        .map_err(|error| failure("namespaces", format!("make a time namespace: {error}")))?;
    for (clock, seconds, nanoseconds) in offsets {
        let line = format!("{clock} {seconds} {nanoseconds}\n");
        std::fs::write("/proc/self/timens_offsets", &line)
            .map_err(|error| failure("namespaces", format!("set the clock ahead by {line:?}: {error}")))?;
    }
    Ok(())
}
