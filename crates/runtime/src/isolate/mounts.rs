//! The steps that mount what the setup names into the new root, and hide or protect paths there.
//!
//! Bind sources were opened by the shim as detached trees; everything else is made by fsopen(2). Either way there is a descriptor
//! of a mount and one of its target, found inside the root, and move_mount(2) puts one on the other.

use super::environment::{Child, During, Outcome, Problem};
use super::paths::{self, Missing};
use super::{copyup, dev};
use crate::setup::{Attributes, Change, Mount, MountKind, Options};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use std::path::Path;

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

/// A detached copy of the mount that a path is in, from there on; an empty path is the descriptor itself.
pub(super) fn copy_of(at: BorrowedFd<'_>, path: &Path, recursive: bool) -> Result<OwnedFd, Errno> {
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

/// Makes every new file system, detached, in the container's namespaces but while the host's `proc` and `sys` are still there to
/// be seen: in a user namespace the kernel gives nobody more of them than they could see before.
pub(super) fn make_all(child: &mut Child<'_>) -> Outcome {
    let Some(setup) = child.setup else { return Ok(()) };
    for mount in &setup.mounts {
        let MountKind::New { kind, source } = &mount.kind else {
            child.found.made.push(None);
            continue;
        };
        let mut data: Vec<(&str, Option<&str>)> =
            mount.options.data.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        data.push(("source", Some(source)));
        let attributes = mount.options.mount.set.and(mount.options.tree.set);
        let flags = MountAttrFlags::from_bits_retain(attributes.bits() as _);
        let name = mount.target.display();
        child.found.made.push(Some(make(kind, &data, flags, &name.to_string())?));
    }
    Ok(())
}

/// One file system. An option that it does not take is named.
fn make(
    kind: &str,
    data: &[(&str, Option<&str>)],
    flags: MountAttrFlags,
    target: &str,
) -> Result<OwnedFd, Problem> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .during(format_args!("make a file system of kind {kind:?} for {target}"))?;
    for (name, value) in data {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(context.as_fd(), *name, *value),
            None => rustix::mount::fsconfig_set_flag(context.as_fd(), *name),
        }
        .during(format_args!("set the option {name:?} of {kind} for {target}"))?;
    }
    rustix::mount::fsconfig_create(context.as_fd()).during(format_args!("make {kind} for {target}"))?;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
        .during(format_args!("make a mount of {kind} for {target}"))
}

/// Mounts everything in the setup's order, in the container's root, wherever that is attached.
pub(super) fn mount_all(child: &mut Child<'_>) -> Outcome {
    let Some(setup) = child.setup else { return Ok(()) };
    for (index, mount) in setup.mounts.iter().enumerate() {
        mount_one(child, index, mount)?;
    }
    dev::make_nodes(child)
}

fn mount_one(child: &mut Child<'_>, index: usize, mount: &Mount) -> Outcome {
    let target = mount.target.as_path();
    let name = target.display();
    let options = &mount.options;
    let made = match &mount.kind {
        MountKind::Bind { .. } | MountKind::Beneath { .. } | MountKind::Layers { .. } => {
            child.sources.binds.get_mut(index).and_then(Option::take)
        }
        MountKind::New { .. } => child.found.made.get_mut(index).and_then(Option::take),
        MountKind::Dev => return dev::mount(child, target),
        MountKind::Cgroup => return mount_cgroup(child, target, &mount.options),
    };
    let made = made.ok_or_else(|| Problem::new(format!("nothing was opened for {name}")))?;
    let changes = |what: Change| {
        sys::mount::change(made.as_fd(), what).during(format_args!("set the options of the mount on {name}"))
    };
    if mount.kind.is_of_host() {
        changes(options.tree)?;
        changes(options.mount)?;
    }
    if let MountKind::New { kind, .. } = &mount.kind
        && (kind == "proc" || kind == "sysfs")
    {
        check_ordinary(child, target)?;
    }
    if options.copy_up {
        copyup::fill(child.root()?, target, made.as_fd())
            .during(format_args!("copy what {name} holds into the mount on it"))?;
    }
    put_in_root(child, made.as_fd(), target)?;
    options.passing.iter().try_for_each(|passing| changes(*passing))
}

/// The kernel's own file systems go where their name says: a link in the image would let what is shown under that name be
/// something else.
fn check_ordinary(child: &Child<'_>, target: &Path) -> Outcome {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else { return Ok(()) };
    let Some(parent) = find_if_there(child.root()?, parent)? else { return Ok(()) };
    let is_link = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
    if is_link {
        return Err(Problem::new(format!("{} must be mounted on ordinary directory", target.display())));
    }
    Ok(())
}

/// Puts a mount on a path of the container, made where it is missing: a file for a file.
pub(super) fn put_in_root(child: &Child<'_>, mount: BorrowedFd<'_>, path: &Path) -> Outcome {
    let root = child.root()?;
    let name = path.display();
    let missing = match paths::is_directory(mount).during(format_args!("look at what goes on {name}"))? {
        true => Missing::Directory,
        false => Missing::File,
    };
    let target = paths::find_or_make(root, path, missing)?;
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

/// Puts a mount on a directory that is made for it, in a mount of the runtime's own that nobody else has touched yet.
pub(super) fn put_in_new(top: BorrowedFd<'_>, name: &str, mount: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::mkdirat(top, name, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    put(mount, rustix::fs::openat(top, name, flags, Mode::empty())?.as_fd())
}

/// v2: its one tree. v1: a directory for each hierarchy, read-only like the hierarchies themselves.
fn mount_cgroup(child: &Child<'_>, target: &Path, options: &Options) -> Outcome {
    let attributes = MountAttrFlags::from_bits_retain(options.mount.set.bits() as _);
    if child.entrance.tasks.is_empty() {
        let made = new_file_system("cgroup2", &[], QUIET | attributes).during("make cgroup2")?;
        return put_in_root(child, made.as_fd(), target);
    }
    let top = new_file_system("tmpfs", &[("mode", Some("755"))], QUIET).during("make the cgroup tmpfs")?;
    put_in_root(child, top.as_fd(), target)?;
    for controllers in &child.entrance.controllers {
        let options: Vec<(&str, Option<&str>)> =
            controllers.iter().map(|name| (name.as_str(), None)).collect();
        let name = controllers.join(",");
        let made = new_file_system("cgroup", &options, QUIET | attributes)
            .during(format_args!("make the cgroup hierarchy {name}"))?;
        put_in_new(top.as_fd(), &name, made.as_fd())
            .during(format_args!("mount the cgroup hierarchy {name}"))?;
        for controller in controllers.iter().filter(|_| controllers.len() > 1) {
            rustix::fs::symlinkat(name.as_str(), &top, controller.as_str())
                .during(format_args!("link {controller} to {name}"))?;
        }
    }
    let change = Change { recursive: false, ..options.mount };
    sys::mount::change(top.as_fd(), change).during("set the options of the cgroup tmpfs")
}

/// Hides a directory under an empty one and a file under the null device of the container's own `/dev`, which was
/// checked when it was made: the image or a volume cannot have put something else there.
pub(super) fn mask_paths(child: &mut Child<'_>) -> Outcome {
    let (Some(setup), Some(root)) = (child.setup, &child.found.root) else { return Ok(()) };
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
            let null =
                child.found.null.as_ref().ok_or_else(|| Problem::new("masking a file needs a /dev"))?;
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
    let (Some(setup), Some(root)) = (child.setup, &child.found.root) else { return Ok(()) };
    for path in &setup.read_only_paths {
        let name = path.display();
        let Some(target) = find_if_there(root.as_fd(), path)? else { continue };
        let copy = copy_of_open(target.as_fd(), true).during(format_args!("copy {name}"))?;
        sys::mount::change(copy.as_fd(), Change::set(Attributes::READ_ONLY).recursively())
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
