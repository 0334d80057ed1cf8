//! A registry that copies others logs in where they want it, and nowhere else.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;
#[path = "common/registry.rs"]
mod server;

use base::Clock;
use common::{Place, Tar};
use images::distribution::{Access, Cache, Registry as Server, Served, serve};
use images::registry::{Credentials, Registries};
use images::{Images, Reference};
use server::{Door, Faults, PullEar, Registry, pull_of, registries, settings};
use std::sync::Arc;
use store::Store;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Serves copies of registries, of which the first one wants a login; its address.
fn copies_of(upstreams: [&Registry; 2], root: &TempDir) -> String {
    let store = Arc::new(Store::open(&root.path().join("state.redb")).unwrap());
    let images = Arc::new(Images::open(&root.path().join("images"), store, Clock::system()).unwrap());
    let own = Arc::new(Server::open(images, Clock::system()).unwrap());
    let runtime = &upstreams[0].runtime;
    let names = upstreams.map(|upstream| upstream.address.to_string());
    let cache = Cache::new(Registries::new(settings()), runtime.handle().clone(), &names).unwrap();
    let me = Credentials { user: "me".into(), password: "secret".into(), ..Credentials::default() };
    let cache = cache.with_login(&names[0], me).unwrap();
    let served = Served::new(own, Access::everyone(), Clock::system()).with_cache(cache);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    runtime.spawn(serve(listener, Arc::new(served)));
    address
}

fn pull(copies: &str, upstream: &Registry, name: &str) -> images::Result<()> {
    let place = Place::new();
    let directory = upstream.address.to_string().replace(':', "_");
    let reference = Reference::parse(&format!("{copies}/{directory}/{name}")).unwrap();
    let handle = upstream.runtime.handle();
    place.images.pull(&registries(), handle, &pull_of(reference), &PullEar::default()).map(drop)
}

#[test]
fn an_upstream_that_wants_a_login_gets_it_and_no_other_host_does() {
    for door in [Door::Basic("me", "secret"), Door::Token("me", "secret")] {
        let (closed, open, elsewhere) = (Registry::start(), Registry::start(), Registry::start());
        let root = tempfile::tempdir().unwrap();
        let layer = Tar::new().file("file", b"content").end();
        closed.keep("team/app", "1", &[&layer]);
        open.keep("team/app", "1", &[&layer]);
        elsewhere.keep("team/app", "1", &[&layer]);
        closed.state().door = door.clone();
        closed.faults(Faults { redirect: Some(elsewhere.address), ..Faults::default() });
        let copies = copies_of([&closed, &open], &root);
        pull(&copies, &closed, "team/app:1").unwrap();
        assert!(closed.state().shown.iter().any(Option::is_some), "{door:?}");
        let shown = elsewhere.state().shown.clone();
        assert!(!shown.is_empty() && shown.iter().all(Option::is_none), "{door:?}: {shown:?}");
        pull(&copies, &open, "team/app:1").unwrap();
        let shown = open.state().shown.clone();
        assert!(!shown.is_empty() && shown.iter().all(Option::is_none), "{door:?}: {shown:?}");
        // Without it, nothing comes.
        closed.state().door = Door::Basic("me", "other");
        closed.keep("team/other", "1", &[&layer]);
        let error = pull(&copies, &closed, "team/other:1").unwrap_err();
        assert!(!base::Chain(&error).to_string().contains("secret"), "{error:?}");
    }
}
