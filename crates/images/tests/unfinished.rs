//! A pull that failed is gone on with by the next one, and one that was cancelled leaves nothing.

#![allow(clippy::print_stdout, reason = "a test that cannot run here says so")]
#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;
#[path = "common/registry.rs"]
mod server;

use common::Place;
use images::registry::{Parts, Registries, Settings};
use images::{Error, Forget};
use server::{Faults, NoMore, PullEar, Registry, big_layer, pull_of, settings};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

/// Where the layers end that do not come whole.
const END: usize = 220_000;

fn pull_heard(place: &Place, registry: &Registry, name: &str, ear: &PullEar) -> images::Result<()> {
    let parts = Parts { layer_bytes_min: 100_000, bytes: 50_000 };
    let registries = Registries::new(Settings { parts, ..settings() });
    let request = pull_of(registry.name(name));
    place.images.pull(&registries, registry.runtime.handle(), &request, ear).map(drop)
}

fn pull(place: &Place, registry: &Registry, name: &str) -> images::Result<()> {
    pull_heard(place, registry, name, &PullEar::default())
}

/// The beginnings that are there.
fn unfinished(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.directory.path().join("images/unfinished")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// A registry whose layer broke off for good in a first pull, and the beginning of it. `None` where the disk is so full that no
/// beginning is kept.
fn failed(seed: u32) -> Option<(Registry, Place, PathBuf)> {
    let (registry, place) = (Registry::start(), Place::new());
    if base::disk::Room::at(place.directory.path()).unwrap().is_low() {
        println!("SKIP: the disk is nearly full: no beginning of a layer is kept");
        return None;
    }
    registry.keep("app", "1", &[&big_layer(seed)]);
    registry.keep("app", "2", &[&big_layer(seed), &common::Tar::new().file("small", b"small").end()]);
    registry.faults(Faults { ends_at: Some((END, NoMore::Breaks)), ..Faults::default() });
    let error = pull(&place, &registry, "app:1").unwrap_err();
    assert!(base::Chain(&error).to_string().contains("broke off at byte 220000"), "{error:?}");
    let beginning = unfinished(&place).remove(0);
    assert_eq!(fs::metadata(&beginning).unwrap().len(), END as u64);
    assert_eq!(place.kept(), [beginning.as_path()]);
    registry.faults(Faults::default());
    registry.state().asked.clear();
    Some((registry, place, beginning))
}

/// Whether the image is whole and nothing but it is there.
fn is_whole(place: &Place, registry: &Registry, name: &str) {
    let image = place.images.resolve(&registry.name(name).familiar()).unwrap();
    let big =
        |directory: &PathBuf| fs::metadata(directory.join("big")).is_ok_and(|file| file.len() == 400_000);
    assert!(image.directories.iter().any(big));
    assert!(unfinished(place).is_empty());
    assert_eq!(place.kept().iter().filter(|path| path.parent().unwrap().ends_with("tmp")).count(), 0);
}

/// From which bytes on layers were asked for.
fn begins(registry: &Registry) -> Vec<usize> {
    let asked = registry.asked("GET");
    let ranges =
        asked.iter().filter_map(|asked| asked.split_once(" bytes=")?.1.split('-').next()?.parse().ok());
    ranges.collect()
}

#[test]
fn the_next_pull_asks_only_for_the_rest_whatever_image_it_is_of() {
    let Some((registry, place, _)) = failed(1) else { return };
    pull(&place, &registry, "app:2").unwrap();
    is_whole(&place, &registry, "app:2");
    let begins = begins(&registry);
    assert!(!begins.is_empty() && begins.iter().all(|begin| *begin >= END), "{begins:?}");
}

#[test]
fn what_stays_outlives_the_daemon_and_fails_again_further_on() {
    let Some((registry, Place { directory, images }, _)) = failed(2) else { return };
    drop(images);
    let place = Place { images: common::open(directory.path()), directory };
    registry.faults(Faults { ends_at: Some((300_000, NoMore::Breaks)), ..Faults::default() });
    pull(&place, &registry, "app:1").unwrap_err();
    assert_eq!(fs::metadata(&unfinished(&place)[0]).unwrap().len(), 300_000);
    registry.faults(Faults::default());
    registry.state().asked.clear();
    pull(&place, &registry, "app:1").unwrap();
    is_whole(&place, &registry, "app:1");
    assert!(begins(&registry).iter().all(|begin| *begin >= 300_000));
}

#[test]
fn a_registry_without_ranges_sends_all_of_it_again() {
    let Some((registry, place, _)) = failed(3) else { return };
    registry.faults(Faults { no_ranges: true, ..Faults::default() });
    pull(&place, &registry, "app:1").unwrap();
    is_whole(&place, &registry, "app:1");
}

#[test]
fn a_beginning_that_is_spoiled_is_thrown_away() {
    // In the head of the archive, in its middle, and at its end.
    for (seed, at) in [(4, 4), (5, 100_000), (6, END as u64 - 4)] {
        let Some((registry, place, beginning)) = failed(seed) else { return };
        let mut file = fs::OpenOptions::new().write(true).open(&beginning).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(b"else").unwrap();
        pull(&place, &registry, "app:1").unwrap();
        is_whole(&place, &registry, "app:1");
        assert!(begins(&registry).contains(&0));
    }
}

#[test]
fn a_cancelled_pull_leaves_nothing_and_nobody_takes_what_it_adds_to() {
    let Some((registry, place, beginning)) = failed(7) else { return };
    registry.faults(Faults { ends_at: Some((300_000, NoMore::Stalls)), ..Faults::default() });
    let ear = PullEar::default();
    let pulled = std::thread::scope(|scope| {
        let pulling = scope.spawn(|| pull_heard(&place, &registry, "app:1", &ear));
        registry.runtime.block_on(registry.silence.notified());
        place.images.forget_unfinished(Forget::All).unwrap();
        assert!(beginning.exists());
        ear.leave.notify_waiters();
        ear.leave.notify_one();
        pulling.join().unwrap()
    });
    assert!(matches!(pulled, Err(Error::Registry(images::registry::RegistryError::Cancelled))));
    assert!(place.kept().is_empty());
}

#[test]
fn what_nobody_went_on_with_is_counted_and_forgotten() {
    let Some((_, place, beginning)) = failed(8) else { return };
    assert!(place.images.usage().unwrap().images >= END as u64);
    place.images.forget_unfinished(Forget::Surplus).unwrap();
    assert!(beginning.exists());
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    fs::File::open(&beginning).unwrap().set_modified(long_ago).unwrap();
    place.images.forget_unfinished(Forget::Surplus).unwrap();
    assert!(place.kept().is_empty());
}
