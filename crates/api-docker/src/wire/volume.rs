//! Volumes.

use super::{is_default, wire};
use std::collections::BTreeMap;

wire! {
    pub struct VolumeCreateRequest {
        pub name: String,
        pub driver: String,
        pub driver_opts: BTreeMap<String, String>,
        pub labels: BTreeMap<String, String>,
    }

    pub struct VolumeInspect {
        #[serde(skip_serializing_if = "is_default")]
        pub created_at: String,
        pub driver: String,
        pub labels: Option<BTreeMap<String, String>>,
        pub mountpoint: String,
        pub name: String,
        pub options: Option<BTreeMap<String, String>>,
        pub scope: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub usage_data: Option<VolumeRoom>,
    }

    pub struct VolumeRoom {
        pub ref_count: i64,
        pub size: i64,
    }

    pub struct VolumesPruned {
        pub volumes_deleted: Option<Vec<String>>,
        pub space_reclaimed: u64,
    }

    pub struct VolumeList {
        pub volumes: Vec<VolumeInspect>,
        pub warnings: Option<Vec<String>>,
    }

    /// What a copy of our own is asked for.
    pub struct VolumeCopyRequest {
        pub name: String,
        pub snapshot: bool,
        pub pause: Option<bool>,
        pub labels: BTreeMap<String, String>,
    }

    pub struct VolumeCopyAnswer {
        pub volume: VolumeInspect,
        pub bytes: u64,
        pub shared_bytes: u64,
        pub paused: Vec<String>,
        pub not_paused: Vec<String>,
    }

    pub struct VolumeLabels {
        pub labels: BTreeMap<String, String>,
    }
}
