//! Messages of answers that go on: progress of long work, and events.

use super::is_default;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! message {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name { $($body)* }
    )+};
}

message! {
    /// One message of load, import and the like.
    pub struct JsonMessage {
        #[serde(skip_serializing_if = "is_default")]
        pub stream: String,
        #[serde(skip_serializing_if = "is_default")]
        pub status: String,
        #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
        pub progress_detail: Option<Progress>,
        #[serde(skip_serializing_if = "is_default")]
        pub progress: String,
        #[serde(skip_serializing_if = "is_default")]
        pub id: String,
        #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
        pub error_detail: Option<ErrorDetail>,
        #[serde(skip_serializing_if = "is_default")]
        pub error: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub aux: Option<Aux>,
    }

    /// What a push did, for programs.
    pub struct Aux {
        #[serde(rename = "Tag")]
        pub tag: String,
        #[serde(rename = "Digest")]
        pub digest: String,
        #[serde(rename = "Size")]
        pub size: u64,
    }

    /// Bytes.
    pub struct Progress {
        #[serde(skip_serializing_if = "is_default")]
        pub current: u64,
        #[serde(skip_serializing_if = "is_default")]
        pub total: u64,
    }

    pub struct ErrorDetail {
        #[serde(skip_serializing_if = "is_default")]
        pub code: i64,
        pub message: String,
    }

    pub struct EventMessage {
        #[serde(skip_serializing_if = "is_default")]
        pub status: String,
        #[serde(skip_serializing_if = "is_default")]
        pub id: String,
        #[serde(skip_serializing_if = "is_default")]
        pub from: String,
        #[serde(rename = "Type")]
        pub kind: String,
        #[serde(rename = "Action")]
        pub action: String,
        #[serde(rename = "Actor")]
        pub actor: EventActor,
        pub scope: String,
        /// Seconds since 1970.
        pub time: i64,
        /// Nanoseconds since 1970.
        #[serde(rename = "timeNano")]
        pub time_nano: i64,
    }

    pub struct EventActor {
        #[serde(rename = "ID")]
        pub id: String,
        #[serde(rename = "Attributes")]
        pub attributes: BTreeMap<String, String>,
    }
}
