//! What is rare in layers and must come through all the same: names that are no text, very many files, very big ones.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;

use common::{Header, Place, Tar, docker_archive};
use images::{Platform, Reference};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Files of the layer with many.
const FILES: usize = 100_000;
/// Files of one of its directories.
const FILES_OF_ONE: usize = 1000;
/// A size that four bytes do not hold.
const BIG_BYTES: u64 = (4 << 30) + 12_345;

/// The files of the first layer of what is saved, as it is in the archive.
fn saved_layer(place: &Place, name: &str) -> Vec<u8> {
    let mut saved = Vec::new();
    place.images.save(&[name.to_owned()], &mut saved).unwrap();
    let other = Place::new();
    let loaded = other.load(&saved).unwrap();
    assert_eq!(loaded[0].id, place.images.resolve(name).unwrap().id);
    fs::read(
        other
            .kept()
            .into_iter()
            .filter(|path| path.is_file())
            .max_by_key(|path| path.metadata().unwrap().len())
            .unwrap(),
    )
    .unwrap()
}

#[test]
fn names_that_are_no_text_are_kept_byte_for_byte() {
    let names: [&[u8]; 4] = [b"caf\xe9", b"\xff\xfe/\x80", b"line\nbreak", b"\x01\x7f tab\t"];
    let mut tar = Tar::new();
    for name in names {
        tar = tar.pax(&[("path", name), ("mtime", b"1.5")]).file("x", name);
    }
    tar = tar
        .pax(&[("linkpath", names[0])])
        .symlink("link", "x")
        .pax(&[("linkpath", names[1])])
        .hardlink("hard", "x");
    let layer = tar.file("padding", &[7; 20_000]).end();
    let place = Place::new();
    let root = place.unpack(&layer).unwrap();
    for name in names {
        let path = root.join(OsStr::from_bytes(name));
        assert_eq!(fs::read(&path).unwrap(), name);
        let is = fs::metadata(&path).unwrap();
        assert_eq!((is.mtime(), is.mtime_nsec()), (1, 500_000_000));
    }
    assert_eq!(fs::read_link(root.join("link")).unwrap().as_os_str().as_bytes(), names[0]);
    assert_eq!(fs::read(root.join("hard")).unwrap(), names[1]);
    assert!(saved_layer(&place, "test:1") == layer, "it is saved as it came");
}

#[test]
fn a_hundred_thousand_files_are_unpacked_and_removed_again() {
    let mut layer = Vec::with_capacity(FILES * 1024);
    for number in 0..FILES {
        let path = format!("d{}/f{number}", number / FILES_OF_ONE);
        let content = number.to_string();
        layer.extend_from_slice(&Header { size: content.len() as u64, ..Header::new(&path, b'0') }.block());
        layer.extend_from_slice(content.as_bytes());
        layer.resize(layer.len().next_multiple_of(512), 0);
    }
    layer.extend_from_slice(&[0; 1024]);
    // In memory where that can be: how fast a disk makes so many files is not what is asked here.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let images = common::open(directory.path());
    let place = Place { directory, images };
    let root = place.unpack(&layer).unwrap();
    for number in (0..FILES).step_by(FILES_OF_ONE - 1) {
        let path = root.join(format!("d{}/f{number}", number / FILES_OF_ONE));
        assert_eq!(fs::read_to_string(path).unwrap(), number.to_string());
    }
    let count = |directory: &Path| fs::read_dir(directory).unwrap().count();
    assert_eq!(count(&root), FILES / FILES_OF_ONE);
    assert!((0..FILES / FILES_OF_ONE).all(|number| count(&root.join(format!("d{number}"))) == FILES_OF_ONE));
    place.images.remove("test:1", false, &|_| Vec::new()).unwrap();
    assert!(place.kept().is_empty());
}

#[test]
fn a_file_of_more_than_four_gigabytes_that_is_nearly_all_hole_takes_no_room() {
    let sizes = BIG_BYTES.to_string();
    let layer = Tar::new()
        .pax(&[
            ("GNU.sparse.size", sizes.as_bytes()),
            ("GNU.sparse.map", format!("0,5,{},5", BIG_BYTES - 5).as_bytes()),
        ])
        .file("big", b"beginends!")
        .end();
    let place = Place::new();
    let root = place.unpack(&layer).unwrap();
    let mut file = File::open(root.join("big")).unwrap();
    let is = file.metadata().unwrap();
    assert_eq!(is.len(), BIG_BYTES);
    assert!(is.blocks() < 100);
    let mut end = [0; 6];
    file.seek(SeekFrom::End(-6)).unwrap();
    file.read_exact(&mut end).unwrap();
    assert_eq!(&end, b"\0ends!");
}

#[test]
#[ignore = "takes 9 GB of the disk and a minute: `cargo xtask torture images`"]
fn torture_a_layer_of_more_than_four_gigabytes_is_taken_in_and_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layer.tar.zst");
    let mut out = zstd::Encoder::new(File::create(&path).unwrap(), 1).unwrap();
    out.write_all(&Header { size: BIG_BYTES, ..Header::new("big", b'0') }.block()).unwrap();
    std::io::copy(&mut std::io::repeat(b'z').take(BIG_BYTES), &mut out).unwrap();
    let padding = (BIG_BYTES.next_multiple_of(512) - BIG_BYTES) as usize;
    out.write_all(&vec![0; padding]).unwrap();
    out.write_all(&Tar::new().file("after", b"it").end()).unwrap();
    out.finish().unwrap();
    let place = Place::new();
    let name = Reference::parse("big:1").unwrap();
    let archive = &mut File::open(&path).unwrap();
    let id = place.images.import(archive, Some(name), "", &[], &Platform::default()).unwrap();
    let root = place.images.rootfs(&id).unwrap().remove(0);
    assert_eq!(fs::metadata(root.join("big")).unwrap().len(), BIG_BYTES);
    assert_eq!(fs::read(root.join("after")).unwrap(), b"it");
    let saved = directory.path().join("saved.tar");
    place.images.save(&["big:1".to_owned()], &mut File::create(&saved).unwrap()).unwrap();
    place.images.remove("big:1", false, &|_| Vec::new()).unwrap();
    assert!(place.kept().is_empty());
    let loaded = place.images.load(&mut File::open(&saved).unwrap(), &mut |_| {}).unwrap();
    assert_eq!(loaded[0].id, id);
}

#[test]
fn a_capability_and_the_time_of_a_file_come_through_saving_and_loading() {
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let layer = Tar::new()
        .pax(&[("SCHILY.xattr.security.capability", capability), ("mtime", b"7.000000001")])
        .program("bin/ping", b"p")
        .end();
    let place = Place::new();
    place.load(&docker_archive("test:1", &[&layer])).unwrap();
    let mut saved = Vec::new();
    place.images.save(&["test:1".to_owned()], &mut saved).unwrap();
    let other = Place::new();
    let id = other.load(&saved).unwrap()[0].id;
    let file = other.images.rootfs(&id).unwrap()[0].join("bin/ping");
    let mut value = [0; 64];
    let length = rustix::fs::lgetxattr(&file, "security.capability", &mut value[..]).unwrap();
    assert_eq!(&value[..length], capability);
    let is = fs::metadata(&file).unwrap();
    assert_eq!((is.mtime(), is.mtime_nsec(), is.mode() & 0o777), (7, 1, 0o755));
}
