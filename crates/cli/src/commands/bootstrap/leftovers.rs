//! What is there for the moment only, and what is left of those moments when nobody could tidy up: a `kill -9`, the loss of power.
//!
//! Everything carries the name of the process that made it: an image and a container as a label, a folder in its name. The next
//! `image bootstrap` removes what belongs to a process of this boot that is gone, and whatever is a day old.

use super::string;
use crate::client::{Client, escape, filters, query};
use crate::failure::Failure;
use crate::start;
use base::{Clock, Time};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The label of an image and a container: whose they are.
const LABEL: &str = "bocage.bootstrap.by";
/// How the names of all of it begin.
const PREFIX: &str = "bocage-bootstrap-";
/// When it goes, whoever made it.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);

/// A process, told from all others: of another boot, in another container, or later of the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    boot: String,
    /// The number of its namespace of processes.
    namespace: u64,
    pid: u32,
    /// Clock ticks from the boot to its start.
    started: u64,
}

impl Owner {
    /// This process; none where `/proc` does not tell.
    fn me() -> Option<Owner> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().replace('-', "");
        let namespace = fs::metadata("/proc/self/ns/pid").ok()?.ino();
        let pid = std::process::id();
        Some(Owner { boot, namespace, pid, started: started(pid)? })
    }

    fn word(&self) -> String {
        format!("{}-{}-{}-{}", self.boot, self.namespace, self.pid, self.started)
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(word: &str) -> Result<Owner, ()> {
        let parts: Vec<&str> = word.split('-').collect();
        let [boot, namespace, pid, started] = parts[..] else { return Err(()) };
        let number = |text: &str| text.parse::<u64>().map_err(|_| ());
        let pid = pid.parse().map_err(|_| ())?;
        Ok(Owner { boot: boot.to_owned(), namespace: number(namespace)?, pid, started: number(started)? })
    }
}

/// When a process started (proc_pid_stat(5), field 22); none where there is no such process.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name is the second field, and may have anything in it.
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(19)?.parse().ok()
}

/// Whether something that `owner` made is left over.
fn is_left(owner: &str, made: Time, now: Time, me: &Owner, started: impl Fn(u32) -> Option<u64>) -> bool {
    if made.is_set() && now.since(made) >= OLD {
        return true;
    }
    let Ok(owner) = owner.parse::<Owner>() else { return false };
    let is_seen_from_here = owner.boot == me.boot && owner.namespace == me.namespace;
    is_seen_from_here && started(owner.pid) != Some(owner.started)
}

/// An image, and a container of it, for the moment.
pub(super) struct Moment {
    pub(super) name: String,
    owner: Option<Owner>,
}

impl Moment {
    pub(super) fn new() -> Moment {
        Moment { name: format!("{PREFIX}{:016x}", base::random::number()), owner: Owner::me() }
    }

    fn by(&self) -> String {
        self.owner.as_ref().map(Owner::word).unwrap_or_default()
    }

    /// Labels of the container.
    pub(super) fn labels(&self) -> Value {
        json!({ LABEL: self.by() })
    }

    /// What is to be changed in the image when it is made.
    pub(super) fn change(&self) -> String {
        format!("LABEL {LABEL}={}", self.by())
    }

    /// A folder that nobody has.
    pub(super) fn folder(&self) -> PathBuf {
        start::temporary().join(format!("{PREFIX}{}-{:016x}", self.by(), base::random::number()))
    }

    /// Removes both, whether or not they are there.
    pub(super) async fn remove(&self, client: &Client) -> Result<(), Failure> {
        let container = remove(client, "containers", &self.name).await;
        let image = remove(client, "images", &self.name).await;
        container.and(image)
    }

    /// Removes what is left of others; how many containers, images and folders that were.
    pub(super) async fn tidy(&self, client: &Client) -> Result<usize, Failure> {
        let Some(me) = &self.owner else { return Ok(0) };
        let now = Clock::system().now();
        let mut gone = 0;
        for folder in folders(&start::temporary()) {
            if is_left(&folder.owner, folder.made, now, me, started) {
                gone += usize::from(fs::remove_dir_all(&folder.path).is_ok());
            }
        }
        let labelled = filters(&[format!("label={LABEL}")])?;
        let path = query(&[("all", Some("1".to_owned())), ("filters", labelled)]);
        // Containers first: an image of which there is one stays.
        for kind in ["containers", "images"] {
            let all = client.get(&format!("/{kind}/json{path}")).await?;
            for one in all.as_array().into_iter().flatten() {
                let made = Time::from_unix_seconds(one["Created"].as_i64().unwrap_or_default());
                if is_left(string(&one["Labels"], LABEL), made, now, me, started) {
                    remove(client, kind, string(one, "Id")).await?;
                    gone += 1;
                }
            }
        }
        Ok(gone)
    }
}

async fn remove(client: &Client, kind: &str, name: &str) -> Result<(), Failure> {
    let volumes = if kind == "containers" { "&v=1" } else { "" };
    match client.delete(&format!("/{kind}/{}?force=1{volumes}", escape(name))).await {
        Err(failure) if failure.status != Some(404) => Err(failure),
        _ => Ok(()),
    }
}

/// A folder of somebody's moment.
struct Folder {
    path: PathBuf,
    owner: String,
    made: Time,
}

fn folders(parent: &Path) -> Vec<Folder> {
    let me = rustix::process::geteuid().as_raw();
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let folder = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let (owner, _) = name.strip_prefix(PREFIX)?.rsplit_once('-')?;
        let metadata = entry.path().symlink_metadata().ok()?;
        // Others may put what they like there.
        let is_mine = metadata.is_dir() && metadata.uid() == me;
        let made = Time::from_unix_seconds(metadata.mtime());
        is_mine.then(|| Folder { path: entry.path(), owner: owner.to_owned(), made })
    };
    entries.filter_map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known_by_its_word() {
        let me = Owner::me().unwrap();
        assert_eq!(me.word().parse(), Ok(me.clone()));
        assert_eq!(started(me.pid), Some(me.started));
        assert_eq!(started(u32::MAX), None);
    }

    #[test]
    fn what_belongs_to_a_process_that_is_gone_is_left_over_and_what_is_old() {
        let me = Owner { boot: "a".to_owned(), namespace: 1, pid: 10, started: 100 };
        let now = Time::from_unix_seconds(1_000_000);
        let runs = |pid: u32| (pid == 20).then_some(200);
        let left =
            |owner: &str, age: i64| is_left(owner, Time::from_unix_seconds(1_000_000 - age), now, &me, runs);
        assert!(left("a-1-20-199", 5) && left("a-1-30-300", 5), "another has its number now, or nobody");
        assert!(!left("a-1-20-200", 5), "it runs");
        assert!(!left("b-1-30-300", 5) && !left("a-2-30-300", 5), "it cannot be seen from here");
        assert!(!left("", 5) && !left("a-1-30", 5) && !left("a-1-x-300", 5));
        assert!(left("b-1-30-300", 86_400) && left("", 86_400) && left("a-1-20-200", 86_400));
    }
}
