//! Which device nodes a group's processes may open or make: rules in order, of which the last that fits decides.
//!
//! v1 takes lines of text and remembers a default and its exceptions; a line that contradicts the default is forgotten
//! unless it names an exception exactly. So the rules are worked out here ([`Exceptions`]), and what is left of them in
//! the end is written. v2 has no such file: the rules become a small program that the kernel asks at each open
//! and mknod (`device_program`).

use super::device_program::program;
use super::resources::{DeviceEntry, DeviceKind};
use super::{Error, Group};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::io::Write as _;

/// Devices that are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Block devices (otherwise character devices).
    pub block: bool,
    /// The major number; none for any.
    pub major: Option<u32>,
    /// The minor number; none for any.
    pub minor: Option<u32>,
    /// May be opened for reading.
    pub read: bool,
    /// May be opened for writing.
    pub write: bool,
    /// May be made by mknod(2).
    pub make: bool,
}

impl DeviceRule {
    const fn character(major: u32, minor: Option<u32>) -> DeviceRule {
        DeviceRule { block: false, major: Some(major), minor, read: true, write: true, make: true }
    }

    const fn make_any(block: bool) -> DeviceRule {
        DeviceRule { block, major: None, minor: None, read: false, write: false, make: true }
    }

    /// What every container may use: null, zero, full, random, urandom, tty, console, ptmx and its terminals. Nodes
    /// of every number may be made; without permission to open them that gives nothing.
    pub const DEFAULT: [DeviceRule; 10] = [
        DeviceRule::make_any(false),
        DeviceRule::make_any(true),
        DeviceRule::character(1, Some(3)),
        DeviceRule::character(1, Some(5)),
        DeviceRule::character(1, Some(7)),
        DeviceRule::character(1, Some(8)),
        DeviceRule::character(1, Some(9)),
        DeviceRule::character(5, Some(0)),
        DeviceRule::character(5, Some(2)),
        DeviceRule::character(136, None),
    ];
}

/// What v1 remembers: whether a device is allowed, and what is an exception from that.
#[derive(Debug, PartialEq, Eq)]
struct Exceptions {
    allow: bool,
    list: Vec<DeviceEntry>,
}

impl Exceptions {
    /// Works the rules out, beginning with a group that may use every device.
    fn of(rules: &[DeviceEntry]) -> Result<Exceptions, Error> {
        let mut state = Exceptions { allow: true, list: Vec::new() };
        for rule in rules {
            if rule.kind != DeviceKind::Any {
                state.add(*rule)?;
            } else if *rule == (DeviceEntry { allow: rule.allow, ..DeviceEntry::DENY_ALL }) {
                state = Exceptions { allow: rule.allow, list: Vec::new() };
            } else {
                state.add(DeviceEntry { kind: DeviceKind::Block, ..*rule })?;
                state.add(DeviceEntry { kind: DeviceKind::Character, ..*rule })?;
            }
        }
        // The kernel wants one exception that holds all that is asked for.
        let all = state.list.clone();
        for exception in &mut state.list {
            let meant = *exception;
            for wider in all.iter().filter(|wider| wider.covers(&meant)) {
                exception.read |= wider.read;
                exception.write |= wider.write;
                exception.make |= wider.make;
            }
        }
        Ok(state)
    }

    /// A rule against the default is an exception; one for the default takes exceptions back.
    fn add(&mut self, rule: DeviceEntry) -> Result<(), Error> {
        if rule.allow != self.allow {
            self.list.push(rule);
            return Ok(());
        }
        for exception in &mut self.list {
            if rule.covers(exception) {
                exception.read &= !rule.read;
                exception.write &= !rule.write;
                exception.make &= !rule.make;
            } else if rule.meets(exception) {
                return Err(Error::DevicePart { rule: rule.line() });
            }
        }
        self.list.retain(|exception| exception.read || exception.write || exception.make);
        Ok(())
    }

    /// The files of v1 and what is written to them, in order.
    fn writes(&self) -> Vec<(&'static str, String)> {
        let (default, other) =
            if self.allow { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
        let exceptions = self.list.iter().map(|exception| (other, exception.line()));
        std::iter::once((default, "a".to_owned())).chain(exceptions).collect()
    }
}

impl DeviceEntry {
    /// Whether every device of the other rule is one of this rule; neither is about both kinds.
    fn covers(&self, other: &DeviceEntry) -> bool {
        let number = |ours: Option<u32>, theirs: Option<u32>| ours.is_none() || ours == theirs;
        self.kind == other.kind && number(self.major, other.major) && number(self.minor, other.minor)
    }

    /// Whether some access is one of both rules.
    fn meets(&self, other: &DeviceEntry) -> bool {
        let number =
            |ours: Option<u32>, theirs: Option<u32>| ours.is_none() || theirs.is_none() || ours == theirs;
        let access = self.read && other.read || self.write && other.write || self.make && other.make;
        access
            && self.kind == other.kind
            && number(self.major, other.major)
            && number(self.minor, other.minor)
    }

    /// As the files of v1 want it.
    fn line(&self) -> String {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let mut access = String::new();
        for (is_meant, letter) in [(self.read, 'r'), (self.write, 'w'), (self.make, 'm')] {
            if is_meant {
                access.push(letter);
            }
        }
        let kind = match self.kind {
            DeviceKind::Any => 'a',
            DeviceKind::Block => 'b',
            DeviceKind::Character => 'c',
        };
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

impl Group {
    /// Carries the rules out. Without any, every device stays allowed.
    pub(super) fn set_devices(&self, rules: &[DeviceEntry]) -> Result<(), Error> {
        if rules.is_empty() {
            return Ok(());
        }
        if !self.layout.is_v1() {
            return self.attach_filter(rules);
        }
        let writes = Exceptions::of(rules)?.writes();
        let Some(hierarchy) = self.layout.hierarchy("devices") else {
            return Err(Error::NoController { controller: "devices".into() });
        };
        let directory = hierarchy.mount.join(&self.path);
        // A file that takes many lines is opened once; each line is a write of its own, as the kernel wants it.
        let mut open: Option<(&str, std::fs::File)> = None;
        for (file, line) in &writes {
            let path = directory.join(file);
            let failed = |source| Error::Write { path: path.clone(), value: line.clone(), source };
            let mut target = match open.take() {
                Some((name, target)) if name == *file => target,
                _ => std::fs::OpenOptions::new().write(true).open(&path).map_err(failed)?,
            };
            target.write_all(line.as_bytes()).map_err(failed)?;
            open = Some((file, target));
        }
        Ok(())
    }

    fn attach_filter(&self, rules: &[DeviceEntry]) -> Result<(), Error> {
        let Some(path) = self.unified() else { return Err(Error::NotMounted) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&path, flags, Mode::empty())
            .and_then(|directory| sys::device_filter::attach(directory.as_fd(), &program(rules)))
            .map_err(|error| Error::DeviceFilter { path, source: error.into() })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A rule from words such as `allow c 1:* rw`.
    pub(in super::super) fn rule(text: &str) -> DeviceEntry {
        let words: Vec<&str> = text.split(' ').collect();
        let (major, minor) = words[2].split_once(':').unwrap();
        DeviceEntry {
            allow: words[0] == "allow",
            kind: match words[1] {
                "a" => DeviceKind::Any,
                "b" => DeviceKind::Block,
                _ => DeviceKind::Character,
            },
            major: major.parse().ok(),
            minor: minor.parse().ok(),
            read: words[3].contains('r'),
            write: words[3].contains('w'),
            make: words[3].contains('m'),
        }
    }

    fn written(rules: &[&str]) -> Vec<String> {
        let rules: Vec<DeviceEntry> = rules.iter().map(|text| rule(text)).collect();
        let writes = Exceptions::of(&rules).unwrap().writes();
        writes.iter().map(|(file, line)| format!("{} {line}", file.trim_start_matches("devices."))).collect()
    }

    #[test]
    fn the_default_devices_are_written_as_the_kernel_reads_them() {
        let mut rules = vec![DeviceEntry::DENY_ALL];
        rules.extend(DeviceRule::DEFAULT.iter().map(DeviceEntry::from));
        let writes = Exceptions::of(&rules).unwrap().writes();
        assert_eq!(writes[0], ("devices.deny", "a".to_owned()));
        assert_eq!(writes[1], ("devices.allow", "c *:* m".to_owned()));
        assert_eq!(writes[3], ("devices.allow", "c 1:3 rwm".to_owned()));
        assert_eq!(writes[10], ("devices.allow", "c 136:* rwm".to_owned()));
    }

    #[test]
    fn what_is_left_of_the_rules_in_the_end_is_written() {
        assert_eq!(
            written(&["deny a *:* rwm", "allow c 1:3 rw", "allow b 8:0 r", "deny c 1:* w", "deny b *:* rwm"]),
            ["deny a", "allow c 1:3 r"]
        );
        assert_eq!(written(&["deny b 8:* w", "deny b 8:1 m"]), ["allow a", "deny b 8:* w", "deny b 8:1 wm"]);
        assert_eq!(
            written(&["deny c 1:3 r", "allow a *:* rwm", "deny a 8:* w"]),
            ["allow a", "deny b 8:* w", "deny c 8:* w"]
        );
    }

    #[test]
    fn an_exception_holds_what_wider_ones_give() {
        assert_eq!(
            written(&["deny a *:* rwm", "allow c *:* m", "allow c 1:3 rw"]),
            ["deny a", "allow c *:* m", "allow c 1:3 rwm"]
        );
    }

    #[test]
    fn a_hole_that_v1_cannot_remember_is_refused() {
        let rules = ["deny a *:* rwm", "allow c 1:* rw", "deny c 1:11 r"].map(rule);
        let message = Exceptions::of(&rules).unwrap_err().to_string();
        assert!(message.contains("`c 1:11 r`"), "{message}");
        assert!(Exceptions::of(&["deny a *:* rwm", "allow c 1:* rw", "deny c 1:11 m"].map(rule)).is_ok());
    }
}
