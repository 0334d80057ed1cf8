//! Carries out the writes of the tables, on a group that exists.
//!
//! Some values bound each other (memory and swap, quota and burst), and which of them has to be written first depends on
//! what stands in the group. So a value that the kernel calls invalid is tried once more after all the others; if it
//! is still refused, that is the error. v2 says memory and swap apart, and a quota with its period: where only one half is
//! given, the other one is read from the group first.

use super::limits::{self, Missing, Write};
use super::resources::{Resources, Swap};
use super::{Error, Group, read_text, write_value};
use std::io;
use std::path::Path;

/// The controllers of v2 that every container is put under.
pub(super) const CONTROLLERS_V2: [&str; 5] = ["cpu", "cpuset", "memory", "io", "pids"];

impl Group {
    /// Sets what is given and leaves the rest as it is. Devices are set when a group is made and not here.
    ///
    /// # Errors
    /// Where a value is refused or makes no sense, or its controller or file is missing.
    pub fn apply(&self, resources: &Resources) -> Result<(), Error> {
        if self.layout.is_v1() {
            return self.write_all(&limits::writes_v1(resources)?);
        }
        let resources = self.completed(resources)?;
        let asked = limits::on_demand(&resources);
        if let (Some(root), false) = (&self.layout.unified, asked.is_empty()) {
            enable_controllers(root, &root.join(&self.path), &asked)?;
        }
        self.write_all(&limits::writes_v2(&resources)?)
    }

    /// Fills in what v2 wants to hear beside what is given.
    fn completed(&self, resources: &Resources) -> Result<Resources, Error> {
        let mut full = resources.clone();
        let current = |file: &str| -> Result<Option<i64>, Error> {
            let Some(directory) = self.unified() else { return Ok(None) };
            let text = read_text(&directory.join(file))?;
            Ok(text.split_whitespace().next().and_then(|word| word.parse().ok()))
        };
        if full.cpu.period_us.is_some() && full.cpu.quota_us.is_none() {
            full.cpu.quota_us = current("cpu.max")?;
        }
        let is_swap_bounded = matches!(full.memory.swap, Swap::Together(bytes) if bytes >= 0);
        if is_swap_bounded && full.memory.limit_bytes.is_none() {
            full.memory.limit_bytes = current("memory.max")?;
        }
        if let (true, Some(limit_bytes)) = (full.memory.check_before_update, full.memory.limit_bytes) {
            let used_bytes = current("memory.current")?.unwrap_or(0);
            if (0..used_bytes).contains(&limit_bytes) {
                return Err(Error::MemoryInUse { used_bytes, limit_bytes });
            }
        }
        Ok(full)
    }

    fn write_all(&self, writes: &[Write]) -> Result<(), Error> {
        let mut again = Vec::new();
        for write in writes {
            match self.write(write) {
                Err(Error::Write { source, .. }) if source.kind() == io::ErrorKind::InvalidInput => {
                    again.push(write);
                }
                other => other?,
            }
        }
        again.into_iter().try_for_each(|write| self.write(write))
    }

    fn write(&self, write: &Write) -> Result<(), Error> {
        let missing = match self.directory(&write.controller) {
            None => Error::NoController { controller: write.controller.clone() },
            Some(directory) => {
                let path = directory.join(write.file.as_ref());
                match write_value(&path, &write.value) {
                    Err(Error::Write { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                        self.why_missing(write, &path)?
                    }
                    other => return other,
                }
            }
        };
        match &write.missing {
            Missing::Refused => Err(missing),
            Missing::Ignored => Ok(()),
            Missing::Instead(other) => self.write(other),
        }
    }

    /// On v2 a file is also missing where its controller was not passed on to the group.
    fn why_missing(&self, write: &Write, path: &Path) -> Result<Error, Error> {
        if let (false, Some(directory)) = (self.layout.is_v1(), self.unified()) {
            let there = read_text(&directory.join("cgroup.controllers"))?;
            if write.controller != "cgroup" && !there.split_whitespace().any(|name| name == write.controller)
            {
                return Ok(Error::NoController { controller: write.controller.clone() });
            }
        }
        Ok(Error::NoFile { path: path.to_owned() })
    }
}

/// Passes controllers on, from the hierarchy's root to the group's parent, v2. A controller that an ancestor cannot
/// pass on is missing in the group, and the limit that needs it says so.
pub(super) fn enable_controllers(root: &Path, group: &Path, wanted: &[&str]) -> Result<(), Error> {
    let there = read_text(&group.join("cgroup.controllers"))?;
    if wanted.iter().all(|name| there.split_whitespace().any(|found| found == *name)) {
        return Ok(());
    }
    let mut ancestors: Vec<&Path> =
        group.ancestors().skip(1).take_while(|ancestor| ancestor.starts_with(root)).collect();
    ancestors.reverse();
    for ancestor in ancestors {
        for name in wanted {
            // Refused where the controller is absent or processes live in the ancestor; see above.
            let _ = write_value(&ancestor.join("cgroup.subtree_control"), &format!("+{name}"));
        }
    }
    Ok(())
}
