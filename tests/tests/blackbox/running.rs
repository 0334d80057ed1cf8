//! Rows E1, E4, E13: a command runs, its words and its exit code come back.

use blackbox::{Cli, rows, until};

/// Whether a text is an id in full.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn state(cli: &Cli, name: &str) -> String {
    cli.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")
}

rows! {
    /// E1
    fn a_command_prints_its_words(_node, cli) needs ["debian"] {
        let said = cli.run(&["run", "debian", "/bin/echo", "Salut"]);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "Salut\n", ""));
    }

    /// E1
    fn the_exit_code_is_the_commands(_node, cli) needs ["busybox"] {
        for code in [0, 1, 7, 255] {
            let said = cli.run(&["run", "--rm", "busybox", "sh", "-c", &format!("exit {code}")]);
            assert_eq!(said.code, code, "{said:?}");
        }
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "", "--rm leaves nothing");
    }

    fn standard_output_and_error_come_back_apart(_node, cli) needs ["busybox"] {
        let said = cli.run(&["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2"]);
        assert_eq!((said.out.as_str(), said.err.as_str()), ("out\n", "err\n"));
    }

    fn standard_input_reaches_the_command_and_its_end_too(_node, cli) needs ["busybox"] {
        let input = "line\n".repeat(20_000);
        let said = cli.run_with(&["run", "--rm", "-i", "busybox", "wc", "-l"], input.as_bytes());
        assert_eq!((said.code, said.out.trim()), (0, "20000"), "{said:?}");
    }

    fn much_output_comes_back_whole_and_in_order(_node, cli) needs ["busybox"] {
        let said = cli.run(&["run", "--rm", "busybox", "seq", "1", "100000"]);
        let wanted: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.out == wanted, "{} bytes instead of {}", said.out.len(), wanted.len());
    }

    /// E4
    fn a_detached_run_prints_the_id(_node, cli) needs ["nginx"] {
        let id = cli.ok(&["run", "-d", "nginx:latest"]);
        assert!(is_id(&id), "{id:?}");
        assert_eq!(cli.inspect(&id[..12], "{{.Id}} {{.State.Running}}"), format!("{id} true"));
        cli.ok(&["rm", "-f", &id]);
    }

    /// E13
    fn a_container_that_ended_starts_again_with_its_files(_node, cli) needs ["busybox"] {
        let script = "cat /kept 2>/dev/null; echo again >> /kept";
        assert_eq!(cli.ok(&["run", "--name", "kept", "busybox", "sh", "-c", script]), "");
        assert_eq!(cli.ok(&["ps", "-q"]), "", "it is listed by `ps -a` alone");
        assert!(cli.ok(&["ps", "-a"]).contains("kept"));
        assert_eq!(state(&cli, "kept"), "exited 0");
        assert_eq!(cli.ok(&["start", "-a", "kept"]), "again");
        assert_eq!(cli.ok(&["start", "-a", "kept"]), "again\nagain");
        cli.ok(&["rm", "kept"]);
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
    }

    fn words_of_the_image_and_of_the_user_become_the_command(_node, cli) needs ["busybox"] {
        assert_eq!(cli.ok(&["run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"]), "a b");
        assert_eq!(cli.ok(&["run", "--rm", "-w", "/tmp/deep", "busybox", "pwd"]), "/tmp/deep");
        let env = ["run", "--rm", "-e", "COLOUR=blue", "-e", "EMPTY=", "busybox", "sh", "-c", "echo $COLOUR$EMPTY-$HOME"];
        assert_eq!(cli.ok(&env), "blue-/root");
        assert_eq!(cli.ok(&["run", "--rm", "-h", "field", "busybox", "hostname"]), "field");
    }

    fn an_environment_comes_from_a_file(node, cli) needs ["busybox"] {
        let file = node.home().join("env");
        std::fs::write(&file, "# a comment\nONE=1\nTWO=two words\n").unwrap();
        let words = ["run", "--rm", "--env-file", &file.to_string_lossy(), "busybox", "sh", "-c", "echo \"$ONE $TWO\""];
        assert_eq!(cli.ok(&words), "1 two words");
    }

    fn a_signal_to_the_client_goes_to_the_command(_node, cli) needs ["busybox"] {
        let script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
        let client = cli.spawn(&["run", "--name", "trap", "busybox", "sh", "-c", script]);
        until("the command is ready", || cli.run(&["logs", "trap"]).out.contains("ready").then_some(()));
        client.signal(rustix::process::Signal::TERM);
        let said = client.finish();
        assert_eq!((said.code, said.out.as_str()), (5, "ready\ncaught\n"), "{said:?}");
    }
}
