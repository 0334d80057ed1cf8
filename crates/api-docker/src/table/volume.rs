//! Volumes.

use super::{Field, Operation, Way, done, ignored, operation, refused};
use crate::handle::{disk, volume};

const NO_CLUSTER: &str = "volumes of a cluster need one, and this node is part of none";

const CREATE_BODY: &[Field] = &[
    done("Name"),
    done("Driver"),
    done("DriverOpts"),
    done("Labels"),
    refused("ClusterVolumeSpec", NO_CLUSTER),
    ignored("ClusterVolumeSpec.AccessMode.MountVolume", "it has no fields; what it stands in is refused"),
];

pub(super) const OPERATIONS: &[Operation] = &[
    operation("VolumeList", "GET", "/volumes", |call| Box::pin(volume::list(call)), &[done("filters")]),
    Operation {
        id: "VolumeCreate",
        method: "POST",
        path: "/volumes/create",
        way: Way::Done(|call| Box::pin(volume::create(call))),
        parameters: &[],
        body: CREATE_BODY,
    },
    operation("VolumeInspect", "GET", "/volumes/{name}", |call| Box::pin(volume::inspect(call)), &[]),
    Operation {
        id: "VolumeUpdate",
        method: "PUT",
        path: "/volumes/{name}",
        way: Way::Done(|call| Box::pin(volume::update(call))),
        parameters: &[ignored("version", NO_CLUSTER)],
        body: &[ignored("Spec", NO_CLUSTER)],
    },
    operation(
        "VolumeDelete",
        "DELETE",
        "/volumes/{name}",
        |call| Box::pin(volume::delete(call)),
        &[done("force")],
    ),
    operation(
        "VolumePrune",
        "POST",
        "/volumes/prune",
        |call| Box::pin(disk::prune_volumes(call)),
        &[done("filters")],
    ),
];

/// What Docker has not.
pub(super) const OURS: &[Operation] = &[
    Operation {
        id: "VolumeCopy",
        method: "POST",
        path: "/bocage/v1/volumes/{name}/copy",
        way: Way::Done(|call| Box::pin(volume::copy(call))),
        parameters: &[],
        body: &[done("Name"), done("Snapshot"), done("Pause"), done("Labels")],
    },
    operation(
        "VolumeRename",
        "POST",
        "/bocage/v1/volumes/{name}/rename",
        |call| Box::pin(volume::rename(call)),
        &[done("name")],
    ),
    Operation {
        id: "VolumeRelabel",
        method: "POST",
        path: "/bocage/v1/volumes/{name}/labels",
        way: Way::Done(|call| Box::pin(volume::relabel(call))),
        parameters: &[],
        body: &[done("Labels")],
    },
    operation(
        "VolumeBackup",
        "GET",
        "/bocage/v1/volumes/{name}/backup",
        |call| Box::pin(volume::backup(call)),
        &[done("pause")],
    ),
    operation(
        "VolumeRestore",
        "POST",
        "/bocage/v1/volumes/{name}/restore",
        |call| Box::pin(volume::restore(call)),
        &[done("labels")],
    ),
];
