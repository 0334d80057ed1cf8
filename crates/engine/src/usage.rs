//! What takes room on the disk, and how much is left.

use crate::Shared;
use crate::doors::{blocking, image_error};
use crate::volumes::Volumes;
use base::Time;
use base::disk::{self, Room};
use images::Forget;
use platform::{DiskUsage, Error, Measured, VolumeUsage};
use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::{Duration, SystemTime};

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
        usage.volumes = volumes(shared)?;
    }
    Ok(usage)
}

/// Removes the volumes that no container has. A volume gets its name before its container does, and its directory after: what is
/// there and has no container never gets one. Blocks.
pub(crate) fn prune_volumes(shared: &Shared) -> Result<Vec<VolumeUsage>, Error> {
    let mut unused = volumes(shared)?;
    unused.retain(|volume| volume.containers == 0);
    for volume in &unused {
        shared.volumes.remove(&volume.name)?;
    }
    Ok(unused)
}

fn volumes(shared: &Shared) -> Result<Vec<VolumeUsage>, Error> {
    // Before it is looked who uses them: what is made in between is not among these.
    let there = shared.volumes.all()?;
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    for snapshot in shared.registry.all() {
        for name in Volumes::of(&snapshot.intent.spec) {
            *users.entry(name.to_owned()).or_default() += 1;
        }
    }
    let seen = there.into_iter().map(|(name, directory)| {
        let made = directory.symlink_metadata().and_then(|metadata| metadata.modified());
        let since = made.ok().and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
        let seconds = since.and_then(|since| i64::try_from(since.as_secs()).ok());
        VolumeUsage {
            path: shared.volumes.path(&name).display().to_string(),
            created: seconds.map_or(Time::NEVER, Time::from_unix_seconds),
            bytes: disk::taken_by(&directory),
            containers: users.get(&name).copied().unwrap_or(0),
            name,
        }
    });
    Ok(seen.collect())
}
