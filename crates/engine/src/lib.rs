//! The containers of this node: one task each drives what is seen to what is wanted.
//!
//! ```text
//!  doors/ (platform)                 registry            container (a task each)
//!  Control, Node, Images, System -> name or id -> mailbox -> plan::life::next -> start / stop / remove
//!                                       ^                          |
//!                                       +--- snapshots <-----------+--> tables (synced: what was asked for)
//!                                                                  +--> shim, network, volumes (effects)
//! ```
//!
//! - `container`: the task, its states and its requests. Start reading there.
//! - `start`: the steps from an intent to a process; `compose`: what the runtime is told, as a pure function
//! - `adopt`: what a new daemon finds, and what it makes of it
//! - `shim`: asking a shim, and hearing of the end of its process
//! - `networks`, `edge`, `volumes`: what a container has beside its process
//! - `exec`, `logs`, `top`, `stats`, `view`, `files`: what can be asked of one
//! - `commit`: an image of one; `usage`: what takes room
//!
//! Absent on purpose: anything of a cluster, and any client's wire format.

mod adopt;
mod commit;
mod compose;
mod container;
mod create;
mod doors;
mod edge;
mod events;
mod exec;
mod files;
mod logs;
mod machine;
mod networks;
mod paths;
mod registry;
mod shim;
mod signal;
mod start;
mod stats;
mod tables;
mod timings;
mod top;
mod update;
mod usage;
mod users;
mod view;
mod volumes;

pub use paths::Roots;

use base::{Chain, Clock, Time};
use model::{ContainerIntent, DaemonId, ImageId};
use platform::{Doors, Error, EventKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::Store;
use tokio::sync::Notify;

/// What `main` decided about this daemon.
pub struct Config {
    /// Where things are kept.
    pub roots: Roots,
    /// The time.
    pub clock: Clock,
    /// The shim program, as it is carried inside the binary.
    pub shim: &'static [u8],
    /// The binary's version.
    pub version: &'static str,
    /// Proxies of the environment: http, https, no.
    pub proxies: (String, String, String),
    /// The user namespace of containers that do not say which they want.
    pub userns: model::container::Userns,
    /// How registries are reached.
    pub registries: images::registry::Settings,
    /// Where networks get subnets from that ask for none; of a family that is not among them, from the usual spaces.
    pub network_spaces: Vec<plan::address::Space>,
}

/// What the parts of an engine share.
pub(crate) struct Shared {
    roots: Roots,
    clock: Clock,
    version: &'static str,
    proxies: (String, String, String),
    started: Time,
    identity: tables::Identity,
    tables: tables::Tables,
    registry: registry::Registry,
    events: events::Events,
    execs: exec::Execs,
    samples: stats::Samples,
    volumes: ::volumes::Volumes,
    images: Arc<images::Images>,
    registries: images::registry::Registries,
    users: users::Users,
    timings: timings::Timings,
    /// The shim program and the machine's control groups.
    host: runtime::Host,
    /// The daemon's part of each container's control group path.
    cgroup_parent: String,
    networks: networks::Networks,
    stop: Notify,
}

/// The engine of this node.
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// The images of this node, for a registry that shares them.
    pub fn images(&self) -> Arc<images::Images> {
        Arc::clone(&self.shared.images)
    }

    /// Opens the data root, finds what is there, adopts what runs, and starts what shall run.
    ///
    /// Must be called inside a tokio runtime, on a thread that may block.
    ///
    /// # Errors
    /// What keeps a node from working at all: its table, its images, or the shim program.
    pub fn open(config: Config) -> Result<Engine, Error> {
        let Config { roots, clock, shim, version, proxies, userns, registries, network_spaces } = config;
        let failed = |what: &str, why: String| Error::failed(format!("{what}: {why}"));
        make_skeleton(&roots.skeleton())
            .map_err(|error| failed(&format!("make {}", roots.skeleton().display()), error.to_string()))?;
        for directory in [roots.containers(), roots.volumes(), roots.shims()] {
            std::fs::create_dir_all(&directory)
                .map_err(|error| failed(&format!("make {}", directory.display()), error.to_string()))?;
        }
        let store = Store::open(&roots.table())
            .map_err(|error| failed("open the table", Chain(&error).to_string()))?;
        let store = Arc::new(store);
        let images = images::Images::open(&roots.images(), Arc::clone(&store), clock)
            .map_err(|error| failed("open the images", Chain(&error).to_string()))?;
        let volumes = ::volumes::Volumes::open(&roots.volumes(), Arc::clone(&store), clock)
            .map_err(|error| failed("open the volumes", Chain(&error).to_string()))?;
        let tables = tables::Tables::new(store);
        let mut identity = tables.identity(clock.now())?;
        let networks = networks::Networks::open(&tables, &mut identity, &network_spaces, roots.edge())?;
        if let Some(warning) = networks.warning() {
            tracing::error!(warning, "containers on networks cannot be started");
        }
        let program = runtime::ShimProgram::new(shim)
            .map_err(|error| failed("make the shim program ready", Chain(&error).to_string()))?;
        let host = runtime::Host::new(program)
            .map_err(|error| failed("look at the machine", Chain(&error).to_string()))?;
        let cgroup_parent = format!("bocage-{}", identity.daemon);
        let shared = Arc::new(Shared {
            volumes,
            roots,
            clock,
            version,
            proxies,
            started: clock.now(),
            identity,
            tables,
            registry: registry::Registry::default(),
            events: events::Events::new(),
            execs: exec::Execs::default(),
            samples: stats::Samples::default(),
            images: Arc::new(images),
            registries: images::registry::Registries::new(registries),
            users: users::Users::new(userns),
            timings: timings::Timings::default(),
            host,
            cgroup_parent,
            networks,
            stop: Notify::new(),
        });
        adopt::adopt(&shared)?;
        tokio::spawn(usage::watch(Arc::downgrade(&shared)));
        Ok(Engine { shared })
    }

    /// The doors behind which this engine stands.
    pub fn doors(&self) -> Doors {
        doors::open(&self.shared)
    }

    /// The id that is part of the name of everything this daemon makes in the kernel.
    pub fn daemon_id(&self) -> DaemonId {
        self.shared.identity.daemon
    }

    /// Waits until somebody asked this daemon to end.
    pub async fn asked_to_stop(&self) {
        self.shared.stop.notified().await;
    }

    /// Ends what serves nobody any more. Containers go on.
    pub fn close(&self) {
        let Ok(plane) = self.shared.networks.plane() else { return };
        plane.edge.end_if_idle();
        // Nothing runs and nothing is kept in the kernel for nothing: bridges and table go with the last container.
        let live = self.shared.registry.all().iter().any(|snapshot| snapshot.observed.pid().is_some());
        if !live {
            if let Err(error) = plane.dataplane.destroy() {
                tracing::warn!(error = %Chain(&error), "part of the networks is left");
            }
            let parent = self.shared.host.group(std::path::Path::new(&self.shared.cgroup_parent));
            if let Err(error) = parent.remove() {
                tracing::warn!(error = %Chain(&error), "the daemon's control group is left");
            }
        }
    }
}

/// What the lowest layer of every container holds: mount points, and nothing to read.
fn make_skeleton(directory: &std::path::Path) -> std::io::Result<()> {
    for name in ["proc", "sys", "dev", "etc"] {
        std::fs::create_dir_all(directory.join(name))?;
    }
    for name in ["hosts", "hostname", "resolv.conf"] {
        let path = directory.join("etc").join(name);
        std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    }
    Ok(())
}

impl Shared {
    /// A container's control group.
    fn group(&self, intent: &ContainerIntent) -> runtime::cgroup::Group {
        self.host.group(&compose::cgroup_path(&self.cgroup_parent, intent))
    }

    /// Freezes a container's processes, or lets them go on.
    async fn freeze(&self, intent: &ContainerIntent, on: bool) -> Result<(), Error> {
        let group = self.group(intent);
        let id = intent.id;
        doors::blocking(move || {
            group
                .freeze(on)
                .map_err(|error| Error::failed(format!("freeze container {id}: {}", Chain(&error))))
        })
        .await
    }

    /// Writes the limits of a running container.
    async fn set_limits(&self, intent: &ContainerIntent) -> Result<(), Error> {
        let (group, limits, id) = (self.group(intent), compose::limits(&intent.spec.resources), intent.id);
        doors::blocking(move || {
            let failed = |error| Error::failed(format!("Cannot update container {id}: {}", Chain(&error)));
            group.apply(&limits).map_err(failed)
        })
        .await
    }

    /// The processes in a container's control group.
    fn processes(&self, intent: &ContainerIntent) -> Result<Vec<i32>, Error> {
        let failed = |error| Error::failed(format!("list the processes of {}: {}", intent.id, Chain(&error)));
        let pids = self.group(intent).pids().map_err(failed)?;
        Ok(pids.into_iter().filter_map(|pid| i32::try_from(pid).ok()).collect())
    }

    /// Removes everything else on disk that was made for a container, and what is remembered of it.
    async fn remove_files(&self, intent: &ContainerIntent) -> Result<(), Error> {
        self.samples.forget(intent.id);
        self.execs.forget(intent.id);
        let directories = [self.roots.shim(intent.id), self.roots.container(intent.id).root().to_owned()];
        doors::blocking(move || {
            let mut outcome = Ok(());
            for directory in directories {
                let failed = |error| Error::failed(format!("remove {}: {error}", directory.display()));
                outcome = outcome.and(base::file::remove_all(&directory).map_err(failed));
            }
            outcome
        })
        .await
    }

    /// Kills what is in a container's control group, where its shim does not.
    async fn kill_group(&self, intent: &ContainerIntent) {
        let (group, id) = (self.group(intent), intent.id);
        let killed = doors::blocking(move || {
            group.kill_all().map_err(|error| Error::failed(format!("kill container {id}: {}", Chain(&error))))
        });
        if let Err(error) = killed.await {
            tracing::error!(container = %id, %error, "it could not be killed");
        }
    }

    /// Removes the images that were removed under a container that has gone now.
    fn collect_images(&self) {
        let used: BTreeSet<ImageId> =
            self.registry.all().iter().flat_map(|snapshot| volumes::images(&snapshot.intent)).collect();
        if let Err(error) = self.images.collect(&|id| used.contains(id)) {
            tracing::warn!(error = %Chain(&error), "images that nobody needs are left");
        }
    }

    /// The same, off the way of whoever removed a container.
    fn collect_images_soon(self: &Arc<Shared>) {
        let shared = Arc::clone(self);
        tokio::task::spawn_blocking(move || shared.collect_images());
    }

    /// Tells everybody what happened to a network, and to which container on it.
    fn tell_network(
        &self,
        action: &str,
        spec: &model::NetworkSpec,
        id: model::NetworkId,
        container: Option<model::ContainerId>,
    ) {
        let mut attributes = BTreeMap::from([
            ("name".to_owned(), spec.name.clone()),
            ("type".to_owned(), spec.driver.to_string()),
        ]);
        attributes.extend(container.map(|container| ("container".to_owned(), container.to_string())));
        self.events.tell(self.clock.now(), EventKind::Network, action, &id.to_string(), attributes);
    }

    /// Tells everybody what happened to a container.
    fn tell_container(&self, action: &str, intent: &ContainerIntent, more: &[(&str, String)]) {
        let mut attributes: BTreeMap<String, String> = intent.spec.labels.clone();
        attributes.insert("image".to_owned(), intent.spec.image.clone());
        attributes.insert("name".to_owned(), intent.name.clone());
        attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.events.tell(self.clock.now(), EventKind::Container, action, &intent.id.to_string(), attributes);
    }
}
