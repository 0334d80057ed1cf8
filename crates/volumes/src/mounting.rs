//! Volumes that are file systems of their own: options turned into a call of mount(2), and its undoing.
//!
//! The words of `o` are those of mount(8): what is a flag of mount(2) becomes one, the rest is for the file system. A
//! host that `addr=` names, or the address of a `cifs` device, is looked up here, as the kernel looks nothing up.

use crate::{Error, Result};
use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

/// What mount(2) is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    device: String,
    kind: String,
    flags: MountFlags,
    passing: MountPropagationFlags,
    data: String,
}

/// A word of mount(8), its flag, and whether it takes the flag away.
const FLAGS: [(&str, MountFlags, bool); 24] = [
    ("async", MountFlags::SYNCHRONOUS, true),
    ("atime", MountFlags::NOATIME, true),
    ("bind", MountFlags::BIND, false),
    ("defaults", MountFlags::empty(), false),
    ("dev", MountFlags::NODEV, true),
    ("diratime", MountFlags::NODIRATIME, true),
    ("dirsync", MountFlags::DIRSYNC, false),
    ("exec", MountFlags::NOEXEC, true),
    ("mand", MountFlags::PERMIT_MANDATORY_FILE_LOCKING, false),
    ("noatime", MountFlags::NOATIME, false),
    ("nodev", MountFlags::NODEV, false),
    ("nodiratime", MountFlags::NODIRATIME, false),
    ("noexec", MountFlags::NOEXEC, false),
    ("nomand", MountFlags::PERMIT_MANDATORY_FILE_LOCKING, true),
    ("norelatime", MountFlags::RELATIME, true),
    ("nostrictatime", MountFlags::STRICTATIME, true),
    ("nosuid", MountFlags::NOSUID, false),
    ("rbind", MountFlags::from_bits_retain(MountFlags::BIND.bits() | MountFlags::REC.bits()), false),
    ("relatime", MountFlags::RELATIME, false),
    ("ro", MountFlags::RDONLY, false),
    ("rw", MountFlags::RDONLY, true),
    ("strictatime", MountFlags::STRICTATIME, false),
    ("suid", MountFlags::NOSUID, true),
    ("sync", MountFlags::SYNCHRONOUS, false),
];

/// Ways in which mounts pass.
const PASSING: [(&str, MountPropagationFlags); 4] = [
    ("private", MountPropagationFlags::PRIVATE),
    ("shared", MountPropagationFlags::SHARED),
    ("slave", MountPropagationFlags::DOWNSTREAM),
    ("unbindable", MountPropagationFlags::UNBINDABLE),
];

impl Wanted {
    /// Reads a volume's options; none where it is a plain directory. Pure.
    pub(crate) fn read(options: &BTreeMap<String, String>) -> Option<Wanted> {
        let (device, kind) = (options.get("device")?, options.get("type")?);
        let mut wanted = Wanted {
            device: device.clone(),
            kind: kind.clone(),
            flags: MountFlags::empty(),
            passing: MountPropagationFlags::empty(),
            data: String::new(),
        };
        for word in options.get("o").map_or("", String::as_str).split(',').filter(|word| !word.is_empty()) {
            wanted.add(word);
        }
        Some(wanted)
    }

    fn add(&mut self, word: &str) {
        if let Some((_, flag, clears)) = FLAGS.iter().find(|(known, ..)| *known == word) {
            self.flags.set(*flag, !clears);
            return;
        }
        let (plain, deep) = match word.strip_prefix('r') {
            Some(plain) if PASSING.iter().any(|(known, _)| *known == plain) => (plain, true),
            _ => (word, false),
        };
        if let Some((_, passing)) = PASSING.iter().find(|(known, _)| *known == plain) {
            self.passing = *passing;
            self.passing.set(MountPropagationFlags::REC, deep);
            return;
        }
        if !self.data.is_empty() {
            self.data.push(',');
        }
        self.data.push_str(word);
    }

    /// Puts addresses in the place of names.
    fn resolve(&mut self, at: &Path, look_up: &dyn Fn(&str) -> io::Result<IpAddr>) -> Result<()> {
        if self.kind != "nfs" && self.kind != "nfs4" && self.kind != "cifs" {
            return Ok(());
        }
        let named = |host: &str| !host.is_empty() && host.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
        let found = |host: &str| {
            look_up(host).map_err(|source| Error::Address {
                host: host.to_owned(),
                at: at.to_owned(),
                source,
            })
        };
        let given = self.data.split(',').find_map(|word| word.strip_prefix("addr=")).map(str::to_owned);
        if let Some(host) = given.filter(|host| named(host)) {
            let address = found(&host)?;
            let words = self.data.split(',').map(|word| match word.strip_prefix("addr=") {
                Some(_) => format!("addr={address}"),
                None => word.to_owned(),
            });
            self.data = words.collect::<Vec<_>>().join(",");
        } else if self.kind == "cifs" {
            let rest = self.device.trim_start_matches('/').to_owned();
            let (host, share) = rest.split_once('/').unwrap_or((&rest, ""));
            if named(host) {
                self.device = format!("//{}/{share}", found(host)?);
            }
        }
        Ok(())
    }

    /// The data as they are shown: without what nobody should read in a log.
    fn shown(&self) -> String {
        let word = |word: &str| match word.split_once('=') {
            Some((name @ ("password" | "pass" | "password2"), _)) => format!("{name}=********"),
            _ => word.to_owned(),
        };
        self.data.split(',').map(word).collect::<Vec<_>>().join(",")
    }

    /// Mounts it, if nothing is mounted there.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::NoFileSystem`], [`Error::Mount`].
    pub(crate) fn mount(mut self, at: &Path) -> Result<()> {
        if is_mounted(at) {
            return Ok(());
        }
        self.resolve(at, &address)?;
        if let Err(error) = self.call(at) {
            let is_known = self.flags.contains(MountFlags::BIND) || is_known(&self.kind);
            if error == Errno::NODEV && !is_known {
                return Err(Error::NoFileSystem { kind: self.kind, at: at.to_owned() });
            }
            let data = self.shown();
            return Err(Error::Mount {
                device: self.device,
                at: at.to_owned(),
                flags: self.flags.bits(),
                data,
                source: error.into(),
            });
        }
        Ok(())
    }

    fn call(&self, at: &Path) -> Result<(), Errno> {
        let data = CString::new(self.data.as_str()).map_err(|_| Errno::INVAL)?;
        let data = Some(data.as_c_str()).filter(|data| !data.is_empty());
        rustix::mount::mount(self.device.as_str(), at, self.kind.as_str(), self.flags, data)?;
        let finish = || {
            if !self.passing.is_empty() {
                rustix::mount::mount_change(at, self.passing)?;
            }
            // A bind takes no other flag the first time.
            let others = self.flags.difference(MountFlags::BIND | MountFlags::REC);
            if self.flags.contains(MountFlags::BIND) && !others.is_empty() {
                rustix::mount::mount_remount(at, MountFlags::BIND | others, "")?;
            }
            Ok(())
        };
        let finished: Result<(), Errno> = finish();
        if finished.is_err() {
            let _ = rustix::mount::unmount(at, UnmountFlags::DETACH);
        }
        finished
    }
}

/// Takes away what is mounted there, if anything is.
///
/// # Errors
/// What umount(2) says.
pub(crate) fn unmount(at: &Path) -> Result<()> {
    while is_mounted(at) {
        rustix::mount::unmount(at, UnmountFlags::DETACH)
            .map_err(|error| Error::disk("unmount the volume at", at, error))?;
    }
    Ok(())
}

/// Whether something is mounted there: the directory is the top of its mount, statx(2).
pub(crate) fn is_mounted(at: &Path) -> bool {
    let top = rustix::fs::StatxAttributes::MOUNT_ROOT;
    let found = rustix::fs::statx(CWD, at, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.contains(top))
}

/// Whether the kernel has a file system, or could load it: then another device is missing.
fn is_known(kind: &str) -> bool {
    let text = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    text.lines().any(|line| line.split('\t').next_back() == Some(kind))
}

fn address(host: &str) -> io::Result<IpAddr> {
    let mut found = (host, 0).to_socket_addrs()?;
    found.next().map(|found| found.ip()).ok_or_else(|| io::Error::other("no such host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(kind: &str, device: &str, o: &str) -> Wanted {
        let options = [("type", kind), ("device", device), ("o", o)];
        Wanted::read(&options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()).unwrap()
    }

    #[test]
    fn words_are_flags_ways_of_passing_or_data() {
        let read = wanted("none", "/srv", "bind,ro,nosuid,rslave,x=1,y");
        assert_eq!(read.flags, MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID);
        assert_eq!(read.passing, MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC);
        assert_eq!(read.data, "x=1,y");
        assert_eq!(wanted("tmpfs", "tmpfs", "ro,size=1m,rw").flags, MountFlags::empty());
        assert_eq!(Wanted::read(&BTreeMap::new()), None);
    }

    #[test]
    fn hosts_become_addresses() {
        let look_up = |host: &str| match host {
            "nas" => Ok(IpAddr::from([10, 0, 0, 9])),
            _ => Err(io::Error::other("no such host")),
        };
        let at = Path::new("/volume");
        for (kind, device, o, device_after, o_after) in [
            ("nfs", ":/share", "addr=nas,rw,vers=4", ":/share", "addr=10.0.0.9,vers=4"),
            ("nfs", ":/share", "addr=10.1.1.1", ":/share", "addr=10.1.1.1"),
            ("cifs", "//nas/share", "username=x", "//10.0.0.9/share", "username=x"),
            ("cifs", "//10.1.1.1/share", "", "//10.1.1.1/share", ""),
            ("tmpfs", "nas", "addr=nas", "nas", "addr=nas"),
        ] {
            let mut read = wanted(kind, device, o);
            read.resolve(at, &look_up).unwrap();
            assert_eq!((&*read.device, &*read.data), (device_after, o_after), "{kind} {device}");
        }
        let error = wanted("nfs", ":/x", "addr=gone").resolve(at, &look_up).unwrap_err();
        assert!(error.to_string().contains("lookup gone"), "{error}");
    }

    #[test]
    fn a_password_is_not_told() {
        let read = wanted("cifs", "//10.1.1.1/x", "username=a,password=secret");
        assert_eq!(read.shown(), "username=a,password=********");
    }
}
