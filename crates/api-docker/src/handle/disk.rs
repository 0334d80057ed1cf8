//! What takes room on the disk, and how it is freed.

use super::container::known_networks;
use super::image::deleted;
use super::list::Names;
use super::time;
use crate::filters::Filters;
use crate::from_model::{self, signed};
use crate::server::{Answer, Call, json};
use crate::wire::image::ImagesPruned;
use crate::wire::network::NetworksPruned;
use crate::wire::system::{CachesPruned, DiskAnswer};
use crate::wire::volume::VolumesPruned;
use base::Time;
use hyper::StatusCode;
use platform::{DiskUsage, Error, Image, Kind, Selection};

/// The first version in which a prune leaves alone what has a name.
const ANONYMOUS_ONLY_SINCE: u32 = 42;

const TYPES: [&str; 4] = ["container", "image", "volume", "build-cache"];

pub(crate) async fn usage(call: Call) -> Answer {
    let types: Vec<&str> = call.query.all("type").collect();
    if let Some(unknown) = types.iter().find(|kind| !TYPES.contains(kind)) {
        return Err(Error::invalid(format!("unknown object type: {unknown}")));
    }
    let wanted = |kind: &str| types.is_empty() || types.contains(&kind);
    let DiskUsage { images, registry, shared, containers, volumes } = call.doors.system.disk_usage().await?;
    let mut answer = DiskAnswer::default();
    if wanted("image") {
        (answer.layers_size, answer.registry_size) = (signed(images), signed(registry));
        for image in call.doors.images.images().await? {
            let mut line = from_model::image_summary(&image);
            line.shared_size = shared.get(&image.id).map_or(-1, |bytes| signed(*bytes));
            answer.images.push(line);
        }
    }
    if wanted("container") {
        let (networks, now) = (known_networks(&call.doors).await, call.clock.now());
        let mut names = Names::default();
        for container in call.doors.control.list(Selection { all: true, sizes: true }).await? {
            let name = names.shown(&call.doors, &container).await;
            let mut line = from_model::summary(&container, &networks, name, now);
            // Its log and its own files take room as well.
            if let Some(bytes) = containers.get(&container.intent.id) {
                line.size_rw = signed(*bytes);
            }
            answer.containers.push(line);
        }
    }
    if wanted("volume") {
        answer.volumes = volumes.iter().map(from_model::volume_with_room).collect();
    }
    json(StatusCode::OK, &answer)
}

/// The moment before which something must have been made to be removed.
pub(super) fn until(filters: &Filters, now: Time) -> Result<Option<Time>, Error> {
    match filters.values("until") {
        [] => Ok(None),
        [one] => time::parse(one, now),
        _ => Err(Error::invalid("more than one until filter specified")),
    }
}

/// Removes images that no container is made from: those without a tag, or all.
pub(crate) async fn prune_images(call: Call) -> Answer {
    let filters = Filters::parse(call.query.text("filters"), &["dangling", "label", "label!", "until"])?;
    let only_dangling = filters.flag("dangling")?.unwrap_or(true);
    let until = until(&filters, call.clock.now())?;
    let before = call.doors.system.disk_usage().await?.images;
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
    let after = call.doors.system.disk_usage().await?.images;
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

/// The networks that there are belong to the node and stay.
pub(crate) async fn prune_networks(call: Call) -> Answer {
    Filters::parse(call.query.text("filters"), &["label", "label!", "until"])?;
    json(StatusCode::OK, &NetworksPruned::default())
}

/// Nothing is built, and so nothing is cached.
pub(crate) async fn prune_builds(_: Call) -> Answer {
    json(StatusCode::OK, &CachesPruned::default())
}
