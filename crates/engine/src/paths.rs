//! Where a node keeps what.
//!
//! The data root outlives the machine's uptime; the exec root holds what is true only while the machine is up, and is
//! expected on a file system that is empty after a boot.

use model::ContainerId;
use std::path::{Path, PathBuf};

/// The two roots of a daemon.
#[derive(Clone, Debug)]
pub struct Roots {
    /// Images, containers, volumes and the table of them.
    pub data: PathBuf,
    /// Sockets, process ids, status files.
    pub exec: PathBuf,
}

impl Roots {
    /// The table.
    pub(crate) fn table(&self) -> PathBuf {
        self.data.join("state.redb")
    }

    /// Images.
    pub(crate) fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    /// All containers' own files.
    pub(crate) fn containers(&self) -> PathBuf {
        self.data.join("containers")
    }

    /// The directory with an empty place for everything that every container is mounted upon.
    pub(crate) fn skeleton(&self) -> PathBuf {
        self.data.join("skeleton")
    }

    /// All volumes.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// All shims' directories.
    pub(crate) fn shims(&self) -> PathBuf {
        self.exec.join("containers")
    }

    /// The edge process's directory.
    pub(crate) fn edge(&self) -> PathBuf {
        self.exec.join("edge")
    }

    /// A container's own files.
    pub(crate) fn container(&self, id: ContainerId) -> ContainerFiles {
        ContainerFiles { root: self.containers().join(id.to_string()) }
    }

    /// The directory of a container's shim.
    pub(crate) fn shim(&self, id: ContainerId) -> PathBuf {
        self.shims().join(id.to_string())
    }
}

/// The files of one container.
#[derive(Clone, Debug)]
pub(crate) struct ContainerFiles {
    root: PathBuf,
}

impl ContainerFiles {
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Its writable layer.
    pub(crate) fn upper(&self) -> PathBuf {
        self.root.join("upper")
    }

    /// The kernel's scratch directory beside it.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// A file that is shown in its `/etc`.
    pub(crate) fn etc(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}
