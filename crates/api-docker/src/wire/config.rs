//! A container's configuration: the part that does not depend on the host.

use super::network::EndpointSettings;
use super::{Empty, is_default, wire};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// A list that clients may also send as one string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string or a list of strings")]
        enum Either {
            One(String),
            Many(Vec<String>),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::One(one) => OneOrMany(vec![one]),
            Either::Many(many) => OneOrMany(many),
        })
    }
}

/// A set of names as Go writes it: an object whose values are empty objects.
pub type Set = BTreeMap<String, Empty>;

wire! {
    pub struct Config {
        pub hostname: String,
        pub domainname: String,
        pub user: String,
        pub attach_stdin: bool,
        pub attach_stdout: bool,
        pub attach_stderr: bool,
        #[serde(skip_serializing_if = "is_default")]
        pub exposed_ports: Set,
        pub tty: bool,
        pub open_stdin: bool,
        pub stdin_once: bool,
        pub env: Option<Vec<String>>,
        pub cmd: Option<OneOrMany>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub healthcheck: Option<HealthConfig>,
        #[serde(skip_serializing_if = "is_default")]
        pub args_escaped: bool,
        pub image: String,
        pub volumes: Option<Set>,
        pub working_dir: String,
        pub entrypoint: Option<OneOrMany>,
        #[serde(skip_serializing_if = "is_default")]
        pub network_disabled: bool,
        #[serde(skip_serializing_if = "is_default")]
        pub mac_address: String,
        pub on_build: Option<Vec<String>>,
        pub labels: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "is_default")]
        pub stop_signal: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stop_timeout: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shell: Option<OneOrMany>,
    }

    /// Durations are in nanoseconds.
    pub struct HealthConfig {
        #[serde(skip_serializing_if = "is_default")]
        pub test: Vec<String>,
        #[serde(skip_serializing_if = "is_default")]
        pub interval: i64,
        #[serde(skip_serializing_if = "is_default")]
        pub timeout: i64,
        #[serde(skip_serializing_if = "is_default")]
        pub start_period: i64,
        #[serde(skip_serializing_if = "is_default")]
        pub start_interval: i64,
        #[serde(skip_serializing_if = "is_default")]
        pub retries: i64,
    }

    pub struct NetworkingConfig {
        pub endpoints_config: BTreeMap<String, EndpointSettings>,
    }
}
