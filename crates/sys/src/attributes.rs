//! What a process is besides its program: resource limits, how it is scheduled, which system it takes itself to be on.
//!
//! All of it is inherited by what the process starts.

use crate::process::check;
use rustix::io::Errno;
use rustix::process::Pid;
use std::ptr;

/// Sets one resource limit by its number in getrlimit(2), of this process or of another one.
///
/// # Errors
/// `EPERM` where a hard limit would be raised without `CAP_SYS_RESOURCE`, `EINVAL` if soft exceeds hard.
pub fn set_resource_limit(process: Option<Pid>, resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let number = process.map_or(0, |pid| pid.as_raw_nonzero().get());
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the new limit is a struct of the kernel's own layout and the old one is not asked for.
    check(unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            number,
            resource,
            &raw const limit,
            ptr::null_mut::<libc::rlimit64>(),
        )
    })
    .map(drop)
}

/// Sets the system that programs take themselves to be on, personality(2).
///
/// # Errors
/// `EINVAL` where the kernel refuses it.
pub fn set_personality(domain: u64) -> Result<(), Errno> {
    // SAFETY: personality(2) touches no memory.
    check(unsafe { libc::syscall(libc::SYS_personality, domain) }).map(drop)
}

/// The class of a process's input and output, ioprio_set(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoClass {
    /// First served.
    RealTime,
    /// The kernel's default.
    BestEffort,
    /// Served when nobody else asks.
    Idle,
}

/// Sets the priority of this process's input and output: 0 (first) to 7.
///
/// # Errors
/// `EPERM` without `CAP_SYS_NICE` where it is needed; `EINVAL` for a level out of range.
pub fn set_io_priority(class: IoClass, level: u8) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    let class: libc::c_int = match class {
        IoClass::RealTime => 1,
        IoClass::BestEffort => 2,
        IoClass::Idle => 3,
    };
    let priority = class << 13 | libc::c_int::from(level);
    // SAFETY: ioprio_set(2) touches no memory.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority) }).map(drop)
}

/// How a process is scheduled: `struct sched_attr` of sched_setattr(2), without its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// The policy's number: `SCHED_OTHER` is 0.
    pub policy: u32,
    /// `SCHED_FLAG_` bits.
    pub flags: u64,
    /// -20 to 19, for the policies that share.
    pub nice: i32,
    /// 1 to 99, for the real-time policies.
    pub priority: u32,
    /// Nanoseconds of work in a period, for `SCHED_DEADLINE`.
    pub runtime_ns: u64,
    /// Nanoseconds until the work must be done.
    pub deadline_ns: u64,
    /// Nanoseconds of a period.
    pub period_ns: u64,
}

#[repr(C)]
struct ScheduleAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets how this process is scheduled.
///
/// # Errors
/// `EPERM` without `CAP_SYS_NICE` where it is needed; `EINVAL` for values that do not belong together.
pub fn set_scheduling(how: &Scheduling) -> Result<(), Errno> {
    let attributes = ScheduleAttributes {
        size: size_of::<ScheduleAttributes>() as u32,
        policy: how.policy,
        flags: how.flags,
        nice: how.nice,
        priority: how.priority,
        runtime: how.runtime_ns,
        deadline: how.deadline_ns,
        period: how.period_ns,
    };
    // SAFETY: the struct has the kernel's layout, says its size, and lives across the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }).map(drop)
}

/// Sets which memory nodes this process allocates from, set_mempolicy(2): a mode with its flags, and a set of nodes.
///
/// # Errors
/// `EINVAL` for a mode that the kernel does not know or nodes that do not exist; `ENOSYS` without NUMA.
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> Result<(), Errno> {
    let bits = if nodes.is_empty() { 0 } else { nodes.len() as u64 * u64::from(u64::BITS) + 1 };
    let mask = if nodes.is_empty() { ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the mask has as many bits as are named, less the one that the kernel takes away again.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

/// Makes this process the one that orphans beneath it come to, in place of process 1: `PR_SET_CHILD_SUBREAPER`.
///
/// # Errors
/// None that a kernel since 3.4 gives.
pub fn adopt_orphans() -> Result<(), Errno> {
    // SAFETY: the call touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }.into()).map(drop)
}

/// Takes on the user and group with which this thread opens and makes files, setfsuid(2), with all capabilities that it is
/// permitted in force again: a change away from user 0 takes those for files.
///
/// # Errors
/// What capset(2) says.
pub fn set_file_ids(user: u32, group: u32) -> Result<(), Errno> {
    // SAFETY: both calls touch no memory; they tell no error, only what was before.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, group);
        libc::syscall(libc::SYS_setfsuid, user);
    }
    let mut sets = rustix::thread::capabilities(None)?;
    sets.effective = sets.permitted;
    rustix::thread::set_capabilities(None, sets)
}
