//! Volumes of containers: named and made with them, mounted while they run, forgotten with them.
//!
//! ```text
//! create:  inherit (--volumes-from) -> name_all (the image's) -> make: rows of container and volumes in one transaction
//! start:   mount                                                      (filled with what the image has before that)
//! end:     unmount
//! remove:  forget: both rows in one transaction, then the files
//! ```
//!
//! The volumes themselves are the crate `volumes`; here is what a container has to do with them.

use crate::Shared;
use crate::doors::{blocking, image_error};
use crate::tables::Record;
use base::Chain;
use model::container::{Mount, MountSource, VolumeMount};
use model::{ContainerIntent, ContainerSpec, ImageId, VolumeSpec};
use platform::{Error, EventKind, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use volumes::{Filling, Retired};

/// What an error of the volumes is to a client.
pub(crate) fn volume_error(error: &volumes::Error) -> Error {
    use volumes::Error as E;
    let kind = match error {
        E::Name { .. }
        | E::ShortName { .. }
        | E::LongName { .. }
        | E::Option { .. }
        | E::MissingOption { .. }
        | E::Quota { .. }
        | E::Snapshot { .. }
        | E::Subpath { .. } => Kind::Invalid,
        E::NoSuch { .. } => Kind::NotFound,
        E::InUse { .. } | E::Read { .. } | E::Taken { .. } => Kind::Conflict,
        _ => Kind::Failed,
    };
    Error::new(kind, Chain(error).to_string())
}

/// A volume as it is shown.
pub(crate) fn told(volume: volumes::Volume) -> platform::Volume {
    platform::Volume {
        intent: volume.intent,
        path: volume.path.display().to_string(),
        containers: volume.users,
        bytes: None,
    }
}

/// Tells everybody what happened to a volume.
pub(crate) fn tell(shared: &Shared, action: &str, name: &str, more: &[(&str, String)]) {
    let mut attributes: BTreeMap<String, String> =
        BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
    attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    shared.events.tell(shared.clock.now(), EventKind::Volume, action, name, attributes);
}

fn mounts(spec: &ContainerSpec) -> impl Iterator<Item = (&Mount, &VolumeMount)> {
    spec.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume(volume) => Some((mount, volume)),
        _ => None,
    })
}

/// The volumes that a container has.
pub(crate) fn names(spec: &ContainerSpec) -> impl Iterator<Item = &str> {
    mounts(spec).map(|(_, volume)| volume.name.as_str())
}

/// The images that a container needs: its own, and those that are mounted in it.
pub(crate) fn images(intent: &ContainerIntent) -> impl Iterator<Item = ImageId> {
    let mounted = intent.spec.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Image { id, .. } => *id,
        _ => None,
    });
    std::iter::once(intent.image).chain(mounted)
}

/// Adds the mounts of other containers, but where something of the container's own is mounted.
pub(crate) fn inherit(shared: &Shared, spec: &mut ContainerSpec) -> Result<(), Error> {
    let own: BTreeSet<String> = spec.mounts.iter().map(|mount| clean(&mount.target).to_owned()).collect();
    let mut inherited: BTreeMap<String, Mount> = BTreeMap::new();
    for from in std::mem::take(&mut spec.volumes_from) {
        let (_, handle) = shared.registry.find(&from.container)?;
        for mount in &handle.snapshot().intent.spec.mounts {
            let mut mount = mount.clone();
            mount.read_only |= from.writable == Some(false);
            if let MountSource::Volume(volume) = &mut mount.source {
                // Its first container filled it.
                volume.copy = false;
            }
            // Of two that have the same place, the later counts.
            inherited.insert(clean(&mount.target).to_owned(), mount);
        }
    }
    spec.mounts
        .extend(inherited.into_iter().filter(|(target, _)| !own.contains(target)).map(|(_, mount)| mount));
    Ok(())
}

fn clean(target: &str) -> &str {
    target.trim_end_matches('/')
}

/// Makes volumes of the paths that want one and where nothing is mounted, and gives every volume that has no name yet one.
pub(crate) fn name_all(spec: &mut ContainerSpec, image: &BTreeSet<String>) {
    let wanted: Vec<String> =
        std::mem::take(&mut spec.volumes).into_iter().chain(image.iter().cloned()).collect();
    for target in wanted {
        if !spec.mounts.iter().any(|mount| clean(&mount.target) == clean(&target)) {
            let source = MountSource::Volume(VolumeMount { copy: true, ..VolumeMount::default() });
            spec.mounts.push(Mount { target, source, read_only: false });
        }
    }
    for mount in &mut spec.mounts {
        if let MountSource::Volume(volume) = &mut mount.source
            && volume.name.is_empty()
        {
            volume.name = volumes::made_up();
            volume.anonymous = true;
        }
    }
}

/// Finds the images that are mounted, and keeps them until the container is there.
pub(crate) async fn find_images(
    shared: &Arc<Shared>,
    spec: &mut ContainerSpec,
) -> Result<Vec<images::Lease>, Error> {
    let mut leases = Vec::new();
    for mount in &mut spec.mounts {
        let MountSource::Image { name, id, .. } = &mut mount.source else { continue };
        let (shared, wanted) = (Arc::clone(shared), name.clone());
        let found = blocking(move || {
            let image = shared.images.resolve(&wanted).map_err(|error| image_error(&error))?;
            let lease = shared.images.lease(&image.id).map_err(|error| image_error(&error))?;
            Ok((image.id, lease))
        });
        let (image, lease) = found.await.map_err(|error| {
            Error::new(
                if error.kind == Kind::NotFound { Kind::Invalid } else { error.kind },
                format!("invalid mount config for type \"image\": {}: pull it first", error.message),
            )
        })?;
        *id = Some(image);
        leases.push(lease);
    }
    Ok(leases)
}

/// Makes the volumes of a container that are not there yet, fills those that are empty, and records them together with the
/// container. Blocks.
pub(crate) fn make(shared: &Shared, record: &Record) -> Result<(), Error> {
    let intent = &record.intent;
    let spec = &intent.spec;
    if mounts(spec).next().is_none() {
        return shared.tables.put_new(record, |_| Ok(()));
    }
    let failed = |error: volumes::Error| volume_error(&error);
    let wanted: Vec<(String, VolumeSpec)> = mounts(spec)
        .map(|(_, volume)| {
            (volume.name.clone(), VolumeSpec { anonymous: volume.anonymous, ..volume.spec.clone() })
        })
        .collect();
    let building = shared.volumes.build(&wanted).map_err(failed)?;
    let driver = spec.volume_driver.as_str();
    if let (Some(name), false) = (building.new_names().next(), matches!(driver, "" | "local")) {
        return Err(Error::not_found(format!(
            "create {name}: error looking up volume plugin {driver}: plugin \"{driver}\" not found"
        )));
    }
    for (mount, volume) in mounts(spec) {
        let there = shared.volumes.get(&volume.name).ok();
        let of = there.and_then(|there| there.intent.spec.snapshot_of).filter(|_| !mount.read_only);
        if let Some(of) = of {
            return Err(failed(volumes::Error::Snapshot { name: volume.name.clone(), of }));
        }
    }
    if mounts(spec).any(|(_, volume)| is_filled(volume)) {
        let layers = shared.images.rootfs(&intent.image).map_err(|error| image_error(&error))?;
        for (mount, volume) in mounts(spec).filter(|(_, volume)| is_filled(volume)) {
            let filling = Filling { layers: &layers, path: Path::new(&mount.target) };
            building.fill(&volume.name, filling).map_err(failed)?;
        }
        // What is acknowledged survives the loss of power, and a volume with files in it is never filled again.
        building.sync().map_err(failed)?;
    }
    let new: Vec<String> = building.new_names().map(str::to_owned).collect();
    shared.tables.put_new(record, |tx| building.put(tx))?;
    if let Err(error) = building.finish(Some(intent.id)) {
        // They are recorded: the container is there, and its start tells what is wrong.
        tracing::error!(container = %intent.id, error = %Chain(&error), "a volume is not in its place");
    }
    new.iter().for_each(|name| tell(shared, "create", name, &[]));
    Ok(())
}

/// Whether a volume takes over what the image has. A part of it never does.
fn is_filled(volume: &VolumeMount) -> bool {
    volume.copy && volume.subpath.is_empty()
}

/// Where the files of each volume are, by its name.
type Places = BTreeMap<String, PathBuf>;
/// The layers of each image, the top one first.
type Layers = BTreeMap<ImageId, Vec<PathBuf>>;

/// What a container shows of volumes and of other images. Blocks.
pub(crate) fn shown(shared: &Shared, intent: &ContainerIntent) -> Result<(Places, Layers), Error> {
    Ok((mount(shared, intent)?, layers(shared, intent)?))
}

/// Mounts the volumes that are file systems of their own, and says where each one's files are.
fn mount(shared: &Shared, intent: &ContainerIntent) -> Result<Places, Error> {
    let mut places = BTreeMap::new();
    for (mount, volume) in mounts(&intent.spec) {
        let path = shared
            .volumes
            .mount(intent.id, &volume.name)
            .map_err(|error| Error::failed(Chain(&error).to_string()))?;
        places.insert(volume.name.clone(), path);
        let more = [
            ("container", intent.id.to_string()),
            ("destination", mount.target.clone()),
            ("propagation", String::new()),
            ("read/write", (!mount.read_only).to_string()),
        ];
        tell(shared, "mount", &volume.name, &more);
    }
    Ok(places)
}

/// Tells that a container which ended has its volumes mounted no more.
pub(crate) fn tell_unmounted(shared: &Shared, intent: &ContainerIntent) {
    for name in names(&intent.spec) {
        tell(shared, "unmount", name, &[("container", intent.id.to_string())]);
    }
}

/// The layers of the images that are mounted in a container.
fn layers(shared: &Shared, intent: &ContainerIntent) -> Result<Layers, Error> {
    let mounted = images(intent).skip(1);
    mounted.map(|id| Ok((id, shared.images.rootfs(&id).map_err(|error| image_error(&error))?))).collect()
}

/// Takes a container out of the table, with the volumes that are its alone where these go too. Blocks.
pub(crate) fn forget(shared: &Shared, intent: &ContainerIntent, with_volumes: bool) -> Result<(), Error> {
    let failed = |error: volumes::Error| volume_error(&error);
    let own: Vec<&str> = match with_volumes {
        true => mounts(&intent.spec)
            .filter(|(_, volume)| volume.anonymous)
            .map(|(_, volume)| volume.name.as_str())
            .collect(),
        false => Vec::new(),
    };
    if own.is_empty() {
        shared.tables.remove_container(intent.id, |_| ())?;
        shared.volumes.release(intent.id);
        return Ok(());
    }
    let retired = shared.volumes.retire(intent.id, &own).map_err(failed)?;
    let gone = retired.names();
    shared.tables.remove_container(intent.id, |tx| Retired::put(&gone, tx))?;
    let finished = retired.finish();
    shared.volumes.release(intent.id);
    gone.iter().for_each(|name| tell(shared, "destroy", name, &[]));
    if let Err(error) = finished {
        tracing::error!(container = %intent.id, error = %Chain(&error), "files of a volume are left");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_wants_a_volume_gets_one_unless_something_is_mounted_there() {
        let named = MountSource::Volume(VolumeMount { name: "data".to_owned(), ..VolumeMount::default() });
        let mut spec = ContainerSpec {
            mounts: vec![Mount { target: "/data/".to_owned(), source: named, read_only: false }],
            volumes: BTreeSet::from(["/own".to_owned()]),
            ..ContainerSpec::default()
        };
        name_all(&mut spec, &BTreeSet::from(["/data".to_owned(), "/own/".to_owned(), "/image".to_owned()]));
        let targets: Vec<&str> = spec.mounts.iter().map(|mount| mount.target.as_str()).collect();
        assert_eq!(targets, ["/data/", "/own", "/image"]);
        let anonymous: Vec<bool> = mounts(&spec).map(|(_, volume)| volume.anonymous).collect();
        assert_eq!(anonymous, [false, true, true]);
        assert!(mounts(&spec).skip(1).all(|(_, volume)| volume.name.len() == 64 && volume.copy));
        assert!(spec.volumes.is_empty());
    }
}
