//! Counts the steps of some work, and kills the process before one of them.

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use sys::filter::{FLAG_LISTENER, Instruction, load_with};
use sys::listener::{WAIT_FOR_LISTENER, let_go_on, waiting_call};

/// Calls that may change what is on a disk, by number.
const CHANGING: [libc::c_long; 36] = [
    libc::SYS_write,
    libc::SYS_pwrite64,
    libc::SYS_writev,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_copy_file_range,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_utimensat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_ioctl,
    libc::SYS_io_uring_enter,
    libc::SYS_msync,
];
/// The older forms of the same, which one machine has.
#[cfg(target_arch = "x86_64")]
const OLDER: [libc::c_long; 11] = [
    libc::SYS_rename,
    libc::SYS_unlink,
    libc::SYS_rmdir,
    libc::SYS_mkdir,
    libc::SYS_mknod,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_creat,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: [libc::c_long; 0] = [];

/// Where a filter finds the number of a call, and the lower half of an argument (`struct seccomp_data`).
const NUMBER_AT: u32 = 0;
const ARGUMENTS_AT: u32 = 16;
const LOAD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7fff_0000;

fn instruction(code: u16, yes: u8, no: u8, operand: u32) -> Instruction {
    Instruction { code, yes, no, operand }
}

/// The filter: calls that change something wait, and of those that open only those that create.
fn program() -> Vec<Instruction> {
    let mut program = vec![instruction(LOAD, 0, 0, NUMBER_AT)];
    for number in CHANGING.iter().chain(&OLDER) {
        program.push(instruction(IF_EQUAL, 0, 1, *number as u32));
        program.push(instruction(RETURN, 0, 0, WAIT_FOR_LISTENER));
    }
    let mut opens = vec![(libc::SYS_openat, 2)];
    #[cfg(target_arch = "x86_64")]
    opens.push((libc::SYS_open, 1));
    for (number, flags_argument) in opens {
        program.push(instruction(IF_EQUAL, 0, 4, number as u32));
        program.push(instruction(LOAD, 0, 0, ARGUMENTS_AT + 8 * flags_argument));
        program.push(instruction(IF_ANY_BIT, 0, 1, libc::O_CREAT as u32));
        program.push(instruction(RETURN, 0, 0, WAIT_FOR_LISTENER));
        program.push(instruction(RETURN, 0, 0, ALLOW));
    }
    program.push(instruction(RETURN, 0, 0, ALLOW));
    program
}

/// Does some work in a thread of its own, and kills the process before the step of that number, which is not carried out. Returns
/// how many there were.
pub(super) fn killed_before(step: u64, work: impl FnOnce() + Send + 'static) -> Result<u64, Errno> {
    let (give, given) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let loaded = load_with(&program(), FLAG_LISTENER);
        let has_filter = loaded.is_ok();
        // Whoever waits for it lives until this thread ends.
        let _ = give.send(loaded);
        if has_filter {
            work();
        }
    });
    let listener = given.recv().unwrap()?.unwrap();
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    // Ends with the process.
    std::thread::spawn(move || count(&listener, step, &counted));
    worker.join().unwrap();
    Ok(steps.load(Ordering::SeqCst))
}

fn count(listener: &OwnedFd, step: u64, steps: &AtomicU64) {
    loop {
        let call = match waiting_call(listener.as_fd()) {
            Ok(call) => call,
            Err(Errno::INTR | Errno::NOENT) => continue,
            Err(error) => panic!("{error}"),
        };
        if steps.fetch_add(1, Ordering::SeqCst) + 1 == step {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        let _ = let_go_on(listener.as_fd(), &call);
    }
}
