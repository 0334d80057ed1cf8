//! From what was asked for to what the runtime is told: pure, so that it can be read and tested as a whole.
//!
//! Everything that depends on the machine (paths, process ids, the address) was found out before and comes in as
//! [`Found`]. What a default container sees, hides and may do is decided here and nowhere else.

use crate::paths::ContainerFiles;
use model::container::{MountSource, NetworkMode, Resources, Seccomp, Sharing};
use model::{ContainerIntent, ContainerSpec, ImageId};
use platform::Error;
use runtime::cgroup::resources::{self as cgroup, Cpu, Memory, Swap};
use runtime::setup::{
    Attached, Capabilities, Cgroup, Device, Hooks, Log, MapIds, Mount, MountKind, Namespace, Namespaces,
    Options, Process, Root, Setup, Stdio, TimeNamespace, UserNamespace, Watch,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes of `/dev/shm` where nobody said otherwise.
const SHM_BYTES: u64 = 64 << 20;
/// Microseconds of the period in which `--cpus` is counted.
const CPU_PERIOD_US: u64 = 100_000;
/// The mode of a temporary file system's root.
const TMPFS_MODE: u32 = 0o1777;
/// What a file system in a container is mounted with, unless there is a reason not to.
const QUIET: [&str; 3] = ["nosuid", "noexec", "nodev"];

/// Hidden from a container: what tells it about other containers, or lets it touch the machine. Docker's list.
pub(crate) const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Shown to a container but not to be written. Docker's list.
pub(crate) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Any process of a container may bind low ports and send pings: nobody else is on its network.
const OPEN_NETWORK: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// The same where there are no more groups than these.
const OPEN_NETWORK_INSIDE: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 65535")];

/// What was found out about the machine for this start.
pub(crate) struct Found<'a> {
    /// The image's layers, the top one first.
    pub(crate) layers: Vec<PathBuf>,
    /// The container's own files.
    pub(crate) files: &'a ContainerFiles,
    /// The directory of its shim.
    pub(crate) directory: PathBuf,
    /// The daemon's part of the control group's path.
    pub(crate) cgroup_parent: String,
    /// The network namespace.
    pub(crate) network: Namespace,
    /// The user namespace.
    pub(crate) user: UserNamespace,
    /// Whether what is on disk is shown with other owners in it.
    pub(crate) shifted: bool,
    /// The process ids of the containers whose namespaces are shared.
    pub(crate) shared: SharedWith,
    /// Files for `/etc`: the name there and the path on the host.
    pub(crate) etc: Vec<(&'static str, PathBuf)>,
    /// Where each volume that the spec names lies, by its name.
    pub(crate) volumes: &'a dyn Fn(&str) -> PathBuf,
    /// The layers of each image that the spec mounts, the top one first.
    pub(crate) images: &'a BTreeMap<ImageId, Vec<PathBuf>>,
    /// Clients that wait for its output.
    pub(crate) clients: Vec<Attached>,
}

/// The first processes of containers whose namespaces are shared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SharedWith {
    pub(crate) pid: Option<i32>,
    pub(crate) ipc: Option<i32>,
    pub(crate) uts: Option<i32>,
}

/// Puts everything together.
pub(crate) fn setup(intent: &ContainerIntent, found: Found<'_>) -> Result<Setup, Error> {
    let spec = &intent.spec;
    let privileged = spec.security.privileged;
    let hidden = |given: &Option<Vec<String>>, default: &[&str]| -> Vec<PathBuf> {
        match given {
            Some(paths) => paths.iter().map(PathBuf::from).collect(),
            None if privileged => Vec::new(),
            None => default.iter().map(PathBuf::from).collect(),
        }
    };
    let own_uts = spec.uts == Sharing::Private;
    Ok(Setup {
        id: intent.id.to_string(),
        directory: found.directory.clone(),
        root: Root::Overlay {
            lower: found.layers.clone(),
            upper: found.files.upper(),
            work: found.files.work(),
            map_ids: found.shifted,
        },
        root_passing: None,
        no_pivot: false,
        root_read_only: spec.read_only,
        mounts: mounts(spec, &found)?,
        namespaces: namespaces(spec, &found),
        // A new UTS namespace starts with the host's name, which is what a container on the host's network keeps.
        hostname: (own_uts && (spec.network != NetworkMode::Host || !spec.hostname.is_empty()))
            .then(|| hostname(intent)),
        domainname: Some(spec.domainname.clone()).filter(|name| own_uts && !name.is_empty()),
        sysctls: sysctls(spec, &found.network, &found.user),
        devices: spec.devices.iter().map(device).collect(),
        nodes: Vec::new(),
        default_nodes: false,
        all_devices: privileged,
        masked_paths: hidden(&spec.security.masked_paths, &MASKED),
        read_only_paths: hidden(&spec.security.read_only_paths, &READ_ONLY),
        cgroup: Cgroup {
            path: cgroup_path(&found.cgroup_parent, intent),
            resources: limits(&spec.resources),
        },
        init: spec.init,
        process: process(intent)?,
        stdio: Stdio { open_stdin: spec.open_stdin, stdin_once: spec.stdin_once, attached: found.clients },
        log: (!spec.log.none).then(|| Log {
            directory: found.files.log(),
            file_bytes_max: spec.log.file_bytes_max,
            files_max: spec.log.files_max,
        }),
        hooks: Hooks::default(),
        watch: Watch::Shim,
        timed: is_timed(intent),
    })
}

/// Whether the client wants to know where the time of the start goes.
pub(crate) fn is_timed(intent: &ContainerIntent) -> bool {
    intent.spec.labels.contains_key(platform::TIMED_LABEL)
}

/// Kernel settings: what the user says over what a network namespace of one's own starts with. Those that were made ahead have
/// these already.
fn sysctls(spec: &ContainerSpec, network: &Namespace, user: &UserNamespace) -> Vec<(String, String)> {
    let mut settings = spec.sysctls.clone();
    if *network == Namespace::New {
        let open = if *user == UserNamespace::Host { OPEN_NETWORK } else { OPEN_NETWORK_INSIDE };
        for (name, value) in open {
            settings.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    settings.into_iter().collect()
}

/// The path of a container's control group beneath each hierarchy.
pub(crate) fn cgroup_path(parent: &str, intent: &ContainerIntent) -> PathBuf {
    Path::new(parent).join(intent.id.to_string())
}

/// The host name a container has.
pub(crate) fn hostname(intent: &ContainerIntent) -> String {
    match intent.spec.hostname.as_str() {
        "" => intent.id.short(),
        given => given.to_owned(),
    }
}

fn device(device: &model::container::Device) -> Device {
    Device {
        source: PathBuf::from(&device.source),
        target: PathBuf::from(&device.target),
        access: device.access.clone(),
    }
}

fn of_process(pid: Option<i32>, name: &str) -> Namespace {
    pid.map_or(Namespace::New, |pid| Namespace::Path(PathBuf::from(format!("/proc/{pid}/ns/{name}"))))
}

fn namespaces(spec: &ContainerSpec, found: &Found<'_>) -> Namespaces {
    let one = |sharing: &Sharing, pid: Option<i32>, name: &str| match sharing {
        Sharing::Host => Namespace::Host,
        Sharing::Private | Sharing::Container(_) => of_process(pid, name),
    };
    Namespaces {
        user: found.user.clone(),
        time: TimeNamespace::Host,
        mount: Namespace::New,
        pid: one(&spec.pid, found.shared.pid, "pid"),
        network: found.network.clone(),
        ipc: one(&spec.ipc, found.shared.ipc, "ipc"),
        uts: one(&spec.uts, found.shared.uts, "uts"),
        // A privileged container sees the host's groups on v1 only by convention; one of its own is safe in both.
        cgroup: one(&spec.cgroup, None, "cgroup"),
    }
}

fn mounts(spec: &ContainerSpec, found: &Found<'_>) -> Result<Vec<Mount>, Error> {
    let privileged = spec.security.privileged;
    let plain = |target: &str, kind: MountKind, words: &[&str]| Mount {
        target: PathBuf::from(target),
        kind,
        options: Options::parse(words.iter().copied()),
    };
    let kernel = ["nosuid", "noexec", "nodev", "ro"];
    let kernel = if privileged { &kernel[..3] } else { &kernel[..] };
    let (shm, shm_options) = shm(spec, found);
    let mut mounts = vec![
        plain("/proc", MountKind::new("proc"), &QUIET),
        plain("/dev", MountKind::Dev, &[]),
        plain("/sys", MountKind::new("sysfs"), kernel),
        plain("/sys/fs/cgroup", MountKind::Cgroup, kernel),
        plain("/dev/mqueue", MountKind::new("mqueue"), &QUIET),
        Mount { target: PathBuf::from("/dev/shm"), kind: shm, options: shm_options },
    ];
    for (name, path) in &found.etc {
        mounts.push(plain(&format!("/etc/{name}"), bind(path.clone()), &[]));
    }
    // A mount at a shorter path goes first, so that it does not cover what is mounted beneath it.
    let mut wanted: Vec<&model::container::Mount> = spec.mounts.iter().collect();
    wanted.sort_by_key(|mount| Path::new(&mount.target).components().count());
    for mount in wanted {
        let target = PathBuf::from(&mount.target);
        // What the user names takes the place of what is there by default, but for `/proc`: the runtime refuses that.
        mounts.retain(|earlier| earlier.target != target || target == Path::new("/proc"));
        mounts.push(wanted_mount(mount, found)?);
    }
    for mount in mounts.iter_mut().filter(|mount| found.shifted && mount.kind.is_of_host()) {
        // Files of the container and of its volumes carry the numbers of the inside.
        mount.options.map_ids = Some(MapIds { recursive: true, is_optional: true, ..MapIds::default() });
    }
    Ok(mounts)
}

fn bind(source: PathBuf) -> MountKind {
    MountKind::Bind { source, recursive: true }
}

fn shm(spec: &ContainerSpec, found: &Found<'_>) -> (MountKind, Options) {
    match (&spec.ipc, found.shared.ipc) {
        (Sharing::Host, _) => (bind(PathBuf::from("/dev/shm")), Options::default()),
        (Sharing::Container(_), Some(pid)) => {
            (bind(PathBuf::from(format!("/proc/{pid}/root/dev/shm"))), Options::default())
        }
        _ => tmpfs(Some(spec.shm_bytes.unwrap_or(SHM_BYTES)), TMPFS_MODE, QUIET.into_iter()),
    }
}

/// A file system in memory: its size in bytes, the mode of its root, and words of mount(8).
fn tmpfs<'a>(
    size_bytes: Option<u64>,
    mode: u32,
    words: impl Iterator<Item = &'a str>,
) -> (MountKind, Options) {
    let mut options = Options::parse(words);
    options.data.insert(0, ("mode".to_owned(), Some(format!("{mode:o}"))));
    if let Some(bytes) = size_bytes {
        options.data.insert(1, ("size".to_owned(), Some(bytes.to_string())));
    }
    (MountKind::new("tmpfs"), options)
}

fn wanted_mount(mount: &model::container::Mount, found: &Found<'_>) -> Result<Mount, Error> {
    let target = PathBuf::from(&mount.target);
    let top_only = matches!(mount.source, MountSource::Bind { read_only_top: true, .. });
    let read_only: &[&str] = match mount.read_only {
        true if top_only => &["ro"],
        true => &["ro", "rro"],
        false => &[],
    };
    let bound = |kind: MountKind, words: &[&str]| Mount {
        target: target.clone(),
        kind,
        options: Options::parse(read_only.iter().chain(words).copied()),
    };
    Ok(match &mount.source {
        MountSource::Bind { path, recursive, propagation, .. } => {
            let deep = match propagation.as_str() {
                "" | "rprivate" | "rslave" | "rshared" => true,
                "private" | "slave" | "shared" => false,
                other => return Err(Error::invalid(format!("invalid propagation mode: {other}"))),
            };
            let kind = MountKind::Bind { source: PathBuf::from(path), recursive: *recursive && deep };
            let propagation = Some(propagation.as_str()).filter(|word| !word.is_empty());
            bound(kind, propagation.as_slice())
        }
        MountSource::Volume(volume) => {
            let source = (found.volumes)(&volume.name);
            if volume.subpath.is_empty() {
                bound(bind(source), &[])
            } else {
                bound(MountKind::Beneath { source, path: PathBuf::from(&volume.subpath) }, &[])
            }
        }
        MountSource::Image { name, id, subpath } => {
            let lower = id.and_then(|id| found.images.get(&id)).cloned();
            let lower = lower.ok_or_else(|| Error::not_found(format!("No such image: {name}")))?;
            bound(MountKind::Layers { lower, path: PathBuf::from(subpath) }, &["ro"])
        }
        MountSource::Tmpfs { size_bytes, mode, options } => {
            let given: Vec<&str> = if options.is_empty() {
                QUIET.to_vec()
            } else {
                options.iter().map(String::as_str).collect()
            };
            let words = given.into_iter().chain(read_only.iter().copied().take(1));
            let (kind, options) = tmpfs(*size_bytes, mode.unwrap_or(TMPFS_MODE), words);
            Mount { target, kind, options }
        }
    })
}

/// Limits in the kernel's words. Where only memory is limited, there is as much swap again, as Docker has it.
pub(crate) fn limits(resources: &Resources) -> cgroup::Resources {
    let (quota, period) = match resources.nano_cpus {
        Some(nano) if nano > 0 => {
            let quota = u128::from(nano) * u128::from(CPU_PERIOD_US) / 1_000_000_000;
            (i64::try_from(quota).ok(), Some(CPU_PERIOD_US))
        }
        _ => {
            (resources.cpu_quota_us.filter(|quota| *quota != 0), resources.cpu_period_us.filter(|us| *us > 0))
        }
    };
    let positive = |value: Option<u64>| value.filter(|value| *value > 0);
    let number = |value: u64| i64::try_from(value).unwrap_or(-1);
    let named = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    let limit_bytes = positive(resources.memory_bytes).map(number);
    let swap = match resources.memory_swap_bytes.filter(|bytes| *bytes != 0) {
        Some(together) => Swap::Together(together),
        None if limit_bytes.is_some() => Swap::SameAgain,
        None => Swap::Unset,
    };
    cgroup::Resources {
        memory: Memory {
            limit_bytes,
            swap,
            reservation_bytes: positive(resources.memory_reservation_bytes).map(number),
            oom_kill_disable: resources.oom_kill_disable,
            ..Memory::default()
        },
        cpu: Cpu {
            quota_us: quota,
            period_us: period,
            shares: positive(resources.cpu_shares),
            cpus: named(&resources.cpuset_cpus),
            mems: named(&resources.cpuset_mems),
            ..Cpu::default()
        },
        pids: positive(resources.pids).map(number),
        ..cgroup::Resources::default()
    }
}

/// The process that a spec asks for.
pub(crate) fn process(intent: &ContainerIntent) -> Result<Process, Error> {
    let spec = &intent.spec;
    let mut env = spec.env.clone();
    if !env.iter().any(|entry| entry.starts_with("HOSTNAME=")) {
        let host = spec.network == NetworkMode::Host && spec.hostname.is_empty() || spec.uts == Sharing::Host;
        let name = if host { crate::machine::name() } else { hostname(intent) };
        env.insert(1.min(env.len()), format!("HOSTNAME={name}"));
    }
    let cwd = match spec.working_dir.as_str() {
        "" => "/",
        given => given,
    };
    Ok(Process {
        args: plan::merge::args(spec),
        env,
        cwd: PathBuf::from(cwd),
        user: spec.user.clone(),
        groups: spec.groups.clone(),
        terminal: spec.terminal,
        size: spec.terminal_size,
        capabilities: Capabilities::of(capabilities(spec)?),
        no_new_privileges: spec.security.no_new_privileges,
        seccomp: seccomp(spec),
        rlimits: spec.ulimits.clone(),
        oom_score_adj: spec.oom_score_adj,
        ..Process::default()
    })
}

/// The capabilities that a container keeps.
pub(crate) fn capabilities(spec: &ContainerSpec) -> Result<Vec<String>, Error> {
    let security = &spec.security;
    match plan::capabilities::kept(security.privileged, &security.cap_add, &security.cap_drop) {
        Ok(kept) => Ok(kept.into_iter().map(str::to_owned).collect()),
        Err(plan::capabilities::Unknown(name)) => {
            Err(Error::invalid(format!("unknown capability: \"{name}\"")))
        }
    }
}

fn seccomp(spec: &ContainerSpec) -> runtime::setup::Seccomp {
    match &spec.security.seccomp {
        _ if spec.security.privileged => runtime::setup::Seccomp::Unconfined,
        Seccomp::Default => runtime::setup::Seccomp::Default,
        Seccomp::Unconfined => runtime::setup::Seccomp::Unconfined,
        Seccomp::Profile(json) => runtime::setup::Seccomp::Profile(json.clone()),
    }
}
