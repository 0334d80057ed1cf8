//! A Debian machine: its root, its disk, its boot.
//!
//! Flow: debootstrap makes a root once, which is kept; one systemd unit is laid into it; `mke2fs -d` writes it as a disk image,
//! without a loop device; QEMU boots kernel and initial disk from the root. The first serial port takes the boot's messages, the
//! second what the unit prints, which is handed on line by line. The unit powers the machine off when it ends, whatever happened.
//!
//! Absent on purpose: a network card. What runs there needs none.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::{images, say, shell};

/// What every machine has beyond Debian's smallest root: an init, devices, modules, a kernel.
const PACKAGES: &str = "systemd-sysv,udev,kmod,initramfs-tools,zstd,linux-image-cloud-amd64";

/// Size of a disk: sparse, so only what is written counts.
const DISK_SIZE: &str = "3G";

/// The kernel's command line: the second version of control groups and no other.
const KERNEL_WORDS: &str =
    "root=/dev/vda rw console=ttyS0 cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1";

/// QEMU makes the processor itself, which it can do everywhere.
pub(super) const SLOW: &str = "tcg,thread=multi";

/// What one boot is like.
pub(super) struct Boot<'a> {
    /// The root, for its kernel and initial disk.
    pub(super) root: &'a Path,
    /// The disk images, that of the root first.
    pub(super) disks: &'a [&'a Path],
    /// Where the boot's messages go.
    pub(super) console: &'a Path,
    /// What makes the processor, in QEMU's words.
    pub(super) accelerator: &'a str,
    /// Memory, in MiB.
    pub(super) memory_mib: u32,
    /// The longest life of the machine.
    pub(super) seconds_max: u64,
}

/// Installs what makes and boots machines.
pub(super) fn install() -> Result<()> {
    shell::install(&[
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("debootstrap", "debootstrap"),
        ("mke2fs", "e2fsprogs"),
        ("timeout", "coreutils"),
    ])
}

/// A Debian root with some packages more, made once and kept.
pub(super) fn root(folder: &Path, name: &str, packages: &str) -> Result<PathBuf> {
    let root = folder.join(name);
    if root.is_dir() {
        return Ok(root);
    }
    let half = folder.join(format!("{name}.half"));
    if half.is_dir() {
        fs::remove_dir_all(&half).context("a root that was left half made cannot be removed")?;
    }
    say::step("making a Debian root with systemd and the cloud kernel");
    let all = if packages.is_empty() { PACKAGES.to_owned() } else { format!("{PACKAGES},{packages}") };
    images::debootstrap(&images::Mirror::find()?, &half, &all)?;
    fs::write(half.join("etc/hostname"), "field\n").context("the machine's name cannot be written")?;
    fs::rename(&half, &root).context("the finished root cannot be renamed")?;
    Ok(root)
}

/// Puts a unit into the root that runs when the machine is up, replacing that of an earlier run.
pub(super) fn lay_in_unit(root: &Path, name: &str, unit: &str) -> Result<()> {
    let units = root.join("etc/systemd/system");
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants).context("the folder of units cannot be made")?;
    fs::write(units.join(name), unit).context("the unit cannot be written")?;
    let link = wants.join(name);
    if fs::symlink_metadata(&link).is_err() {
        symlink(Path::new("..").join(name), &link).context("the unit cannot be enabled")?;
    }
    Ok(())
}

/// Writes a folder as an ext4 disk image.
pub(super) fn pack(folder: &Path, disk: &Path) -> Result<()> {
    if disk.exists() {
        fs::remove_file(disk).context("the disk image of an earlier run cannot be removed")?;
    }
    say::step("writing the disk image");
    let program = shell::path_of("mke2fs").context("mke2fs is not installed")?;
    let (folder, disk) = (folder.to_string_lossy(), disk.to_string_lossy());
    let words = ["-q", "-t", "ext4", "-d", &folder, &disk, DISK_SIZE];
    shell::quietly(&mut shell::command(&program.to_string_lossy(), &words))
}

/// Boots the machine and hands on each line that the unit prints, until the machine is off.
pub(super) fn boot(machine: &Boot<'_>, mut line: impl FnMut(&str)) -> Result<()> {
    let mut child = shell::command("timeout", &words(machine))
        .stdout(Stdio::piped())
        .spawn()
        .context("QEMU could not be started")?;
    let output = child.stdout.take().context("QEMU has no output")?;
    for read in BufReader::new(output).split(b'\n') {
        let read = read.context("the output of the machine cannot be read")?;
        line(String::from_utf8_lossy(&read).trim_end_matches('\r'));
    }
    let status = child.wait().context("the end of QEMU cannot be waited for")?;
    if !status.success() {
        bail!("the machine did not end by itself: {status}");
    }
    Ok(())
}

fn words(machine: &Boot<'_>) -> Vec<String> {
    let seconds = machine.seconds_max.to_string();
    let mut words = vec!["--signal=KILL", &seconds, "qemu-system-x86_64"];
    let memory = machine.memory_mib.to_string();
    let (kernel, initial) = (machine.root.join("vmlinuz"), machine.root.join("initrd.img"));
    let (kernel, initial) = (kernel.to_string_lossy(), initial.to_string_lossy());
    #[rustfmt::skip]
    words.extend([
        "-accel", machine.accelerator, "-cpu", "max", "-machine", "q35", "-smp", "2", "-m", &memory,
        "-nodefaults", "-display", "none", "-no-reboot",
        "-kernel", &kernel, "-initrd", &initial, "-append", KERNEL_WORDS,
    ]);
    let drive = |disk: &&Path| format!("file={},format=raw,if=virtio,cache=unsafe", disk.display());
    let drives: Vec<String> = machine.disks.iter().map(drive).collect();
    words.extend(drives.iter().flat_map(|drive| ["-drive", drive]));
    let console = format!("file:{}", machine.console.display());
    words.extend(["-serial", &console, "-chardev", "stdio,id=unit,signal=off", "-serial", "chardev:unit"]);
    words.into_iter().map(str::to_owned).collect()
}
