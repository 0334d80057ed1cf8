//! A container as it is shown through the doors.

use crate::Shared;
use crate::registry::Snapshot;
use model::ImageId;
use model::container::MountSource;
use platform::{Container, Files, MountSeen, Sizes};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes in a block as stat(2) counts them.
const BLOCK_BYTES: u64 = 512;

/// The directories of an image's layers, the top one first, as overlayfs is told of them.
pub(crate) fn lower(shared: &Shared, image: &ImageId) -> String {
    let layers = shared.images.rootfs(image).unwrap_or_default();
    let layers: Vec<String> = layers.iter().map(|layer| layer.display().to_string()).collect();
    layers.join(":")
}

/// Puts together what is shown; `lower` is of its image. With `sizes` the writable layer is walked.
pub(crate) fn container(shared: &Shared, snapshot: &Snapshot, lower: String, sizes: bool) -> Container {
    let intent = &*snapshot.intent;
    let files = shared.roots.container(intent.id);
    let text = |path: &Path| path.display().to_string();
    Container {
        args: plan::merge::args(&intent.spec),
        entrypoint_args: intent.spec.entrypoint.as_ref().map_or(0, Vec::len),
        mounts: intent.spec.mounts.iter().map(|mount| seen(shared, mount)).collect(),
        files: Files {
            resolv_conf: text(&files.etc("resolv.conf")),
            hostname: text(&files.etc("hostname")),
            hosts: text(&files.etc("hosts")),
            log: text(&files.log()),
            upper: text(&files.upper()),
            lower,
            work: text(&files.work()),
        },
        sizes: sizes.then(|| {
            let writable = tree_bytes(&files.upper());
            Sizes { writable, total: writable + crate::doors::image_bytes(shared, &intent.image) }
        }),
        networks: crate::networks::memberships(shared, intent, &snapshot.observed),
        execs: shared.execs.running_in(intent.id),
        intent: intent.clone(),
        observed: snapshot.observed.clone(),
    }
}

fn seen(shared: &Shared, mount: &model::container::Mount) -> MountSeen {
    let (kind, name, source, propagation) = match &mount.source {
        MountSource::Bind { path, propagation, .. } => {
            let propagation = if propagation.is_empty() { "rprivate" } else { propagation };
            ("bind", None, path.clone(), propagation.to_owned())
        }
        MountSource::Volume(volume) => {
            let path = shared.volumes.path(&volume.name).display().to_string();
            ("volume", Some(volume.name.clone()), path, String::new())
        }
        MountSource::Image { name, .. } => ("image", None, name.clone(), String::new()),
        MountSource::Tmpfs { .. } => ("tmpfs", None, String::new(), String::new()),
    };
    MountSeen { kind, name, source, target: mount.target.clone(), writable: !mount.read_only, propagation }
}

/// Bytes that the files of a tree hold; what vanishes while it is walked holds none.
fn tree_bytes(root: &Path) -> u64 {
    let mut bytes = 0;
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if metadata.is_file() {
                bytes += metadata.len().min(metadata.blocks() * BLOCK_BYTES);
            }
        }
    }
    bytes
}
