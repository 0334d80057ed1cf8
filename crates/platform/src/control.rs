//! The Control door: write an intent, and see what became of it.

use crate::{Answer, Event};
use base::Time;
use model::container::RestartPolicy;
use model::{ContainerId, ContainerIntent, ContainerSpec, Observed};
use tokio::sync::broadcast;

/// A container that shall be made.
#[derive(Clone, Debug)]
pub struct NewContainer {
    /// Its name; none for one made up.
    pub name: Option<String>,
    /// What it is.
    pub spec: ContainerSpec,
}

/// A container that was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A container: what was asked for (merged with its image's defaults) and what was seen.
#[derive(Clone, Debug)]
pub struct Container {
    /// What was asked for.
    pub intent: ContainerIntent,
    /// What was seen.
    pub observed: Observed,
    /// What runs, once the image's defaults are merged in: program and arguments.
    pub args: Vec<String>,
    /// How many of `args` are the entry point.
    pub entrypoint_args: usize,
    /// The networks it is on, or shall be on, in the order in which it is connected.
    pub networks: Vec<crate::Membership>,
    /// The mounts as they are made: kind (`bind`, `volume`, `tmpfs`), name, source, target, writable, propagation.
    pub mounts: Vec<MountSeen>,
    /// Host paths of its files, for inspection.
    pub files: Files,
    /// Bytes of the writable layer and of everything, where asked for.
    pub sizes: Option<Sizes>,
    /// Its running execs.
    pub execs: Vec<String>,
}

/// A mount of a container as it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSeen {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: &'static str,
    /// The volume's name, if it is one.
    pub name: Option<String>,
    /// The path on the host.
    pub source: String,
    /// The path inside.
    pub target: String,
    /// Whether it can be written.
    pub writable: bool,
    /// Its propagation.
    pub propagation: String,
}

/// Host paths of a container's own files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Its resolv.conf.
    pub resolv_conf: String,
    /// Its hostname file.
    pub hostname: String,
    /// Its hosts file.
    pub hosts: String,
    /// Its log.
    pub log: String,
    /// The writable layer.
    pub upper: String,
    /// The read-only layers, the top one first, joined by `:`.
    pub lower: String,
    /// The kernel's scratch directory.
    pub work: String,
}

/// Bytes on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of the writable layer.
    pub writable: u64,
    /// Of the writable layer and the image.
    pub total: u64,
}

/// Which containers are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Those that do not run as well.
    pub all: bool,
    /// Their sizes are measured.
    pub sizes: bool,
}

/// How a container is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopOptions {
    /// The first signal, by name or number; none for the container's own.
    pub signal: Option<String>,
    /// Seconds until SIGKILL; negative waits for ever; none for the container's own.
    pub timeout_seconds: Option<i64>,
}

/// How a container is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// A running one is killed first.
    pub force: bool,
    /// Its anonymous volumes go too.
    pub volumes: bool,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// It does not run: at once if it does not run now.
    NotRunning,
    /// It ends the next time.
    NextExit,
    /// It is removed.
    Removed,
}

/// A container that keeps an image from being removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerUse {
    /// Which.
    pub id: ContainerId,
    /// Whether it runs.
    pub running: bool,
}

/// Intents of containers. `name` is always an id, a unique prefix of one, or a name.
pub trait Control: Send + Sync {
    /// Makes a container intent; nothing runs yet. Once this answers it survives the loss of power.
    fn create(&self, new: NewContainer) -> Answer<'_, Created>;

    /// Which container a text means: full id, name, or a unique prefix of an id. `No such container: x` otherwise.
    fn resolve(&self, name: &str) -> Result<ContainerId, crate::Error>;

    /// One container.
    fn inspect<'a>(&'a self, name: &'a str, sizes: bool) -> Answer<'a, Container>;

    /// All containers that are selected, the newest first.
    fn list(&self, selection: Selection) -> Answer<'_, Vec<Container>>;

    /// Wants it running, and answers once it runs or has failed to. `NotModified` if it runs already.
    fn start<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// Wants it stopped, and answers once it is. `NotModified` if it is already.
    fn stop<'a>(&'a self, name: &'a str, options: StopOptions) -> Answer<'a, ()>;

    /// Stops it if it runs, and starts it.
    fn restart<'a>(&'a self, name: &'a str, options: StopOptions) -> Answer<'a, ()>;

    /// Sends a signal (name or number) to its first process.
    fn kill<'a>(&'a self, name: &'a str, signal: &'a str) -> Answer<'a, ()>;

    /// Freezes its processes.
    fn pause<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// Lets them go on.
    fn unpause<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// Gives it another name.
    fn rename<'a>(&'a self, name: &'a str, new: &'a str) -> Answer<'a, ()>;

    /// Changes its limits and restart policy where given; the answer holds warnings.
    fn update<'a>(
        &'a self,
        name: &'a str,
        resources: model::container::Resources,
        restart: Option<RestartPolicy>,
        origin: Option<model::Origin>,
    ) -> Answer<'a, Vec<String>>;

    /// Removes it with everything that was made for it.
    fn remove<'a>(&'a self, name: &'a str, options: RemoveOptions) -> Answer<'a, ()>;

    /// Waits for its end and tells the exit code. The outer answer comes once the waiting has begun (so that a start
    /// that follows is not missed), the inner one with the end.
    fn wait<'a>(&'a self, name: &'a str, until: WaitFor) -> Answer<'a, Answer<'static, i64>>;

    /// Events from now on. A reader that lags more than the bound is told so by the channel.
    fn events(&self) -> broadcast::Receiver<Event>;

    /// Events of the past that are still known, the oldest first.
    fn past_events(&self, since: Time, until: Time) -> Vec<Event>;
}
