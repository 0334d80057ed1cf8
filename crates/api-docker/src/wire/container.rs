//! Containers: made, listed, looked at, waited for.

use super::config::{Config, NetworkingConfig};
use super::host_config::{HostConfig, HostConfigSummary, RestartPolicy};
use super::network::{EndpointSettings, NetworkSettings};
use super::{is_default, wire};
use std::collections::BTreeMap;

wire! {
    pub struct CreateRequest {
        #[serde(flatten)]
        pub config: Config,
        pub host_config: HostConfig,
        pub networking_config: NetworkingConfig,
    }

    pub struct CreateAnswer {
        pub id: String,
        pub warnings: Vec<String>,
    }

    pub struct ContainerSummary {
        pub id: String,
        pub names: Vec<String>,
        pub image: String,
        #[serde(rename = "ImageID")]
        pub image_id: String,
        pub command: String,
        /// Seconds since 1970.
        pub created: i64,
        pub ports: Vec<PortSummary>,
        #[serde(skip_serializing_if = "is_default")]
        pub size_rw: i64,
        #[serde(skip_serializing_if = "is_default")]
        pub size_root_fs: i64,
        pub labels: BTreeMap<String, String>,
        pub state: String,
        pub status: String,
        pub host_config: HostConfigSummary,
        pub network_settings: NetworkSettingsSummary,
        pub mounts: Vec<MountPoint>,
    }

    pub struct NetworkSettingsSummary {
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    pub struct PortSummary {
        #[serde(rename = "IP", skip_serializing_if = "is_default")]
        pub ip: String,
        pub private_port: u16,
        #[serde(skip_serializing_if = "is_default")]
        pub public_port: u16,
        #[serde(rename = "Type")]
        pub kind: String,
    }

    pub struct MountPoint {
        #[serde(rename = "Type", skip_serializing_if = "is_default")]
        pub kind: String,
        #[serde(skip_serializing_if = "is_default")]
        pub name: String,
        pub source: String,
        pub destination: String,
        #[serde(skip_serializing_if = "is_default")]
        pub driver: String,
        pub mode: String,
        #[serde(rename = "RW")]
        pub writable: bool,
        pub propagation: String,
    }

    pub struct ContainerInspect {
        pub id: String,
        pub created: String,
        pub path: String,
        pub args: Vec<String>,
        pub state: ContainerState,
        pub image: String,
        pub resolv_conf_path: String,
        pub hostname_path: String,
        pub hosts_path: String,
        pub log_path: String,
        pub name: String,
        pub restart_count: u32,
        pub driver: String,
        pub platform: String,
        pub mount_label: String,
        pub process_label: String,
        pub app_armor_profile: String,
        #[serde(rename = "ExecIDs")]
        pub exec_ids: Option<Vec<String>>,
        pub host_config: HostConfig,
        pub graph_driver: GraphDriver,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_rw: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_root_fs: Option<i64>,
        pub mounts: Vec<MountPoint>,
        pub config: Config,
        pub network_settings: NetworkSettings,
    }

    pub struct GraphDriver {
        pub data: BTreeMap<String, String>,
        pub name: String,
    }

    pub struct ContainerState {
        pub status: String,
        pub running: bool,
        pub paused: bool,
        pub restarting: bool,
        #[serde(rename = "OOMKilled")]
        pub oom_killed: bool,
        pub dead: bool,
        pub pid: i32,
        pub exit_code: i64,
        pub error: String,
        pub started_at: String,
        pub finished_at: String,
    }

    pub struct TopAnswer {
        pub processes: Vec<Vec<String>>,
        pub titles: Vec<String>,
    }

    pub struct WaitAnswer {
        pub status_code: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub error: Option<WaitError>,
    }

    pub struct WaitError {
        pub message: String,
    }

    /// The fields of `HostConfig` that can be changed, and no others.
    pub struct UpdateRequest {
        #[serde(flatten)]
        pub resources: BTreeMap<String, serde_json::Value>,
        pub restart_policy: RestartPolicy,
    }

    pub struct UpdateAnswer {
        pub warnings: Option<Vec<String>>,
    }

    pub struct PruneAnswer {
        pub containers_deleted: Option<Vec<String>>,
        pub space_reclaimed: u64,
    }
}
