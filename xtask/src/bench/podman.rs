//! A Podman of the benchmark's own: its roots and settings in one folder, its network and its mounts in namespaces of their own.
//!
//! What it writes elsewhere goes into memory that ends with it, and its bridge and rules never reach the machine. What it starts containers with refuses a machine that has control groups v2 with controllers beside v1, so that v2 is not
//! mounted in that namespace where v1 is.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use runtime::cgroup::Layout;
use rustix::process::{Resource, getrlimit};

/// The group that it makes beneath the root of every hierarchy.
pub(super) const GROUPS: &str = "libpod_parent";
/// The most descriptors and processes that its containers are given: less than what machines grant.
const LIMIT_MAX: u64 = 8192;
/// What is run in the new namespaces: the first word's mount is taken away, the others are run.
const SCRIPT: &str = "test -z \"$0\" || umount \"$0\"; mkdir -p /var/lib/cni && mount -t tmpfs tmpfs /var/lib/cni && \
    mount -t tmpfs tmpfs /run && exec \"$@\"";

/// Its command line without a service: each command in mounts of its own, on the machine's network.
pub(super) fn alone(folder: &Path) -> Result<Vec<String>> {
    let settings = folder.join("containers.conf");
    std::fs::write(&settings, limits())
        .with_context(|| format!("{} cannot be written", settings.display()))?;
    let mut all = ["unshare", "--mount", "--", "sh", "-c", SCRIPT, ""].map(str::to_owned).to_vec();
    all.extend(words(folder));
    Ok(all)
}

/// The command line of its service, whose API is at a socket.
pub(super) fn service(folder: &Path, socket: &Path) -> Result<Command> {
    let settings = folder.join("containers.conf");
    std::fs::write(&settings, limits())
        .with_context(|| format!("{} cannot be written", settings.display()))?;
    let layout = Layout::detect().unwrap_or_default();
    let hidden = layout.unified.clone().filter(|_| layout.is_v1()).unwrap_or_default();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--", "sh", "-c", SCRIPT]).arg(hidden).args(words(folder));
    command.args(["system", "service", "--time=0"]).arg(format!("unix://{}", socket.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// Its command line, in the namespaces of its service.
pub(super) fn client(folder: &Path, service: u32) -> Vec<String> {
    let namespace = |kind: &str, name: &str| format!("--{kind}=/proc/{service}/ns/{name}");
    let mut all =
        vec!["nsenter".to_owned(), namespace("mount", "mnt"), namespace("net", "net"), "--".to_owned()];
    all.extend(words(folder));
    all
}

/// Its name and the words that tell it where everything is.
fn words(folder: &Path) -> Vec<String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let words = [
        "env",
        &format!("CONTAINERS_CONF={}", path("containers.conf")),
        "podman",
        "--cgroup-manager=cgroupfs",
        "--events-backend=file",
        "--root",
        &path("data"),
        "--runroot",
        &path("exec"),
    ];
    words.map(str::to_owned).to_vec()
}

/// Limits that this machine allows: Podman asks for more, and some machines grant nobody more.
fn limits() -> String {
    let limit = |name: &str, resource| {
        let most = getrlimit(resource).maximum.unwrap_or(LIMIT_MAX).min(LIMIT_MAX);
        format!("\"{name}={most}:{most}\"")
    };
    let limits = [limit("nofile", Resource::Nofile), limit("nproc", Resource::Nproc)];
    format!("[containers]\ndefault_ulimits = [{}]\n", limits.join(", "))
}
