//! Processes: cloned into new namespaces, spawned by a large threaded program, replaced by a program.
//!
//! Two ways to make a process, for two callers. [`clone_process`] is a fork with namespaces for a small program with
//! one thread: the child goes on with a copy of the memory, and may allocate. [`spawn`] is for a program with many
//! threads and a large memory: nothing is copied, and the child does nothing but arrange its descriptors and execute.
//! A child is named by a pidfd, which cannot come to mean another process.

mod signals;
mod spawn;

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::CStr;
use std::ptr;

pub use signals::{
    OnSignal, block_signals, next_signal, on_signal, reset_signals, signal_number, signal_pidfd, with_signals,
};
pub use spawn::{Spawn, execute, execute_descriptor, spawn};

/// New namespaces for [`clone_process`] and [`unshare`], namespaces(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewNamespaces(u64);

impl NewNamespaces {
    /// None.
    pub const NONE: NewNamespaces = NewNamespaces(0);
    /// Mounts.
    pub const MOUNT: NewNamespaces = NewNamespaces(libc::CLONE_NEWNS as u64);
    /// Processes.
    pub const PID: NewNamespaces = NewNamespaces(libc::CLONE_NEWPID as u64);
    /// Network.
    pub const NETWORK: NewNamespaces = NewNamespaces(libc::CLONE_NEWNET as u64);
    /// System V and POSIX inter-process communication.
    pub const IPC: NewNamespaces = NewNamespaces(libc::CLONE_NEWIPC as u64);
    /// Host name.
    pub const UTS: NewNamespaces = NewNamespaces(libc::CLONE_NEWUTS as u64);
    /// Control groups.
    pub const CGROUP: NewNamespaces = NewNamespaces(libc::CLONE_NEWCGROUP as u64);
    /// Users, groups and capabilities.
    pub const USER: NewNamespaces = NewNamespaces(libc::CLONE_NEWUSER as u64);
    /// Clocks, of the children to come: for [`unshare`] only, since the offsets are written before a process is in it.
    pub const TIME: NewNamespaces = NewNamespaces(0x80);

    /// Whether all of the other set are in this one.
    pub const fn contains(self, other: NewNamespaces) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: NewNamespaces) -> NewNamespaces {
        NewNamespaces(self.0 | other.0)
    }
}

/// Whose child a new process is, and what it shares with the one that makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kinship {
    /// A child of this process, with a copy of everything.
    #[default]
    Child,
    /// A child of this process's parent: the parent gets it when this process steps out of the way.
    Sibling,
}

impl Kinship {
    const fn flags(self) -> u64 {
        (match self {
            Kinship::Child => 0,
            Kinship::Sibling => libc::CLONE_PARENT,
        }) as u64
    }
}

/// `CLONE_PIDFD` and `CLONE_INTO_CGROUP` of clone(2).
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` of clone(2), as of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A child of this process.
#[derive(Debug)]
pub struct Cloned {
    /// Its number in this process's pid namespace.
    pub pid: Pid,
    /// The child itself, whatever later gets its number.
    pub pidfd: OwnedFd,
}

/// Ends a child whose closure unwinds: it must never run on in its parent's frames.
struct EndOfChild;

impl Drop for EndOfChild {
    fn drop(&mut self) {
        exit_now(255);
    }
}

/// Clones this process, which must have one thread, into new namespaces and, where named, a cgroup (v2) of its own.
/// The child runs `child` on a copy of the memory and exits with the code that it returns.
///
/// # Errors
/// `EDEADLK` if this process has more than one thread; otherwise what clone(2) says.
pub fn clone_process(
    namespaces: NewNamespaces,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> i32,
) -> Result<Cloned, Errno> {
    clone_relative(Kinship::Child, namespaces, cgroup, child)
}

/// [`clone_process`], where the new process need not be a child of this one. Only a parent can wait for its end.
///
/// # Errors
/// As [`clone_process`].
pub fn clone_relative(
    kinship: Kinship,
    namespaces: NewNamespaces,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> i32,
) -> Result<Cloned, Errno> {
    if thread_count()? != 1 {
        return Err(Errno::DEADLK);
    }
    let mut pidfd: RawFd = -1;
    let flags = namespaces.0 | kinship.flags() | CLONE_PIDFD;
    // SAFETY: without CLONE_VM and with no stack given both calls are fork(2) with namespaces: the child has its own
    // copy of the memory. There is one thread (checked above), so that no lock of the C library can be held by
    // another one. `arguments` and `pidfd` live across the calls, and the size is that of the struct.
    let result = unsafe {
        match cgroup {
            // The older call, which filters know and allow, where it is enough: its pidfd goes where the third
            // argument points.
            None => {
                let flags = flags | libc::SIGCHLD as u64;
                libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0)
            }
            Some(cgroup) => {
                let mut arguments = CloneArguments {
                    flags: flags | CLONE_INTO_CGROUP,
                    pidfd: ptr::addr_of_mut!(pidfd) as u64,
                    exit_signal: libc::SIGCHLD as u64,
                    cgroup: cgroup.as_raw_fd() as u64,
                    ..CloneArguments::default()
                };
                libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<CloneArguments>())
            }
        }
    };
    match result {
        0 => {
            let end = EndOfChild;
            let code = child();
            std::mem::forget(end);
            exit_now(code)
        }
        number if number > 0 => {
            // SAFETY: the kernel stored a new descriptor there that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Pid::from_raw(number as i32).map(|pid| Cloned { pid, pidfd }).ok_or(Errno::INVAL)
        }
        _ => Err(last_error()),
    }
}

/// The threads of this process: a task directory has a link for each and two of its own, proc(5).
fn thread_count() -> Result<u64, Errno> {
    Ok(rustix::fs::stat(c"/proc/self/task")?.st_nlink as u64 - 2)
}

/// Leaves at once: no destructors, no flushing.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// Moves this process into new namespaces of its own, unshare(2). Not for pid namespaces' sake: those hold children.
///
/// # Errors
/// What unshare(2) says.
pub fn unshare(namespaces: NewNamespaces) -> Result<(), Errno> {
    // SAFETY: only namespace flags can be in the set (its field is private), which touch no memory and no descriptor.
    check(unsafe { libc::unshare(namespaces.0 as i32) }.into()).map(drop)
}

/// Marks every descriptor from `first` on close-on-exec, close_range(2).
///
/// # Errors
/// What close_range(2) says; `ENOSYS` before Linux 5.11.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: the call changes flags of descriptors; none is closed, so no owner is surprised.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Lets the next program have a descriptor that this process was started with: it is no longer close-on-exec.
///
/// # Errors
/// `EBADF` if it is not open.
pub fn keep_on_exec(number: RawFd) -> Result<(), Errno> {
    // SAFETY: the call changes a flag of a descriptor; nothing is closed.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }.into()).map(drop)
}

/// A copy of the descriptor with this number, close-on-exec; for what another thread opens and this one only knows by
/// its number.
///
/// # Errors
/// `EBADF` if it is not open.
pub fn duplicate_number(number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: the call makes a new descriptor and leaves the one that it copies alone.
    let copy = check(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) }.into())?;
    // SAFETY: the kernel made it just now, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy as RawFd) })
}

/// The descriptors that this process was started with under these numbers. All others from 3 on are closed.
///
/// # Errors
/// `EALREADY` if it was called before; `EBADF` if a number is not open or stands there twice; otherwise what
/// close_range(2) says.
pub fn take_inherited(numbers: &[RawFd]) -> Result<Vec<OwnedFd>, Errno> {
    use std::sync::atomic::{AtomicBool, Ordering};
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(Errno::ALREADY);
    }
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    if sorted.first().is_some_and(|first| *first < 3) || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Errno::BADF);
    }
    let mut from = 3;
    for number in sorted.iter().copied().chain([RawFd::MAX]) {
        if number > from {
            // SAFETY: called once, at the start of `main`, before anything else opened a descriptor: nobody owns
            // what is closed here.
            check(unsafe { libc::syscall(libc::SYS_close_range, from, number - 1, 0) })?;
        }
        from = number.saturating_add(1);
    }
    let mut taken = Vec::with_capacity(numbers.len());
    for &number in numbers {
        // SAFETY: the number was inherited, stands there once (checked above) and is handed out once (`TAKEN`), so
        // that this is its only owner; `fcntl` below tells whether it is open, and a closed one is forgotten.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        if let Err(error) = rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC) {
            std::mem::forget(descriptor);
            return Err(error);
        }
        taken.push(descriptor);
    }
    Ok(taken)
}

/// Joins a session keyring of its own, so that the caller's keys are not inherited, keyctl(2).
///
/// # Errors
/// `ENOSYS` where the kernel has no keyrings; `EDQUOT` if the user has too many.
pub fn join_session_keyring(name: &CStr) -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: the name is terminated and lives across the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }).map(drop)
}

/// The error of the last call into the C library.
pub(crate) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// A raw call's result as a result.
pub(crate) fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result < 0 { Err(last_error()) } else { Ok(result) }
}
