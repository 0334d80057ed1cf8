//! What the mount API of `rustix` lacks: mount_setattr(2).

use crate::process::check;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

/// Attributes of a mount, mount_setattr(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Attributes) -> Attributes {
        Attributes(self.0 | other.0)
    }
}

/// How mounts made beneath a mount pass to its copies, mount_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// Not at all.
    Private,
    /// From its peers to it.
    Slave,
    /// Both ways.
    Shared,
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Changes the mount that `mount` holds, and all beneath it if `recursive`.
///
/// # Errors
/// What mount_setattr(2) says: `EBUSY` where files are open for writing, `ENOSYS` before Linux 5.12.
pub fn change(
    mount: BorrowedFd<'_>,
    recursive: bool,
    set: Attributes,
    passing: Option<Passing>,
) -> Result<(), Errno> {
    const AT_RECURSIVE: libc::c_int = 0x8000;
    let attributes = MountAttributes {
        set: set.0,
        clear: 0,
        propagation: match passing {
            None => 0,
            Some(Passing::Private) => libc::MS_PRIVATE,
            Some(Passing::Slave) => libc::MS_SLAVE,
            Some(Passing::Shared) => libc::MS_SHARED,
        },
        user_namespace: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a constant, the struct has the kernel's layout and lives across the call, and its size is
    // given with it.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}
