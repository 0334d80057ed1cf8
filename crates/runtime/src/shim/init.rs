//! The small init: process 1 of a container that asked for one. It starts the command, passes every signal on to it,
//! reaps whatever ends, and ends as the command did.
//!
//! It is the shim's own program, executed anew inside the container under all its restrictions: nothing of the shim's
//! memory comes along. `bocage-init -- PROGRAM NAME ARGUMENT …`: the program's path, then its arguments.

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use sys::process::{NewNamespaces, OnSignal};

/// The exit codes of a shell for a command that is not found and for one that cannot be executed.
const NOT_FOUND: i32 = 127;
/// See above.
const NOT_EXECUTABLE: i32 = 126;
/// What is added to a signal's number to make an exit code.
const SIGNALLED: i32 = 128;
/// Ignored by the library that every program of ours is built with.
const SIGPIPE: i32 = 13;
/// SIGCHLD; and those that stop a process that reads or writes a terminal in the background.
const SIGCHLD: i32 = 17;
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;

/// Runs the command. Returns its exit code.
pub(super) fn main(arguments: Vec<OsString>) -> i32 {
    let words: Result<Vec<CString>, _> =
        arguments.into_iter().skip(2).map(|word| CString::new(word.into_vec())).collect();
    let Ok(words) = words else { return NOT_EXECUTABLE };
    let [program, command @ ..] = words.as_slice() else { return NOT_FOUND };
    let environment: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| {
            let mut entry = name.into_vec();
            entry.push(b'=');
            entry.extend(value.into_vec());
            CString::new(entry).ok()
        })
        .collect();
    // Signals wait from here on, so that none is lost between the start of the command and the first look.
    sys::process::block_signals();
    let started = sys::process::clone_process(NewNamespaces::NONE, None, || {
        // The command has the terminal, if there is one.
        if let Ok(group) = rustix::process::setpgid(None, None).map(|()| rustix::process::getpid()) {
            let _ = sys::process::on_signal(SIGTTOU, OnSignal::Ignore);
            let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), group);
        }
        sys::process::reset_signals(&[SIGPIPE, SIGTTOU]);
        match sys::process::execute(program, command, &environment) {
            Errno::NOENT => NOT_FOUND,
            _ => NOT_EXECUTABLE,
        }
    });
    match started {
        Ok(child) => pass_signals_until_the_end_of(child.pid),
        Err(_) => NOT_EXECUTABLE,
    }
}

fn pass_signals_until_the_end_of(child: Pid) -> i32 {
    let number = child.as_raw_nonzero().get();
    loop {
        match sys::process::next_signal() {
            Ok(SIGCHLD) => {
                if let Some(code) = reap(child) {
                    return code;
                }
            }
            Ok(SIGTTIN | SIGTTOU) => {}
            // A command that has ended meanwhile is reaped at the next turn.
            Ok(signal) => drop(sys::process::signal_number(number, signal)),
            Err(_) => return NOT_EXECUTABLE,
        }
    }
}

/// Reaps all that have ended. The command's exit code, if it was among them.
fn reap(child: Pid) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == child {
            let ended = status.exit_status().or_else(|| Some(SIGNALLED + status.terminating_signal()?));
            code = ended.or(code);
        }
    }
    code
}
