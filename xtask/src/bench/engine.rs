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

/// Who started an engine, and so who ends it.
enum Whose {
    Ours(Daemon),
    /// Started for the benchmark: its process and folder.
    Started(Child, PathBuf),
    /// It was running already.
    Found,
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

fn podman() -> Result<Option<Engine>> {
    if !shell::found("podman") {
        return Ok(None);
    }
    let folder = PathBuf::from(format!("/var/tmp/bocage-bench-podman-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut command = Command::new("podman");
    command.arg("--root").arg(folder.join("data")).arg("--runroot").arg(folder.join("exec"));
    command
        .args(["system", "service", "--time=0"])
        .arg(format!("unix://{}", folder.join("api.sock").display()));
    started("podman", command, folder).map(Some)
}

fn started(name: &str, mut command: Command, folder: PathBuf) -> Result<Engine> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
    let socket = folder.join("api.sock");
    let pid = Some(child.id());
    let whose = Whose::Started(child, folder);
    match until(START_TIMEOUT, || Connection::unix(&socket)) {
        Ok(connection) => Ok(Engine { name: name.to_owned(), connection, pid, whose, had_image: false }),
        Err(error) => {
            let _ = end(whose);
            Err(error)
        }
    }
}

impl Engine {
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
        end(self.whose)
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

fn end(whose: Whose) -> Result<()> {
    match whose {
        Whose::Found => Ok(()),
        Whose::Ours(daemon) => daemon.stop(),
        Whose::Started(mut child, folder) => {
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            child.wait().context("the engine cannot be waited for")?;
            crate::scratch::unmount_below(&folder);
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("{} cannot be removed", folder.display()))
        }
    }
}
