//! Starting a container's process, step by step, and undoing what was done when a step fails.
//!
//! ```text
//! shared namespaces -> files of /etc -> volumes -> network -> setup -> shim
//!      (look up)         (write)        (mount)    (connect)  (pure)  (spawn)
//! ```
//!
//! What a step makes is unmade by [`clean_up`] alone, which tolerates that it was never made: it serves a failed start, the
//! end of the process, and the leftovers that a new daemon finds.

use crate::compose::{self, Found, SharedWith};
use crate::networks::Claims;
use crate::paths::ContainerFiles;
use crate::shim::{Shim, Watched};
use crate::{Shared, users};
use base::{Chain, Time};
use model::container::{MountSource, NetworkMode, Sharing};
use model::observed::Endpoint;
use model::{ContainerId, ContainerIntent, Phase};
use platform::{Error, Streams};
use runtime::rooms::Rooms;
use runtime::setup::{Attached, Namespace, UserNamespace};
use runtime::shim::wire::FailureKind;
use runtime::timings::Stopwatch;
use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The exit code of a container whose program is not there.
const NOT_FOUND: i32 = 127;
/// Of one whose program cannot be run.
const NOT_EXECUTABLE: i32 = 126;
/// Of one that could not be started for another reason.
const NOT_STARTED: i32 = 128;

/// A process that runs.
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) at: Time,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) watched: Watched,
}

/// Why none runs, and the exit code that tells so.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) exit_code: i32,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, exit_code: NOT_STARTED }
    }
}

/// A client that waits for the output.
pub(crate) type Client = (UnixStream, Streams);

/// Starts a container's process.
pub(crate) async fn start(
    shared: &Arc<Shared>,
    intent: &ContainerIntent,
    clients: Vec<Client>,
) -> Result<Started, Failure> {
    let (shared, intent) = (Arc::clone(shared), intent.clone());
    let job = tokio::task::spawn_blocking(move || {
        let mut endpoints = Vec::new();
        match make(&shared, &intent, &clients, &mut endpoints) {
            Ok(process) => {
                let shim = Shim::new(shared.roots.shim(intent.id));
                if shared.networks.plane().is_ok_and(|plane| plane.dataplane.runs_low()) {
                    make_one_ready(&shared);
                }
                let (pid, at) = (pid_number(process.pid), process.started_at);
                Ok(Started {
                    pid,
                    at,
                    endpoints,
                    watched: Watched::started(shim, process.shim, process.ending),
                })
            }
            Err(failure) => {
                clean_up_now(&shared, &intent, &endpoints);
                Err(failure)
            }
        }
    });
    match job.await {
        Ok(outcome) => outcome,
        Err(error) => Err(Error::failed(format!("start the container: {error}")).into()),
    }
}

/// Makes a network namespace ready for a start to come. Nobody waits for it: that start finds it, or makes one itself.
fn make_one_ready(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || {
        if let Ok(plane) = shared.networks.plane() {
            let _ = plane.dataplane.refill();
        }
    });
}

/// Removes what a process had while it ran. Where its shim was tidy, that is only what the daemon gave it.
pub(crate) async fn clean_up(
    shared: &Arc<Shared>,
    intent: &ContainerIntent,
    endpoints: Vec<Endpoint>,
    is_tidy: bool,
) {
    if is_tidy && endpoints.is_empty() && !shared.volumes.is_mounted_for(intent.id) {
        crate::volumes::tell_unmounted(shared, intent);
        shared.networks.disconnect(intent.id, &[]);
        shared.users.give_back(intent.id);
        make_one_ready(shared);
        return;
    }
    let (shared, intent) = (Arc::clone(shared), intent.clone());
    let cleaned = tokio::task::spawn_blocking(move || {
        clean_up_now(&shared, &intent, &endpoints);
        make_one_ready(&shared);
    });
    if let Err(error) = cleaned.await {
        tracing::error!(%error, "clean-up did not end well");
    }
}

/// The same, on a thread that may block.
pub(crate) fn clean_up_now(shared: &Shared, intent: &ContainerIntent, endpoints: &[Endpoint]) {
    shared.networks.disconnect(intent.id, endpoints);
    shared.users.give_back(intent.id);
    shared.volumes.unmount(intent.id);
    crate::volumes::tell_unmounted(shared, intent);
    // Its shim has removed the group, unless it was killed: then nobody is responsible for what is left in it.
    let group = shared.group(intent);
    if !group.exists() {
        return;
    }
    if let Err(error) = group.kill_all().and_then(|()| group.remove()) {
        tracing::warn!(container = %intent.id, error = %Chain(&error), "its control group is left");
    }
}

fn make(
    shared: &Shared,
    intent: &ContainerIntent,
    clients: &[Client],
    endpoints: &mut Vec<Endpoint>,
) -> Result<runtime::Started, Failure> {
    let mut stopwatch = Stopwatch::new(shared.clock, compose::is_timed(intent));
    let files = shared.roots.container(intent.id);
    let directory = shared.roots.shim(intent.id);
    // What an earlier start left, when the daemon was killed in the middle of it, would share the writable layer.
    let group = shared.group(intent);
    if group.exists() {
        let gone = group.kill_all().and_then(|()| group.remove());
        gone.map_err(|error| Error::failed(format!("clear the control group: {}", Chain(&error))))?;
    }
    make_directories(&directory, &files)?;
    for mount in &intent.spec.mounts {
        bind_source(&mount.source)?;
    }
    let mut layers =
        shared.images.rootfs(&intent.image).map_err(|error| Error::failed(Chain(&error).to_string()))?;
    let (volumes, images) = crate::volumes::shown(shared, intent)?;
    // Beneath all of the image's: what every container is mounted upon need not be made in each writable layer.
    layers.push(shared.roots.skeleton());
    let shared_with = shared_processes(shared, intent)?;
    stopwatch.mark("directories and volumes");
    let joined = [shared_with.pid, shared_with.ipc, shared_with.uts].into_iter().flatten().next();
    let mut user = users::namespace(shared, intent, joined.or(network_process(shared, intent)?))?;
    let shifted = users::is_shifted(&user);
    let rooms = rooms(shared, intent, &mut user)?;
    let (user_room, network_room) = rooms.map(|rooms| (rooms.user, rooms.network)).unzip();
    let (network, namespace) = connect(shared, intent, endpoints, &user, network_room)?;
    stopwatch.mark("network");
    let etc = etc_files(shared, intent, endpoints)?;
    stopwatch.mark("files of /etc");
    let mut inherited = Vec::new();
    let mut attached = Vec::new();
    for (socket, Streams { stdin, stdout, stderr }) in clients {
        let streams = runtime::setup::Streams { stdin: *stdin, stdout: *stdout, stderr: *stderr };
        attached.push(Attached { descriptor: socket.as_raw_fd(), streams });
        inherited.push((socket.as_fd(), socket.as_raw_fd()));
    }
    for namespace in [&namespace, &user_room].into_iter().flatten() {
        inherited.push((namespace.as_fd(), namespace.as_raw_fd()));
    }
    let found = Found {
        layers,
        files: &files,
        directory,
        cgroup_parent: shared.cgroup_parent.clone(),
        network,
        user,
        shifted,
        shared: shared_with,
        etc,
        volumes: &|name| volumes.get(name).cloned().unwrap_or_default(),
        images: &images,
        clients: attached,
    };
    let setup = compose::setup(intent, found)?;
    let started = runtime::start(&shared.host, &setup, &inherited);
    if let Ok(started) = &started
        && stopwatch.is_wanted()
    {
        let mut timings = stopwatch.take();
        timings.extend(started.timings.iter().cloned());
        shared.timings.keep(intent.id, timings);
    }
    started.map_err(|error| not_started(&error))
}

/// Why a process did not come to run, and the exit code that tells so.
fn not_started(error: &runtime::Error) -> Failure {
    let exit_code = match kind(error) {
        FailureKind::NotFound => NOT_FOUND,
        FailureKind::NotExecutable => NOT_EXECUTABLE,
        FailureKind::Other => NOT_STARTED,
    };
    let message = format!("unable to start container process: {}", Chain(error));
    // What the user named cannot be run: the request is to blame, as Docker has it.
    let error = if exit_code == NOT_STARTED { Error::failed(message) } else { Error::invalid(message) };
    Failure { error, exit_code }
}

/// What a start writes into. An earlier run's status must not be taken for this one's.
fn make_directories(shim: &Path, files: &ContainerFiles) -> Result<(), Error> {
    base::file::remove_all(shim).map_err(|error| failed("clear", shim, &error))?;
    for made in [shim, &files.upper(), &files.work(), &files.log()] {
        fs::create_dir_all(made).map_err(|error| failed("make", made, &error))?;
    }
    Ok(())
}

/// What a client's exit code depends on.
pub(crate) fn kind(error: &runtime::Error) -> FailureKind {
    match error {
        runtime::Error::Start { failure } => failure.kind,
        _ => FailureKind::Other,
    }
}

/// A process id as the rest of the engine has them.
pub(crate) fn pid_number(pid: u32) -> i32 {
    i32::try_from(pid).unwrap_or(i32::MAX)
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::failed(format!("{what} {}: {error}", path.display()))
}

/// Makes the directory of the host that `-v` names and that is not there, and refuses what `--mount` names.
fn bind_source(source: &MountSource) -> Result<(), Error> {
    let MountSource::Bind { path, create, .. } = source else { return Ok(()) };
    match fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && *create => fs::create_dir_all(path)
            .map_err(|error| failed("make the directory to be mounted", Path::new(path), &error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::invalid(format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {path}"
        ))),
        Err(error) => Err(failed("look at", Path::new(path), &error)),
    }
}

/// The first process of a container whose namespace is shared.
pub(crate) fn running_process(shared: &Shared, name: &str, what: &str) -> Result<i32, Error> {
    let (id, handle) = shared.registry.find(name)?;
    match handle.snapshot().observed.phase {
        Phase::Running { pid } | Phase::Paused { pid } => Ok(pid),
        _ => Err(Error::conflict(format!("cannot join {what} of a non running container: {id}"))),
    }
}

fn shared_processes(shared: &Shared, intent: &ContainerIntent) -> Result<SharedWith, Error> {
    let one = |sharing: &Sharing, what: &str| match sharing {
        Sharing::Container(name) => running_process(shared, name, what).map(Some),
        Sharing::Private | Sharing::Host => Ok(None),
    };
    let spec = &intent.spec;
    Ok(SharedWith { pid: one(&spec.pid, "PID")?, ipc: one(&spec.ipc, "IPC")?, uts: one(&spec.uts, "UTS")? })
}

/// The first process of the container whose network is shared.
fn network_process(shared: &Shared, intent: &ContainerIntent) -> Result<Option<i32>, Error> {
    match &intent.spec.network {
        NetworkMode::Container(name) => running_process(shared, name, "network").map(Some),
        _ => Ok(None),
    }
}

/// A network that is connected before the container starts needs its namespace before, and that needs its owner: both
/// are made here, and the container joins them.
fn rooms(
    shared: &Shared,
    intent: &ContainerIntent,
    user: &mut UserNamespace,
) -> Result<Option<Rooms>, Error> {
    let (UserNamespace::New { users, groups }, NetworkMode::Attached) = (&*user, &intent.spec.network) else {
        return Ok(None);
    };
    let rooms = runtime::rooms::make(&shared.host, users, groups)
        .map_err(|error| Error::failed(format!("make a user namespace: {}", Chain(&error))))?;
    *user = UserNamespace::Existing(Namespace::Descriptor(rooms.user.as_raw_fd()));
    Ok(Some(rooms))
}

/// Gives the container its network, and says how the shim finds it.
fn connect(
    shared: &Shared,
    intent: &ContainerIntent,
    endpoints: &mut Vec<Endpoint>,
    user: &UserNamespace,
    room: Option<OwnedFd>,
) -> Result<(Namespace, Option<OwnedFd>), Error> {
    Ok(match &intent.spec.network {
        NetworkMode::Host => (Namespace::Host, None),
        NetworkMode::None => match ready_namespace(shared, user) {
            Some(ready) => (Namespace::Descriptor(ready.as_raw_fd()), Some(ready)),
            None => (Namespace::New, None),
        },
        NetworkMode::Container(name) => {
            let pid = running_process(shared, name, "network")?;
            (Namespace::Path(PathBuf::from(format!("/proc/{pid}/ns/net"))), None)
        }
        NetworkMode::Attached => {
            let (places, namespace) = shared.networks.connect(intent, &claims(shared, intent), room)?;
            endpoints.extend(places);
            write_endpoints(shared, intent.id, endpoints)?;
            let descriptor = namespace.into_fd();
            (Namespace::Descriptor(descriptor.as_raw_fd()), Some(descriptor))
        }
    })
}

/// The addresses that others asked for on networks where this is possible: all but the default bridge.
fn claims(shared: &Shared, intent: &ContainerIntent) -> Claims {
    let own = shared.networks.attachments(intent);
    if own.iter().all(|attachment| shared.networks.is_default(attachment)) {
        return Claims::default();
    }
    Claims::all(&shared.registry)
}

/// A namespace without any link, if one is ready. It would belong to the host's user namespace.
fn ready_namespace(shared: &Shared, user: &UserNamespace) -> Option<OwnedFd> {
    let plane = shared.networks.plane().ok().filter(|_| *user == UserNamespace::Host)?;
    plane.dataplane.ready_namespace().map(net::Namespace::into_fd)
}

/// The file beside a shim's status that says what its container has on networks. The table is told of it only after the
/// start, and the daemon may die in between.
fn endpoints_file(shared: &Shared, id: ContainerId) -> PathBuf {
    shared.roots.shim(id).join("endpoints.json")
}

pub(crate) fn write_endpoints(shared: &Shared, id: ContainerId, endpoints: &[Endpoint]) -> Result<(), Error> {
    let path = endpoints_file(shared, id);
    let written = serde_json::to_vec(endpoints)
        .map_err(std::io::Error::from)
        .and_then(|bytes| base::file::write_atomically(&path, &bytes, base::file::Durability::Process));
    written.map_err(|error| failed("write", &path, &error))
}

/// What a container had on networks when it was last started.
pub(crate) fn read_endpoints(shared: &Shared, id: ContainerId) -> Option<Vec<Endpoint>> {
    let bytes = base::file::read_if_there(&endpoints_file(shared, id)).ok()??;
    serde_json::from_slice(&bytes).ok()
}

/// Writes the container's `/etc/hosts`, `hostname` and `resolv.conf`, and says where they are. One that shares another
/// container's network shares that one's files.
fn etc_files(
    shared: &Shared,
    intent: &ContainerIntent,
    endpoints: &[Endpoint],
) -> Result<Vec<(&'static str, PathBuf)>, Error> {
    let spec = &intent.spec;
    if let NetworkMode::Container(name) = &spec.network {
        let (id, _) = shared.registry.find(name)?;
        let files = shared.roots.container(id);
        return Ok(["hosts", "hostname", "resolv.conf"].map(|name| (name, files.etc(name))).to_vec());
    }
    let own_network = spec.network != NetworkMode::Host;
    let hostname = compose::hostname(intent);
    let hosts = if own_network {
        hosts(shared, intent, endpoints)
    } else {
        host_file("/etc/hosts")
            + &spec
                .extra_hosts
                .iter()
                .map(|(name, address)| format!("{address}\t{name}\n"))
                .collect::<String>()
    };
    let resolv = resolv_conf(shared, intent, endpoints);
    let hostname =
        if own_network || !spec.hostname.is_empty() { hostname } else { host_file("/etc/hostname") };
    let files = shared.roots.container(intent.id);
    let mut written = Vec::with_capacity(3);
    for (name, text) in
        [("hosts", hosts), ("hostname", format!("{}\n", hostname.trim_end())), ("resolv.conf", resolv)]
    {
        let path = files.etc(name);
        // Not atomically: a file that is mounted in a container must stay the same file.
        fs::write(&path, text).map_err(|error| failed("write", &path, &error))?;
        written.push((name, path));
    }
    // What the user mounts over one of them is theirs.
    written.retain(|(name, _)| !spec.mounts.iter().any(|mount| mount.target == format!("/etc/{name}")));
    Ok(written)
}

/// What stands in the list of hosts of a container with a network of its own.
fn hosts(shared: &Shared, intent: &ContainerIntent, endpoints: &[Endpoint]) -> String {
    let addresses: Vec<IpAddr> = endpoints
        .iter()
        .flat_map(|place| {
            let ipv4 = place.ipv4.map(|(address, _)| IpAddr::V4(address));
            [ipv4, place.ipv6.map(|(address, _)| IpAddr::V6(address))]
        })
        .flatten()
        .collect();
    let (spec, gateway) = (&intent.spec, shared.networks.default_gateway());
    plan::files::hosts(&addresses, &compose::hostname(intent), &spec.domainname, &spec.extra_hosts, gateway)
}

/// What a container's resolver is told: to ask here, where it is on a network with names.
fn resolv_conf(shared: &Shared, intent: &ContainerIntent, endpoints: &[Endpoint]) -> String {
    if shared.networks.asks_here(endpoints) {
        return crate::networks::naming(intent).text;
    }
    let spec = &intent.spec;
    let wanted =
        plan::files::Resolver { servers: &spec.dns, search: &spec.dns_search, options: &spec.dns_options };
    let own_network = spec.network != NetworkMode::Host;
    plan::files::resolv_conf(&host_file("/etc/resolv.conf"), wanted, own_network)
}

/// Writes a running container's list of hosts, and how it asks for others, anew, after its networks changed.
pub(crate) fn write_hosts(
    shared: &Shared,
    intent: &ContainerIntent,
    endpoints: &[Endpoint],
) -> Result<(), Error> {
    let files = shared.roots.container(intent.id);
    let texts = [
        ("hosts", hosts(shared, intent, endpoints)),
        ("resolv.conf", resolv_conf(shared, intent, endpoints)),
    ];
    for (name, text) in texts {
        let path = files.etc(name);
        fs::write(&path, text).map_err(|error| failed("write", &path, &error))?;
    }
    Ok(())
}

fn host_file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
