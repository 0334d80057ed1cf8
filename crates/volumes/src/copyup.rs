//! What an image has at a path, copied into an empty volume: owners, modes, times, links and extended attributes included.
//!
//! ```text
//! new volume:     image -> its directory, which nobody sees before it is whole
//! one that is:    image -> .fill-part -> .fill -> its directory, name by name
//!                          (a half)     (whole)
//! ```
//!
//! The layers are shown as one by an overlay that is mounted nowhere, and the path is resolved inside it, so a link in
//! an image cannot lead outside. A half that a crash left is thrown away, a whole one is moved on from where that stopped:
//! nothing takes a part for all of it, and a container that runs with the volume keeps the directory that it has.

use crate::copy;
use rustix::fd::OwnedFd;
use rustix::fs::{self, CWD, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};
use std::io;
use std::path::{Path, PathBuf};

/// Where a copy is until it is whole, and then until all of it was moved.
const PART: &str = "fill-part";
const WHOLE: &str = "fill";

/// A place beside a volume's data, on the same file system.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    directory: PathBuf,
    prefix: &'static str,
}

impl Beside {
    /// In the volume's own directory, where no container sees it.
    pub(crate) fn outside(directory: &Path) -> Beside {
        Beside { directory: directory.to_owned(), prefix: "." }
    }

    /// In the data themselves, where these are another file system.
    pub(crate) fn inside(data: &Path) -> Beside {
        Beside { directory: data.to_owned(), prefix: ".bocage-" }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{}{name}", self.prefix))
    }

    fn is_ours(&self, name: &std::ffi::OsStr) -> bool {
        [PART, WHOLE].iter().any(|ours| self.at(ours).file_name() == Some(name))
    }
}

/// Copies what the layers (the top one first) have at `path` into a directory that nobody else knows yet. Nothing at
/// `path` is no error.
///
/// # Errors
/// What cannot be read in the image or written in the directory.
pub(crate) fn into_new(layers: &[PathBuf], path: &Path, target: &Path) -> io::Result<()> {
    if let Some(source) = open_in(layers, path)? {
        copy::tree(&source, &copy::open(target)?)?;
    }
    Ok(())
}

/// Copies the same into the data of a volume that is there, if they are empty.
///
/// # Errors
/// As [`into_new`]. What was copied is thrown away, or moved the next time.
pub(crate) fn into_existing(layers: &[PathBuf], path: &Path, data: &Path, beside: &Beside) -> io::Result<()> {
    go_on(data, beside)?;
    let mut names = std::fs::read_dir(data)?;
    if names.any(|entry| !entry.is_ok_and(|entry| beside.is_ours(&entry.file_name()))) {
        return Ok(());
    }
    let Some(source) = open_in(layers, path)? else { return Ok(()) };
    let part = beside.at(PART);
    std::fs::create_dir(&part)?;
    let copied = copy::open(&part).and_then(|target| copy::tree(&source, &target));
    if let Err(error) = copied {
        // What is left of it is thrown away the next time, where not now.
        let _ = base::file::remove_all(&part);
        return Err(error.into());
    }
    std::fs::rename(&part, beside.at(WHOLE))?;
    go_on(data, beside)
}

/// Throws away half a copy, and moves a whole one to its end.
///
/// # Errors
/// What cannot be moved or removed.
pub(crate) fn go_on(data: &Path, beside: &Beside) -> io::Result<()> {
    base::file::remove_all(&beside.at(PART))?;
    let whole = beside.at(WHOLE);
    let from = match copy::open(&whole) {
        Ok(from) => from,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let to = copy::open(data)?;
    for entry in std::fs::read_dir(&whole)? {
        let name = entry?.file_name();
        match fs::renameat_with(&from, &name, &to, &name, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            // Somebody made it in the meantime: theirs stays.
            Err(Errno::EXIST) => base::file::remove_all(&whole.join(&name))?,
            Err(error) => return Err(error.into()),
        }
    }
    copy::top(&from, &to)?;
    std::fs::remove_dir(&whole)
}

/// The directory that the layers have at a path; none where it is not there, or no directory.
fn open_in(layers: &[PathBuf], path: &Path) -> io::Result<Option<OwnedFd>> {
    let failed = |what: &str, error: Errno| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("{what} {} of the image: {error}", path.display()))
    };
    let root = view(layers).map_err(|error| failed("show", error))?;
    let inside = path.strip_prefix("/").unwrap_or(path);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match fs::openat2(&root, inside, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(source) => Ok(Some(source)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(failed("open", error)),
    }
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
        into_new(&[top, bottom], Path::new("/data"), &target).unwrap();
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
        into_new(&[layer], Path::new("/data"), &target).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["inside"]);
    }

    #[test]
    fn a_path_that_the_image_has_not_leaves_the_volume_empty() {
        let root = tempfile::tempdir().unwrap();
        let layer = root.path().join("layer");
        std::fs::create_dir_all(&layer).unwrap();
        into_new(&[layer], Path::new("/nothing/here"), root.path()).unwrap();
    }

    /// A layer with two files, and an empty volume.
    fn layer_and_volume(root: &Path) -> (PathBuf, PathBuf, Beside) {
        let (layer, volume) = (root.join("layer"), root.join("volume"));
        std::fs::create_dir_all(layer.join("data/sub")).unwrap();
        std::fs::create_dir_all(volume.join("_data")).unwrap();
        std::fs::write(layer.join("data/a"), "image's").unwrap();
        std::fs::write(layer.join("data/sub/b"), "image's").unwrap();
        std::fs::set_permissions(layer.join("data"), std::fs::Permissions::from_mode(0o700)).unwrap();
        (layer, volume.join("_data"), Beside::outside(&volume))
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_empty_volume_is_filled_and_one_with_files_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (layer, data, beside) = layer_and_volume(root.path());
        let before = std::fs::metadata(&data).unwrap().ino();
        into_existing(std::slice::from_ref(&layer), Path::new("/data"), &data, &beside).unwrap();
        assert_eq!(names(&data), ["a", "sub"]);
        let look = std::fs::metadata(&data).unwrap();
        assert_eq!((look.ino(), look.mode() & 0o7777), (before, 0o700), "who has it open keeps it");
        std::fs::remove_file(data.join("a")).unwrap();
        into_existing(&[layer], Path::new("/data"), &data, &beside).unwrap();
        assert_eq!(names(&data), ["sub"]);
        assert_eq!(names(data.parent().unwrap()), ["_data"]);
    }

    #[test]
    fn half_a_copy_is_made_again_and_a_whole_one_is_moved_on() {
        for inside in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let (layer, data, outside) = layer_and_volume(root.path());
            let beside = if inside { Beside::inside(&data) } else { outside };
            std::fs::create_dir(beside.at(PART)).unwrap();
            std::fs::write(beside.at(PART).join("half"), "").unwrap();
            into_existing(std::slice::from_ref(&layer), Path::new("/data"), &data, &beside).unwrap();
            assert_eq!(names(&data), ["a", "sub"]);
            // Killed between two names: one is in its place, the other is not.
            std::fs::create_dir(beside.at(WHOLE)).unwrap();
            std::fs::rename(data.join("a"), beside.at(WHOLE).join("a")).unwrap();
            into_existing(&[layer], Path::new("/data"), &data, &beside).unwrap();
            assert_eq!(names(&data), ["a", "sub"]);
        }
    }
}
