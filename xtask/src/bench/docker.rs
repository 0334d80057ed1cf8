//! A Docker of the benchmark's own, in a network and among mounts of its own: its rules never reach the machine's firewall.
//!
//! Its roots are in one folder, its `/run` is memory that ends with it, and its containers' groups have a name of their own.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::shell;

/// Where a Docker of the benchmark's own has its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// In a namespace of its own.
    Own,
    /// The machine's, of which it uses what is there and changes nothing: it has no network for containers.
    Hosts,
}

/// What is run in the new namespaces: a `/run` of its own, and then the daemon with all the words that follow.
const SCRIPT: &str = "mount -t tmpfs tmpfs /run && exec dockerd \"$@\"";

/// The command line of a Docker whose files are in a folder and whose API is at a socket.
pub(super) fn command(folder: &Path, socket: &Path, groups: &str, network: Network) -> Result<Command> {
    // The machine's own settings are not meant for it.
    let settings = folder.join("daemon.json");
    std::fs::write(&settings, "{}").with_context(|| format!("{} cannot be written", settings.display()))?;
    let mut command = Command::new("unshare");
    command.args((network == Network::Own).then_some("--net"));
    command.args(["--mount", "--", "sh", "-c", SCRIPT, "dockerd"]);
    if network == Network::Hosts {
        command.args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]);
    }
    command.arg("--config-file").arg(settings).arg("--pidfile").arg(folder.join("docker.pid"));
    command.arg("--data-root").arg(folder.join("data")).arg("--exec-root").arg(folder.join("exec"));
    command.arg("--host").arg(format!("unix://{}", socket.display()));
    command.arg("--cgroup-parent").arg(format!("/{groups}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// Docker's client: the first on the PATH that the daemon still speaks with, as new clients refuse old daemons.
pub(super) fn client(socket: &Path) -> Option<Vec<String>> {
    let path = std::env::var("PATH").unwrap_or_default();
    let programs =
        path.split(':').map(|folder| Path::new(folder).join("docker")).filter(|file| file.is_file());
    let words = programs.map(|program| {
        vec![program.display().to_string(), "-H".to_owned(), format!("unix://{}", socket.display())]
    });
    let mut answering = words.filter(|words| {
        let all: Vec<&str> = words[1..].iter().map(String::as_str).chain(["ps", "--quiet"]).collect();
        shell::quietly(&mut shell::command(&words[0], &all)).is_ok()
    });
    answering.next()
}
