//! The default filter: the calls that Docker's default allows are allowed, everything else is refused with `EPERM`, and
//! calls that are newer than all of these are said not to exist.
//!
//! What is left out is what a container has no business with (keys, modules, clocks, other containers' memory, kernel
//! interfaces with a long history of holes such as io_uring and userfaultfd), unless it was given the capability that
//! belongs to it. `clone3` passes its flags in memory, where a filter cannot look: it is said not to exist, and C
//! libraries fall back to `clone`, whose flags are looked at.

use super::architecture::Architecture;
use super::profile::{Comparison, Condition, Entry, Profile, Verdict};

/// Allowed to every container.
const ALLOWED: &str = "
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown chown32
clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid
getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl
ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32
lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat
lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock
mlock2 mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync
munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open
pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv
preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64
pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg
remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction
rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64
send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid
setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid
setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask
sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime
utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

/// Allowed besides: what only ARM has, and without which none of its programs start.
const ALLOWED_ON_ARM: &str =
    "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2";

/// Allowed to the holders of a capability.
const WITH_CAPABILITY: [(&str, &str); 14] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module init_module finit_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// The personalities that do not weaken a program: Linux, Linux with 32-bit addresses, both with a fixed layout asked
/// for by name, and the question which it is.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// Sockets of virtual machines, which reach past every network namespace.
const AF_VSOCK: u64 = 40;
/// Every flag of clone(2) that makes a namespace, time excepted, which clone(2) cannot make.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
/// "Operation not permitted".
const EPERM: u16 = 1;

/// The default profile for a process with these capabilities.
pub(super) fn profile(capabilities: &[String]) -> Profile {
    let has = |name: &str| capabilities.iter().any(|capability| capability == name);
    let allowed = |names| entry(names, Vec::new(), Verdict::ALLOW);
    let mut entries = vec![allowed(ALLOWED), allowed(ALLOWED_ON_ARM)];
    for (capability, names) in WITH_CAPABILITY {
        if has(capability) {
            entries.push(allowed(names));
        }
    }
    entries.push(entry("socket", vec![condition(0, Comparison::NotEqual(AF_VSOCK))], Verdict::ALLOW));
    for value in PERSONALITIES {
        entries.push(entry("personality", vec![condition(0, Comparison::Equal(value))], Verdict::ALLOW));
    }
    if !has("CAP_SYS_ADMIN") {
        let no_namespaces = Comparison::MaskedEqual { mask: NEW_NAMESPACES, value: 0 };
        entries.push(entry("clone", vec![condition(0, no_namespaces)], Verdict::ALLOW));
        entries.push(entry("clone3", Vec::new(), Verdict::NO_SUCH_CALL));
    }
    Profile {
        otherwise: Verdict::refuse(EPERM),
        architectures: vec![Architecture::I386, Architecture::Arm],
        entries,
        flags: 0,
        listener: None,
    }
}

fn entry(names: &str, conditions: Vec<Condition>, verdict: Verdict) -> Entry {
    Entry { names: names.split_whitespace().map(str::to_owned).collect(), conditions, verdict }
}

fn condition(argument: u8, comparison: Comparison) -> Condition {
    Condition { argument, comparison }
}

#[cfg(test)]
mod tests {
    use super::super::syscalls::SYSTEM_CALLS;
    use super::*;

    #[test]
    fn every_name_is_a_system_call() {
        let all = WITH_CAPABILITY.iter().map(|(_, names)| *names).chain([ALLOWED, ALLOWED_ON_ARM]);
        for name in all.flat_map(str::split_whitespace) {
            let on_arm = Architecture::Arm.number(name).is_some();
            assert!(on_arm || SYSTEM_CALLS.iter().any(|call| call.0 == name), "{name}");
        }
    }
}
