//! "Am I contained?": what a program in a default container finds out about itself, compared with the table in `docs/security.md`.
//!
//! The page is read and not written: whoever changes what a container has must change the page in the same commit, and whoever
//! changes the page alone fails here.

use std::collections::BTreeMap;
use std::fs;

use blackbox::{Cli, rows};

use super::{PROBE, answer, probe, probe_volume};

/// The page that makes the promises.
const PAGE: &str = include_str!("../../../../docs/security.md");
/// The heading of the table.
const TABLE: &str = "## Am I contained?";

/// What is asked inside, each part behind a line `== NAME`.
const QUESTIONS: &str = "
echo == status; cat /proc/self/status
echo == calls; /probe calls
echo == mounts; cat /proc/self/mountinfo
echo == namespaces; for name in cgroup ipc mnt net pid time user uts; do echo $name=$(readlink /proc/self/ns/$name); done
echo == devices; ls /dev
echo == groups; cut -d: -f3 /proc/self/cgroup
echo == users; cat /proc/self/uid_map
echo == label; cat /proc/self/attr/current
echo == settings; for file in $(find /proc/sys -type f); do (: >> $file) 2> /dev/null && echo $file; done
echo == processes; ls -d /proc/[0-9]*
echo == descriptors; ls /proc/self/fd
";

/// The parts of an answer, by their names.
fn parts(said: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut parts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut name = "";
    for line in said.lines() {
        match line.strip_prefix("== ") {
            Some(next) => name = next,
            None => parts.entry(name).or_default().push(line),
        }
    }
    parts
}

/// The rows of the table: the name of each, and the words in backticks of its second column.
fn page() -> BTreeMap<&'static str, Vec<String>> {
    let table = PAGE.split(TABLE).nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let words = columns[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (columns[1], words)
    })
    .collect()
}

/// A mount as far as it matters here: where, whether read-only, its file system.
fn mounts<'a>(lines: &[&'a str]) -> Vec<(&'a str, bool, &'a str)> {
    let mount = |line: &&'a str| {
        let words: Vec<&str> = line.split(' ').collect();
        let kind = line.split(" - ").nth(1)?.split(' ').next()?;
        Some((*words.get(4)?, words.get(5)?.split(',').any(|option| option == "ro"), kind))
    };
    lines.iter().filter_map(mount).collect()
}

/// Of the paths that the page names those that hold, and any that it does not name: equal to the page's where it is right. A path
/// that this kernel does not have is taken on trust.
fn as_promised(promised: &[String], found: &[&str]) -> Vec<String> {
    let is_held = |path: &&String| !fs::exists(path).unwrap_or(false) || found.contains(&path.as_str());
    let mut all: Vec<String> = promised.iter().filter(is_held).cloned().collect();
    all.extend(
        found.iter().filter(|path| !promised.iter().any(|name| name == *path)).map(|path| (*path).to_owned()),
    );
    all
}

fn field(status: &[&str], name: &str) -> String {
    let value = status.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().trim().to_owned()
}

/// What a default container has, in the order of the table.
fn measured(cli: &Cli, page: &BTreeMap<&'static str, Vec<String>>) -> BTreeMap<&'static str, Vec<String>> {
    let said = cli.ok(&["run", "--rm", "-v", &probe_volume(), "busybox", "sh", "-c", QUESTIONS]);
    let parts = parts(&said);
    let part = |name: &str| parts.get(name).cloned().unwrap_or_default();
    let mut all = BTreeMap::new();
    let fields =
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"];
    for name in fields {
        all.insert(name, vec![field(&part("status"), name)]);
    }
    let calls = part("calls");
    let refused = calls.iter().filter(|line| line.ends_with(" EPERM")).count();
    all.insert("Calls refused", vec![format!("{refused} of {}", calls.len())]);
    let lines = part("mounts");
    let mounts = mounts(&lines);
    let below = |top: &'static str| mounts.iter().filter(move |mount| mount.0.starts_with(top));
    let is_cover = |mount: &&(&str, bool, &str)| mount.2 == "tmpfs" && !mount.0.starts_with("/sys/fs/cgroup");
    let masked: Vec<&str> =
        below("/proc/").chain(below("/sys/")).filter(is_cover).map(|mount| mount.0).collect();
    all.insert("Masked paths", as_promised(&page["Masked paths"], &masked));
    let protected: Vec<&str> =
        below("/proc/").filter(|mount| mount.1 && mount.2 == "proc").map(|mount| mount.0).collect();
    all.insert("Read-only paths", as_promised(&page["Read-only paths"], &protected));
    let is_writable = below("/sys").any(|mount| !mount.1);
    all.insert("/sys and all below", vec![if is_writable { "writable" } else { "read-only" }.to_owned()]);
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    for line in part("namespaces") {
        let (name, inside) = line.split_once('=').unwrap();
        let outside = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        if outside.to_string_lossy() == inside { &mut shared } else { &mut own }.push(name.to_owned());
    }
    all.insert("Own namespaces", own);
    all.insert("Shared namespaces", shared);
    let words = |name: &str| {
        part(name)
            .iter()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    all.insert("/dev", words("devices"));
    let mut groups = words("groups");
    groups.dedup();
    all.insert("/proc/self/cgroup", groups);
    all.insert("/proc/self/uid_map", words("users"));
    all.insert(
        "Security label",
        if words("label").is_empty() { vec!["none".to_owned()] } else { words("label") },
    );
    // A namespace's own settings are written by `--sysctl`, not from inside.
    all.insert("Writable in /proc/sys", vec![part("settings").len().to_string()]);
    // The shell finds the names before it starts the program that lists them.
    all.insert("Processes seen", vec![part("processes").len().to_string()]);
    // The fourth is the folder that `ls` reads.
    all.insert(
        "Descriptors",
        part("descriptors")
            .iter()
            .take(part("descriptors").len() - 1)
            .map(|word| (*word).to_owned())
            .collect(),
    );
    all.insert("Session keyring", vec![keyring(cli).to_owned()]);
    all
}

/// Whether a container has a session keyring of its own. The filter must be off, as it refuses the question.
fn keyring(cli: &Cli) -> &'static str {
    let ours = std::process::Command::new(PROBE).arg("keyring").output().unwrap();
    let ours = String::from_utf8_lossy(&ours.stdout).into_owned();
    let theirs = probe(cli, &["--security-opt", "seccomp=unconfined"], &["keyring"]);
    if answer(&ours, "keyring") == answer(&theirs.out, "keyring") { "shared" } else { "own" }
}

rows! {
    fn the_page_says_what_a_default_container_has(_node, cli) needs ["busybox"] {
        let page = page();
        let measured = measured(&cli, &page);
        for (name, found) in &measured {
            assert_eq!(page.get(name), Some(found), "{name}: the page has the first, a container the second");
        }
        assert_eq!(page.len(), measured.len(), "a row of the page that nobody measures");
    }
}
