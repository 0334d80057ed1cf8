//! A large layer comes in parts over several connections, whatever happens to them.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;
#[path = "common/registry.rs"]
mod server;

use common::Place;
use images::registry::{Parts, Registries, Settings};
use server::{Faults, PullEar, Registry, big_layer, pull_of, settings};
use std::path::PathBuf;

fn pull(place: &Place, registry: &Registry) -> images::Result<()> {
    let parts = Parts { layer_bytes_min: 200_000, bytes: 50_000 };
    let registries = Registries::new(Settings { parts, ..settings() });
    let request = pull_of(registry.name("app:1"));
    let pulled = place.images.pull(&registries, registry.runtime.handle(), &request, &PullEar::default());
    pulled.map(drop)
}

/// How many requests asked for a part with both its ends.
fn parts(registry: &Registry) -> usize {
    registry.asked("GET").iter().filter(|asked| asked.contains(" bytes=") && !asked.ends_with('-')).count()
}

#[test]
fn a_large_layer_comes_in_parts_and_a_small_one_whole() {
    let (registry, place) = (Registry::start(), Place::new());
    registry.keep("app", "1", &[&big_layer(1), &common::Tar::new().file("small", b"small").end()]);
    pull(&place, &registry).unwrap();
    let blobs: Vec<usize> = registry.state().blobs.values().map(Vec::len).collect();
    let large = blobs.into_iter().max().unwrap();
    assert_eq!(parts(&registry), large.div_ceil(50_000));
    let image = place.images.resolve(&registry.name("app:1").familiar()).unwrap();
    let is_whole = |directory: &PathBuf| {
        std::fs::metadata(directory.join("big")).is_ok_and(|file| file.len() == 400_000)
    };
    assert!(image.directories.iter().any(is_whole));
}

#[test]
fn parts_that_break_off_are_read_on() {
    let (registry, place) = (Registry::start(), Place::new());
    registry.keep("app", "1", &[&big_layer(2)]);
    registry.faults(Faults { cut: (7, 20_000), ..Faults::default() });
    pull(&place, &registry).unwrap();
    assert_eq!(registry.state().faults.cut.0, 0);
    assert!(registry.asked("GET").iter().any(|asked| asked.contains(" bytes=20000-49999")));
}

#[test]
fn a_registry_that_gives_no_parts_or_not_all_of_them_is_read_in_one_piece() {
    for faults in [
        Faults { no_ranges: true, ..Faults::default() },
        Faults { no_parts_from: Some(0), ..Faults::default() },
        Faults { no_parts_from: Some(220_000), ..Faults::default() },
    ] {
        let (registry, place) = (Registry::start(), Place::new());
        registry.keep("app", "1", &[&big_layer(3)]);
        registry.faults(faults);
        pull(&place, &registry).unwrap();
        assert!(place.images.resolve(&registry.name("app:1").familiar()).is_ok());
    }
}

#[test]
fn parts_that_are_not_what_they_should_be_are_refused_and_leave_nothing() {
    let (registry, place) = (Registry::start(), Place::new());
    registry.keep("app", "1", &[&big_layer(4)]);
    registry.faults(Faults { wrong_bytes: true, ..Faults::default() });
    let error = pull(&place, &registry).unwrap_err();
    assert!(base::Chain(&error).to_string().contains("sha256:"), "{error}");
    assert!(place.kept().is_empty());
}
