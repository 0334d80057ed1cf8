//! From the model to the Engine API's words: what is inspected and listed.
//!
//! Configuration is shown as the client sent it, completed with what the image added; state, addresses and ports are shown as
//! they were seen. Start with [`inspect`]; `summary` makes the lines of a list, `network` what both say of networks.

mod image;
mod network;
mod summary;
mod volume;

pub(crate) use image::{image_inspect, image_summary};
pub(crate) use network::network_inspect;
pub(crate) use summary::summary;
pub(crate) use volume::{ANONYMOUS_LABEL, volume, volume_with_room};

use crate::to_model::{Sent, Shown};
use crate::wire::container::GraphDriver;
use crate::wire::{Config, ContainerInspect, ContainerState, MountPoint, OneOrMany};
use model::container::MountSource;
use model::{Observed, Phase, observed};
use platform::Container;
use std::collections::BTreeMap;

/// A container as it is inspected. `version` is the minor number of the client's.
pub(crate) fn inspect(container: &Container, version: u32) -> ContainerInspect {
    let Container { intent, observed, files, .. } = container;
    let Sent { config, mut host } = Sent::of(&intent.spec.origin);
    let (path, args) = container.args.split_first().map_or(("", &[][..]), |(path, args)| (path, args));
    if let model::container::NetworkMode::Container(id) = &intent.spec.network {
        host.network_mode = format!("container:{id}");
    }
    let text = |value: &String| value.clone();
    ContainerInspect {
        id: intent.id.to_string(),
        created: intent.created.to_string(),
        path: path.to_owned(),
        args: args.to_vec(),
        state: state(observed),
        image: intent.image.to_string(),
        resolv_conf_path: text(&files.resolv_conf),
        hostname_path: text(&files.hostname),
        hosts_path: text(&files.hosts),
        log_path: text(&files.log),
        name: format!("/{}", intent.name),
        restart_count: observed.restarts,
        driver: "overlay2".to_owned(),
        platform: "linux".to_owned(),
        exec_ids: Some(container.execs.clone()).filter(|execs| !execs.is_empty()),
        graph_driver: GraphDriver {
            data: BTreeMap::from([
                ("LowerDir".to_owned(), text(&files.lower)),
                ("UpperDir".to_owned(), text(&files.upper)),
                ("WorkDir".to_owned(), text(&files.work)),
            ]),
            name: "overlay2".to_owned(),
        },
        size_rw: container.sizes.map(|sizes| signed(sizes.writable)),
        size_root_fs: container.sizes.map(|sizes| signed(sizes.total)),
        mounts: mounts(container, &Shown::of(&intent.spec.origin), true),
        config: merged(container, config),
        network_settings: network::settings(container, version),
        host_config: host,
        ..ContainerInspect::default()
    }
}

/// Kind and permission bits as Go's `os.FileMode` has them.
pub(crate) fn go_file_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        0o020_000 => 1 << 26 | 1 << 21,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(bit, _)| mode & bit != 0).map(|(_, go)| go).sum::<u32>();
    kind | special | mode & 0o777
}

/// Bytes as the API counts them.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The configuration that was sent, with what the image added to it.
fn merged(container: &Container, mut config: Config) -> Config {
    let spec = &container.intent.spec;
    if config.image.is_empty() {
        config.image.clone_from(&spec.image);
    }
    config.hostname = if spec.hostname.is_empty() && spec.uts == model::container::Sharing::Private {
        container.intent.id.short()
    } else {
        spec.hostname.clone()
    };
    config.env = Some(spec.env.clone());
    config.cmd = spec.command.clone().map(OneOrMany);
    config.entrypoint = spec.entrypoint.clone().filter(|words| !words.is_empty()).map(OneOrMany);
    config.user.clone_from(&spec.user);
    config.working_dir.clone_from(&spec.working_dir);
    config.labels.clone_from(&spec.labels);
    config.stop_signal.clone_from(&spec.stop_signal);
    config.stop_timeout = spec.stop_timeout_seconds;
    config.tty = spec.terminal;
    config.open_stdin = spec.open_stdin;
    config.stdin_once = spec.stdin_once;
    config.exposed_ports =
        spec.exposed.iter().map(|port| (port.to_string(), crate::wire::Empty {})).collect();
    config
}

/// Where a container is in its life, in one word.
pub(crate) fn status(observed: &Observed) -> &'static str {
    match observed.phase {
        // One whose first start failed has an exit code and an error, and still has never run.
        Phase::Exited(_) if !observed.started.is_set() => "created",
        Phase::Created => "created",
        Phase::Running { .. } => "running",
        Phase::Paused { .. } => "paused",
        Phase::Restarting { .. } => "restarting",
        Phase::Exited(_) => "exited",
    }
}

fn state(observed: &Observed) -> ContainerState {
    let exit = observed.exit().unwrap_or(observed::Exit { code: 0, oom_killed: false });
    let phase = &observed.phase;
    ContainerState {
        status: status(observed).to_owned(),
        // One that is about to be started again counts as running, as in dockerd.
        running: matches!(phase, Phase::Running { .. } | Phase::Paused { .. } | Phase::Restarting { .. }),
        paused: matches!(phase, Phase::Paused { .. }),
        restarting: matches!(phase, Phase::Restarting { .. }),
        oom_killed: exit.oom_killed,
        dead: false,
        pid: observed.pid().unwrap_or(0),
        exit_code: i64::from(exit.code),
        error: observed.error.clone(),
        started_at: observed.started.to_string(),
        finished_at: observed.finished.to_string(),
    }
}

/// The mounts; those in memory that were asked for by `--tmpfs` stand in the configuration only.
fn mounts(container: &Container, shown: &Shown, with_source: bool) -> Vec<MountPoint> {
    let specs = &container.intent.spec.mounts;
    let in_memory = |target: &str| {
        specs.iter().any(|mount| mount.target == target && matches!(mount.source, MountSource::Tmpfs { .. }))
    };
    let mounts =
        container.mounts.iter().filter(|mount| !(in_memory(&mount.target) && shown.has_tmpfs(&mount.target)));
    let mut points: Vec<MountPoint> = mounts
        .map(|mount| {
            let volume = mount.kind == "volume";
            MountPoint {
                kind: mount.kind.to_owned(),
                name: mount.name.clone().unwrap_or_default(),
                // A list does not tell where a volume lies.
                source: if volume && !with_source { String::new() } else { mount.source.clone() },
                destination: mount.target.clone(),
                driver: if volume { "local".to_owned() } else { String::new() },
                mode: String::new(),
                writable: mount.writable,
                propagation: mount.propagation.clone(),
            }
        })
        .collect();
    points.sort_by(|a, b| a.destination.cmp(&b.destination));
    points
}
