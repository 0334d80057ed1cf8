//! The architectures of system calls: what a profile calls them, how the kernel tells them apart, how each numbers its calls.
//!
//! A kernel reports the calls of its own architecture and of the 32-bit ones that it runs besides: three kinds on
//! x86_64, two on aarch64. A profile may name any architecture that has a name, as one profile is written for many
//! machines; those that this kernel never reports need no code.

use super::Error;
use super::profile::Comparison;
use super::syscalls::SYSTEM_CALLS;

/// An architecture whose calls are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    I386,
    X32,
    Aarch64,
    Arm,
}

/// Bit 30 marks a call of x32: the kernel reports it as one of x86_64 otherwise.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// The names of libseccomp that stand for no architecture of ours.
const OTHERS: [&str; 19] = [
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    // Whatever the machine is: its own architecture is always in a filter.
    "SCMP_ARCH_NATIVE",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];

/// The calls that ARM has for itself, far above all others (`__ARM_NR_BASE`).
pub(super) const ARM_CALLS: [(&str, u32); 6] = [
    ("breakpoint", ARM_CALLS_FROM + 1),
    ("cacheflush", ARM_CALLS_FROM + 2),
    ("usr26", ARM_CALLS_FROM + 3),
    ("usr32", ARM_CALLS_FROM + 4),
    ("set_tls", ARM_CALLS_FROM + 5),
    ("get_tls", ARM_CALLS_FROM + 6),
];
/// Where they begin.
const ARM_CALLS_FROM: u32 = 0x000f_0000;

/// `socketcall` and `ipc` of i386: one number for many calls, of which the first argument names one, linux/net.h and linux/ipc.h.
pub(super) const MULTIPLEXED: [(&str, &[(&str, u64)]); 2] = [
    (
        "socketcall",
        &[
            ("socket", 1),
            ("bind", 2),
            ("connect", 3),
            ("listen", 4),
            ("accept", 5),
            ("getsockname", 6),
            ("getpeername", 7),
            ("socketpair", 8),
            ("send", 9),
            ("recv", 10),
            ("sendto", 11),
            ("recvfrom", 12),
            ("shutdown", 13),
            ("setsockopt", 14),
            ("getsockopt", 15),
            ("sendmsg", 16),
            ("recvmsg", 17),
            ("accept4", 18),
            ("recvmmsg", 19),
            ("sendmmsg", 20),
        ],
    ),
    (
        "ipc",
        &[
            ("semop", 1),
            ("semget", 2),
            ("semctl", 3),
            ("semtimedop", 4),
            ("msgsnd", 11),
            ("msgrcv", 12),
            ("msgget", 13),
            ("msgctl", 14),
            ("shmat", 21),
            ("shmdt", 22),
            ("shmget", 23),
            ("shmctl", 24),
        ],
    ),
];
/// The kernel looks at no more of the first argument of `ipc` than this; the upper half is a version.
pub(super) const MULTIPLEXED_MASK: u64 = 0xffff;

impl Architecture {
    /// The one this program was built for.
    pub(super) const NATIVE: Architecture =
        if cfg!(target_arch = "aarch64") { Architecture::Aarch64 } else { Architecture::X86_64 };

    /// The kinds of calls that a kernel of this architecture reports, its own first.
    pub(super) const fn reported(self) -> &'static [Architecture] {
        match self {
            Architecture::X86_64 => &[Architecture::X86_64, Architecture::I386, Architecture::X32],
            Architecture::Aarch64 => &[Architecture::Aarch64, Architecture::Arm],
            Architecture::I386 => &[Architecture::I386],
            Architecture::X32 => &[Architecture::X32],
            Architecture::Arm => &[Architecture::Arm],
        }
    }

    /// `AUDIT_ARCH` of linux/audit.h.
    pub(super) const fn audit(self) -> u32 {
        match self {
            Architecture::X86_64 | Architecture::X32 => 0xc000_003e,
            Architecture::I386 => 0x4000_0003,
            Architecture::Aarch64 => 0xc000_00b7,
            Architecture::Arm => 0x4000_0028,
        }
    }

    /// Go's name, and libseccomp's.
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Architecture::X86_64 => ("amd64", "SCMP_ARCH_X86_64"),
            Architecture::I386 => ("386", "SCMP_ARCH_X86"),
            Architecture::X32 => ("amd64p32", "SCMP_ARCH_X32"),
            Architecture::Aarch64 => ("arm64", "SCMP_ARCH_AARCH64"),
            Architecture::Arm => ("arm", "SCMP_ARCH_ARM"),
        }
    }

    /// The architecture that a profile names; none for one that no kernel of ours reports.
    pub(super) fn named(name: &str) -> Result<Option<Architecture>, Error> {
        use Architecture::{Aarch64, Arm, I386, X32, X86_64};
        let ours = [X86_64, I386, X32, Aarch64, Arm].into_iter().find(|one| one.names().1 == name);
        if ours.is_none() && !OTHERS.contains(&name) {
            return Err(Error::Architecture { name: name.to_owned() });
        }
        Ok(ours)
    }

    /// Where the calls begin that are no newer than others, whatever their number.
    pub(super) const fn own_calls_from(self) -> Option<u32> {
        match self {
            Architecture::Arm => Some(ARM_CALLS_FROM),
            _ => None,
        }
    }

    /// Whether arguments have 64 bits. Those of x32 are compared as libseccomp does it, by their lower half.
    pub(super) const fn is_wide(self) -> bool {
        matches!(self, Architecture::X86_64 | Architecture::Aarch64)
    }

    /// The number of a call, as the kernel reports it.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        if self == Architecture::Arm
            && let Some((_, number)) = ARM_CALLS.iter().find(|(own, _)| *own == name)
        {
            return Some(*number);
        }
        let at = SYSTEM_CALLS.binary_search_by_key(&name, |call| call.0).ok()?;
        let (_, x86_64, i386, x32, aarch64, arm) = SYSTEM_CALLS[at];
        let (number, mark) = match self {
            Architecture::X86_64 => (x86_64, 0),
            Architecture::I386 => (i386, 0),
            Architecture::X32 => (x32, X32_BIT),
            Architecture::Aarch64 => (aarch64, 0),
            Architecture::Arm => (arm, 0),
        };
        u32::try_from(number).ok().map(|number| number | mark)
    }

    /// The other way to make a call: the number of the one that stands for many, and what its first argument is then.
    pub(super) fn multiplexed(self, name: &str) -> Option<(u32, Comparison)> {
        if self != Architecture::I386 {
            return None;
        }
        MULTIPLEXED.iter().find_map(|(through, calls)| {
            let (_, value) = calls.iter().find(|(call, _)| *call == name)?;
            Some((self.number(through)?, Comparison::MaskedEqual { mask: MULTIPLEXED_MASK, value: *value }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_libseccomp_is_known_and_no_other() {
        assert_eq!(Architecture::named("SCMP_ARCH_X32").unwrap(), Some(Architecture::X32));
        assert_eq!(Architecture::named("SCMP_ARCH_S390X").unwrap(), None);
        let error = Architecture::named("SCMP_ARCH_VAX").unwrap_err().to_string();
        assert!(error.contains("SCMP_ARCH_VAX"), "{error}");
    }

    #[test]
    fn calls_have_the_number_that_the_kernel_reports() {
        assert_eq!(Architecture::X32.number("execve"), Some(X32_BIT | 520));
        assert_eq!(Architecture::Arm.number("set_tls"), Some(0x000f_0005));
        assert_eq!(Architecture::Aarch64.number("set_tls"), None);
        assert_eq!(Architecture::I386.number("send"), None);
        let through = Comparison::MaskedEqual { mask: 0xffff, value: 9 };
        assert_eq!(Architecture::I386.multiplexed("send"), Some((102, through)));
        assert_eq!(Architecture::X86_64.multiplexed("semop"), None);
    }
}
