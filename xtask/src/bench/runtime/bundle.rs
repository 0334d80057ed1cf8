//! Bundles of the OCI runtime specification: one root file system with a static busybox, and a configuration for each program.
//!
//! All runtimes get the very same files: Docker's capabilities and paths, namespaces of their own, no terminal, no limits. No
//! system call filter either, as building one costs each of them differently, and those who have a cache are not asked twice here.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use runtime::cgroup::Layout;
use serde_json::{Value, json};

use crate::shell;

/// The names under which the root has its busybox.
const APPLETS: [&str; 3] = ["true", "sleep", "sh"];
/// Directories of the root that something is mounted on.
const MOUNT_POINTS: [&str; 4] = ["bin", "proc", "sys", "dev"];
/// Docker's capabilities.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
/// What a container cannot look into.
const MASKED: [&str; 8] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// What a container can only look at.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The bundles of one run, gone with this value.
pub(super) struct Bundles {
    folder: PathBuf,
}

impl Bundles {
    /// Makes the root and the two bundles.
    pub(super) fn make() -> Result<Self> {
        let folder = PathBuf::from(format!("/var/tmp/bocage-bench-bundles-{}", std::process::id()));
        let bundles = Self { folder };
        let told = || format!("the bundles in {} cannot be made", bundles.folder.display());
        let busybox = shell::path_of("busybox").context("busybox is not installed")?;
        let root = bundles.root();
        for name in MOUNT_POINTS {
            fs::create_dir_all(root.join(name)).with_context(told)?;
        }
        fs::copy(busybox, root.join("bin/busybox")).with_context(told)?;
        for name in APPLETS {
            symlink("busybox", root.join("bin").join(name)).with_context(told)?;
        }
        for (bundle, words) in
            [(bundles.ending(), ["true"].as_slice()), (bundles.sleeping(), &["sleep", "1000"])]
        {
            fs::create_dir_all(&bundle).with_context(told)?;
            let text = configuration(&root, words).to_string();
            fs::write(bundle.join("config.json"), text).with_context(told)?;
        }
        Ok(bundles)
    }

    /// The root file system that the bundles share.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("rootfs")
    }

    /// The bundle whose program ends at once.
    pub(super) fn ending(&self) -> PathBuf {
        self.folder.join("true")
    }

    /// The bundle whose program sleeps.
    pub(super) fn sleeping(&self) -> PathBuf {
        self.folder.join("sleep")
    }

    /// Where a runtime keeps what it knows of its containers.
    pub(super) fn state(&self, runtime: &str) -> PathBuf {
        self.folder.join("state").join(runtime)
    }
}

impl Drop for Bundles {
    fn drop(&mut self) {
        crate::scratch::unmount_below(&self.folder);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What `runc spec` would write, with Docker's capabilities and paths.
fn configuration(root: &Path, words: &[&str]) -> Value {
    let mut namespaces: Vec<Value> =
        ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind })).to_vec();
    // Where v1 limits, runtimes leave the host's view of the groups by default.
    if Layout::detect().is_ok_and(|layout| !layout.is_v1()) {
        namespaces.push(json!({ "type": "cgroup" }));
    }
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": words,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": root, "readonly": false },
        "hostname": "bench",
        "mounts": mounts(),
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": namespaces,
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY
        }
    })
}

/// The file systems of every container.
fn mounts() -> Value {
    let mount = |target: &str, kind: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": kind, "options": options });
    json!([
        mount("/proc", "proc", &[]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"])
    ])
}
