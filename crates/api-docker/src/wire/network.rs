//! Networks, and a container's place on them.

use super::host_config::PortBinding;
use super::{is_default, wire};
use std::collections::BTreeMap;

wire! {
    pub struct NetworkSettings {
        pub bridge: String,
        #[serde(rename = "SandboxID")]
        pub sandbox_id: String,
        pub sandbox_key: String,
        pub ports: BTreeMap<String, Option<Vec<PortBinding>>>,
        pub hairpin_mode: bool,
        #[serde(rename = "LinkLocalIPv6Address")]
        pub link_local_ipv6_address: String,
        #[serde(rename = "LinkLocalIPv6PrefixLen")]
        pub link_local_ipv6_prefix_len: i64,
        #[serde(rename = "SecondaryIPAddresses")]
        pub secondary_ip_addresses: Option<Vec<String>>,
        #[serde(rename = "SecondaryIPv6Addresses")]
        pub secondary_ipv6_addresses: Option<Vec<String>>,
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        pub gateway: String,
        #[serde(rename = "GlobalIPv6Address")]
        pub global_ipv6_address: String,
        #[serde(rename = "GlobalIPv6PrefixLen")]
        pub global_ipv6_prefix_len: i64,
        #[serde(rename = "IPAddress")]
        pub ip_address: String,
        #[serde(rename = "IPPrefixLen")]
        pub ip_prefix_len: i64,
        #[serde(rename = "IPv6Gateway")]
        pub ipv6_gateway: String,
        pub mac_address: String,
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    pub struct EndpointSettings {
        #[serde(rename = "IPAMConfig")]
        pub ipam_config: Option<EndpointIpam>,
        pub links: Option<Vec<String>>,
        pub aliases: Option<Vec<String>>,
        pub mac_address: String,
        pub driver_opts: Option<BTreeMap<String, String>>,
        pub gw_priority: i64,
        #[serde(rename = "NetworkID")]
        pub network_id: String,
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        pub gateway: String,
        #[serde(rename = "IPAddress")]
        pub ip_address: String,
        #[serde(rename = "IPPrefixLen")]
        pub ip_prefix_len: i64,
        #[serde(rename = "IPv6Gateway")]
        pub ipv6_gateway: String,
        #[serde(rename = "GlobalIPv6Address")]
        pub global_ipv6_address: String,
        #[serde(rename = "GlobalIPv6PrefixLen")]
        pub global_ipv6_prefix_len: i64,
        #[serde(rename = "DNSNames")]
        pub dns_names: Option<Vec<String>>,
    }

    pub struct EndpointIpam {
        #[serde(rename = "IPv4Address", skip_serializing_if = "is_default")]
        pub ipv4_address: String,
        #[serde(rename = "IPv6Address", skip_serializing_if = "is_default")]
        pub ipv6_address: String,
        #[serde(rename = "LinkLocalIPs", skip_serializing_if = "is_default")]
        pub link_local_ips: Vec<String>,
    }

    pub struct NetworkInspect {
        pub name: String,
        pub id: String,
        pub created: String,
        pub scope: String,
        pub driver: String,
        #[serde(rename = "EnableIPv4")]
        pub enable_ipv4: bool,
        #[serde(rename = "EnableIPv6")]
        pub enable_ipv6: bool,
        #[serde(rename = "IPAM")]
        pub ipam: Ipam,
        pub internal: bool,
        pub attachable: bool,
        pub ingress: bool,
        pub config_from: ConfigReference,
        pub config_only: bool,
        pub containers: BTreeMap<String, EndpointResource>,
        pub options: BTreeMap<String, String>,
        pub labels: BTreeMap<String, String>,
    }

    pub struct Ipam {
        pub driver: String,
        pub options: Option<BTreeMap<String, String>>,
        pub config: Option<Vec<IpamConfig>>,
    }

    pub struct IpamConfig {
        #[serde(skip_serializing_if = "is_default")]
        pub subnet: String,
        #[serde(rename = "IPRange", skip_serializing_if = "is_default")]
        pub ip_range: String,
        #[serde(skip_serializing_if = "is_default")]
        pub gateway: String,
        /// Some clients spell it as Go's own field is called.
        #[serde(alias = "AuxAddress", skip_serializing_if = "is_default")]
        pub auxiliary_addresses: BTreeMap<String, String>,
    }

    pub struct NetworkCreateRequest {
        pub name: String,
        pub driver: String,
        #[serde(rename = "EnableIPv4")]
        pub enable_ipv4: Option<bool>,
        #[serde(rename = "EnableIPv6")]
        pub enable_ipv6: Option<bool>,
        #[serde(rename = "IPAM")]
        pub ipam: Ipam,
        pub internal: bool,
        pub attachable: bool,
        pub options: BTreeMap<String, String>,
        pub labels: BTreeMap<String, String>,
    }

    pub struct NetworkCreateAnswer {
        pub id: String,
        pub warning: String,
    }

    pub struct NetworkConnectRequest {
        pub container: String,
        pub endpoint_config: EndpointSettings,
    }

    pub struct NetworkDisconnectRequest {
        pub container: String,
        pub force: bool,
    }

    pub struct ConfigReference {
        pub network: String,
    }

    pub struct EndpointResource {
        pub name: String,
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        pub mac_address: String,
        #[serde(rename = "IPv4Address")]
        pub ipv4_address: String,
        #[serde(rename = "IPv6Address")]
        pub ipv6_address: String,
    }

    pub struct NetworksPruned {
        pub networks_deleted: Option<Vec<String>>,
    }
}
