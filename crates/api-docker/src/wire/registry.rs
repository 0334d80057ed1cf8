//! Registries: logins, and what they have.

use super::{is_default, wire};
use serde::{Deserialize, Serialize};

/// Who somebody is for a registry.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    #[serde(skip_serializing_if = "is_default")]
    pub username: String,
    #[serde(skip_serializing_if = "is_default")]
    pub password: String,
    /// User and password in one, in base64.
    #[serde(skip_serializing_if = "is_default")]
    pub auth: String,
    #[serde(skip_serializing_if = "is_default")]
    pub email: String,
    #[serde(skip_serializing_if = "is_default")]
    pub serveraddress: String,
    #[serde(skip_serializing_if = "is_default")]
    pub identitytoken: String,
    #[serde(skip_serializing_if = "is_default")]
    pub registrytoken: String,
}

impl std::fmt::Debug for AuthConfig {
    /// Whose it is; never the secret itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("AuthConfig");
        shown.field("username", &self.username).field("serveraddress", &self.serveraddress);
        shown.finish_non_exhaustive()
    }
}

/// What a registry said to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthResponse {
    pub status: String,
    pub identity_token: String,
}

wire! {
    pub struct DistributionInspect {
        pub descriptor: RemoteDescriptor,
        pub platforms: Vec<RemotePlatform>,
    }

    /// An index that is to be published; not of Docker's API.
    pub struct PublishBody {
        pub manifests: Vec<PublishPart>,
    }

    pub struct PublishPart {
        /// The image by name and digest.
        pub name: String,
        pub platform: RemotePlatform,
    }

    pub struct PublishAnswer {
        pub digest: String,
    }

    /// What a registry has under a name, in full; not of Docker's API.
    pub struct DistributionManifest {
        pub name: String,
        pub descriptor: RemoteDescriptor,
        pub platforms: Vec<RemotePlatform>,
        /// The manifests of an index.
        pub manifests: Vec<RemoteDescriptor>,
        /// It, byte for byte.
        pub text: String,
    }
}

/// A descriptor as the OCI image specification writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RemoteDescriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<RemotePlatform>,
}

/// A platform as the OCI image specification writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RemotePlatform {
    pub architecture: String,
    pub os: String,
    #[serde(skip_serializing_if = "is_default")]
    pub variant: String,
}

/// A repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchItem {
    pub star_count: u64,
    pub is_official: bool,
    pub name: String,
    pub is_automated: bool,
    pub description: String,
}
