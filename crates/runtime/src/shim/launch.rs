//! The shim from its first instruction to the moment at which it begins to serve.

use super::clone::{self, Running};
use super::serve::Server;
use super::wire::{Failure, FailureKind, Report, SOCKET, START, STATUS, Status};
use super::{Order, Task, init};
use crate::isolate::INIT_NAME;
use crate::timings::{Stopwatch, Timing};
use base::{Chain, Clock};
use rustix::fd::{OwnedFd, RawFd};
use rustix::fs::Mode;
use rustix::net::{SocketFlags, SocketType};
use std::collections::BTreeMap;
use std::ffi::{CStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};

/// The name by which the kernel lists the program, which it would otherwise call by its descriptor's number.
pub(crate) const PROGRAM_NAME: &CStr = c"bocage-shim";
/// Signals that a daemon's terminal or a lost client would send: SIGHUP and SIGPIPE.
pub(crate) const IGNORED_SIGNALS: [i32; 2] = [1, 13];
/// The exit code of a shim whose start failed; why stands in its report.
const FAILED: i32 = 1;

/// Descriptors that were inherited, by the numbers that the setup knows them by.
pub(super) type Inherited = BTreeMap<RawFd, OwnedFd>;

/// The program: `bocage-shim run|exec FD_ORDER FD_REPORT [FD …]`, or the small init. Returns the exit code.
pub fn main(arguments: Vec<OsString>, clock: Clock) -> i32 {
    if arguments.first().is_some_and(|name| name == INIT_NAME) {
        return init::main(arguments);
    }
    if arguments.get(1).is_some_and(|role| role == crate::rooms::ROLE) {
        return match sys::process::take_inherited(&[3]).map(|mut taken| taken.pop()) {
            Ok(Some(socket)) => crate::rooms::hold(socket),
            _ => FAILED,
        };
    }
    let numbers: Option<Vec<RawFd>> =
        arguments.iter().skip(2).map(|word| word.to_str()?.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() >= 2) else { return FAILED };
    let Ok(descriptors) = sys::process::take_inherited(&numbers) else { return FAILED };
    let mut inherited: Inherited = numbers.iter().copied().zip(descriptors).collect();
    let (Some(order), Some(report)) = (inherited.remove(&numbers[0]), inherited.remove(&numbers[1])) else {
        return FAILED;
    };
    match start(File::from(order), inherited, clock) {
        Ok(Begun { server, status, timings, made }) => {
            let Status { pid, start_ticks, started_at, .. } = status;
            let is_told = tell(&report, &Report::Started { pid, start_ticks, started_at, timings });
            if let Some(mut made) = made.filter(|made| !is_told && made.is_container()) {
                // Nobody knows of this container, and nobody watches it.
                made.kept = false;
                return FAILED;
            }
            if let Some(server) = server {
                server.serve(report);
            }
            0
        }
        Err(failure) => {
            tell(&report, &Report::Failed(failure));
            FAILED
        }
    }
}

/// Whether anybody was told. The daemon may have gone: then the status file says it all the same.
pub(super) fn tell(report: &OwnedFd, what: &Report) -> bool {
    let Ok(mut line) = serde_json::to_vec(what) else { return false };
    line.push(b'\n');
    // Within a pipe's capacity: written whole or not at all.
    rustix::io::write(report, &line).is_ok_and(|written| written == line.len())
}

/// A failure of the shim's own.
pub(super) fn failure(step: &str, message: impl Into<String>) -> Failure {
    Failure { step: step.to_owned(), message: message.into(), kind: FailureKind::Other }
}

/// What has been made so far: undone unless the start succeeds.
struct Made {
    order: Order,
    kept: bool,
}

impl Made {
    /// Whether it is a container, and not one more process in one.
    fn is_container(&self) -> bool {
        matches!(self.order.task, Task::Run(_))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // The failure that led here is the one to tell; what cannot be removed now is found by the next start.
        if self.is_container() {
            let _ = self.order.group.kill_all();
            let _ = self.order.group.remove();
        } else if self.order.task.handover().is_some() {
            // The directory is the container's, which goes on and may still wait to be started.
            return;
        }
        let directory = self.order.task.directory();
        for name in [SOCKET, START, STATUS] {
            let _ = std::fs::remove_file(directory.join(name));
        }
    }
}

/// What a start has led to.
struct Begun {
    /// Where a shim stays.
    server: Option<Server>,
    status: Status,
    /// Where the time went, where that was asked for.
    timings: Vec<Timing>,
    /// Where none does: to be undone if it turns out that nobody wants it.
    made: Option<Made>,
}

/// Starts what the order says.
fn start(mut order: File, mut inherited: Inherited, clock: Clock) -> Result<Begun, Failure> {
    let mut bytes = Vec::new();
    let read = order.rewind().and_then(|()| order.read_to_end(&mut bytes));
    read.map_err(|error| failure("read the order", error.to_string()))?;
    drop(order);
    let (order, filter) =
        Order::decode(&bytes).map_err(|error| failure("read the order", error.to_string()))?;
    drop(bytes);
    let stopwatch = Stopwatch::new(clock, order.task.setup().is_some_and(|setup| setup.timed));
    become_shim().map_err(|error| failure("become a shim", error.to_string()))?;
    let mut made = Made { order, kept: false };
    let order = &made.order;
    let status = |running: &Running| Status {
        pid: running.pid,
        start_ticks: running.start_ticks,
        started_at: clock.now(),
        shim_pid: std::process::id(),
        exit: None,
    };
    if order.task.handover().is_some() {
        let running = clone::clone(order, filter.as_ref(), &mut inherited, stopwatch)?;
        let status = status(&running);
        made.kept = true;
        return Ok(Begun { server: None, status, timings: running.timings, made: Some(made) });
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = clone::listen_in(order.task.directory(), SOCKET, SocketType::STREAM, flags)
        .map_err(|error| failure("listen", format!("{}: {error}", order.task.directory().display())))?;
    let log = match &order.task {
        Task::Run(setup) => setup.log.as_ref().map(crate::log::Writer::open).transpose(),
        Task::Exec(_) => Ok(None),
    };
    let log = log.map_err(|error| failure("open the log", Chain(&error).to_string()))?;
    let running = clone::clone(order, filter.as_ref(), &mut inherited, stopwatch)?;
    let status = status(&running);
    let Running { child, ends, timings, root, .. } = running;
    let mut server = Server::new(order, status.clone(), listener, log, child, ends, inherited, clock);
    server.keep_root(root);
    server.write_status().map_err(|error| failure("write the status", Chain(&error).to_string()))?;
    made.kept = true;
    Ok(Begun { server: Some(server), status, timings, made: None })
}

/// A program that belongs to nobody's terminal, holds no directory busy and is found by its name.
fn become_shim() -> std::io::Result<()> {
    for signal in IGNORED_SIGNALS {
        sys::process::on_signal(signal, sys::process::OnSignal::Ignore)?;
    }
    rustix::process::chdir(c"/")?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::thread::set_name(PROGRAM_NAME)?;
    Ok(())
}
