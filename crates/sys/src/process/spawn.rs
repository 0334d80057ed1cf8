//! Programs: started beside this one, or in its place.

use super::last_error;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::{CStr, CString};
use std::ptr;

/// A program to be started by [`spawn`].
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The program, open; it may be a sealed memory file.
    pub program: BorrowedFd<'a>,
    /// Its arguments, its name first.
    pub arguments: &'a [CString],
    /// Its environment, `NAME=value`.
    pub environment: &'a [CString],
    /// Descriptors it inherits, and under which numbers; all others of this process should be close-on-exec.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
}

/// Starts a program in a session of its own with default signals, without copying this process's memory. Standard
/// input, output and error are `/dev/null` unless they are among the descriptors.
///
/// # Errors
/// What posix_spawn(3) says: a missing program, too many processes or descriptors.
pub fn spawn(spawn: &Spawn<'_>) -> Result<Pid, Errno> {
    // Every source is moved above all targets first: no target can then overwrite a source that is still needed.
    let above = spawn.descriptors.iter().map(|(_, number)| *number).max().unwrap_or(2).max(2) + 1;
    let mut sources = Vec::with_capacity(spawn.descriptors.len());
    for (descriptor, number) in spawn.descriptors {
        sources.push((rustix::io::fcntl_dupfd_cloexec(descriptor, above)?, *number));
    }
    let program = rustix::io::fcntl_dupfd_cloexec(spawn.program, above)?;
    let path = CString::new(format!("/proc/self/fd/{}", program.as_raw_fd())).map_err(|_| Errno::INVAL)?;
    let arguments = pointers(spawn.arguments);
    let environment = pointers(spawn.environment);
    let mut plan = SpawnPlan::new()?;
    for number in 0..3 {
        if !sources.iter().any(|(_, taken)| *taken == number) {
            plan.open_null(number)?;
        }
    }
    for (source, number) in &sources {
        plan.duplicate(source.as_fd(), *number)?;
    }
    plan.run(&path, &arguments, &environment)
}

/// The pointers of an argument vector, with the null at its end.
fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    strings.iter().map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

/// The two opaque objects of posix_spawn(3), initialised together and destroyed together.
struct SpawnPlan {
    actions: libc::posix_spawn_file_actions_t,
    attributes: libc::posix_spawnattr_t,
}

impl SpawnPlan {
    /// A new session, an empty signal mask, no signal ignored.
    fn new() -> Result<Box<SpawnPlan>, Errno> {
        let flags =
            i32::from(libc::POSIX_SPAWN_SETSID) | libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        // SAFETY: both are plain C structs for which zeroes are valid bytes; they are initialised below before use,
        // and boxed so that they do not move between their initialisation and their end.
        let mut plan: Box<SpawnPlan> = Box::new(unsafe { std::mem::zeroed() });
        // SAFETY: each call gets a pointer to an object that lives in `plan`, the sets are initialised before use,
        // and no failure is possible for initialised objects and flags that exist.
        unsafe {
            let mut signals: libc::sigset_t = std::mem::zeroed();
            libc::posix_spawn_file_actions_init(&raw mut plan.actions);
            libc::posix_spawnattr_init(&raw mut plan.attributes);
            libc::sigemptyset(&raw mut signals);
            libc::posix_spawnattr_setsigmask(&raw mut plan.attributes, &raw const signals);
            // What a program is started with ignored is what its parent ignores, which is this one alone in programs of
            // ours; handlers end with the execution by themselves.
            libc::sigaddset(&raw mut signals, libc::SIGPIPE);
            libc::posix_spawnattr_setsigdefault(&raw mut plan.attributes, &raw const signals);
            libc::posix_spawnattr_setflags(&raw mut plan.attributes, flags as libc::c_short);
        }
        Ok(plan)
    }

    fn open_null(&mut self, number: RawFd) -> Result<(), Errno> {
        // SAFETY: the actions are initialised, and the path is a constant that the call copies.
        check_code(unsafe {
            libc::posix_spawn_file_actions_addopen(
                &raw mut self.actions,
                number,
                c"/dev/null".as_ptr(),
                libc::O_RDWR,
                0,
            )
        })
    }

    fn duplicate(&mut self, source: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
        // SAFETY: the actions are initialised; the numbers are only stored here.
        check_code(unsafe {
            libc::posix_spawn_file_actions_adddup2(&raw mut self.actions, source.as_raw_fd(), number)
        })
    }

    fn run(
        &self,
        path: &CStr,
        arguments: &[*mut libc::c_char],
        environment: &[*mut libc::c_char],
    ) -> Result<Pid, Errno> {
        let mut pid = 0;
        // SAFETY: actions and attributes are initialised, path and both vectors are terminated and outlive the call.
        check_code(unsafe {
            libc::posix_spawn(
                &raw mut pid,
                path.as_ptr(),
                &raw const self.actions,
                &raw const self.attributes,
                arguments.as_ptr(),
                environment.as_ptr(),
            )
        })?;
        Pid::from_raw(pid).ok_or(Errno::INVAL)
    }
}

impl Drop for SpawnPlan {
    fn drop(&mut self) {
        // SAFETY: both were initialised by `new` and are not used again.
        unsafe {
            libc::posix_spawn_file_actions_destroy(&raw mut self.actions);
            libc::posix_spawnattr_destroy(&raw mut self.attributes);
        }
    }
}

/// Replaces this process by a program, execve(2). Returns only if that failed.
pub fn execute(path: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: path and both vectors are terminated and live across the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr().cast(), environment.as_ptr().cast()) };
    last_error()
}

/// Replaces this process by the program that a descriptor holds, execveat(2). Returns only if that failed.
pub fn execute_descriptor(program: BorrowedFd<'_>, arguments: &[CString], environment: &[CString]) -> Errno {
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: the empty path and both vectors are terminated and live across the call; the descriptor is open.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    last_error()
}

/// The result of a call that returns its error instead of setting `errno`.
fn check_code(code: libc::c_int) -> Result<(), Errno> {
    if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(code)) }
}
