//! `cargo xtask test`: everything that a test needs, then every test, each in a process of its own.
//!
//! Flow: install packages, build the release binary, make the images, build the tests, list them, run them as root with a limit of
//! time each, print the failures, the reasons of the skips, and one last line that counts.
//!
//! A test that cannot run on this machine prints a line `SKIP: why` and passes; it is counted as skipped here, never as passed.
//!
//! Absent on purpose: retries. A test that fails now and then is broken.

pub(crate) mod counted;
pub(crate) mod one;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use self::counted::Outcome;
use crate::{images, product, say, shell};

/// The programs that tests drive and the Debian packages that bring them.
const PACKAGES: [(&str, &str); 8] = [
    ("ip", "iproute2"),
    ("curl", "curl"),
    ("ps", "procps"),
    ("nsenter", "util-linux"),
    ("timeout", "coreutils"),
    ("debootstrap", "debootstrap"),
    ("busybox", "busybox-static"),
    ("nft", "nftables"),
];

/// The fewest tests that run at once: most of them wait for a daemon or a container.
const WORKERS_MIN: usize = 4;

/// One test: where it lives and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    /// The program that holds it.
    pub(crate) program: PathBuf,
    /// The folder it runs in, that of its package.
    folder: PathBuf,
    /// Its package and target, `images::unpack`.
    place: String,
    pub(crate) name: String,
    /// Marked `#[ignore]`: listed and counted, not run.
    pub(crate) is_ignored: bool,
}

/// Installs, builds and runs; with words, only the tests whose full name holds one of them.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    packages()?;
    let binary = product::build()?;
    images::ensure()?;
    let tests: Vec<Test> = collect(&["--workspace"])?
        .into_iter()
        .filter(|test| words.is_empty() || words.iter().any(|word| test.full_name().contains(word)))
        .collect();
    say::step(&format!("running {} tests", tests.len()));
    // Asks for a password once, before several tests would ask at the same time.
    shell::quietly(&mut shell::root("true", &[]))?;
    let start = Instant::now();
    let outcomes = run_all(&tests, &binary);
    let verdict = counted::report(&outcomes, start.elapsed());
    if tests.is_empty() {
        bail!("no test has such a name");
    }
    verdict
}

fn packages() -> Result<()> {
    shell::install(&PACKAGES)?;
    // Debian 13 and Ubuntu have the client alone; Debian 12's brings a daemon with it, which nobody asked for.
    let client =
        shell::output(&mut shell::command("apt-cache", &["policy", "docker-cli"])).unwrap_or_default();
    if !shell::found("docker") && client.contains("Candidate:") && !client.contains("Candidate: (none)") {
        shell::install(&[("docker", "docker-cli")])?;
    }
    if !shell::found("docker") {
        say::step("there is no docker client: the tests that drive it are skipped and counted");
    }
    Ok(())
}

/// Builds the tests of some packages, named as cargo wants it, and asks each program for its list.
pub(crate) fn collect(packages: &[&str]) -> Result<Vec<Test>> {
    say::step("building the tests");
    let words = ["test", "--no-run", "--message-format=json-render-diagnostics"];
    let mut build = shell::cargo(&[&words, packages].concat());
    build.stderr(std::process::Stdio::inherit());
    let said = shell::output(&mut build)?;
    let mut tests = Vec::new();
    for message in said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
        let (Some(program), true) = (message["executable"].as_str(), is_test) else {
            continue;
        };
        let manifest = Path::new(message["manifest_path"].as_str().unwrap_or_default());
        let folder = manifest.parent().context("a package has no folder")?.to_owned();
        let package = folder.file_name().unwrap_or_default().to_string_lossy();
        let target = message["target"]["name"].as_str().unwrap_or_default();
        let place = format!("{package}::{target}");
        tests.extend(list(Path::new(program), &folder, &place)?);
    }
    tests.sort_by_key(Test::full_name);
    Ok(tests)
}

fn list(program: &Path, folder: &Path, place: &str) -> Result<Vec<Test>> {
    let names = |words: &[&str]| -> Result<Vec<String>> {
        let mut command = shell::command(&program.to_string_lossy(), words);
        let said = shell::output(command.current_dir(folder))?;
        Ok(said.lines().filter_map(|line| Some(line.strip_suffix(": test")?.to_owned())).collect())
    };
    let ignored = names(&["--list", "--format", "terse", "--ignored"])?;
    let all = names(&["--list", "--format", "terse"])?;
    let test = |name: String| Test {
        program: program.to_owned(),
        folder: folder.to_owned(),
        place: place.to_owned(),
        is_ignored: ignored.contains(&name),
        name,
    };
    Ok(all.into_iter().map(test).collect())
}

/// Runs every test, some at once, and returns how each ended, by name.
/// Runs most tests several at once, and then, one by one, those that measure how processors are shared out.
fn run_all(tests: &[Test], binary: &Path) -> BTreeMap<String, Outcome> {
    let workers = thread::available_parallelism().map_or(WORKERS_MIN, |cores| cores.get().max(WORKERS_MIN));
    let (alone, together): (Vec<&Test>, Vec<&Test>) = tests.iter().partition(|test| test.wants_quiet());
    let mut outcomes = run_some(&together, workers, binary);
    outcomes.extend(run_some(&alone, 1, binary));
    outcomes
}

fn run_some(tests: &[&Test], workers: usize, binary: &Path) -> BTreeMap<String, Outcome> {
    let waiting = Mutex::new(tests.iter());
    let outcomes = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().ok().and_then(|mut tests| tests.next());
                    let Some(test) = next else { break };
                    let outcome = one::run(test, binary);
                    counted::tell(&test.full_name(), &outcome);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.insert(test.full_name(), outcome);
                    }
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_default()
}

impl Test {
    /// Whether it measures what others would take from it: its module says so by its name.
    fn wants_quiet(&self) -> bool {
        self.name.starts_with("resources::")
    }

    /// Its place and name.
    pub(crate) fn full_name(&self) -> String {
        format!("{}::{}", self.place, self.name)
    }
}
