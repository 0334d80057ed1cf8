//! `cargo xtask vm-demo`: the release binary alone on a Debian machine.
//!
//! What it shows: a Debian root with systemd, control groups of version 2 only and Debian's cloud kernel boots in QEMU without
//! KVM, gets the release binary and nothing else of ours, and `bocage demo` ends well there.
//!
//! Flow: debootstrap makes a root once (`target/vm/root`); the binary and one systemd unit are laid into it; `mke2fs -d` writes
//! it as a disk image, without a loop device; QEMU boots kernel and initial disk from the root. The first serial port takes the
//! boot's messages (`target/vm/console.log`), the second what the demo prints, which is shown as it comes. The unit prints the
//! demo's exit code in its last line and powers the machine off, whatever happened.
//!
//! Absent on purpose: a network card. The demo needs none.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::{images, product, say, shell};

/// What the machine has beyond Debian's smallest root: an init, devices, modules, a kernel.
const PACKAGES: &str = "systemd-sysv,udev,kmod,initramfs-tools,zstd,linux-image-cloud-amd64";

/// The longest life of the machine, in seconds. It takes 20 on two cores; a busy machine needs several times that.
const MACHINE_SECONDS_MAX: &str = "600";

/// Memory of the machine, in MiB.
const MEMORY_MIB: &str = "1024";

/// Size of its disk: sparse, so only what is written counts.
const DISK_SIZE: &str = "3G";

/// The kernel's command line: the second version of control groups and no other.
const KERNEL_WORDS: &str =
    "root=/dev/vda rw console=ttyS0 cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1";

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
    shell::install(&[
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("debootstrap", "debootstrap"),
        ("mke2fs", "e2fsprogs"),
        ("timeout", "coreutils"),
    ])?;
    product::build()?;
    shell::as_root(&["vm-demo"], as_root)
}

/// The half that needs root: files that belong to root are made and packed.
pub(crate) fn as_root() -> Result<()> {
    let binary = product::built()?;
    let folder = shell::target().join("vm");
    fs::create_dir_all(&folder).context("the folder of the machine cannot be made")?;
    let root = root(&folder)?;
    lay_in(&root, &binary)?;
    let disk = folder.join("disk.img");
    pack(&root, &disk)?;
    let shown = boot(&root, &disk, &folder.join("console.log"));
    let removed = fs::remove_file(&disk).context("the disk image cannot be removed");
    let code = shown?;
    removed?;
    if code.as_deref() != Some("0") {
        bail!("the demo did not end well in the machine; its boot is in {}/console.log", folder.display());
    }
    say::line(
        "vm-demo: a Debian machine with systemd and control groups v2 booted in QEMU, and `bocage demo` ended well there",
    );
    Ok(())
}

/// The Debian root, made once and kept.
fn root(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("root");
    if root.is_dir() {
        return Ok(root);
    }
    let half = folder.join("root.half");
    if half.is_dir() {
        fs::remove_dir_all(&half).context("a root that was left half made cannot be removed")?;
    }
    say::step("making a Debian root with systemd and the cloud kernel");
    images::debootstrap(&images::Mirror::find()?, &half, PACKAGES)?;
    fs::write(half.join("etc/hostname"), "field\n").context("the machine's name cannot be written")?;
    fs::rename(&half, &root).context("the finished root cannot be renamed")?;
    Ok(root)
}

/// Puts the binary and the unit into the root, replacing those of an earlier run.
fn lay_in(root: &Path, binary: &Path) -> Result<()> {
    let inside = root.join("usr/local/bin/bocage");
    fs::copy(binary, &inside)
        .with_context(|| format!("{} cannot be copied into the machine", binary.display()))?;
    let units = root.join("etc/systemd/system");
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants).context("the folder of units cannot be made")?;
    fs::write(units.join("demo.service"), UNIT).context("the unit cannot be written")?;
    let link = wants.join("demo.service");
    if fs::symlink_metadata(&link).is_err() {
        symlink("../demo.service", &link).context("the unit cannot be enabled")?;
    }
    Ok(())
}

/// Writes the root as an ext4 disk image.
fn pack(root: &Path, disk: &Path) -> Result<()> {
    if disk.exists() {
        fs::remove_file(disk).context("the disk image of an earlier run cannot be removed")?;
    }
    say::step("writing the disk image");
    let program = shell::path_of("mke2fs").context("mke2fs is not installed")?;
    let (root, disk) = (root.to_string_lossy(), disk.to_string_lossy());
    let words = ["-q", "-t", "ext4", "-d", &root, &disk, DISK_SIZE];
    shell::quietly(&mut shell::command(&program.to_string_lossy(), &words))
}

/// Boots the machine, shows what the demo prints, and returns the demo's exit code if it came so far.
fn boot(root: &Path, disk: &Path, console: &Path) -> Result<Option<String>> {
    say::step("booting it in QEMU, without KVM");
    let kernel = root.join("vmlinuz");
    let initial = root.join("initrd.img");
    let drive = format!("file={},format=raw,if=virtio,cache=unsafe", disk.display());
    let console = format!("file:{}", console.display());
    #[rustfmt::skip]
    let words = [
        "--signal=KILL", MACHINE_SECONDS_MAX, "qemu-system-x86_64",
        "-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "q35", "-smp", "2", "-m", MEMORY_MIB,
        "-nodefaults", "-display", "none", "-no-reboot",
        "-kernel", &kernel.to_string_lossy(), "-initrd", &initial.to_string_lossy(), "-append", KERNEL_WORDS,
        "-drive", &drive, "-serial", &console,
        "-chardev", "stdio,id=demo,signal=off", "-serial", "chardev:demo",
    ]
    .map(str::to_owned);
    let mut child = shell::command("timeout", &words)
        .stdout(Stdio::piped())
        .spawn()
        .context("QEMU could not be started")?;
    let output = child.stdout.take().context("QEMU has no output")?;
    let mut code = None;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("the output of the machine cannot be read")?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        say::line(&format!("  | {line}"));
        code = line.strip_prefix(MARK).map(str::to_owned).or(code);
    }
    let status = child.wait().context("the end of QEMU cannot be waited for")?;
    if !status.success() {
        bail!("the machine did not end by itself: {status}");
    }
    Ok(code)
}
