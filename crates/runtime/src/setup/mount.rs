//! Mounts as they are asked for, and the words of mount(8) that ask.
//!
//! A word is an attribute of one mount (`ro`, `nosuid`, `rro` for all beneath it), a way in which mounts pass
//! (`rslave`), or an option of the file system itself (`size=64m`), which only its kind understands. [`Options::parse`] tells them apart.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use sys::mount::{Attributes, Change, Passing};

/// One mount inside the root. The target is resolved inside the root and made where it is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The absolute path inside the container.
    pub target: PathBuf,
    /// What is mounted.
    pub kind: MountKind,
    /// How.
    pub options: Options,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// A file or directory of the host.
    Bind {
        /// The path on the host.
        source: PathBuf,
        /// Whether mounts beneath it come along.
        recursive: bool,
    },
    /// A file or directory in a directory of the host that others may change meanwhile: found beneath it, wherever links in it lead.
    Beneath {
        /// The directory on the host.
        source: PathBuf,
        /// The path in it.
        path: PathBuf,
    },
    /// What layers show together, to be read only.
    Layers {
        /// The top one first.
        lower: Vec<PathBuf>,
        /// The part of it that is shown; empty for all.
        path: PathBuf,
    },
    /// A new file system of this kind: `tmpfs`, `proc`, `sysfs` …
    New {
        /// Its kind as in `/proc/filesystems`.
        kind: String,
        /// Its source, for those that have one; a name for the others.
        source: String,
    },
    /// `/dev` with its default nodes, links and `pts`; `shm` and `mqueue` are mounts of their own.
    Dev,
    /// The container's view of the control groups.
    Cgroup,
}

impl MountKind {
    /// A new file system that has no source.
    pub fn new(kind: &str) -> MountKind {
        MountKind::New { kind: kind.to_owned(), source: kind.to_owned() }
    }

    /// Whether it shows what is on the host already, and is opened there before the container exists.
    pub fn is_of_host(&self) -> bool {
        matches!(self, MountKind::Bind { .. } | MountKind::Beneath { .. } | MountKind::Layers { .. })
    }
}

/// The options of a mount, sorted by who understands them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// For the mount itself.
    pub mount: Change,
    /// For the mount and all beneath it.
    pub tree: Change,
    /// Ways of passing, in their order, once it is in its place.
    pub passing: Vec<Change>,
    /// For the file system: a name, and a value unless it is a flag.
    pub data: Vec<(String, Option<String>)>,
    /// Owners are shown through a mapping.
    pub map_ids: Option<MapIds>,
    /// A new file system is filled with what the image has in its place.
    pub copy_up: bool,
}

/// Owners shown through a mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapIds {
    /// The mapping of users; the container's own user namespace where both are empty.
    pub users: Vec<IdRange>,
    /// The mapping of groups.
    pub groups: Vec<IdRange>,
    /// Mounts beneath it too.
    pub recursive: bool,
    /// A file system that knows nothing of mappings is shown as it is.
    pub is_optional: bool,
}

/// Numbers of users or groups inside a user namespace and what they are outside, user_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first inside.
    pub inside: u32,
    /// The first outside.
    pub outside: u32,
    /// How many.
    pub length: u32,
}

/// What an attribute's word does.
enum Act {
    Set(Attributes),
    Clear(Attributes),
    /// One of the ways in which times of access are kept: the others are cleared.
    AccessTime(Attributes),
}

/// Words for a mount's attributes. Each has a form with an `r` before it, for the whole tree.
const ATTRIBUTES: [(&str, Act); 18] = [
    ("ro", Act::Set(Attributes::READ_ONLY)),
    ("rw", Act::Clear(Attributes::READ_ONLY)),
    ("nosuid", Act::Set(Attributes::NO_SET_USER_ID)),
    ("suid", Act::Clear(Attributes::NO_SET_USER_ID)),
    ("nodev", Act::Set(Attributes::NO_DEVICES)),
    ("dev", Act::Clear(Attributes::NO_DEVICES)),
    ("noexec", Act::Set(Attributes::NO_EXECUTE)),
    ("exec", Act::Clear(Attributes::NO_EXECUTE)),
    ("nodiratime", Act::Set(Attributes::NO_DIRECTORY_ACCESS_TIME)),
    ("diratime", Act::Clear(Attributes::NO_DIRECTORY_ACCESS_TIME)),
    ("nosymfollow", Act::Set(Attributes::NO_SYMBOLIC_LINKS)),
    ("symfollow", Act::Clear(Attributes::NO_SYMBOLIC_LINKS)),
    ("relatime", Act::AccessTime(Attributes::NONE)),
    // What the kernel does where nobody says otherwise is `relatime` all the same.
    ("norelatime", Act::Clear(Attributes::NONE)),
    ("noatime", Act::AccessTime(Attributes::NO_ACCESS_TIME)),
    ("atime", Act::AccessTime(Attributes::NONE)),
    ("strictatime", Act::AccessTime(Attributes::STRICT_ACCESS_TIME)),
    ("nostrictatime", Act::AccessTime(Attributes::NONE)),
];

/// Words for the way in which mounts pass.
const PASSING: [(&str, Passing); 4] = [
    ("private", Passing::Private),
    ("slave", Passing::Slave),
    ("shared", Passing::Shared),
    ("unbindable", Passing::Unbindable),
];

/// Words that change nothing here: defaults, and what mount(8) does for itself.
const NOTHING: [&str; 7] = ["defaults", "bind", "rbind", "loud", "silent", "remount", ""];

/// Every word that is understood here, sorted.
pub(crate) fn mount_words() -> Vec<String> {
    let plain = ATTRIBUTES.iter().map(|(word, _)| *word).chain(PASSING.iter().map(|(word, _)| *word));
    let deep = plain.clone().map(|word| format!("r{word}"));
    let others = ["bind", "rbind", "defaults", "remount", "tmpcopyup", "idmap", "ridmap"];
    let mut all: Vec<String> = plain.chain(others).map(str::to_owned).chain(deep).collect();
    all.sort();
    all
}

impl Options {
    /// Sorts words as mount(8) and the OCI runtime specification have them. What no word of theirs is goes to the file
    /// system.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Options {
        let mut options = Options::default();
        for word in words {
            options.add(word);
        }
        options
    }

    /// Read-only, with all beneath it.
    pub fn read_only() -> Options {
        Options::parse(["ro", "rro"])
    }

    fn add(&mut self, word: &str) {
        if NOTHING.contains(&word) {
            return;
        }
        if let Some((_, act)) = ATTRIBUTES.iter().find(|(known, _)| *known == word) {
            return act.on(&mut self.mount);
        }
        if let Some((_, passing)) = PASSING.iter().find(|(known, _)| *known == word) {
            return self.passing.push(Change::pass(*passing));
        }
        if let Some(short) = word.strip_prefix('r') {
            if let Some((_, act)) = ATTRIBUTES.iter().find(|(known, _)| *known == short) {
                self.tree.recursive = true;
                return act.on(&mut self.tree);
            }
            if let Some((_, passing)) = PASSING.iter().find(|(known, _)| *known == short) {
                return self.passing.push(Change::pass(*passing).recursively());
            }
        }
        match word {
            "tmpcopyup" => self.copy_up = true,
            "idmap" | "ridmap" => {
                let recursive = word == "ridmap";
                self.map_ids = Some(MapIds { recursive, ..MapIds::default() });
            }
            other => self.data.push(match other.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (other.to_owned(), None),
            }),
        }
    }
}

impl Act {
    fn on(&self, change: &mut Change) {
        let (set, clear) = match self {
            Act::Set(one) => (*one, Attributes::NONE),
            Act::Clear(one) => (Attributes::NONE, *one),
            Act::AccessTime(way) => (*way, Attributes::ACCESS_TIME),
        };
        // The last word on a matter counts.
        change.set = change.set.without(clear).and(set);
        change.clear = change.clear.without(set).and(clear);
        if let Act::AccessTime(_) = self {
            change.clear = change.clear.and(Attributes::ACCESS_TIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_by_who_understands_them() {
        let options = Options::parse(["nosuid", "ro", "size=64m", "rslave", "noswap", "defaults"]);
        assert_eq!(options.mount.set, Attributes::NO_SET_USER_ID.and(Attributes::READ_ONLY));
        assert_eq!(options.passing, [Change::pass(Passing::Slave).recursively()]);
        assert_eq!(options.data, [("size".to_owned(), Some("64m".to_owned())), ("noswap".to_owned(), None)]);
    }

    #[test]
    fn a_word_with_an_r_is_for_the_whole_tree() {
        let options = Options::parse(["rro", "rnoatime", "relatime"]);
        assert!(options.tree.recursive);
        assert_eq!(options.tree.set, Attributes::READ_ONLY.and(Attributes::NO_ACCESS_TIME));
        assert_eq!(options.tree.clear, Attributes::ACCESS_TIME);
        // Not "r" and "elatime".
        assert_eq!((options.mount.set, options.mount.clear), (Attributes::NONE, Attributes::ACCESS_TIME));
    }

    #[test]
    fn the_last_word_on_a_matter_counts() {
        assert_eq!(Options::parse(["ro", "rw"]).mount.set, Attributes::NONE);
        assert_eq!(Options::parse(["rw", "ro"]).mount.clear, Attributes::NONE);
        assert_eq!(Options::parse(["noatime", "strictatime"]).mount.set, Attributes::STRICT_ACCESS_TIME);
    }
}
