//! The attacker's tool: one small static program that makes system calls which no shell can make, and says what came back.
//!
//! Black-box tests put it into a container and read what it prints: one line for each question, `NAME ANSWER`, where an answer is a
//! number or the kernel's name of an error.
//!
//! | words | what it does |
//! |---|---|
//! | `calls` | makes each call of [`CALLS`], with arguments that change nothing, in a child of its own |
//! | `keyring` | the number of the session keyring |
//! | `add-key NAME` | puts a key into the session keyring |
//! | `find-key NAME` | looks for a key in the session keyring |
//! | `attach PID` | traces a process, and lets go of it again |
//! | `peek PID ADDRESS` | reads eight bytes of a process's memory, by process_vm_readv(2) and by its file in `/proc` |
//! | `connect NAME` | connects to an abstract unix socket |
//! | `exchange A B` | exchanges two names for ever, as fast as it can |
//! | `hog MIB` | takes so much memory and touches each page |
//!
//! Absent on purpose: everything that would do harm if a container held nothing back.

#![allow(unsafe_code, reason = "a program whose whole purpose is system calls; it is no part of the product")]
#![allow(clippy::print_stdout, reason = "what it prints is its answer")]
#![allow(clippy::disallowed_methods, reason = "a test program reads its arguments")]

use std::ffi::CString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::ExitCode;

use libc::c_long;

/// An address that no process has anything at, and a number that no descriptor and no process has.
const NOWHERE: c_long = -1;
/// A user namespace, as a flag of clone(2) and unshare(2).
const NEW_USER: c_long = 0x1000_0000;
/// `ADDR_NO_RANDOMIZE` of personality(2): it makes an attack on a program easier.
const NO_RANDOM_ADDRESSES: c_long = 0x004_0000;
/// The session keyring, keyctl(2).
const SESSION: c_long = -3;
/// Operations of keyctl(2).
const GET_KEYRING_ID: c_long = 0;
/// See above.
const SEARCH: c_long = 10;
/// `RENAME_EXCHANGE` of renameat2(2).
const EXCHANGE: c_long = 2;
/// What a child answers instead of an error where the call was made.
const MADE: i32 = 0;

/// Calls that a container has no business with: name, number, the first two arguments; all others are [`NOWHERE`].
const CALLS: &[(&str, c_long, [c_long; 2])] = &[
    ("acct", libc::SYS_acct, [NOWHERE, NOWHERE]),
    ("add_key", libc::SYS_add_key, [NOWHERE, NOWHERE]),
    ("bpf", libc::SYS_bpf, [NOWHERE, NOWHERE]),
    ("clock_settime", libc::SYS_clock_settime, [NOWHERE, NOWHERE]),
    ("clone", libc::SYS_clone, [NEW_USER | libc::SIGCHLD as c_long, 0]),
    ("delete_module", libc::SYS_delete_module, [NOWHERE, NOWHERE]),
    ("finit_module", libc::SYS_finit_module, [NOWHERE, NOWHERE]),
    ("fsconfig", libc::SYS_fsconfig, [NOWHERE, NOWHERE]),
    ("fsmount", libc::SYS_fsmount, [NOWHERE, NOWHERE]),
    ("fsopen", libc::SYS_fsopen, [NOWHERE, 0]),
    ("fspick", libc::SYS_fspick, [NOWHERE, NOWHERE]),
    ("get_mempolicy", libc::SYS_get_mempolicy, [NOWHERE, NOWHERE]),
    ("init_module", libc::SYS_init_module, [NOWHERE, NOWHERE]),
    ("io_uring_enter", libc::SYS_io_uring_enter, [NOWHERE, NOWHERE]),
    ("io_uring_register", libc::SYS_io_uring_register, [NOWHERE, NOWHERE]),
    ("io_uring_setup", libc::SYS_io_uring_setup, [1, NOWHERE]),
    ("ioperm", libc::SYS_ioperm, [NOWHERE, NOWHERE]),
    ("iopl", libc::SYS_iopl, [NOWHERE, NOWHERE]),
    ("kcmp", libc::SYS_kcmp, [NOWHERE, NOWHERE]),
    ("kexec_file_load", libc::SYS_kexec_file_load, [NOWHERE, NOWHERE]),
    ("kexec_load", libc::SYS_kexec_load, [NOWHERE, NOWHERE]),
    ("keyctl", libc::SYS_keyctl, [GET_KEYRING_ID, SESSION]),
    ("lookup_dcookie", libc::SYS_lookup_dcookie, [NOWHERE, NOWHERE]),
    ("mbind", libc::SYS_mbind, [NOWHERE, NOWHERE]),
    ("mount", libc::SYS_mount, [NOWHERE, NOWHERE]),
    ("mount_setattr", libc::SYS_mount_setattr, [NOWHERE, NOWHERE]),
    ("move_mount", libc::SYS_move_mount, [NOWHERE, NOWHERE]),
    ("move_pages", libc::SYS_move_pages, [NOWHERE, NOWHERE]),
    ("nfsservctl", libc::SYS_nfsservctl, [NOWHERE, NOWHERE]),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, [NOWHERE, NOWHERE]),
    ("open_tree", libc::SYS_open_tree, [NOWHERE, NOWHERE]),
    ("perf_event_open", libc::SYS_perf_event_open, [NOWHERE, NOWHERE]),
    ("personality", libc::SYS_personality, [NO_RANDOM_ADDRESSES, NOWHERE]),
    ("pivot_root", libc::SYS_pivot_root, [NOWHERE, NOWHERE]),
    ("quotactl", libc::SYS_quotactl, [NOWHERE, NOWHERE]),
    ("reboot", libc::SYS_reboot, [NOWHERE, NOWHERE]),
    ("request_key", libc::SYS_request_key, [NOWHERE, NOWHERE]),
    ("set_mempolicy", libc::SYS_set_mempolicy, [NOWHERE, NOWHERE]),
    ("setns", libc::SYS_setns, [NOWHERE, NOWHERE]),
    ("settimeofday", libc::SYS_settimeofday, [NOWHERE, NOWHERE]),
    ("socket(AF_VSOCK)", libc::SYS_socket, [libc::AF_VSOCK as c_long, libc::SOCK_STREAM as c_long]),
    ("swapoff", libc::SYS_swapoff, [NOWHERE, NOWHERE]),
    ("swapon", libc::SYS_swapon, [NOWHERE, NOWHERE]),
    ("umount2", libc::SYS_umount2, [NOWHERE, NOWHERE]),
    ("unshare", libc::SYS_unshare, [NEW_USER, NOWHERE]),
    ("userfaultfd", libc::SYS_userfaultfd, [NOWHERE, NOWHERE]),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["calls"] => CALLS.iter().for_each(|(name, number, first)| say(name, &in_child(*number, *first))),
        ["keyring"] => say("keyring", &keyctl(GET_KEYRING_ID, None)),
        ["add-key", name] => say("add-key", &add_key(name)),
        ["find-key", name] => say("find-key", &keyctl(SEARCH, Some(name))),
        ["attach", pid] => say("attach", &attach(number(pid))),
        ["peek", pid, address] => peek(number(pid), number(address)),
        ["connect", name] => say("connect", &shown(connect(name))),
        ["exchange", one, other] => exchange(one, other),
        ["hog", mib] => hog(number(mib)),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

fn say(name: &str, answer: &str) {
    println!("{name} {answer}");
}

fn number(word: &str) -> c_long {
    word.parse().unwrap_or_default()
}

fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// An answer of the kernel as a word.
fn shown(answer: io::Result<c_long>) -> String {
    answer
        .map_or_else(|error| error_name(error.raw_os_error().unwrap_or_default()), |value| value.to_string())
}

fn error_name(number: i32) -> String {
    let known = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::ESRCH, "ESRCH"),
        (libc::EACCES, "EACCES"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
        (libc::ENOKEY, "ENOKEY"),
    ];
    known
        .iter()
        .find(|(value, _)| *value == number)
        .map_or_else(|| format!("E{number}"), |(_, name)| (*name).to_owned())
}

/// Makes a call with six arguments.
fn call(number: c_long, arguments: [c_long; 6]) -> io::Result<c_long> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: every pointer among the arguments is either one that this program owns and that lives across the call, or
    // `NOWHERE`, which the kernel refuses to read or write.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Makes a call in a child that ends with what came back: what a call changes of a process ends with it.
fn in_child(number: c_long, first: [c_long; 2]) -> String {
    // SAFETY: this program has one thread; the child makes one call and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let made = call(number, [first[0], first[1], NOWHERE, NOWHERE, NOWHERE, NOWHERE]);
        let code = made.err().and_then(|error| error.raw_os_error()).unwrap_or(MADE);
        // SAFETY: leaves at once; a second child, of a clone that was let through, ends here too.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the status is this function's own.
    if child < 0 || unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
        return "nothing".to_owned();
    }
    match libc::WEXITSTATUS(status) {
        _ if !libc::WIFEXITED(status) => "killed".to_owned(),
        MADE => "made".to_owned(),
        error => error_name(error),
    }
}

/// Asks for the session keyring, or for a key in it.
fn keyctl(operation: c_long, name: Option<&str>) -> String {
    let (kind, name) = (c_string("user"), c_string(name.unwrap_or_default()));
    let arguments = if operation == SEARCH {
        [operation, SESSION, kind.as_ptr() as c_long, name.as_ptr() as c_long, 0, 0]
    } else {
        [operation, SESSION, 0, 0, 0, 0]
    };
    shown(call(libc::SYS_keyctl, arguments))
}

fn add_key(name: &str) -> String {
    let (kind, name, value) = (c_string("user"), c_string(name), c_string("secret"));
    let length = value.as_bytes().len() as c_long;
    let pointers = [kind.as_ptr() as c_long, name.as_ptr() as c_long, value.as_ptr() as c_long];
    shown(call(libc::SYS_add_key, [pointers[0], pointers[1], pointers[2], length, SESSION, 0]))
}

fn attach(pid: c_long) -> String {
    let traced = call(libc::SYS_ptrace, [libc::PTRACE_SEIZE as c_long, pid, 0, 0, 0, 0]);
    shown(traced)
}

fn peek(pid: c_long, address: c_long) {
    let mut bytes = [0_u8; 8];
    let here = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let there = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() };
    let vectors = [(&raw const here) as c_long, (&raw const there) as c_long];
    say("process_vm_readv", &shown(call(libc::SYS_process_vm_readv, [pid, vectors[0], 1, vectors[1], 1, 0])));
    let read = std::fs::File::open(format!("/proc/{pid}/mem"))
        .and_then(|file| file.read_at(&mut bytes, address as u64));
    say("mem", &shown(read.map(|length| length as c_long)));
}

fn connect(name: &str) -> io::Result<c_long> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?).map(|_| 0)
}

fn exchange(one: &str, other: &str) {
    let here = c_long::from(libc::AT_FDCWD);
    let (one, other) = (c_string(one), c_string(other));
    loop {
        let _ = call(
            libc::SYS_renameat2,
            [here, one.as_ptr() as c_long, here, other.as_ptr() as c_long, EXCHANGE, 0],
        );
    }
}

fn hog(mib: c_long) {
    const MIB: usize = 1 << 20;
    const PAGE: usize = 4096;
    let mut held = Vec::new();
    for taken in 0..mib {
        let mut block = vec![0_u8; MIB];
        block.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        held.push(block);
        say("taken", &taken.to_string());
    }
}
