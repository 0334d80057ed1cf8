//! Rows E2, E3, E9: a working terminal, with detaching and attaching again.

use blackbox::{Terminal, rows, until};

/// Types a line and waits for its answer.
fn ask(terminal: &mut Terminal, line: &str, answer: &str) {
    terminal.send(&format!("{line}\r"));
    terminal.expect(answer);
}

rows! {
    /// E2
    fn a_shell_has_a_working_terminal(_node, cli) needs ["debian"] {
        let mut terminal = cli.terminal(&["run", "-it", "--name", "shell", "debian", "/bin/bash"]);
        terminal.expect("# ");
        ask(&mut terminal, "tty", "/dev/pts/0");
        ask(&mut terminal, "stty size", "24 80");
        terminal.resize(41, 123);
        until("the new size arrives", || {
            let size = cli.ok(&["exec", "shell", "stty", "-F", "/dev/pts/0", "size"]);
            (size == "41 123").then_some(())
        });
        ask(&mut terminal, "echo sum=$((40+2))", "sum=42");
        ask(&mut terminal, "echo TERM is $TERM.", "TERM is xterm.");
        ask(&mut terminal, "printf '\\033[31mrou''ge\\033[0m\\n'", "\u{1b}[31mrouge\u{1b}[0m");
        terminal.send("exit 3\r");
        assert_eq!(terminal.finish(), 3);
        assert_eq!(cli.inspect("shell", "{{.State.ExitCode}}"), "3");
    }

    /// E2
    fn a_shell_controls_its_jobs(_node, cli) needs ["debian"] {
        let mut terminal = cli.terminal(&["run", "-it", "--rm", "debian", "/bin/bash"]);
        terminal.expect("# ");
        // The job says that it runs; then ^C ends it and not the shell.
        terminal.send("sh -c 'echo now-$((1+1)); exec sleep 1000'\r");
        terminal.expect("now-2");
        terminal.send("\u{3}");
        ask(&mut terminal, "echo code=$?", "code=130");
        ask(&mut terminal, "sleep 1000 &", "[1] ");
        ask(&mut terminal, "jobs", "Running");
        ask(&mut terminal, "kill %1; wait; echo do''ne", "done");
        // ^Z stops a job, `bg` lets it go on.
        terminal.send("sh -c 'echo now-$((2+2)); exec sleep 1000'\r");
        terminal.expect("now-4");
        terminal.send("\u{1a}");
        terminal.expect("Stopped");
        ask(&mut terminal, "bg; jobs", "Running");
        ask(&mut terminal, "kill %1; wait; echo do''ne", "done");
        // ^D ends the shell.
        terminal.send("\u{4}");
        let _ = terminal.finish();
    }

    /// E2
    fn a_shell_sees_its_own_processes_only(_node, cli) needs ["debian"] {
        let mut terminal = cli.terminal(&["run", "-it", "--rm", "debian", "/bin/bash"]);
        terminal.expect("# ");
        ask(&mut terminal, "ps -a | head -n 1", "PID TTY          TIME CMD");
        ask(&mut terminal, "echo first=$(ps -e -o pid= -o comm= | head -n 1 | xargs)", "first=1 bash");
        // The shell looks by itself, so that no second process is there while it does.
        ask(&mut terminal, "echo 'all:' /proc/[0-9]* .", "all: /proc/1 .");
        terminal.send("exit\r");
        assert_eq!(terminal.finish(), 0);
    }

    /// E3
    fn a_client_detaches_and_attaches_again(_node, cli) needs ["nginx"] {
        let mut terminal = cli.terminal(&["run", "-it", "--name", "web", "nginx:latest"]);
        until("nginx runs", || {
            let said = cli.run(&["exec", "web", "cat", "/run/nginx.pid"]);
            (said.code == 0 && !said.out.trim().is_empty()).then_some(())
        });
        terminal.send("\u{10}\u{11}");
        assert_eq!(terminal.finish(), 0, "detaching ends the client well");
        assert_eq!(cli.inspect("web", "{{.State.Running}}"), "true");

        let mut terminal = cli.terminal(&["attach", "web"]);
        let address = cli.inspect("web", "{{.NetworkSettings.Networks.bridge.IPAddress}}");
        // The page may be asked for before the client is attached: it is asked for until its line is seen.
        until("the client that attached sees what nginx writes", || {
            let _ = blackbox::page(&format!("http://{address}/"));
            terminal.shown().contains("GET / HTTP/1.1").then_some(())
        });
        terminal.send("\u{10}\u{11}");
        // How `attach` ends then differs between releases of the client: what counts is that it does, and the container does not.
        let _ = terminal.finish();
        assert_eq!(cli.inspect("web", "{{.State.Running}}"), "true");
        terminal = cli.terminal(&["attach", "--detach-keys", "ctrl-a,x", "web"]);
        until("the client is attached", || {
            let _ = blackbox::page(&format!("http://{address}/"));
            terminal.shown().contains("GET / HTTP/1.1").then_some(())
        });
        terminal.send("\u{1}x");
        let _ = terminal.finish();
        assert_eq!(cli.inspect("web", "{{.State.Running}}"), "true", "the keys can be chosen");
        cli.ok(&["rm", "-f", "web"]);
    }

    /// E3
    fn a_second_client_sees_the_end_and_its_code(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "asks", "-i", "busybox", "sh", "-c", "read line; echo got $line; exit 6"]);
        let said = cli.run_with(&["attach", "asks"], b"words\n");
        assert_eq!((said.code, said.out.as_str()), (6, "got words\n"), "{said:?}");
    }

    /// E9
    fn exec_opens_a_terminal_inside(_node, cli) needs ["debian"] {
        cli.ok(&["run", "-d", "--name", "db", "-e", "NAME=base", "debian", "sleep", "1000"]);
        let mut terminal = cli.terminal(&["exec", "-it", "db", "bash"]);
        terminal.expect("# ");
        ask(&mut terminal, "echo name=$NAME on $(hostname)", &format!("name=base on {}", cli.inspect("db", "{{.Config.Hostname}}")));
        ask(&mut terminal, "stty size", "24 80");
        ask(&mut terminal, "cat /proc/1/comm", "sleep");
        terminal.send("exit 4\r");
        assert_eq!(terminal.finish(), 4);
        let mut terminal = cli.terminal(&["exec", "-it", "db", "env"]);
        terminal.expect("NAME=base");
        assert_eq!(terminal.finish(), 0);
        assert_eq!(cli.inspect("db", "{{.State.Running}}"), "true", "the container goes on");
    }

    /// E9
    fn exec_runs_as_it_is_told_and_gives_the_code(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "in", "-e", "A=1", "busybox", "sleep", "1000"]);
        assert_eq!(cli.ok(&["exec", "-e", "B=2", "in", "sh", "-c", "echo $A$B"]), "12");
        assert_eq!(cli.ok(&["exec", "-w", "/tmp", "in", "pwd"]), "/tmp");
        assert_eq!(cli.ok(&["exec", "-u", "65534:65534", "in", "id", "-u"]), "65534");
        assert_eq!(cli.run(&["exec", "in", "sh", "-c", "exit 9"]).code, 9);
        assert_eq!(cli.run(&["exec", "in", "nosuch"]).code, 127);
        assert_eq!(cli.run(&["exec", "in", "/etc/passwd"]).code, 126);
        assert_eq!(cli.run_with(&["exec", "-i", "in", "cat"], b"through").out, "through");
        cli.ok(&["exec", "-d", "in", "touch", "/detached"]);
        until("what was detached ran", || (cli.run(&["exec", "in", "test", "-e", "/detached"]).code == 0).then_some(()));
        cli.ok(&["stop", "-t", "0", "in"]);
        assert!(cli.fails(1, &["exec", "in", "true"]).contains("is not running"));
    }

    fn a_terminal_for_a_client_without_one_is_refused(_node, cli) needs ["busybox"] {
        let said = cli.run(&["run", "-it", "--rm", "busybox", "true"]);
        assert_ne!(said.code, 0);
        assert!(said.err.contains("TTY"), "{said:?}");
    }

    fn a_client_whose_daemon_dies_ends_and_leaves_the_terminal_as_it_was(node, cli) needs ["busybox"] {
        let mut terminal = cli.terminal(&["run", "-it", "--name", "shell", "busybox", "sh"]);
        terminal.expect("# ");
        assert!(!terminal.is_for_lines(), "what is typed goes to the container as it is");
        node.kill();
        assert_ne!(terminal.finish(), 0);
        node.start_again();
        let mut terminal = cli.terminal(&["attach", "shell"]);
        terminal.send("\r");
        terminal.expect("# ");
        ask(&mut terminal, "echo sum=$((40+2))", "sum=42");
        terminal.send("exit 5\r");
        assert_eq!(terminal.finish(), 5);
    }
}
