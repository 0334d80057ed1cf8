//! How plain layers go out, against a registry that behaves.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;
#[path = "common/registry.rs"]
mod server;

use common::{Place, Tar, config, docker_archive, hex};
use images::Reference;
use images::registry::{Compression, PushRequest, Pushed};
use serde_json::{Value, json};
use server::{OCI_MANIFEST, PullEar, PushEar, Registry, big_layer, pull_of, push_of, registries};

const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

fn layers() -> [Vec<u8>; 2] {
    [Tar::new().directory("etc/").file("etc/motd", b"hello").end(), big_layer(1)]
}

fn push(place: &Place, registry: &Registry, name: &Reference, compression: Option<Compression>) -> Pushed {
    let request = PushRequest { compression, ..push_of(name.clone()) };
    place.images.push(&registries(), registry.runtime.handle(), &request, &PushEar::default()).unwrap()
}

fn pull(place: &Place, registry: &Registry, name: &Reference) {
    let ear = PullEar::default();
    place.images.pull(&registries(), registry.runtime.handle(), &pull_of(name.clone()), &ear).unwrap();
}

/// The kinds and digests of the layers of `app:TAG`.
fn kept(registry: &Registry, tag: &str) -> Vec<(String, String)> {
    let state = registry.state();
    let (_, manifest) = &state.manifests[&("app".to_owned(), tag.to_owned())];
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.map(|layer| (text(&layer["mediaType"]), text(&layer["digest"]))).collect()
}

#[test]
fn plain_layers_go_out_as_it_is_asked_and_come_back_the_same() {
    let (registry, place, layers) = (Registry::start(), Place::new(), layers());
    let name = registry.name("app:1");
    place.load(&docker_archive(&name.familiar(), &[&layers[0], &layers[1]])).unwrap();
    let id = place.images.resolve(&name.familiar()).unwrap().id;
    for (compression, ending) in [
        (None, "+gzip"),
        (Some(Compression::Zstd), "+zstd"),
        (Some(Compression::None), ""),
        (Some(Compression::Gzip), "+gzip"),
    ] {
        let first = push(&place, &registry, &name, compression);
        for (kind, digest) in kept(&registry, "1") {
            assert_eq!(kind, format!("{PLAIN}{ending}"));
            assert!(registry.state().blobs.contains_key(&digest));
        }
        let sent = registry.asked("PUT").len();
        assert_eq!(push(&place, &registry, &name, compression), first);
        assert_eq!(registry.asked("PUT").len(), sent + 1, "the manifest alone");
        let back = Place::new();
        pull(&back, &registry, &name);
        assert_eq!(back.images.resolve(&name.familiar()).unwrap().id, id);
    }
}

#[test]
fn what_came_plain_from_a_registry_goes_out_as_it_came_unless_told_otherwise() {
    let (registry, place, layers) = (Registry::start(), Place::new(), layers());
    let layers = [&layers[0][..], &layers[1][..]];
    let mut manifest = registry.keep_parts(&config(&layers), &layers);
    manifest["layers"] = layers
        .iter()
        .map(|layer| {
            let digest = format!("sha256:{}", hex(layer));
            registry.state().blobs.insert(digest.clone(), layer.to_vec());
            json!({"mediaType": PLAIN, "digest": digest, "size": layer.len()})
        })
        .collect();
    let digest = registry.keep_manifest("app", "1", OCI_MANIFEST, &manifest);
    let name = registry.name("app:1");
    pull(&place, &registry, &name);
    let elsewhere = Registry::start();
    let copy = elsewhere.name("app:2");
    place.images.tag(&name.familiar(), &copy.familiar()).unwrap();
    assert_eq!(push(&place, &elsewhere, &copy, None).digest.to_string(), digest);
    assert_eq!(kept(&elsewhere, "2"), kept(&registry, "1"));
    push(&place, &elsewhere, &copy, Some(Compression::Zstd));
    assert!(kept(&elsewhere, "2").iter().all(|(kind, _)| kind.ends_with("+zstd")));
}
