//! What a layer takes away from those below it: as an archive says it ("Whiteouts" in the OCI image specification), and as overlayfs
//! understands it (the kernel's `overlayfs.rst`).

use super::Trouble;
use rustix::fd::OwnedFd;
use rustix::fs::{self, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

/// How an archive marks what is taken away.
pub(super) const WHITEOUT: &[u8] = b".wh.";
/// What marks the archive's own matters, and the one of them that has a meaning here.
const WHITEOUT_META: &[u8] = b".wh..wh.";
const WHITEOUT_OPAQUE: &[u8] = b".wh..wh..opq";
/// How overlayfs marks a directory that hides everything below it.
pub(super) const OVERLAY_OPAQUE: &str = "trusted.overlay.opaque";

pub(super) fn is_whiteout(stat: &fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Takes a name, or all that is below a directory, away from the layers underneath.
pub(super) fn whiteout(parent: &OwnedFd, name: &[u8], hidden: &[u8]) -> Result<(), Trouble> {
    if name == WHITEOUT_OPAQUE {
        return Ok(fs::fsetxattr(parent, OVERLAY_OPAQUE, b"y", XattrFlags::empty())?);
    }
    if name.starts_with(WHITEOUT_META) {
        // Notes of an older union file system to itself.
        return Ok(());
    }
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(Trouble::Refused("it takes away a name that no file has"));
    }
    let mode = Mode::empty();
    match fs::mknodat(parent, hidden, FileType::CharacterDevice, mode, 0) {
        Err(Errno::EXIST) => {
            // What the same layer holds stays; of a directory, only what is below it goes.
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match fs::openat(parent, hidden, flags, Mode::empty()) {
                Ok(there) => Ok(fs::fsetxattr(&there, OVERLAY_OPAQUE, b"y", XattrFlags::empty())?),
                Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
                Err(errno) => Err(errno.into()),
            }
        }
        other => Ok(other?),
    }
}
