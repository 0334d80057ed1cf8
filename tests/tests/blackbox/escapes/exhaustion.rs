//! Ways to hurt without a way out: more processes, more memory than there are.
//!
//! Each attack has a bound of its own, so that an engine which holds nothing back loses the test and not the machine.

use blackbox::{Cli, rows, until};

use super::probe_volume;

/// A container that must go on undisturbed, and a daemon that must answer.
fn is_well(cli: &Cli) {
    assert_eq!(cli.ok(&["exec", "neighbour", "echo", "well"]), "well");
    assert_eq!(cli.inspect("neighbour", "{{.State.Running}} {{.State.OOMKilled}}"), "true false");
}

rows! {
    fn a_fork_bomb_is_held_by_its_limit_and_hurts_nobody_else(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "neighbour", "busybox", "sleep", "1000"]);
        // Every shell that can be made makes two more, six times over.
        let script = "echo 'd=$1; [ $d -gt 0 ] && { sh /bomb $((d-1)) & sh /bomb $((d-1)) & }; exec sleep 1000' > /bomb; sh /bomb 7 & exec sleep 1000";
        cli.ok(&["run", "-d", "--name", "bomb", "--pids-limit", "20", "busybox", "sh", "-c", script]);
        until("the limit is reached", || {
            let error = cli.run(&["logs", "bomb"]).err;
            error.contains("fork").then_some(())
        });
        let shown = cli.ok(&["stats", "--no-stream", "--format", "{{.PIDs}}", "bomb"]);
        assert!(shown.parse::<u32>().unwrap() <= 20, "{shown}");
        is_well(&cli);
        cli.ok(&["rm", "-f", "bomb"]);
        is_well(&cli);
        cli.ok(&["rm", "-f", "neighbour"]);
    }

    fn a_memory_hog_is_killed_alone(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "neighbour", "-m", "64m", "busybox", "sleep", "1000"]);
        let said = cli.run(&["run", "--name", "hog", "-m", "32m", "-v", &probe_volume(), "busybox", "/probe", "hog", "96"]);
        assert_eq!(said.code, 137, "{said:?}");
        until("the reason is seen", || (cli.inspect("hog", "{{.State.OOMKilled}}") == "true").then_some(()));
        is_well(&cli);
        // The same, by a command that enters: only the container whose limit it is can lose by it.
        cli.ok(&["run", "-d", "--name", "entered", "-m", "32m", "-v", &probe_volume(), "busybox", "sleep", "1000"]);
        let said = cli.run(&["exec", "entered", "/probe", "hog", "96"]);
        assert_ne!(said.code, 0, "{said:?}");
        is_well(&cli);
        cli.ok(&["rm", "-f", "entered", "hog", "neighbour"]);
    }
}
