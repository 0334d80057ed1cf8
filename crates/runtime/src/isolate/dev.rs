//! `/dev` of a container: a small tmpfs with the default nodes and links, its own terminals, message queues, and the
//! host's devices that the setup names.

use super::environment::{Child, During, Outcome, Problem, error_text};
use super::mounts::{new_file_system, put, put_in_root};
use super::paths::{self, Missing};
use crate::cgroup::DeviceRule;
use crate::setup::Setup;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::ffi::OsStr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Nodes that every container has: name, major, minor.
const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
/// Links that every container has: where to, name.
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("/proc/kcore", "core"),
    ("pts/ptmx", "ptmx"),
];
/// Directories of the host's `/dev` that are file systems or links of their own, and what a terminal makes.
const NOT_SHOWN: [&str; 6] = ["pts", "shm", "mqueue", "fd", "console", "ptmx"];
/// As many nodes as are taken from the host's `/dev`.
const NODES_MAX: usize = 4096;

/// A device of the host that is shown in the container.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it appears.
    target: PathBuf,
    /// Its type and permissions, as in `st_mode`.
    mode: u32,
    /// Its owner's number and its group's.
    owner: (u32, u32),
    /// Its major and minor number.
    device: (u32, u32),
    /// What is allowed: a subset of `rwm`.
    access: String,
}

/// Looks at the devices that the setup names, on the host.
pub(crate) fn host_nodes(setup: &Setup) -> Result<Vec<Node>, Problem> {
    let mut nodes = Vec::new();
    if setup.all_devices {
        collect(Path::new("/dev"), Path::new("/dev"), "rwm", &mut nodes)?;
    }
    for device in &setup.devices {
        let before = nodes.len();
        collect(&device.source, &device.target, &device.access, &mut nodes)?;
        if nodes.len() == before {
            return Err(Problem::new(format!("{} is not a device node", device.source.display())));
        }
    }
    Ok(nodes)
}

/// One node, or all nodes beneath a directory.
fn collect(source: &Path, target: &Path, access: &str, nodes: &mut Vec<Node>) -> Outcome {
    let about = std::fs::metadata(source).during(format_args!("look at the device {}", source.display()))?;
    let kind = about.file_type();
    if kind.is_dir() {
        let entries = std::fs::read_dir(source).during(format_args!("list {}", source.display()))?;
        for entry in entries {
            let entry = entry.during(format_args!("list {}", source.display()))?;
            let name = entry.file_name();
            let special = NOT_SHOWN.iter().any(|special| *special == name);
            if entry.file_type().is_ok_and(|kind| !kind.is_symlink() && !kind.is_file()) && !special {
                collect(&entry.path(), &target.join(&name), access, nodes)?;
            }
        }
    } else if (kind.is_char_device() || kind.is_block_device()) && nodes.len() < NODES_MAX {
        nodes.push(Node {
            target: target.to_owned(),
            mode: about.mode(),
            owner: (about.uid(), about.gid()),
            device: (rustix::fs::major(about.rdev()), rustix::fs::minor(about.rdev())),
            access: access.to_owned(),
        });
    }
    Ok(())
}

/// What the control group allows; nothing for everything.
pub(crate) fn rules(setup: &Setup, nodes: &[Node]) -> Vec<DeviceRule> {
    if setup.all_devices {
        return Vec::new();
    }
    let named = nodes.iter().map(|node| DeviceRule {
        block: FileType::from_raw_mode(node.mode) == FileType::BlockDevice,
        major: Some(node.device.0),
        minor: Some(node.device.1),
        read: node.access.contains('r'),
        write: node.access.contains('w'),
        make: node.access.contains('m'),
    });
    DeviceRule::DEFAULT.into_iter().chain(named).collect()
}

/// Mounts `/dev` with what every container has there.
pub(super) fn mount(child: &mut Child<'_>, target: &Path) -> Outcome {
    let options = [("mode", Some("755")), ("size", Some("65536k"))];
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID;
    let dev = new_file_system("tmpfs", &options, quiet | MountAttrFlags::MOUNT_ATTR_STRICTATIME)
        .during("make a tmpfs for /dev")?;
    put_in_root(child, dev.as_fd(), target)?;
    for (name, major, minor) in NODES {
        let device = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(&dev, name, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device)
            .during(format_args!("make /dev/{name}"))?;
    }
    for (to, name) in LINKS {
        rustix::fs::symlinkat(to, &dev, name).during(format_args!("link /dev/{name}"))?;
    }
    let noexec = quiet | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let pts_options =
        [("newinstance", None), ("ptmxmode", Some("0666")), ("mode", Some("0620")), ("gid", Some("5"))];
    let pts = new_file_system("devpts", &pts_options, noexec).during("make devpts")?;
    let mqueue =
        new_file_system("mqueue", &[], noexec | MountAttrFlags::MOUNT_ATTR_NODEV).during("make mqueue")?;
    for (name, made) in [("pts", &pts), ("mqueue", &mqueue)] {
        rustix::fs::mkdirat(&dev, name, Mode::from_raw_mode(0o755))
            .during(format_args!("make /dev/{name}"))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory =
            rustix::fs::openat(&dev, name, flags, Mode::empty()).during(format_args!("open /dev/{name}"))?;
        put(made.as_fd(), directory.as_fd()).during(format_args!("mount /dev/{name}"))?;
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null = rustix::fs::openat(&dev, "null", flags, Mode::empty()).during("open /dev/null")?;
    if !is_device(null.as_fd(), 1, 3).during("look at /dev/null")? {
        return Err(Problem::new("/dev/null is not the null device"));
    }
    (child.dev, child.pts, child.null) = (Some(dev), Some(pts), Some(null));
    Ok(())
}

/// Whether a descriptor holds this character device and nothing else.
pub(super) fn is_device(descriptor: BorrowedFd<'_>, major: u32, minor: u32) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(descriptor)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(major, minor))
}

/// Whether a name is that device already.
fn is_node(directory: BorrowedFd<'_>, name: &OsStr, node: &Node) -> bool {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::from_raw_mode(node.mode)
            && stat.st_rdev == rustix::fs::makedev(node.device.0, node.device.1)
    })
}

/// Makes the host's devices that are shown, with their owners and permissions there.
pub(super) fn make_nodes(child: &Child<'_>) -> Outcome {
    let Some(root) = &child.root else { return Ok(()) };
    for node in child.nodes {
        let name = node.target.display();
        let (Some(parent), Some(last)) = (node.target.parent(), node.target.file_name()) else {
            return Err(Problem::new(format!("{name} cannot be a device")));
        };
        let directory = paths::find_or_make(root.as_fd(), parent, Missing::Directory)?;
        let device = rustix::fs::makedev(node.device.0, node.device.1);
        let mode = Mode::from_raw_mode(node.mode & 0o7777);
        let make = || rustix::fs::mknodat(&directory, last, FileType::from_raw_mode(node.mode), mode, device);
        let made = match make() {
            // One of the default nodes, most likely: they are in use by other steps.
            Err(Errno::EXIST) if is_node(directory.as_fd(), last, node) => continue,
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(&directory, last, AtFlags::empty()).and_then(|()| make())
            }
            other => other,
        };
        made.map_err(|error| Problem::new(format!("make the device {name}: {}", error_text(error))))?;
        let (owner, group) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
        rustix::fs::chownat(&directory, last, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)
            .during(format_args!("set the owner of {name}"))?;
    }
    Ok(())
}
