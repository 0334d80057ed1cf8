//! The Volumes door: directories that outlive containers.

use crate::{Answer, Archive};
use model::{ContainerId, VolumeIntent, VolumeSpec};
use std::collections::BTreeMap;

/// A volume that shall be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewVolume {
    /// Its name; none for one made up.
    pub name: Option<String>,
    /// What it is.
    pub spec: VolumeSpec,
}

/// A volume: what was asked for, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// What was asked for.
    pub intent: VolumeIntent,
    /// Where its files are on this host.
    pub path: String,
    /// The containers that have it.
    pub containers: Vec<ContainerId>,
    /// Bytes on the disk, where asked for and where they are this disk's.
    pub bytes: Option<u64>,
}

/// A copy of a volume that shall be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyVolume {
    /// The copy's name; none for one that is made of the volume's and the time.
    pub name: Option<String>,
    /// Whether nobody shall write it.
    pub snapshot: bool,
    /// Whether the containers that have the volume stand still meanwhile.
    pub pause: bool,
    /// Labels over those of the volume.
    pub labels: BTreeMap<String, String>,
}

/// A copy of a volume that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeCopy {
    /// The copy.
    pub volume: Volume,
    /// Bytes of its files.
    pub bytes: u64,
    /// Of these, how many it shares with the volume on the disk.
    pub shared_bytes: u64,
    /// The containers that stood still meanwhile.
    pub paused: Vec<ContainerId>,
    /// Containers that ran and wrote meanwhile, perhaps: what is in the copy may not fit together.
    pub unpaused: Vec<ContainerId>,
}

/// Intents of volumes.
pub trait Volumes: Send + Sync {
    /// Makes a volume. One of that name that is there already is told, unless it has other options.
    fn create(&self, new: NewVolume) -> Answer<'_, Volume>;

    /// All volumes, by name; `sizes` measures them.
    fn list(&self, sizes: bool) -> Answer<'_, Vec<Volume>>;

    /// One volume.
    fn inspect<'a>(&'a self, name: &'a str) -> Answer<'a, Volume>;

    /// Removes a volume that no container has.
    fn remove<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// Gives a volume that no container has another name.
    fn rename<'a>(&'a self, name: &'a str, new: &'a str) -> Answer<'a, ()>;

    /// Gives a volume other labels.
    fn relabel<'a>(&'a self, name: &'a str, labels: BTreeMap<String, String>) -> Answer<'a, ()>;

    /// Copies a volume to a new one.
    fn copy<'a>(&'a self, name: &'a str, wanted: CopyVolume) -> Answer<'a, VolumeCopy>;

    /// All files of a volume as an archive, packed with zstd; `pause` lets the containers that have it stand still meanwhile.
    fn backup<'a>(&'a self, name: &'a str, pause: bool) -> Answer<'a, Archive>;

    /// Makes a volume of an archive's files.
    fn restore(&self, new: NewVolume, archive: Archive) -> Answer<'_, Volume>;

    /// Tells that volumes were cleared away, and the bytes that came back.
    fn pruned(&self, bytes: u64);
}
