//! The verbs that make processes and end them.

use super::{Context, Failure, Outcome, terminal};
use clap::ArgMatches;
use runtime::bundle::config::{Capabilities, Process, User};
use runtime::bundle::state::read_bundle;
use runtime::bundle::{control, create as bundle, exec as bundle_exec};
use runtime::{Host, ShimProgram};
use rustix::fd::{BorrowedFd, OwnedFd, RawFd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, WaitId, WaitIdOptions};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// What is added to a signal's number to make an exit code.
const SIGNALLED: i32 = 128;

/// What the steps of a start need of the machine.
pub(super) fn host() -> Result<Host, Failure> {
    Ok(Host::new(ShimProgram::new(crate::daemon::SHIM)?)?)
}

/// The machine's control groups, for verbs that start nothing.
pub(super) fn layout() -> Result<runtime::cgroup::Layout, Failure> {
    Ok(runtime::cgroup::Layout::detect()?)
}

/// The id that a verb is about.
pub(super) fn id(matches: &ArgMatches) -> &str {
    matches.get_one::<String>("id").map_or("", String::as_str)
}

/// The words behind the id.
pub(super) fn more(matches: &ArgMatches) -> Vec<String> {
    matches.get_many::<String>("more").into_iter().flatten().cloned().collect()
}

fn path<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a Path> {
    matches.get_one::<PathBuf>(name).map(PathBuf::as_path)
}

/// Connects to the socket to which a terminal shall go.
fn console(matches: &ArgMatches) -> Result<Option<OwnedFd>, Failure> {
    let Some(path) = path(matches, "console-socket") else { return Ok(None) };
    let failed = |error: rustix::io::Errno| {
        Failure::new(format!(
            "connect to the console socket {}: {}",
            path.display(),
            std::io::Error::from(error)
        ))
    };
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(failed)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path).map_err(failed)?).map_err(failed)?;
    Ok(Some(socket))
}

/// The descriptors that the program shall have: those of the caller's, from 3 on, that are open.
fn preserved(matches: &ArgMatches) -> Vec<(RawFd, OwnedFd)> {
    let count = matches.get_one::<u32>("preserve-fds").copied().unwrap_or(0);
    // Looked at first: copies take numbers too.
    let is_open = |number: &RawFd| Path::new(&format!("/proc/self/fd/{number}")).exists();
    let open: Vec<RawFd> = (3..3 + count.cast_signed()).filter(is_open).collect();
    open.into_iter()
        .filter_map(|number| Some((number, sys::process::duplicate_number(number).ok()?)))
        .collect()
}

/// This process's environment, for hooks that bring none.
fn environment() -> Vec<String> {
    std::env::vars_os()
        .filter_map(|(name, value)| {
            Some(format!("{}={}", name.into_string().ok()?, value.into_string().ok()?))
        })
        .collect()
}

/// Says which capabilities of a configuration are passed over.
fn warn_of_unknown(process: Option<&Process>) {
    let unknown = runtime::bundle::process::unknown_capabilities(process);
    if !unknown.is_empty() {
        let names = unknown.join(" ");
        warn(Some(format!("ignoring unknown or unavailable capabilities: [{names}]")));
    }
}

fn described<'a>(matches: &'a ArgMatches, console: Option<OwnedFd>) -> Result<bundle::Create<'a>, Failure> {
    // Copied first: what is opened later takes no number that was meant.
    let preserved = preserved(matches);
    let bundle = read_bundle(path(matches, "bundle").unwrap_or(Path::new(".")))?;
    warn_of_unknown(bundle.1.process.as_ref());
    Ok(bundle::Create {
        id: id(matches),
        bundle,
        pid_file: path(matches, "pid-file"),
        preserved,
        env: environment(),
        console,
        no_pivot: matches.get_flag("no-pivot"),
        no_new_keyring: matches.get_flag("no-new-keyring"),
    })
}

pub(super) fn create(context: &Context, matches: &ArgMatches) -> Outcome {
    let what = described(matches, console(matches)?)?;
    bundle::create(&host()?, &context.store, &context.clock, what)?;
    Ok(0)
}

pub(super) fn start(context: &Context, matches: &ArgMatches) -> Outcome {
    bundle::start(&layout()?, &context.store, id(matches), &environment())?;
    Ok(0)
}

pub(super) fn run(context: &Context, matches: &ArgMatches) -> Outcome {
    let detach = matches.get_flag("detach");
    let mut what = described(matches, console(matches)?)?;
    let has_terminal = what.bundle.1.process.as_ref().is_some_and(|process| process.terminal);
    let mut relay = None;
    if has_terminal && what.console.is_none() {
        if detach {
            return Err(Failure::new(
                "a terminal and --detach need --console-socket: nobody would be there to hold the terminal",
            ));
        }
        let (ours, theirs) = terminal::pair()?;
        (relay, what.console) = (Some(ours), Some(theirs));
    }
    let host = host()?;
    let signals = if detach { None } else { Some(foreground()?) };
    let id = what.id.to_owned();
    let record = bundle::create(&host, &context.store, &context.clock, what)?;
    let terminal = relay.as_ref().map(terminal::Relay::accept).transpose()?;
    if let Err(error) = bundle::start(host.layout(), &context.store, &id, &environment()) {
        let _ = control::delete(&context.store, host.layout(), &id, true, &environment());
        return Err(error.into());
    }
    let Some(signals) = signals else { return Ok(0) };
    let code = wait_for(record.process.pid, terminal.as_ref(), &signals)?;
    if !matches.get_flag("keep") {
        warn(control::delete(&context.store, host.layout(), &id, true, &environment())?);
    }
    Ok(code)
}

/// Prepares for a process that this one stays with: its orphans come here, and signals are kept for it.
fn foreground() -> Result<terminal::Signals, Failure> {
    sys::attributes::adopt_orphans()
        .map_err(|error| Failure::new(format!("become the one that orphans come to: {error}")))?;
    terminal::signals()
}

fn warn(what: Option<String>) {
    if let Some(what) = what {
        cli::print_error(&format!("warning: {what}"));
    }
}

/// Waits for a process that is or will be this one's child, passing signals and the terminal on to it: its exit code.
fn wait_for(pid: u32, terminal: Option<&terminal::Relay>, signals: &terminal::Signals) -> Outcome {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let number = number.ok_or_else(|| Failure::new("the process has no number"))?;
    let pidfd = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty())
        .map_err(|error| Failure::new(format!("find the process: {error}")))?;
    terminal::pass_on(pidfd.as_fd(), terminal, signals)?;
    reap(pidfd.as_fd())
}

fn reap(pidfd: BorrowedFd<'_>) -> Outcome {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(Some(ended)) => {
                let code = ended.exit_status().or_else(|| Some(SIGNALLED + ended.terminating_signal()?));
                return Ok(u8::try_from(code.unwrap_or(255)).unwrap_or(255));
            }
            Ok(None) => {}
            Err(error) => return Err(Failure::new(format!("wait for the process: {error}"))),
        }
    }
}

pub(super) fn state(context: &Context, matches: &ArgMatches) -> Outcome {
    let (record, status) = control::look(&context.store, &layout()?, id(matches))?;
    super::report::json(&record.state(status))
}

pub(super) fn kill(context: &Context, matches: &ArgMatches) -> Outcome {
    let words = more(matches);
    let signal = match words.as_slice() {
        [] => base::signal::TERM,
        [word] => signal(word)?,
        [_, rest @ ..] => return Err(Failure::new(format!("kill takes one signal; {rest:?} is too much"))),
    };
    control::kill(&context.store, &layout()?, id(matches), signal, matches.get_flag("all"))?;
    Ok(0)
}

/// A signal by its number or its name; 0 only asks whether the process is there, as kill(2) has it.
fn signal(word: &str) -> Result<i32, Failure> {
    if word == "0" {
        return Ok(0);
    }
    base::signal::parse(word).ok_or_else(|| {
        Failure::new(format!("unknown signal {word:?}: give a number or a name such as SIGTERM"))
    })
}

pub(super) fn delete(context: &Context, matches: &ArgMatches) -> Outcome {
    let force = matches.get_flag("force");
    warn(control::delete(&context.store, &layout()?, id(matches), force, &environment())?);
    Ok(0)
}

pub(super) fn exec(context: &Context, matches: &ArgMatches) -> Outcome {
    let detach = matches.get_flag("detach");
    let preserved = preserved(matches);
    let mut console = console(matches)?;
    let process = process(context, matches)?;
    warn_of_unknown(Some(&process));
    let mut relay = None;
    if process.terminal && console.is_none() {
        if detach {
            return Err(Failure::new(
                "--tty and --detach need --console-socket: nobody would be there to hold the terminal",
            ));
        }
        let (ours, theirs) = terminal::pair()?;
        (relay, console) = (Some(ours), Some(theirs));
    }
    let signals = if detach { None } else { Some(foreground()?) };
    let groups: Vec<&String> = matches.get_many("cgroup").into_iter().flatten().collect();
    let cgroup = match groups.as_slice() {
        [] => None,
        [one] => Some(one.rsplit_once(':').map_or(one.as_str(), |(_, path)| path)),
        _ => return Err(Failure::new("--cgroup: one path for all hierarchies, please")),
    };
    let what = bundle_exec::Exec {
        id: id(matches),
        process,
        pid_file: path(matches, "pid-file"),
        console,
        preserved,
        cgroup,
        ignore_paused: matches.get_flag("ignore-paused"),
    };
    let started = bundle_exec::exec(&host()?, &context.store, &what)?;
    let Some(signals) = signals else { return Ok(0) };
    let terminal = relay.as_ref().map(terminal::Relay::accept).transpose()?;
    wait_for(started.pid, terminal.as_ref(), &signals)
}

/// What `exec` is to run: a file's description, or the container's own process with what the flags change about it.
fn process(context: &Context, matches: &ArgMatches) -> Result<Process, Failure> {
    if let Some(path) = path(matches, "process") {
        return Ok(bundle_exec::read_process(path)?);
    }
    let mut process = bundle_exec::template(&context.store, id(matches))?;
    process.args = more(matches);
    process.terminal = matches.get_flag("tty");
    if let Some(cwd) = matches.get_one::<String>("cwd") {
        process.cwd = PathBuf::from(cwd);
    }
    process.env.extend(matches.get_many::<String>("env").into_iter().flatten().cloned());
    if let Some(user) = matches.get_one::<String>("user") {
        process.user = user_of(user, process.user)?;
    }
    for group in matches.get_many::<String>("additional-gids").into_iter().flatten() {
        let wrong = || Failure::new(format!("--additional-gids: {group:?} is no group's number"));
        process.user.additional_gids.push(group.parse().map_err(|_| wrong())?);
    }
    if let Some(label) = matches.get_one::<String>("process-label") {
        process.selinux_label = Some(label.clone());
    }
    if let Some(profile) = matches.get_one::<String>("apparmor") {
        process.apparmor_profile = Some(profile.clone());
    }
    process.no_new_privileges |= matches.get_flag("no-new-privs");
    let capabilities: Vec<String> = matches.get_many("cap").into_iter().flatten().cloned().collect();
    if !capabilities.is_empty() {
        let sets = process.capabilities.get_or_insert_with(Capabilities::default);
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.extend(capabilities.iter().cloned());
        }
    }
    Ok(process)
}

fn user_of(word: &str, before: User) -> Result<User, Failure> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| Failure::new(format!("--user: {text:?} is no number of a user or group")))
    };
    let (uid, gid) = word.split_once(':').map_or((word, None), |(uid, gid)| (uid, Some(gid)));
    let gid = gid.map(number).transpose()?.unwrap_or(before.gid);
    Ok(User { uid: number(uid)?, gid, ..before })
}
