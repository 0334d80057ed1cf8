//! What is kept of a container, and what is seen of it.
//!
//! A container has a directory of its own beneath the runtime's root. `state.json` is written once, when the container is created; its status
//! is looked up in the process, the gate at which it waits, and the freezer, so that it cannot be stale.

use super::config::Config;
use super::{Error, convert};
use crate::cgroup::{Group, Layout};
use crate::setup::{ContainerProcess, Hook};
use crate::shim::wire::START;
use base::Time;
use base::file::{Durability, write_atomically};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The state's file in a container's directory.
const STATE: &str = "state.json";
/// A link in a container's directory whose text is the path of its control group: for who deletes one whose creation did not
/// live to write the state.
const GROUP: &str = "group";
/// The longest id, in bytes: a name of a file.
const ID_BYTES_MAX: usize = 255;

/// What is kept of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Its first process.
    pub process: ContainerProcess,
    /// Where its bundle was.
    pub bundle: PathBuf,
    /// When it was created.
    pub created: Time,
    /// The user who created it.
    pub owner: u32,
    /// Its control group, beneath each hierarchy's root.
    pub cgroup: PathBuf,
    /// The bundle's configuration as it was then: later changes of the file change nothing.
    pub config: Config,
}

/// What a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Set up; waits to be started.
    Created,
    /// Its program runs.
    Running,
    /// Its program stands still.
    Paused,
    /// Its process has ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// Where containers are kept.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The containers beneath this directory, which need not be there yet.
    pub fn new(root: impl Into<PathBuf>) -> Store {
        Store { root: root.into() }
    }

    /// A container's directory.
    ///
    /// # Errors
    /// [`Error::Id`] for what is no id.
    pub fn directory(&self, id: &str) -> Result<PathBuf, Error> {
        let is_known = |letter: char| letter.is_ascii_alphanumeric() || "_+-.".contains(letter);
        let is_id = !id.is_empty() && id.len() <= ID_BYTES_MAX && id.chars().all(is_known);
        if !is_id || id == "." || id == ".." {
            return Err(Error::Id { id: id.to_owned() });
        }
        Ok(self.root.join(id))
    }

    /// Makes the directory of a new container.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is such a container.
    pub(super) fn reserve(&self, id: &str) -> Result<Reserved, Error> {
        let directory = self.directory(id)?;
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o711);
        let made = match builder.create(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut parents = std::fs::DirBuilder::new();
                parents.mode(0o700).recursive(true);
                parents.create(&self.root).map_err(Error::file("make the directory", &self.root))?;
                builder.create(&directory)
            }
            other => other,
        };
        match made {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::Exists { id: id.to_owned() })
            }
            other => {
                other.map_err(Error::file("make the directory", &directory))?;
                Ok(Reserved { directory, kept: false })
            }
        }
    }

    /// A container that is there.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none.
    pub fn load(&self, id: &str) -> Result<Record, Error> {
        let path = self.directory(id)?.join(STATE);
        let read = base::file::read_if_there(&path).map_err(Error::file("read", &path))?;
        let bytes = read.ok_or_else(|| Error::NotFound { id: id.to_owned() })?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Config { path, source })
    }

    /// All containers, by id. One that is just being made or deleted is not among them.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Record>, Error> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(Error::file("list", &self.root))?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::file("list", &self.root))?;
            let name = entry.file_name();
            match name.to_str().map(|id| self.load(id)) {
                Some(Ok(record)) => all.push(record),
                Some(Err(Error::NotFound { .. } | Error::Id { .. })) | None => {}
                Some(Err(error)) => return Err(error),
            }
        }
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    /// Keeps what is known of a new container.
    pub(super) fn save(&self, record: &Record) -> Result<(), Error> {
        let path = self.directory(&record.id)?.join(STATE);
        let bytes =
            serde_json::to_vec(record).map_err(|source| Error::Config { path: path.clone(), source })?;
        write_atomically(&path, &bytes, Durability::Process).map_err(Error::file("write", &path))
    }

    /// Forgets a container.
    pub(super) fn forget(&self, id: &str) -> Result<(), Error> {
        let directory = self.directory(id)?;
        base::file::remove_all(&directory).map_err(Error::file("remove", &directory))
    }

    /// The control group of a container whose creation was noted, if there is one.
    pub(super) fn noted_group(&self, id: &str, layout: &Layout) -> Result<Option<Group>, Error> {
        let path = std::fs::read_link(self.directory(id)?.join(GROUP)).ok();
        Ok(path.map(|path| Group::new(layout.clone(), &path)))
    }

    /// What a container is now.
    ///
    /// # Errors
    /// Where its freezer cannot be read.
    pub fn status(&self, record: &Record, layout: &Layout) -> Result<Status, Error> {
        if !is_alive(&record.process) {
            return Ok(Status::Stopped);
        }
        if self.directory(&record.id)?.join(START).exists() {
            return Ok(Status::Created);
        }
        let frozen = group(record, layout).is_frozen();
        let frozen = frozen.map_err(|source| Error::Cgroup { id: record.id.clone(), source })?;
        Ok(if frozen { Status::Paused } else { Status::Running })
    }
}

/// A container's control group.
pub(super) fn group(record: &Record, layout: &Layout) -> Group {
    Group::new(layout.clone(), &record.cgroup)
}

/// The directory of a container that is being made: removed again unless it is kept.
#[derive(Debug)]
pub(super) struct Reserved {
    /// The directory.
    pub(super) directory: PathBuf,
    /// It stays.
    pub(super) kept: bool,
}

impl Reserved {
    /// Notes the control group, before anything is made in it.
    pub(super) fn note(&self, group: &Path) -> Result<(), Error> {
        let link = self.directory.join(GROUP);
        std::os::unix::fs::symlink(group, &link).map_err(Error::file("write", link))
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.kept {
            // What led here is the error to tell.
            let _ = base::file::remove_all(&self.directory);
        }
    }
}

/// Whether a process is there, is that one, and has not ended.
pub(super) fn is_alive(process: &ContainerProcess) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)) else { return false };
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let mut words = after_name.split_whitespace();
    let has_ended = words.next().is_none_or(|state| matches!(state, "Z" | "X"));
    !has_ended && words.nth(18).and_then(|word| word.parse().ok()) == Some(process.start_ticks)
}

impl Record {
    /// The state as the specification has it, and runc prints it.
    pub fn state(&self, status: Status) -> Value {
        let pid = if status == Status::Stopped { 0 } else { self.process.pid };
        let root = self.config.root.as_ref().map(|root| self.bundle.join(&root.path)).unwrap_or_default();
        let mut state = json!({
            "ociVersion": super::features::VERSION,
            "id": self.id,
            "pid": pid,
            "status": status.to_string(),
            "bundle": self.bundle,
            "rootfs": root,
            "created": self.created.to_string(),
            "owner": if self.owner == 0 { "root".to_owned() } else { self.owner.to_string() },
        });
        if !self.config.annotations.is_empty() {
            state["annotations"] = json!(self.config.annotations);
        }
        state
    }

    /// Hooks of one kind that a verb runs itself, and what they are told.
    pub(super) fn hooks(
        &self,
        kind: &str,
        list: &Vec<super::config::Hook>,
    ) -> Result<(Vec<Hook>, String), Error> {
        let given =
            convert::Given { id: self.id.clone(), bundle: self.bundle.clone(), ..convert::Given::default() };
        Ok((convert::outer_hooks(kind, list)?, convert::state(&self.config, &given).to_string()))
    }
}

/// The bundle's absolute path, without links, and its configuration.
///
/// # Errors
/// Where there is none, or it cannot be understood.
pub fn read_bundle(bundle: &Path) -> Result<(PathBuf, Config), Error> {
    let real = std::fs::canonicalize(bundle).map_err(Error::file("find the bundle", bundle))?;
    let path = real.join("config.json");
    let text = std::fs::read(&path).map_err(Error::file("read", &path))?;
    let config = Config::parse(&text).map_err(|source| Error::Config { path, source })?;
    if !config.oci_version.starts_with("1.") {
        let why = format!("{:?} is no version 1 of the specification", config.oci_version);
        return Err(Error::invalid("ociVersion", why));
    }
    Ok((real, config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_of_files_and_nothing_else() {
        let store = Store::new("/run/x");
        for id in ["a", "web-1.2_3+4", "0123"] {
            assert_eq!(store.directory(id).unwrap(), Path::new("/run/x").join(id));
        }
        for id in ["", ".", "..", "a/b", "a b", "ä", "\0"] {
            assert!(matches!(store.directory(id), Err(Error::Id { .. })), "{id:?}");
        }
    }

    #[test]
    fn a_directory_that_is_not_kept_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("deep/er"));
        drop(store.reserve("one").unwrap());
        assert!(matches!(store.load("one"), Err(Error::NotFound { .. })));
        store.reserve("one").unwrap().kept = true;
        assert!(matches!(store.reserve("one"), Err(Error::Exists { .. })));
        assert!(store.list().unwrap().is_empty(), "it has no state yet");
    }

    #[test]
    fn this_process_is_alive_and_another_with_its_number_is_not() {
        let pid = std::process::id();
        let start_ticks = crate::shim::start_ticks(pid).unwrap();
        assert!(is_alive(&ContainerProcess { pid, start_ticks }));
        assert!(!is_alive(&ContainerProcess { pid, start_ticks: start_ticks + 1 }));
    }
}
