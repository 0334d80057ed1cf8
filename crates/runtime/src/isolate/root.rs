//! The container's root: opened by the shim, put in its place by the child, and made the only one.

use super::environment::{Child, During, Outcome, Problem};
use super::sources::{self, Mapping};
use crate::setup::{Attributes, Change, Namespace, Root};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use rustix::process::{WaitId, WaitIdOptions};
use std::path::{Path, PathBuf};
use sys::process::NewNamespaces;

/// The longest value that fsconfig(2) takes, in bytes, its end included.
const VALUE_BYTES_MAX: usize = 256;

/// Nothing that is mounted from here on reaches the host. The host's later mounts still reach binds that want them.
pub(super) fn part(child: &mut Child<'_>) -> Outcome {
    if !owns_mounts(child) {
        return Ok(());
    }
    rustix::mount::mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .during("make the mounts slaves of the host's")
}

/// Whether the container has a mount namespace of its own.
pub(super) fn owns_mounts(child: &Child<'_>) -> bool {
    child.setup.is_some_and(|setup| setup.namespaces.mount != Namespace::Host)
}

/// Opens the root as a detached tree.
pub(super) fn open(root: &Root, own: &mut Mapping<'_>) -> Result<OwnedFd, Problem> {
    let tree = match root {
        Root::Directory(path) => tree_of(path)?,
        Root::Overlay { lower, upper, work, .. } => {
            let namespace = if root.is_mapped() { own.own()? } else { None };
            match namespace {
                None if lower.is_empty() => tree_of(upper)?,
                None => overlay(lower, upper, work)?,
                Some(namespace) => mapped_overlay(lower, upper, work, namespace)?,
            }
        }
    };
    sources::private(tree.as_fd()).during("make the root private")?;
    Ok(tree)
}

fn tree_of(path: &Path) -> Result<OwnedFd, Problem> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(CWD, path, flags).during(format_args!("open the root {}", path.display()))
}

/// The layers of an overlay as the kernel is told of them.
struct Layers {
    lower: Vec<String>,
    upper: String,
    work: String,
    /// What some of the names above speak of; open until the overlay is mounted.
    _held: Vec<OwnedFd>,
}

impl Layers {
    /// By their paths. Those that are too long for the kernel's interface are named by descriptors.
    fn by_path(lower: &[PathBuf], upper: &Path, work: &Path) -> Result<Layers, Problem> {
        let mut held = Vec::new();
        let mut short = |path: &Path| -> Result<String, Problem> {
            match path.to_str() {
                Some(text) if text.len() < VALUE_BYTES_MAX && !text.contains([':', ',', '\\']) => {
                    Ok(text.to_owned())
                }
                _ => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    let descriptor = rustix::fs::open(path, flags, Mode::empty())
                        .during(format_args!("open the layer {}", path.display()))?;
                    let text = by_descriptor(&descriptor);
                    held.push(descriptor);
                    Ok(text)
                }
            }
        };
        let lower = lower.iter().map(|path| short(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Layers { lower, upper: short(upper)?, work: short(work)?, _held: held })
    }
}

fn by_descriptor(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

fn overlay(lower: &[PathBuf], upper: &Path, work: &Path) -> Result<OwnedFd, Problem> {
    let layers = Layers::by_path(lower, upper, work)?;
    match overlay_by_descriptor(&layers) {
        // Before Linux 6.7 layers cannot be added one by one.
        Err(Errno::INVAL) => aside(|at| overlay_by_options(at, &Layers::by_path(lower, upper, work)?)),
        other => other.during("mount the overlay"),
    }
}

fn overlay_by_descriptor(layers: &Layers) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    rustix::mount::fsconfig_set_string(context, c"source", c"overlay")?;
    for layer in &layers.lower {
        rustix::mount::fsconfig_set_string(context, c"lowerdir+", layer.as_str())?;
    }
    rustix::mount::fsconfig_set_string(context, c"upperdir", layers.upper.as_str())?;
    rustix::mount::fsconfig_set_string(context, c"workdir", layers.work.as_str())?;
    rustix::mount::fsconfig_create(context)?;
    rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// The same by mount(2), for older kernels: mounted in place, then taken from there as a tree.
fn overlay_by_options(at: &Path, layers: &Layers) -> Result<OwnedFd, Problem> {
    let Layers { lower, upper, work, .. } = layers;
    let options = format!("lowerdir={},upperdir={upper},workdir={work}", lower.join(":"));
    let options = std::ffi::CString::new(options).map_err(|_| Problem::new("a layer's path has a null"))?;
    rustix::mount::mount(c"overlay", at, c"overlay", MountFlags::empty(), Some(options.as_c_str()))
        .during("mount the overlay")?;
    tree_of(at)
}

/// An overlay whose layers are shown through a mapping. Upper and work directory are parts of one mount, as the
/// overlay wants it: that of the directory that holds both.
fn mapped_overlay(
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    namespace: BorrowedFd<'_>,
) -> Result<OwnedFd, Problem> {
    let mapped = |path: &Path| -> Result<OwnedFd, Problem> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = rustix::mount::open_tree(CWD, path, flags)
            .during(format_args!("open the layer {}", path.display()))?;
        sys::mount::map_ids(tree.as_fd(), namespace, false)
            .during(format_args!("show the owners of {} through a mapping", path.display()))?;
        Ok(tree)
    };
    let (Some(top), true) = (upper.parent(), upper.parent() == work.parent()) else {
        return Err(Problem::new("the writable layer and its work directory must be side by side"));
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut trees = lower.iter().map(|path| mapped(path)).collect::<Result<Vec<_>, _>>()?;
    let top = mapped(top)?;
    let beneath = |base: &str| Layers {
        lower: Vec::new(),
        upper: format!("{base}/{}", name(upper)),
        work: format!("{base}/{}", name(work)),
        _held: Vec::new(),
    };
    let layers = Layers { lower: trees.iter().map(by_descriptor).collect(), ..beneath(&by_descriptor(&top)) };
    // The overlay does its work on the layers as whoever mounts it: as the root of the inside, to whom they belong as
    // they are shown. What is on disk is the host's root's, so that it shows who that is.
    let owner = rustix::fs::fstat(&top).during("look at the writable layer")?;
    let as_owner = || {
        sys::attributes::set_file_ids(owner.st_uid, owner.st_gid).during("take on the container's numbers")
    };
    as_owner()?;
    let mounted = overlay_by_descriptor(&layers);
    sys::attributes::set_file_ids(0, 0).during("take on the host's numbers")?;
    match mounted {
        // Before Linux 6.15 layers must be mounted somewhere; before 6.7 they cannot be added one by one.
        Err(Errno::INVAL) => {}
        other => return other.during("mount the overlay"),
    }
    trees.push(top);
    aside(|at| {
        // Each layer is mounted in a directory of its own, named by its number; the last one holds the upper.
        let room = super::mounts::new_file_system("tmpfs", &[], MountAttrFlags::empty())
            .during("make a room for layers")?;
        attach(room.as_fd(), at).during("mount a room for layers")?;
        let mut places = Vec::new();
        for (number, tree) in trees.iter().enumerate() {
            let place = at.join(number.to_string());
            std::fs::create_dir(&place).during("make a place for a layer")?;
            attach(tree.as_fd(), &place).during("mount a layer")?;
            places.push(place.display().to_string());
        }
        let base = places.pop().unwrap_or_default();
        let root = at.join("root");
        std::fs::create_dir(&root).during("make a place for the root")?;
        as_owner()?;
        overlay_by_options(&root, &Layers { lower: places, ..beneath(&base) })
    })
}

/// What layers show together, or a part of it, as a detached tree that nobody can write through.
pub(super) fn layers(
    lower: &[PathBuf],
    part: &Path,
    namespace: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, Problem> {
    let mut trees = Vec::with_capacity(lower.len());
    for layer in lower {
        let tree = super::mounts::copy_of(CWD, layer, false)
            .during(format_args!("open the layer {}", layer.display()))?;
        if let Some(namespace) = namespace {
            sys::mount::map_ids(tree.as_fd(), namespace, false)
                .during(format_args!("show the owners of {} through a mapping", layer.display()))?;
        }
        trees.push(tree);
    }
    aside(|at| {
        let room = super::mounts::new_file_system("tmpfs", &[], MountAttrFlags::empty())
            .during("make a room for layers")?;
        attach(room.as_fd(), at).during("mount a room for layers")?;
        // From inside of it their names are short enough for one line, however many there are.
        rustix::process::chdir(at).during("enter the room for layers")?;
        let mut names = Vec::with_capacity(trees.len());
        for (number, tree) in trees.iter().enumerate() {
            let name = number.to_string();
            std::fs::create_dir(&name).during("make a place for a layer")?;
            attach(tree.as_fd(), Path::new(&name)).during("mount a layer")?;
            names.push(name);
        }
        std::fs::create_dir("root").during("make a place for the layers")?;
        let top = if let [only] = &names[..] {
            // Overlayfs wants two of them.
            only.as_str()
        } else {
            let options = std::ffi::CString::new(format!("lowerdir={}", names.join(":")))
                .map_err(|_| Problem::new("a layer's path has a null"))?;
            let options = Some(options.as_c_str());
            rustix::mount::mount(c"overlay", c"root", c"overlay", MountFlags::RDONLY, options)
                .during("mount the layers")?;
            "root"
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(top, flags, Mode::empty()).during("open the layers")?;
        let during = || format!("open {} of the image", part.display());
        let part = if part.as_os_str().is_empty() { Path::new("/") } else { part };
        let found = super::paths::find(top.as_fd(), part, OFlags::PATH).during(during())?;
        let tree = super::mounts::copy_of_open(found.as_fd(), false).during(during())?;
        sys::mount::change(tree.as_fd(), Change::set(Attributes::READ_ONLY))
            .during("make the image read-only")?;
        Ok(tree)
    })
}

fn attach(tree: BorrowedFd<'_>, at: &Path) -> Result<(), Errno> {
    rustix::mount::move_mount(tree, c"", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Runs `make` in a process with a mount namespace of its own, which nobody sees, and takes the tree that it
/// opens. `make` is given a directory to mount on.
fn aside(make: impl FnOnce(&Path) -> Result<OwnedFd, Problem>) -> Result<OwnedFd, Problem> {
    let (ours, theirs) = super::talk::pair().during("make a socket")?;
    let mut ours = Some(ours);
    let cloned = sys::process::clone_process(NewNamespaces::MOUNT, None, || {
        ours = None;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        let made = rustix::mount::mount_change(c"/", private)
            .during("make the mounts private")
            .and_then(|()| make(Path::new("/sys")));
        match made {
            Ok(tree) => drop(super::talk::send_descriptor(theirs.as_fd(), b"tree", tree.as_fd())),
            Err(problem) => drop(super::talk::send(theirs.as_fd(), problem.text().as_bytes())),
        }
        0
    });
    let cloned = cloned.during("make a mount namespace")?;
    drop(theirs);
    let heard = ours.as_ref().map(|ours| super::talk::receive(ours.as_fd()));
    let _ = rustix::process::waitid(WaitId::PidFd(cloned.pidfd.as_fd()), WaitIdOptions::EXITED);
    match heard {
        Some(Ok((_, Some(tree)))) => Ok(tree),
        Some(Ok((text, None))) => Err(Problem::new(String::from_utf8_lossy(&text))),
        Some(Err(error)) => Err(error).during("mount the overlay"),
        None => Err(Problem::new("mount the overlay: no answer")),
    }
}

/// Puts the root where the container's mounts and hooks find it: over its own directory, or over `/`, where the
/// directory is nobody's business or not in this process's reach.
pub(super) fn mount_root(child: &mut Child<'_>) -> Outcome {
    let (Some(setup), Some(root)) = (child.setup, &child.sources.root) else {
        return Err(Problem::new("no root to mount"));
    };
    let place = match &setup.root {
        Root::Directory(path) => path.as_path(),
        Root::Overlay { .. } => Path::new("/"),
    };
    match attach(root.as_fd(), place) {
        Err(Errno::ACCESS) if owns_mounts(child) => attach(root.as_fd(), Path::new("/")),
        other => other,
    }
    .during(format_args!("mount the root on {}", place.display()))?;
    child.found.root = child.sources.root.take();
    Ok(())
}

/// Makes the mounted root the root of this mount namespace and lets go of the old one with all its mounts.
pub(super) fn pivot(child: &mut Child<'_>) -> Outcome {
    let (root, Some(setup)) = (child.root()?, child.setup) else {
        return Err(Problem::new("no root to change to"));
    };
    rustix::process::fchdir(root).during("enter the new root")?;
    if !owns_mounts(child) {
        rustix::process::chroot(c".").during("chroot")?;
    } else if setup.no_pivot {
        rustix::mount::move_mount(root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .during("move the root to /")?;
        rustix::process::chroot(c".").during("chroot")?;
    } else {
        // Both in one place: the old root is then mounted on top of the new one, where the next call takes it away.
        rustix::process::pivot_root(c".", c".").during("pivot_root")?;
        rustix::mount::unmount(c".", UnmountFlags::DETACH).during("unmount the host's root")?;
    }
    rustix::process::chdir(c"/").during("enter /")
}

/// The root's own way of passing, and its access: the root mount alone, what is mounted in it keeps its own.
pub(super) fn finish(child: &mut Child<'_>) -> Outcome {
    let (Some(setup), Some(root)) = (child.setup, &child.found.root) else { return Ok(()) };
    if let Some(passing) = setup.root_passing {
        sys::mount::change(root.as_fd(), passing).during("set the root's propagation")?;
    }
    if setup.root_read_only {
        sys::mount::change(root.as_fd(), Change::set(Attributes::READ_ONLY))
            .during("make the root read-only")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Both ways of mounting show the upper layer over the lower ones.
    fn shows_all_layers(mount: impl Fn(&Path, &Layers) -> OwnedFd) {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIP: needs root");
            return;
        }
        sys::process::unshare(NewNamespaces::MOUNT).unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change(c"/", private).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let made = [("low", "low"), ("high", "high"), ("upper", ""), ("work", ""), ("at", ""), ("on", "")];
        for (name, content) in made {
            fs::create_dir(path(name)).unwrap();
            if !content.is_empty() {
                fs::write(path(name) + "/" + content, content).unwrap();
                fs::write(path(name) + "/both", content).unwrap();
            }
        }
        let layers = Layers {
            lower: vec![path("high"), path("low")],
            upper: path("upper"),
            work: path("work"),
            _held: Vec::new(),
        };
        let root = mount(Path::new(&path("on")), &layers);
        attach(root.as_fd(), Path::new(&path("at"))).unwrap();
        assert_eq!(fs::read_to_string(path("at") + "/both").unwrap(), "high");
        assert_eq!(fs::read_to_string(path("at") + "/low").unwrap(), "low");
        fs::write(path("at") + "/new", "new").unwrap();
        assert_eq!(fs::read_to_string(path("upper") + "/new").unwrap(), "new");
        rustix::mount::unmount(path("at").as_str(), UnmountFlags::DETACH).unwrap();
        let _ = rustix::mount::unmount(path("on").as_str(), UnmountFlags::DETACH);
    }

    #[test]
    fn an_overlay_is_mounted_layer_by_layer() {
        shows_all_layers(|_, layers| overlay_by_descriptor(layers).unwrap());
    }

    #[test]
    fn an_overlay_is_mounted_by_one_line_of_options_on_older_kernels() {
        shows_all_layers(|at, layers| overlay_by_options(at, layers).unwrap());
    }
}
