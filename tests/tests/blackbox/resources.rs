//! Rows R1, R2: memory and processor time.

use std::time::{Duration, Instant};

use blackbox::{Cli, image_path, rows, until, until_within};

/// The processor time of containers as `stats` shows it, in percent of one core, in the order of the names.
fn percents(cli: &Cli, names: &[&str]) -> Option<Vec<f64>> {
    let shown = cli.ok(&[&["stats", "--no-stream", "--format", "{{.CPUPerc}}"], names].concat());
    shown.lines().map(|line| line.trim_end_matches('%').parse().ok()).collect()
}

rows! {
    /// R1
    fn a_memory_limit_is_shown_and_kept(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "mb100", "--memory", "100m", "alpine", "sh", "-c", "sleep 1000"]);
        let used = cli.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "mb100"]);
        assert!(used.ends_with("/ 100MiB"), "{used}");
        assert_eq!(cli.inspect("mb100", "{{.HostConfig.Memory}} {{.State.OOMKilled}}"), "104857600 false");
    }

    /// R1
    fn a_process_that_takes_more_is_killed_and_inspect_says_so(_node, cli) needs ["busybox"] {
        let words = ["run", "--name", "hog", "--memory", "20m", "busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"];
        let said = cli.run(&words);
        assert_eq!(said.code, 137, "{said:?}");
        until("the reason is seen", || (cli.inspect("hog", "{{.State.OOMKilled}}") == "true").then_some(()));
        assert_eq!(cli.inspect("hog", "{{.State.ExitCode}}"), "137");
    }

    /// R2
    fn cpu_shares_divide_a_core_three_to_one(_node, cli) needs ["busybox"] {
        // One at a time: two of these tests on one core would divide it among four.
        let turn = std::fs::File::open(image_path("busybox")).unwrap();
        turn.lock().unwrap();
        let burn = "while :; do :; done";
        for (name, shares) in [("three", "768"), ("one", "256")] {
            cli.ok(&["run", "-d", "--name", name, "--cpuset-cpus", "0", "--cpu-shares", shares, "busybox", "sh", "-c", burn]);
        }
        assert_eq!(cli.inspect("three", "{{.HostConfig.CpuShares}} {{.HostConfig.CpusetCpus}}"), "768 0");
        // The core is shared with whatever else runs here, so what counts is how the two divide what they get.
        let mut last = 0.0;
        until_within(Duration::from_secs(40), "three quarters and one quarter", || {
            let both = percents(&cli, &["three", "one"])?;
            last = 100.0 * both[0] / (both[0] + both[1]);
            ((72.0..=78.0).contains(&last) && both[0] + both[1] < 103.0).then_some(())
        });
        cli.ok(&["rm", "-f", "three"]);
        // Not all of the core, as other tests run beside it; but more than the quarter that it had.
        until_within(Duration::from_secs(40), "one alone gets what there is", || (percents(&cli, &["one"])?[0] > 45.0).then_some(()));
        cli.ok(&["rm", "-f", "one"]);
    }

    fn a_limit_of_processors_is_kept(node, cli) needs ["busybox"] {
        let burn = "while :; do :; done";
        cli.ok(&["run", "-d", "--name", "half", "--cpus", "0.5", "busybox", "sh", "-c", burn]);
        assert_eq!(cli.inspect("half", "{{.HostConfig.NanoCpus}}"), "500000000");
        // Each answer takes a second, as the API takes two looks for it; what counts is the time between the first and the last.
        let used = || {
            let answer = node.request("GET", "/containers/half/stats?stream=false", None).json();
            let used = answer["cpu_stats"]["cpu_usage"]["total_usage"].as_u64().unwrap_or_else(|| panic!("{answer}"));
            (Duration::from_nanos(used), Instant::now())
        };
        let (first, start) = used();
        let share = until_within(Duration::from_secs(30), "two seconds of figures", || {
            let (last, end) = used();
            let time = end - start;
            (time > Duration::from_secs(2)).then(|| (last - first).as_secs_f64() / time.as_secs_f64())
        });
        assert!((0.2..0.6).contains(&share), "{share}");
        cli.ok(&["rm", "-f", "half"]);
    }

    fn a_limit_of_processes_is_kept(_node, cli) needs ["busybox"] {
        let script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; wait";
        let said = cli.run(&["run", "--rm", "--pids-limit", "5", "busybox", "sh", "-c", script]);
        assert!(said.code != 0 && said.err.contains("fork"), "{said:?}");
    }
}
