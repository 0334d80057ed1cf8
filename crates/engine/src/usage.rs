//! What takes room on the disk, and how much is left.

use crate::Shared;
use crate::doors::{blocking, image_error};
use base::disk::{self, Room};
use images::Forget;
use platform::{DiskUsage, Error, Measured};
use std::sync::Weak;
use std::time::Duration;

/// How often it is looked whether the disk gets full.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Looks at the disk from time to time, for as long as the engine lives. When room gets low, that is said in the log, and what
/// nobody needs is collected at once.
pub(crate) async fn watch(shared: Weak<Shared>) {
    let mut told = false;
    loop {
        let Some(here) = shared.upgrade() else { return };
        let looked = blocking(move || {
            let warning = warning(&here);
            if warning.is_some() {
                here.collect_images();
                here.images.tidy().map_err(|error| image_error(&error))?;
            }
            here.images.forget_unfinished(Forget::Surplus).map_err(|error| image_error(&error))?;
            Ok(warning)
        });
        match looked.await {
            Ok(warning) => {
                let is_low = warning.is_some();
                match warning {
                    Some(warning) if !told => tracing::warn!("{warning}"),
                    None if told => tracing::info!("there is room on the disk again"),
                    _ => {}
                }
                told = is_low;
            }
            Err(error) => tracing::warn!(%error, "what nobody needs could not be collected"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is to be said of a disk that gets full.
pub(crate) fn warning(shared: &Shared) -> Option<String> {
    let room = Room::at(&shared.roots.data).ok().filter(Room::is_low)?;
    let percent = (room.total - room.free.min(room.total)) * 100 / room.total.max(1);
    Some(format!(
        "the disk of {} is {percent} % full, {} MiB are free: `bocage system df` tells what takes the room, `bocage system prune` \
         frees what nobody uses",
        shared.roots.data.display(),
        room.free >> 20
    ))
}

/// Measures what is asked for and not known yet. Blocks.
pub(crate) fn measure(shared: &Shared, of: Measured) -> Result<DiskUsage, Error> {
    let mut usage = DiskUsage::default();
    if of.images {
        let measured = shared.images.usage().map_err(|error| image_error(&error))?;
        (usage.images, usage.registry, usage.shared) = (measured.images, measured.registry, measured.shared);
    }
    if of.containers {
        for snapshot in shared.registry.all() {
            let id = snapshot.intent.id;
            usage.containers.insert(id, disk::taken_by(shared.roots.container(id).root()));
        }
    }
    if of.volumes {
        usage.volumes = volumes(shared, true);
    }
    Ok(usage)
}

/// All volumes; with `sizes` they are walked through. One that is another file system takes no room of this disk. Blocks.
pub(crate) fn volumes(shared: &Shared, sizes: bool) -> Vec<platform::Volume> {
    let mut volumes: Vec<platform::Volume> =
        shared.volumes.list().into_iter().map(crate::volumes::told).collect();
    for volume in volumes.iter_mut().filter(|volume| sizes && volume.intent.spec.options.is_empty()) {
        volume.bytes = Some(disk::taken_by(std::path::Path::new(&volume.path)));
    }
    volumes
}
