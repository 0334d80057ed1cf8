//! Row E7: stop, start, restart, kill, pause, wait, rename, rm.

use std::time::{Duration, Instant};

use blackbox::{Cli, rows, until};

fn status(cli: &Cli, name: &str) -> String {
    cli.inspect(name, "{{.State.Status}}")
}

/// Runs a detached shell that prints `ready` once its traps stand.
fn run_ready(cli: &Cli, name: &str, more: &[&str], script: &str) {
    let words = [&["run", "-d", "--name", name], more, &["busybox", "sh", "-c", script]].concat();
    cli.ok(&words);
    until("the command is ready", || cli.run(&["logs", name]).out.contains("ready").then_some(()));
}

const WAITS: &str = "while :; do sleep 0.05; done";

rows! {
    fn stop_sends_sigterm_and_the_exit_code_is_kept(_node, cli) needs ["busybox"] {
        run_ready(&cli, "polite", &[], &format!("trap 'exit 3' TERM; echo ready; {WAITS}"));
        assert_eq!(cli.ok(&["stop", "polite"]), "polite");
        assert_eq!(cli.inspect("polite", "{{.State.Status}} {{.State.ExitCode}}"), "exited 3");
    }

    fn stop_kills_what_does_not_end_in_its_time(_node, cli) needs ["busybox"] {
        run_ready(&cli, "deaf", &[], &format!("trap '' TERM; echo ready; {WAITS}"));
        let start = Instant::now();
        cli.ok(&["stop", "-t", "1", "deaf"]);
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
        assert_eq!(cli.inspect("deaf", "{{.State.ExitCode}}"), "137");
    }

    fn stop_sends_the_signal_that_was_asked_for(_node, cli) needs ["busybox"] {
        let script = format!("trap 'exit 9' QUIT; trap '' TERM; echo ready; {WAITS}");
        run_ready(&cli, "quits", &["--stop-signal", "SIGQUIT"], &script);
        cli.ok(&["stop", "quits"]);
        assert_eq!(cli.inspect("quits", "{{.State.ExitCode}}"), "9");
    }

    fn the_images_stop_signal_ends_nginx_at_ease(_node, cli) needs ["nginx"] {
        cli.ok(&["run", "-d", "--name", "web", "nginx"]);
        assert_eq!(cli.inspect("web", "{{.Config.StopSignal}}"), "SIGQUIT");
        // Before nginx handles the signal, process 1 ignores it, as every process 1 does.
        let address = cli.inspect("web", "{{.NetworkSettings.Networks.bridge.IPAddress}}");
        until("nginx answers", || blackbox::page(&format!("http://{address}/")));
        cli.ok(&["stop", "web"]);
        assert_eq!(cli.inspect("web", "{{.State.Status}} {{.State.ExitCode}}"), "exited 0");
    }

    fn kill_sends_sigkill_or_the_signal_named(_node, cli) needs ["busybox"] {
        run_ready(&cli, "target", &[], &format!("trap 'echo usr1' USR1; echo ready; {WAITS}"));
        cli.ok(&["kill", "-s", "USR1", "target"]);
        until("the signal is seen", || cli.run(&["logs", "target"]).out.contains("usr1").then_some(()));
        assert_eq!(status(&cli, "target"), "running");
        cli.ok(&["kill", "target"]);
        assert_eq!(cli.ok(&["wait", "target"]), "137");
        let refused = cli.fails(1, &["kill", "target"]);
        assert!(refused.contains("is not running"), "{refused}");
    }

    fn restart_starts_anew_with_the_same_id(_node, cli) needs ["busybox"] {
        run_ready(&cli, "again", &[], "echo ready; exec sleep 1000");
        let before = cli.inspect("again", "{{.Id}} {{.State.Pid}}");
        assert_eq!(cli.ok(&["restart", "-t", "0", "again"]), "again");
        let after = cli.inspect("again", "{{.Id}} {{.State.Pid}}");
        assert_eq!(before[..64], after[..64]);
        assert_ne!(before, after, "another process runs");
        until("it spoke again", || (cli.run(&["logs", "again"]).out.lines().count() == 2).then_some(()));
    }

    fn pause_holds_every_process_and_unpause_lets_them_go(_node, cli) needs ["busybox"] {
        run_ready(&cli, "ticks", &[], "echo ready; while :; do echo tick; sleep 0.02; done");
        assert_eq!(cli.ok(&["pause", "ticks"]), "ticks");
        assert_eq!(status(&cli, "ticks"), "paused");
        assert!(cli.ok(&["ps"]).contains("(Paused)"));
        // What was on its way when the processes were held arrives; then nothing more does.
        let count = || cli.ok(&["logs", "ticks"]).lines().count();
        let mut held = count();
        until("no tick arrives", || {
            let now = count();
            (std::mem::replace(&mut held, now) == now).then_some(())
        });
        assert!(cli.fails(1, &["pause", "ticks"]).contains("already paused"));
        assert!(cli.run(&["exec", "ticks", "true"]).err.contains("is paused"));
        cli.ok(&["unpause", "ticks"]);
        assert_eq!(status(&cli, "ticks"), "running");
        until("it ticks on", || (count() > held).then_some(()));
        cli.ok(&["pause", "ticks"]);
        cli.ok(&["rm", "-f", "ticks"]);
    }

    fn wait_gives_the_exit_codes_in_order(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "four", "busybox", "sh", "-c", "sleep 0.3; exit 4"]);
        cli.ok(&["run", "-d", "--name", "five", "busybox", "sh", "-c", "exit 5"]);
        assert_eq!(cli.ok(&["wait", "four", "five"]), "4\n5");
    }

    fn rename_keeps_everything_but_the_name(_node, cli) needs ["busybox"] {
        let id = cli.ok(&["run", "-d", "--name", "old", "busybox", "sleep", "1000"]);
        cli.ok(&["rename", "old", "new"]);
        assert_eq!(cli.inspect("new", "{{.Id}} {{.Name}}"), format!("{id} /new"));
        assert!(cli.fails(1, &["inspect", "old"]).to_lowercase().contains("no such"));
        cli.ok(&["run", "-d", "--name", "old", "busybox", "sleep", "1000"]);
        cli.ok(&["rm", "-f", "old", "new"]);
    }

    fn rm_refuses_what_runs_and_takes_several(_node, cli) needs ["busybox"] {
        for name in ["one", "two", "three"] {
            cli.ok(&["run", "-d", "--name", name, "busybox", "sleep", "1000"]);
        }
        let refused = cli.fails(1, &["rm", "one"]);
        assert!(refused.contains("running"), "{refused}");
        assert_eq!(cli.ok(&["rm", "-f", "one", "two"]), "one\ntwo");
        assert_eq!(cli.ok(&["ps", "-a", "--format", "{{.Names}}"]), "three");
        cli.ok(&["stop", "-t", "0", "three"]);
        assert_eq!(cli.ok(&["rm", "three"]), "three");
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
    }

    fn start_attaches_and_gives_input(_node, cli) needs ["busybox"] {
        cli.ok(&["create", "-i", "--name", "cat", "busybox", "cat"]);
        assert_eq!(status(&cli, "cat"), "created");
        let said = cli.run_with(&["start", "-i", "-a", "cat"], b"words\n");
        assert_eq!((said.code, said.out.as_str()), (0, "words\n"), "{said:?}");
    }

    fn a_restart_policy_starts_again_what_failed_and_counts(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "fails", "--restart", "on-failure:2", "busybox", "sh", "-c", "echo try; exit 6"]);
        until("it gave up", || {
            let seen = cli.inspect("fails", "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}");
            (seen == "2 exited 6").then_some(())
        });
        assert_eq!(cli.ok(&["logs", "fails"]).lines().count(), 3);
        cli.ok(&["run", "-d", "--name", "always", "--restart", "always", "busybox", "sh", "-c", "sleep 0.1"]);
        until("it was started again", || {
            let count: u32 = cli.inspect("always", "{{.RestartCount}}").parse().unwrap_or_default();
            (count >= 1).then_some(())
        });
        cli.ok(&["stop", "always"]);
        assert_eq!(status(&cli, "always"), "exited", "a stopped container stays stopped");
        cli.ok(&["rm", "fails", "always"]);
    }

    fn rm_takes_the_container_with_it_in_a_run_with_rm(_node, cli) needs ["busybox"] {
        let id = cli.ok(&["run", "-d", "--rm", "busybox", "sleep", "0.2"]);
        until("it is gone", || (!cli.ok(&["ps", "-a", "-q", "--no-trunc"]).contains(&id)).then_some(()));
    }

    fn init_reaps_what_its_children_leave(_node, cli) needs ["busybox"] {
        let script = "(sleep 0.1 &) ; echo ready; exec sleep 1000";
        run_ready(&cli, "init", &["--init"], script);
        let start = Instant::now();
        until("no zombie is left", || (!cli.ok(&["exec", "init", "ps", "-o", "stat,args"]).contains("Z ")).then_some(()));
        cli.ok(&["stop", "init"]);
        assert!(start.elapsed() < Duration::from_secs(9), "SIGTERM reaches the command through the init");
    }
}
