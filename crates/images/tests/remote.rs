//! Looking at what registries have, without taking it in.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;
#[path = "common/registry.rs"]
mod server;

use common::{Tar, config};
use images::registry::{Credentials, Match, Member, PublishRequest};
use images::{Error, Platform, Reference};
use serde_json::json;
use server::{Door, OCI_INDEX, Registry, pull_of, registries};

fn names(found: &[Match]) -> Vec<&str> {
    found.iter().map(|one| one.name.as_str()).collect()
}

#[test]
fn an_image_and_an_index_tell_what_they_are_without_a_layer() {
    let registry = Registry::start();
    let layer = Tar::new().file("a", b"a").end();
    let digest = registry.keep("app", "1", &[&layer]);
    let (registries, runtime) = (registries(), registry.runtime.handle());
    let request = pull_of(registry.name("app:1"));
    let remote = runtime.block_on(registries.remote(&request)).unwrap();
    assert_eq!((remote.digest.to_string(), remote.images.len()), (digest.clone(), 0));
    let platforms = runtime.block_on(registries.remote_platforms(&request, &remote)).unwrap();
    assert_eq!(platforms, [Platform::default()]);
    let image = runtime.block_on(registries.remote_image(&request)).unwrap();
    assert_eq!(image.diff_ids.len(), 1);
    assert!(image.size > 0 && image.directories.is_empty());
    assert_eq!(image.repo_digests, [format!("{}/app@{digest}", registry.address)]);

    let part = |architecture: &str| {
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": remote.text.len(),
            "platform": {"os": "linux", "architecture": architecture},
        })
    };
    let index =
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [part("amd64"), part("arm64")]});
    let whole = registry.keep_manifest("app", "all", OCI_INDEX, &index);
    let request = pull_of(registry.name("app:all"));
    let remote = runtime.block_on(registries.remote(&request)).unwrap();
    assert_eq!((remote.digest.to_string(), remote.media_type.as_str()), (whole, OCI_INDEX));
    let platforms = runtime.block_on(registries.remote_platforms(&request, &remote)).unwrap();
    assert_eq!(platforms.iter().map(|one| one.architecture.as_str()).collect::<Vec<_>>(), ["amd64", "arm64"]);
    let missing = runtime.block_on(registries.remote(&pull_of(registry.name("app:2"))));
    assert!(matches!(missing, Err(Error::NoSuchManifest(..))), "{missing:?}");
    let layers = registry.asked("GET /v2/app/blobs/").len();
    assert_eq!(layers, 2, "configurations alone");
}

#[test]
fn a_word_is_looked_for_in_the_list_of_repositories_where_nothing_better_is_there() {
    let registry = Registry::start();
    let parts = registry.keep_parts(&config(&[]), &[]);
    for name in ["a/one", "b/two", "c/three", "d/twofold"] {
        registry.keep_manifest(name, "1", "application/vnd.oci.image.manifest.v1+json", &parts);
    }
    registry.state().page = 1;
    let (registries, domain) = (registries(), registry.address.to_string());
    let search = |word: &str, limit| {
        let nobody = Credentials::default();
        registry.runtime.block_on(registries.search(&domain, word, limit, &nobody))
    };
    assert_eq!(names(&search("two", 9).unwrap()), ["b/two", "d/twofold"]);
    assert_eq!(names(&search("two", 1).unwrap()), ["b/two"]);
    assert_eq!(names(&search("none", 9).unwrap()), [""; 0]);
    let found = json!({"num_results": 1, "results": [{"name": "two", "description": null, "star_count": 3, "is_official": true}]});
    registry.state().found = Some(found);
    let official = Match { name: "two".to_owned(), star_count: 3, is_official: true, ..Match::default() };
    assert_eq!(search("two", 9).unwrap(), [official]);
}

#[test]
fn whoever_must_log_in_to_search_does() {
    let registry = Registry::start();
    registry.keep("app", "1", &[&Tar::new().end()]);
    registry.state().door = Door::Token("me", "secret");
    let (registries, domain) = (registries(), registry.address.to_string());
    let search = |password: &str| {
        let me =
            Credentials { user: "me".to_owned(), password: password.to_owned(), ..Credentials::default() };
        registry.runtime.block_on(registries.search(&domain, "app", 9, &me))
    };
    assert!(search("wrong").is_err());
    assert_eq!(names(&search("secret").unwrap()), ["app"]);
}

#[test]
fn an_index_of_images_of_other_repositories_is_published_without_sending_a_layer() {
    let registry = Registry::start();
    let one = registry.keep("one", "1", &[&Tar::new().file("a", b"a").end()]);
    let two = registry.keep("two", "1", &[&Tar::new().file("b", b"b").end()]);
    let (registries, runtime) = (registries(), registry.runtime.handle());
    let member = |repository: &str, digest: &str, architecture: &str| Member {
        reference: Reference::parse(&format!("{}/{repository}@{digest}", registry.address)).unwrap(),
        platform: Platform { architecture: architecture.to_owned(), ..Platform::default() },
    };
    let request = PublishRequest {
        reference: registry.name("all:1"),
        members: vec![member("one", &one, "amd64"), member("two", &two, "arm64")],
        credentials: Credentials::default(),
    };
    let digest = runtime.block_on(registries.publish(&request)).unwrap();
    assert_eq!(registry.asked("PUT /v2/all/blobs/").len(), 0, "nothing is sent");
    let pull = pull_of(registry.name("all:1"));
    let remote = runtime.block_on(registries.remote(&pull)).unwrap();
    assert_eq!((remote.digest, remote.media_type.as_str()), (digest, OCI_INDEX));
    let parts: Vec<_> = remote.images.iter().map(|part| part.digest.to_string()).collect();
    assert_eq!(parts, [one.clone(), two]);
    assert_eq!(runtime.block_on(registries.remote_image(&pull)).unwrap().diff_ids.len(), 1);

    registry.state().blobs.clear();
    let refused = runtime.block_on(registries.publish(&request));
    assert!(matches!(refused, Err(Error::NotMounted { .. })), "{refused:?}");
    let foreign = Reference::parse(&format!("other.example/one@{one}")).unwrap();
    let foreign = Member { reference: foreign, platform: Platform::default() };
    let refused = runtime.block_on(registries.publish(&PublishRequest { members: vec![foreign], ..request }));
    assert!(matches!(refused, Err(Error::OtherRegistry { .. })), "{refused:?}");
}
