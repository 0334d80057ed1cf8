//! A container's files from outside: what a running one sees, or what one that rests would see.
//!
//! ```text
//! running   /proc/PID/root, opened
//! resting   a thread in a mount namespace of its own: overlay, binds in it -> a detached tree, and the thread is gone
//! ```
//!
//! Either way there is one descriptor of a root, and every path is resolved beneath it by the kernel: a link that the container
//! makes or exchanges meanwhile leads nowhere but inside, openat2(2). Nothing appears in the host's mounts.

use crate::isolate::{paths, users};
use crate::setup::ContainerProcess;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags};
use std::ffi::CString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use sys::process::NewNamespaces;

/// Stack of the thread that mounts, in bytes.
const STACK_BYTES: usize = 128 << 10;
/// Bytes of a list of users that are read.
const USERS_BYTES_MAX: u64 = 4 << 20;
/// Where that thread mounts: any directory that every machine has.
const SPOT: &str = "/sys";

/// The layers that a root is put together from.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// The top one first.
    pub lower: &'a [PathBuf],
    /// The writable layer and its work directory. Nobody else may have them mounted.
    pub upper: Option<(&'a Path, &'a Path)>,
}

/// A directory or file of the host that is seen in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where it is on the host.
    pub source: PathBuf,
    /// The part of it that is seen, wherever links in it lead; empty for all.
    pub part: PathBuf,
    /// Where it is seen.
    pub target: PathBuf,
    /// Whether it may not be written there.
    pub read_only: bool,
}

/// A container's files.
#[derive(Debug)]
pub struct View {
    root: OwnedFd,
}

impl View {
    /// What a container's process sees.
    ///
    /// # Errors
    /// `ENOENT` or `ESRCH` where there is no such process any more, be it that another one has its number now.
    pub fn of_process(process: ContainerProcess) -> io::Result<View> {
        let ContainerProcess { pid, start_ticks } = process;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty())?;
        // Who is there afterwards was there before. A number that went to a process of the host would show the host's files.
        if crate::shim::start_ticks(pid)? != start_ticks {
            return Err(Errno::SRCH.into());
        }
        Ok(View { root })
    }

    /// What the layers show together, with binds in it whose targets are there. It is gone with the value.
    ///
    /// # Errors
    /// Where the layers cannot be mounted: one is missing, or this process may not mount.
    pub fn of_layers(layers: Layers<'_>, binds: &[Bind]) -> io::Result<View> {
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            let thread = builder.spawn_scoped(scope, || mount_all(layers, binds))?;
            let root = thread.join().map_err(|_| io::Error::other("the thread that mounts panicked"))??;
            Ok(View { root })
        })
    }

    /// The top of it, opened only to be named.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The numbers of a user and its group, as a `USER` word names them there; of nothing, root's.
    ///
    /// # Errors
    /// Where the word names nobody.
    pub fn owner(&self, user: &str) -> io::Result<(u32, u32)> {
        let text = |path: &str| {
            let file = self.find(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
            let mut text = String::new();
            std::fs::File::from(file).take(USERS_BYTES_MAX).read_to_string(&mut text).ok()?;
            Some(text)
        };
        let (passwd, group) = (text("/etc/passwd"), text("/etc/group"));
        let found = users::find(&passwd.unwrap_or_default(), &group.unwrap_or_default(), user, &[]);
        found.map(|found| (found.uid, found.gid)).map_err(|problem| io::Error::other(problem.text()))
    }

    /// What is at a path, links followed inside the view.
    ///
    /// # Errors
    /// What openat2(2) says.
    pub fn find(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(paths::find(self.root.as_fd(), path, flags)?)
    }
}

/// The body of the thread, whose mounts nobody else sees.
fn mount_all(layers: Layers<'_>, binds: &[Bind]) -> io::Result<OwnedFd> {
    sys::process::unshare(NewNamespaces::MOUNT)?;
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // Opened before the layers cover anything.
    let mut trees = Vec::with_capacity(binds.len());
    for bind in binds {
        match tree_of(bind) {
            Ok(tree) => trees.push((tree, bind)),
            // What is not there any more is not seen.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    overlay(layers)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(SPOT, flags, Mode::empty())?;
    for (tree, bind) in &trees {
        if bind.read_only {
            let change = crate::setup::Change::set(crate::setup::Attributes::READ_ONLY).recursively();
            sys::mount::change(tree.as_fd(), change)?;
        }
        // Where nothing was mounted yet, as the container never ran, there is nothing to see.
        let Ok(target) = paths::find(root.as_fd(), &bind.target, OFlags::PATH) else { continue };
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        match rustix::mount::move_mount(tree, c"", &target, c"", flags) {
            // A directory over a file, or the other way round.
            Ok(()) | Err(Errno::NOTDIR | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(rustix::mount::open_tree(CWD, SPOT, flags | OpenTreeFlags::AT_RECURSIVE)?)
}

/// What a bind shows, as a detached tree.
fn tree_of(bind: &Bind) -> Result<OwnedFd, Errno> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    if bind.part.as_os_str().is_empty() {
        return rustix::mount::open_tree(CWD, &bind.source, flags);
    }
    let opened = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(&bind.source, opened, Mode::empty())?;
    let part = paths::find(directory.as_fd(), &bind.part, OFlags::PATH)?;
    rustix::mount::open_tree(&part, c"", flags | OpenTreeFlags::AT_EMPTY_PATH)
}

/// Mounts the layers by one line of options, which holds any number of them as each is named by a descriptor.
fn overlay(layers: Layers<'_>) -> io::Result<()> {
    let mut held = Vec::new();
    let mut name = |path: &Path| -> io::Result<String> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| {
            let error = io::Error::from(error);
            io::Error::new(error.kind(), format!("open the layer {}: {error}", path.display()))
        })?;
        let name = format!("/proc/self/fd/{}", opened.as_raw_fd());
        held.push(opened);
        Ok(name)
    };
    let lower = layers.lower.iter().map(|path| name(path)).collect::<io::Result<Vec<_>>>()?;
    let mut options = format!("lowerdir={}", lower.join(":"));
    if let ([only], None) = (layers.lower, layers.upper) {
        // Overlayfs wants two of them.
        return Ok(rustix::mount::mount_bind(only, SPOT)?);
    }
    if let Some((upper, work)) = layers.upper {
        options.push_str(&format!(",upperdir={},workdir={}", name(upper)?, name(work)?));
    }
    let options = CString::new(options)?;
    let flags = if layers.upper.is_some() { MountFlags::empty() } else { MountFlags::RDONLY };
    Ok(rustix::mount::mount(c"overlay", SPOT, c"overlay", flags, Some(options.as_c_str()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_the_number_of_another_is_not_looked_at() {
        let pid = std::process::id();
        let start_ticks = crate::shim::start_ticks(pid).unwrap();
        assert!(View::of_process(ContainerProcess { pid, start_ticks }).is_ok());
        let later = View::of_process(ContainerProcess { pid, start_ticks: start_ticks + 1 });
        assert_eq!(later.unwrap_err().raw_os_error(), Some(Errno::SRCH.raw_os_error()));
    }
}
