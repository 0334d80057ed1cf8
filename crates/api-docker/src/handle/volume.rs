//! Volumes: made, listed, removed; copied, backed up and restored by endpoints of our own.

use crate::body::{Body, BodyReader};
use crate::filters::Filters;
use crate::from_model;
use crate::handle::pattern::Pattern;
use crate::server::{Answer, Call, empty, json, typed};
use crate::wire::volume::{
    VolumeCopyAnswer, VolumeCopyRequest, VolumeCreateRequest, VolumeInspect, VolumeLabels, VolumeList,
};
use hyper::{Response, StatusCode};
use model::VolumeSpec;
use platform::{CopyVolume, Error, Kind, NewVolume};
use std::collections::BTreeMap;

/// The only driver.
const LOCAL: &str = "local";

/// Refuses a driver that there is not.
pub(crate) fn check_driver(name: &str, driver: &str) -> Result<(), Error> {
    if matches!(driver, "" | LOCAL) {
        return Ok(());
    }
    Err(Error::not_found(format!(
        "create {name}: error looking up volume plugin {driver}: plugin \"{driver}\" not found"
    )))
}

pub(crate) async fn list(call: Call) -> Answer {
    let filters = Filters::parse(call.query.text("filters"), &["dangling", "driver", "label", "name"])?;
    let names: Vec<Pattern> =
        filters.values("name").iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?;
    let dangling = filters.flag("dangling")?;
    let mut volumes: Vec<VolumeInspect> = Vec::new();
    for volume in call.doors.volumes.list(false).await? {
        let shown = from_model::volume(&volume);
        if (names.is_empty() || names.iter().any(|pattern| pattern.fits(&shown.name)))
            && dangling.is_none_or(|wanted| wanted == volume.containers.is_empty())
            && filters.any("driver", |value| value == LOCAL)
            && filters.labels(shown.labels.as_ref().unwrap_or(&BTreeMap::new()))
        {
            volumes.push(shown);
        }
    }
    json(StatusCode::OK, &VolumeList { volumes, warnings: None })
}

pub(crate) async fn create(mut call: Call) -> Answer {
    let request: VolumeCreateRequest = call.json().await?.unwrap_or_default();
    check_driver(&request.name, &request.driver)?;
    let mut labels = request.labels;
    // Clients that make up names themselves mark them so.
    let anonymous = labels.remove(from_model::ANONYMOUS_LABEL).is_some();
    let spec = VolumeSpec { labels, options: request.driver_opts, anonymous, ..VolumeSpec::default() };
    let name = Some(request.name).filter(|name| !name.is_empty());
    let volume = call.doors.volumes.create(NewVolume { name, spec }).await?;
    json(StatusCode::CREATED, &from_model::volume(&volume))
}

pub(crate) async fn inspect(call: Call) -> Answer {
    let volume = call.doors.volumes.inspect(&call.parameter).await?;
    json(StatusCode::OK, &from_model::volume(&volume))
}

/// Only volumes of a cluster are updated so.
pub(crate) async fn update(_: Call) -> Answer {
    Err(Error::new(
        Kind::Unavailable,
        "volume update only valid for cluster volumes, but swarm is unavailable",
    ))
}

pub(crate) async fn delete(call: Call) -> Answer {
    match call.doors.volumes.remove(&call.parameter).await {
        // Whoever insists has what they want.
        Err(error) if error.kind == Kind::NotFound && call.query.flag("force") => {}
        other => other?,
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn copy(mut call: Call) -> Answer {
    let request: VolumeCopyRequest = call.json().await?.unwrap_or_default();
    let wanted = CopyVolume {
        name: Some(request.name).filter(|name| !name.is_empty()),
        snapshot: request.snapshot,
        pause: request.pause.unwrap_or(true),
        labels: request.labels,
    };
    let copy = call.doors.volumes.copy(&call.parameter, wanted).await?;
    let ids = |ids: &[model::ContainerId]| ids.iter().map(ToString::to_string).collect();
    let answer = VolumeCopyAnswer {
        volume: from_model::volume(&copy.volume),
        bytes: copy.bytes,
        shared_bytes: copy.shared_bytes,
        paused: ids(&copy.paused),
        not_paused: ids(&copy.unpaused),
    };
    json(StatusCode::CREATED, &answer)
}

pub(crate) async fn rename(call: Call) -> Answer {
    let new = call.query.given("name").ok_or_else(|| Error::invalid("the new name is missing: ?name=NEW"))?;
    call.doors.volumes.rename(&call.parameter, new).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn relabel(mut call: Call) -> Answer {
    let request: VolumeLabels = call.json().await?.unwrap_or_default();
    call.doors.volumes.relabel(&call.parameter, request.labels).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn backup(call: Call) -> Answer {
    let pause = call.query.flag_or("pause", true);
    let archive = call.doors.volumes.backup(&call.parameter, pause).await?;
    Ok(typed(Response::new(Body::reader(archive)), "application/zstd"))
}

pub(crate) async fn restore(call: Call) -> Answer {
    let labels = match call.query.given("labels") {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("labels: an object of texts is needed: {error}")))?,
        None => BTreeMap::new(),
    };
    let new = NewVolume {
        name: Some(call.parameter.clone()),
        spec: VolumeSpec { labels, ..VolumeSpec::default() },
    };
    let volume = call.doors.volumes.restore(new, Box::new(BodyReader::new(call.body))).await?;
    json(StatusCode::CREATED, &from_model::volume(&volume))
}
