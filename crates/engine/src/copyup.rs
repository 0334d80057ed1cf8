//! What an image has at a path, copied into a new volume: owners, modes, times, links and extended attributes included.
//!
//! The layers are shown as one by an overlay that is mounted nowhere, and the path is resolved inside it, so a link in
//! an image cannot lead outside.

use platform::Error;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    self, AtFlags, CWD, FileType, Gid, Mode, OFlags, RawDir, ResolveFlags, Stat, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

/// Directories within directories that are followed.
const DEPTH_MAX: u32 = 256;
/// Bytes of one extended attribute, xattr(7).
const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;

/// Copies what the layers (the top one first) have at `path` into the directory `target`. Nothing at `path` is no error.
pub(crate) fn copy(layers: &[PathBuf], path: &Path, target: &Path) -> Result<(), Error> {
    let failed =
        |what: &str, error: Errno| Error::failed(format!("{what} {} of the image: {error}", path.display()));
    let root = view(layers).map_err(|error| failed("show", error))?;
    let inside = path.strip_prefix("/").unwrap_or(path);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = match fs::openat2(&root, inside, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(source) => source,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(failed("open", error)),
    };
    let target = fs::open(target, flags, Mode::empty()).map_err(|error| failed("copy", error))?;
    directory(&source, &target, 0).map_err(|error| failed("copy", error))
}

/// All layers as one tree.
fn view(layers: &[PathBuf]) -> Result<OwnedFd, Errno> {
    match layers {
        [] => Err(Errno::NOENT),
        [only] => rustix::mount::open_tree(CWD, only, OpenTreeFlags::OPEN_TREE_CLOEXEC),
        _ => {
            let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
            for layer in layers {
                rustix::mount::fsconfig_set_string(&context, "lowerdir+", layer)?;
            }
            rustix::mount::fsconfig_create(&context)?;
            let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
            rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, read_only)
        }
    }
}

/// Copies the entries of one directory, then its own owner, mode, attributes and times.
fn directory(source: &OwnedFd, target: &OwnedFd, depth: u32) -> Result<(), Errno> {
    if depth == DEPTH_MAX {
        return Err(Errno::LOOP);
    }
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8192];
    let mut entries = RawDir::new(source, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            self::entry(source, target, name, depth)?;
        }
    }
    let stat = fs::fstat(source)?;
    attributes(source, target)?;
    fs::fchown(target, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fs::fchmod(target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    fs::futimens(target, &times(&stat))
}

fn entry(source: &OwnedFd, target: &OwnedFd, name: &CStr, depth: u32) -> Result<(), Errno> {
    let stat = fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let (owner, group) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            fs::mkdirat(target, name, Mode::RWXU)?;
            let from = fs::openat(source, name, read | OFlags::DIRECTORY, Mode::empty())?;
            let to = fs::openat(target, name, read | OFlags::DIRECTORY, Mode::empty())?;
            directory(&from, &to, depth + 1)
        }
        FileType::RegularFile => {
            let from = fs::openat(source, name, read, Mode::empty())?;
            let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let to = fs::openat(target, name, create, Mode::RUSR | Mode::WUSR)?;
            contents(&from, &to)?;
            // Changing the owner takes file capabilities away, so attributes come after it.
            fs::fchown(&to, owner, group)?;
            fs::fchmod(&to, mode)?;
            attributes(&from, &to)?;
            fs::futimens(&to, &times(&stat))
        }
        FileType::Symlink => {
            let link = fs::readlinkat(source, name, Vec::new())?;
            fs::symlinkat(&link, target, name)?;
            fs::chownat(target, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
            fs::utimensat(target, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)
        }
        kind => {
            fs::mknodat(target, name, kind, mode, stat.st_rdev)?;
            fs::chownat(target, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)
        }
    }
}

fn contents(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    const CHUNK_BYTES: usize = 1 << 20;
    loop {
        match fs::copy_file_range(from, None, to, None, CHUNK_BYTES) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Another kind of file system below one of the two.
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP) => break,
            Err(error) => return Err(error),
        }
    }
    let mut chunk = vec![0u8; 64 * 1024];
    loop {
        let read = rustix::io::read(from, &mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        let mut done = 0;
        while done < read {
            done += rustix::io::write(to, &chunk[done..read])?;
        }
    }
}

fn attributes(from: impl AsFd, to: impl AsFd) -> Result<(), Errno> {
    let mut names = vec![0u8; ATTRIBUTE_BYTES_MAX];
    let length = match fs::flistxattr(&from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut value = vec![0u8; ATTRIBUTE_BYTES_MAX];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // The overlay's own marks mean nothing in a volume.
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let length = fs::fgetxattr(&from, name, &mut value[..])?;
        fs::fsetxattr(&to, name, &value[..length], fs::XattrFlags::empty())?;
    }
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    let at = |seconds: i64, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos as i64 };
    Timestamps {
        last_access: at(stat.st_atime, stat.st_atime_nsec),
        last_modification: at(stat.st_mtime, stat.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn the_upper_layers_files_win_and_links_stay_links() {
        let root = tempfile::tempdir().unwrap();
        let (top, bottom, target) =
            (root.path().join("top"), root.path().join("bottom"), root.path().join("target"));
        for directory in [&top.join("data"), &bottom.join("data/sub"), &target] {
            std::fs::create_dir_all(directory).unwrap();
        }
        std::fs::write(bottom.join("data/a"), "below").unwrap();
        std::fs::write(bottom.join("data/sub/b"), "kept").unwrap();
        std::fs::write(top.join("data/a"), "above").unwrap();
        std::fs::set_permissions(top.join("data"), std::fs::Permissions::from_mode(0o750)).unwrap();
        symlink("/etc/passwd", top.join("data/link")).unwrap();
        copy(&[top, bottom], Path::new("/data"), &target).unwrap();
        assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "above");
        assert_eq!(std::fs::read_to_string(target.join("sub/b")).unwrap(), "kept");
        assert_eq!(std::fs::read_link(target.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o7777, 0o750);
    }

    #[test]
    fn a_path_that_leads_out_of_the_image_is_resolved_inside_it() {
        let root = tempfile::tempdir().unwrap();
        let (layer, target) = (root.path().join("layer"), root.path().join("target"));
        std::fs::create_dir_all(layer.join("etc")).unwrap();
        std::fs::create_dir_all(&target).unwrap();
        std::fs::write(layer.join("etc/inside"), "").unwrap();
        symlink("../../../../etc", layer.join("data")).unwrap();
        copy(&[layer], Path::new("/data"), &target).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["inside"]);
    }

    #[test]
    fn a_path_that_the_image_has_not_leaves_the_volume_empty() {
        let root = tempfile::tempdir().unwrap();
        let layer = root.path().join("layer");
        std::fs::create_dir_all(&layer).unwrap();
        copy(&[layer], Path::new("/nothing/here"), root.path()).unwrap();
    }
}
