//! Settings of the kernel below `/proc/sys/net`, ip-sysctl of the kernel's documentation.

use crate::Error;
use std::fs;
use std::io;
use std::path::PathBuf;

/// Writes a setting of one link in the caller's namespace. A kernel without IPv6 has no such switch, and needs none.
pub(crate) fn of_link(family: &str, link: &str, name: &str, value: &str) -> Result<(), Error> {
    write(format!("/proc/sys/net/{family}/conf/{link}/{name}"), value)
}

/// Lets this host pass on packets of IPv4.
pub(crate) fn forward_ipv4() -> Result<(), Error> {
    write("/proc/sys/net/ipv4/ip_forward".to_owned(), "1")
}

/// Lets this host pass on packets of IPv6.
///
/// A host that does so stops to listen to its routers unless told otherwise, link by link, and would lose its own way out: so
/// it is told first.
pub(crate) fn forward_ipv6() -> Result<(), Error> {
    let forwarding = "/proc/sys/net/ipv6/conf/all/forwarding";
    if fs::read_to_string(forwarding).is_ok_and(|found| found.trim() == "1") {
        return Ok(());
    }
    for entry in fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten() {
        let path = entry.path().join("accept_ra");
        // Links that are made later decide for themselves, bridges of ours above all.
        let is_link = entry.file_name() != "all" && entry.file_name() != "default";
        if is_link && fs::read_to_string(&path).is_ok_and(|found| found.trim() == "1") {
            write(path.display().to_string(), "2")?;
        }
    }
    write(forwarding.to_owned(), "1")
}

fn write(path: String, value: &str) -> Result<(), Error> {
    // Written only where it differs: some of these settings tell everybody about each write.
    if fs::read_to_string(&path).is_ok_and(|found| found.trim() == value) {
        return Ok(());
    }
    match fs::write(&path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.contains("/ipv6/") => Ok(()),
        Err(source) => Err(Error::Setting { path: PathBuf::from(path), source }),
        Ok(()) => Ok(()),
    }
}
