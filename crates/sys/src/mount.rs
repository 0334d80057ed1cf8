//! What the mount API of `rustix` lacks: mount_setattr(2).

use crate::process::check;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Attributes of a mount, mount_setattr(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes(u64);

impl Attributes {
    /// None.
    pub const NONE: Attributes = Attributes(0);
    /// Nothing can be written through it.
    pub const READ_ONLY: Attributes = Attributes(0x1);
    /// Set-user-ID bits and file capabilities do nothing.
    pub const NO_SET_USER_ID: Attributes = Attributes(0x2);
    /// Device nodes do nothing.
    pub const NO_DEVICES: Attributes = Attributes(0x4);
    /// Nothing can be executed.
    pub const NO_EXECUTE: Attributes = Attributes(0x8);
    /// Times of access are not kept.
    pub const NO_ACCESS_TIME: Attributes = Attributes(0x10);
    /// Every access is recorded.
    pub const STRICT_ACCESS_TIME: Attributes = Attributes(0x20);
    /// How times of access are kept, as a whole: to be cleared where one of the ways is chosen; all of it cleared
    /// means `relatime`.
    pub const ACCESS_TIME: Attributes = Attributes(0x70);
    /// Times of access to directories are not kept.
    pub const NO_DIRECTORY_ACCESS_TIME: Attributes = Attributes(0x80);
    /// Symbolic links are not followed.
    pub const NO_SYMBOLIC_LINKS: Attributes = Attributes(0x20_0000);
    /// Owners are shown through the mapping of a user namespace.
    const ID_MAPPED: Attributes = Attributes(0x10_0000);

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Attributes) -> Attributes {
        Attributes(self.0 | other.0)
    }

    /// Those that are not in the other set.
    #[must_use]
    pub const fn without(self, other: Attributes) -> Attributes {
        Attributes(self.0 & !other.0)
    }

    /// Whether all of the other set are in this one.
    pub const fn contains(self, other: Attributes) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers that fsmount(2) takes too.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// How mounts made beneath a mount pass to its copies, mount_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Passing {
    /// Not at all.
    Private,
    /// From its peers to it.
    Slave,
    /// Both ways.
    Shared,
    /// Not at all, and it cannot be bound elsewhere.
    Unbindable,
}

/// What is changed about a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Attributes that it gets.
    pub set: Attributes,
    /// Attributes that it loses.
    pub clear: Attributes,
    /// How mounts beneath it pass from now on.
    pub passing: Option<Passing>,
    /// Whether all mounts beneath it change too.
    pub recursive: bool,
}

impl Change {
    /// Nothing.
    pub const NOTHING: Change =
        Change { set: Attributes::NONE, clear: Attributes::NONE, passing: None, recursive: false };

    /// Attributes that it gets.
    pub const fn set(set: Attributes) -> Change {
        Change { set, ..Change::NOTHING }
    }

    /// How mounts beneath it pass.
    pub const fn pass(passing: Passing) -> Change {
        Change { passing: Some(passing), ..Change::NOTHING }
    }

    /// The same for all mounts beneath it.
    #[must_use]
    pub const fn recursively(self) -> Change {
        Change { recursive: true, ..self }
    }

    /// Whether nothing is changed.
    pub const fn is_nothing(&self) -> bool {
        self.set.is_empty() && self.clear.is_empty() && self.passing.is_none()
    }
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Changes the mount that `mount` holds.
///
/// # Errors
/// What mount_setattr(2) says: `EBUSY` where files are open for writing, `ENOSYS` before Linux 5.12.
pub fn change(mount: BorrowedFd<'_>, change: Change) -> Result<(), Errno> {
    if change.is_nothing() {
        return Ok(());
    }
    let attributes = MountAttributes {
        set: change.set.0,
        clear: change.clear.0,
        propagation: match change.passing {
            None => 0,
            Some(Passing::Private) => libc::MS_PRIVATE,
            Some(Passing::Slave) => libc::MS_SLAVE,
            Some(Passing::Shared) => libc::MS_SHARED,
            Some(Passing::Unbindable) => libc::MS_UNBINDABLE,
        },
        user_namespace: 0,
    };
    set_attributes(mount, change.recursive, &attributes)
}

/// Shows the owners of a detached mount through the mapping of a user namespace: what belongs to the namespace's
/// user on the outside belongs to the same number inside. For `recursive`, of all mounts beneath it too.
///
/// # Errors
/// `EINVAL` where a file system cannot be shown so (its kind knows nothing of it, or it is so already) or before Linux
/// 5.12; `EPERM` for the initial user namespace.
pub fn map_ids(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>, recursive: bool) -> Result<(), Errno> {
    let attributes = MountAttributes {
        set: Attributes::ID_MAPPED.0,
        clear: 0,
        propagation: 0,
        user_namespace: user_namespace.as_raw_fd() as u64,
    };
    set_attributes(mount, recursive, &attributes)
}

fn set_attributes(mount: BorrowedFd<'_>, recursive: bool, attributes: &MountAttributes) -> Result<(), Errno> {
    const AT_RECURSIVE: libc::c_int = 0x8000;
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a constant, the struct has the kernel's layout and lives across the call, and its size is
    // given with it.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const *attributes,
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}
