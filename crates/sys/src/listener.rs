//! Hears of system calls that wait for a decision, seccomp_unotify(2), and lets them go on. Which calls wait says the filter that was
//! loaded with [`FLAG_LISTENER`](crate::filter::FLAG_LISTENER).

use crate::process::check;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

/// What a filter returns for a call that is to wait for its listener (`SECCOMP_RET_USER_NOTIF`).
pub const WAIT_FOR_LISTENER: u32 = 0x7fc0_0000;

/// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND`: `_IOWR('!', 0 and 1)` of the two structures below.
const RECEIVE: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;

/// A call that waits, `struct seccomp_notif`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitingCall {
    id: u64,
    /// The thread that makes it.
    pub thread: u32,
    flags: u32,
    /// Which call it is.
    pub number: i32,
    /// The machine whose numbers are meant, as audit(7) names it.
    pub machine: u32,
    instruction: u64,
    /// What it was given; pointers are those of its process.
    pub arguments: [u64; 6],
}

/// What becomes of it, `struct seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

const _: () = assert!(size_of::<WaitingCall>() == 0x50 && size_of::<Answer>() == 0x18);

/// Waits for the next call that waits.
///
/// # Errors
/// `ENOENT` where its process was killed meanwhile, `EINTR` for a signal.
pub fn waiting_call(listener: BorrowedFd<'_>) -> Result<WaitingCall, Errno> {
    let mut call = WaitingCall::default();
    // SAFETY: the structure has the kernel's layout, is all zeros as the kernel wants it, and lives across the call.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE as libc::Ioctl, &raw mut call) };
    check(libc::c_long::from(done))?;
    Ok(call)
}

/// Lets a call that waits be carried out.
///
/// # Errors
/// `ENOENT` where its process was killed meanwhile.
pub fn let_go_on(listener: BorrowedFd<'_>, call: &WaitingCall) -> Result<(), Errno> {
    let answer = Answer { id: call.id, value: 0, error: 0, flags: CONTINUE };
    // SAFETY: the structure has the kernel's layout and lives across the call.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), SEND as libc::Ioctl, &raw const answer) };
    check(libc::c_long::from(done)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{FLAG_LISTENER, Instruction, load_with};
    use rustix::fd::AsFd;
    use std::sync::mpsc;

    /// Load the number of the call; wait for the listener if it is the one; allow it otherwise.
    fn waiting_for(number: libc::c_long) -> [Instruction; 4] {
        let instruction = |code, no, operand| Instruction { code, yes: 0, no, operand };
        [
            instruction(0x20, 0, 0),
            instruction(0x15, 1, number as u32),
            instruction(0x06, 0, WAIT_FOR_LISTENER),
            instruction(0x06, 0, 0x7fff_0000),
        ]
    }

    #[test]
    fn a_call_that_waits_is_told_and_carried_out_when_it_may_go_on() {
        let (give, given) = mpsc::channel();
        let caller = std::thread::spawn(move || {
            let loaded = load_with(&waiting_for(libc::SYS_getpriority), FLAG_LISTENER);
            let has_filter = loaded.is_ok();
            give.send(loaded).unwrap();
            has_filter.then(|| rustix::process::getpriority_process(None))
        });
        let listener = match given.recv().unwrap() {
            Ok(listener) => listener.unwrap(),
            Err(error) => {
                println!("SKIP: no listener for system calls can be had here: {error}");
                return;
            }
        };
        let call = waiting_call(listener.as_fd()).unwrap();
        assert_eq!(libc::c_long::from(call.number), libc::SYS_getpriority);
        let_go_on(listener.as_fd(), &call).unwrap();
        assert!(caller.join().unwrap().unwrap().is_ok());
        assert_eq!(let_go_on(listener.as_fd(), &call), Err(Errno::NOENT));
    }
}
