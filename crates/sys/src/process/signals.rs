//! Signals: what they do here, waited for, and sent.

use super::{check, last_error};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use std::ptr;

/// What happens on a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSignal {
    /// The kernel's default.
    Default,
    /// Nothing.
    Ignore,
}

/// Sets what happens on a signal, signal(2).
///
/// # Errors
/// `EINVAL` for a number that is no signal, or SIGKILL or SIGSTOP.
pub fn on_signal(signal: i32, what: OnSignal) -> Result<(), Errno> {
    let handler = if what == OnSignal::Default { libc::SIG_DFL } else { libc::SIG_IGN };
    // SAFETY: neither of the two is a function that could run in this process.
    if unsafe { libc::signal(signal, handler) } == libc::SIG_ERR {
        return Err(last_error());
    }
    Ok(())
}

/// These signals back to their defaults and none blocked: what a new program expects. To be named are those that this
/// process ignores; handlers do not outlive the execution of a program.
pub fn reset_signals(ignored: &[i32]) {
    for signal in ignored {
        // One that cannot be changed is as it should be.
        let _ = on_signal(*signal, OnSignal::Default);
    }
    // SAFETY: the set is initialised before use; unblocking runs no handler of ours, there are none.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// A program that begins with no signal blocked, whatever this process has blocked for itself.
pub fn with_signals(command: &mut std::process::Command) -> &mut std::process::Command {
    let reset = || {
        reset_signals(&[]);
        Ok(())
    };
    // SAFETY: what runs in the child before the program makes one system call and takes no memory or lock.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, reset) }
}

/// Blocks every signal and waits for the next one: its number. For a small init that acts on all of them.
///
/// # Errors
/// What sigwaitinfo(2) says, interruption aside.
pub fn next_signal() -> Result<i32, Errno> {
    // SAFETY: the set is initialised before use and lives across the calls.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut());
        loop {
            let signal = libc::sigwaitinfo(&raw const all, ptr::null_mut());
            if signal > 0 {
                return Ok(signal);
            }
            let error = last_error();
            if error != Errno::INTR {
                return Err(error);
            }
        }
    }
}

/// Blocks every signal, so that [`next_signal`] misses none.
pub fn block_signals() {
    // SAFETY: the set is initialised before use.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut());
    }
}

/// Sends a signal to a process by its pidfd, pidfd_send_signal(2); any number that kill(2) takes.
///
/// # Errors
/// `ESRCH` once it has exited; `EINVAL` for a number that is no signal.
pub fn signal_pidfd(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: no information struct is passed; the descriptor is open.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// Sends a signal to a process by its number, kill(2); for children that are not reaped yet, or `-1` for all.
///
/// # Errors
/// `ESRCH` if there is none, `EINVAL` for a number that is no signal.
pub fn signal_number(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill(2) touches no memory.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}
