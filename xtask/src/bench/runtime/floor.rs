//! The floor: nothing but the system calls that a container cannot do without.
//!
//! ```text
//! make the groups -> clone into new namespaces -> join the groups -> bind the root -> /proc -> pivot_root -> execute
//!                                                                              wait -> remove the groups
//! ```
//!
//! No file is parsed, nothing is written down, no program is loaded but the container's own: what a runtime takes on top of
//! this is its own doing. The groups are those that the product joins, on the hierarchies that the product finds.
//!
//! A process clones only while it has one thread and little memory, so the floor is a process of its own, which takes one
//! word a round on its standard input and answers with milliseconds.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use runtime::cgroup::Layout;
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{WaitId, WaitIdOptions};
use sys::process::NewNamespaces;

use crate::bench::numbers::milliseconds;
use crate::say;

/// The namespaces of every round; the network's is added where it is asked for.
const NAMESPACES: NewNamespaces =
    NewNamespaces::MOUNT.and(NewNamespaces::PID).and(NewNamespaces::IPC).and(NewNamespaces::UTS);
/// How often a group's removal is tried.
const REMOVE_TRIES_MAX: usize = 10_000;

/// The word for a round with a network namespace of its own.
const WITH_NETWORK: &str = "network";
/// The word for a round without.
const WITHOUT_NETWORK: &str = "host";

/// A floor that runs, from the side of who measures.
pub(super) struct Floor {
    child: Child,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Floor {
    /// Starts the program on a root file system.
    pub(super) fn start(root: &Path) -> Result<Self> {
        let tool = std::env::current_exe().context("the path of this tool is unknown")?;
        let mut command = Command::new(tool);
        command.args(["root", "bench-floor"]).arg(root).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the floor cannot be started")?;
        let words = child.stdin.take();
        let answers = child.stdout.take().context("the floor has no output")?;
        Ok(Self { child, words, answers: BufReader::new(answers) })
    }

    /// One container on the floor, in milliseconds.
    pub(super) fn round(&mut self, network: bool) -> Result<f64> {
        let words = self.words.as_mut().context("the floor has no input")?;
        writeln!(words, "{}", if network { WITH_NETWORK } else { WITHOUT_NETWORK })?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        line.trim().parse().context("the floor gave no figure")
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // The end of its input is the end of the program.
        self.words = None;
        let _ = self.child.wait();
    }
}

/// The program: `root bench-floor ROOT`.
pub(crate) fn serve(words: &[&str]) -> Result<()> {
    let [root] = words else { bail!("the floor takes the root file system's directory") };
    let groups = Groups::detect()?;
    let mut line = String::new();
    // Not the locked standard input: it would read ahead.
    let mut input = BufReader::new(std::io::stdin());
    while input.read_line(&mut line)? > 0 {
        let namespaces =
            if line.trim() == WITH_NETWORK { NAMESPACES.and(NewNamespaces::NETWORK) } else { NAMESPACES };
        let start = Instant::now();
        round(&groups, Path::new(root), namespaces)?;
        say::line(&milliseconds(start).to_string());
        line.clear();
    }
    Ok(())
}

fn round(groups: &Groups, root: &Path, namespaces: NewNamespaces) -> Result<()> {
    let entrance = groups.make()?;
    let unified = entrance.unified.as_ref().map(|descriptor| descriptor.as_fd());
    let cloned = sys::process::clone_process(namespaces, unified, || match child(root, &entrance) {
        Ok(never) => match never {},
        Err(error) => error.raw_os_error(),
    });
    let cloned = cloned.context("the floor cannot clone")?;
    let status = rustix::process::waitid(WaitId::PidFd(cloned.pidfd.as_fd()), WaitIdOptions::EXITED)
        .context("the floor cannot wait")?;
    groups.remove()?;
    match status.and_then(|status| status.exit_status()) {
        Some(0) => Ok(()),
        other => bail!("the floor's process ended with {other:?}"),
    }
}

/// From the clone to the program.
fn child(root: &Path, entrance: &Entrance) -> Result<std::convert::Infallible, Errno> {
    for tasks in &entrance.tasks {
        rustix::io::write(tasks, b"0")?;
    }
    rustix::mount::mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    rustix::mount::mount_bind_recursive(root, root)?;
    rustix::process::chdir(root)?;
    rustix::mount::mount(c"proc", c"proc", c"proc", MountFlags::NOSUID | MountFlags::NODEV, None)?;
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    let arguments = [CString::from(c"true")];
    Err(sys::process::execute(c"/bin/true", &arguments, &[]))
}

/// The groups of a round, one in each hierarchy.
struct Groups {
    unified: Option<PathBuf>,
    hierarchies: Vec<PathBuf>,
    /// What a v1 cpuset must be told before anybody can join it: the file and the value.
    cpuset: Vec<(PathBuf, String)>,
}

/// What the child joins them by.
struct Entrance {
    unified: Option<OwnedFd>,
    tasks: Vec<OwnedFd>,
}

impl Groups {
    fn detect() -> Result<Self> {
        let layout = Layout::detect().context("the control groups of this machine cannot be found")?;
        let name = format!("bocage-bench-floor-{}", std::process::id());
        let mut cpuset = Vec::new();
        if let Some(hierarchy) = layout.hierarchy("cpuset") {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let value = fs::read_to_string(hierarchy.mount.join(file))
                    .with_context(|| format!("{file} cannot be read"))?;
                cpuset.push((hierarchy.mount.join(&name).join(file), value));
            }
        }
        let hierarchies = layout.hierarchies.iter().map(|hierarchy| hierarchy.mount.join(&name)).collect();
        Ok(Self { unified: layout.unified.map(|mount| mount.join(&name)), hierarchies, cpuset })
    }

    fn make(&self) -> Result<Entrance> {
        for directory in self.unified.iter().chain(&self.hierarchies) {
            fs::create_dir(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
        }
        for (path, value) in &self.cpuset {
            let written = File::options().write(true).open(path);
            let written = written.and_then(|mut file| file.write_all(value.as_bytes()));
            written.with_context(|| format!("{} cannot be written", path.display()))?;
        }
        let open = |path: PathBuf, flags: OFlags| {
            rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty())
                .with_context(|| format!("{} cannot be opened", path.display()))
        };
        let unified = self.unified.clone().map(|path| open(path, OFlags::PATH | OFlags::DIRECTORY));
        let tasks = self.hierarchies.iter().map(|path| open(path.join("tasks"), OFlags::WRONLY));
        Ok(Entrance { unified: unified.transpose()?, tasks: tasks.collect::<Result<_>>()? })
    }

    fn remove(&self) -> Result<()> {
        self.unified.iter().chain(&self.hierarchies).try_for_each(|directory| {
            let mut tries = 0..REMOVE_TRIES_MAX;
            // A group is busy for a moment after its last process was waited for.
            let removed = std::iter::repeat_with(|| fs::remove_dir(directory))
                .find(|removed| removed.is_ok() || tries.next().is_none());
            removed.unwrap_or(Ok(())).with_context(|| format!("{} cannot be removed", directory.display()))
        })
    }
}
