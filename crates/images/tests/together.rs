//! Several pulls at once fetch what they share only once.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;
#[path = "common/registry.rs"]
mod server;

use common::{Place, Tar};
use images::Reference;
use images::registry::{Doing, LayerState, Listener, PullStep, Pulled};
use server::{Faults, PullEar, Registry, big_layer, pull_of, registries};
use std::sync::{Barrier, Mutex};
use tokio::sync::Notify;

fn own(name: &str) -> Vec<u8> {
    Tar::new().file(name, name.as_bytes()).end()
}

fn pull(
    place: &Place,
    registry: &Registry,
    name: &Reference,
    ear: &dyn Listener<PullStep>,
) -> images::Result<Pulled> {
    place.images.pull(&registries(), registry.runtime.handle(), &pull_of(name.clone()), ear)
}

/// How often each layer was asked for.
fn asked_for(registry: &Registry, repository: &str) -> Vec<String> {
    let mut asked = registry.asked(&format!("GET /v2/{repository}/blobs/"));
    asked.sort();
    asked
}

/// Goes on only when all have found their image.
struct Met<'b> {
    barrier: &'b Barrier,
    steps: Mutex<Vec<PullStep>>,
}

impl Listener<PullStep> for Met<'_> {
    fn tell(&self, step: PullStep) -> Doing<'_> {
        if matches!(step, PullStep::Found { .. }) {
            self.barrier.wait();
        }
        self.steps.lock().unwrap().push(step);
        Box::pin(async {})
    }

    fn gone(&self) -> Doing<'_> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn pulls_of_images_that_share_layers_fetch_each_layer_once() {
    let (registry, place, shared) = (Registry::start(), Place::new(), big_layer(1));
    let (one, two) = (own("one"), own("two"));
    registry.keep("app", "1", &[&shared, &one]);
    registry.keep("app", "2", &[&shared, &two]);
    registry.keep("app", "3", &[&one, &shared, &two]);
    let names = ["app:1", "app:2", "app:3"].map(|name| registry.name(name));
    let barrier = Barrier::new(names.len());
    let told: Vec<Vec<PullStep>> = std::thread::scope(|scope| {
        let pulls: Vec<_> = names
            .iter()
            .map(|name| {
                let (place, registry, barrier) = (&place, &registry, &barrier);
                scope.spawn(move || {
                    let met = Met { barrier, steps: Mutex::default() };
                    pull(place, registry, name, &met).unwrap();
                    met.steps.into_inner().unwrap()
                })
            })
            .collect();
        pulls.into_iter().map(|pull| pull.join().unwrap()).collect()
    });
    let asked = asked_for(&registry, "app");
    // Three configurations, and three layers.
    assert_eq!(asked.len(), 6, "{asked:?}");
    for (name, steps) in names.iter().zip(&told) {
        let image = place.images.resolve(&name.familiar()).unwrap();
        assert!(image.directories.iter().all(|directory| directory.is_dir()));
        let is_end = |step: &&PullStep| {
            matches!(step, PullStep::Layer { state: LayerState::Complete | LayerState::Exists, .. })
        };
        assert_eq!(steps.iter().filter(is_end).count(), image.directories.len(), "{steps:?}");
    }
    assert_eq!(place.kept().len(), 9, "three configurations, three archives, three directories");
}

/// Lets the registry fall silent once it has said what the image is.
struct Hushed<'r> {
    registry: &'r Registry,
    leave: Notify,
}

impl Listener<PullStep> for Hushed<'_> {
    fn tell(&self, step: PullStep) -> Doing<'_> {
        if matches!(step, PullStep::Found { .. }) {
            self.registry.faults(Faults { silent: true, ..Faults::default() });
        }
        Box::pin(async {})
    }

    fn gone(&self) -> Doing<'_> {
        Box::pin(self.leave.notified())
    }
}

#[test]
fn whoever_waits_goes_on_alone_when_the_first_is_cancelled() {
    let (registry, place, shared) = (Registry::start(), Place::new(), big_layer(2));
    registry.keep("app", "1", &[&shared]);
    registry.keep("app", "2", &[&shared, &own("two")]);
    let (first, second) = (Hushed { registry: &registry, leave: Notify::new() }, PullEar::default());
    std::thread::scope(|scope| {
        let begun = registry.silence.notified();
        let cancelled = scope.spawn(|| pull(&place, &registry, &registry.name("app:1"), &first));
        registry.runtime.block_on(begun);
        // What is asked for from now on is answered; the first goes on waiting for its answer.
        registry.faults(Faults::default());
        let waiting = scope.spawn(|| pull(&place, &registry, &registry.name("app:2"), &second));
        while second.steps.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        // As many as may listen.
        first.leave.notify_waiters();
        first.leave.notify_one();
        assert!(cancelled.join().unwrap().is_err());
        waiting.join().unwrap().unwrap();
    });
    // Two configurations, the shared layer once for each of them, and the second's own layer.
    assert_eq!(asked_for(&registry, "app").len(), 5);
    assert!(place.images.resolve(&registry.name("app:1").familiar()).is_err());
    assert!(place.images.resolve(&registry.name("app:2").familiar()).is_ok());
    assert_eq!(place.kept().len(), 5, "a configuration, two archives, two directories");
}
