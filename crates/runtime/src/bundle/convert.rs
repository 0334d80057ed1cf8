//! From a bundle's configuration to what the shim is told: pure but for one look at the root's path.
//!
//! What the specification leaves open is decided as runc does. What makes no sense is refused with the field's name: a setting that
//! would reach the host because the namespace that contains it is missing, above all.

use super::config::{self, Config};
use super::{Error, resources};
use crate::setup::{
    Cgroup, Change, CpuAffinity, Handover, Hook, Hooks, IdRange, MapIds, Mount, MountKind, Namespace,
    Namespaces, NewNode, NodeKind, Options, Root, SettingOf, Setup, Stdio, TimeNamespace, UserNamespace,
    Watch, setting_of,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What the caller says beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The container's id.
    pub id: String,
    /// The bundle, absolute and without links.
    pub bundle: PathBuf,
    /// The container's directory.
    pub directory: PathBuf,
    /// The root is not exchanged but only changed.
    pub no_pivot: bool,
    /// The caller's session keyring is kept.
    pub no_new_keyring: bool,
    /// The inherited descriptor of a socket to which the terminal goes.
    pub console: Option<i32>,
    /// Descriptors that the program gets.
    pub preserved: Vec<i32>,
    /// The environment of hooks that bring none.
    pub env: Vec<String>,
}

/// Everything for the shim.
///
/// # Errors
/// [`Error::Invalid`] with the field's name.
pub fn setup(config: &Config, given: &Given) -> Result<Setup, Error> {
    let root = config.root.as_ref().ok_or_else(|| Error::invalid("root", "a container needs one"))?;
    let linux = &config.linux;
    let namespaces = namespaces(config)?;
    check_contained(config, &namespaces)?;
    refuse(linux)?;
    let process =
        config.process.as_ref().ok_or_else(|| Error::invalid("process", "there is nothing to run"))?;
    let mounts = config
        .mounts
        .iter()
        .enumerate()
        .map(|(index, one)| mount(index, one, given, linux.mount_label.as_deref()));
    let mounts = mounts.collect::<Result<Vec<_>, _>>()?;
    let hides_dev = mounts
        .iter()
        .any(|one| one.target == Path::new("/dev") && matches!(one.kind, MountKind::Bind { .. }));
    let state = state(config, given);
    let mut program = super::process::process(process, config, "process")?;
    program.keeps_keyring = given.no_new_keyring;
    // They are for processes that are added.
    program.cpu_affinity = CpuAffinity::default();
    Ok(Setup {
        id: given.id.clone(),
        directory: given.directory.clone(),
        root: Root::Directory(root_path(&root.path, &given.bundle)?),
        root_read_only: root.readonly,
        root_passing: linux.rootfs_propagation.as_deref().map(propagation).transpose()?,
        no_pivot: given.no_pivot,
        mounts,
        namespaces,
        hostname: config.hostname.clone().filter(|name| !name.is_empty()),
        domainname: config.domainname.clone().filter(|name| !name.is_empty()),
        sysctls: linux.sysctl.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        devices: Vec::new(),
        nodes: linux.devices.iter().enumerate().map(node).collect::<Result<_, _>>()?,
        default_nodes: !hides_dev,
        all_devices: false,
        masked_paths: linux.masked_paths.clone(),
        read_only_paths: linux.readonly_paths.clone(),
        cgroup: Cgroup {
            path: checked_group(cgroup_path(config, &given.id))?,
            resources: resources::resources(&linux.resources)?,
        },
        init: false,
        process: program,
        stdio: Stdio::default(),
        log: None,
        hooks: Hooks {
            state: state.to_string(),
            env: given.env.clone(),
            create_runtime: hooks("createRuntime", &[&config.hooks.prestart, &config.hooks.create_runtime])?,
            create_container: hooks("createContainer", &[&config.hooks.create_container])?,
            start_container: hooks("startContainer", &[&config.hooks.start_container])?,
        },
        watch: Watch::Caller(Handover {
            waits: true,
            console: given.console,
            preserved: given.preserved.clone(),
            state: state.to_string(),
        }),
        timed: false,
    })
}

/// The container's state as hooks and agents are told it, without status and process.
pub(super) fn state(config: &Config, given: &Given) -> Value {
    let mut state = json!({
        "ociVersion": super::features::VERSION,
        "id": given.id,
        "bundle": given.bundle,
    });
    if !config.annotations.is_empty() {
        state["annotations"] = json!(config.annotations);
    }
    state
}

/// The path of its control group beneath each hierarchy.
pub fn cgroup_path(config: &Config, id: &str) -> PathBuf {
    match config.linux.cgroups_path.as_deref() {
        None | Some("") => PathBuf::from(id),
        Some(path) => PathBuf::from(path.trim_start_matches('/')),
    }
}

/// The group must be one beneath the hierarchies' roots: at the end of the container all who are in it are killed.
fn checked_group(path: PathBuf) -> Result<PathBuf, Error> {
    let mut parts = path.components().peekable();
    let is_beneath =
        parts.peek().is_some() && parts.all(|part| matches!(part, std::path::Component::Normal(_)));
    if is_beneath {
        return Ok(path);
    }
    let why = format!("{:?} must name a group beneath the root, without `..`", path.display().to_string());
    Err(Error::invalid("linux.cgroupsPath", why))
}

/// The root must be where the path says, not where a link in it leads.
fn root_path(path: &Path, bundle: &Path) -> Result<PathBuf, Error> {
    let wrong = |why: String| Error::invalid("root.path", why);
    if path.as_os_str().is_empty() {
        return Err(wrong("it is empty".into()));
    }
    let joined: PathBuf = bundle.join(path).components().collect();
    let real = std::fs::canonicalize(&joined)
        .map_err(|error| wrong(format!("{}: {}", joined.display(), error_words(&error))))?;
    let plain = std::fs::symlink_metadata(&joined).is_ok_and(|about| about.is_dir());
    if !plain {
        return Err(wrong(format!("{} must be a directory and no symbolic link", joined.display())));
    }
    Ok(real)
}

fn error_words(error: &std::io::Error) -> String {
    base::Chain(error).to_string()
}

fn propagation(word: &str) -> Result<Change, Error> {
    let options = Options::parse([word]);
    match options.passing.as_slice() {
        [one] => Ok(*one),
        _ => Err(Error::invalid("linux.rootfsPropagation", format!("{word:?} is no way of propagation"))),
    }
}

fn ranges(from: &[config::IdMapping]) -> Vec<IdRange> {
    from.iter()
        .map(|one| IdRange { inside: one.container_id, outside: one.host_id, length: one.size })
        .collect()
}

fn namespaces(config: &Config) -> Result<Namespaces, Error> {
    let linux = &config.linux;
    let find = |kind: &str| -> Result<Option<&config::Namespace>, Error> {
        let mut all = linux.namespaces.iter().filter(|one| one.kind == kind);
        let first = all.next();
        if all.next().is_some() {
            return Err(Error::invalid("linux.namespaces", format!("{kind:?} stands there twice")));
        }
        Ok(first)
    };
    let known = ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"];
    if let Some(odd) = linux.namespaces.iter().find(|one| !known.contains(&one.kind.as_str())) {
        let why = format!("{:?} is none of {}", odd.kind, known.join(", "));
        return Err(Error::invalid("linux.namespaces", why));
    }
    let path = |one: &config::Namespace| one.path.clone().filter(|path| !path.as_os_str().is_empty());
    let plain = |kind: &str| -> Result<Namespace, Error> {
        Ok(find(kind)?.map_or(Namespace::Host, |one| path(one).map_or(Namespace::New, Namespace::Path)))
    };
    let user = match find("user")? {
        None => UserNamespace::Host,
        Some(one) => match path(one) {
            Some(path) => UserNamespace::Existing(Namespace::Path(path)),
            None if linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty() => {
                let why = "a new user namespace needs linux.uidMappings and linux.gidMappings";
                return Err(Error::invalid("linux.namespaces", why));
            }
            None => {
                UserNamespace::New { users: ranges(&linux.uid_mappings), groups: ranges(&linux.gid_mappings) }
            }
        },
    };
    let offsets = linux.time_offsets.iter().map(|(clock, by)| (clock.clone(), by.secs, by.nanosecs));
    let time = match find("time")? {
        None if linux.time_offsets.is_empty() => TimeNamespace::Host,
        None => return Err(Error::invalid("linux.timeOffsets", "it needs a new time namespace")),
        Some(one) => match path(one) {
            Some(path) => TimeNamespace::Existing(Namespace::Path(path)),
            None => TimeNamespace::New(offsets.collect()),
        },
    };
    Ok(Namespaces {
        user,
        time,
        mount: plain("mount")?,
        pid: plain("pid")?,
        network: plain("network")?,
        ipc: plain("ipc")?,
        uts: plain("uts")?,
        cgroup: plain("cgroup")?,
    })
}

/// What would reach the host is refused: it belongs to a namespace that the container shares with it.
fn check_contained(config: &Config, namespaces: &Namespaces) -> Result<(), Error> {
    let linux = &config.linux;
    let set = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    if (set(&config.hostname) || set(&config.domainname)) && namespaces.uts == Namespace::Host {
        return Err(Error::invalid("hostname", "it needs a uts namespace, or the host's name would change"));
    }
    let hides = !linux.masked_paths.is_empty() || !linux.readonly_paths.is_empty();
    if hides && namespaces.mount == Namespace::Host {
        let why = "maskedPaths and readonlyPaths need a mount namespace, or the host's paths would be hidden";
        return Err(Error::invalid("linux", why));
    }
    for name in linux.sysctl.keys() {
        let owner = setting_of(name).map(|owner| match owner {
            SettingOf::Network => ("network", namespaces.network == Namespace::Host),
            SettingOf::Ipc => ("ipc", namespaces.ipc == Namespace::Host),
            SettingOf::Uts => ("uts", namespaces.uts == Namespace::Host),
            SettingOf::User => ("user", namespaces.user == UserNamespace::Host),
        });
        let field = format!("linux.sysctl.{name}");
        match owner {
            Some((_, false)) => {}
            Some((kind, true)) => {
                let why = format!("it needs a new {kind} namespace, or it would be set for the whole host");
                return Err(Error::invalid(field, why));
            }
            None => {
                return Err(Error::invalid(
                    field,
                    "it is in no namespace: it would be set for the whole host",
                ));
            }
        }
    }
    Ok(())
}

/// What this runtime or this machine does not have.
fn refuse(linux: &config::Linux) -> Result<(), Error> {
    if linux.intel_rdt.is_some() {
        let why = "the resource director (resctrl) is not supported: remove the field";
        return Err(Error::invalid("linux.intelRdt", why));
    }
    if let Some(name) = linux.net_devices.keys().next() {
        let why = "network devices are not moved by this runtime: remove the field, and move the device once the container is created";
        return Err(Error::invalid(format!("linux.netDevices.{name}"), why));
    }
    Ok(())
}

fn mount(index: usize, from: &config::Mount, given: &Given, label: Option<&str>) -> Result<Mount, Error> {
    let field = |name: &str| format!("mounts[{index}].{name}");
    let words: Vec<&str> = from.options.iter().map(String::as_str).collect();
    let mut options = Options::parse(words.iter().copied());
    let kind = from.kind.as_deref().unwrap_or_default();
    // A relative destination is meant from the root on, as it always was.
    let target = Path::new("/").join(&from.destination);
    let is_bind = kind == "bind" || words.contains(&"bind") || words.contains(&"rbind");
    let kind = if is_bind {
        let source = from.source.as_ref().filter(|source| !source.as_os_str().is_empty());
        let source = source.ok_or_else(|| Error::invalid(field("source"), "a bind mount needs one"))?;
        MountKind::Bind { source: given.bundle.join(source), recursive: words.contains(&"rbind") }
    } else if kind == "cgroup" || kind == "cgroup2" {
        MountKind::Cgroup
    } else if kind.is_empty() {
        return Err(Error::invalid(field("type"), "it is missing, and this is no bind mount"));
    } else {
        let source = from.source.as_ref().map_or(kind.into(), |source| source.to_string_lossy());
        MountKind::New { kind: kind.to_owned(), source: source.into_owned() }
    };
    if matches!(&kind, MountKind::New { kind, .. } if kind == "devpts") {
        // Without it the container would see the host's terminals, on older kernels.
        options.data.retain(|(name, _)| name != "newinstance");
        options.data.push(("newinstance".into(), None));
    }
    if let (MountKind::New { kind, .. }, Some(label)) = (&kind, label.filter(|label| !label.is_empty()))
        && kind != "proc"
        && kind != "sysfs"
    {
        options.data.push(("context".into(), Some(label.to_owned())));
    }
    if !from.uid_mappings.is_empty() || !from.gid_mappings.is_empty() {
        if from.uid_mappings.is_empty() || from.gid_mappings.is_empty() {
            let why = "a mapping of owners needs uidMappings and gidMappings, both";
            return Err(Error::invalid(field("uidMappings"), why));
        }
        options.map_ids = Some(MapIds {
            users: ranges(&from.uid_mappings),
            groups: ranges(&from.gid_mappings),
            recursive: words.contains(&"ridmap"),
            is_optional: false,
        });
    }
    Ok(Mount { target, kind, options })
}

fn node((index, from): (usize, &config::Device)) -> Result<NewNode, Error> {
    let field = format!("linux.devices[{index}]");
    let kind = match from.kind.as_str() {
        "c" | "u" => NodeKind::Character,
        "b" => NodeKind::Block,
        "p" => NodeKind::Pipe,
        other => return Err(Error::invalid(field, format!("type {other:?} is none of c, u, b, p"))),
    };
    let one = |value: Option<i64>| {
        let value = value.unwrap_or(0);
        u32::try_from(value)
            .map_err(|_| Error::invalid(field.clone(), format!("{value} is no device number")))
    };
    Ok(NewNode {
        target: from.path.clone(),
        kind,
        device: (one(from.major)?, one(from.minor)?),
        mode: from.file_mode.unwrap_or(0o666) & 0o7777,
        owner: (from.uid.unwrap_or(0), from.gid.unwrap_or(0)),
    })
}

fn hooks(kind: &str, lists: &[&Vec<config::Hook>]) -> Result<Vec<Hook>, Error> {
    let mut all = Vec::new();
    for hook in lists.iter().copied().flatten() {
        if !hook.path.is_absolute() {
            let why = format!("the path {:?} must be absolute", hook.path);
            return Err(Error::invalid(format!("hooks.{kind}"), why));
        }
        let timeout_seconds = match hook.timeout {
            None => None,
            Some(seconds) => match u64::try_from(seconds) {
                Ok(seconds) if seconds > 0 => Some(seconds),
                _ => {
                    let why = format!("the timeout {seconds} must be more than zero");
                    return Err(Error::invalid(format!("hooks.{kind}"), why));
                }
            },
        };
        all.push(Hook {
            path: hook.path.clone(),
            args: hook.args.clone(),
            env: hook.env.clone(),
            timeout_seconds,
        });
    }
    Ok(all)
}

/// Hooks that a verb runs itself.
pub(super) fn outer_hooks(kind: &str, list: &Vec<config::Hook>) -> Result<Vec<Hook>, Error> {
    hooks(kind, &[list])
}
