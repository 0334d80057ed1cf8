//! Programs that decide over a control group's devices, bpf(2): loaded into the kernel and attached to a v2 group.
//! What a program says is decided elsewhere.

use crate::process::check;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

/// One instruction of the extended BPF machine, `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u8,
    /// The destination register in the low four bits, the source register in the high ones.
    pub registers: u8,
    /// The offset of a jump or of a load.
    pub offset: i16,
    /// The operand.
    pub operand: i32,
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The part of `union bpf_attr` that loading uses.
#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// The part of `union bpf_attr` that attaching uses.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads a program and attaches it to a group, beside those of the groups above it. It goes when the group goes.
///
/// # Errors
/// `EACCES` or `EINVAL` for a program that the kernel does not accept, `EPERM` without `CAP_BPF` or `CAP_SYS_ADMIN`,
/// `ENOSYS` or `EINVAL` where the kernel was built without such programs.
pub fn attach(group: BorrowedFd<'_>, instructions: &[Instruction]) -> Result<(), Errno> {
    let load = Load {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        instructions: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        attach_type: BPF_CGROUP_DEVICE,
        ..Load::default()
    };
    // SAFETY: the struct has the kernel's layout, its size is given, and what it points to lives across the call; the
    // kernel verifies the program before it accepts it.
    let program =
        check(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<Load>()) })?;
    // SAFETY: the call returned a new descriptor that nobody else owns.
    let program = unsafe { OwnedFd::from_raw_fd(program as i32) };
    let attach = Attach {
        target: group.as_raw_fd().unsigned_abs(),
        program: program.as_raw_fd().unsigned_abs(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the struct has the kernel's layout, its size is given, and both descriptors are open.
    check(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attach, size_of::<Attach>()) })
        .map(drop)
}
