//! The Engine API's JSON as types: what a client sends and what it is answered, field by field.
//!
//! The same types serve both ends: the server writes answers and reads requests with them, the command line the other
//! way round. Names are those of the API's description, spelled as dockerd 28 spells them. What Go writes as `null` (a
//! slice or map that was never made) is an `Option` here that is always written; what Go leaves out when it is empty
//! has a `skip_serializing_if`; everything else is always there.
//!
//! Reading goes through [`read`] or [`read_value`], which take a `null` for a missing field, as Go does.

#![expect(missing_docs, reason = "the fields are the API's own, described in its description")]

pub mod config;
pub mod container;
pub mod exec;
pub mod files;
pub mod host_config;
pub mod image;
pub mod network;
pub mod registry;
pub mod stats;
pub mod stream;
pub mod system;
pub mod volume;

pub use config::{Config, HealthConfig, NetworkingConfig, OneOrMany};
pub use container::{
    ContainerInspect, ContainerState, ContainerSummary, CreateAnswer, CreateRequest, MountPoint, PortSummary,
    PruneAnswer, TopAnswer, UpdateAnswer, UpdateRequest, WaitAnswer, WaitError,
};
pub use exec::{ExecCreateRequest, ExecInspect, ExecStartRequest, IdAnswer};
pub use files::{ContainerPathStat, FilesystemChange};
pub use host_config::{
    BindOptions, DeviceMapping, DeviceRequest, DriverConfig, HostConfig, ImageOptions, LogConfig, MountSpec,
    PortBinding, RestartPolicy, ThrottleDevice, TmpfsOptions, Ulimit, VolumeOptions, WeightDevice,
};
pub use image::{DeleteItem, HistoryItem, ImageInspect, ImageSummary};
pub use network::{EndpointSettings, NetworkInspect, NetworkSettings};
pub use registry::{AuthConfig, AuthResponse};
pub use stats::StatsAnswer;
pub use stream::{Aux, ErrorDetail, EventMessage, JsonMessage, Progress};
pub use system::{ErrorMessage, Info, Version, VersionComponent};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// An object without fields, as Go writes the values of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Empty {}

/// Reads JSON, taking `null` for a field that is not there.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    read_value(serde_json::from_slice(bytes)?)
}

/// As [`read`], of JSON that was parsed already.
pub fn read_value<T: DeserializeOwned>(mut value: Value) -> Result<T, serde_json::Error> {
    without_nulls(&mut value);
    serde_json::from_value(value)
}

/// Objects whose keys are the user's own: Go takes a `null` in them for an entry with nothing to say.
const SETS: [&str; 3] = ["EndpointsConfig", "ExposedPorts", "Volumes"];

/// Takes away the fields that are `null`. The depth is bounded by the parser's own limit of 128.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in SETS {
                let entries = fields.get_mut(name).and_then(Value::as_object_mut);
                let nulls = entries.into_iter().flat_map(Map::values_mut).filter(|field| field.is_null());
                nulls.for_each(|field| *field = Value::Object(Map::new()));
            }
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// For `skip_serializing_if`: what Go's `omitempty` leaves out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A struct of the wire: readable, writable, comparable, its fields in Go's spelling and all optional to read.
macro_rules! wire {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct $name { $($body)* }
    )+};
}
pub(crate) use wire;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_is_read_as_a_field_that_is_not_there() {
        let request: CreateRequest =
            read(br#"{"Image":"x","Cmd":null,"HostConfig":{"Memory":null,"Binds":null}}"#).unwrap();
        assert_eq!(request.config.image, "x");
        assert_eq!(request.config.cmd, None);
        assert_eq!(request.host_config.memory, 0);
    }

    #[test]
    fn a_null_among_names_is_a_name_with_nothing_to_say() {
        let request: CreateRequest = read(
            br#"{"ExposedPorts":{"80/tcp":null},"NetworkingConfig":{"EndpointsConfig":{"a":null,"b":{"Links":null}}}}"#,
        )
        .unwrap();
        assert!(request.config.exposed_ports.contains_key("80/tcp"));
        assert_eq!(request.networking_config.endpoints_config.len(), 2);
    }

    #[test]
    fn a_command_may_be_one_string_or_a_list() {
        let config: Config = read(br#"{"Cmd":"ls","Entrypoint":["a","b"]}"#).unwrap();
        assert_eq!(config.cmd.unwrap().0, ["ls"]);
        assert_eq!(config.entrypoint.unwrap().0, ["a", "b"]);
    }

    #[test]
    fn what_was_never_given_is_null_or_left_out_as_go_does() {
        let config = serde_json::to_value(Config::default()).unwrap();
        assert_eq!(config["Cmd"], Value::Null);
        assert!(config.get("ExposedPorts").is_none());
        let host = serde_json::to_value(HostConfig::default()).unwrap();
        assert_eq!(host["Binds"], Value::Null);
        assert!(host.get("Tmpfs").is_none());
    }
}
