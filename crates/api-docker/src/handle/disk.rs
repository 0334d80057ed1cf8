//! What takes room on the disk, and how it is freed.

use super::image::deleted;
use super::list::Names;
use crate::filters::Filters;
use crate::from_model::{self, signed};
use crate::server::{Answer, Call, json};
use crate::wire::image::ImagesPruned;
use crate::wire::system::{CachesPruned, DiskAnswer};
use crate::wire::volume::VolumesPruned;
use hyper::StatusCode;
use platform::{DiskUsage, Error, Image, Kind, Measured, Selection};

/// The first version in which a prune leaves alone what has a name.
const ANONYMOUS_ONLY_SINCE: u32 = 42;

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
        let now = call.clock.now();
        let mut names = Names::default();
        // They are measured already, with more than the files that they wrote.
        for container in call.doors.control.list(Selection { all: true, sizes: false }).await? {
            let name = names.shown(&call.doors, &container).await;
            let mut line = from_model::summary(&container, name, now);
            let own = containers.get(&container.intent.id).copied().unwrap_or(0);
            let image = images.iter().find(|image| image.id == container.intent.image);
            line.size_rw = signed(own);
            line.size_root_fs = signed(own + image.map_or(0, |image| image.size));
            answer.containers.push(line);
        }
    }
    if of.volumes {
        answer.volumes = volumes.iter().map(from_model::volume_with_room).collect();
    }
    json(StatusCode::OK, &answer)
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

/// Removes the volumes that no container has: those without a name of their own, or all.
pub(crate) async fn prune_volumes(call: Call) -> Answer {
    let filters = Filters::parse(call.query.text("filters"), &["all", "label", "label!"])?;
    // Older clients know of no other than all.
    let all = filters.flag("all")?.unwrap_or(call.version < ANONYMOUS_ONLY_SINCE);
    let mut answer = VolumesPruned::default();
    for volume in call.doors.volumes.list(true).await? {
        let labels = from_model::volume(&volume).labels.unwrap_or_default();
        if !volume.containers.is_empty() || !(all || volume.intent.spec.anonymous) || !filters.labels(&labels)
        {
            continue;
        }
        match call.doors.volumes.remove(&volume.intent.name).await {
            Ok(()) => {
                answer.space_reclaimed += volume.bytes.unwrap_or(0);
                answer.volumes_deleted.get_or_insert_default().push(volume.intent.name);
            }
            // Somebody was faster, or made a container with it.
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    call.doors.volumes.pruned(answer.space_reclaimed);
    json(StatusCode::OK, &answer)
}

/// Nothing is built, and so nothing is cached.
pub(crate) async fn prune_builds(_: Call) -> Answer {
    json(StatusCode::OK, &CachesPruned::default())
}
