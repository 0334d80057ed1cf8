//! Files of a container.

use serde::{Deserialize, Serialize};

super::wire! {
    /// One path that differs from the image.
    pub struct FilesystemChange {
        pub path: String,
        /// 0 changed, 1 added, 2 removed.
        pub kind: u8,
    }
}

/// What is at a path of a container; sent in a header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerPathStat {
    pub name: String,
    pub size: u64,
    /// Go's `os.FileMode`.
    pub mode: u32,
    pub mtime: String,
    #[serde(rename = "linkTarget")]
    pub link_target: String,
}
