//! One kept connection to an engine's API, and what is asked over it.

use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::http::Connection;

/// What the benchmark's containers are made from.
pub(super) const IMAGE: &str = "busybox:latest";

/// A kept connection; whoever measures with many threads has one for each.
pub(super) struct Line(Connection<UnixStream>);

impl Line {
    /// Connects to an engine's socket.
    pub(super) fn open(socket: &Path) -> Result<Self> {
        Ok(Self(Connection::unix(socket)?))
    }

    /// Whether the engine has the image.
    pub(super) fn has_image(&mut self) -> Result<bool> {
        let answer = self.0.request("GET", &format!("/images/{IMAGE}/json"), "text/plain", &[])?;
        Ok(answer.0 == 200)
    }

    /// Loads an image's archive.
    pub(super) fn load(&mut self, archive: &Path) -> Result<()> {
        let bytes =
            std::fs::read(archive).with_context(|| format!("{} cannot be read", archive.display()))?;
        let answer = self.0.request("POST", "/images/load", "application/x-tar", &bytes)?;
        accepted(answer, "load the image").map(|_| ())
    }

    /// Makes a container and returns its id.
    pub(super) fn create(&mut self, command: &[&str], network: &str) -> Result<String> {
        self.create_with(command, &json!({ "NetworkMode": network }))
    }

    /// Makes a container with these settings of its host and returns its id.
    pub(super) fn create_with(&mut self, command: &[&str], host: &Value) -> Result<String> {
        let body = json!({ "Image": IMAGE, "Cmd": command, "HostConfig": host });
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

    /// Prepares one more process in a container and returns its id.
    pub(super) fn create_exec(&mut self, id: &str, command: &[&str]) -> Result<String> {
        let body = json!({ "Cmd": command, "AttachStdout": true, "AttachStderr": true });
        let path = format!("/containers/{id}/exec");
        let answer = self.call("POST", &path, body.to_string().as_bytes(), "create an exec")?;
        Ok(answer["Id"].as_str().context("the exec has no id")?.to_owned())
    }

    /// Starts a process that was prepared and reads its output to the end: the stream takes the connection over.
    pub(super) fn start_exec(self, exec: &str) -> Result<()> {
        let path = format!("/exec/{exec}/start");
        let body = json!({ "Detach": false, "Tty": false }).to_string();
        let answer = self.0.last_request("POST", &path, "application/json", body.as_bytes())?;
        accepted(answer, "start the exec").map(|_| ())
    }

    /// The process id of a running container.
    pub(super) fn pid(&mut self, id: &str) -> Result<u32> {
        let answer = self.call("GET", &format!("/containers/{id}/json"), &[], "inspect")?;
        let pid = answer["State"]["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        pid.context("inspect answered no process id")
    }

    /// One request of which nothing but success is expected.
    pub(super) fn call(&mut self, method: &str, path: &str, body: &[u8], what: &str) -> Result<Value> {
        let answer = self.0.request(method, path, "application/json", body)?;
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
