//! A registry of the benchmark's own, on this machine: an empty one, which goes with its folder.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::scratch::until;
use crate::{say, shell};

/// How long a registry may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Whose registry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `bocage registry`.
    Ours,
    /// Debian's `docker-registry`.
    Docker,
}

impl Kind {
    /// Those that are installed.
    pub(super) fn all(absent: &mut Vec<String>) -> Vec<Kind> {
        if shell::found("docker-registry") {
            return vec![Kind::Docker, Kind::Ours];
        }
        absent.push("docker-registry is not installed".to_owned());
        vec![Kind::Ours]
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Ours => "bocage registry",
            Kind::Docker => "docker-registry",
        })
    }
}

/// A registry that runs.
pub(super) struct Registry {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Registry {
    /// Starts an empty one and waits until it answers.
    pub(super) fn start(kind: Kind, binary: &Path) -> Result<Registry> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let folder = PathBuf::from(format!("/var/tmp/bocage-bench-registry-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut command = match kind {
            Kind::Ours => {
                let mut command = Command::new(binary);
                command.args(["registry", "--listen", &format!("127.0.0.1:{port}"), "--data"]);
                command.arg(folder.join("data"));
                command
            }
            Kind::Docker => {
                let settings = folder.join("config.yml");
                std::fs::write(&settings, settings_of(&folder, port))?;
                let mut command = Command::new("docker-registry");
                command.arg("serve").arg(settings);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        // Variables that begin so are settings of docker-registry.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY_"))
        {
            command.env_remove(name);
        }
        let child = command.spawn().with_context(|| format!("{kind} cannot be started"))?;
        let registry = Registry { child, folder, port };
        until(START_TIMEOUT, || Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?))
            .with_context(|| format!("{kind} does not answer"))?;
        Ok(registry)
    }

    /// The image's name in it.
    pub(super) fn image(&self, tag: &str) -> String {
        format!("127.0.0.1:{}/stack:{tag}", self.port)
    }
}

fn settings_of(folder: &Path, port: u16) -> String {
    let root = folder.join("data");
    let root = root.display();
    format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\n\
         http: {{addr: '127.0.0.1:{port}'}}\n"
    )
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            say::error(&format!("xtask: {} cannot be removed: {error}", self.folder.display()));
        }
    }
}
