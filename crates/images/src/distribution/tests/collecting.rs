//! What stays and what goes: beside pushes, beside images, after a crash.

use super::*;
use crate::distribution::records::Held;
use crate::distribution::{Refusal, Repository, Target};
use crate::{ImageConfig, Piece, Reference};
use base::Time;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pushes of the race between pushing and collecting.
const ROUNDS: usize = 100;
/// The same where there is time.
const TORTURE_ROUNDS: usize = 1000;

#[test]
fn what_no_manifest_needs_goes_unless_a_push_counts_on_it() {
    let site = Site::new();
    site.push_manifest("a", "v1", b"needed", "");
    site.push("a", b"abandoned");
    site.push("b", b"alone");
    let before = site.registry.collect().unwrap();
    assert_eq!((before.blobs, before.repositories, site.files()), (0, 0, 4));
    // Opened again, all of it was announced long ago.
    let site = site.again();
    let digest = ContentDigest::from(digest_of(b"alone"));
    assert_eq!(site.ask("HEAD", &format!("/v2/b/blobs/{digest}"), &[], b"").status, StatusCode::OK);
    let collected = site.registry.collect().unwrap();
    assert_eq!((collected.blobs, collected.repositories, site.files()), (1, 0, 3));
    let site = site.again();
    let collected = site.registry.collect().unwrap();
    assert_eq!((collected.blobs, collected.repositories, site.files()), (1, 1, 2));
    assert_eq!(site.get("/v2/a/manifests/v1").status, StatusCode::OK);
}

#[test]
fn files_that_a_crash_left_are_removed_and_those_of_repositories_stay() {
    let site = Site::new();
    let digest = site.push("a", b"content");
    let blobs = site.root.path().join("images/blobs");
    std::fs::write(blobs.join("sha256").join(digest_of(b"x").hex()), "x").unwrap();
    std::fs::write(blobs.join("sha512/half"), "y").unwrap();
    std::fs::create_dir(site.root.path().join("images/uploads/none")).unwrap();
    let site = site.again();
    assert_eq!((site.files(), site.uploads()), (1, 0));
    assert_eq!(site.get(&format!("/v2/a/blobs/{digest}")).body, "content");
}

#[test]
fn images_and_repositories_share_a_file_which_goes_with_the_last_of_them() {
    let site = Site::new();
    let images = &site.registry.images;
    let pieces = [Piece { path: "file", mode: 0o644, bytes: Some(b"content") }];
    let assemble = || {
        let name = Some(Reference::parse("app").unwrap());
        images.assemble(&pieces, ImageConfig::default(), Time::from_unix_seconds(1), "made", name).unwrap();
    };
    assemble();
    assert_eq!(site.files(), 2);
    let contents: Vec<Vec<u8>> = std::fs::read_dir(site.root.path().join("images/blobs/sha256"))
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    for content in &contents {
        site.push("a", content);
    }
    assert_eq!(site.files(), 2);
    images.remove("app", false, &|_| Vec::new()).unwrap();
    assert_eq!(site.files(), 2, "the repository has them");
    assemble();
    for content in &contents {
        let path = format!("/v2/a/blobs/{}", digest_of(content));
        assert_eq!(site.get(&path).body, content);
        assert_eq!(site.ask("DELETE", &path, &[], b"").status, StatusCode::ACCEPTED);
    }
    assert_eq!(site.files(), 2, "the image has them");
    images.remove("app", false, &|_| Vec::new()).unwrap();
    assert_eq!(site.files(), 0);
}

#[test]
fn a_layer_of_an_image_is_mounted_without_a_copy_by_whoever_may_do_everything() {
    let site = Site::new();
    let images = &site.registry.images;
    let pieces = [Piece { path: "file", mode: 0o644, bytes: Some(b"content") }];
    images.assemble(&pieces, ImageConfig::default(), Time::from_unix_seconds(1), "made", None).unwrap();
    let layer = images.store.read(|tx| tx.list(&crate::records::LAYERS)).unwrap().remove(0).1;
    let mount = |query: &str| {
        let path = format!("/v2/a/blobs/uploads/?mount={}{query}", layer.blob);
        site.ask("POST", &path, &[], b"").status
    };
    assert_eq!(mount("&from=elsewhere"), StatusCode::ACCEPTED);
    assert_eq!((mount(""), site.files()), (StatusCode::CREATED, 2));
    let path = format!("/v2/a/blobs/{}", layer.blob);
    assert_eq!(site.get(&path).body.len() as u64, layer.blob_bytes);
    assert_eq!((site.ask("DELETE", &path, &[], b"").status, site.files()), (StatusCode::ACCEPTED, 2));
    assert_eq!(images.list().unwrap().len(), 1);
}

/// Says that something has ended, however it does.
struct Ending<'e>(&'e AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_push_that_was_told_that_a_blob_is_here_finds_it_there() {
    push_while_collecting(ROUNDS);
}

#[test]
#[ignore = "takes long: `cargo xtask torture registry`"]
fn torture_a_push_that_was_told_that_a_blob_is_here_finds_it_there() {
    push_while_collecting(TORTURE_ROUNDS);
}

/// A client that is told that a blob is here pushes a manifest that needs it, while everything that is not announced is
/// being collected.
fn push_while_collecting(rounds: usize) {
    let site = Site::new();
    let registry = &site.registry;
    let long_ago = Clock::system().instant().checked_sub(ANNOUNCED_KEPT).unwrap();
    let repository: Repository = "a".parse().unwrap();
    let digest = site.push("a", b"part");
    let held = Held { digest, repository: repository.clone() };
    let part = format!(r#"{{"mediaType":"x","digest":"{digest}","size":4}}"#);
    let text = format!(r#"{{"schemaVersion":2,"config":{part},"layers":[]}}"#);
    let target = Target::Tag("v1".parse().unwrap());
    let ended = AtomicBool::new(false);
    let (mut told, mut pushed_again) = (0, 0);
    std::thread::scope(|scope| {
        // Also when something fails here: a test that fails shall end.
        let _ending = Ending(&ended);
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                registry.collect().unwrap();
            }
        });
        for _ in 0..rounds {
            match registry.blob(&repository, digest) {
                Ok(_) => told += 1,
                Err(Refusal::UnknownBlob { .. }) => {
                    site.push("a", b"part");
                    pushed_again += 1;
                }
                Err(other) => panic!("{other}"),
            }
            let pushed = registry.put_manifest(&repository, &target, &[], OCI, text.as_bytes()).unwrap();
            registry.delete_manifest(&repository, &Target::Digest(pushed.digest)).unwrap();
            // Nobody counts on it any more: it may be collected at any moment from here on.
            registry.announced.announce(held.clone(), long_ago);
        }
    });
    assert_eq!(told + pushed_again, rounds);
    println!(
        "{rounds} pushes while all that could be was collected: {told} found their blob, {pushed_again} sent it again"
    );
}
