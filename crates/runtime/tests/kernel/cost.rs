//! What a start costs: run by name, printed, asserted nowhere.

use crate::bench::bench;
use std::time::Duration;

#[test]
#[ignore = "a measurement: cargo nextest run -p runtime --run-ignored only --no-capture"]
fn a_start_and_its_end_are_timed() {
    let Some(bench) = bench() else { return };
    let clock = base::Clock::system();
    let setup = bench.setup("timed", &["true"]);
    let mut samples: Vec<(Duration, Duration)> = Vec::new();
    for _ in 0..300 {
        let begin = clock.instant();
        let started = bench.start(&setup).unwrap();
        let up = begin.elapsed();
        bench.wait(&setup, &started);
        samples.push((up, begin.elapsed()));
    }
    let mut ups: Vec<Duration> = samples.iter().map(|sample| sample.0).collect();
    let mut wholes: Vec<Duration> = samples.iter().map(|sample| sample.1).collect();
    ups.sort_unstable();
    wholes.sort_unstable();
    eprintln!(
        "start {:?} p95 {:?}; start and end {:?} p95 {:?}",
        ups[150], ups[285], wholes[150], wholes[285]
    );
    let sleeper = bench.setup("sleeper", &["sleep", "1000"]);
    let started = bench.start(&sleeper).unwrap();
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", started.shim.pid)).unwrap();
    for line in rollup.lines().filter(|line| line.starts_with("Pss") || line.starts_with("Private")) {
        eprintln!("{line}");
    }
    bench.kill(&sleeper, &started);
}
