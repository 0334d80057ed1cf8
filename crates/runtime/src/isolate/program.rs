//! The steps around the program itself: where it starts, which file it is, and becoming it.

use super::environment::{Child, During, Outcome, Problem, error_text};
use super::paths::{self, Missing};
use super::talk;
use crate::shim::Filter;
use crate::shim::wire::FailureKind;
use rustix::fd::AsFd;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use std::ffi::CString;
use std::path::Path;

/// The name under which the small init runs.
pub(crate) const INIT_NAME: &str = "bocage-init";

/// Makes the working directory where the image lacks it, as root.
pub(super) fn make_directory(child: &mut Child<'_>) -> Outcome {
    let path = working_directory(child.process.cwd.as_path());
    let found = paths::find_or_make(child.root()?, path, Missing::Directory)?;
    if !paths::is_directory(found.as_fd()).during(path.display())? {
        return Err(cwd_problem(path, Errno::NOTDIR));
    }
    Ok(())
}

fn working_directory(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new("/") } else { path }
}

/// Enters the working directory: with all privileges first, since images have working directories that their users may
/// not enter, and by the user where the file system does not let root in.
pub(super) fn enter_directory(child: &mut Child<'_>) -> Outcome {
    if child.found.entered {
        return Ok(());
    }
    let path = working_directory(child.process.cwd.as_path());
    // Magic links are not followed: `/proc/self/fd/7` must not lead to a directory of the host that was left open.
    let entered =
        paths::find(child.root()?, path, OFlags::PATH | OFlags::DIRECTORY).and_then(rustix::process::fchdir);
    let is_user = rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.is_empty());
    match entered {
        Err(Errno::ACCESS) if !is_user && child.found.identity.uid != 0 => return Ok(()),
        other => other.map_err(|error| cwd_problem(path, error))?,
    }
    child.found.entered = true;
    Ok(())
}

fn cwd_problem(path: &Path, error: Errno) -> Problem {
    Problem::new(format!("chdir to cwd ({path:?}) failed: {}", error_text(error)))
}

/// Finds the file that the first argument names, as the user: in `PATH`, unless it has a slash.
pub(super) fn find(child: &mut Child<'_>) -> Outcome {
    let Some(name) = child.process.args.first() else {
        return Err(Problem::new("no command specified"));
    };
    let c_string =
        |text: String| CString::new(text).map_err(|_| Problem::new("the command has a null in it"));
    if name.contains('/') {
        executable(name).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => Problem::of_program(
                FailureKind::NotFound,
                format!("exec: {name:?}: stat {name}: {}", error_text(error)),
            ),
            other => Problem::of_program(
                FailureKind::NotExecutable,
                format!("exec: {name:?}: {}", error_text(other)),
            ),
        })?;
        child.found.program = c_string(name.clone())?;
        return Ok(());
    }
    let path = child.process.env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or("");
    let mut denied = None;
    for directory in path.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{directory}/{name}");
        match executable(&candidate) {
            Ok(()) => {
                child.found.program = c_string(candidate)?;
                return Ok(());
            }
            Err(error @ (Errno::ACCESS | Errno::PERM)) => denied = Some(error),
            Err(_) => {}
        }
    }
    Err(match denied {
        Some(error) => {
            Problem::of_program(FailureKind::NotExecutable, format!("exec: {name:?}: {}", error_text(error)))
        }
        None => Problem::of_program(
            FailureKind::NotFound,
            format!("exec: {name:?}: executable file not found in $PATH"),
        ),
    })
}

/// Whether this user may execute a path.
fn executable(path: &str) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    if stat.st_mode & 0o111 == 0 {
        return Err(Errno::ACCESS);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

/// Only the standard streams go into the program, and the shim hears that it is about to begin.
pub(super) fn close_descriptors(child: &mut Child<'_>) -> Outcome {
    // What ends the child before this message is a failed start; after it, only a failed execution is. Sent here since
    // the filter might refuse it later.
    if child.stopwatch.is_wanted() {
        let measured = serde_json::to_vec(&child.stopwatch.take()).unwrap_or_default();
        talk::send(child.reports_to(), &[talk::TIMINGS, &measured].concat()).during("tell the shim")?;
    }
    talk::send(child.reports_to(), talk::READY).during("tell the shim")?;
    // The mask was empty so that modes are as they were asked for; a program expects the usual one.
    rustix::process::umask(Mode::from_raw_mode(child.process.umask.unwrap_or(0o022)));
    match sys::process::close_on_exec_from(3) {
        // Everything was opened close-on-exec; this call only makes sure, and Linux before 5.11 lacks it.
        Err(Errno::NOSYS | Errno::INVAL) => {}
        other => other.during("mark descriptors close-on-exec")?,
    }
    for number in child.handover.iter().flat_map(|handover| &handover.preserved) {
        // Inherited by the shim under this very number, from a caller who wants the program to have it.
        sys::process::keep_on_exec(*number).during(format_args!("keep descriptor {number}"))?;
    }
    Ok(())
}

/// Waits, all set up, until somebody connects: from then on it is they who are told of a failure.
pub(super) fn wait_for_start(child: &mut Child<'_>) -> Outcome {
    if child.filter.is_some_and(Filter::asks) { Ok(()) } else { wait_at_gate(child) }
}

/// Whoever decides over calls must be known while the container waits: it then waits behind its filter, which must allow
/// what waiting takes.
pub(super) fn wait_for_start_filtered(child: &mut Child<'_>) -> Outcome {
    if !child.filter.is_some_and(Filter::asks) || child.gate.is_none() {
        return Ok(());
    }
    wait_at_gate(child)?;
    talk::send(child.reports_to(), talk::READY).during("tell who started it")
}

fn wait_at_gate(child: &mut Child<'_>) -> Outcome {
    let Some(gate) = child.gate else { return Ok(()) };
    talk::send(child.report, talk::CREATED).during("tell the shim")?;
    let starter = loop {
        match rustix::net::accept_with(gate, SocketFlags::CLOEXEC) {
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            other => break other.during("wait for the start")?,
        }
    };
    child.found.starter = Some(starter);
    Ok(())
}

/// Becomes the program, or the small init that starts it. Returns only with the reason why not.
pub(super) fn execute(child: &Child<'_>) -> Problem {
    let name = child.process.args.first().map_or("", String::as_str);
    let c_strings = |strings: &mut dyn Iterator<Item = String>| -> Result<Vec<CString>, Problem> {
        strings
            .map(|text| {
                CString::new(text).map_err(|_| Problem::new("an argument or variable has a null in it"))
            })
            .collect()
    };
    let mut environment = child.process.env.clone();
    if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
        environment.push(format!("HOME={}", child.found.identity.home));
    }
    let prepared = c_strings(&mut child.process.args.iter().cloned())
        .and_then(|arguments| Ok((arguments, c_strings(&mut environment.into_iter())?)));
    let (arguments, environment) = match prepared {
        Ok(prepared) => prepared,
        Err(problem) => return problem,
    };
    let error = match child.own_program {
        Some(own) => {
            let first = [INIT_NAME.to_owned(), "--".to_owned()];
            let mut all = match c_strings(&mut first.into_iter()) {
                Ok(all) => all,
                Err(problem) => return problem,
            };
            all.push(child.found.program.clone());
            all.extend(arguments);
            sys::process::execute_descriptor(own, &all, &environment)
        }
        None => sys::process::execute(&child.found.program, &arguments, &environment),
    };
    let kind = match error {
        Errno::NOENT | Errno::NOTDIR => FailureKind::NotFound,
        Errno::ACCESS | Errno::PERM | Errno::NOEXEC => FailureKind::NotExecutable,
        _ => FailureKind::Other,
    };
    Problem::of_program(kind, format!("exec {}: {}", program_name(child, name), error_text(error)))
}

fn program_name(child: &Child<'_>, name: &str) -> String {
    child.found.program.to_str().unwrap_or(name).to_owned()
}
