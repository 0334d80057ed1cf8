//! What is written as an archive: all of a tree, and what a writable layer changed.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;

use common::{Header, Place, Tar};
use images::{Difference, FilesManner, Owners, Packed};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

fn open(path: &Path) -> OwnedFd {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).unwrap()
}

fn packed(root: &Path, kind: Packed) -> Vec<u8> {
    let mut archive = Vec::new();
    images::pack(open(root).as_fd(), kind, &mut archive).unwrap();
    archive
}

/// Everything that an archive tells of a file.
fn looks(path: &Path) -> String {
    let stat = fs::symlink_metadata(path).unwrap();
    let link = fs::read_link(path).ok();
    let content = if stat.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    let is_whiteout = stat.file_type().is_char_device() && stat.rdev() == 0;
    let time = if is_whiteout { (0, 0) } else { (stat.mtime(), stat.mtime_nsec()) };
    let size = if stat.is_file() { stat.len() } else { 0 };
    format!(
        "{:o} {}:{} {size} {time:?} {link:?} {:x} {} {content:?}",
        stat.mode(),
        stat.uid(),
        stat.gid(),
        stat.rdev(),
        if stat.is_dir() { 0 } else { stat.nlink() }
    )
}

fn tree(root: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                left.push(path.clone());
            }
            all.push((path.strip_prefix(root).unwrap().to_owned(), looks(&path)));
        }
    }
    all.sort();
    all
}

fn layer() -> Vec<u8> {
    let long = format!("{}/{}/", "d".repeat(120), "e".repeat(120));
    Tar::new()
        .pax(&[("mtime", b"1234567890.123456789"), ("uid", b"3000000"), ("SCHILY.xattr.user.note", b"x\0y")])
        .entry(&Header { mode: 0o4755, gid: 5, ..Header::new("bin/su", b'0') }, b"program")
        .hardlink("bin/su2", "bin/su")
        .entry(&Header { mode: 0o1777, mtime: 7, ..Header::new("tmp/", b'5') }, b"")
        .symlink("bin/sh", "/bin/su")
        .entry(&Header { mode: 0o600, device: (1, 3), ..Header::new("dev/null", b'3') }, b"")
        .entry(&Header { mode: 0o622, ..Header::new("run/pipe", b'6') }, b"")
        .pax(&[("path", format!("{long}file").as_bytes())])
        .file("cut", b"deep")
        .file(".wh.gone", b"")
        .file("opt/.wh..wh..opq", b"")
        .file("opt/new", b"n")
        .end()
}

#[test]
fn a_layer_is_packed_and_unpacked_again_without_a_difference() {
    let place = Place::new();
    let root = place.unpack(&layer()).unwrap();
    let archive = packed(&root, Packed::Changes);
    let again = Place::new();
    let other = again.unpack(&archive).unwrap();
    assert_eq!(tree(&root), tree(&other));
    assert_eq!(packed(&other, Packed::Changes), archive, "the same tree gives the same bytes");
    let gone = fs::symlink_metadata(other.join("gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0, "what is taken away stays taken away");
}

#[test]
fn a_socket_is_left_out_and_a_pipe_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::FileType::Fifo, mode, 0)
        .unwrap();
    let place = Place::new();
    let root = place.unpack(&packed(folder.path(), Packed::Files)).unwrap();
    assert_eq!(tree(&root).iter().map(|(path, _)| path.to_str().unwrap()).collect::<Vec<_>>(), ["pipe"]);
}

#[test]
fn one_thing_is_packed_by_another_name_with_owners_of_the_inside() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a/b")).unwrap();
    fs::write(folder.path().join("a/b/c"), "c").unwrap();
    std::os::unix::fs::chown(folder.path().join("a/b/c"), Some(100_007), Some(3)).unwrap();
    let mut archive = Vec::new();
    let owners = Owners { users: vec![(100_000, 0, 10)], groups: vec![(100_000, 0, 10)] };
    images::pack_one(open(folder.path()).as_fd(), c"a", b"named", owners, &mut archive).unwrap();
    let place = Place::new();
    let root = place.unpack(&archive).unwrap();
    let file = fs::metadata(root.join("named/b/c")).unwrap();
    assert_eq!((file.uid(), file.gid()), (7, 65_534), "a number from outside belongs to nobody");
}

#[test]
fn what_differs_is_told_path_by_path() {
    let below = Place::new();
    let below = below.unpack(
        &Tar::new()
            .file("etc/kept", b"k")
            .file("etc/changed", b"1")
            .file("etc/gone", b"g")
            .file("opt/old", b"o")
            .file("var/x", b"x")
            .end(),
    );
    let below = below.unwrap();
    let upper = Place::new();
    let upper = upper.unpack(
        &Tar::new()
            .file("etc/changed", b"2")
            .file("etc/.wh.gone", b"")
            .file("etc/.wh.never", b"")
            .file("opt/.wh..wh..opq", b"")
            .file("new/file", b"")
            .end(),
    );
    let upper = upper.unwrap();
    let found = images::compare(open(&upper).as_fd(), open(&below).as_fd()).unwrap();
    let found: Vec<(Difference, &str)> =
        found.iter().map(|(kind, path)| (*kind, path.to_str().unwrap())).collect();
    use Difference::{Added, Changed, Removed};
    let wanted = [
        (Changed, "/etc"),
        (Changed, "/etc/changed"),
        (Removed, "/etc/gone"),
        (Added, "/new"),
        (Added, "/new/file"),
        (Changed, "/opt"),
        (Removed, "/opt/old"),
    ];
    assert_eq!(found, wanted);
}

fn put(root: &Path, archive: &[u8], manner: FilesManner) -> images::Result<()> {
    images::put(&mut &archive[..], open(root).as_fd(), manner)
}

#[test]
fn an_archive_is_put_beneath_a_directory_and_links_stay_inside() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(root.path().join("srv")).unwrap();
    symlink(outside.path(), root.path().join("srv/out")).unwrap();
    symlink("/", root.path().join("srv/top")).unwrap();
    let beneath = FilesManner { beneath: "/srv".into(), ..FilesManner::default() };
    put(root.path(), &Tar::new().file("a", b"a").file("top/b", b"b").end(), beneath.clone()).unwrap();
    assert_eq!(fs::read(root.path().join("srv/a")).unwrap(), b"a");
    assert_eq!(fs::read(root.path().join("b")).unwrap(), b"b", "a link to / leads to the root of the tree");
    let _ = put(root.path(), &Tar::new().file("out/c", b"c").end(), beneath.clone());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "nothing is written outside");
    assert!(put(root.path(), &Tar::new().file("../../x", b"x").end(), beneath.clone()).is_err());
    put(root.path(), &Tar::new().file(".wh.a", b"word").end(), beneath).unwrap();
    assert_eq!(fs::read(root.path().join("srv/.wh.a")).unwrap(), b"word", "such a name has no meaning there");
}

#[test]
fn kinds_are_kept_where_that_is_asked_for_and_owners_are_given() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("folder")).unwrap();
    fs::write(root.path().join("file"), "f").unwrap();
    let keeping = FilesManner { keep_kinds: true, owner: Some((7, 8)), ..FilesManner::default() };
    assert!(put(root.path(), &Tar::new().file("folder", b"").end(), keeping.clone()).is_err());
    let directory = Tar::new().entry(&Header { mode: 0o755, ..Header::new("file/", b'5') }, b"").end();
    assert!(put(root.path(), &directory, keeping.clone()).is_err());
    put(root.path(), &Tar::new().file("file", b"new").file("folder/in", b"i").end(), keeping).unwrap();
    let file = fs::metadata(root.path().join("file")).unwrap();
    assert_eq!(
        (fs::read(root.path().join("file")).unwrap(), file.uid(), file.gid()),
        (b"new".to_vec(), 7, 8)
    );
    put(root.path(), &Tar::new().file("folder", b"").end(), FilesManner::default()).unwrap();
    assert!(root.path().join("folder").is_file());
}
