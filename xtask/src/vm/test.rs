//! `cargo xtask vm-test`: the project's own tests in a Debian machine that has control groups v2 and no other.
//!
//! What it shows: limits, devices, freezing, figures and isolation hold on v2 and on another kernel than this machine's. Course
//! rows R1, R2 and R6 are among the tests.
//!
//! Flow: the tests are built and listed as for `cargo xtask test`; their programs, the release binary, the test images and this
//! machine's docker client become a second disk (`target/vm-test/stage`); `inside.sh` runs them in the machine one after the
//! other, each in a process of its own, and says how each ended; that is counted and told here as `cargo xtask test` does.
//!
//! The machine's processor is made by QEMU itself, ten to thirty times slower than a real one: the limits of time are for that. A
//! test that had no time left has failed. With `--kvm` it is made by KVM, which is not tried unasked: a machine that is itself a
//! guest may offer it and then stand still.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::machine::{self, Boot};
use super::said::{Ended, Told};
use crate::test::counted::{self, End, Outcome};
use crate::test::one::end_of;
use crate::test::{Test, collect};
use crate::{images, product, say, shell};

/// What the tests drive, beyond what every machine has.
const PACKAGES: &str = "busybox-static,ca-certificates,curl,iproute2,iputils-ping,nftables,procps,util-linux";

/// The longest that one test may run. It is longer than elsewhere: the machine may be slow.
const TEST_SECONDS_MAX: u64 = 240;
/// How long tests are begun.
const TESTS_SECONDS_MAX: u64 = 1260;
/// The longest life of the machine.
const MACHINE_SECONDS_MAX: u64 = 1500;
/// After how many tests it is said how far they are.
const TOLD_EVERY: usize = 20;
/// Memory of the machine: several containers and their tests at once.
const MEMORY_MIB: u32 = 2048;

/// Asks for KVM.
const KVM: &str = "--kvm";

/// The packages whose tests are built.
const BUILT: [&str; 8] =
    ["--package", "runtime", "--package", "sys", "--package", "net", "--package", "blackbox"];

/// What is run where nothing is named: what differs most between the versions of control groups first, so that a machine that is
/// too slow for the rest has shown at least that.
const USUAL: [&str; 8] = [
    "runtime::kernel::",
    "tests::blackbox::resources::",
    "tests::blackbox::isolation::",
    "tests::blackbox::escapes::",
    "tests::blackbox::lifecycle::",
    "runtime::",
    "sys::",
    "net::",
];

/// Parts of names of tests that cannot run in the machine, and why. They are counted as skipped.
const NOT_THERE: [(&str, &str); 0] = [];

/// The unit that runs the tests.
const UNIT: &str = "[Unit]
Description=Tests of Bocage
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
ExecStartPre=/bin/mkdir -p /stage
ExecStartPre=/bin/mount -o ro /dev/vdb /stage
ExecStart=/bin/sh /stage/inside.sh ONE ALL
";

/// `cargo xtask vm-test`; with words, only the tests whose full name holds one of them.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (flags, words): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with('-'));
    if let Some(unknown) = flags.iter().find(|flag| **flag != KVM) {
        bail!("vm-test knows {KVM} and no {unknown}");
    }
    machine::install()?;
    let binary = product::build()?;
    images::ensure()?;
    let wanted = |name: &str| {
        if words.is_empty() {
            place(name) < USUAL.len()
        } else {
            words.iter().any(|word| name.contains(word))
        }
    };
    let mut tests: Vec<Test> =
        collect(&BUILT)?.into_iter().filter(|test| wanted(&test.full_name())).collect();
    if tests.is_empty() {
        bail!("no test has such a name");
    }
    tests.sort_by_key(|test| (place(&test.full_name()), test.full_name()));
    stage(&folder().join("stage"), &tests, &binary)?;
    shell::as_root(&[&["vm-test"], &*flags].concat(), || as_root(&flags))
}

/// Where in the order of the usual a test comes.
fn place(name: &str) -> usize {
    USUAL.iter().position(|start| name.starts_with(start)).unwrap_or(USUAL.len())
}

fn folder() -> PathBuf {
    shell::target().join("vm-test")
}

/// Why a test is not run in the machine.
fn left_out(test: &Test) -> Option<&'static str> {
    if test.is_ignored {
        return Some("marked as not to be run by default");
    }
    let name = test.full_name();
    NOT_THERE.iter().find(|(part, _)| name.contains(part)).map(|(_, why)| *why)
}

/// Lays out what the second disk holds, and beside it the names of the tests for the half that runs as root.
fn stage(stage: &Path, tests: &[Test], binary: &Path) -> Result<()> {
    if stage.exists() {
        fs::remove_dir_all(stage).context("the folder of an earlier run cannot be removed")?;
    }
    for name in ["bin", "programs", "target/test-images"] {
        fs::create_dir_all(stage.join(name)).context("a folder of the machine's disk cannot be made")?;
    }
    let mut copies = vec![(binary.to_owned(), stage.join("bin/bocage"))];
    match shell::path_of("docker") {
        Some(client) => copies.push((client, stage.join("bin/docker"))),
        None => say::step("there is no docker client: the tests that drive it are skipped and counted"),
    }
    let shim = shell::target().join(product::TARGET).join("debug/bocage-shim");
    copies.push((shim.clone(), stage.join("programs/bocage-shim")));
    for archive in fs::read_dir(images::folder()).context("there are no test images")? {
        let path = archive?.path();
        if path.extension().is_some_and(|ending| ending == "tar") {
            copies.push((
                path.clone(),
                stage.join("target/test-images").join(path.file_name().unwrap_or_default()),
            ));
        }
    }
    let (mut list, mut names) = (String::new(), String::new());
    for test in tests {
        if let Some(why) = left_out(test) {
            names.push_str(&format!("-\t{}\t{why}\n", test.full_name()));
            continue;
        }
        let program = test.program.file_name().unwrap_or_default();
        let inside = stage.join("programs").join(program);
        if !copies.iter().any(|(_, there)| *there == inside) {
            copies.push((test.program.clone(), inside));
        }
        list.push_str(&format!("{}\t{}\n", program.to_string_lossy(), test.name));
        names.push_str(&format!("+\t{}\t\n", test.full_name()));
    }
    for (from, to) in copies {
        fs::copy(&from, &to).with_context(|| format!("{} cannot be copied", from.display()))?;
    }
    let shim = shim.to_string_lossy();
    let files = [("list", &*list), ("inside.sh", include_str!("inside.sh")), ("shim", &*shim)];
    for (name, text) in files {
        fs::write(stage.join(name), text).with_context(|| format!("{name} cannot be written"))?;
    }
    fs::write(folder().join("names"), names).context("the names of the tests cannot be written")
}

/// The half that needs root: files that belong to root are made and packed.
pub(crate) fn as_root(flags: &[&str]) -> Result<()> {
    let folder = folder();
    let names = fs::read_to_string(folder.join("names")).context("`cargo xtask vm-test` has not begun")?;
    let roots = shell::target().join("vm");
    fs::create_dir_all(&roots).context("the folder of the machine cannot be made")?;
    let root = machine::root(&roots, "test-root", PACKAGES)?;
    let unit =
        UNIT.replace("ONE", &TEST_SECONDS_MAX.to_string()).replace("ALL", &TESTS_SECONDS_MAX.to_string());
    machine::lay_in_unit(&root, "tests.service", &unit)?;
    let disks = [folder.join("disk.img"), folder.join("stage.img")];
    machine::pack(&root, &disks[0])?;
    machine::pack(&folder.join("stage"), &disks[1])?;
    let console = folder.join("console.log");
    let start = Instant::now();
    say::step("booting it in QEMU and running the tests");
    let boot = Boot {
        root: &root,
        disks: &[&disks[0], &disks[1]],
        console: &console,
        accelerator: if flags.contains(&KVM) { "kvm" } else { machine::SLOW },
        memory_mib: MEMORY_MIB,
        seconds_max: MACHINE_SECONDS_MAX,
    };
    let mut told = Told::default();
    let all = names.lines().filter(|line| line.starts_with('+')).count();
    let ended = machine::boot(&boot, |line| {
        let before = told.tests.len();
        if let Some(shown) = told.take(line) {
            say::line(&format!("  | {shown}"));
        }
        let ended = told.tests.len();
        if ended != before && ended % TOLD_EVERY == 0 {
            say::step(&format!("{ended} of {all} tests have ended"));
        }
    });
    for disk in &disks {
        fs::remove_file(disk).context("a disk image cannot be removed")?;
    }
    if let Err(error) = ended {
        // What was told until then is worth being counted.
        say::step(&format!("{error:#}; its boot is in {}", console.display()));
    }
    if let Some(why) = told.refused {
        bail!("the machine is not one with control groups v2 alone: {why}");
    }
    counted::report(&outcomes(&names, &told), start.elapsed())
}

/// How every test of the list ended, those included of which the machine said nothing.
fn outcomes(names: &str, told: &Told) -> BTreeMap<String, Outcome> {
    let mut number = 0;
    let mut outcomes = BTreeMap::new();
    for line in names.lines() {
        let mut words = line.split('\t');
        let (Some(mark), Some(name), Some(why)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let outcome = if mark == "-" {
            Outcome { end: End::Skipped(why.to_owned()), time: Duration::ZERO, said: String::new() }
        } else {
            number += 1;
            outcome(told.tests.get(&(number - 1)), told.is_done)
        };
        counted::tell(name, &outcome);
        outcomes.insert(name.to_owned(), outcome);
    }
    outcomes
}

fn outcome(ended: Option<&Ended>, is_done: bool) -> Outcome {
    let Some(Ended { code, seconds, said }) = ended else {
        let why = if is_done { "there was no time left for it" } else { "the machine ended before it did" };
        return Outcome { end: End::Failed(why.to_owned()), time: Duration::ZERO, said: String::new() };
    };
    let end = end_of(Some(*code), &format!("exit code {code}"), said, TEST_SECONDS_MAX);
    Outcome { end, time: Duration::from_secs(*seconds), said: said.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_of_which_the_machine_said_nothing_has_failed() {
        let mut told = Told::default();
        told.take("test 0 0 1");
        told.take("test 1 0 1");
        told.take("| SKIP: no disk");
        let names = "+\ta::one\t\n-\ta::out\tneeds a clock\n+\ta::two\t\n+\ta::three\t\n";
        let outcomes = outcomes(names, &told);
        assert!(matches!(outcomes["a::one"].end, End::Passed));
        assert!(matches!(&outcomes["a::out"].end, End::Skipped(why) if why == "needs a clock"));
        assert!(matches!(&outcomes["a::two"].end, End::Skipped(why) if why == "no disk"));
        assert!(matches!(&outcomes["a::three"].end, End::Failed(why) if why.contains("before it did")));
    }
}
