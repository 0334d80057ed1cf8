//! `cargo xtask vm-demo`: the release binary alone on a Debian machine.
//!
//! What it shows: a Debian root with systemd, control groups of version 2 only and Debian's cloud kernel boots in QEMU without
//! KVM, gets the release binary and nothing else of ours, and `bocage demo` ends well there.
//!
//! The unit prints the demo's exit code in its last line. The boot's messages are in `target/vm/console.log`.

use std::fs;

use anyhow::{Context as _, Result, bail};

use super::machine::{self, Boot};
use crate::{product, say, shell};

/// The longest life of the machine. It takes 20 seconds on two cores; a busy machine needs several times that.
const MACHINE_SECONDS_MAX: u64 = 600;

/// Memory of the machine.
const MEMORY_MIB: u32 = 1024;

/// The start of the last line that the unit prints; the demo's exit code follows.
const MARK: &str = "demo ended with ";

/// The unit that runs the demo. `%%` is systemd's way to write a percent sign.
const UNIT: &str = "[Unit]
Description=Bocage's demonstration
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
Environment=HOME=/root
WorkingDirectory=/root
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
ExecStart=/bin/sh -c '\\
  echo \"Linux $(uname -r), $(systemctl --version | head -n 1), /sys/fs/cgroup is $(stat -fc %%T /sys/fs/cgroup)\"; \\
  /usr/local/bin/bocage demo; \\
  echo \"demo ended with $?\"'
";

/// `cargo xtask vm-demo`.
pub(crate) fn run() -> Result<()> {
    machine::install()?;
    product::build()?;
    shell::as_root(&["vm-demo"], as_root)
}

/// The half that needs root: files that belong to root are made and packed.
pub(crate) fn as_root() -> Result<()> {
    let binary = product::built()?;
    let folder = shell::target().join("vm");
    fs::create_dir_all(&folder).context("the folder of the machine cannot be made")?;
    let root = machine::root(&folder, "root", "")?;
    fs::copy(&binary, root.join("usr/local/bin/bocage"))
        .with_context(|| format!("{} cannot be copied into the machine", binary.display()))?;
    machine::lay_in_unit(&root, "demo.service", UNIT)?;
    let disk = folder.join("disk.img");
    machine::pack(&root, &disk)?;
    say::step("booting it in QEMU, without KVM");
    let boot = Boot {
        root: &root,
        disks: &[&disk],
        console: &folder.join("console.log"),
        accelerator: machine::SLOW,
        memory_mib: MEMORY_MIB,
        seconds_max: MACHINE_SECONDS_MAX,
    };
    let mut code = None;
    let ended = machine::boot(&boot, |line| {
        say::line(&format!("  | {line}"));
        code = line.strip_prefix(MARK).map(str::to_owned).or(code.take());
    });
    let removed = fs::remove_file(&disk).context("the disk image cannot be removed");
    ended?;
    removed?;
    if code.as_deref() != Some("0") {
        bail!("the demo did not end well in the machine; its boot is in {}/console.log", folder.display());
    }
    say::line(
        "vm-demo: a Debian machine with systemd and control groups v2 booted in QEMU, and `bocage demo` ended well there",
    );
    Ok(())
}
