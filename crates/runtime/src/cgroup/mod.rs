//! The control groups of one container: made with its limits, joined, asked for figures, killed and removed.
//!
//! A [`Group`] is a path beneath each hierarchy's root and the [`Layout`] that says which hierarchies there are. It
//! holds nothing open, so that any process (the shim that made it, a daemon that adopts it) can speak of it.
//!
//! The limits are a pure table of writes (`limits`, `block`) that `apply` carries out; v1 and v2 differ there, in
//! `devices` and in `figures`. What can be asked for is [`Resources`]. Joining is
//! done by the child itself, by writing `0` to the `tasks` of each v1 hierarchy: the kernel then moves one thread
//! and needs no global lock, where moving a process by its number waits for a grace period of milliseconds.
//!
//! Removal tolerates that nothing was made, goes on after an error, and reports the first.

mod apply;
mod block;
mod device_program;
mod devices;
mod error;
mod figures;
mod layout;
mod limits;
pub mod resources;

pub use devices::DeviceRule;
pub use error::Error;
pub use figures::{Block, Cpu, Figures, Memory};
pub use layout::{Hierarchy, Layout};
pub use resources::Resources;

pub use resources::{DeviceEntry, DeviceKind};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the removal of a group is tried: a process that was killed leaves it a moment after its end.
const REMOVE_TRIES_MAX: u32 = 200;
/// How often a group is asked whether it is frozen.
const FREEZE_TRIES_MAX: u32 = 400;
/// The wait after the first of these tries; it doubles from one to the next.
const WAIT_FIRST: Duration = Duration::from_micros(50);
/// The longest such wait.
const WAIT_MAX: Duration = Duration::from_millis(5);

/// The control groups of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    layout: Layout,
    path: PathBuf,
}

/// What a child needs to join a group: opened by its parent, used by itself.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// The v2 directory, for `CLONE_INTO_CGROUP`.
    pub(crate) unified: Option<OwnedFd>,
    /// The `tasks` files of v1, to each of which the child writes `0`.
    pub(crate) tasks: Vec<(PathBuf, OwnedFd)>,
    /// The controllers of each v1 hierarchy, for the container's own view of them.
    pub(crate) controllers: Vec<Vec<String>>,
}

impl Group {
    /// The group at `path` beneath each hierarchy's root, whether it exists or not.
    pub fn new(layout: Layout, path: &Path) -> Group {
        Group { layout, path: path.strip_prefix("/").unwrap_or(path).to_owned() }
    }

    /// Makes the group with its limits. What was made is removed if a limit is refused.
    ///
    /// # Errors
    /// Where a directory cannot be made or a limit is refused.
    pub fn create(&self, resources: &Resources) -> Result<(), Error> {
        let made = self
            .make_all(&limits::on_demand(resources))
            .and_then(|()| self.apply(resources))
            .and_then(|()| self.set_devices(&resources.devices));
        if made.is_err() {
            // The first failure is the one to tell.
            let _ = self.remove();
        }
        made
    }

    fn make_all(&self, on_demand: &[&str]) -> Result<(), Error> {
        if let Some(unified) = &self.layout.unified {
            let path = unified.join(&self.path);
            make_directory(&path)?;
            if !self.layout.is_v1() {
                apply::enable_controllers(unified, &path, &apply::CONTROLLERS_V2)?;
            }
        }
        for hierarchy in self.layout.optional() {
            if hierarchy.controllers.iter().any(|name| on_demand.contains(&name.as_str())) {
                make_directory(&hierarchy.mount.join(&self.path))?;
            }
        }
        for hierarchy in &self.layout.hierarchies {
            let path = hierarchy.mount.join(&self.path);
            make_directory(&path)?;
            if hierarchy.controllers.iter().any(|name| name == "cpuset") {
                inherit_cpuset(&hierarchy.mount, &path)?;
            }
        }
        Ok(())
    }

    /// The directory with the files of a controller.
    fn directory(&self, controller: &str) -> Option<PathBuf> {
        if self.layout.is_v1() {
            return self.layout.hierarchy(controller).map(|hierarchy| hierarchy.mount.join(&self.path));
        }
        self.unified()
    }

    fn unified(&self) -> Option<PathBuf> {
        self.layout.unified.as_ref().map(|unified| unified.join(&self.path))
    }

    /// Opens what a child needs to join.
    pub(crate) fn entrance(&self) -> Result<Entrance, Error> {
        let open = |path: PathBuf, flags: OFlags| {
            rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty())
                .map(|descriptor| (path.clone(), descriptor))
                .map_err(|error| Error::Read { path, source: error.into() })
        };
        let unified = self.unified().map(|path| open(path, OFlags::PATH | OFlags::DIRECTORY)).transpose()?;
        // Of the hierarchies that are used on demand, those in which the group was made.
        let asked = |hierarchy: &&Hierarchy| hierarchy.mount.join(&self.path).is_dir();
        let joined: Vec<&Hierarchy> =
            self.layout.hierarchies.iter().chain(self.layout.optional().iter().filter(asked)).collect();
        let tasks = joined
            .iter()
            .map(|hierarchy| open(hierarchy.mount.join(&self.path).join("tasks"), OFlags::WRONLY))
            .collect::<Result<_, _>>()?;
        let controllers = joined.iter().map(|hierarchy| hierarchy.controllers.clone()).collect();
        Ok(Entrance { unified: unified.map(|(_, descriptor)| descriptor), tasks, controllers })
    }

    /// The processes in the group, by their numbers in the caller's pid namespace.
    ///
    /// # Errors
    /// Where the list cannot be read; a group that is gone has no processes.
    pub fn pids(&self) -> Result<Vec<u32>, Error> {
        let Some(directory) = self.any_directory() else { return Ok(Vec::new()) };
        let text = read_text(&directory.join("cgroup.procs"))?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect())
    }

    fn any_directory(&self) -> Option<PathBuf> {
        self.unified()
            .or_else(|| self.layout.hierarchies.first().map(|hierarchy| hierarchy.mount.join(&self.path)))
    }

    /// Whether any part of the group exists.
    pub fn exists(&self) -> bool {
        self.directories().iter().any(|directory| directory.is_dir())
    }

    /// Every directory of the group.
    fn directories(&self) -> Vec<PathBuf> {
        let v1 = self.layout.hierarchies.iter().chain(self.layout.optional());
        self.unified().into_iter().chain(v1.map(|hierarchy| hierarchy.mount.join(&self.path))).collect()
    }

    /// Kills every process in the group, those that are being born included.
    ///
    /// # Errors
    /// Where the group can neither be killed as a whole nor its processes be listed.
    pub fn kill_all(&self) -> Result<(), Error> {
        if let Some(unified) = self.unified() {
            match write_value(&unified.join("cgroup.kill"), "1") {
                Err(Error::Write { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                // Whoever else looks after it has removed it at this moment.
                Err(Error::Write { source, .. }) if is_gone(&source) => return Ok(()),
                other => return other,
            }
        }
        // Before Linux 5.14 and on v1 alone there is no such file. Frozen, nothing can be born between two looks.
        let frozen = self.freeze(true).is_ok();
        for pid in self.pids()? {
            if let Ok(pid) = i32::try_from(pid) {
                // A process that has ended meanwhile is what was wanted.
                let _ = sys::process::signal_number(pid, 9);
            }
        }
        if frozen { self.freeze(false) } else { Ok(()) }
    }

    /// Stops every process of the group, or lets them go on, and waits until that is so.
    ///
    /// # Errors
    /// Where the kernel has no freezer for it, or where some do not stop in time.
    pub fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let until = |path: &Path, file: &str, wanted: &str| {
            for attempt in 0..FREEZE_TRIES_MAX {
                if read_text(&path.join(file))?.lines().any(|line| line == wanted) {
                    return Ok(());
                }
                wait_after(attempt);
            }
            Err(Error::Freeze { path: path.to_owned() })
        };
        if let Some(hierarchy) = self.layout.hierarchy("freezer") {
            let path = hierarchy.mount.join(&self.path);
            let state = if frozen { "FROZEN" } else { "THAWED" };
            write_value(&path.join("freezer.state"), state)?;
            return until(&path, "freezer.state", state);
        }
        let path = self.unified().ok_or(Error::NoController { controller: "freezer".into() })?;
        write_value(&path.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
        until(&path, "cgroup.events", if frozen { "frozen 1" } else { "frozen 0" })
    }

    /// Whether its processes stand still. A group without a freezer never does.
    ///
    /// # Errors
    /// Where its freezer cannot be read.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        if let Some(hierarchy) = self.layout.hierarchy("freezer") {
            let state = read_text(&hierarchy.mount.join(&self.path).join("freezer.state"))?;
            return Ok(state.trim() == "FROZEN");
        }
        let Some(path) = self.unified() else { return Ok(false) };
        Ok(read_text(&path.join("cgroup.events"))?.lines().any(|line| line == "frozen 1"))
    }

    /// Removes the group and what the container made beneath it. A group that is not there is no error.
    ///
    /// # Errors
    /// The first directory that could not be removed in time; the others are removed all the same.
    pub fn remove(&self) -> Result<(), Error> {
        let mut first = Ok(());
        for directory in self.directories() {
            if let Err(source) = remove_directory(&directory)
                && first.is_ok()
            {
                first = Err(Error::Remove { path: directory, source });
            }
        }
        first
    }
}

/// Makes a directory; one that is there already is used, since it is left from a start that was cut off.
fn make_directory(path: &Path) -> Result<(), Error> {
    let made = match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(path),
        other => other,
    };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|source| Error::Make { path: path.to_owned(), source }),
    }
}

/// A v1 cpuset is born empty and nobody can join it before it has CPUs and memory nodes: its parent's.
fn inherit_cpuset(root: &Path, group: &Path) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = |directory: &Path| read_text(&directory.join(file)).map(|text| text.trim().to_owned());
        if !value(group)?.is_empty() {
            continue;
        }
        // From the group upwards those that are empty, and the value of the first that is not.
        let mut empty = vec![group];
        let mut inherited = String::new();
        for directory in group.ancestors().skip(1) {
            inherited = value(directory)?;
            if directory == root || !inherited.is_empty() {
                break;
            }
            empty.push(directory);
        }
        for directory in empty.iter().rev() {
            write_value(&directory.join(file), &inherited)?;
        }
    }
    Ok(())
}

/// Writes a value in one call, as these files want it.
fn write_value(path: &Path, value: &str) -> Result<(), Error> {
    let written = fs::OpenOptions::new().write(true).open(path);
    written.and_then(|mut file| file.write_all(value.as_bytes())).map_err(|source| Error::Write {
        path: path.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// Whether the group was removed after one of its files was opened.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// Reads a file; of a group that is gone, nothing.
fn read_text(path: &Path) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_gone(&error) => Ok(String::new()),
        other => other.map_err(|source| Error::Read { path: path.to_owned(), source }),
    }
}

/// Removes a group's directory, those beneath it first.
fn remove_directory(path: &Path) -> io::Result<()> {
    for attempt in 0..REMOVE_TRIES_MAX {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {
                if attempt == 0 {
                    remove_children(path)?;
                } else {
                    wait_after(attempt);
                }
            }
            other => return other,
        }
    }
    fs::remove_dir(path)
}

fn wait_after(attempt: u32) {
    std::thread::sleep(WAIT_MAX.min(WAIT_FIRST.saturating_mul(1 << attempt.min(16))));
}

fn remove_children(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_directory(&entry.path())?;
        }
    }
    Ok(())
}
