//! Where tests of a broken build run as root: they see the machine, and what they change of it is gone afterwards.
//!
//! A room is a mount namespace whose root is an overlay of the machine's own, with memory for `/tmp`, `/run` and `/var/tmp`, and a
//! pid namespace whose end ends every process in it. Network and control groups are the machine's; tests remove what they make there
//! also where they fail.

use std::path::Path;

use anyhow::Result;

use super::tree::Built;
use crate::shell;

/// The longest that the tests of one sabotage may run.
const TESTS_TIMEOUT_SECONDS: &str = "240";
/// How long tests that are over time may take to end themselves, in timeout(1)'s words.
const KILL_AFTER: &str = "--kill-after=10";

/// Makes the room and runs the words behind its first two: the folder for the overlay, and a folder that is shown as it is.
const ENTER: &str = r#"
set -e
base=$1; shown=$2; here=$3; shift 3
mount --make-rprivate /
mount -t tmpfs none "$base"
mkdir "$base/upper" "$base/work" "$base/root"
root=$base/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$root"
for folder in tmp run var/tmp; do mount -t tmpfs -o mode=1777 none "$root/$folder"; done
mkdir -p "$root$shown"
mount --rbind "$shown" "$root$shown"
mount -o remount,bind,ro "$root$shown"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
cd "$root"
pivot_root . .
umount -l .
cd "$here"
exec "$@"
"#;

/// How the tests ended.
pub(super) enum Outcome {
    /// All passed.
    Passed,
    /// These failed, or ran over time.
    Failed(Vec<String>),
    /// One says that it cannot run here, and why.
    Skipped(String),
    /// There are none of these names.
    None,
}

/// Runs the tests whose names hold one of these.
pub(super) fn run(built: &Built, names: &[&str]) -> Result<Outcome> {
    let base = shell::target().join("broken").join("room");
    std::fs::create_dir_all(&base)?;
    let bin = format!("BOCAGE_BIN={}", built.product.display());
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (base, shown, here) = (text(&base), text(shell::workspace()), text(&built.folder));
    let program = text(&built.program);
    let room =
        ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "room", &base, &shown, &here];
    let tests = [
        "env",
        &bin,
        "timeout",
        KILL_AFTER,
        TESTS_TIMEOUT_SECONDS,
        &program,
        "--test-threads=2",
        "--show-output",
    ];
    let words: Vec<&str> = room.iter().chain(&tests).copied().chain(names.iter().copied()).collect();
    let output = shell::root("unshare", &words).output()?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ok(outcome(&said, output.status.success()))
}

/// Reads what a test program said.
fn outcome(said: &str, is_success: bool) -> Outcome {
    let ended = |ending: &'static str| {
        let tests = said.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
        tests.filter(move |(_, end)| end.ends_with(ending)).map(|(name, _)| name.to_owned())
    };
    let failed: Vec<String> = ended("FAILED").collect();
    let skip = said.lines().find_map(|line| Some(line.split_once("SKIP: ")?.1.trim().to_owned()));
    if !failed.is_empty() {
        return Outcome::Failed(failed);
    }
    if !is_success {
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word");
        return Outcome::Failed(vec![format!("the tests did not come to their end: {last}")]);
    }
    match skip {
        Some(why) => Outcome::Skipped(why),
        None if ended("ok").next().is_none() => Outcome::None,
        None => Outcome::Passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_test_is_named_and_a_missing_one_is_no_success() {
        let said = "test a::b ... ok\ntest a::c ... FAILED\ntest result: FAILED. 1 passed; 1 failed\n";
        assert!(matches!(outcome(said, false), Outcome::Failed(names) if names == ["a::c"]));
        assert!(matches!(outcome("test result: ok. 0 passed\n", true), Outcome::None));
        assert!(matches!(outcome("test a ... ok\n", true), Outcome::Passed));
        assert!(
            matches!(outcome("SKIP: no client\ntest a ... ok\n", true), Outcome::Skipped(why) if why == "no client")
        );
        assert!(matches!(outcome("mount: denied\n", false), Outcome::Failed(_)));
    }
}
