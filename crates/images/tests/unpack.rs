//! What comes out of a layer, and what a hostile one cannot do.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;

use common::{Header, Place, Tar};
use images::Error;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

fn refused(layer: &[u8]) -> String {
    let place = Place::new();
    let error = place.unpack(layer).unwrap_err();
    assert!(place.kept().is_empty(), "{:?}", place.kept());
    base::Chain(&error).to_string()
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

#[test]
fn files_keep_owner_mode_times_and_links() {
    let layer = Tar::new()
        .pax(&[("mtime", b"1234567890.123456789"), ("uid", b"70000"), ("SCHILY.xattr.user.note", b"x\0y")])
        .entry(&Header { mode: 0o4755, gid: 5, ..Header::new("bin/su", b'0') }, b"program")
        .hardlink("bin/su2", "bin/su")
        .entry(&Header { mode: 0o1777, mtime: 7, ..Header::new("tmp/", b'5') }, b"")
        .file("tmp/x", b"x")
        .symlink("bin/sh", "/bin/su")
        .entry(&Header { mode: 0o600, device: (1, 3), ..Header::new("dev/null", b'3') }, b"")
        .entry(&Header { mode: 0o622, ..Header::new("run/pipe", b'6') }, b"")
        .end();
    let place = Place::new();
    let root = place.unpack(&layer).unwrap();
    let su = fs::metadata(root.join("bin/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.nlink()), (0o4755, 70000, 5, 2));
    assert_eq!((su.mtime(), su.mtime_nsec()), (1_234_567_890, 123_456_789));
    assert_eq!(su.ino(), fs::metadata(root.join("bin/su2")).unwrap().ino());
    assert_eq!(attribute(&root.join("bin/su"), "user.note").unwrap(), b"x\0y");
    let tmp = fs::metadata(root.join("tmp")).unwrap();
    assert_eq!((tmp.mode() & 0o7777, tmp.mtime()), (0o1777, 7), "its time is set after its files are made");
    assert_eq!(fs::read_link(root.join("bin/sh")).unwrap(), Path::new("/bin/su"));
    let null = fs::symlink_metadata(root.join("dev/null")).unwrap();
    assert!(null.file_type().is_char_device() && null.rdev() == rustix::fs::makedev(1, 3));
    let pipe = fs::symlink_metadata(root.join("run/pipe")).unwrap();
    assert!(pipe.file_type().is_fifo() && pipe.permissions().mode() & 0o777 == 0o622);
    assert_eq!(fs::metadata(root.join("bin")).unwrap().mode() & 0o7777, 0o755, "a parent that is not listed");
}

#[test]
fn a_capability_survives_being_unpacked() {
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let layer =
        Tar::new().pax(&[("SCHILY.xattr.security.capability", capability)]).program("bin/ping", b"p").end();
    let place = Place::new();
    let root = place.unpack(&layer).unwrap();
    assert_eq!(attribute(&root.join("bin/ping"), "security.capability").unwrap(), capability);
}

#[test]
fn long_names_of_both_kinds_are_whole() {
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    let target = format!("/{}", "t".repeat(180));
    let name = |flag, text: &str| (Header::new("././@LongLink", flag), [text.as_bytes(), b"\0"].concat());
    let (name_header, name_bytes) = name(b'L', &format!("{long}.gnu"));
    let (link_header, link_bytes) = name(b'K', &target);
    let layer = Tar::new()
        .entry(&name_header, &name_bytes)
        .entry(&link_header, &link_bytes)
        .symlink("short", "short")
        .pax(&[("path", format!("{long}.pax").as_bytes())])
        .file("short", b"x")
        .end();
    let place = Place::new();
    let root = place.unpack(&layer).unwrap();
    assert_eq!(fs::read_link(root.join(format!("{long}.gnu"))).unwrap(), Path::new(&target));
    assert_eq!(fs::read(root.join(format!("{long}.pax"))).unwrap(), b"x");
}

#[test]
fn sparse_files_of_every_kind_have_their_holes() {
    let one_zero = [b"2\n0\n3\n1000000\n3\n".to_vec(), vec![0; 512 - 16], b"abcxyz".to_vec()].concat();
    let mut old = Header { size: 6, ..Header::new("old", b'S') }.block();
    old[257..265].copy_from_slice(b"ustar  \0");
    for (at, text) in [
        (386, "00000000000"),
        (398, "00000000003"),
        (410, "00003641100"),
        (422, "00000000003"),
        (483, "00003641103"),
    ] {
        old[at..at + 11].copy_from_slice(text.as_bytes());
    }
    common::sum(&mut old);
    let layer = Tar::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"v1"),
            ("GNU.sparse.realsize", b"1000003"),
        ])
        .file("GNUSparseFile.0/v1", &one_zero)
        .pax(&[("GNU.sparse.size", b"1000003"), ("GNU.sparse.map", b"0,3,1000000,3")])
        .file("v01", b"abcxyz")
        .raw(&old)
        .data(b"abcxyz")
        .end();
    let place = Place::new();
    let root = place.unpack(&layer).unwrap();
    for name in ["v1", "v01", "old"] {
        let bytes = fs::read(root.join(name)).unwrap();
        assert_eq!(
            (bytes.len(), &bytes[..3], &bytes[1_000_000..]),
            (1_000_003, &b"abc"[..], &b"xyz"[..]),
            "{name}"
        );
        assert!(bytes[3..1_000_000].iter().all(|&byte| byte == 0));
        assert!(fs::metadata(root.join(name)).unwrap().blocks() < 100, "{name} has a hole");
    }
}

#[test]
fn whiteouts_become_what_overlayfs_understands() {
    let layer = Tar::new()
        .file("a/.wh.gone", b"")
        .file("b/.wh..wh..opq", b"")
        .file(".wh..wh.plnk", b"")
        .file(".wh.again", b"")
        .directory("again/")
        .file("kept", b"k")
        .file(".wh.kept", b"")
        .end();
    let place = Place::new();
    let root = place.unpack(&layer).unwrap();
    let gone = fs::symlink_metadata(root.join("a/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(attribute(&root.join("b"), "trusted.overlay.opaque").unwrap(), b"y");
    assert_eq!(
        attribute(&root.join("again"), "trusted.overlay.opaque").unwrap(),
        b"y",
        "hidden, then made anew"
    );
    assert_eq!(fs::read(root.join("kept")).unwrap(), b"k");
    assert!(!root.join(".wh..wh.plnk").exists());
    // And the kernel agrees.
    let lower = place
        .unpack(&Tar::new().file("a/gone", b"1").file("a/stays", b"2").file("b/hidden", b"3").end())
        .unwrap();
    let mount = place.directory.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let options = format!("lowerdir={}:{}", root.display(), lower.display());
    let options = std::ffi::CString::new(options).unwrap();
    #[expect(
        deprecated,
        reason = "a mount namespace of its own takes no file descriptor from any other thread"
    )]
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNS).unwrap();
    use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    rustix::mount::mount("overlay", &mount, "overlay", MountFlags::RDONLY, options.as_c_str()).unwrap();
    assert!(
        !mount.join("a/gone").exists() && mount.join("a/stays").exists() && !mount.join("b/hidden").exists()
    );
    rustix::mount::unmount(&mount, UnmountFlags::empty()).unwrap();
}

#[test]
fn a_path_that_climbs_out_is_refused() {
    for path in ["../evil", "a/../../evil", "..", "/../evil", "../../../../../../../../etc/evil"] {
        let text = refused(&Tar::new().file(path, b"x").end());
        assert_eq!(text, format!("unpack {path}: it is outside of the layer"));
    }
}

#[test]
fn an_absolute_path_begins_at_the_root_of_the_layer() {
    let place = Place::new();
    let root = place.unpack(&Tar::new().file("/etc/inside-of-the-layer", b"x").end()).unwrap();
    assert_eq!(fs::read(root.join("etc/inside-of-the-layer")).unwrap(), b"x");
    assert!(!Path::new("/etc/inside-of-the-layer").exists());
}

#[test]
fn nothing_is_written_through_a_link_that_leads_out() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let up = format!("{}{target}", "../".repeat(30));
    for link in [target, up.as_str()] {
        // The link's target is looked for inside of the layer, and is not there.
        let text = refused(&Tar::new().symlink("door", link).file("door/evil", b"x").end());
        assert!(text.starts_with("unpack door/evil: "), "{text}");
        let text = refused(&Tar::new().symlink("door", link).directory("door/evil/").end());
        assert!(text.starts_with("unpack door/evil/: "), "{text}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // A link that stays inside is followed, as it would be in a running container.
    let place = Place::new();
    let layer = Tar::new().directory("usr/lib/").symlink("lib", "/usr/lib").file("lib/x", b"x").end();
    let root = place.unpack(&layer).unwrap();
    assert_eq!(fs::read(root.join("usr/lib/x")).unwrap(), b"x");
}

#[test]
fn a_file_over_a_link_replaces_the_link_and_not_its_target() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    let place = Place::new();
    let layer = Tar::new().symlink("passwd", outside.path().to_str().unwrap()).file("passwd", b"mine").end();
    let root = place.unpack(&layer).unwrap();
    assert_eq!(fs::read(outside.path()).unwrap(), b"");
    assert!(fs::symlink_metadata(root.join("passwd")).unwrap().is_file());
}

#[test]
fn a_directory_over_a_link_does_not_change_what_the_link_leads_to() {
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let place = Place::new();
    let layer = Tar::new()
        .symlink("door", outside.path().to_str().unwrap())
        .entry(&Header { mode: 0o777, ..Header::new("door", b'5') }, b"")
        .file("door/x", b"x")
        .end();
    let root = place.unpack(&layer).unwrap();
    assert_eq!(fs::metadata(outside.path()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::read(root.join("door/x")).unwrap(), b"x");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_hard_link_cannot_name_what_is_outside() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    let target = outside.path().to_str().unwrap();
    for link in [target.to_owned(), format!("door{target}")] {
        let text = refused(&Tar::new().symlink("door", "/").hardlink("stolen", &link).end());
        assert!(text.starts_with("unpack stolen: "), "{text}");
    }
    let text = refused(&Tar::new().hardlink("stolen", "../../etc/passwd").end());
    assert_eq!(text, "unpack stolen: it is outside of the layer");
    assert_eq!(fs::metadata(outside.path()).unwrap().nlink(), 1);
}

#[test]
fn a_whiteout_cannot_take_away_what_is_no_name() {
    for path in [".wh.", ".wh..", ".wh...", "a/.wh..."] {
        let text = refused(&Tar::new().file(path, b"").end());
        assert!(text.ends_with("it takes away a name that no file has"), "{path}: {text}");
    }
}

#[test]
fn attributes_by_which_overlayfs_is_steered_are_not_taken_from_an_archive() {
    let layer = Tar::new()
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ])
        .directory("a/")
        .end();
    let place = Place::new();
    let root = place.unpack(&layer).unwrap();
    assert_eq!(attribute(&root.join("a"), "trusted.overlay.redirect"), None);
    assert_eq!(attribute(&root.join("a"), "user.overlay.opaque"), None);
}

#[test]
fn an_entry_that_comes_twice_is_what_came_last() {
    let layer = Tar::new()
        .file("a", b"first")
        .file("a", b"second")
        .directory("b/")
        .file("b/in", b"x")
        .file("b", b"no directory now")
        .file("c", b"x")
        .directory("c/")
        .file("c/in", b"y")
        .end();
    let place = Place::new();
    let root = place.unpack(&layer).unwrap();
    assert_eq!(fs::read(root.join("a")).unwrap(), b"second");
    assert_eq!(fs::read(root.join("b")).unwrap(), b"no directory now");
    assert_eq!(fs::read(root.join("c/in")).unwrap(), b"y");
}

#[test]
fn a_tree_too_deep_to_be_removed_safely_is_refused() {
    let deep = "d/".repeat(300);
    let text = refused(&Tar::new().pax(&[("path", format!("{deep}x").as_bytes())]).file("x", b"x").end());
    assert!(text.ends_with("it is more than 256 directories deep"), "{text}");
    let fits = "d/".repeat(250);
    let place = Place::new();
    place.unpack(&Tar::new().pax(&[("path", format!("{fits}x").as_bytes())]).file("x", b"x").end()).unwrap();
    place.images.remove("test:1", false, &|_| Vec::new()).unwrap();
    assert!(place.kept().is_empty());
}

#[test]
fn headers_that_lie_are_refused_without_harm() {
    let huge = Header { size: 3 << 30, ..Header::new("pax", b'x') }.block();
    assert!(
        refused(&Tar::new().raw(&huge).end())
            .contains("a tar extension header of 3221225472 bytes is too big")
    );
    let mut lying = Header { size: 1 << 32, ..Header::new("big", b'0') }.block();
    assert_eq!(refused(&Tar::new().raw(&lying).data(b"little").end()), "unexpected EOF");
    lying[124..136].copy_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    common::sum(&mut lying);
    assert!(refused(&Tar::new().raw(&lying).end()).contains("invalid size in a tar header"));
    let mut broken = Header::new("x", b'0').block();
    broken[0] = b'y';
    let layer = Tar::new().file("a", b"a").raw(&broken).end();
    assert!(refused(&layer).contains("invalid tar header"));
    for records in [&b"99999 path=x\n"[..], b"0 =\n", b"x path=x\n", b"9 path=xy", b"7 path\n\n"] {
        let layer = Tar::new().entry(&Header::new("pax", b'x'), records).file("a", b"a").end();
        assert!(refused(&layer).contains("invalid PAX record"), "{records:?}");
    }
    let layer = Tar::new()
        .pax(&[("GNU.sparse.size", b"10"), ("GNU.sparse.map", b"0,3,18446744073709551615,3")])
        .file("s", b"abcxyz")
        .end();
    assert!(refused(&layer).contains("invalid map of a sparse file"));
    let layer = Tar::new().pax(&[("path", b"a\0b")]).file("x", b"x").end();
    assert!(refused(&layer).contains("its path holds a zero byte"));
}

#[test]
fn the_root_of_a_layer_cannot_be_replaced() {
    for path in [".", "./", "/", "a/.."] {
        let text = refused(&Tar::new().symlink(path, "/etc").end());
        assert!(text.ends_with("it would replace the root of the layer"), "{path}: {text}");
    }
    let place = Place::new();
    let root = place
        .unpack(&Tar::new().entry(&Header { mode: 0o700, ..Header::new("./", b'5') }, b"").end())
        .unwrap();
    assert_eq!(fs::metadata(root).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn an_entry_without_meaning_is_refused_and_not_skipped() {
    let text = refused(&Tar::new().entry(&Header::new("volume", b'V'), b"").end());
    assert_eq!(text, "unpack volume: this type of entry has no meaning in a layer");
}

#[test]
fn a_link_that_takes_the_place_of_a_directory_takes_no_file_out() {
    let outside = tempfile::tempdir().unwrap();
    let layer = Tar::new()
        .directory("d/")
        .file("d/one", b"1")
        .symlink("d", outside.path().to_str().unwrap())
        .file("d/two", b"2")
        .end();
    let place = Place::new();
    assert!(matches!(place.unpack(&layer).unwrap_err(), Error::Unpack { .. }));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_parent_that_is_not_listed_belongs_to_root_whatever_is_above_it() {
    let layer = Tar::new()
        .entry(&Header { mode: 0o2775, gid: 50, ..Header::new("shared/", b'5') }, b"")
        .file("shared/made/file", b"x")
        .end();
    let place = Place::new();
    let root = place.unpack(&layer).unwrap();
    let made = fs::metadata(root.join("shared/made")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (0, 0, 0o755));
    let shared = fs::metadata(root.join("shared")).unwrap();
    assert_eq!((shared.gid(), shared.mode() & 0o7777), (50, 0o2775));
}
