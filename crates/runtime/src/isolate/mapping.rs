//! User namespaces: their mappings, and namespaces that exist only to carry one, user_namespaces(7).

use super::environment::{During, Outcome, Problem};
use crate::setup::IdRange;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use std::fmt::Write as _;
use sys::process::NewNamespaces;

/// A user namespace with this mapping. It has no process; it lives as long as the descriptor.
pub(crate) fn namespace(users: &[IdRange], groups: &[IdRange]) -> Result<OwnedFd, Problem> {
    let pipe = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).during("make a pipe")?;
    let (read, write) = pipe;
    let mut write = Some(write);
    let cloned = sys::process::clone_process(NewNamespaces::USER, None, || {
        // The end of the pipe is the sign that nobody needs this process any more.
        write = None;
        let _ = rustix::io::read(&read, &mut [0; 1]);
        0
    })
    .during("make a user namespace")?;
    let namespace = write_maps(cloned.pid, users, groups).and_then(|()| {
        let path = format!("/proc/{}/ns/user", cloned.pid.as_raw_nonzero());
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .during("open the user namespace")
    });
    drop(write);
    let _ = rustix::process::waitid(WaitId::PidFd(cloned.pidfd.as_fd()), WaitIdOptions::EXITED);
    namespace
}

/// Writes the mappings of the user namespace that a process is in.
pub(crate) fn write_maps(process: Pid, users: &[IdRange], groups: &[IdRange]) -> Outcome {
    for (file, ranges) in [("uid_map", users), ("gid_map", groups)] {
        let mut text = String::new();
        for range in ranges {
            let _ = writeln!(text, "{} {} {}", range.inside, range.outside, range.length);
        }
        if text.is_empty() {
            return Err(Problem::new(format!(
                "a new user namespace needs a mapping of users and one of groups; {file} would be empty"
            )));
        }
        let path = format!("/proc/{}/{file}", process.as_raw_nonzero());
        // In one write, as the kernel wants it.
        std::fs::write(&path, text.as_bytes())
            .during(format_args!("write the mapping {:?} to {path}", text.trim_end()))?;
    }
    Ok(())
}
