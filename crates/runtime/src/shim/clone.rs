//! Makes the child: its groups, its streams, its namespaces; then does for it what it asks for, until it has become its program,
//! waits to be started, or has failed.

use super::launch::{Inherited, failure};
use super::wire::{Failure, START};
use super::{Filter, Order, entry, host};
use crate::isolate::{self, Child, Container, Found, Node, Streams3, talk};
use crate::setup::Process;
use crate::timings::{Stopwatch, Timing};
use base::Chain;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use std::ffi::CString;
use std::path::Path;
use sys::process::{Cloned, Kinship, NewNamespaces};

/// A child that has become its program, or waits to.
pub(super) struct Running {
    /// The child.
    pub(super) child: OwnedFd,
    /// Its number.
    pub(super) pid: u32,
    /// The clock ticks from boot to its start.
    pub(super) start_ticks: u64,
    /// The shim's ends of its streams.
    pub(super) ends: Ends,
    /// The mount that is its root, where one was opened.
    pub(super) root: Option<OwnedFd>,
    /// Where the time of its start went.
    pub(super) timings: Vec<Timing>,
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

/// What the child is made with, all of it opened before.
struct Parts<'a> {
    order: &'a Order,
    filter: Option<&'a Filter>,
    nodes: Vec<Node>,
    container: Option<Container>,
    entrance: crate::cgroup::Entrance,
    namespaces: entry::Namespaces,
    gate: Option<OwnedFd>,
    own_program: Option<OwnedFd>,
    streams: Option<Streams3>,
}

/// Makes the child and waits until it runs its program, or waits for its start.
pub(super) fn clone(
    order: &Order,
    filter: Option<&Filter>,
    inherited: &mut Inherited,
    mut stopwatch: Stopwatch,
) -> Result<Running, Failure> {
    stopwatch.mark("start the shim");
    let nodes = entry::make_group(order)?;
    stopwatch.mark("make the control groups");
    let container = entry::container_of(order)?;
    let entrance = order
        .group
        .entrance()
        .map_err(|error| failure("open the control groups", Chain(&error).to_string()))?;
    let namespaces = entry::namespaces(order, inherited)?;
    let mut sources = None;
    if let Some(setup) = order.task.setup() {
        let user = namespaces.user.as_ref().map(AsFd::as_fd);
        let opened = isolate::open_sources(setup, user, &nodes);
        sources = Some(opened.map_err(|problem| problem.at("open what the host gives"))?);
    }
    stopwatch.mark("open what the host gives");
    let own_program =
        own_program(order).map_err(|error| failure("open the small init", error.to_string()))?;
    let (ends, streams) = streams(order).map_err(|error| failure("make pipes", error.to_string()))?;
    let gate = gate(order).map_err(|error| failure("listen for the start", error.to_string()))?;
    let parts = Parts { order, filter, nodes, container, entrance, namespaces, gate, own_program, streams };
    let (ours, theirs) =
        talk::pair().map_err(|error| failure("make the report socket", error.to_string()))?;
    let mut ours = Some(ours);
    let clock = stopwatch.clock();
    let timed = stopwatch.is_wanted();
    let cgroup = parts.entrance.unified.as_ref().map(AsFd::as_fd);
    let new = parts.namespaces.new;
    // Who changes the user namespace loses the rights to join others: a process between does it, and the child's namespaces are
    // made in the one that it has joined.
    let needs_two = order.task.setup().is_some()
        && (parts.namespaces.user.is_some()
            || (new.contains(NewNamespaces::USER) && !parts.namespaces.join.is_empty()));
    let first = if needs_two { NewNamespaces::NONE } else { new };
    let cloned = sys::process::clone_process(first, cgroup, || {
        // While this process has a copy of the shim's end, the shim's death would not be seen on the other one.
        ours = None;
        let sources = sources.take().unwrap_or_default();
        if needs_two {
            between(&parts, theirs.as_fd(), || {
                child(&parts, theirs.as_fd(), sources, &[], Stopwatch::new(clock, timed))
            })
        } else {
            let stopwatch = Stopwatch::new(clock, timed);
            child(&parts, theirs.as_fd(), sources, &parts.namespaces.join, stopwatch)
        }
    });
    let cloned = cloned.map_err(|error| failure("clone", error.to_string()))?;
    drop((theirs, parts));
    stopwatch.mark("clone");
    let ours = ours.ok_or_else(|| failure("clone", "the report socket is gone"))?;
    let mut listener =
        Listener { order, inherited, socket: ours, child: cloned, ends, stopwatch, ready: false };
    match listener.listen() {
        Ok(()) => {}
        Err(failure) => {
            // It has told its failure and ends, or it waits for an answer that will not come.
            let _ = sys::process::signal_pidfd(listener.child.pidfd.as_fd(), 9);
            reap(listener.child.pidfd.as_fd());
            return Err(failure);
        }
    }
    let Listener { child: cloned, ends, mut stopwatch, .. } = listener;
    stopwatch.mark("load the filter and execute");
    let pid = cloned.pid.as_raw_nonzero().get().unsigned_abs();
    let start_ticks = start_ticks(pid).map_err(|error| failure("look at the child", error.to_string()))?;
    let root = sources.and_then(|sources| sources.root);
    Ok(Running { child: cloned.pidfd, pid, start_ticks, ends, root, timings: stopwatch.take() })
}

/// The child, from here to its program.
fn child(
    parts: &Parts<'_>,
    report: BorrowedFd<'_>,
    sources: isolate::Sources,
    join: &[(OwnedFd, NewNamespaces)],
    stopwatch: Stopwatch,
) -> i32 {
    let task = &parts.order.task;
    let setup = task.setup();
    let table = if setup.is_some() { isolate::CONTAINER } else { isolate::ENTER };
    let mut child = Child {
        setup,
        process: task.process(),
        container: parts.container.as_ref(),
        handover: task.handover(),
        keyring: CString::new(format!("_ses.{}", task.id())).unwrap_or_default(),
        entrance: &parts.entrance,
        report,
        gate: parts.gate.as_ref().map(AsFd::as_fd),
        streams: parts.streams.as_ref().map(Streams3::borrow),
        join,
        nodes: &parts.nodes,
        filter: parts.filter,
        own_program: parts.own_program.as_ref().map(AsFd::as_fd),
        sources,
        stopwatch,
        found: Found::default(),
    };
    let failure = isolate::run(table, &mut child);
    tell_failure(child.reports_to(), &failure)
}

/// Goes where the child's namespaces are to be made, and makes it, as a child of the shim.
fn between(parts: &Parts<'_>, report: BorrowedFd<'_>, child: impl FnOnce() -> i32) -> i32 {
    let enter = || -> Result<(), isolate::Problem> {
        // Already in its group of v2, it goes into those of v1: from inside a user namespace it could not.
        isolate::join_cgroups(&parts.entrance)?;
        for (descriptor, kind) in &parts.namespaces.join {
            isolate::join(descriptor.as_fd(), *kind)?;
        }
        if let Some(user) = &parts.namespaces.user {
            isolate::join(user.as_fd(), NewNamespaces::USER)?;
            isolate::become_root_inside()?;
        }
        Ok(())
    };
    if let Err(problem) = enter() {
        return tell_failure(report, &problem.at("join the namespaces"));
    }
    match sys::process::clone_relative(Kinship::Sibling, parts.namespaces.new, None, child) {
        Ok(Cloned { pidfd, .. }) => match talk::send_descriptor(report, talk::SUCCESSOR, pidfd.as_fd()) {
            Ok(()) => 0,
            Err(_) => 1,
        },
        Err(error) => tell_failure(report, &failure("clone", error.to_string())),
    }
}

/// In the child: the failure goes to the shim, or to whoever started it, and the child ends.
fn tell_failure(report: BorrowedFd<'_>, failure: &Failure) -> i32 {
    if let Ok(bytes) = serde_json::to_vec(failure) {
        // Nobody else can be told.
        let _ = talk::send(report, &bytes);
    }
    1
}

/// The shim's side of the conversation with its child.
struct Listener<'a> {
    order: &'a Order,
    inherited: &'a mut Inherited,
    socket: OwnedFd,
    child: Cloned,
    ends: Ends,
    stopwatch: Stopwatch,
    ready: bool,
}

impl Listener<'_> {
    /// Listens until the end of the socket, which closes as the child executes its program, or until it waits to be
    /// started.
    fn listen(&mut self) -> Result<(), Failure> {
        loop {
            let (message, descriptor) = talk::receive(self.socket.as_fd())
                .map_err(|error| failure("listen to the child", error.to_string()))?;
            match message.as_slice() {
                [] if self.ready => return Ok(()),
                [] => return Err(failure("start", "the child ended before it was set up")),
                talk::READY => self.ready = true,
                talk::CREATED => return Ok(()),
                talk::PRIVILEGES => {
                    host::give_privileges(self.order, self.child.pid)?;
                    self.answer()?;
                }
                talk::HOOKS => {
                    host::run_hooks(self.order, self.child.pid)?;
                    self.answer()?;
                }
                talk::TERMINAL => self.take_terminal(descriptor)?,
                talk::LISTENER => self.pass_listener(descriptor)?,
                talk::SUCCESSOR => self.follow(descriptor)?,
                other if other.starts_with(talk::TIMINGS) => {
                    let measured = &other[talk::TIMINGS.len()..];
                    self.stopwatch.add(serde_json::from_slice(measured).unwrap_or_default());
                }
                other => {
                    return Err(serde_json::from_slice(other)
                        .unwrap_or_else(|_| failure("listen to the child", "it cannot be understood")));
                }
            }
        }
    }

    fn answer(&self) -> Result<(), Failure> {
        talk::send(self.socket.as_fd(), talk::GO)
            .map_err(|error| failure("answer the child", error.to_string()))
    }

    fn take_terminal(&mut self, master: Option<OwnedFd>) -> Result<(), Failure> {
        let Some(master) = master else { return Err(failure("terminal", "none was passed")) };
        if self.order.task.handover().is_some() {
            return host::pass_console(self.order, self.inherited, master.as_fd());
        }
        rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)
            .map_err(|error| failure("terminal", error.to_string()))?;
        self.ends.terminal = Some(master);
        Ok(())
    }

    fn pass_listener(&self, descriptor: Option<OwnedFd>) -> Result<(), Failure> {
        let Some(descriptor) = descriptor else {
            return Err(failure("system call filter", "no listener was passed"));
        };
        let pid = self.child.pid.as_raw_nonzero().get().unsigned_abs();
        host::pass_listener(self.order, &descriptor, pid)
    }

    /// The child has stepped out of the way of the one that it made, whose number in this pid namespace the descriptor tells.
    fn follow(&mut self, pidfd: Option<OwnedFd>) -> Result<(), Failure> {
        let unknown = || failure("clone", "the child cannot be found");
        let pidfd = pidfd.ok_or_else(unknown)?;
        let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))
            .map_err(|error| failure("clone", format!("look for the child: {error}")))?;
        let number = about.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
        let pid = number.and_then(Pid::from_raw).ok_or_else(unknown)?;
        let before = std::mem::replace(&mut self.child, Cloned { pid, pidfd });
        reap(before.pidfd.as_fd());
        Ok(())
    }
}

fn reap(child: BorrowedFd<'_>) {
    while matches!(rustix::process::waitid(WaitId::PidFd(child), WaitIdOptions::EXITED), Err(Errno::INTR)) {}
}

/// Where a container that waits is started: a socket in its directory, by a path of any length.
fn gate(order: &Order) -> Result<Option<OwnedFd>, Errno> {
    if !order.task.handover().is_some_and(|handover| handover.waits) {
        return Ok(None);
    }
    listen_in(order.task.directory(), START, SocketType::SEQPACKET, SocketFlags::CLOEXEC).map(Some)
}

/// Listens on a name in a directory. A path of any length works: the directory is named by a descriptor.
pub(super) fn listen_in(
    directory: &Path,
    name: &str,
    kind: SocketType,
    flags: SocketFlags,
) -> Result<OwnedFd, Errno> {
    /// Connections that may wait to be accepted.
    const BACKLOG: i32 = 64;
    let path = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, directory, path, Mode::empty())?;
    match rustix::fs::unlinkat(&directory, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// The small init is this very program.
fn own_program(order: &Order) -> Result<Option<OwnedFd>, Errno> {
    let is_wanted = order.task.setup().is_some_and(|setup| setup.init);
    is_wanted
        .then(|| rustix::fs::open(c"/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))
        .transpose()
}

/// Pipes for the three streams, unless a terminal will be all three, or they are the caller's.
fn streams(order: &Order) -> Result<(Ends, Option<Streams3>), Errno> {
    let Process { terminal, .. } = order.task.process();
    if *terminal || order.task.handover().is_some() {
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
pub(crate) fn start_ticks(pid: u32) -> std::io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = text.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(19).and_then(|word| word.parse().ok()).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "a stat file without a start time")
    })
}
