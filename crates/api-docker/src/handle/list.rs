//! Many containers: listed by filters, or removed when nothing of them runs.

use super::pattern::Pattern;
use crate::filters::Filters;
use crate::from_model::{self, status};
use crate::server::{Answer, Call, json};
use crate::wire::PruneAnswer;
use base::Time;
use hyper::StatusCode;
use model::{ImageId, Phase, PortKey};
use platform::{Container, Doors, Error, Kind, RemoveOptions, Selection};
use std::collections::{BTreeMap, BTreeSet};

const FILTERS: [&str; 14] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
];
const FILTER_VOLUME: &str = "volume";
const STATUSES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

pub(crate) async fn list(call: Call) -> Answer {
    let accepted: Vec<&str> = FILTERS.iter().copied().chain([FILTER_VOLUME]).collect();
    let filters = Filters::parse(call.query.text("filters"), &accepted)?;
    let limit: i64 = call.query.number("limit")?.unwrap_or(0);
    let wanted = Wanted::read(&call.doors, &filters).await?;
    let all = call.query.flag("all")
        || limit > 0
        || filters.has("status")
        || filters.has("before")
        || filters.has("since");
    let selection = Selection { all, sizes: call.query.flag("size") };
    let containers = call.doors.control.list(selection).await?;
    let now = call.clock.now();
    let mut images = Names::default();
    let mut lines = Vec::new();
    for container in &containers {
        if limit > 0 && lines.len() as i64 == limit {
            break;
        }
        if !wanted.fits(&filters, container) {
            continue;
        }
        let image = images.shown(&call.doors, container).await;
        lines.push(from_model::summary(container, image, now));
    }
    if filters.has("network") {
        lines.retain(|line| {
            line.network_settings.networks.iter().any(|(name, place)| {
                filters.any("network", |value| {
                    name == value || (!value.is_empty() && place.network_id.starts_with(value))
                })
            })
        });
    }
    json(StatusCode::OK, &lines)
}

/// What the images' names mean now, asked once for each.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, Option<ImageId>>);

impl Names {
    /// The name that a container's image is shown by: as it was given, or its id where that means another image now.
    pub(super) async fn shown(&mut self, doors: &Doors, container: &Container) -> String {
        let (name, id) = (&container.intent.spec.image, container.intent.image);
        if !self.0.contains_key(name) {
            let meant = doors.images.image(name).await.ok().map(|detail| detail.image.id);
            self.0.insert(name.clone(), meant);
        }
        match self.0.get(name) {
            Some(Some(meant)) if *meant == id => name.clone(),
            _ => id.to_string(),
        }
    }
}

/// The filters that had to be looked up or taken apart.
struct Wanted {
    names: Vec<Pattern>,
    exited: Vec<i32>,
    ancestors: Option<BTreeSet<ImageId>>,
    before: Option<Time>,
    since: Option<Time>,
    publish: Vec<PortKey>,
    expose: Vec<PortKey>,
}

impl Wanted {
    async fn read(doors: &Doors, filters: &Filters) -> Result<Wanted, Error> {
        let bad = |name: &str, value: &str, why: &str| {
            Error::invalid(format!("invalid filter '{name}={value}'{why}"))
        };
        for value in filters.values("status") {
            if !STATUSES.contains(&value.as_str()) {
                let why =
                    format!(": invalid value for state ({value}): must be one of {}", STATUSES.join(", "));
                return Err(bad("status", value, &why));
            }
        }
        for value in filters.values("health") {
            if !HEALTHS.contains(&value.as_str()) {
                let why = format!(
                    ": invalid value for health status ({value}): must be one of {}",
                    HEALTHS.join(", ")
                );
                return Err(bad("health", value, &why));
            }
        }
        filters.flag("is-task")?;
        let mut exited = Vec::new();
        for value in filters.values("exited") {
            exited.push(value.parse().map_err(|_| bad("exited", value, ""))?);
        }
        let mut ancestors = filters.has("ancestor").then(BTreeSet::new);
        for value in filters.values("ancestor") {
            match doors.images.image(value).await {
                Ok(detail) => ancestors.get_or_insert_default().insert(detail.image.id),
                // A name that means nothing has no descendants.
                Err(error) if matches!(error.kind, Kind::NotFound | Kind::Invalid) => false,
                Err(error) => return Err(error),
            };
        }
        let mut bounds = [None, None];
        for (bound, name) in bounds.iter_mut().zip(["before", "since"]) {
            for value in filters.values(name) {
                *bound = Some(doors.control.inspect(value, false).await?.intent.created);
            }
        }
        let [before, since] = bounds;
        Ok(Wanted {
            names: filters
                .values("name")
                .iter()
                .map(|text| Pattern::parse(text))
                .collect::<Result<_, _>>()?,
            exited,
            ancestors,
            before,
            since,
            publish: ports(filters, "publish")?,
            expose: ports(filters, "expose")?,
        })
    }

    fn fits(&self, filters: &Filters, container: &Container) -> bool {
        let (intent, observed) = (&container.intent, &container.observed);
        let id = intent.id.to_string();
        let slashed = format!("/{}", intent.name);
        let ended = |code: &i32| {
            observed.started.is_set() && matches!(observed.phase, Phase::Exited(exit) if exit.code == *code)
        };
        let published = |key: &PortKey| {
            let place = observed.endpoints.iter().flat_map(|endpoint| &endpoint.ports);
            place.into_iter().any(|port| port.host_port == key.port && port.inside.protocol == key.protocol)
        };
        let mounted = |value: &str| {
            container
                .mounts
                .iter()
                .any(|mount| mount.target == value || mount.name.as_deref().unwrap_or(&mount.source) == value)
        };
        let named = |pattern: &Pattern| pattern.fits(&slashed) || pattern.fits(&intent.name);
        (self.names.is_empty() || self.names.iter().any(named))
            && filters.any("id", |value| id.starts_with(value))
            && filters.any("status", |value| value == status(observed))
            && filters.any("health", |value| value == "none")
            && filters.any("is-task", |value| value == "0" || value == "false")
            && filters.any("isolation", |value| matches!(value, "" | "default"))
            && filters.any(FILTER_VOLUME, mounted)
            && filters.labels(&intent.spec.labels)
            && (self.exited.is_empty() || self.exited.iter().any(ended))
            && self.ancestors.as_ref().is_none_or(|images| images.contains(&intent.image))
            && self.before.is_none_or(|before| intent.created < before)
            && self.since.is_none_or(|since| intent.created > since)
            && ((self.publish.is_empty() && self.expose.is_empty())
                || self.publish.iter().any(published)
                || self.expose.iter().any(|key| intent.spec.exposed.contains(key)))
    }
}

/// `80`, `80/udp` or `8000-8010/tcp`.
fn ports(filters: &Filters, name: &str) -> Result<Vec<PortKey>, Error> {
    let mut ports = Vec::new();
    for value in filters.values(name) {
        if value.contains(':') {
            return Err(Error::invalid(format!("filter for '{name}' should not contain ':': {value}")));
        }
        let bad = |_| Error::invalid(format!("error while looking up for {name} {value}: invalid port"));
        let (numbers, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let first: PortKey = format!("{first}/{protocol}").parse().map_err(bad)?;
        let last: PortKey = format!("{last}/{protocol}").parse().map_err(bad)?;
        ports.extend((first.port..=last.port).map(|port| PortKey { port, protocol: first.protocol }));
    }
    Ok(ports)
}

/// Removes the containers of which nothing runs.
pub(crate) async fn prune(call: Call) -> Answer {
    let filters = Filters::parse(call.query.text("filters"), &["label", "label!", "until"])?;
    let until = filters.until(call.clock.now())?;
    let mut answer = PruneAnswer::default();
    for container in call.doors.control.list(Selection { all: true, sizes: true }).await? {
        let intent = &container.intent;
        let rests = matches!(container.observed.phase, Phase::Created | Phase::Exited(_));
        if !rests || until.is_some_and(|until| intent.created > until) || !filters.labels(&intent.spec.labels)
        {
            continue;
        }
        let id = intent.id.to_string();
        match call.doors.control.remove(&id, RemoveOptions::default()).await {
            Ok(()) => {
                answer.space_reclaimed += container.sizes.map_or(0, |sizes| sizes.writable);
                answer.containers_deleted.get_or_insert_default().push(id);
            }
            // Somebody was faster, or started it: it is no longer one of these.
            Err(error) => {
                tracing::warn!(container = id, error = %error.message, "a container was not pruned");
            }
        }
    }
    json(StatusCode::OK, &answer)
}
