//! The lines of a list.

use super::network::{host_addresses, networks, published};
use super::{mounts, signed, status};
use crate::to_model::Shown;
use crate::wire::container::NetworkSettingsSummary;
use crate::wire::host_config::HostConfigSummary;
use crate::wire::{ContainerSummary, PortSummary};
use base::Time;
use model::{Phase, PortKey, Protocol};
use platform::Container;
use std::time::Duration;

/// A container as a line of a list. `image` is its image's name, or its id where the name means another one by now.
pub(crate) fn summary(container: &Container, image: String, now: Time) -> ContainerSummary {
    let intent = &container.intent;
    let shown = Shown::of(&intent.spec.origin);
    ContainerSummary {
        id: intent.id.to_string(),
        names: vec![format!("/{}", intent.name)],
        image,
        image_id: intent.image.to_string(),
        command: command(&container.args),
        created: intent.created.unix_seconds(),
        ports: ports(container),
        size_rw: container.sizes.map_or(0, |sizes| signed(sizes.writable)),
        size_root_fs: container.sizes.map_or(0, |sizes| signed(sizes.total)),
        labels: intent.spec.labels.clone(),
        state: status(&container.observed).to_owned(),
        status: sentence(container, now),
        host_config: HostConfigSummary {
            network_mode: shown.network_mode().to_owned(),
            ..HostConfigSummary::default()
        },
        network_settings: NetworkSettingsSummary { networks: networks(container) },
        mounts: mounts(container, &shown, false),
    }
}

/// Program and arguments in one line, those with spaces quoted.
fn command(args: &[String]) -> String {
    let quoted = args.iter().enumerate().map(|(index, word)| {
        if index > 0 && word.contains(' ') { format!("'{word}'") } else { word.clone() }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn ports(container: &Container) -> Vec<PortSummary> {
    if container.observed.endpoints.is_empty() {
        return Vec::new();
    }
    let published = published(container);
    let kind = |protocol: Protocol| protocol.to_string();
    let is_open = |port: &&PortKey| !published.iter().any(|published| published.inside == **port);
    let mut ports: Vec<PortSummary> = container
        .intent
        .spec
        .exposed
        .iter()
        .filter(is_open)
        .map(|port| PortSummary {
            private_port: port.port,
            kind: kind(port.protocol),
            ..PortSummary::default()
        })
        .collect();
    for published in &published {
        ports.extend(host_addresses(published).into_iter().map(|address| PortSummary {
            ip: address.to_string(),
            private_port: published.inside.port,
            public_port: published.host_port,
            kind: kind(published.inside.protocol),
        }));
    }
    ports
}

/// `Up 5 minutes`, `Exited (0) 2 hours ago`.
fn sentence(container: &Container, now: Time) -> String {
    let observed = &container.observed;
    let since = |time: Time| human_duration(now.since(time));
    match observed.phase {
        _ if status(observed) == "created" => "Created".to_owned(),
        Phase::Created => "Created".to_owned(),
        Phase::Running { .. } => format!("Up {}", since(observed.started)),
        Phase::Paused { .. } => format!("Up {} (Paused)", since(observed.started)),
        Phase::Restarting { exit, .. } => {
            format!("Restarting ({}) {} ago", exit.code, since(observed.finished))
        }
        Phase::Exited(exit) => format!("Exited ({}) {} ago", exit.code, since(observed.finished)),
    }
}

/// A span of time in the largest unit that fits.
pub(crate) fn human_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let minutes = seconds / 60;
    let hours = (span.as_secs_f64() / 3600.0).round() as u64;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, ..=1) => "About an hour".to_owned(),
        (_, _, 2..48) => format!("{hours} hours"),
        (_, _, 48..336) => format!("{} days", hours / 24),
        (_, _, 336..1440) => format!("{} weeks", hours / 168),
        (_, _, 1440..17520) => format!("{} months", hours / 720),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}
