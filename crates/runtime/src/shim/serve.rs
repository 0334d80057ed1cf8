//! The shim at work: one loop over poll(2) until the process has exited and everybody has what they are owed.

use super::client::{Client, Incoming, Role};
use super::clone::Ends;
use super::launch::{Inherited, tell};
use super::wire::{Exit, Reply, Report, Request, SOCKET, STATUS, Status, Stream};
use super::{Order, Task};
use crate::cgroup::Group;
use crate::log::Writer;
use crate::setup::{Namespace, Streams};
use base::Clock;
use base::file::{Durability, write_atomically};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::{WaitId, WaitIdOptions};
use rustix::termios::Winsize;
use std::path::PathBuf;

/// The name of the status file that is about to take the other one's place.
const NEXT_STATUS: &str = "status.json.next";
/// As much output or input as is read at once, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;
/// Input that the process has not taken yet, in bytes; clients wait once there is more.
const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Connections at once; later ones wait in the listener's queue.
const CLIENTS_MAX: usize = 256;
/// How long clients may take to read the rest of the output once the process has exited, without any progress, in seconds.
const LAST_READ_SECONDS: i64 = 30;
/// What is added to a signal's number to make an exit code.
const SIGNALLED: i32 = 128;

/// One stream of output.
struct Output {
    end: OwnedFd,
    stream: Stream,
}

/// Where input goes, and what has not gone there yet.
#[derive(Default)]
struct Input {
    end: Option<OwnedFd>,
    pending: Vec<u8>,
    /// No more will come: closed once what is pending has gone.
    ended: bool,
}

/// What a shim works on.
pub(super) struct Server {
    status: Status,
    directory: PathBuf,
    listener: Option<OwnedFd>,
    child: OwnedFd,
    outputs: Vec<Output>,
    input: Input,
    terminal: Option<OwnedFd>,
    /// Whether output goes to clients without frames.
    raw: bool,
    stdin_once: bool,
    clients: Vec<Client>,
    /// Where whoever started the program hears of its end, and, as it is closed, that the root is free.
    report: Option<OwnedFd>,
    root: Option<OwnedFd>,
    log: Option<Writer>,
    group: Group,
    /// The group is the container's, and goes with it.
    owns_group: bool,
    /// Processes may be left when the first one has exited.
    may_leave_processes: bool,
    clock: Clock,
}

/// What a descriptor in the poll set belongs to.
enum Of {
    Listener,
    Child,
    Output(Stream),
    Input,
    Client(usize),
}

impl Server {
    /// Takes over a child that runs its program.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the start, handed over once")]
    pub(super) fn new(
        order: &Order,
        status: Status,
        listener: OwnedFd,
        log: Option<Writer>,
        child: OwnedFd,
        ends: Ends,
        mut inherited: Inherited,
        clock: Clock,
    ) -> Server {
        let stdio = order.task.stdio();
        let clients = stdio
            .attached
            .iter()
            .filter_map(|one| Some(Client::attached(inherited.remove(&one.descriptor)?, one.streams)))
            .collect();
        let raw = ends.terminal.is_some();
        let mut outputs = Vec::new();
        let again = |end: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(end, 0).ok();
        let stdout = ends.stdout.or_else(|| ends.terminal.as_ref().and_then(again));
        outputs.extend(stdout.map(|end| Output { end, stream: Stream::Stdout }));
        outputs.extend(ends.stderr.map(|end| Output { end, stream: Stream::Stderr }));
        let stdin =
            ends.stdin.or_else(|| ends.terminal.as_ref().filter(|_| stdio.open_stdin).and_then(again));
        let (owns_group, may_leave_processes) = match &order.task {
            Task::Run(setup) => (true, setup.namespaces.pid != Namespace::New),
            Task::Exec(_) => (false, false),
        };
        Server {
            status,
            directory: order.task.directory().to_owned(),
            listener: Some(listener),
            child,
            outputs,
            input: Input { end: stdin, ..Input::default() },
            terminal: ends.terminal,
            raw,
            stdin_once: stdio.stdin_once,
            clients,
            report: None,
            root: None,
            log,
            group: order.group.clone(),
            owns_group,
            may_leave_processes,
            clock,
        }
    }

    /// Keeps the container's root mounted beyond its last process, until everybody knows of the end. Whoever lets go of it last
    /// waits for all that the disk beneath has to write, and that would be the container, before its end is seen.
    pub(super) fn keep_root(&mut self, root: Option<OwnedFd>) {
        self.root = root;
    }

    /// Writes what is known to the status file.
    pub(super) fn write_status(&self) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(&self.status)?;
        let path = self.directory.join(STATUS);
        if self.status.exit.is_none() {
            return write_atomically(&path, &bytes, Durability::Process);
        }
        // The second time the two files change places: a rename over a file makes ext4 write the new one out at once,
        // in case the machine should stop, which is nothing to this file.
        let next = self.directory.join(NEXT_STATUS);
        let written = std::fs::write(&next, &bytes);
        let exchanged = written.is_ok()
            && rustix::fs::renameat_with(CWD, &next, CWD, &path, RenameFlags::EXCHANGE).is_ok();
        // Either the old status, or one that could not take its place.
        let _ = std::fs::remove_file(&next);
        if exchanged { Ok(()) } else { write_atomically(&path, &bytes, Durability::Process) }
    }

    /// Serves until there is nothing left to do. Whoever started the program is told of its end on `report`.
    pub(super) fn serve(mut self, report: OwnedFd) {
        self.report = Some(report);
        while self.status.exit.is_none() {
            self.turn(None);
        }
        // The process has exited, its status is written, its output is with the log and in the clients' queues.
        let patience = Timespec { tv_sec: LAST_READ_SECONDS, tv_nsec: 0 };
        while self.clients.iter().any(Client::is_owed) {
            if !self.turn(Some(&patience)) {
                return;
            }
        }
    }

    /// Waits for something and acts on all of it. Whether anything happened.
    fn turn(&mut self, patience: Option<&Timespec>) -> bool {
        let mut happened = Vec::new();
        {
            let (mut set, owners) = self.poll_set();
            match poll(&mut set, patience) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
            for (one, owner) in set.iter().zip(owners) {
                if !one.revents().is_empty() {
                    happened.push((owner, one.revents()));
                }
            }
        }
        let exited = happened.iter().any(|(owner, _)| matches!(owner, Of::Child));
        for (owner, events) in happened {
            match owner {
                Of::Listener => self.accept(),
                Of::Child => {}
                Of::Output(stream) => drop(self.read_output(stream)),
                Of::Input => self.write_input(),
                Of::Client(index) => self.hear(index, events),
            }
        }
        if exited {
            self.exit();
        }
        self.forget_gone();
        true
    }

    fn poll_set(&self) -> (Vec<PollFd<'_>>, Vec<Of>) {
        let mut set = Vec::new();
        let mut owners = Vec::new();
        let running = self.status.exit.is_none();
        if running {
            set.push(PollFd::new(&self.child, PollFlags::IN));
            owners.push(Of::Child);
        }
        if let Some(listener) = self.listener.as_ref().filter(|_| self.clients.len() < CLIENTS_MAX) {
            set.push(PollFd::new(listener, PollFlags::IN));
            owners.push(Of::Listener);
        }
        let behind = self.clients.iter().any(Client::is_behind);
        for output in self.outputs.iter().filter(|_| running && !behind) {
            set.push(PollFd::new(&output.end, PollFlags::IN));
            owners.push(Of::Output(output.stream));
        }
        if let Some(end) = self.input.end.as_ref().filter(|_| !self.input.pending.is_empty()) {
            set.push(PollFd::new(end, PollFlags::OUT));
            owners.push(Of::Input);
        }
        let has_room = self.input.end.is_some() && self.input.pending.len() < INPUT_BYTES_MAX;
        for (index, client) in self.clients.iter().enumerate() {
            let mut events = PollFlags::empty();
            events.set(PollFlags::IN, running && client.may_speak(has_room));
            events.set(PollFlags::OUT, client.is_owed());
            // A client that has gone while its input waits for room is heard once there is room.
            let held_back = matches!(client.role, Role::Attached { input_open: true, .. })
                && self.input.end.is_some()
                && !has_room;
            if !(held_back && events.is_empty()) {
                set.push(PollFd::from_borrowed_fd(client.socket(), events));
                owners.push(Of::Client(index));
            }
        }
        (set, owners)
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        if let Ok(socket) = rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            self.clients.push(Client::new(socket));
        }
    }

    /// Reads one piece of output and passes it on. Whether there may be more at once.
    fn read_output(&mut self, stream: Stream) -> bool {
        let Some(at) = self.outputs.iter().position(|output| output.stream == stream) else { return false };
        let mut buffer = vec![0; CHUNK_BYTES];
        match rustix::io::read(&self.outputs[at].end, &mut buffer[..]) {
            Err(Errno::INTR) => true,
            Err(Errno::AGAIN) => false,
            // A terminal that nobody has open any more says EIO.
            Ok(0) | Err(_) => {
                self.outputs.remove(at);
                false
            }
            Ok(length) => {
                if let Some(log) = &mut self.log {
                    // A disk that is full stops no container; the line is lost.
                    let _ = log.write(stream, &buffer[..length], self.clock.now());
                }
                for client in &mut self.clients {
                    client.output(stream, &buffer[..length], self.raw);
                }
                true
            }
        }
    }

    fn write_input(&mut self) {
        while let Some(end) = self.input.end.as_ref().filter(|_| !self.input.pending.is_empty()) {
            match rustix::io::write(end, &self.input.pending) {
                Ok(length) => drop(self.input.pending.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The process has closed its input.
                Err(_) => self.input = Input { ended: true, ..Input::default() },
            }
        }
        self.input.pending = Vec::new();
        // A terminal is not closed: its output comes by the same end, and other clients may go on.
        if self.input.ended && !self.raw {
            self.input.end = None;
        }
    }

    fn end_input(&mut self) {
        if self.stdin_once {
            self.input.ended = true;
            self.write_input();
        }
    }

    fn hear(&mut self, index: usize, events: PollFlags) {
        if events.contains(PollFlags::OUT) {
            self.clients[index].flush();
        }
        let has_room = self.input.end.is_some() && self.input.pending.len() < INPUT_BYTES_MAX;
        if events.contains(PollFlags::IN) && self.clients[index].may_speak(has_room) {
            let mut buffer = vec![0; CHUNK_BYTES];
            match self.clients[index].receive(&mut buffer) {
                Incoming::Nothing => {}
                Incoming::Request(request) => self.answer(index, &request),
                Incoming::Nonsense(why) => {
                    self.clients[index].reply(&Reply::Error(why));
                    self.clients[index].role = Role::Leaving;
                }
                Incoming::Input(length) => {
                    self.input.pending.extend_from_slice(&buffer[..length]);
                    self.write_input();
                }
                Incoming::EndOfInput => self.end_input(),
            }
        } else if events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            self.clients[index].gone = true;
        }
    }

    fn answer(&mut self, index: usize, request: &Request) {
        let rest = self.clients[index].take_after_request();
        let (reply, role) = match *request {
            Request::Attach(streams) => {
                let input_open = streams.stdin;
                (Some(Reply::Ok(true)), Role::Attached { streams, input_open })
            }
            Request::Wait {} => (None, Role::Waiting),
            Request::Status {} => (Some(Reply::Status(self.status.clone())), Role::Leaving),
            Request::Resize { rows, columns } => (Some(self.resize(rows, columns)), Role::Leaving),
            Request::Signal(signal) => (Some(self.signal(signal)), Role::Leaving),
        };
        let client = &mut self.clients[index];
        client.role = role;
        if let Some(reply) = reply {
            client.reply(&reply);
        }
        let attached = matches!(client.role, Role::Attached { streams: Streams { stdin: true, .. }, .. });
        if attached && !rest.is_empty() && self.input.end.is_some() {
            self.input.pending.extend_from_slice(&rest);
            self.write_input();
        }
    }

    fn resize(&self, rows: u16, columns: u16) -> Reply {
        let Some(terminal) = &self.terminal else {
            return Reply::Error("it has no terminal".to_owned());
        };
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        match rustix::termios::tcsetwinsize(terminal, size) {
            Ok(()) => Reply::Ok(true),
            Err(error) => Reply::Error(error.to_string()),
        }
    }

    fn signal(&self, signal: i32) -> Reply {
        match sys::process::signal_pidfd(self.child.as_fd(), signal) {
            Ok(()) => Reply::Ok(true),
            Err(error) => Reply::Error(error.to_string()),
        }
    }

    /// The process has exited: its status first, then its last output, then its group, then whoever waits.
    fn exit(&mut self) {
        let Some(code) = self.reap() else { return };
        if self.may_leave_processes && self.owns_group {
            // Without a pid namespace of its own there is no process 1 whose end would have ended the others.
            let _ = self.group.kill_all();
        }
        let oom_killed = self.owns_group && self.group.out_of_memory_kills().unwrap_or(0) > 0;
        self.status.exit = Some(Exit { finished_at: self.clock.now(), code, oom_killed });
        // Nobody could be told of a failure; a daemon that finds a status without an exit and no process, knows.
        let _ = self.write_status();
        for stream in [Stream::Stdout, Stream::Stderr] {
            while self.read_output(stream) {}
        }
        self.outputs.clear();
        if let Some(log) = &mut self.log {
            let _ = log.finish();
        }
        if self.owns_group {
            // A group that stays is removed by the daemon when it removes the container.
            let _ = self.group.remove();
        }
        let _ = std::fs::remove_file(self.directory.join(SOCKET));
        self.listener = None;
        if let (Some(report), Some(exit)) = (&self.report, &self.status.exit) {
            // A daemon that has gone reads the file.
            tell(report, &Report::Ended(exit.clone()));
        }
        let reply = Reply::Status(self.status.clone());
        for client in &mut self.clients {
            if matches!(client.role, Role::Waiting) {
                client.reply(&reply);
            }
        }
        self.root = None;
        self.report = None;
    }

    fn reap(&self) -> Option<i32> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let ended = rustix::process::waitid(WaitId::PidFd(self.child.as_fd()), options).ok()??;
        ended.exit_status().or_else(|| Some(SIGNALLED + ended.terminating_signal()?))
    }

    /// Lets go of connections that are over. The end of one that gave input ends the input.
    fn forget_gone(&mut self) {
        let before = self.clients.len();
        let mut input_ends = false;
        self.clients.retain(|client| {
            let stays = !client.gone && (client.is_owed() || !matches!(client.role, Role::Leaving));
            input_ends |= !stays && matches!(client.role, Role::Attached { input_open: true, .. });
            stays
        });
        if self.clients.len() < before {
            self.clients.shrink_to_fit();
        }
        if input_ends {
            self.end_input();
        }
    }
}
