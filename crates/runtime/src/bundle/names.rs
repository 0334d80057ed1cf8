//! Words of the specification that stand for numbers of the kernel.

use super::Error;

/// A word and its number.
type Words<T> = &'static [(&'static str, T)];

/// Scheduling policies, sched(7).
pub(super) const POLICIES: Words<u32> = &[
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

/// Flags of sched_setattr(2).
pub(super) const SCHEDULE_FLAGS: Words<u64> = &[
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

/// Modes of set_mempolicy(2).
pub(super) const MEMORY_MODES: Words<i32> = &[
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

/// Flags of set_mempolicy(2).
pub(super) const MEMORY_FLAGS: Words<i32> = &[
    ("MPOL_F_STATIC_NODES", 1 << 15),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
];

/// Domains of personality(2).
pub(super) const PERSONALITIES: Words<u64> = &[("LINUX", 0), ("LINUX32", 8)];

/// The number of a word. `field` names where it stands.
pub(super) fn number<T: Copy>(words: Words<T>, field: &'static str, word: &str) -> Result<T, Error> {
    words.iter().find(|(known, _)| *known == word).map(|(_, number)| *number).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        Error::invalid(field, format!("{word:?} is none of {}", known.join(", ")))
    })
}
