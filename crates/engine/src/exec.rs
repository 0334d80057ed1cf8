//! Processes added to running containers.
//!
//! An exec is known from its creation until its container is gone or so many others have come after it; its shim serves its streams
//! and keeps its exit code, as a container's does.

use crate::Shared;
use crate::shim::{Shim, Watched};
use crate::start;
use base::Chain;
use model::{ContainerId, ExecId, Phase};
use platform::{Error, ExecRequest, ExecState, Stream, Streams};
use runtime::setup::{Attached, ContainerProcess, ExecSetup, Process, Stdio, Watch};
use runtime::shim::wire::FailureKind;
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::UnixStream;

/// Execs that are remembered; the oldest ended ones make room.
const EXECS_MAX: usize = 4096;
/// The exit code of an exec whose program cannot be run.
const NOT_EXECUTABLE: i64 = 126;
/// Of one that could not be started for another reason.
const NOT_STARTED: i64 = 127;

enum State {
    Created,
    /// Somebody is starting it.
    Starting,
    Running {
        pid: i32,
        shim: Shim,
    },
    Ended {
        code: i64,
    },
}

struct Entry {
    id: ExecId,
    container: ContainerId,
    request: ExecRequest,
    state: State,
}

/// All execs that are known.
#[derive(Default)]
pub(crate) struct Execs {
    entries: Mutex<VecDeque<Entry>>,
}

fn no_such(id: &str) -> Error {
    Error::not_found(format!("No such exec instance: {id}"))
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at one exec and may change it.
    fn with<T>(&self, id: &str, act: impl FnOnce(&mut Entry) -> Result<T, Error>) -> Result<T, Error> {
        let mut entries = self.lock();
        let known = id.parse::<ExecId>().ok();
        let entry = entries.iter_mut().find(|entry| Some(entry.id) == known).ok_or_else(|| no_such(id))?;
        act(entry)
    }

    /// Notes that one has ended. One that is forgotten needs no note.
    fn end(&self, id: &str, code: i64) {
        let _ = self.with(id, |entry| {
            entry.state = State::Ended { code };
            Ok(())
        });
    }

    fn add(&self, container: ContainerId, request: ExecRequest) -> Result<ExecId, Error> {
        let id = ExecId::from_bytes(base::random::bytes());
        let mut entries = self.lock();
        if entries.len() >= EXECS_MAX {
            let oldest =
                entries.iter().position(|entry| matches!(entry.state, State::Created | State::Ended { .. }));
            let oldest = oldest.ok_or_else(|| {
                Error::conflict(format!("{EXECS_MAX} processes were added to containers and all still run"))
            })?;
            entries.remove(oldest);
        }
        entries.push_back(Entry { id, container, request, state: State::Created });
        Ok(id)
    }

    /// Forgets those of a container that has gone.
    pub(crate) fn forget(&self, container: ContainerId) {
        self.lock().retain(|entry| entry.container != container);
    }

    /// The running ones of a container.
    pub(crate) fn running_in(&self, container: ContainerId) -> Vec<String> {
        let entries = self.lock();
        let running = entries
            .iter()
            .filter(|entry| entry.container == container && matches!(entry.state, State::Running { .. }));
        running.map(|entry| entry.id.to_string()).collect()
    }

    pub(crate) fn inspect(&self, id: &str) -> Result<ExecState, Error> {
        self.with(id, |entry| {
            let (running, exit_code, pid) = match &entry.state {
                State::Created | State::Starting => (false, None, 0),
                // A client asks as soon as its stream has ended, which may be before we have heard: the shim has written it.
                State::Running { pid, shim } => match shim.status().and_then(|status| status.exit) {
                    Some(exit) => (false, Some(i64::from(exit.code)), 0),
                    None => (true, None, *pid),
                },
                State::Ended { code } => (false, Some(*code), 0),
            };
            let (container, request) = (entry.container, entry.request.clone());
            Ok(ExecState { id: entry.id, container, request, running, exit_code, pid })
        })
    }
}

/// Prepares a process in a container that runs.
pub(crate) fn create(shared: &Shared, name: &str, request: ExecRequest) -> Result<ExecId, Error> {
    let (id, handle) = shared.registry.find(name)?;
    match handle.snapshot().observed.phase {
        Phase::Running { .. } => {}
        Phase::Paused { .. } => {
            return Err(Error::conflict(format!(
                "Container {name} is paused, unpause the container before exec"
            )));
        }
        _ => return Err(Error::conflict(format!("container {id} is not running"))),
    }
    if request.args.is_empty() {
        return Err(Error::invalid("No exec command specified"));
    }
    let command = request.args.join(" ");
    let exec = shared.execs.add(id, request)?;
    shared.tell_container(&format!("exec_create: {command}"), &handle.snapshot().intent, &[]);
    Ok(exec)
}

pub(crate) async fn resize(shared: &Shared, id: &str, rows: u16, columns: u16) -> Result<(), Error> {
    let shim = shared.execs.with(id, |entry| match &entry.state {
        State::Running { shim, .. } => Ok(shim.clone()),
        _ => Err(Error::conflict(format!("exec {id} is not running"))),
    })?;
    shim.resize(rows, columns).await
}

/// Starts a prepared process; with `attach` the stream carries its input and output.
pub(crate) async fn start_prepared(
    shared: &Arc<Shared>,
    id: &str,
    attach: bool,
    size: Option<(u16, u16)>,
) -> Result<Option<Box<dyn Stream>>, Error> {
    let (exec, container, mut request) = shared.execs.with(id, |entry| match entry.state {
        State::Created => {
            entry.state = State::Starting;
            Ok((entry.id, entry.container, entry.request.clone()))
        }
        State::Starting | State::Running { .. } => {
            Err(Error::conflict(format!("Error: Exec command {id} is already running")))
        }
        State::Ended { .. } => Err(Error::conflict(format!("Error: Exec command {id} has already run"))),
    })?;
    request.terminal_size = size.or(request.terminal_size);
    let (_, handle) = shared.registry.find(&container.to_string())?;
    let snapshot = handle.snapshot();
    let status = Shim::new(shared.roots.shim(container)).status();
    let (Phase::Running { .. }, Some(status)) = (&snapshot.observed.phase, status) else {
        shared.execs.end(id, NOT_STARTED);
        return Err(Error::conflict(format!("container {container} is not running")));
    };
    let process = ContainerProcess { pid: status.pid, start_ticks: status.start_ticks };
    let failed = |error: std::io::Error| Error::failed(format!("make the stream of an exec: {error}"));
    let (ours, theirs) = BlockingStream::pair().map_err(failed)?;
    let directory = shared.roots.shim(container).join("exec").join(exec.to_string());
    let job = {
        let (shared, intent, directory) =
            (Arc::clone(shared), Arc::clone(&snapshot.intent), directory.clone());
        let request = request.clone();
        tokio::task::spawn_blocking(move || {
            spawn(&shared, &intent, process, exec, &request, &directory, attach.then_some(theirs))
        })
    };
    let outcome = job.await.unwrap_or_else(|error| Err(Error::failed(format!("start an exec: {error}"))));
    let started = match outcome {
        Ok(started) => started,
        Err(error) => {
            let code = if error.message.contains("permission denied") { NOT_EXECUTABLE } else { NOT_STARTED };
            shared.execs.end(id, code);
            let _ = base::file::remove_all(&directory);
            return Err(error);
        }
    };
    shared.tell_container(&format!("exec_start: {}", request.args.join(" ")), &snapshot.intent, &[]);
    let shim = Shim::new(directory.clone());
    shared.execs.with(id, |entry| {
        entry.state = State::Running { pid: start::pid_number(started.pid), shim: shim.clone() };
        Ok(())
    })?;
    let watched = Watched::started(shim, started.shim, started.ending);
    tokio::spawn(follow(Arc::clone(shared), exec, watched, directory, snapshot.intent));
    if !attach {
        return Ok(None);
    }
    ours.set_nonblocking(true).map_err(failed)?;
    let stream: Box<dyn Stream> = Box::new(UnixStream::from_std(ours).map_err(failed)?);
    Ok(Some(stream))
}

/// Keeps the exit code of an exec once it has ended, and removes what was made for it.
async fn follow(
    shared: Arc<Shared>,
    exec: ExecId,
    mut watched: Watched,
    directory: PathBuf,
    intent: Arc<model::ContainerIntent>,
) {
    let code = watched.ended().await.exit.code;
    shared.execs.end(&exec.to_string(), i64::from(code));
    let attributes = [("execID", exec.to_string()), ("exitCode", code.to_string())];
    shared.tell_container("exec_die", &intent, &attributes);
    let _ = base::file::remove_all(&directory);
}

fn spawn(
    shared: &Shared,
    intent: &model::ContainerIntent,
    container: ContainerProcess,
    exec: ExecId,
    request: &ExecRequest,
    directory: &std::path::Path,
    client: Option<BlockingStream>,
) -> Result<runtime::Started, Error> {
    std::fs::create_dir_all(directory)
        .map_err(|error| Error::failed(format!("make {}: {error}", directory.display())))?;
    let Streams { stdin, stdout, stderr } = request.streams;
    let streams = runtime::setup::Streams { stdin, stdout, stderr };
    let attached = client.as_ref().map(|client| Attached { descriptor: client.as_raw_fd(), streams });
    let setup = ExecSetup {
        id: exec.to_string(),
        directory: directory.to_owned(),
        container,
        cgroup: crate::compose::cgroup_path(&shared.cgroup_parent, intent),
        process: process(intent, request)?,
        stdio: Stdio {
            open_stdin: stdin && client.is_some(),
            stdin_once: true,
            attached: attached.into_iter().collect(),
        },
        watch: Watch::Shim,
    };
    let inherited: Vec<_> = client.iter().map(|client| (client.as_fd(), client.as_raw_fd())).collect();
    let started = runtime::exec(&shared.host, &setup, &inherited);
    // The shim has its own; a second one here would keep the client from seeing the end.
    drop(client);
    started.map_err(|error| {
        let message = format!(
            "OCI runtime exec failed: exec failed: unable to start container process: {}",
            Chain(&error)
        );
        match start::kind(&error) {
            FailureKind::Other => Error::failed(message),
            _ => Error::invalid(message),
        }
    })
}

/// The process of an exec: as the container's own, but for what the request says.
fn process(intent: &model::ContainerIntent, request: &ExecRequest) -> Result<Process, Error> {
    let spec = &intent.spec;
    let privileged = request.privileged || spec.security.privileged;
    let mut own = intent.clone();
    own.spec.security.privileged = privileged;
    let mut process = crate::compose::process(&own)?;
    process.args.clone_from(&request.args);
    process.env = plan::merge::environment(&process.env, &request.env, request.terminal);
    if !request.working_dir.is_empty() {
        process.cwd = PathBuf::from(&request.working_dir);
    }
    if !request.user.is_empty() {
        process.user.clone_from(&request.user);
        process.groups.clear();
    }
    process.terminal = request.terminal;
    process.size = request.terminal_size;
    Ok(process)
}
