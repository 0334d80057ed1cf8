//! The steps that decide who the program is: user, groups, resource limits.

use super::environment::{Child, During, Outcome, Problem};
use super::{paths, users};
use crate::setup::Process;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{Gid, Uid};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// As much of a passwd or group file as is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Resource limits by their names in a container's settings, with their numbers on Linux, getrlimit(2).
const RESOURCES: [(&str, u32); 16] = [
    ("cpu", 0),
    ("fsize", 1),
    ("data", 2),
    ("stack", 3),
    ("core", 4),
    ("rss", 5),
    ("nproc", 6),
    ("nofile", 7),
    ("memlock", 8),
    ("as", 9),
    ("locks", 10),
    ("sigpending", 11),
    ("msgqueue", 12),
    ("nice", 13),
    ("rtprio", 14),
    ("rttime", 15),
];

/// Looks the user up in the container's own files.
pub(super) fn find_user(child: &mut Child<'_>) -> Outcome {
    let passwd = read_in_root(child, "/etc/passwd")?;
    let group = read_in_root(child, "/etc/group")?;
    child.found.identity = users::find(&passwd, &group, &child.process.user, &child.process.groups)?;
    Ok(())
}

/// A file of the image: bounded, a plain file, and nothing that could make the reader wait. What is absent is empty.
fn read_in_root(child: &Child<'_>, path: &str) -> Result<String, Problem> {
    let root = child.root()?;
    let opened = paths::find(root, Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
    let descriptor = match opened {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(String::new()),
        other => other.during(format_args!("open {path}"))?,
    };
    let stat = rustix::fs::fstat(&descriptor).during(format_args!("look at {path}"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    File::from(descriptor)
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .during(format_args!("read {path}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sets the limits while they may still be raised. In a user namespace the shim has done it.
pub(super) fn resource_limits(child: &mut Child<'_>) -> Outcome {
    if child.has_user_namespace() {
        return Ok(());
    }
    limit_resources(None, child.process)
}

/// A limit's number by its name: `nofile`, or `RLIMIT_NOFILE`.
fn resource(name: &str) -> Option<(&'static str, u32)> {
    let known = name.to_ascii_lowercase();
    let known = known.strip_prefix("rlimit_").unwrap_or(&known);
    RESOURCES.iter().find(|(resource, _)| *resource == known).copied()
}

/// Whether a name is that of a resource limit.
pub(crate) fn is_resource_limit(name: &str) -> bool {
    resource(name).is_some()
}

/// Sets the limits of this process, or of another one.
pub(crate) fn limit_resources(of: Option<Pid>, process: &Process) -> Outcome {
    for (name, soft, hard) in &process.rlimits {
        let Some((known, resource)) = resource(name) else {
            return Err(Problem::new(format!("{name:?} is no resource limit")));
        };
        sys::attributes::set_resource_limit(of, resource, *soft, *hard)
            .during(format_args!("set the limit {known} to {soft}:{hard}"))?;
    }
    Ok(())
}

/// Groups first, then the user, whose change would take the right to change groups. Permitted capabilities survive it
/// until the next step but one decides.
pub(super) fn become_user(child: &mut Child<'_>) -> Outcome {
    let identity = &child.found.identity;
    let groups: Vec<Gid> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    rustix::thread::set_keep_capabilities(true).during("keep capabilities over the change of user")?;
    match rustix::thread::set_thread_groups(&groups) {
        // A user namespace may forbid it; where there is nothing to set, nothing is lost.
        Err(Errno::PERM) if groups.is_empty() => {}
        other => other.during("set the groups")?,
    }
    let gid = Gid::from_raw(identity.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .during(format_args!("become group {}", identity.gid))?;
    let uid = Uid::from_raw(identity.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid).during(format_args!("become user {}", identity.uid))?;
    rustix::thread::set_keep_capabilities(false).during("stop keeping capabilities")
}
