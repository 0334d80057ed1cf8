//! `/dev` of a container: a small tmpfs with the default nodes and links, its own terminals, message queues, and the
//! host's devices that the setup names.

use super::environment::{Child, During, Outcome, Problem, error_text};
use super::mounts::{new_file_system, put, put_in_new, put_in_root};
use super::paths::{self, Missing};
use crate::cgroup::{DeviceEntry, DeviceKind, DeviceRule};
use crate::setup::{MountKind, NewNode, NodeKind, Setup};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
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
    /// Where it is on the host.
    source: PathBuf,
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
            source: source.to_owned(),
            target: target.to_owned(),
            mode: about.mode(),
            owner: (about.uid(), about.gid()),
            device: (rustix::fs::major(about.rdev()), rustix::fs::minor(about.rdev())),
            access: access.to_owned(),
        });
    }
    Ok(())
}

/// What the control group says of devices, where the setup says nothing: an empty list allows all.
pub(crate) fn rules(setup: &Setup, nodes: &[Node]) -> Vec<DeviceEntry> {
    if setup.all_devices {
        return Vec::new();
    }
    let named = nodes.iter().map(|node| DeviceEntry {
        allow: true,
        kind: match FileType::from_raw_mode(node.mode) {
            FileType::BlockDevice => DeviceKind::Block,
            _ => DeviceKind::Character,
        },
        major: Some(node.device.0),
        minor: Some(node.device.1),
        read: node.access.contains('r'),
        write: node.access.contains('w'),
        make: node.access.contains('m'),
    });
    let defaults = DeviceRule::DEFAULT.iter().map(DeviceEntry::from);
    [DeviceEntry::DENY_ALL].into_iter().chain(defaults).chain(named).collect()
}

/// Mounts `/dev` with what every container has there.
pub(super) fn mount(child: &mut Child<'_>, target: &Path) -> Outcome {
    let options = [("mode", Some("755")), ("size", Some("65536k"))];
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID;
    let dev = new_file_system("tmpfs", &options, quiet | MountAttrFlags::MOUNT_ATTR_STRICTATIME)
        .during("make a tmpfs for /dev")?;
    put_in_root(child, dev.as_fd(), target)?;
    for (name, major, minor) in NODES {
        if child.has_user_namespace() {
            let node = child.sources.nodes.iter().find(|(path, _)| path.ends_with(name));
            let Some((_, node)) = node else {
                return Err(Problem::new(format!("no /dev/{name} was opened")));
            };
            bind(dev.as_fd(), OsStr::new(name), node.as_fd()).during(format_args!("bind /dev/{name}"))?;
            continue;
        }
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
    put_in_new(dev.as_fd(), "pts", pts.as_fd()).during("mount /dev/pts")?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null = rustix::fs::openat(&dev, "null", flags, Mode::empty()).during("open /dev/null")?;
    if !is_device(null.as_fd(), 1, 3).during("look at /dev/null")? {
        return Err(Problem::new("/dev/null is not the null device"));
    }
    (child.found.dev, child.found.pts, child.found.null) = (Some(dev), Some(pts), Some(null));
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

/// Makes the devices that are shown, with their owners and permissions, and what every container has in a `/dev`
/// that was not mounted as one piece.
pub(super) fn make_nodes(child: &mut Child<'_>) -> Outcome {
    let Some(setup) = child.setup else { return Ok(()) };
    let host = child.nodes.iter().cloned();
    let defaults = NODES.iter().filter(|_| setup.default_nodes).map(|(name, major, minor)| Node {
        source: PathBuf::new(),
        target: Path::new("/dev").join(name),
        mode: FileType::CharacterDevice.as_raw_mode() | 0o666,
        owner: (0, 0),
        device: (*major, *minor),
        access: String::new(),
    });
    let all: Vec<Node> = defaults.chain(host).chain(setup.nodes.iter().map(Node::described)).collect();
    for node in &all {
        make_node(child, node)?;
    }
    if setup.default_nodes { default_links(child) } else { Ok(()) }
}

impl Node {
    /// A node that the host need not have.
    fn described(new: &NewNode) -> Node {
        let kind = match new.kind {
            NodeKind::Character => FileType::CharacterDevice,
            NodeKind::Block => FileType::BlockDevice,
            NodeKind::Pipe => FileType::Fifo,
        };
        Node {
            source: PathBuf::new(),
            target: new.target.clone(),
            mode: kind.as_raw_mode() | new.mode,
            owner: new.owner,
            device: new.device,
            access: String::new(),
        }
    }
}

fn make_node(child: &Child<'_>, node: &Node) -> Outcome {
    let name = node.target.display();
    let (Some(parent), Some(last)) = (node.target.parent(), node.target.file_name()) else {
        return Err(Problem::new(format!("{name} cannot be a device")));
    };
    let directory = paths::find_or_make(child.root()?, parent, Missing::Directory)?;
    // One of the default nodes, most likely: they are in use by other steps.
    if is_node(directory.as_fd(), last, node) {
        return Ok(());
    }
    match rustix::fs::unlinkat(&directory, last, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error).during(format_args!("make way for the device {name}")),
    }
    if let Some((_, there)) = child.sources.nodes.iter().find(|(target, _)| *target == node.target) {
        return bind(directory.as_fd(), last, there.as_fd()).during(format_args!("bind the device {name}"));
    }
    let device = rustix::fs::makedev(node.device.0, node.device.1);
    let mode = Mode::from_raw_mode(node.mode & 0o7777);
    rustix::fs::mknodat(&directory, last, FileType::from_raw_mode(node.mode), mode, device)
        .map_err(|error| Problem::new(format!("make the device {name}: {}", error_text(error))))?;
    let (owner, group) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
    rustix::fs::chownat(&directory, last, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        .during(format_args!("set the owner of {name}"))
}

/// Shows an open node in a directory, under a file that is made for it.
fn bind(directory: BorrowedFd<'_>, name: &OsStr, node: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let target = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644))?;
    put(node, target.as_fd())
}

/// The host's own nodes as detached mounts, for a user namespace, where none can be made.
pub(super) fn open_nodes(setup: &Setup, nodes: &[Node]) -> Result<Vec<(PathBuf, OwnedFd)>, Problem> {
    let named = nodes.iter().map(|node| (node.source.clone(), node.target.clone()));
    let described = setup
        .nodes
        .iter()
        .filter(|node| node.kind != NodeKind::Pipe)
        .map(|node| (node.target.clone(), node.target.clone()));
    let has_dev = setup.default_nodes || setup.mounts.iter().any(|mount| mount.kind == MountKind::Dev);
    let defaults = NODES.iter().filter(|_| has_dev).map(|(name, ..)| {
        let path = Path::new("/dev").join(name);
        (path.clone(), path)
    });
    let mut opened = Vec::new();
    for (source, target) in defaults.chain(named).chain(described) {
        let node = super::mounts::copy_of(CWD, &source, false)
            .during(format_args!("open the host's device {}", source.display()))?;
        opened.push((target, node));
    }
    Ok(opened)
}

/// The links of a `/dev` that was mounted piece by piece, and what other steps need of it.
fn default_links(child: &mut Child<'_>) -> Outcome {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let dev = paths::find(child.root()?, Path::new("/dev"), flags).during("open /dev")?;
    for (to, name) in LINKS {
        if name == "ptmx" {
            // A node here would be the multiplexer of nobody's terminals.
            match rustix::fs::unlinkat(&dev, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error).during("make way for /dev/ptmx"),
            }
        }
        match rustix::fs::symlinkat(to, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).during(format_args!("link /dev/{name}")),
        }
    }
    let null =
        rustix::fs::openat(&dev, "null", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .during("open /dev/null")?;
    if !is_device(null.as_fd(), 1, 3).during("look at /dev/null")? {
        return Err(Problem::new("/dev/null is not the null device"));
    }
    if let Ok(pts) = paths::find(child.root()?, Path::new("/dev/pts"), flags)
        && rustix::fs::fstatfs(&pts).is_ok_and(|found| found.f_type as u64 == super::streams::DEVPTS)
    {
        child.found.pts = Some(pts);
    }
    (child.found.dev, child.found.null) = (Some(dev), Some(null));
    Ok(())
}
