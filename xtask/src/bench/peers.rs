//! The engines that are measured beside each other, each behind Docker's API.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::http::Connection;
use crate::scratch::{Daemon, unmount_below, until};
use crate::{say, shell};

/// The version of the API that Docker 20.10 and everything after it speak.
const VERSION: &str = "/v1.41";
/// Where a Docker daemon listens unless it is told otherwise.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// The longest that Podman's service may take until it answers.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(20);

/// An engine with a kept connection to it.
pub(super) struct Peer {
    label: String,
    ours: bool,
    connection: Connection<UnixStream>,
    /// Ends what was started for this engine when the measuring is over.
    _service: Option<Podman>,
}

impl Peer {
    /// Our own daemon.
    pub(super) fn ours(daemon: &Daemon) -> Result<Self> {
        let connection = Connection::unix(&daemon.socket())?;
        Ok(Self { label: "bocage".to_owned(), ours: true, connection, _service: None })
    }

    /// The engine's name and version.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Whether this is our own daemon.
    pub(super) fn is_ours(&self) -> bool {
        self.ours
    }

    /// Gives the engine an image archive.
    pub(super) fn load(&mut self, image: &[u8]) -> Result<()> {
        let path = format!("{VERSION}/images/load?quiet=1");
        let (status, said) = self.connection.request("POST", &path, "application/x-tar", image)?;
        if status != 200 || String::from_utf8_lossy(&said).contains("\"error\"") {
            bail!("loading the image answers {status}: {}", String::from_utf8_lossy(&said).trim());
        }
        Ok(())
    }

    /// Creates, starts, waits for and deletes one container of `busybox true`.
    pub(super) fn round(&mut self, network: &str) -> Result<()> {
        let wish =
            json!({ "Image": "busybox:latest", "Cmd": ["true"], "HostConfig": { "NetworkMode": network } });
        let made = self.ask("POST", "/containers/create", Some(&wish), 201)?;
        let id = made["Id"].as_str().context("the answer to create has no id")?.to_owned();
        self.ask("POST", &format!("/containers/{id}/start"), None, 204)?;
        let ended = self.ask("POST", &format!("/containers/{id}/wait"), None, 200)?;
        if ended["StatusCode"] != 0 {
            bail!("`true` ended with {}", ended["StatusCode"]);
        }
        self.ask("DELETE", &format!("/containers/{id}"), None, 204)?;
        Ok(())
    }

    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>, wanted: u16) -> Result<Value> {
        let path = format!("{VERSION}{path}");
        let body = body.map(Value::to_string).unwrap_or_default();
        let (status, said) = self.connection.request(method, &path, "application/json", body.as_bytes())?;
        // Podman says 200 where Docker says 204 for a removal.
        if status != wanted && !(method == "DELETE" && status == 200) {
            bail!("{method} {path} answers {status}: {}", String::from_utf8_lossy(&said).trim());
        }
        Ok(serde_json::from_slice(&said).unwrap_or(Value::Null))
    }

    /// Asks the engine which version it is, and calls it by that.
    fn named(mut self, name: &str) -> Result<Self> {
        let version = self.ask("GET", "/version", None, 200)?;
        self.label = format!("{name} {}", version["Version"].as_str().unwrap_or("of unknown version"));
        Ok(self)
    }
}

/// Docker where a daemon answers, Podman where it is installed; what is missing is told.
pub(super) fn others() -> Vec<Peer> {
    let mut peers = Vec::new();
    for (name, found) in [("Docker", docker()), ("Podman", podman())] {
        match found {
            Ok(peer) => peers.push(peer),
            Err(error) => say::line(&format!("{name} is not measured: {error:#}")),
        }
    }
    peers
}

fn docker() -> Result<Peer> {
    let connection = Connection::unix(Path::new(DOCKER_SOCKET))?;
    Peer { label: String::new(), ours: false, connection, _service: None }.named("Docker")
}

fn podman() -> Result<Peer> {
    if !shell::found("podman") {
        bail!("it is not installed");
    }
    let folder = PathBuf::from(format!("/var/tmp/bocage-bench-podman-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let socket = folder.join("podman.sock");
    let child = Command::new("podman")
        .arg("--root")
        .arg(folder.join("data"))
        .arg("--runroot")
        .arg(folder.join("exec"))
        .args(["system", "service", "--time=0"])
        .arg(format!("unix://{}", socket.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("its service cannot be started")?;
    let service = Podman { child, folder };
    let connection = until(SERVICE_TIMEOUT, || Connection::unix(&socket))?;
    Peer { label: String::new(), ours: false, connection, _service: Some(service) }.named("Podman")
}

/// Podman's service on roots of its own; dropped, it is ended and its folder removed.
struct Podman {
    child: Child,
    folder: PathBuf,
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        unmount_below(&self.folder);
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            say::error(&format!("xtask: {} cannot be removed: {error}", self.folder.display()));
        }
    }
}
