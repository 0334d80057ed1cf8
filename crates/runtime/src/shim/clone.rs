//! Makes the child: its groups, its streams, its namespaces; then waits until it has become its program or failed.

use super::launch::{Inherited, failure};
use super::wire::Failure;
use super::{Order, Task};
use crate::isolate::{self, Child, Identity, Node, Streams3};
use crate::setup::{Namespace, Namespaces};
use base::Chain;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use std::ffi::CString;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use sys::filter::Instruction;
use sys::process::NewNamespaces;

/// The longest failure that a child can tell, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// A child that has become its program.
pub(super) struct Running {
    /// The child.
    pub(super) child: OwnedFd,
    /// Its number.
    pub(super) pid: u32,
    /// The clock ticks from boot to its start.
    pub(super) start_ticks: u64,
    /// The shim's ends of its streams.
    pub(super) ends: Ends,
}

/// The shim's ends of a child's standard streams, all non-blocking.
#[derive(Default)]
pub(super) struct Ends {
    /// Where input goes: a pipe; none where input is closed or there is a terminal.
    pub(super) stdin: Option<OwnedFd>,
    /// Where output comes from.
    pub(super) stdout: Option<OwnedFd>,
    /// Where errors come from.
    pub(super) stderr: Option<OwnedFd>,
    /// All three, with a terminal.
    pub(super) terminal: Option<OwnedFd>,
}

/// Makes the child and waits until it runs its program.
pub(super) fn clone(
    order: &Order,
    filter: Option<&[Instruction]>,
    inherited: &mut Inherited,
) -> Result<Running, Failure> {
    let nodes = make_group(order)?;
    let container = container_of(order)?;
    let entrance = order
        .group
        .entrance()
        .map_err(|error| failure("open the control groups", Chain(&error).to_string()))?;
    let (new, join) = namespaces(order, inherited)?;
    let own_program =
        own_program(order).map_err(|error| failure("open the small init", error.to_string()))?;
    let (mut ends, streams) = streams(order).map_err(|error| failure("make pipes", error.to_string()))?;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|error| failure("make the report socket", error.to_string()))?;
    let mut ours = Some(ours);
    let setup = if let Task::Run(setup) = &order.task { Some(&**setup) } else { None };
    let cloned = sys::process::clone_process(new, entrance.unified.as_ref().map(AsFd::as_fd), || {
        // While this process has a copy of the shim's end, the shim's death would not be seen on the other one.
        ours = None;
        let table = if setup.is_some() { isolate::CONTAINER } else { isolate::ENTER };
        let mut child = Child {
            setup,
            process: order.task.process(),
            container: container.as_ref().map(AsFd::as_fd),
            keyring: CString::new(format!("_ses.{}", order.task.id())).unwrap_or_default(),
            entrance: &entrance,
            report: theirs.as_fd(),
            streams: streams.as_ref().map(Streams3::borrow),
            join: &join,
            nodes: &nodes,
            filter,
            own_program: own_program.as_ref().map(AsFd::as_fd),
            sources: Vec::new(),
            root: None,
            null: None,
            pts: None,
            dev: None,
            identity: Identity::default(),
            entered: false,
            program: CString::default(),
        };
        tell_failure(theirs.as_fd(), &isolate::run(table, &mut child))
    });
    let cloned = cloned.map_err(|error| failure("clone", error.to_string()))?;
    drop((theirs, streams, entrance, join));
    let ours = ours.ok_or_else(|| failure("clone", "the report socket is gone"))?;
    match listen_to_child(ours.as_fd(), &mut ends) {
        Ok(()) => {}
        Err(failure) => {
            reap(cloned.pidfd.as_fd());
            return Err(failure);
        }
    }
    let pid = cloned.pid.as_raw_nonzero().get().unsigned_abs();
    let start_ticks = start_ticks(pid).map_err(|error| failure("look at the child", error.to_string()))?;
    Ok(Running { child: cloned.pidfd, pid, start_ticks, ends })
}

/// In the child: the failure goes to the shim, and the child ends.
fn tell_failure(report: BorrowedFd<'_>, failure: &Failure) -> i32 {
    if let Ok(bytes) = serde_json::to_vec(failure) {
        let length = bytes.len().min(MESSAGE_BYTES_MAX);
        // Nobody else can be told.
        let _ = rustix::net::send(report, &bytes[..length], rustix::net::SendFlags::NOSIGNAL);
    }
    1
}

/// Waits for the end of the socket, which closes as the child executes its program.
fn listen_to_child(socket: BorrowedFd<'_>, ends: &mut Ends) -> Result<(), Failure> {
    let mut ready = false;
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        );
        let length = match received {
            Ok(message) => message.bytes,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(failure("listen to the child", error.to_string())),
        };
        match &bytes[..length] {
            [] if ready => return Ok(()),
            [] => return Err(failure("start", "the child ended before it was set up")),
            isolate::READY => ready = true,
            isolate::TERMINAL => {
                let master = ancillary.drain().find_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                    _ => None,
                });
                let Some(master) = master else { return Err(failure("terminal", "none was passed")) };
                rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)
                    .map_err(|error| failure("terminal", error.to_string()))?;
                ends.terminal = Some(master);
            }
            other => {
                return Err(serde_json::from_slice(other)
                    .unwrap_or_else(|_| failure("listen to the child", "it cannot be understood")));
            }
        }
    }
}

fn reap(child: BorrowedFd<'_>) {
    // The child has ended or is ending; what it says was read before.
    while matches!(rustix::process::waitid(WaitId::PidFd(child), WaitIdOptions::EXITED), Err(Errno::INTR)) {}
}

/// A container's groups are made here, with the host's devices that its limits name.
fn make_group(order: &Order) -> Result<Vec<Node>, Failure> {
    let Task::Run(setup) = &order.task else { return Ok(Vec::new()) };
    let nodes = isolate::host_nodes(setup).map_err(|problem| problem.at("devices"))?;
    let rules = isolate::rules(setup, &nodes);
    order
        .group
        .create(&setup.cgroup.limits, &rules)
        .map_err(|error| failure("make the control groups", Chain(&error).to_string()))?;
    Ok(nodes)
}

/// For one more process: the container's first one, if it is still that.
fn container_of(order: &Order) -> Result<Option<OwnedFd>, Failure> {
    let Task::Exec(setup) = &order.task else { return Ok(None) };
    let gone = || failure("find the container", "the container is not running");
    let pid = i32::try_from(setup.container.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let container = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
    // The number may have come to mean another process between the look and the open, but not back again.
    if start_ticks(setup.container.pid).ok() != Some(setup.container.start_ticks) {
        return Err(gone());
    }
    rustix::thread::move_into_thread_name_spaces(
        container.as_fd(),
        rustix::thread::ThreadNameSpaceType::PROCESS_ID,
    )
    .map_err(|_| gone())?;
    Ok(Some(container))
}

/// Namespaces that are made by the clone, and those that the child joins.
type Split = (NewNamespaces, Vec<(OwnedFd, NewNamespaces)>);

fn namespaces(order: &Order, inherited: &mut Inherited) -> Result<Split, Failure> {
    let Task::Run(setup) = &order.task else { return Ok((NewNamespaces::NONE, Vec::new())) };
    let mut new = NewNamespaces::MOUNT;
    let mut join = Vec::new();
    for (namespace, kind, name) in kinds(&setup.namespaces) {
        let descriptor = match namespace {
            Namespace::Host => continue,
            Namespace::New => {
                // Made by the child once it is in its groups.
                if kind != NewNamespaces::CGROUP {
                    new = new.and(kind);
                }
                continue;
            }
            Namespace::Descriptor(number) => inherited.remove(number).ok_or_else(|| {
                failure("namespaces", format!("no descriptor {number} for the {name} namespace"))
            })?,
            Namespace::Path(path) => rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|error| failure("namespaces", format!("open {}: {error}", path.display())))?,
        };
        if kind == NewNamespaces::PID {
            // It holds children only, and this process has one.
            let kind = Some(rustix::thread::LinkNameSpaceType::ProcessID);
            rustix::thread::move_into_link_name_space(descriptor.as_fd(), kind)
                .map_err(|error| failure("namespaces", format!("join the pid namespace: {error}")))?;
        }
        join.push((descriptor, kind));
    }
    Ok((new, join))
}

fn kinds(all: &Namespaces) -> [(&Namespace, NewNamespaces, &'static str); 5] {
    [
        (&all.pid, NewNamespaces::PID, "pid"),
        (&all.network, NewNamespaces::NETWORK, "network"),
        (&all.ipc, NewNamespaces::IPC, "ipc"),
        (&all.uts, NewNamespaces::UTS, "uts"),
        (&all.cgroup, NewNamespaces::CGROUP, "cgroup"),
    ]
}

/// The small init is this very program.
fn own_program(order: &Order) -> Result<Option<OwnedFd>, Errno> {
    let is_wanted = matches!(&order.task, Task::Run(setup) if setup.init);
    is_wanted
        .then(|| rustix::fs::open(c"/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))
        .transpose()
}

/// Pipes for the three streams, unless a terminal will be all three.
fn streams(order: &Order) -> Result<(Ends, Option<Streams3>), Errno> {
    if order.task.process().terminal {
        return Ok((Ends::default(), None));
    }
    // Only the shim's end does not block: the flag belongs to the end, not to the pipe.
    let unblock = |end: OwnedFd| -> Result<OwnedFd, Errno> {
        let flags = rustix::fs::fcntl_getfl(&end)?;
        rustix::fs::fcntl_setfl(&end, flags | OFlags::NONBLOCK)?;
        Ok(end)
    };
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    let (out_read, out_write) = pipe()?;
    let (error_read, error_write) = pipe()?;
    let mut ends = Ends {
        stdin: None,
        stdout: Some(unblock(out_read)?),
        stderr: Some(unblock(error_read)?),
        terminal: None,
    };
    let mut stdin = None;
    if order.task.stdio().open_stdin {
        let (read, write) = pipe()?;
        ends.stdin = Some(unblock(write)?);
        stdin = Some(read);
    }
    Ok((ends, Some(Streams3 { stdin, stdout: out_write, stderr: error_write })))
}

/// The 22nd field of a process's stat file, proc(5), counted after the name, which may have anything in it.
fn start_ticks(pid: u32) -> std::io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = text.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(19).and_then(|word| word.parse().ok()).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "a stat file without a start time")
    })
}
