//! A container's configuration: the part that depends on the host.

use super::{is_default, wire};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

wire! {
    pub struct HostConfig {
        pub binds: Option<Vec<String>>,
        #[serde(rename = "ContainerIDFile")]
        pub container_id_file: String,
        pub log_config: LogConfig,
        pub network_mode: String,
        pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
        pub restart_policy: RestartPolicy,
        pub auto_remove: bool,
        pub volume_driver: String,
        pub volumes_from: Option<Vec<String>>,
        /// Rows and columns.
        pub console_size: (u64, u64),
        #[serde(skip_serializing_if = "is_default")]
        pub annotations: BTreeMap<String, String>,
        pub cap_add: Option<Vec<String>>,
        pub cap_drop: Option<Vec<String>>,
        pub cgroupns_mode: String,
        pub dns: Vec<String>,
        pub dns_options: Vec<String>,
        pub dns_search: Vec<String>,
        pub extra_hosts: Option<Vec<String>>,
        pub group_add: Option<Vec<String>>,
        pub ipc_mode: String,
        pub cgroup: String,
        pub links: Option<Vec<String>>,
        pub oom_score_adj: i64,
        pub pid_mode: String,
        pub privileged: bool,
        pub publish_all_ports: bool,
        pub readonly_rootfs: bool,
        pub security_opt: Option<Vec<String>>,
        #[serde(skip_serializing_if = "is_default")]
        pub storage_opt: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "is_default")]
        pub tmpfs: BTreeMap<String, String>,
        #[serde(rename = "UTSMode")]
        pub uts_mode: String,
        pub userns_mode: String,
        /// Bytes.
        pub shm_size: i64,
        #[serde(skip_serializing_if = "is_default")]
        pub sysctls: BTreeMap<String, String>,
        pub runtime: String,
        pub isolation: String,
        pub cpu_shares: i64,
        /// Bytes.
        pub memory: i64,
        /// Billionths of a CPU.
        pub nano_cpus: i64,
        pub cgroup_parent: String,
        pub blkio_weight: u16,
        pub blkio_weight_device: Vec<WeightDevice>,
        pub blkio_device_read_bps: Vec<ThrottleDevice>,
        pub blkio_device_write_bps: Vec<ThrottleDevice>,
        #[serde(rename = "BlkioDeviceReadIOps")]
        pub blkio_device_read_iops: Vec<ThrottleDevice>,
        #[serde(rename = "BlkioDeviceWriteIOps")]
        pub blkio_device_write_iops: Vec<ThrottleDevice>,
        /// Microseconds.
        pub cpu_period: i64,
        /// Microseconds.
        pub cpu_quota: i64,
        pub cpu_realtime_period: i64,
        pub cpu_realtime_runtime: i64,
        pub cpuset_cpus: String,
        pub cpuset_mems: String,
        pub devices: Vec<DeviceMapping>,
        pub device_cgroup_rules: Option<Vec<String>>,
        pub device_requests: Option<Vec<DeviceRequest>>,
        #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "is_default")]
        pub kernel_memory_tcp: i64,
        /// Bytes.
        pub memory_reservation: i64,
        /// Bytes of memory and swap together; -1 is unlimited.
        pub memory_swap: i64,
        pub memory_swappiness: Option<i64>,
        pub oom_kill_disable: Option<bool>,
        pub pids_limit: Option<i64>,
        pub ulimits: Vec<Ulimit>,
        pub cpu_count: i64,
        pub cpu_percent: i64,
        #[serde(rename = "IOMaximumIOps")]
        pub io_maximum_iops: u64,
        #[serde(rename = "IOMaximumBandwidth")]
        pub io_maximum_bandwidth: u64,
        #[serde(skip_serializing_if = "is_default")]
        pub mounts: Vec<MountSpec>,
        pub masked_paths: Option<Vec<String>>,
        pub readonly_paths: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub init: Option<bool>,
    }

    pub struct LogConfig {
        #[serde(rename = "Type")]
        pub kind: String,
        pub config: BTreeMap<String, String>,
    }

    pub struct PortBinding {
        pub host_ip: String,
        pub host_port: String,
    }

    pub struct RestartPolicy {
        pub name: String,
        pub maximum_retry_count: i64,
    }

    pub struct DeviceMapping {
        pub path_on_host: String,
        pub path_in_container: String,
        pub cgroup_permissions: String,
    }

    pub struct DeviceRequest {
        pub driver: String,
        pub count: i64,
        #[serde(rename = "DeviceIDs")]
        pub device_ids: Option<Vec<String>>,
        pub capabilities: Option<Vec<Vec<String>>>,
        pub options: Option<BTreeMap<String, String>>,
    }

    pub struct ThrottleDevice {
        pub path: String,
        pub rate: u64,
    }

    pub struct WeightDevice {
        pub path: String,
        pub weight: u16,
    }

    pub struct Ulimit {
        pub name: String,
        pub hard: i64,
        pub soft: i64,
    }

    pub struct MountSpec {
        /// `bind`, `volume`, `tmpfs`, `npipe`, `cluster` or `image`.
        #[serde(rename = "Type")]
        pub kind: String,
        #[serde(skip_serializing_if = "is_default")]
        pub source: String,
        #[serde(skip_serializing_if = "is_default")]
        pub target: String,
        #[serde(skip_serializing_if = "is_default")]
        pub read_only: bool,
        #[serde(skip_serializing_if = "is_default")]
        pub consistency: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub bind_options: Option<BindOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub volume_options: Option<VolumeOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub image_options: Option<ImageOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tmpfs_options: Option<TmpfsOptions>,
    }

    pub struct BindOptions {
        #[serde(skip_serializing_if = "is_default")]
        pub propagation: String,
        #[serde(skip_serializing_if = "is_default")]
        pub non_recursive: bool,
        #[serde(skip_serializing_if = "is_default")]
        pub create_mountpoint: bool,
        #[serde(skip_serializing_if = "is_default")]
        pub read_only_non_recursive: bool,
        #[serde(skip_serializing_if = "is_default")]
        pub read_only_force_recursive: bool,
    }

    pub struct VolumeOptions {
        #[serde(skip_serializing_if = "is_default")]
        pub no_copy: bool,
        #[serde(skip_serializing_if = "is_default")]
        pub labels: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "is_default")]
        pub subpath: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub driver_config: Option<DriverConfig>,
    }

    pub struct DriverConfig {
        #[serde(skip_serializing_if = "is_default")]
        pub name: String,
        #[serde(skip_serializing_if = "is_default")]
        pub options: BTreeMap<String, String>,
    }

    pub struct ImageOptions {
        #[serde(skip_serializing_if = "is_default")]
        pub subpath: String,
    }

    pub struct TmpfsOptions {
        #[serde(skip_serializing_if = "is_default")]
        pub size_bytes: i64,
        #[serde(skip_serializing_if = "is_default")]
        pub mode: u32,
        #[serde(skip_serializing_if = "is_default")]
        pub options: Vec<Vec<String>>,
    }
}

/// Where the client keeps nothing but the names of things; the list answer has only these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfigSummary {
    pub network_mode: String,
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
}
