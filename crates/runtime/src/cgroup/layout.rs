//! Which control group hierarchy holds which controller on this machine, cgroups(7).
//!
//! Three layouts are in use: v2 alone; v1 alone, one mount for each controller or a few; and the hybrid, v1 with a
//! v2 hierarchy beside it that has no controller of its own. The layout is read once, by whoever starts shims, and
//! handed to them: reading mountinfo for each container would cost more than making its groups.
//!
//! Of v1 only what limits or counts is used. A hierarchy with a name and no controller is left alone, and so is the
//! freezer where v2 is mounted, which freezes and kills a whole group by itself.

use super::Error;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The v1 controllers that a container is put under, where they exist.
const CONTROLLERS_V1: [&str; 8] =
    ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"];

/// The v1 controllers that a container is put under where it has a limit of theirs: to be in them costs, and most
/// containers need none.
const CONTROLLERS_V1_ON_DEMAND: [&str; 4] = ["hugetlb", "net_cls", "net_prio", "rdma"];

/// The control group hierarchies of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Where v2 is mounted, if it is.
    pub unified: Option<PathBuf>,
    /// The v1 hierarchies that are used; none on a machine with v2 alone.
    pub hierarchies: Vec<Hierarchy>,
    /// The v1 hierarchies that are used by containers with a limit of theirs.
    #[serde(default)]
    pub on_demand: Vec<Hierarchy>,
}

/// One v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Its controllers, such as `cpu` and `cpuacct`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

impl Layout {
    /// Reads the layout from `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// Where that cannot be read, or where no control groups are mounted.
    pub fn detect() -> Result<Layout, Error> {
        let path = Path::new("/proc/self/mountinfo");
        let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
        let layout = Layout::from_mountinfo(&text);
        if layout.unified.is_none() && layout.hierarchies.is_empty() {
            return Err(Error::NotMounted);
        }
        Ok(layout)
    }

    /// Finds the hierarchies in the text of a mountinfo file, proc(5).
    pub fn from_mountinfo(text: &str) -> Layout {
        let mut layout = Layout::default();
        for line in text.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(mount) = left.split(' ').nth(4).map(unescape) else { continue };
            let mut right = right.split(' ');
            match (right.next(), right.nth(1)) {
                (Some("cgroup2"), _) if layout.unified.is_none() => layout.unified = Some(mount),
                (Some("cgroup"), Some(options)) => layout.add_hierarchy(mount, options),
                _ => {}
            }
        }
        if layout.unified.is_some() {
            for hierarchy in &mut layout.hierarchies {
                hierarchy.controllers.retain(|name| name != "freezer");
            }
            layout.hierarchies.retain(|hierarchy| !hierarchy.controllers.is_empty());
        }
        layout
    }

    /// A hierarchy may be mounted twice: the first place counts.
    fn add_hierarchy(&mut self, mount: PathBuf, options: &str) {
        let known = self.hierarchies.iter().chain(&self.on_demand).flat_map(|one| &one.controllers);
        let known: Vec<&String> = known.collect();
        let controllers: Vec<String> = options
            .split(',')
            .filter(|option| CONTROLLERS_V1.contains(option) || CONTROLLERS_V1_ON_DEMAND.contains(option))
            .map(str::to_owned)
            .filter(|option| !known.contains(&option))
            .collect();
        if controllers.is_empty() {
            return;
        }
        let is_always_used = controllers.iter().any(|name| CONTROLLERS_V1.contains(&name.as_str()));
        let list = if is_always_used { &mut self.hierarchies } else { &mut self.on_demand };
        list.push(Hierarchy { controllers, mount });
    }

    /// Whether limits are set on v1 (the hybrid layout included).
    pub fn is_v1(&self) -> bool {
        !self.hierarchies.is_empty()
    }

    /// The v1 hierarchies that are used on demand; none where limits are set on v2.
    pub(super) fn optional(&self) -> &[Hierarchy] {
        if self.is_v1() { &self.on_demand } else { &[] }
    }

    /// The v1 hierarchy of a controller.
    pub fn hierarchy(&self, controller: &str) -> Option<&Hierarchy> {
        let mut all = self.hierarchies.iter().chain(self.optional());
        all.find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))
    }
}

/// Mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let replaced =
        text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    PathBuf::from(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_machine_limits_on_v1_and_freezes_on_v2() {
        let layout = Layout::from_mountinfo(
            "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             38 31 0:35 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        assert!(layout.is_v1());
        assert_eq!(layout.unified, Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(layout.hierarchies.len(), 1);
        assert_eq!(layout.hierarchy("cpuacct").unwrap().mount, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert!(layout.hierarchy("freezer").is_none());
    }

    #[test]
    fn a_machine_with_v2_alone_has_no_hierarchies() {
        let layout =
            Layout::from_mountinfo("24 18 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
        assert!(!layout.is_v1());
        assert_eq!(layout.unified, Some(PathBuf::from("/sys/fs/cgroup")));
    }

    #[test]
    fn what_marks_packets_is_used_on_demand_and_does_not_make_a_machine_one_of_v1() {
        let marks = "35 31 0:32 / /sys/fs/cgroup/net rw - cgroup cgroup rw,net_cls,net_prio\n";
        let alone = Layout::from_mountinfo(marks);
        assert!(!alone.is_v1() && alone.hierarchy("net_cls").is_none());
        let both = format!("{marks}33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
        let layout = Layout::from_mountinfo(&both);
        assert_eq!((layout.hierarchies.len(), layout.optional().len()), (1, 1));
        assert_eq!(layout.hierarchy("net_prio").unwrap().mount, Path::new("/sys/fs/cgroup/net"));
    }

    #[test]
    fn a_machine_with_v1_alone_keeps_its_freezer() {
        let layout = Layout::from_mountinfo("38 31 0:35 / /a\\040b rw - cgroup cgroup rw,freezer\n");
        assert_eq!(layout.hierarchy("freezer").unwrap().mount, Path::new("/a b"));
    }
}
