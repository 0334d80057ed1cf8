//! The steps that mount what the setup names into the new root, and hide or protect paths there.
//!
//! Bind sources are opened as detached trees while the host is still visible; everything else is made by fsopen(2).
//! Either way there is a descriptor of a mount and one of its target, and move_mount(2) puts one on the other.

use super::dev;
use super::environment::{Child, During, Outcome, Problem};
use super::paths::{self, Missing};
use crate::setup::{Mount, MountKind, Propagation};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use std::path::Path;
use sys::mount::{Attributes, Passing};

/// `nosuid`, `noexec`, `nodev`: what a kernel file system in a container is mounted with.
const QUIET: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// `PROC_SUPER_MAGIC` of statfs(2).
const PROC_MAGIC: u64 = 0x9fa0;
/// What may be shown in place of the kernel's own: figures of the machine, as lxcfs gives them. Anything else in `/proc` tells
/// the runtime and the container's programs what holds there, and a mount over it would lie to them.
const OVER_PROC: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// Opens a copy of each bind source's mount, in the propagation that was asked for.
pub(super) fn open_sources(child: &mut Child<'_>) -> Outcome {
    let Some(setup) = child.setup else { return Ok(()) };
    for mount in &setup.mounts {
        let tree = match &mount.kind {
            MountKind::Bind { source, recursive, propagation } => {
                Some(open_source(source, *recursive, *propagation, mount.read_only)?)
            }
            _ => None,
        };
        child.sources.push(tree);
    }
    Ok(())
}

fn open_source(
    source: &Path,
    recursive: bool,
    propagation: Propagation,
    read_only: bool,
) -> Result<OwnedFd, Problem> {
    let tree =
        copy_of(CWD, source, recursive).during(format_args!("open the bind source {}", source.display()))?;
    let passing = match propagation {
        Propagation::Private => Passing::Private,
        Propagation::Slave => Passing::Slave,
        Propagation::Shared => Passing::Shared,
    };
    let attributes = if read_only { Attributes::READ_ONLY } else { Attributes::NONE };
    sys::mount::change(tree.as_fd(), recursive, attributes, Some(passing))
        .during(format_args!("prepare the bind source {}", source.display()))?;
    Ok(tree)
}

/// A detached copy of the mount that a path is in, from there on; an empty path is the descriptor itself.
fn copy_of(at: BorrowedFd<'_>, path: &Path, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    rustix::mount::open_tree(at, path, flags)
}

/// A detached copy of the mount at an open object.
pub(super) fn copy_of_open(object: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    copy_of(object, Path::new(""), recursive)
}

/// Puts a detached mount on an open target.
pub(super) fn put(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", target, c"", flags)
}

/// A new file system, detached. An option without a value is a flag.
pub(super) fn new_file_system(
    kind: &str,
    options: &[(&str, Option<&str>)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(context.as_fd(), *name, *value)?,
            None => rustix::mount::fsconfig_set_flag(context.as_fd(), *name)?,
        }
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Mounts everything in the setup's order. From here on `/` is the container's.
pub(super) fn mount_all(child: &mut Child<'_>) -> Outcome {
    let Some(setup) = child.setup else { return Ok(()) };
    for (index, mount) in setup.mounts.iter().enumerate() {
        mount_one(child, index, mount)?;
    }
    dev::make_nodes(child)
}

fn mount_one(child: &mut Child<'_>, index: usize, mount: &Mount) -> Outcome {
    let read_only = if mount.read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
    let target = mount.target.as_path();
    let name = target.display();
    let made = match &mount.kind {
        MountKind::Bind { .. } => {
            let tree = child.sources.get_mut(index).and_then(Option::take);
            tree.ok_or_else(|| Problem::new(format!("no source was opened for {name}")))?
        }
        MountKind::Tmpfs { size_bytes, mode, options } => {
            tmpfs(*size_bytes, *mode, options, read_only).during(format_args!("make a tmpfs for {name}"))?
        }
        MountKind::Proc => {
            new_file_system("proc", &[], QUIET | read_only).during(format_args!("make proc for {name}"))?
        }
        MountKind::Sysfs => {
            new_file_system("sysfs", &[], QUIET | read_only).during(format_args!("make sysfs for {name}"))?
        }
        MountKind::Mqueue => new_file_system("mqueue", &[], QUIET | read_only)
            .during(format_args!("make mqueue for {name}"))?,
        MountKind::Dev => return dev::mount(child, target),
        MountKind::Cgroup => return mount_cgroup(child, target, read_only),
    };
    put_in_root(child, made.as_fd(), target)
}

/// Puts a mount on a path of the container, made where it is missing: a file for a file.
pub(super) fn put_in_root(child: &Child<'_>, mount: BorrowedFd<'_>, path: &Path) -> Outcome {
    let Some(root) = &child.root else { return Err(Problem::new("no root was mounted")) };
    let name = path.display();
    let missing = match paths::is_directory(mount).during(format_args!("look at what goes on {name}"))? {
        true => Missing::Directory,
        false => Missing::File,
    };
    let target = paths::find_or_make(root.as_fd(), path, missing)?;
    let is_directory = paths::is_directory(target.as_fd()).during(&name)?;
    if is_directory != (missing == Missing::Directory) {
        let (what, there) = if is_directory { ("file", "directory") } else { ("directory", "file") };
        return Err(Problem::new(format!("cannot mount a {what} on {name}, which is a {there}")));
    }
    let found = rustix::fs::fstatfs(target.as_fd()).during(&name)?;
    if found.f_type as u64 == PROC_MAGIC && !OVER_PROC.iter().any(|allowed| Path::new(allowed) == path) {
        return Err(Problem::new(format!("{name} cannot be mounted over, because it is inside /proc")));
    }
    put(mount, target.as_fd()).during(format_args!("mount on {name}"))
}

fn tmpfs(
    size_bytes: Option<u64>,
    mode: u32,
    options: &[String],
    mut attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let size = size_bytes.map(|bytes| bytes.to_string());
    let mode = format!("{mode:o}");
    let mut values = vec![("mode", Some(mode.as_str()))];
    if let Some(size) = &size {
        values.push(("size", Some(size.as_str())));
    }
    for option in options {
        match option.as_str() {
            "nosuid" => attributes |= MountAttrFlags::MOUNT_ATTR_NOSUID,
            "noexec" => attributes |= MountAttrFlags::MOUNT_ATTR_NOEXEC,
            "nodev" => attributes |= MountAttrFlags::MOUNT_ATTR_NODEV,
            "ro" => attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY,
            "noatime" => attributes |= MountAttrFlags::MOUNT_ATTR_NOATIME,
            "suid" | "exec" | "dev" | "rw" | "" => {}
            other => match other.split_once('=') {
                Some((name, value)) => values.push((name, Some(value))),
                None => values.push((other, None)),
            },
        }
    }
    new_file_system("tmpfs", &values, attributes)
}

/// v2: its one tree. v1: a directory for each hierarchy, read-only like the hierarchies themselves.
fn mount_cgroup(child: &Child<'_>, target: &Path, read_only: MountAttrFlags) -> Outcome {
    if child.entrance.tasks.is_empty() {
        let made = new_file_system("cgroup2", &[], QUIET | read_only).during("make cgroup2")?;
        return put_in_root(child, made.as_fd(), target);
    }
    let top = new_file_system("tmpfs", &[("mode", Some("755"))], QUIET).during("make the cgroup tmpfs")?;
    put_in_root(child, top.as_fd(), target)?;
    for controllers in &child.entrance.controllers {
        let options: Vec<(&str, Option<&str>)> =
            controllers.iter().map(|name| (name.as_str(), None)).collect();
        let name = controllers.join(",");
        let made = new_file_system("cgroup", &options, QUIET | read_only)
            .during(format_args!("make the cgroup hierarchy {name}"))?;
        put_in_root(child, made.as_fd(), &target.join(&name))?;
        for controller in controllers.iter().filter(|_| controllers.len() > 1) {
            rustix::fs::symlinkat(name.as_str(), &top, controller.as_str())
                .during(format_args!("link {controller} to {name}"))?;
        }
    }
    let attributes = if read_only.is_empty() { Attributes::NONE } else { Attributes::READ_ONLY };
    sys::mount::change(top.as_fd(), false, attributes, None).during("make the cgroup tmpfs read-only")
}

/// Hides a directory under an empty one and a file under the null device of the container's own `/dev`, which was
/// checked when it was made: the image or a volume cannot have put something else there.
pub(super) fn mask_paths(child: &mut Child<'_>) -> Outcome {
    let (Some(setup), Some(root)) = (child.setup, &child.root) else { return Ok(()) };
    let mut empty: Option<OwnedFd> = None;
    for path in &setup.masked_paths {
        let name = path.display();
        let Some(target) = find_if_there(root.as_fd(), path)? else { continue };
        let cover = if paths::is_directory(target.as_fd()).during(&name)? {
            match &empty {
                Some(first) => copy_of_open(first.as_fd(), false).during("copy the empty directory")?,
                None => new_file_system(
                    "tmpfs",
                    &[("mode", Some("755")), ("nr_inodes", Some("2"))],
                    QUIET | MountAttrFlags::MOUNT_ATTR_RDONLY,
                )
                .during("make an empty directory")?,
            }
        } else {
            let null = child.null.as_ref().ok_or_else(|| Problem::new("masking a file needs a /dev"))?;
            copy_of_open(null.as_fd(), false).during("copy the null device")?
        };
        put(cover.as_fd(), target.as_fd()).during(format_args!("mask {name}"))?;
        if empty.is_none() && paths::is_directory(cover.as_fd()).unwrap_or(false) {
            empty = Some(cover);
        }
    }
    Ok(())
}

/// Mounts a path on itself, read-only with all beneath it.
pub(super) fn protect_paths(child: &mut Child<'_>) -> Outcome {
    let (Some(setup), Some(root)) = (child.setup, &child.root) else { return Ok(()) };
    for path in &setup.read_only_paths {
        let name = path.display();
        let Some(target) = find_if_there(root.as_fd(), path)? else { continue };
        let copy = copy_of_open(target.as_fd(), true).during(format_args!("copy {name}"))?;
        sys::mount::change(copy.as_fd(), true, Attributes::READ_ONLY, None)
            .during(format_args!("make {name} read-only"))?;
        put(copy.as_fd(), target.as_fd()).during(format_args!("protect {name}"))?;
    }
    Ok(())
}

fn find_if_there(root: BorrowedFd<'_>, path: &Path) -> Result<Option<OwnedFd>, Problem> {
    match paths::find(root, path, OFlags::PATH) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        other => other.map(Some).during(path.display()),
    }
}
