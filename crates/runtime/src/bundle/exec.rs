//! `exec`: one more process in a container that runs.

use super::config;
use super::convert;
use super::create::{Streams, reap_shim, write_pid};
use super::state::{Record, Status, Store};
use super::{Error, control};
use crate::setup::{CpuAffinity, ExecSetup, Handover, Process, Stdio, Watch};
use crate::{Host, Started};
use rustix::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

/// What `exec` is told.
#[derive(Debug, Default)]
pub struct Exec<'a> {
    /// The container.
    pub id: &'a str,
    /// What runs, as the specification has it; what it leaves out is the container's.
    pub process: config::Process,
    /// Where the process's number is written.
    pub pid_file: Option<&'a Path>,
    /// A connected socket to which a terminal goes.
    pub console: Option<OwnedFd>,
    /// Descriptors that the program gets, under these numbers, from 3 on.
    pub preserved: Vec<(RawFd, OwnedFd)>,
    /// A group beneath the container's own.
    pub cgroup: Option<&'a str>,
    /// A paused container is no obstacle: the process waits with the others.
    pub ignore_paused: bool,
}

/// The process that a container was created with: what one that is added takes over unless it is told otherwise.
///
/// # Errors
/// [`Error::NotFound`].
pub fn template(store: &Store, id: &str) -> Result<config::Process, Error> {
    Ok(store.load(id)?.config.process.unwrap_or_default())
}

/// A process's description in the specification's form: the text of a file for `--process`.
///
/// # Errors
/// Where it cannot be understood.
pub fn read_process(path: &Path) -> Result<config::Process, Error> {
    let text = std::fs::read(path).map_err(Error::file("read", path))?;
    config::from_json(&text).map_err(|source| Error::Config { path: path.to_owned(), source })
}

/// Adds a process. It is left to whoever takes this one's orphans.
///
/// # Errors
/// [`Error::Status`] if the container does not run; why the process could not be made.
pub fn exec(host: &Host, store: &Store, what: &Exec<'_>) -> Result<Started, Error> {
    let (record, status) = control::look(store, host.layout(), what.id)?;
    let is_ready = match status {
        Status::Created | Status::Running => true,
        Status::Paused => what.ignore_paused,
        Status::Stopped => false,
    };
    if !is_ready {
        return Err(Error::Status { verb: "exec in", id: what.id.to_owned(), status });
    }
    let streams = Streams::with(what.process.terminal, what.console.as_ref(), &what.preserved)?;
    let state =
        convert::Given { id: record.id.clone(), bundle: record.bundle.clone(), ..convert::Given::default() };
    let state = convert::state(&record.config, &state);
    let setup = ExecSetup {
        id: record.id.clone(),
        directory: store.directory(what.id)?,
        container: record.process,
        cgroup: cgroup(&record, what.cgroup)?,
        process: process(&what.process, &record)?,
        stdio: Stdio::default(),
        watch: Watch::Caller(Handover {
            waits: false,
            console: streams.console_number,
            preserved: what.preserved.iter().map(|(number, _)| *number).collect(),
            state: state.to_string(),
        }),
    };
    let started = crate::exec(host, &setup, &streams.inherited()).map_err(Error::Start)?;
    reap_shim(&started);
    write_pid(what.pid_file, started.pid)?;
    Ok(started)
}

fn process(from: &config::Process, record: &Record) -> Result<Process, Error> {
    let own = record.config.process.as_ref();
    let mut process = super::process::process(from, &record.config, "process")?;
    // What the container was created with is the rule for who is added, where they bring none of their own.
    if from.exec_cpu_affinity.is_none()
        && let Some(affinity) = own.and_then(|own| own.exec_cpu_affinity.as_ref())
    {
        process.cpu_affinity = CpuAffinity { initial: affinity.initial.clone(), last: affinity.last.clone() };
    }
    Ok(process)
}

/// A group beneath the container's own, named by a path that stays there.
fn cgroup(record: &Record, beneath: Option<&str>) -> Result<PathBuf, Error> {
    let Some(beneath) = beneath.map(|path| path.trim_start_matches('/')) else {
        return Ok(record.cgroup.clone());
    };
    if Path::new(beneath).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return Err(Error::invalid("cgroup", format!("{beneath:?} leads out of the container's own group")));
    }
    Ok(record.cgroup.join(beneath))
}
