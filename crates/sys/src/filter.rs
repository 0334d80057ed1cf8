//! Loads a system call filter, seccomp(2). What the filter says is decided elsewhere.

use crate::process::check;
use rustix::fd::{FromRawFd, OwnedFd, RawFd};
use rustix::io::Errno;

/// One instruction of a classic BPF program, `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How many instructions are skipped if a comparison holds.
    pub yes: u8,
    /// How many are skipped if it does not.
    pub no: u8,
    /// The operand.
    pub operand: u32,
}

/// The longest program that the kernel takes, in instructions (`BPF_MAXINSNS`).
pub const INSTRUCTIONS_MAX: usize = 4096;

/// `SECCOMP_FILTER_FLAG_LOG`: the kernel's log has a line on every call that is not allowed.
pub const FLAG_LOG: u32 = 1 << 1;
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: the filter does not slow the processor's speculation down.
pub const FLAG_SPECULATION: u32 = 1 << 2;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: loading gives a descriptor, on which calls wait for a decision.
pub const FLAG_LISTENER: u32 = 1 << 3;
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`: a call whose decision has begun waits through all signals that do not kill.
/// Linux 5.19; only together with [`FLAG_LISTENER`].
pub const FLAG_WAIT_KILLABLE: u32 = 1 << 5;

#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Filters every further system call of this thread and of what it starts.
///
/// # Errors
/// `EINVAL` for a program that the kernel does not accept, `EACCES` without `CAP_SYS_ADMIN` and `no_new_privs`.
pub fn load(instructions: &[Instruction]) -> Result<(), Errno> {
    load_with(instructions, 0).map(drop)
}

/// The same with flags. With [`FLAG_LISTENER`] it gives the listener, closed on execution of another program.
///
/// # Errors
/// As [`load`]; `EINVAL` too for flags that this kernel does not know, `EBUSY` where a listener is in place already.
pub fn load_with(instructions: &[Instruction], flags: u32) -> Result<Option<OwnedFd>, Errno> {
    const SECCOMP_SET_MODE_FILTER: libc::c_long = 1;
    if instructions.len() > INSTRUCTIONS_MAX {
        return Err(Errno::INVAL);
    }
    let program = Program { length: instructions.len() as u16, instructions: instructions.as_ptr() };
    let flags_long = libc::c_long::from(flags);
    // SAFETY: the program points to as many instructions as it says, which the kernel copies and verifies.
    let given = check(unsafe {
        libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags_long, &raw const program)
    })?;
    if flags & FLAG_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with this flag the kernel gives a new descriptor, which nobody else has.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(given as RawFd) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW_ALL: [Instruction; 1] = [Instruction { code: 0x06, yes: 0, no: 0, operand: 0x7fff_0000 }];

    /// Loads in a thread of its own: a filter stays for as long as its thread lives. None where that is not allowed.
    fn loaded(instructions: &'static [Instruction], flags: u32) -> Option<Result<Option<OwnedFd>, Errno>> {
        let load = move || load_with(instructions, flags);
        let result = std::thread::spawn(load).join().unwrap();
        if matches!(result, Err(Errno::ACCESS)) {
            println!("SKIP: filters may be loaded by root only");
            return None;
        }
        Some(result)
    }

    #[test]
    fn only_a_listener_gives_a_descriptor() {
        let Some(plain) = loaded(&ALLOW_ALL, FLAG_LOG | FLAG_SPECULATION) else { return };
        assert!(plain.unwrap().is_none());
        let listener = loaded(&ALLOW_ALL, FLAG_LISTENER).unwrap().unwrap().unwrap();
        let flags = rustix::io::fcntl_getfd(&listener).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn what_the_kernel_does_not_know_is_its_error() {
        let Some(unknown) = loaded(&ALLOW_ALL, 1 << 30) else { return };
        assert_eq!(unknown.unwrap_err(), Errno::INVAL);
        assert_eq!(loaded(&[], 0).unwrap().unwrap_err(), Errno::INVAL);
    }
}
