//! What a store promises, on a real file: transactions, group commit, crashes and full disks.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use store::{Durability, Error, Store, Table};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Person {
    age: u64,
}

const PEOPLE: Table<String, Person> = Table::new("people");
const OTHERS: Table<u64, String> = Table::new("people-of-others");

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn put(store: &Store, durability: Durability, name: &str, age: u64) -> Result<(), Error> {
    store.write(durability, |tx| tx.put(&PEOPLE, &name.to_owned(), &Person { age }))
}

fn age(store: &Store, name: &str) -> Option<u64> {
    store.read(|tx| tx.get(&PEOPLE, &name.to_owned())).unwrap().map(|person| person.age)
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let directory = directory();
    let path = directory.path().join("state.redb");
    {
        let store = Store::open(&path).unwrap();
        put(&store, Durability::Synced, "ada", 36).unwrap();
        put(&store, Durability::Lazy, "max", 7).unwrap();
        assert_eq!(age(&store, "max"), Some(7), "a lazy change is seen at once");
    }
    let store = Store::open(&path).unwrap();
    assert_eq!((age(&store, "ada"), age(&store, "max")), (Some(36), Some(7)));
}

#[test]
fn tables_whose_names_begin_alike_do_not_mix() {
    let directory = directory();
    let store = Store::open(&directory.path().join("state.redb")).unwrap();
    put(&store, Durability::Synced, "ada", 36).unwrap();
    store.write(Durability::Synced, |tx| tx.put(&OTHERS, &7, &"x".to_owned())).unwrap();
    assert_eq!(store.read(|tx| tx.list(&PEOPLE)).unwrap().len(), 1);
    assert_eq!(store.read(|tx| tx.list(&OTHERS)).unwrap(), [(7, "x".to_owned())]);
}

#[test]
fn a_closure_that_fails_changes_nothing_in_any_table() {
    let directory = directory();
    let store = Store::open(&directory.path().join("state.redb")).unwrap();
    put(&store, Durability::Synced, "ada", 36).unwrap();
    let failed: Result<(), Error> = store.write(Durability::Synced, |tx| {
        tx.put(&OTHERS, &1, &"x".to_owned())?;
        tx.remove(&PEOPLE, &"ada".to_owned());
        assert_eq!(tx.get(&PEOPLE, &"ada".to_owned())?, None, "it sees its own changes");
        assert_eq!(tx.list(&OTHERS)?.len(), 1);
        Err(Error::Key { table: "people", key: "made up".to_owned() })
    });
    assert!(failed.is_err());
    assert_eq!(age(&store, "ada"), Some(36));
    assert!(store.read(|tx| tx.list(&OTHERS)).unwrap().is_empty());
}

#[test]
fn concurrent_increments_lose_nothing_and_share_commits() {
    const WRITERS: u64 = 16;
    const EACH: u64 = 25;
    let directory = directory();
    let store = Arc::new(Store::open(&directory.path().join("state.redb")).unwrap());
    let start = Arc::new(Barrier::new(WRITERS as usize));
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            let (store, start) = (Arc::clone(&store), Arc::clone(&start));
            scope.spawn(move || {
                start.wait();
                for _ in 0..EACH {
                    store
                        .write(Durability::Synced, |tx| {
                            let name = "counter".to_owned();
                            let age = tx.get(&PEOPLE, &name)?.map_or(0, |person| person.age);
                            tx.put(&PEOPLE, &name, &Person { age: age + 1 })
                        })
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(age(&store, "counter"), Some(WRITERS * EACH));
    assert_eq!(store.revision(), WRITERS * EACH);
}

#[test]
fn a_second_opening_is_refused_and_names_the_file() {
    let directory = directory();
    let path = directory.path().join("state.redb");
    let _store = Store::open(&path).unwrap();
    let Err(error) = Store::open(&path) else { panic!("it was opened twice") };
    assert!(matches!(error, Error::Held { .. }));
    assert!(error.to_string().ends_with("state.redb: another process holds it"), "{error}");
}

#[test]
fn a_watcher_is_woken_by_a_change_and_listeners_are_called() {
    let directory = directory();
    let store = Arc::new(Store::open(&directory.path().join("state.redb")).unwrap());
    let seen = Arc::new(AtomicU64::new(0));
    let theirs = Arc::clone(&seen);
    store.on_change(move |revision| theirs.store(revision, Ordering::SeqCst));
    let watcher = Arc::clone(&store);
    let thread = std::thread::spawn(move || watcher.wait_beyond(0, Duration::from_secs(30)));
    put(&store, Durability::Lazy, "ada", 36).unwrap();
    assert_eq!(thread.join().unwrap(), 1);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    assert_eq!(store.wait_beyond(1, Duration::ZERO), 1, "it gives up after the timeout");
}

/// Names the store's file to the process that is killed; the test starts itself with it.
const VICTIM: &str = "STORE_TEST_VICTIM";

/// Not a test of its own: the body of the process that is killed.
#[test]
#[expect(clippy::disallowed_methods, reason = "the parent test hands the path over in the environment")]
fn helper_that_writes_until_it_is_killed() {
    let Ok(path) = std::env::var(VICTIM) else { return };
    let store = Store::open(Path::new(&path)).unwrap();
    for age in 1.. {
        store
            .write(Durability::Synced, |tx| {
                tx.put(&PEOPLE, &"left".to_owned(), &Person { age })?;
                tx.put(&PEOPLE, &"right".to_owned(), &Person { age })
            })
            .unwrap();
        // The parent reads this line as the acknowledgement.
        println!("acknowledged {age}");
    }
}

#[test]
fn kill_9_in_the_middle_of_writes_loses_nothing_acknowledged_and_splits_no_transaction() {
    use std::io::{BufRead, BufReader};
    let directory = directory();
    let path = directory.path().join("state.redb");
    let mut acknowledged = 0;
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "helper_that_writes_until_it_is_killed", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let wanted = 3 + round * 7;
        let read = |line: &String| line.rsplit_once("acknowledged ").map(|(_, n)| n.parse::<u64>().unwrap());
        let last = lines.by_ref().filter_map(|line| read(&line)).find(|&n| n >= wanted);
        child.kill().unwrap();
        acknowledged = lines.filter_map(|line| read(&line)).last().or(last).unwrap();
        child.wait().unwrap();
        let store = Store::open(&path).unwrap();
        let (left, right) = (age(&store, "left").unwrap(), age(&store, "right").unwrap());
        assert_eq!(left, right);
        assert!(left >= acknowledged, "{left} on disk, {acknowledged} acknowledged");
    }
    assert!(acknowledged > 0);
}

/// A file system of `bytes`, seen by this thread alone and gone with it.
fn small_disk(root: &Path, bytes: u64) {
    use rustix::mount::{MountFlags, MountPropagationFlags};
    use rustix::thread::UnshareFlags;
    #[expect(
        deprecated,
        reason = "a mount namespace of its own takes no file descriptor from any other thread"
    )]
    rustix::thread::unshare(UnshareFlags::NEWNS).unwrap();
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    let options = std::ffi::CString::new(format!("size={bytes}")).unwrap();
    rustix::mount::mount("tmpfs", root, "tmpfs", MountFlags::empty(), options.as_c_str()).unwrap();
}

#[test]
fn a_full_disk_is_told_and_work_goes_on_once_there_is_room() {
    let directory = directory();
    small_disk(directory.path(), 6 << 20);
    let path = directory.path().join("state.redb");
    let store = Store::open(&path).unwrap();
    put(&store, Durability::Synced, "ada", 36).unwrap();
    put(&store, Durability::Lazy, "max", 7).unwrap();
    store.flush().unwrap();
    fill(&directory.path().join("filler"));
    let mut written = 0;
    let error = loop {
        let big = "x".repeat(256 << 10);
        match store.write(Durability::Synced, |tx| tx.put(&OTHERS, &written, &big)) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100, "the disk never filled");
    };
    assert!(matches!(error, Error::Commit { .. }), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.to_lowercase().contains("no space left on device"), "{cause}");
    // What was acknowledged is still there, and a lazy change is kept until there is room.
    assert_eq!((age(&store, "ada"), age(&store, "max")), (Some(36), Some(7)));
    assert_eq!(store.read(|tx| tx.list(&OTHERS)).unwrap().len(), written as usize);
    put(&store, Durability::Lazy, "eve", 50).unwrap();
    std::fs::remove_file(directory.path().join("filler")).unwrap();
    put(&store, Durability::Synced, "ada", 37).unwrap();
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!((age(&store, "ada"), age(&store, "max"), age(&store, "eve")), (Some(37), Some(7), Some(50)));
    assert_eq!(store.read(|tx| tx.list(&OTHERS)).unwrap().len(), written as usize);
    drop(store);
    rustix::mount::unmount(directory.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
}
