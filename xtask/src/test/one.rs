//! One test, in a process of its own, as root, within its time.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Test;
use super::counted::{End, Outcome};
use crate::shell;

/// The longest that one test may run.
const TEST_TIMEOUT_SECONDS: u64 = 180;
/// How long a test that is over time may take to end itself before it is killed, in timeout(1)'s words.
const KILL_AFTER: &str = "--kill-after=10";
/// What timeout(1) answers when time was up.
const TIMED_OUT: i32 = 124;

/// Runs a test and says how it ended.
pub(super) fn run(test: &Test, binary: &Path) -> Outcome {
    if test.is_ignored {
        let end = End::Skipped("marked as not to be run by default".to_owned());
        return Outcome { end, time: Duration::ZERO, said: String::new() };
    }
    let start = Instant::now();
    let limit = TEST_TIMEOUT_SECONDS.to_string();
    let program = test.program.to_string_lossy();
    let bin = format!("BOCAGE_BIN={}", binary.display());
    let manifest = format!("CARGO_MANIFEST_DIR={}", test.folder.display());
    let words = [
        bin.as_str(),
        manifest.as_str(),
        // A golden file that differs is a failure, not a reason to write a new one.
        "INSTA_UPDATE=no",
        "timeout",
        KILL_AFTER,
        &limit,
        &program,
        "--exact",
        &test.name,
        "--nocapture",
    ];
    let output = shell::root("env", &words).current_dir(&test.folder).output();
    let time = start.elapsed();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            let end = End::Failed(format!("could not be started: {error}"));
            return Outcome { end, time, said: String::new() };
        }
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let said = said.into_owned();
    let how = output.status.to_string();
    let end = end_of(output.status.code(), &how, &said, TEST_TIMEOUT_SECONDS);
    Outcome { end, time, said }
}

/// How a test ended, by the exit code of timeout(1) above it and by what it printed.
pub(crate) fn end_of(code: Option<i32>, how: &str, said: &str, seconds_max: u64) -> End {
    match code {
        Some(0) => skip_reason(said).map_or(End::Passed, End::Skipped),
        Some(TIMED_OUT) => End::Failed(format!("ran for more than {seconds_max} s")),
        _ => End::Failed(how.to_owned()),
    }
}

/// Why a test that passed says that it could not run.
fn skip_reason(said: &str) -> Option<String> {
    said.lines().find_map(|line| Some(line.split_once("SKIP: ")?.1.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::skip_reason;

    #[test]
    fn a_skip_is_found_behind_what_the_test_program_prints_on_the_same_line() {
        let said = "\nrunning 1 test\ntest a::b ... SKIP: no docker client\nok\n";
        assert_eq!(skip_reason(said).as_deref(), Some("no docker client"));
        assert_eq!(skip_reason("test a::b ... ok\n"), None);
    }
}
