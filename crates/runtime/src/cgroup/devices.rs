//! Which device nodes a group's processes may open or make: a list that is allowed, everything else denied.

use super::{Error, Group, write_value};
use serde::{Deserialize, Serialize};

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

    /// As the `devices.allow` file of v1 wants it.
    fn line(&self) -> String {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let mut access = String::new();
        for (allowed, letter) in [(self.read, 'r'), (self.write, 'w'), (self.make, 'm')] {
            if allowed {
                access.push(letter);
            }
        }
        let kind = if self.block { 'b' } else { 'c' };
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

impl Group {
    /// Denies every device but these. An empty list leaves all allowed.
    pub(super) fn set_devices(&self, rules: &[DeviceRule]) -> Result<(), Error> {
        if rules.is_empty() {
            return Ok(());
        }
        let Some(hierarchy) = self.layout.hierarchy("devices") else {
            return Ok(());
        };
        let directory = hierarchy.mount.join(&self.path);
        write_value(&directory.join("devices.deny"), "a")?;
        rules.iter().try_for_each(|rule| write_value(&directory.join("devices.allow"), &rule.line()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_the_kernel_reads_it() {
        let lines: Vec<String> = DeviceRule::DEFAULT.iter().map(DeviceRule::line).collect();
        assert_eq!(lines[0], "c *:* m");
        assert_eq!(lines[2], "c 1:3 rwm");
        assert_eq!(lines[9], "c 136:* rwm");
    }
}
