//! Every operation on the image store and the registry, killed before each of its steps.
//!
//! ```text
//!  prepare -> a copy of it -> a process of its own carries the operation out, its system calls that change a disk counted
//!                                  killed before the nth of them -> opened again -> whole? nothing left? done again?
//! ```
//!
//! A step is a system call that may change what is on a disk, whichever thread makes it: a filter in the process that is killed
//! has them wait for a thread of the same process, which counts (seccomp_unotify(2)). So nothing is built into the product for
//! these tests, and what the table's file goes through is counted too.
//!
//! Every second time the store is opened as if in another boot, in which no file of an unpacked layer has its bytes any more: they
//! are not synced, so that this is what a loss of power may leave. The beginnings of layers that a pull left have other bytes then.
//!
//! The required test takes some steps of each operation, spread evenly; `cargo xtask torture images` takes them all.

mod operations;
mod steps;
mod whole;

use operations::{ALL, Operation, Server};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Tells the process that is killed what to do: the name of an operation, the step, and the directory.
const VICTIM: &str = "IMAGES_TEST_CRASH";
/// Steps at which the required test kills each operation.
const KILLS: u64 = 5;
/// The boot in which everything is made.
const BOOT: &str = "first";

/// How a process ended.
enum End {
    /// It was killed; what it had acknowledged.
    Killed(Vec<String>),
    /// It came to its end, after so many steps.
    Done(u64),
    /// No listener for system calls can be had.
    Impossible(String),
}

/// Not a test of its own: the body of the process that is killed.
#[test]
#[expect(clippy::disallowed_methods, reason = "the parent test says in the environment what to do")]
fn helper_that_is_killed() {
    let Ok(words) = std::env::var(VICTIM) else { return };
    let words: Vec<&str> = words.splitn(3, ' ').collect();
    let operation = ALL.iter().find(|operation| operation.name == words[0]).unwrap();
    let root = words[2].to_owned();
    match steps::killed_before(words[1].parse().unwrap(), move || (operation.run)(Path::new(&root))) {
        Ok(steps) => println!("\ndone {steps}"),
        Err(error) => println!("\nimpossible {error}"),
    }
}

fn carried_out(operation: &Operation, root: &Path, step: u64) -> End {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::crashes::helper_that_is_killed", "--nocapture"])
        .env(VICTIM, format!("{} {step} {}", operation.name, root.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    let mut end = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.split_once(' ') {
            Some(("done", steps)) => end = Some(End::Done(steps.parse().unwrap())),
            Some(("impossible", why)) => end = Some(End::Impossible(why.to_owned())),
            Some(("acknowledged", what)) => said.push(what.to_owned()),
            _ => {}
        }
    }
    let output = child.wait_with_output().unwrap();
    match end {
        Some(end) if output.status.success() => end,
        None if output.status.signal() == Some(9) => End::Killed(said),
        _ => panic!("{} at {step}: {}", operation.name, String::from_utf8_lossy(&output.stderr)),
    }
}

/// A directory on which an operation can be carried out, with the registry that it asks.
struct Prepared {
    directory: TempDir,
    _server: Option<Server>,
}

impl Prepared {
    fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn prepared(operation: &Operation) -> Prepared {
    let directory = operations::folder();
    operations::prepare(directory.path());
    let server = (operation.prepare)(directory.path());
    Prepared { directory, _server: server }
}

fn copy_of(prepared: &Path) -> TempDir {
    let copy = operations::folder();
    let mut command = Command::new("cp");
    command.args(["--archive", "--no-target-directory"]).arg(prepared).arg(copy.path());
    assert!(command.status().unwrap().success());
    copy
}

/// Kills the operation before one step, and looks at what is left. Whether it was killed at all.
fn killed(operation: &Operation, prepared: &Path, step: u64) -> bool {
    let copy = copy_of(prepared);
    let root = copy.path();
    let acknowledged = match carried_out(operation, root, step) {
        End::Killed(acknowledged) => acknowledged,
        End::Done(_) => return false,
        End::Impossible(why) => panic!("{why}"),
    };
    let loses_power = step % 2 == 1;
    if loses_power {
        whole::lose_power(root);
    }
    let about = format!("{} killed before step {step}", operation.name);
    let site = operations::open(root, if loses_power { "second" } else { BOOT });
    whole::check(&site, &about);
    (operation.check)(&site, &acknowledged, &about);
    (operation.again)(&site, &about);
    whole::check(&site, &format!("{about}, then done again"));
    drop(site);
    whole::check(&operations::open(root, "third"), &format!("{about}, done and opened again"));
    true
}

/// How many steps an operation has; none where they cannot be counted here.
fn steps_of(operation: &Operation, prepared: &Path) -> Option<u64> {
    match carried_out(operation, copy_of(prepared).path(), u64::MAX) {
        End::Done(steps) => Some(steps),
        End::Impossible(why) => {
            println!("SKIP: no listener for system calls can be had here: {why}");
            None
        }
        End::Killed(_) => panic!("nobody kills it"),
    }
}

#[test]
fn an_operation_that_is_killed_at_some_of_its_steps_leaves_everything_whole() {
    for operation in &ALL {
        let prepared = prepared(operation);
        let Some(steps) = steps_of(operation, prepared.path()) else { return };
        assert!(steps > 3, "{} has {steps} steps", operation.name);
        for kill in 0..KILLS {
            killed(operation, prepared.path(), 1 + (steps - 1) * kill / (KILLS - 1));
        }
    }
}

#[test]
#[ignore = "takes minutes: `cargo xtask torture images`"]
fn torture_every_operation_killed_at_each_of_its_steps_leaves_everything_whole() {
    for operation in &ALL {
        let prepared = prepared(operation);
        let Some(steps) = steps_of(operation, prepared.path()) else { return };
        let kills = (1..=steps).filter(|step| killed(operation, prepared.path(), *step)).count();
        println!("{}: {steps} steps, killed {kills} times", operation.name);
    }
}
