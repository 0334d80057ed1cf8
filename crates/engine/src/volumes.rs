//! Anonymous volumes: directories that belong to one container and outlive its writable layer's changes of image.
//!
//! A path that the image declares as a volume, or that the user names without a source, gets a directory of its own under a made-up
//! name of 64 digits. Filled once, before the first start, with what the image has at that path: owners, modes and links
//! included. `rm -v` and the removal after `--rm` take it away.

use model::container::MountSource;
use model::{ContainerId, ContainerIntent, ContainerSpec};
use platform::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Says that a volume was filled; stands beside its data, so that a container cannot see or remove it.
const FILLED: &str = "filled";
const DATA: &str = "_data";

/// The volumes of a node.
#[derive(Clone)]
pub(crate) struct Volumes {
    root: PathBuf,
}

fn failed(what: &str, path: &Path, error: impl std::fmt::Display) -> Error {
    Error::failed(format!("{what} {}: {error}", path.display()))
}

impl Volumes {
    pub(crate) fn new(root: PathBuf) -> Volumes {
        Volumes { root }
    }

    /// Where a volume's data lie.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name).join(DATA)
    }

    /// Gives every volume of a spec that has no name yet one, the image's included where nothing is mounted there.
    pub(crate) fn name_all(spec: &mut ContainerSpec, image: &BTreeSet<String>) {
        for path in image {
            if !spec
                .mounts
                .iter()
                .any(|mount| mount.target.trim_end_matches('/') == path.trim_end_matches('/'))
            {
                let source = MountSource::Volume { name: String::new(), copy: true };
                spec.mounts.push(model::container::Mount { target: path.clone(), source, read_only: false });
            }
        }
        for mount in &mut spec.mounts {
            if let MountSource::Volume { name, .. } = &mut mount.source
                && name.is_empty()
            {
                *name = ContainerId::from_bytes(base::random::bytes()).to_string();
            }
        }
    }

    /// The volumes that a container owns.
    pub(crate) fn of(spec: &ContainerSpec) -> impl Iterator<Item = &str> {
        spec.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Volume { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// Makes the volumes of a container that are not there yet, and fills them from the image's layers, the top one first.
    pub(crate) fn fill(&self, intent: &ContainerIntent, layers: &[PathBuf]) -> Result<(), Error> {
        for mount in &intent.spec.mounts {
            let MountSource::Volume { name, copy } = &mount.source else { continue };
            let marker = self.root.join(name).join(FILLED);
            if marker.exists() {
                continue;
            }
            let data = self.path(name);
            // A fill that was cut short starts over.
            base::file::remove_all(&data).map_err(|error| failed("clear the volume", &data, error))?;
            fs::create_dir_all(&data).map_err(|error| failed("make the volume", &data, error))?;
            if *copy {
                crate::copyup::copy(layers, Path::new(&mount.target), &data)
                    .map_err(|error| failed("fill the volume", &data, base::Chain(&error)))?;
            }
            fs::write(&marker, b"").map_err(|error| failed("mark the volume", &marker, error))?;
        }
        Ok(())
    }

    /// All volumes by name, with their directories.
    pub(crate) fn all(&self) -> Result<BTreeMap<String, PathBuf>, Error> {
        let mut all = BTreeMap::new();
        for entry in
            fs::read_dir(&self.root).map_err(|error| failed("list the volumes in", &self.root, error))?
        {
            let entry = entry.map_err(|error| failed("list the volumes in", &self.root, error))?;
            if let Ok(name) = entry.file_name().into_string() {
                all.insert(name, entry.path());
            }
        }
        Ok(all)
    }

    /// Removes a volume.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let directory = self.root.join(name);
        base::file::remove_all(&directory).map_err(|error| failed("remove the volume", &directory, error))
    }
}
