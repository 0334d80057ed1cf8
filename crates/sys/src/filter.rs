//! Loads a system call filter, seccomp(2). What the filter says is decided elsewhere.

use crate::process::check;
use rustix::fd::{FromRawFd, OwnedFd};
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
    load_with(instructions, 0, false).map(drop)
}

/// [`load`] with the kernel's flags (`SECCOMP_FILTER_FLAG_…`). Where the filter leaves calls to somebody (`asks`), on the
/// descriptor that is given back.
///
/// # Errors
/// As [`load`]; `EBUSY` where another filter of this process asks already.
pub fn load_with(instructions: &[Instruction], flags: u32, asks: bool) -> Result<Option<OwnedFd>, Errno> {
    const SECCOMP_FILTER_FLAG_NEW_LISTENER: u32 = 8;
    let flags = if asks { flags | SECCOMP_FILTER_FLAG_NEW_LISTENER } else { flags };
    const SECCOMP_SET_MODE_FILTER: libc::c_long = 1;
    if instructions.len() > INSTRUCTIONS_MAX {
        return Err(Errno::INVAL);
    }
    let program = Program { length: instructions.len() as u16, instructions: instructions.as_ptr() };
    // SAFETY: the program points to as many instructions as it says, which the kernel copies and verifies.
    let loaded = check(unsafe {
        libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    })?;
    // SAFETY: with the flag, and only then, the call returned a new descriptor that nobody else owns.
    Ok(asks.then(|| unsafe { OwnedFd::from_raw_fd(loaded as i32) }))
}
