//! An engine behind the Docker Engine API: ours, Docker's, Podman's.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::line::{IMAGE, Line};
use super::{docker, groups, memory, podman};
use crate::scratch::{Daemon, until};
use crate::{say, shell};

/// How long a foreign engine may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long what belongs to a foreign engine may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// The name of the socket in the folder of an engine that was started for the benchmark.
const SOCKET: &str = "api.sock";
/// Where a Docker that is already running listens.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// An engine and the one connection to it.
pub(super) struct Engine {
    /// What it is called in the tables.
    pub(super) name: String,
    line: Line,
    socket: PathBuf,
    /// Its own command line; empty where it has none.
    client: Vec<String>,
    pid: Option<u32>,
    whose: Whose,
    /// Whether the image was there before, so that it stays.
    had_image: bool,
}

/// Who started an engine, and so who ends it.
enum Whose {
    Ours(Daemon),
    /// Started for the benchmark; held for its end.
    Started {
        _service: Service,
    },
    /// It was running already.
    Found,
}

/// An engine that was started for the benchmark, and ends with this value: its process and folder.
pub(super) struct Service {
    child: Child,
    folder: PathBuf,
    /// The name of its groups beneath each hierarchy's root, where they have one of their own.
    groups: Option<String>,
}

impl Service {
    /// Starts what a folder and the socket in it are made into, and waits until it answers.
    pub(super) fn start(
        name: &str,
        groups: Option<String>,
        command: impl FnOnce(&Path, &Path) -> Result<Command>,
    ) -> Result<Self> {
        let folder = PathBuf::from(format!("/var/tmp/bocage-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut command = command(&folder, &folder.join(SOCKET))?;
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let service = Self { child, folder, groups };
        until(START_TIMEOUT, || Line::open(&service.socket()).map(|_| ()))?;
        Ok(service)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }
}

impl Service {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
        // Podman keeps a helper of each exec for minutes after its end.
        memory::end_those_of(&self.folder);
        // What it started for each container ends a little later.
        let removed = until(END_TIMEOUT, || {
            crate::scratch::unmount_below(&self.folder);
            Ok(std::fs::remove_dir_all(&self.folder)?)
        });
        if let Some(groups) = &self.groups {
            groups::remove(groups);
        }
        if let Err(error) = removed {
            say::error(&format!("xtask: {} cannot be removed: {error:#}", self.folder.display()));
        }
    }
}

/// Ours first, then every other that is installed; and of the others, why they are left out.
pub(super) fn all(binary: &Path) -> Result<(Vec<Engine>, Vec<String>)> {
    let daemon = Daemon::start(binary, "bench")?;
    let (socket, pid) = (daemon.socket(), daemon.pid());
    let client = vec![binary.display().to_string(), "-H".to_owned(), format!("unix://{}", socket.display())];
    let mut engines = vec![Engine::new("bocage", socket, client, pid, Whose::Ours(daemon))?];
    let mut absent = Vec::new();
    for (name, found) in [("docker", docker()), ("podman", podman())] {
        match found {
            Ok(Some(engine)) => engines.push(engine),
            Ok(None) => absent.push(format!("{name} is not installed")),
            Err(error) => absent.push(format!("{name} is left out: {error:#}")),
        }
    }
    Ok((engines, absent))
}

/// A Docker that runs already, or else one of the benchmark's own.
fn docker() -> Result<Option<Engine>> {
    let socket = PathBuf::from(DOCKER_SOCKET);
    if UnixStream::connect(&socket).is_ok() {
        let client = docker::client(&socket).unwrap_or_default();
        return Engine::new("docker", socket, client, None, Whose::Found).map(Some);
    }
    if !shell::found("dockerd") {
        return Ok(None);
    }
    let groups = format!("bocage-bench-docker-{}", std::process::id());
    let service = Service::start("docker", Some(groups.clone()), |folder, socket| {
        docker::command(folder, socket, &groups, docker::Network::Own)
    })?;
    let socket = service.socket();
    let client = docker::client(&socket).unwrap_or_default();
    let pid = Some(service.child.id());
    Engine::new("docker", socket, client, pid, Whose::Started { _service: service }).map(Some)
}

/// Podman's service on roots of its own.
fn podman() -> Result<Option<Engine>> {
    if !shell::found("podman") {
        return Ok(None);
    }
    // Whose groups those are that are there already is not known: they stay.
    let groups = (!groups::exists(podman::GROUPS)).then(|| podman::GROUPS.to_owned());
    let service = Service::start("podman", groups, podman::service)?;
    let (socket, pid) = (service.socket(), service.child.id());
    let client = podman::client(&service.folder, pid);
    Engine::new("podman", socket, client, Some(pid), Whose::Started { _service: service }).map(Some)
}

impl Engine {
    fn new(name: &str, socket: PathBuf, client: Vec<String>, pid: Option<u32>, whose: Whose) -> Result<Self> {
        let line = Line::open(&socket)?;
        Ok(Self { name: name.to_owned(), line, socket, client, pid, whose, had_image: false })
    }

    /// Connects anew: daemons close a connection that was idle for minutes.
    pub(super) fn reconnect(&mut self) -> Result<()> {
        self.line = self.again()?;
        Ok(())
    }

    /// One more connection to the same engine, for one more thread.
    pub(super) fn again(&self) -> Result<Line> {
        Line::open(&self.socket)
    }

    /// Its command line with these words, if it has one.
    pub(super) fn command(&self, words: &[&str]) -> Option<Command> {
        let (program, all) = self.client.split_first()?;
        let mut command = Command::new(program);
        command.args(all).args(words).stdin(Stdio::null()).current_dir("/");
        command.env_remove("DOCKER_HOST").env_remove("BOCAGE_HOST").env_remove("CONTAINER_HOST");
        Some(command)
    }

    /// Whether this is the engine that is built here.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.whose, Whose::Ours(_))
    }

    /// The kept connection to its API.
    pub(super) fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    /// Loads an image's archive, unless the engine has the image.
    pub(super) fn load(&mut self, archive: &Path) -> Result<()> {
        self.had_image = self.line.has_image()?;
        if self.had_image { Ok(()) } else { self.line.load(archive) }
    }

    /// Removes a container that runs.
    pub(super) fn remove(&mut self, id: &str) -> Result<()> {
        if self.name == "podman" {
            // It would wait for the process to end by itself.
            self.line.call("POST", &format!("/containers/{id}/kill"), &[], "kill")?;
        }
        self.line.delete(id)
    }

    /// Runs one more process in a container, from its creation to the end of its output.
    pub(super) fn exec(&mut self, id: &str, command: &[&str]) -> Result<()> {
        let exec = self.line.create_exec(id, command)?;
        self.again()?.start_exec(&exec)
    }

    /// The daemon's process, where it is known.
    pub(super) fn daemon_pid(&self) -> Option<u32> {
        self.pid
    }

    /// What the daemon takes now, in KiB, where its process is known.
    pub(super) fn idle_kilobytes(&self) -> Option<u64> {
        memory::kilobytes(self.pid?)
    }

    /// Leaves the engine as it was found, or ends it.
    pub(super) fn stop(mut self) -> Result<()> {
        if matches!(self.whose, Whose::Found) && !self.had_image {
            self.reconnect()?;
            self.line.call("DELETE", &format!("/images/{IMAGE}"), &[], "remove the image")?;
        }
        match self.whose {
            Whose::Ours(daemon) => daemon.stop(),
            Whose::Started { .. } | Whose::Found => Ok(()),
        }
    }
}
