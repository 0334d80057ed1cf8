//! The steps that give the container a root of its own and make it the only one.

use super::environment::{Child, During, Outcome, Problem};
use crate::setup::Root;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use std::path::Path;
use sys::mount::{Attributes, Passing};

/// The longest value that fsconfig(2) takes, in bytes, its end included.
const VALUE_BYTES_MAX: usize = 256;

/// Nothing that is mounted from here on reaches the host. The host's later mounts still reach binds that want them.
pub(super) fn part(_: &mut Child<'_>) -> Outcome {
    rustix::mount::mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .during("make the mounts slaves of the host's")
}

/// Builds the root and attaches it over the container's directory, in this mount namespace only.
pub(super) fn mount_root(child: &mut Child<'_>) -> Outcome {
    let Some(setup) = child.setup else { return Err(Problem::new("no root to mount")) };
    let root = match &setup.root {
        Root::Directory(path) => tree_of(path)?,
        Root::Overlay { lower, upper, .. } if lower.is_empty() => tree_of(upper)?,
        Root::Overlay { lower, upper, work } => overlay(&setup.directory, lower, upper, work)?,
    };
    sys::mount::change(root.as_fd(), true, Attributes::NONE, Some(Passing::Private))
        .during("make the root private")?;
    attach(&root, &setup.directory)?;
    child.root = Some(root);
    Ok(())
}

fn attach(root: &OwnedFd, at: &Path) -> Outcome {
    rustix::mount::move_mount(root, c"", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .during(format_args!("mount the root on {}", at.display()))
}

fn tree_of(path: &Path) -> Result<OwnedFd, Problem> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(CWD, path, flags).during(format_args!("open the root {}", path.display()))
}

fn overlay(at: &Path, lower: &[std::path::PathBuf], upper: &Path, work: &Path) -> Result<OwnedFd, Problem> {
    // Paths that are too long for the kernel's interface are named by descriptors, which must live until the mount.
    let mut held = Vec::new();
    let mut short = |path: &Path| -> Result<String, Problem> {
        match path.to_str() {
            Some(text) if text.len() < VALUE_BYTES_MAX && !text.contains([':', ',', '\\']) => {
                Ok(text.to_owned())
            }
            _ => {
                let descriptor =
                    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                        .during(format_args!("open the layer {}", path.display()))?;
                let text = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
                held.push(descriptor);
                Ok(text)
            }
        }
    };
    let lower = lower.iter().map(|path| short(path)).collect::<Result<Vec<_>, _>>()?;
    let (upper, work) = (short(upper)?, short(work)?);
    match overlay_by_descriptor(&lower, &upper, &work) {
        // Before Linux 6.7 layers cannot be added one by one.
        Err(Errno::INVAL) => overlay_by_options(at, &lower, &upper, &work),
        other => other.during("mount the overlay"),
    }
}

fn overlay_by_descriptor(lower: &[String], upper: &str, work: &str) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    rustix::mount::fsconfig_set_string(context, c"source", c"overlay")?;
    for layer in lower {
        rustix::mount::fsconfig_set_string(context, c"lowerdir+", layer.as_str())?;
    }
    rustix::mount::fsconfig_set_string(context, c"upperdir", upper)?;
    rustix::mount::fsconfig_set_string(context, c"workdir", work)?;
    rustix::mount::fsconfig_create(context)?;
    rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// The same by mount(2), for older kernels: mounted in place, then taken from there as a tree.
fn overlay_by_options(at: &Path, lower: &[String], upper: &str, work: &str) -> Result<OwnedFd, Problem> {
    let options = format!("lowerdir={},upperdir={upper},workdir={work}", lower.join(":"));
    let options = std::ffi::CString::new(options).map_err(|_| Problem::new("a layer's path has a null"))?;
    rustix::mount::mount(c"overlay", at, c"overlay", MountFlags::empty(), Some(options.as_c_str()))
        .during("mount the overlay")?;
    let tree = tree_of(at)?;
    rustix::mount::unmount(at, UnmountFlags::DETACH).during("take the overlay from its place")?;
    Ok(tree)
}

/// Makes the mounted root the root of this mount namespace and lets go of the old one with all its mounts.
pub(super) fn pivot(child: &mut Child<'_>) -> Outcome {
    let Some(root) = &child.root else { return Err(Problem::new("no root was mounted")) };
    rustix::process::fchdir(root).during("enter the new root")?;
    // Both in one place: the old root is then mounted on top of the new one, where the next call takes it away.
    rustix::process::pivot_root(c".", c".").during("pivot_root")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).during("unmount the host's root")?;
    rustix::process::chdir(c"/").during("enter /")
}

/// The root mount alone: what is mounted in it keeps its own access.
pub(super) fn make_read_only(child: &mut Child<'_>) -> Outcome {
    let (Some(setup), Some(root)) = (child.setup, &child.root) else { return Ok(()) };
    if setup.root_read_only {
        sys::mount::change(root.as_fd(), false, Attributes::READ_ONLY, None)
            .during("make the root read-only")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Both ways of mounting show the upper layer over the lower ones.
    fn shows_all_layers(mount: impl Fn(&Path, &[String], &str, &str) -> OwnedFd) {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIP: needs root");
            return;
        }
        sys::process::unshare(sys::process::NewNamespaces::MOUNT).unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change(c"/", private).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        for (name, content) in [("low", "low"), ("high", "high"), ("upper", ""), ("work", ""), ("at", "")] {
            fs::create_dir(path(name)).unwrap();
            if !content.is_empty() {
                fs::write(path(name) + "/" + content, content).unwrap();
                fs::write(path(name) + "/both", content).unwrap();
            }
        }
        let layers = [path("high"), path("low")];
        let root = mount(Path::new(&path("at")), &layers, &path("upper"), &path("work"));
        attach(&root, Path::new(&path("at"))).unwrap();
        assert_eq!(fs::read_to_string(path("at") + "/both").unwrap(), "high");
        assert_eq!(fs::read_to_string(path("at") + "/low").unwrap(), "low");
        fs::write(path("at") + "/new", "new").unwrap();
        assert_eq!(fs::read_to_string(path("upper") + "/new").unwrap(), "new");
        rustix::mount::unmount(path("at").as_str(), UnmountFlags::DETACH).unwrap();
    }

    #[test]
    fn an_overlay_is_mounted_layer_by_layer() {
        shows_all_layers(|_, lower, upper, work| overlay_by_descriptor(lower, upper, work).unwrap());
    }

    #[test]
    fn an_overlay_is_mounted_by_one_line_of_options_on_older_kernels() {
        shows_all_layers(|at, lower, upper, work| overlay_by_options(at, lower, upper, work).unwrap());
    }
}
