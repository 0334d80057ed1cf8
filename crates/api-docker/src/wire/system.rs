//! The node itself.

use super::volume::VolumeInspect;
use super::{ContainerSummary, ImageSummary, is_default, wire};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorMessage {
    pub message: String,
}

/// What our own endpoint says of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DaemonStatus {
    pub pid: i32,
    pub version: String,
    pub data_root: String,
    pub exec_root: String,
    pub started: String,
    pub containers: u64,
    pub running: u64,
    pub images: u64,
}

/// What our own endpoint says of the demonstration's image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DemoImage {
    pub image: String,
}

wire! {
    pub struct DiskAnswer {
        pub layers_size: i64,
        pub images: Vec<ImageSummary>,
        pub containers: Vec<ContainerSummary>,
        pub volumes: Vec<VolumeInspect>,
        pub build_cache: Vec<serde_json::Value>,
        /// What the node's registry keeps that no image of the node needs; not of Docker's API.
        pub registry_size: i64,
    }

    pub struct CachesPruned {
        pub caches_deleted: Option<Vec<String>>,
        pub space_reclaimed: u64,
    }

    pub struct Version {
        pub platform: PlatformName,
        pub components: Vec<VersionComponent>,
        pub version: String,
        pub api_version: String,
        #[serde(rename = "MinAPIVersion")]
        pub min_api_version: String,
        pub git_commit: String,
        pub go_version: String,
        pub os: String,
        pub arch: String,
        pub kernel_version: String,
        pub build_time: String,
    }

    pub struct PlatformName {
        pub name: String,
    }

    pub struct VersionComponent {
        pub name: String,
        pub version: String,
        pub details: BTreeMap<String, String>,
    }

    pub struct Info {
        #[serde(rename = "ID")]
        pub id: String,
        pub containers: u64,
        pub containers_running: u64,
        pub containers_paused: u64,
        pub containers_stopped: u64,
        pub images: u64,
        pub driver: String,
        pub driver_status: Vec<(String, String)>,
        pub plugins: Plugins,
        pub memory_limit: bool,
        pub swap_limit: bool,
        pub cpu_cfs_period: bool,
        pub cpu_cfs_quota: bool,
        #[serde(rename = "CPUShares")]
        pub cpu_shares: bool,
        #[serde(rename = "CPUSet")]
        pub cpu_set: bool,
        pub pids_limit: bool,
        #[serde(rename = "IPv4Forwarding")]
        pub ipv4_forwarding: bool,
        pub debug: bool,
        #[serde(rename = "NFd")]
        pub descriptors: u64,
        pub oom_kill_disable: bool,
        #[serde(rename = "NGoroutines")]
        pub goroutines: u64,
        pub system_time: String,
        pub logging_driver: String,
        pub cgroup_driver: String,
        pub cgroup_version: String,
        #[serde(rename = "NEventsListener")]
        pub events_listeners: u64,
        pub kernel_version: String,
        pub operating_system: String,
        #[serde(rename = "OSVersion")]
        pub os_version: String,
        #[serde(rename = "OSType")]
        pub os_type: String,
        pub architecture: String,
        pub index_server_address: String,
        pub registry_config: Option<serde_json::Value>,
        #[serde(rename = "NCPU")]
        pub cpus: u32,
        pub mem_total: u64,
        pub generic_resources: Option<Vec<serde_json::Value>>,
        pub docker_root_dir: String,
        pub http_proxy: String,
        pub https_proxy: String,
        pub no_proxy: String,
        pub name: String,
        pub labels: Vec<String>,
        pub experimental_build: bool,
        pub server_version: String,
        pub runtimes: BTreeMap<String, RuntimeInfo>,
        pub default_runtime: String,
        pub swarm: SwarmInfo,
        pub live_restore_enabled: bool,
        pub isolation: String,
        pub init_binary: String,
        pub containerd_commit: Commit,
        pub runc_commit: Commit,
        pub init_commit: Commit,
        pub security_options: Vec<String>,
        #[serde(rename = "CDISpecDirs")]
        pub cdi_spec_dirs: Vec<String>,
        pub warnings: Option<Vec<String>>,
    }

    pub struct Plugins {
        pub volume: Vec<String>,
        pub network: Vec<String>,
        pub authorization: Option<Vec<String>>,
        pub log: Vec<String>,
    }

    pub struct SwarmInfo {
        #[serde(rename = "NodeID")]
        pub node_id: String,
        pub node_addr: String,
        pub local_node_state: String,
        pub control_available: bool,
        pub error: String,
        pub remote_managers: Option<Vec<serde_json::Value>>,
    }

    pub struct Commit {
        #[serde(rename = "ID")]
        pub id: String,
        #[serde(skip_serializing_if = "is_default")]
        pub expected: String,
    }
}

/// A runtime that a container can be run with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeInfo {
    pub path: String,
}
