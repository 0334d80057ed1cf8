//! Row R8, further: ways out of a container that were found in other engines do not lead out of this one.
//!
//! Each attack is made as its finder described it; what is asserted is that the host is as it was. A container that does not even
//! start is as good as one that starts and finds nothing. `docs/security.md` names for each attack what protects and which of
//! these tests shows it; `cargo xtask broken` takes each protection away and expects a test to fail.

mod calls;
mod contained;
mod exhaustion;
mod files;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use blackbox::{Cli, Said};

/// The attacker's tool, `tests/src/bin/probe.rs`.
const PROBE: &str = env!("CARGO_BIN_EXE_probe");

/// The flag that puts the probe into a container as `/probe`.
fn probe_volume() -> String {
    format!("{PROBE}:/probe:ro")
}

/// Runs the probe in a container of its own.
fn probe(cli: &Cli, flags: &[&str], words: &[&str]) -> Said {
    cli.run(&[&["run", "--rm", "-v", &probe_volume()], flags, &["busybox", "/probe"], words].concat())
}

/// What the probe answered to one of its questions.
fn answer<'a>(said: &'a str, name: &str) -> &'a str {
    let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("the probe says nothing of {name}: {said}"))
}

/// The bytes of the program under test, as a number that another program's bytes would not give.
fn digest(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap().to_owned()
}

/// Makes an image `hostile` of the busybox image's files and of links that lead out of it.
fn image_with_links(cli: &Cli, home: &Path, links: &[(&str, &Path)]) {
    let root = home.join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    let mount = format!("{}:/out", root.display());
    cli.ok(&["run", "--rm", "-v", &mount, "busybox", "cp", "-a", "/bin", "/out/"]);
    for (name, target) in links {
        let link = root.join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, link).unwrap();
    }
    let file = home.join("hostile.tar");
    let tar = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&file).arg(".").status().unwrap();
    assert!(tar.success());
    cli.ok(&["import", &file.to_string_lossy(), "hostile:latest"]);
}

/// A folder of the host that no container may touch.
fn victim(home: &Path) -> PathBuf {
    let victim = home.join("victim");
    fs::create_dir(&victim).unwrap();
    victim
}

/// Nothing was made in the folder, and nothing is mounted there.
fn is_untouched(folder: &Path) {
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "something was made in {}", folder.display());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*folder.to_string_lossy()), "something is mounted: {mounts}");
}
