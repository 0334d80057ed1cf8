//! A container from its start to its end.

use crate::bench::{bench, shell};

#[test]
fn a_program_runs_and_its_exit_code_is_kept() {
    let Some(bench) = bench() else { return };
    assert_eq!(bench.run(&bench.setup("true", &["true"])), (0, String::new()));
    assert_eq!(bench.run(&bench.setup("false", &["false"])).0, 1);
    let (code, log) = bench.run(&bench.setup("seven", &shell("echo out; echo err >&2; exit 7")));
    assert_eq!(code, 7);
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);
}
