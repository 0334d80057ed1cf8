//! Images.

use super::config::{HealthConfig, OneOrMany, Set};
use super::container::GraphDriver;
use super::{is_default, wire};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

wire! {
    pub struct ImageSummary {
        pub containers: i64,
        /// Seconds since 1970.
        pub created: i64,
        pub id: String,
        pub labels: Option<BTreeMap<String, String>>,
        pub parent_id: String,
        pub repo_digests: Vec<String>,
        pub repo_tags: Vec<String>,
        pub shared_size: i64,
        pub size: i64,
    }

    pub struct ImageInspect {
        pub id: String,
        pub repo_tags: Vec<String>,
        pub repo_digests: Vec<String>,
        pub parent: String,
        pub comment: String,
        pub created: String,
        pub docker_version: String,
        pub author: String,
        pub config: ImageConfig,
        pub architecture: String,
        #[serde(skip_serializing_if = "is_default")]
        pub variant: String,
        pub os: String,
        pub size: i64,
        #[serde(skip_serializing_if = "is_default")]
        pub virtual_size: i64,
        pub graph_driver: GraphDriver,
        #[serde(rename = "RootFS")]
        pub root_fs: RootFs,
        pub metadata: ImageMetadata,
    }

    /// What an image says of its containers; what is empty is left out.
    pub struct ImageConfig {
        #[serde(skip_serializing_if = "is_default")]
        pub user: String,
        #[serde(skip_serializing_if = "is_default")]
        pub exposed_ports: Set,
        #[serde(skip_serializing_if = "is_default")]
        pub env: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub entrypoint: Option<OneOrMany>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cmd: Option<OneOrMany>,
        #[serde(skip_serializing_if = "is_default")]
        pub volumes: Set,
        #[serde(skip_serializing_if = "is_default")]
        pub working_dir: String,
        #[serde(skip_serializing_if = "is_default")]
        pub labels: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "is_default")]
        pub stop_signal: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub healthcheck: Option<HealthConfig>,
        #[serde(skip_serializing_if = "is_default")]
        pub on_build: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shell: Option<OneOrMany>,
    }

    pub struct ImagesPruned {
        pub images_deleted: Option<Vec<DeleteItem>>,
        pub space_reclaimed: u64,
    }

    pub struct RootFs {
        #[serde(rename = "Type")]
        pub kind: String,
        #[serde(skip_serializing_if = "is_default")]
        pub layers: Vec<String>,
    }

    pub struct ImageMetadata {
        pub last_tag_time: String,
    }

    pub struct HistoryItem {
        pub comment: String,
        /// Seconds since 1970.
        pub created: i64,
        pub created_by: String,
        pub id: String,
        pub size: i64,
        pub tags: Option<Vec<String>>,
    }
}

/// One thing that the removal of an image did: exactly one of the two is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteItem {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untagged: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
}
