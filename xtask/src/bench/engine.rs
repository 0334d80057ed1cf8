//! An engine behind the Docker Engine API: ours, Docker's, Podman's.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::memory;
use crate::http::Connection;
use crate::scratch::{Daemon, until};
use crate::{say, shell};

/// How long a foreign engine may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long what belongs to a foreign engine may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// What the benchmark's containers are made from.
const IMAGE: &str = "busybox:latest";
/// Where a Docker that is already running listens.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// An engine and the one connection to it.
pub(super) struct Engine {
    /// What it is called in the tables.
    pub(super) name: String,
    connection: Connection<UnixStream>,
    pid: Option<u32>,
    whose: Whose,
    /// Whether the image was there before, so that it stays.
    had_image: bool,
}

/// The most descriptors and processes that Podman's containers are given: less than what machines grant.
const LIMIT_MAX: u64 = 8192;

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
struct Service {
    child: Child,
    folder: PathBuf,
}

impl Drop for Service {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
        // What it started for each container ends a little later.
        let removed = until(END_TIMEOUT, || {
            crate::scratch::unmount_below(&self.folder);
            Ok(std::fs::remove_dir_all(&self.folder)?)
        });
        if let Err(error) = removed {
            say::error(&format!("xtask: {} cannot be removed: {error:#}", self.folder.display()));
        }
    }
}

/// Ours first, then every other that is installed.
pub(super) fn all(binary: &Path) -> Result<Vec<Engine>> {
    let daemon = Daemon::start(binary, "bench")?;
    let connection = Connection::unix(&daemon.socket())?;
    let pid = daemon.pid();
    let ours =
        Engine { name: "bocage".to_owned(), connection, pid, whose: Whose::Ours(daemon), had_image: false };
    let mut engines = vec![ours];
    for (name, found) in [("docker", docker()), ("podman", podman())] {
        match found {
            Ok(Some(engine)) => engines.push(engine),
            Ok(None) => say::step(&format!("{name} is not installed")),
            Err(error) => say::step(&format!("{name} is left out: {error:#}")),
        }
    }
    Ok(engines)
}

/// A Docker that runs. It is not started here: it would write its own rules into the machine's firewall.
fn docker() -> Result<Option<Engine>> {
    if let Ok(connection) = Connection::unix(Path::new(DOCKER_SOCKET)) {
        let name = "docker".to_owned();
        return Ok(Some(Engine { name, connection, pid: None, whose: Whose::Found, had_image: false }));
    }
    if shell::found("dockerd") {
        bail!("dockerd is installed but does not run; start it to see it beside ours");
    }
    Ok(None)
}

/// Podman's service on roots of its own.
fn podman() -> Result<Option<Engine>> {
    if !shell::found("podman") {
        return Ok(None);
    }
    let folder = PathBuf::from(format!("/var/tmp/bocage-bench-podman-{}", std::process::id()));
    let settings = folder.join("containers.conf");
    let told = || format!("{} cannot be made", settings.display());
    std::fs::create_dir_all(&folder).with_context(told)?;
    std::fs::write(&settings, podman_settings()).with_context(told)?;
    let socket = folder.join("api.sock");
    let mut command = Command::new("podman");
    command.env("CONTAINERS_CONF", settings).args(["--cgroup-manager=cgroupfs", "--events-backend=file"]);
    command.arg("--root").arg(folder.join("data")).arg("--runroot").arg(folder.join("exec"));
    command.args(["system", "service", "--time=0"]).arg(format!("unix://{}", socket.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().context("podman cannot be started")?;
    let pid = Some(child.id());
    let whose = Whose::Started { _service: Service { child, folder } };
    let connection = until(START_TIMEOUT, || Connection::unix(&socket))?;
    Ok(Some(Engine { name: "podman".to_owned(), connection, pid, whose, had_image: false }))
}

/// Limits that this machine allows: Podman asks for more, and some machines grant nobody more.
fn podman_settings() -> String {
    use rustix::process::{Resource, getrlimit};
    let limit = |name: &str, resource| {
        let most = getrlimit(resource).maximum.unwrap_or(LIMIT_MAX).min(LIMIT_MAX);
        format!("\"{name}={most}:{most}\"")
    };
    let limits = [limit("nofile", Resource::Nofile), limit("nproc", Resource::Nproc)];
    format!("[containers]\ndefault_ulimits = [{}]\n", limits.join(", "))
}

impl Engine {
    /// Whether this is the engine that is built here.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.whose, Whose::Ours(_))
    }

    /// Loads an image's archive, unless the engine has the image.
    pub(super) fn load(&mut self, archive: &Path) -> Result<()> {
        let (status, _) =
            self.connection.request("GET", &format!("/images/{IMAGE}/json"), "text/plain", &[])?;
        self.had_image = status == 200;
        if self.had_image {
            return Ok(());
        }
        let bytes =
            std::fs::read(archive).with_context(|| format!("{} cannot be read", archive.display()))?;
        let answer = self.connection.request("POST", "/images/load", "application/x-tar", &bytes)?;
        accepted(answer, "load the image").map(|_| ())
    }

    /// Makes a container and returns its id.
    pub(super) fn create(&mut self, command: &[&str], network: &str) -> Result<String> {
        let body = json!({ "Image": IMAGE, "Cmd": command, "HostConfig": { "NetworkMode": network } });
        let answer = self.call("POST", "/containers/create", body.to_string().as_bytes(), "create")?;
        Ok(answer["Id"].as_str().context("create answered no id")?.to_owned())
    }

    /// Starts a container.
    pub(super) fn start(&mut self, id: &str) -> Result<()> {
        self.call("POST", &format!("/containers/{id}/start"), &[], "start").map(|_| ())
    }

    /// Waits for a container's end and returns its code.
    pub(super) fn wait(&mut self, id: &str) -> Result<i64> {
        let answer = self.call("POST", &format!("/containers/{id}/wait"), &[], "wait")?;
        answer["StatusCode"].as_i64().context("wait answered no code")
    }

    /// Removes a container, running or not.
    pub(super) fn delete(&mut self, id: &str) -> Result<()> {
        self.call("DELETE", &format!("/containers/{id}?force=1"), &[], "delete").map(|_| ())
    }

    /// The process id of a running container.
    pub(super) fn pid(&mut self, id: &str) -> Result<u32> {
        let answer = self.call("GET", &format!("/containers/{id}/json"), &[], "inspect")?;
        let pid = answer["State"]["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        pid.context("inspect answered no process id")
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
            self.call("DELETE", &format!("/images/{IMAGE}"), &[], "remove the image")?;
        }
        match self.whose {
            Whose::Ours(daemon) => daemon.stop(),
            Whose::Started { .. } | Whose::Found => Ok(()),
        }
    }

    fn call(&mut self, method: &str, path: &str, body: &[u8], what: &str) -> Result<Value> {
        let answer = self.connection.request(method, path, "application/json", body)?;
        let body = accepted(answer, what)?;
        Ok(if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or(Value::Null) })
    }
}

fn accepted((status, body): (u16, Vec<u8>), what: &str) -> Result<Vec<u8>> {
    if !(200..300).contains(&status) {
        bail!("{what}: {status} {}", String::from_utf8_lossy(&body).trim());
    }
    Ok(body)
}
