//! Who is measured: our engine, Docker's and Podman's, each on roots of its own, and skopeo, which has no engine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::spent::Spent;
use crate::bench::docker::{self, Network};
use crate::bench::engine::Service;
use crate::bench::podman;
use crate::scratch::{Daemon, unmount_below};
use crate::{say, shell};

/// Logins: none.
const LOGINS: &str = "auth.json";

/// One of those that are measured.
pub(super) struct Side {
    /// What it is called in the tables.
    pub(super) name: &'static str,
    /// What it may write to.
    pub(super) folder: PathBuf,
    /// Its command line.
    client: Vec<String>,
    tool: Tool,
}

/// What does the work.
enum Tool {
    Ours(Daemon),
    Docker(Service),
    Podman,
    Skopeo,
}

/// Ours first, then every other that is installed; and of the others, why they are left out.
pub(super) fn all(binary: &Path) -> Result<(Vec<Side>, Vec<String>)> {
    let mut sides = vec![Side::new("bocage", |_| {
        let daemon = Daemon::start(binary, "bench-images")?;
        let socket = format!("unix://{}", daemon.socket().display());
        Ok((vec![binary.display().to_string(), "-H".to_owned(), socket], Tool::Ours(daemon)))
    })?];
    let mut absent = Vec::new();
    type Start = fn(&Path) -> Result<(Vec<String>, Tool)>;
    let others: [(&str, &str, Start); 3] =
        [("docker", "dockerd", docker), ("podman", "podman", podman), ("skopeo", "skopeo", skopeo)];
    for (name, program, start) in others {
        if !shell::found(program) {
            absent.push(format!("{name} is not installed"));
            continue;
        }
        match Side::new(name, start) {
            Ok(side) => sides.push(side),
            Err(error) => absent.push(format!("{name} is left out: {error:#}")),
        }
    }
    Ok((sides, absent))
}

/// A Docker of the benchmark's own, which must reach registries on this machine.
fn docker(_: &Path) -> Result<(Vec<String>, Tool)> {
    let groups = format!("bocage-bench-images-{}", std::process::id());
    let service = Service::start("docker-images", Some(groups.clone()), |folder, socket| {
        docker::command(folder, socket, &groups, Network::Hosts)
    })?;
    let client = docker::client(&service.socket()).context("there is no client that speaks with it")?;
    Ok((client, Tool::Docker(service)))
}

fn podman(folder: &Path) -> Result<(Vec<String>, Tool)> {
    Ok((podman::alone(folder)?, Tool::Podman))
}

fn skopeo(_: &Path) -> Result<(Vec<String>, Tool)> {
    Ok((vec!["skopeo".to_owned(), "--insecure-policy".to_owned()], Tool::Skopeo))
}

/// Words as a command takes them.
pub(super) fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

impl Side {
    fn new(name: &'static str, start: impl FnOnce(&Path) -> Result<(Vec<String>, Tool)>) -> Result<Side> {
        let folder = PathBuf::from(format!("/var/tmp/bocage-bench-side-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        std::fs::write(folder.join(LOGINS), "{}")?;
        match start(&folder) {
            Ok((client, tool)) => Ok(Side { name, folder, client, tool }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    /// Whether it keeps images.
    pub(super) fn is_engine(&self) -> bool {
        !matches!(self.tool, Tool::Skopeo)
    }

    fn daemon(&self) -> Option<u32> {
        match &self.tool {
            Tool::Ours(daemon) => daemon.pid(),
            Tool::Docker(service) => Some(service.pid()),
            Tool::Podman | Tool::Skopeo => None,
        }
    }

    fn command(&self, words: &[impl AsRef<str>]) -> Command {
        let mut command = Command::new(&self.client[0]);
        command.args(&self.client[1..]).args(words.iter().map(AsRef::as_ref));
        // Nobody's own logins and settings are meant for it.
        command.env("DOCKER_CONFIG", &self.folder).env("REGISTRY_AUTH_FILE", self.folder.join(LOGINS));
        command.env_remove("DOCKER_HOST").env_remove("BOCAGE_HOST").env_remove("CONTAINER_HOST");
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    /// What a command took.
    pub(super) fn measured(&self, words: &[impl AsRef<str>]) -> Result<Spent> {
        Spent::by(&mut self.command(words), self.daemon())
    }

    /// Runs a command that is not measured.
    pub(super) fn quietly(&self, words: &[&str]) -> Result<()> {
        shell::quietly(&mut self.command(words))
    }

    /// Removes all images.
    pub(super) fn forget(&self) -> Result<()> {
        if !self.is_engine() {
            return Ok(());
        }
        let listed = shell::output(&mut self.command(&["images", "-q", "--no-trunc"]))?;
        let mut ids: Vec<&str> = listed.lines().collect();
        ids.sort_unstable();
        ids.dedup();
        ids.iter().try_for_each(|id| self.quietly(&["rmi", "-f", id]))
    }

    /// One more name for an image.
    pub(super) fn tag(&self, from: &str, to: &str) -> Result<()> {
        if self.is_engine() { self.quietly(&["tag", from, to]) } else { Ok(()) }
    }

    /// How it pulls.
    pub(super) fn pull(&self, name: &str) -> Vec<String> {
        let mut words = vec!["pull", "-q"];
        words.extend(matches!(self.tool, Tool::Podman).then_some("--tls-verify=false"));
        words.push(name);
        words.into_iter().map(str::to_owned).collect()
    }

    /// How skopeo copies.
    pub(super) fn copy(&self, from: &str, to: &str, packing: Option<&str>) -> Vec<String> {
        let mut words = vec!["copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"];
        words.extend(packing.map(|_| "--dest-compress-format"));
        words.extend(packing);
        words.extend([from, to]);
        words.into_iter().map(str::to_owned).collect()
    }

    /// How it pushes, where it can; one without images takes it `from` where it is said.
    pub(super) fn push(&self, from: &str, to: &str, packing: Option<&str>) -> Option<Vec<String>> {
        let mut words = vec!["push", "-q"];
        match (&self.tool, packing) {
            (Tool::Skopeo, _) => return Some(self.copy(from, &format!("docker://{to}"), packing)),
            (Tool::Docker(_), Some(_)) => return None,
            (Tool::Ours(_), Some(packing)) => words.extend(["--compression", packing]),
            (Tool::Podman, Some(packing)) => words.extend(["--compression-format", packing]),
            (_, None) => {}
        }
        words.extend(matches!(self.tool, Tool::Podman).then_some("--tls-verify=false"));
        words.push(to);
        Some(words.into_iter().map(str::to_owned).collect())
    }

    /// Ends it.
    pub(super) fn stop(mut self) -> Result<()> {
        match std::mem::replace(&mut self.tool, Tool::Skopeo) {
            Tool::Ours(daemon) => daemon.stop(),
            _ => Ok(()),
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        unmount_below(&self.folder);
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            say::error(&format!("xtask: {} cannot be removed: {error}", self.folder.display()));
        }
    }
}
