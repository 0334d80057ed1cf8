//! Archives in every form that is taken, and what is found afterwards.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;

use common::{Place, Tar, docker_archive, docker_archive_packed, gzip, hex, oci_archive, zstd};
use images::{Error, ErrorKind};
use std::fs;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

fn base() -> Vec<u8> {
    Tar::new().directory("etc/").file("etc/motd", b"hello").file("bin/sh", &[7; 5000]).end()
}

fn upper() -> Vec<u8> {
    Tar::new().directory("etc/").file("etc/issue", b"two").file(".wh.bin", b"").end()
}

/// The files of the top layer and of the one below.
fn check(place: &Place, name: &str) {
    let image = place.images.resolve(name).unwrap();
    assert_eq!(image.repo_tags, [name]);
    assert_eq!(image.size, 5000 + 5 + 3);
    assert_eq!(image.created.to_string(), "2024-05-06T07:08:09.5Z");
    assert_eq!((image.config.cmd.unwrap()[0].as_str(), image.config.env[0].as_str()), ("sh", "PATH=/bin"));
    let layers = place.images.rootfs(&image.id).unwrap();
    assert_eq!(layers, image.directories);
    assert_eq!(fs::read(layers[0].join("etc/issue")).unwrap(), b"two");
    assert_eq!(fs::read(layers[1].join("etc/motd")).unwrap(), b"hello");
}

#[test]
fn a_docker_archive_is_loaded_however_it_is_packed() {
    let (base, upper) = (base(), upper());
    let plain = docker_archive("app:1", &[&base, &upper]);
    let layers = docker_archive_packed("app:1", &[&base, &upper], &[&gzip(&base), &zstd(&upper)]);
    for archive in [plain.clone(), gzip(&plain), zstd(&plain), layers] {
        let place = Place::new();
        let loaded = place.load(&archive).unwrap();
        assert_eq!(loaded[0].names[0].familiar(), "app:1");
        check(&place, "app:1");
        assert_eq!(place.kept().len(), 5, "two blobs, two layers, one configuration: {:?}", place.kept());
    }
}

#[test]
fn an_oci_layout_is_loaded_however_its_layers_are_packed() {
    let (base, upper) = (base(), upper());
    let (base_gz, upper_zst) = (gzip(&base), zstd(&upper));
    let (gz, zst) = (format!("{LAYER}+gzip"), format!("{LAYER}+zstd"));
    let archive =
        oci_archive("docker.io/library/app:1", &[(&base, &base_gz, &gz), (&upper, &upper_zst, &zst)]);
    let place = Place::new();
    place.load(&archive).unwrap();
    check(&place, "app:1");
    // What is here already is recognised by its digest and not unpacked again.
    let mut told = Vec::new();
    place.images.load(&mut archive.as_slice(), &mut |progress| told.push(progress)).unwrap();
    assert!(told.is_empty(), "{told:?}");
    check(&place, "app:1");
}

#[test]
fn an_archive_from_a_pipe_is_read_as_it_comes() {
    let archive = docker_archive("app:1", &[&base(), &upper()]);
    let place = Place::new();
    let (mut input, mut output) = std::io::pipe().unwrap();
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        archive.chunks(700).for_each(|chunk| output.write_all(chunk).unwrap());
    });
    place.images.load(&mut input, &mut |_| {}).unwrap();
    writer.join().unwrap();
    check(&place, "app:1");
}

#[test]
fn progress_ends_with_the_whole_of_each_layer() {
    let big = Tar::new().file("big", &vec![1; 3 << 20]).end();
    let archive = docker_archive("app:1", &[&big]);
    let mut told = Vec::new();
    Place::new().images.load(&mut archive.as_slice(), &mut |progress| told.push(progress)).unwrap();
    assert!(told.len() > 2, "{told:?}");
    assert!(told.windows(2).all(|pair| pair[0].current <= pair[1].current));
    let last = told.last().unwrap();
    assert_eq!(
        (last.current, last.total, last.layer.as_str()),
        (big.len() as u64, big.len() as u64, "000000000000")
    );
}

#[test]
fn a_layer_that_an_image_has_twice_is_stacked_once_and_links_between_layers_are_followed() {
    let layer = Tar::new().file("a", b"a").end();
    let config = common::config(&[&layer, &layer]);
    let manifest =
        serde_json::json!([{"Config": "c.json", "RepoTags": null, "Layers": ["1/layer.tar", "2/layer.tar"]}]);
    let archive = Tar::new()
        .file("1/layer.tar", &layer)
        .symlink("2/layer.tar", "../1/layer.tar")
        .file("c.json", &config)
        .file("manifest.json", &serde_json::to_vec(&manifest).unwrap())
        .end();
    let place = Place::new();
    let loaded = place.load(&archive).unwrap();
    assert!(loaded[0].names.is_empty());
    assert_eq!(place.images.rootfs(&loaded[0].id).unwrap().len(), 1);
    assert_eq!(place.images.get(&loaded[0].id).unwrap().diff_ids.len(), 2);
}

#[test]
fn two_images_share_the_layers_that_they_have_in_common() {
    let (base, upper) = (base(), upper());
    let place = Place::new();
    let one = place.load(&docker_archive("one:1", &[&base])).unwrap()[0].id;
    let two = place.load(&docker_archive("two:1", &[&base, &upper])).unwrap()[0].id;
    assert_eq!(place.images.rootfs(&one).unwrap()[0], place.images.rootfs(&two).unwrap()[1]);
}

#[test]
fn a_name_moves_to_the_image_that_is_loaded_last() {
    let place = Place::new();
    let old = place.load(&docker_archive("app:1", &[&base()])).unwrap()[0].id;
    let loaded = place.load(&docker_archive("app:1", &[&upper()])).unwrap();
    assert_eq!((loaded[0].taken[0].0.familiar(), loaded[0].taken[0].1), ("app:1".to_owned(), old));
    assert_eq!(place.images.resolve("app:1").unwrap().id, loaded[0].id);
    assert!(place.images.get(&old).unwrap().repo_tags.is_empty());
}

#[test]
fn an_archive_that_is_cut_anywhere_leaves_nothing_and_says_so() {
    let archive = docker_archive("app:1", &[&base(), &upper()]);
    let packed = gzip(&archive);
    let place = Place::new();
    for cut in (0..archive.len() - 1100).step_by(256).chain([archive.len() - 1500]) {
        let error = place.load(&archive[..cut]).unwrap_err();
        assert_eq!(error.to_string(), "unexpected EOF", "{cut}");
        assert!(place.kept().is_empty(), "{cut}: {:?}", place.kept());
    }
    for cut in [5, 20, packed.len() / 2, packed.len() - 1] {
        assert_eq!(place.load(&packed[..cut]).unwrap_err().to_string(), "unexpected EOF", "{cut}");
    }
    assert!(place.kept().is_empty());
    assert!(place.images.list().unwrap().is_empty());
}

#[test]
fn a_layer_cut_within_its_compression_is_an_unexpected_end() {
    let base = base();
    let cut = gzip(&base);
    let archive = docker_archive_packed("app:1", &[&base], &[&cut[..cut.len() - 9]]);
    let place = Place::new();
    assert_eq!(place.load(&archive).unwrap_err().to_string(), "unexpected EOF");
    assert!(place.kept().is_empty());
}

#[test]
fn content_that_is_not_what_its_digest_says_is_refused() {
    let (base, other) = (base(), upper());
    let place = Place::new();
    let error = place.load(&docker_archive_packed("app:1", &[&base], &[&other])).unwrap_err();
    let wanted = format!(
        "invalid diffID for layer 0: expected \"sha256:{}\", got \"sha256:{}\"",
        hex(&base),
        hex(&other)
    );
    assert_eq!(error.to_string(), wanted);
    let mut archive = oci_archive("app:1", &[(&base, &base, LAYER)]);
    let at = archive.windows(5).position(|window| window == b"hello").unwrap();
    archive[at] = b'j';
    assert!(matches!(place.load(&archive).unwrap_err(), Error::Digest { .. }));
    assert!(place.kept().is_empty());
}

#[test]
fn what_is_no_image_is_refused_with_a_reason() {
    let place = Place::new();
    for (archive, wanted) in [
        (base(), "the archive is neither a docker-archive (manifest.json) nor an OCI layout (index.json)"),
        (b"hello, this is not a tar archive at all".repeat(40), "read the archive"),
        (
            b"\xfd7zXZ\0 and so on".repeat(40),
            "read the archive: compression xz is not supported; gzip, zstd and none are",
        ),
        (Tar::new().file("manifest.json", b"{}").end(), "read \"manifest.json\" of the archive"),
        (
            Tar::new().file("manifest.json", br#"[{"Config":"c","Layers":[]}]"#).end(),
            "the archive names \"c\" but does not hold it",
        ),
    ] {
        let error = place.load(&archive).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (wanted, ErrorKind::Failed));
    }
    assert!(place.kept().is_empty());
}

#[test]
fn a_manifest_that_names_too_few_layers_is_refused() {
    let (base, upper) = (base(), upper());
    let archive = docker_archive_packed("app:1", &[&base, &upper], &[&base]);
    let error = Place::new().load(&archive).unwrap_err();
    assert_eq!(error.to_string(), "invalid manifest, layers length mismatch: expected 2, got 1");
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    common::small_disk(directory.path(), 24 << 20);
    let images = common::open(directory.path());
    // Small as an archive, large when unpacked.
    let bomb = Tar::new().file("zeros", &vec![0; 64 << 20]).end();
    let archive = docker_archive_packed("app:1", &[&bomb], &[&zstd(&bomb)]);
    let error = images.load(&mut archive.as_slice(), &mut |_| {}).unwrap_err();
    let text = base::Chain(&error).to_string();
    assert!(text.to_lowercase().contains("unpack zeros: no space left on device"), "{text}");
    // The archive itself does not fit either.
    let archive = docker_archive("app:1", &[&bomb]);
    let error = images.load(&mut archive.as_slice(), &mut |_| {}).unwrap_err();
    let text = base::Chain(&error).to_string().to_lowercase();
    assert!(text.contains("no space left on device"), "{text}");
    for left in ["blobs/sha256", "layers", "tmp"] {
        assert_eq!(fs::read_dir(directory.path().join("images").join(left)).unwrap().count(), 0, "{left}");
    }
    assert!(images.load(&mut docker_archive("app:1", &[&base()]).as_slice(), &mut |_| {}).is_ok());
    drop(images);
    rustix::mount::unmount(directory.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
}
