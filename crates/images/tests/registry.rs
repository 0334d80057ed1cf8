//! Pulling and pushing, against a registry that behaves and one that does not.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;
#[path = "common/registry.rs"]
mod server;

use common::{Place, Tar, config, docker_archive, hex};
use images::registry::{
    Credentials, HostSettings, LayerState, PullStep, Pulled, PushState, Pushed, Registries,
};
use images::{Error, Platform, Reference, Result};
use serde_json::json;
use server::{
    Door, Faults, OCI_INDEX, OCI_MANIFEST, PullEar, PushEar, Registry, big_layer, pull_of, push_of,
    registries, settings,
};
use std::fs;

fn base() -> Vec<u8> {
    Tar::new().directory("etc/").file("etc/motd", b"hello").end()
}

fn pull(place: &Place, registry: &Registry, reference: &Reference) -> Result<Pulled> {
    pull_with(place, registry, &registries(), reference)
}

fn pull_with(
    place: &Place,
    registry: &Registry,
    registries: &Registries,
    reference: &Reference,
) -> Result<Pulled> {
    let ear = PullEar::default();
    place.images.pull(registries, registry.runtime.handle(), &pull_of(reference.clone()), &ear)
}

fn push(place: &Place, registry: &Registry, reference: &Reference) -> Result<Pushed> {
    let ear = PushEar::default();
    place.images.push(&registries(), registry.runtime.handle(), &push_of(reference.clone()), &ear)
}

fn said(error: &Error) -> String {
    base::Chain(error).to_string()
}

#[test]
fn an_image_is_pulled_and_known_by_its_name_and_its_digest() {
    let (registry, place) = (Registry::start(), Place::new());
    let (base, big) = (base(), big_layer(1));
    let digest = registry.keep("app", "1", &[&base, &big]);
    let reference = registry.name("app:1");
    let ear = PullEar::default();
    let pulled = place
        .images
        .pull(&registries(), registry.runtime.handle(), &pull_of(reference.clone()), &ear)
        .unwrap();
    assert_eq!((pulled.digest.to_string(), pulled.newer), (digest.clone(), true));
    let image = place.images.resolve(&reference.familiar()).unwrap();
    assert_eq!(image.id, pulled.id);
    assert_eq!(image.repo_digests, [format!("{}/app@{digest}", registry.address)]);
    assert_eq!(fs::read(image.directories[1].join("etc/motd")).unwrap(), b"hello");
    assert_eq!(fs::metadata(image.directories[0].join("big")).unwrap().len(), 400_000);
    let steps = ear.steps.into_inner().unwrap();
    let found = PullStep::Found { repository: "app".to_owned(), tag: "1".to_owned() };
    assert_eq!(steps[0], found);
    let layer = |state: LayerState| {
        steps
            .iter()
            .filter(|step| matches!(step, PullStep::Layer { state: other, .. } if *other == state))
            .count()
    };
    for state in [LayerState::Wanted, LayerState::Downloaded, LayerState::Complete] {
        assert_eq!(layer(state), 2, "{state:?} in {steps:?}");
    }
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let (registry, place) = (Registry::start(), Place::new());
    let (base, more) = (base(), big_layer(2));
    registry.keep("app", "1", &[&base]);
    registry.keep("app", "2", &[&base, &more]);
    pull(&place, &registry, &registry.name("app:1")).unwrap();
    let fetched = registry.asked("GET /v2/app/blobs/").len();
    let again = pull(&place, &registry, &registry.name("app:1")).unwrap();
    assert!(!again.newer);
    assert_eq!(registry.asked("GET /v2/app/blobs/").len(), fetched + 1, "the configuration alone");
    let ear = PullEar::default();
    let request = pull_of(registry.name("app:2"));
    place.images.pull(&registries(), registry.runtime.handle(), &request, &ear).unwrap();
    let steps = ear.steps.into_inner().unwrap();
    assert!(steps.iter().any(|step| matches!(step, PullStep::Layer { state: LayerState::Exists, .. })));
    assert_eq!(registry.asked("GET /v2/app/blobs/").len(), fetched + 3, "a configuration and one layer");
}

#[test]
fn a_layer_that_breaks_off_is_read_on_from_where_it_broke() {
    let (registry, place) = (Registry::start(), Place::new());
    registry.keep("app", "1", &[&big_layer(3)]);
    registry.faults(Faults { cut: (3, 100_000), ..Faults::default() });
    pull(&place, &registry, &registry.name("app:1")).unwrap();
    let parts: Vec<String> =
        registry.asked("GET /v2/app/blobs/").into_iter().filter(|asked| asked.contains("bytes=")).collect();
    assert_eq!(parts.len(), 3);
    assert!(
        parts.iter().zip([1, 2, 3]).all(|(part, times)| part.ends_with(&format!(" bytes={times}00000-")))
    );
}

#[test]
fn a_registry_without_ranges_sends_all_of_it_again() {
    let (registry, place) = (Registry::start(), Place::new());
    registry.keep("app", "1", &[&big_layer(4)]);
    registry.faults(Faults { cut: (2, 150_000), no_ranges: true, ..Faults::default() });
    pull(&place, &registry, &registry.name("app:1")).unwrap();
    assert!(place.images.resolve(&registry.name("app:1").familiar()).is_ok());
}

#[test]
fn what_is_not_what_it_should_be_is_refused_and_leaves_nothing() {
    let registry = Registry::start();
    registry.keep("app", "1", &[&base(), &big_layer(5)]);
    for (faults, why) in [
        (Faults { wrong_bytes: true, ..Faults::default() }, "has the digest"),
        (Faults { surplus: 1000, ..Faults::default() }, "bytes, not"),
        (Faults { cut: (u32::MAX, 0), ..Faults::default() }, "broke off at byte 0"),
        (Faults { busy: (u32::MAX, 503), ..Faults::default() }, "503 Service Unavailable"),
    ] {
        let place = Place::new();
        registry.faults(faults);
        let error = pull(&place, &registry, &registry.name("app:1")).unwrap_err();
        assert!(said(&error).contains(why), "{}", said(&error));
        assert_eq!(place.kept(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn a_registry_that_is_busy_is_asked_again() {
    let (registry, place) = (Registry::start(), Place::new());
    registry.keep("app", "1", &[&base()]);
    for status in [429, 500, 502, 503] {
        registry.faults(Faults { busy: (2, status), ..Faults::default() });
        pull(&place, &registry, &registry.name("app:1")).unwrap();
    }
}

#[test]
fn a_pull_that_nobody_waits_for_ends_and_leaves_nothing() {
    let (registry, place) = (Registry::start(), Place::new());
    let config_digest = format!("sha256:{}", hex(&config(&[&base()])));
    registry.keep("app", "1", &[&base()]);
    assert!(registry.state().blobs.contains_key(&config_digest));
    registry.faults(Faults { silent: true, ..Faults::default() });
    let ear = std::sync::Arc::new(PullEar::default());
    let (silence, leaving) = (registry.silence.clone(), ear.clone());
    registry.runtime.spawn(async move {
        silence.notified().await;
        leaving.leave.notify_one();
    });
    let request = pull_of(registry.name("app:1"));
    let pulled = place.images.pull(&registries(), registry.runtime.handle(), &request, &*ear);
    assert_eq!(said(&pulled.unwrap_err()), "context canceled");
    assert_eq!(place.kept(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_refusal_is_told_in_the_words_that_users_know() {
    let (registry, place) = (Registry::start(), Place::new());
    registry.keep("app", "1", &[&base()]);
    let address = registry.address;
    for (name, words) in [
        ("app:2", format!("manifest for {address}/app:2 not found: manifest unknown: manifest unknown")),
        ("none", format!("repository {address}/none not found: name unknown: name unknown")),
    ] {
        let error = pull(&place, &registry, &registry.name(name)).unwrap_err();
        assert_eq!(said(&error), words);
        assert_eq!(error.kind(), images::ErrorKind::NotFound);
    }
}

#[test]
fn whoever_must_log_in_is_let_in_with_the_right_password() {
    for door in [Door::Basic("me", "secret"), Door::Token("me", "secret")] {
        let (registry, place) = (Registry::start(), Place::new());
        registry.keep("app", "1", &[&base(), &big_layer(6)]);
        registry.state().door = door.clone();
        let mut request = pull_of(registry.name("app:1"));
        let known = registries();
        let handle = registry.runtime.handle();
        for password in ["", "wrong"] {
            request.credentials = Credentials {
                user: if password.is_empty() { "" } else { "me" }.to_owned(),
                password: password.to_owned(),
                ..Credentials::default()
            };
            let error = place.images.pull(&known, handle, &request, &PullEar::default()).unwrap_err();
            assert!(said(&error).starts_with("unauthorized: "), "{door:?}: {}", said(&error));
            let refused =
                registry.runtime.block_on(known.login(&registry.address.to_string(), &request.credentials));
            assert!(refused.is_err());
        }
        request.credentials.password = "secret".to_owned();
        place.images.pull(&known, handle, &request, &PullEar::default()).unwrap();
        registry.runtime.block_on(known.login(&registry.address.to_string(), &request.credentials)).unwrap();
    }
}

#[test]
fn a_token_that_has_run_out_is_had_anew() {
    let (registry, place) = (Registry::start(), Place::new());
    registry.keep("app", "1", &[&base()]);
    registry.state().door = Door::Token("me", "secret");
    let mut request = pull_of(registry.name("app:1"));
    request.credentials =
        Credentials { user: "me".into(), password: "secret".into(), ..Credentials::default() };
    let known = registries();
    let handle = registry.runtime.handle();
    // Each new token makes those before it worthless: a login in between does that.
    for _ in 0..2 {
        place.images.pull(&known, handle, &request, &PullEar::default()).unwrap();
        registry.runtime.block_on(known.login(&registry.address.to_string(), &request.credentials)).unwrap();
    }
}

#[test]
fn a_password_does_not_go_to_where_a_layer_is_redirected() {
    let (registry, elsewhere, place) = (Registry::start(), Registry::start(), Place::new());
    registry.keep("app", "1", &[&base()]);
    elsewhere.keep("app", "1", &[&base()]);
    registry.state().door = Door::Basic("me", "secret");
    registry.faults(Faults { redirect: Some(elsewhere.address), ..Faults::default() });
    let mut request = pull_of(registry.name("app:1"));
    request.credentials =
        Credentials { user: "me".into(), password: "secret".into(), ..Credentials::default() };
    place.images.pull(&registries(), registry.runtime.handle(), &request, &PullEar::default()).unwrap();
    let shown = elsewhere.state().shown.clone();
    assert!(!shown.is_empty() && shown.iter().all(Option::is_none), "{shown:?}");
}

#[test]
fn a_password_does_not_go_to_where_an_upload_is_taken() {
    let (registry, elsewhere, place) = (Registry::start(), Registry::start(), Place::new());
    registry.state().door = Door::Basic("me", "secret");
    registry.faults(Faults { uploads_at: Some(elsewhere.address), ..Faults::default() });
    let reference = registry.name("app:1");
    place.load(&docker_archive(&reference.familiar(), &[&base()])).unwrap();
    let mut request = push_of(reference);
    request.credentials =
        Credentials { user: "me".into(), password: "secret".into(), ..Credentials::default() };
    place.images.push(&registries(), registry.runtime.handle(), &request, &PushEar::default()).unwrap();
    let shown = elsewhere.state().shown.clone();
    assert!(!shown.is_empty() && shown.iter().all(Option::is_none), "{shown:?}");
    assert_eq!(elsewhere.state().blobs.len(), 2);
}

/// Keeps an index of one image for each platform.
fn keep_index(registry: &Registry) -> String {
    let mut manifests = Vec::new();
    for (architecture, variant) in [("arm64", "v8"), ("amd64", ""), ("arm", "v6")] {
        let layer = Tar::new().file("platform", format!("{architecture}{variant}").as_bytes()).end();
        let mut config: serde_json::Value = serde_json::from_slice(&config(&[&layer])).unwrap();
        config["architecture"] = json!(architecture);
        let config = serde_json::to_vec(&config).unwrap();
        let manifest = registry.keep_parts(&config, &[&layer]);
        let digest = registry.keep_manifest("multi", architecture, OCI_MANIFEST, &manifest);
        let size = serde_json::to_vec_pretty(&manifest).unwrap().len();
        manifests.push(json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": architecture, "variant": variant}}));
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    registry.keep_manifest("multi", "latest", OCI_INDEX, &index)
}

#[test]
fn of_several_platforms_the_one_that_was_asked_for_is_pulled() {
    let (registry, place) = (Registry::start(), Place::new());
    let digest = keep_index(&registry);
    let reference = registry.name("multi");
    let mut request = pull_of(reference.clone());
    for (platform, content) in
        [("linux/arm64/v8", "arm64v8"), ("linux/arm/v7", "armv6"), ("linux/amd64", "amd64")]
    {
        request.platform = Some(Platform::asked_for(platform).unwrap());
        let handle = registry.runtime.handle();
        let pulled = place.images.pull(&registries(), handle, &request, &PullEar::default()).unwrap();
        assert_eq!(pulled.digest.to_string(), digest, "the name means the index");
        let image = place.images.resolve(&reference.familiar()).unwrap();
        assert_eq!(fs::read_to_string(image.directories[0].join("platform")).unwrap(), content);
    }
    request.platform = Some(Platform::asked_for("linux/s390x").unwrap());
    let error = place
        .images
        .pull(&registries(), registry.runtime.handle(), &request, &PullEar::default())
        .unwrap_err();
    assert_eq!(said(&error), "no matching manifest for linux/s390x in the manifest list entries");
    registry.keep("one", "1", &[&base()]);
    request.reference = registry.name("one:1");
    let error = place
        .images
        .pull(&registries(), registry.runtime.handle(), &request, &PullEar::default())
        .unwrap_err();
    assert!(said(&error).ends_with("does not provide the specified platform (linux/s390x)"));
}

#[test]
fn a_mirror_is_asked_first_and_need_not_have_everything() {
    let (registry, mirror, place) = (Registry::start(), Registry::start(), Place::new());
    registry.keep("app", "1", &[&base()]);
    registry.keep("app", "2", &[&big_layer(7)]);
    mirror.keep("app", "1", &[&base()]);
    let mut settings = settings();
    let mirrors = vec![format!("http://{}", mirror.address), "http://127.0.0.1:1".to_owned()];
    settings.hosts.insert(registry.address.to_string(), HostSettings { mirrors, insecure: false });
    let known = Registries::new(settings);
    pull_with(&place, &registry, &known, &registry.name("app:1")).unwrap();
    assert_eq!(registry.asked("GET"), Vec::<String>::new());
    pull_with(&place, &registry, &known, &registry.name("app:2")).unwrap();
    assert_eq!(mirror.asked("GET /v2/app/manifests/2").len(), 1);
    assert_eq!(registry.asked("GET /v2/app/manifests/2").len(), 1);
}

#[test]
fn all_tags_of_a_repository_are_listed_page_by_page() {
    let registry = Registry::start();
    for tag in ["1", "2", "3", "4", "5"] {
        registry.keep("app", tag, &[&base()]);
    }
    registry.state().page = 2;
    let repository = Reference::parse(&format!("{}/app", registry.address)).unwrap();
    let (known, nobody, ear) = (registries(), Credentials::default(), PullEar::default());
    let tags = registry.runtime.block_on(known.tags(&repository, &nobody, &ear)).unwrap();
    let tags: Vec<&str> = tags.iter().filter_map(Reference::tag).collect();
    assert_eq!(tags, ["1", "2", "3", "4", "5"]);
}

#[test]
fn what_was_pulled_is_pushed_bit_by_bit_as_it_came() {
    let (registry, other, place) = (Registry::start(), Registry::start(), Place::new());
    let digest = registry.keep("app", "1", &[&base(), &big_layer(8)]);
    pull(&place, &registry, &registry.name("app:1")).unwrap();
    let target = other.name("team/copy:2");
    place.images.tag(&registry.name("app:1").familiar(), &target.familiar()).unwrap();
    let pushed = push(&place, &other, &target).unwrap();
    assert_eq!(pushed.digest.to_string(), digest);
    let key = |name: &str, tag: &str| (name.to_owned(), tag.to_owned());
    let there = other.state().manifests[&key("team/copy", "2")].clone();
    assert_eq!(there, registry.state().manifests[&key("app", "1")]);
    assert_eq!(other.state().blobs, registry.state().blobs);
    let image = place.images.resolve(&target.familiar()).unwrap();
    assert!(image.repo_digests.contains(&format!("{}/team/copy@{digest}", other.address)));
    // In the same registry nothing is sent twice.
    let sent = registry.asked("PUT").len();
    let neighbour = registry.name("other:1");
    place.images.tag(&target.familiar(), &neighbour.familiar()).unwrap();
    let ear = PushEar::default();
    place.images.push(&registries(), registry.runtime.handle(), &push_of(neighbour), &ear).unwrap();
    assert_eq!(registry.asked("PUT").len(), sent + 1, "the manifest alone");
    assert!(ear.steps.into_inner().unwrap().iter().any(|step| step.state == PushState::Exists));
}

#[test]
fn a_plain_layer_is_packed_always_in_the_same_way() {
    let (registry, place) = (Registry::start(), Place::new());
    let layers = [base(), big_layer(9)];
    let reference = registry.name("made:1");
    place.load(&docker_archive(&reference.familiar(), &[&layers[0], &layers[1]])).unwrap();
    let first = push(&place, &registry, &reference).unwrap();
    let sent = registry.asked("PUT").len();
    assert_eq!(sent, 4, "two layers, a configuration, a manifest");
    assert_eq!(push(&place, &registry, &reference).unwrap(), first);
    assert_eq!(registry.asked("PUT").len(), sent + 1, "the manifest alone");
    // Whoever has forgotten how it was packed packs it in the same way.
    let (elsewhere, fresh) = (Place::new(), Registry::start());
    elsewhere.load(&docker_archive(&fresh.name("made:1").familiar(), &[&layers[0], &layers[1]])).unwrap();
    assert_eq!(push(&elsewhere, &fresh, &fresh.name("made:1")).unwrap(), first);
    let back = Place::new();
    pull(&back, &registry, &reference).unwrap();
    let (before, after) =
        (place.images.resolve(&reference.familiar()), back.images.resolve(&reference.familiar()));
    assert_eq!(before.unwrap().id, after.unwrap().id);
}

#[test]
fn an_upload_that_is_lost_is_begun_anew_and_what_is_not_mounted_is_sent() {
    let (registry, place) = (Registry::start(), Place::new());
    registry.keep("app", "1", &[&base(), &big_layer(10)]);
    pull(&place, &registry, &registry.name("app:1")).unwrap();
    let other = Registry::start();
    other.faults(Faults { lost_uploads: 2, no_mounts: true, ..Faults::default() });
    let target = other.name("copy:1");
    place.images.tag(&registry.name("app:1").familiar(), &target.familiar()).unwrap();
    push(&place, &other, &target).unwrap();
    assert_eq!(other.state().blobs, registry.state().blobs);
}

#[test]
fn what_has_no_name_cannot_be_pushed() {
    let (registry, place) = (Registry::start(), Place::new());
    let error = push(&place, &registry, &registry.name("none:1")).unwrap_err();
    let words = format!("An image does not exist locally with the tag: {}/none:1", registry.address);
    assert_eq!(said(&error), words);
}

#[test]
fn an_image_that_is_removed_takes_its_manifest_along() {
    let (registry, place) = (Registry::start(), Place::new());
    registry.keep("app", "1", &[&base()]);
    let reference = registry.name("app:1");
    pull(&place, &registry, &reference).unwrap();
    place.images.remove(&reference.familiar(), false, &|_| Vec::new()).unwrap();
    assert_eq!(place.kept(), Vec::<std::path::PathBuf>::new());
    assert!(place.images.list().unwrap().is_empty());
}

#[test]
fn whoever_cannot_be_reached_is_named_with_the_reason() {
    let (registry, place) = (Registry::start(), Place::new());
    let nobody = Reference::parse("127.0.0.1:1/app:1").unwrap();
    let error = pull(&place, &registry, &nobody).unwrap_err();
    assert!(said(&error).starts_with("Get \"http://127.0.0.1:1/v2/\": "), "{}", said(&error));
    assert!(said(&error).contains("Connection refused"), "{}", said(&error));
}
