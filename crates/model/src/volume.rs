//! What a person asks for when they ask for a volume: a directory that outlives the containers that have it.

use base::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One volume intent as it stands in the node's table. Written by front-ends, through the Volumes door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeIntent {
    /// Its name, unique on the node.
    pub name: String,
    /// When it was asked for.
    pub created: Time,
    /// What it is.
    pub spec: VolumeSpec,
}

/// A volume, without any dialect's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What is mounted in it while a container runs that has it, mount(8): `type`, `device`, `o`. Nothing for a plain directory.
    pub options: BTreeMap<String, String>,
    /// Whether its name was made up for one container: it goes with it, and is the first to be cleared away.
    #[serde(default)]
    pub anonymous: bool,
    /// The volume of which this one is a snapshot: nobody writes it any more.
    #[serde(default)]
    pub snapshot_of: Option<String>,
}
