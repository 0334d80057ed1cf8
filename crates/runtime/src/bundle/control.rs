//! The verbs on a container that is there: look, signal, stop, change, delete.

use super::Error;
use super::config;
use super::resources;
use super::state::{self, Record, Status, Store};
use crate::cgroup::{Figures, Layout};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags};
use std::time::Duration;

/// How long a process that was killed may take to be gone, in seconds.
const END_SECONDS_MAX: i64 = 10;
/// How often something that ends by itself is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How often at most.
const LOOKS_MAX: u32 = 5_000;
/// SIGKILL.
const KILL: i32 = 9;

/// A container and what it is.
///
/// # Errors
/// [`Error::NotFound`].
pub fn look(store: &Store, layout: &Layout, id: &str) -> Result<(Record, Status), Error> {
    let record = store.load(id)?;
    let status = store.status(&record, layout)?;
    Ok((record, status))
}

/// Sends a signal to the first process, or to all.
///
/// # Errors
/// [`Error::Status`] if it has ended.
pub fn kill(store: &Store, layout: &Layout, id: &str, signal: i32, all: bool) -> Result<(), Error> {
    let (record, status) = look(store, layout, id)?;
    let shares_processes = shares_processes(&record);
    if status == Status::Stopped && !(all || shares_processes) {
        return Err(Error::Status { verb: "kill", id: id.to_owned(), status });
    }
    let group = state::group(&record, layout);
    let failed = |source| Error::Cgroup { id: id.to_owned(), source };
    if all || (shares_processes && signal == KILL) {
        if signal == KILL {
            return group.kill_all().map_err(failed);
        }
        for pid in group.pids().map_err(failed)? {
            // One that has ended meanwhile needs no signal.
            let _ = sys::process::signal_number(i32::try_from(pid).unwrap_or(0), signal);
        }
        return Ok(());
    }
    signal_first(&record, signal)?;
    // A frozen process takes no signal, and one that shall die must not wait.
    if signal == KILL && status == Status::Paused {
        group.freeze(false).map_err(failed)?;
    }
    Ok(())
}

/// Whether the end of the first process leaves others.
fn shares_processes(record: &Record) -> bool {
    !record.config.linux.namespaces.iter().any(|one| one.kind == "pid" && one.path.is_none())
}

fn signal_first(record: &Record, signal: i32) -> Result<(), Error> {
    let Some(pidfd) = first(record)? else {
        let status = Status::Stopped;
        return Err(Error::Status { verb: "kill", id: record.id.clone(), status });
    };
    sys::process::signal_pidfd(rustix::fd::AsFd::as_fd(&pidfd), signal)
        .map_err(|error| Error::system(format!("send signal {signal} to {:?}", record.id), error))
}

/// The first process, if it is still there.
fn first(record: &Record) -> Result<Option<rustix::fd::OwnedFd>, Error> {
    let number = i32::try_from(record.process.pid).ok().and_then(Pid::from_raw);
    let Some(pid) = number else { return Ok(None) };
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(state::is_alive(&record.process).then_some(pidfd)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(Error::system(format!("find the process of {:?}", record.id), error)),
    }
}

/// Makes an end of a container, whatever state it is in. What is beyond removal is told, after the rest is gone.
pub(super) fn destroy(layout: &Layout, record: &Record) -> Result<(), Error> {
    let group = state::group(record, layout);
    let killed = group.kill_all();
    if let Some(pidfd) = first(record)? {
        let _ = sys::process::signal_pidfd(rustix::fd::AsFd::as_fd(&pidfd), KILL);
        let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
        let patience = Timespec { tv_sec: END_SECONDS_MAX, tv_nsec: 0 };
        let _ = poll(&mut ended, Some(&patience));
    }
    let removed = group.remove();
    killed.and(removed).map_err(|source| Error::Cgroup { id: record.id.clone(), source })
}

/// Makes an end of what was left in the middle of its creation.
fn abandon(store: &Store, layout: &Layout, id: &str) -> Result<(), Error> {
    let Some(group) = store.noted_group(id, layout)? else { return store.forget(id) };
    let ended = group.kill_all().and_then(|()| group.remove());
    store.forget(id)?;
    ended.map_err(|source| Error::Cgroup { id: id.to_owned(), source })
}

/// Deletes a container that has ended, or that never started; with `force` any. With `force`, one that is not there
/// is no error. `env` is the environment of hooks that bring none.
///
/// # Errors
/// [`Error::Status`] if it runs; what could not be removed. A `poststop` hook that fails is told as text, and changes
/// nothing.
pub fn delete(
    store: &Store,
    layout: &Layout,
    id: &str,
    force: bool,
    env: &[String],
) -> Result<Option<String>, Error> {
    let record = match store.load(id) {
        // What was left in the middle of its creation goes too.
        Err(Error::NotFound { .. }) if force => return abandon(store, layout, id).map(|()| None),
        other => other?,
    };
    let mut status = store.status(&record, layout)?;
    if status == Status::Running && !force {
        // A process that was just killed is on its way.
        status = once_ended(&record, status);
    }
    if matches!(status, Status::Running | Status::Paused) && !force {
        return Err(Error::Status { verb: "delete", id: id.to_owned(), status });
    }
    destroy(layout, &record)?;
    store.forget(id)?;
    let (hooks, told) = record.hooks("poststop", &record.config.hooks.poststop)?;
    let mut failures = Vec::new();
    for hook in hooks {
        if let Err(problem) = crate::isolate::run_hooks(&[hook], "poststop", (&told, "stopped"), 0, env) {
            failures.push(problem.text().to_owned());
        }
    }
    Ok((!failures.is_empty()).then(|| failures.join("; ")))
}

/// What a container is once a signal that was sent has been acted upon: SIGKILL may be pending.
fn once_ended(record: &Record, before: Status) -> Status {
    let text = std::fs::read_to_string(format!("/proc/{}/status", record.process.pid)).unwrap_or_default();
    let pending = text.lines().filter_map(|line| {
        line.strip_prefix("ShdPnd:").or_else(|| line.strip_prefix("SigPnd:")).map(str::trim)
    });
    let is_dying = pending
        .filter_map(|mask| u64::from_str_radix(mask, 16).ok())
        .any(|mask| mask & (1 << (KILL - 1)) != 0);
    if !is_dying && state::is_alive(&record.process) {
        return before;
    }
    for _ in 0..LOOKS_MAX {
        if !state::is_alive(&record.process) {
            return Status::Stopped;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    before
}

/// Freezes a container, or lets it go on.
///
/// # Errors
/// [`Error::Status`] if that makes no sense.
pub fn freeze(store: &Store, layout: &Layout, id: &str, frozen: bool) -> Result<(), Error> {
    let (record, status) = look(store, layout, id)?;
    let (verb, fits) = match frozen {
        true => ("pause", matches!(status, Status::Running | Status::Created)),
        false => ("resume", status == Status::Paused),
    };
    if !fits {
        return Err(Error::Status { verb, id: id.to_owned(), status });
    }
    let failed = |source| Error::Cgroup { id: id.to_owned(), source };
    state::group(&record, layout).freeze(frozen).map_err(failed)
}

/// The numbers of a container's processes.
///
/// # Errors
/// [`Error::NotFound`], or where its group cannot be read.
pub fn processes(store: &Store, layout: &Layout, id: &str) -> Result<Vec<u32>, Error> {
    let record = store.load(id)?;
    state::group(&record, layout).pids().map_err(|source| Error::Cgroup { id: id.to_owned(), source })
}

/// The figures of a container.
///
/// # Errors
/// [`Error::Status`] if it has ended.
pub fn figures(store: &Store, layout: &Layout, id: &str) -> Result<Figures, Error> {
    let (record, status) = look(store, layout, id)?;
    if status == Status::Stopped {
        return Err(Error::Status { verb: "look at the figures of", id: id.to_owned(), status });
    }
    state::group(&record, layout).figures().map_err(|source| Error::Cgroup { id: id.to_owned(), source })
}

/// Changes the limits of a container: those that are named.
///
/// # Errors
/// [`Error::Status`] if it has ended; a limit that the kernel refuses, by its file.
pub fn update(store: &Store, layout: &Layout, id: &str, limits: &config::Resources) -> Result<(), Error> {
    let (record, status) = look(store, layout, id)?;
    if status == Status::Stopped {
        return Err(Error::Status { verb: "update", id: id.to_owned(), status });
    }
    let mut resources = resources::resources(limits)?;
    // They are set when the group is made, never later.
    resources.devices.clear();
    state::group(&record, layout)
        .apply(&resources)
        .map_err(|source| Error::Cgroup { id: id.to_owned(), source })
}

/// Reads limits in the specification's form, for [`update`].
///
/// # Errors
/// Where they cannot be understood.
pub fn read_limits(text: &[u8]) -> Result<config::Resources, Error> {
    config::from_json(text).map_err(|source| Error::Config { path: "the resources".into(), source })
}
