//! What takes room on the disk, and how it is freed.

use super::container::known_networks;
use super::image::deleted;
use super::list::Names;
use crate::filters::Filters;
use crate::from_model::{self, signed};
use crate::server::{Answer, Call, json};
use crate::wire::image::ImagesPruned;
use crate::wire::network::{NetworksPruned, VolumeInspect, VolumeRoom, VolumesPruned};
use crate::wire::system::{CachesPruned, DiskAnswer};
use hyper::StatusCode;
use platform::{DiskUsage, Error, Image, Kind, Measured, Selection, VolumeUsage};
use std::collections::BTreeMap;

const TYPES: [&str; 4] = ["container", "image", "volume", "build-cache"];

pub(crate) async fn usage(call: Call) -> Answer {
    let types: Vec<&str> = call.query.all("type").collect();
    if let Some(unknown) = types.iter().find(|kind| !TYPES.contains(kind)) {
        return Err(Error::invalid(format!("unknown object type: {unknown}")));
    }
    let wanted = |kind: &str| types.is_empty() || types.contains(&kind);
    let of = Measured { images: wanted("image"), containers: wanted("container"), volumes: wanted("volume") };
    let usage = call.doors.system.disk_usage(of).await?;
    let DiskUsage { images: images_bytes, registry, shared, containers, volumes } = usage;
    let mut answer = DiskAnswer::default();
    let images = match of.images || of.containers {
        true => call.doors.images.images().await?,
        false => Vec::new(),
    };
    if of.images {
        (answer.layers_size, answer.registry_size) = (signed(images_bytes), signed(registry));
        for image in &images {
            let mut line = from_model::image_summary(image);
            line.shared_size = shared.get(&image.id).map_or(-1, |bytes| signed(*bytes));
            answer.images.push(line);
        }
    }
    if of.containers {
        let (networks, now) = (known_networks(&call.doors).await, call.clock.now());
        let mut names = Names::default();
        // They are measured already, with more than the files that they wrote.
        for container in call.doors.control.list(Selection { all: true, sizes: false }).await? {
            let name = names.shown(&call.doors, &container).await;
            let mut line = from_model::summary(&container, &networks, name, now);
            let own = containers.get(&container.intent.id).copied().unwrap_or(0);
            let image = images.iter().find(|image| image.id == container.intent.image);
            line.size_rw = signed(own);
            line.size_root_fs = signed(own + image.map_or(0, |image| image.size));
            answer.containers.push(line);
        }
    }
    if of.volumes {
        answer.volumes = volumes.iter().map(volume).collect();
    }
    json(StatusCode::OK, &answer)
}

fn volume(volume: &VolumeUsage) -> VolumeInspect {
    VolumeInspect {
        created_at: volume.created.to_string(),
        driver: "local".to_owned(),
        labels: Some(BTreeMap::from([("com.docker.volume.anonymous".to_owned(), String::new())])),
        mountpoint: volume.path.clone(),
        name: volume.name.clone(),
        options: None,
        scope: "local".to_owned(),
        usage_data: Some(VolumeRoom { ref_count: signed(volume.containers), size: signed(volume.bytes) }),
    }
}

/// Removes images that no container is made from: those without a tag, or all. Beginnings of layers have neither label nor time: they
/// go where nothing is asked of them.
pub(crate) async fn prune_images(call: Call) -> Answer {
    let filters = Filters::parse(call.query.text("filters"), &["dangling", "label", "label!", "until"])?;
    let only_dangling = filters.flag("dangling")?.unwrap_or(true);
    let until = filters.until(call.clock.now())?;
    let of = Measured { images: true, ..Measured::default() };
    let before = call.doors.system.disk_usage(of).await?.images;
    let mut answer = ImagesPruned::default();
    for image in call.doors.images.images().await? {
        let stays = image.containers > 0
            || only_dangling && !image.tags.is_empty()
            || until.is_some_and(|until| image.created > until)
            || !filters.labels(&image.labels);
        if stays {
            continue;
        }
        for name in names(&image) {
            match call.doors.images.remove(&name, false).await {
                Ok(steps) => answer.images_deleted.get_or_insert_default().extend(deleted(steps)),
                // Somebody was faster, or made a container of it.
                Err(error) if matches!(error.kind, Kind::NotFound | Kind::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }
    if !["label", "label!", "until"].iter().any(|name| filters.has(name)) {
        call.doors.system.forget_unfinished().await?;
    }
    let after = call.doors.system.disk_usage(of).await?.images;
    answer.space_reclaimed = before.saturating_sub(after);
    json(StatusCode::OK, &answer)
}

/// By what an image is removed: all its names, or its id where it has none. Digests of a repository go with its last tag.
fn names(image: &Image) -> Vec<String> {
    match (image.tags.is_empty(), image.digests.is_empty()) {
        (false, _) => image.tags.clone(),
        (true, false) => image.digests.clone(),
        (true, true) => vec![image.id.to_string()],
    }
}

/// Removes the volumes that no container has.
pub(crate) async fn prune_volumes(call: Call) -> Answer {
    let filters = Filters::parse(call.query.text("filters"), &["all", "label", "label!"])?;
    filters.flag("all")?;
    let mut answer = VolumesPruned::default();
    // Volumes have no labels: whoever wants one finds none.
    if filters.labels(&BTreeMap::new()) {
        for volume in call.doors.system.prune_volumes().await? {
            answer.space_reclaimed += volume.bytes;
            answer.volumes_deleted.get_or_insert_default().push(volume.name);
        }
    }
    json(StatusCode::OK, &answer)
}

/// The networks that there are belong to the node and stay.
pub(crate) async fn prune_networks(call: Call) -> Answer {
    Filters::parse(call.query.text("filters"), &["label", "label!", "until"])?;
    json(StatusCode::OK, &NetworksPruned::default())
}

/// Nothing is built, and so nothing is cached.
pub(crate) async fn prune_builds(_: Call) -> Answer {
    json(StatusCode::OK, &CachesPruned::default())
}
