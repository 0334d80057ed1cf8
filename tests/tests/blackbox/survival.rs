//! What outlives the daemon, and what a loss of power leaves.

use blackbox::{free_port, page, rows, until};

rows! {
    fn killing_the_daemon_stops_no_container_and_no_traffic(node, cli) needs ["nginx"] {
        let port = free_port();
        cli.ok(&["run", "-d", "--name", "web", "-p", &format!("{port}:80"), "nginx"]);
        let url = format!("http://127.0.0.1:{port}/");
        until("nginx answers", || page(&url));
        let before = cli.inspect("web", "{{.State.Pid}} {{.State.StartedAt}}");
        node.kill();
        assert!(page(&url).is_some(), "without a daemon");
        node.start_again();
        assert!(page(&url).is_some(), "with the next");
        assert_eq!(cli.inspect("web", "{{.State.Pid}} {{.State.StartedAt}}"), before);
        until("the log went on", || (cli.ok(&["logs", "web"]).matches("GET / ").count() >= 3).then_some(()));
        assert_eq!(cli.ok(&["exec", "web", "echo", "inside"]), "inside");
        cli.ok(&["stop", "web"]);
        assert_eq!(cli.inspect("web", "{{.State.ExitCode}}"), "0");
    }

    fn the_next_daemon_finds_what_ended_meanwhile(node, cli) needs ["busybox"] {
        let script = "while ! [ -e /home/go ]; do sleep 0.02; done; echo last words; exit 7";
        let mount = format!("{}:/home", node.home().display());
        cli.ok(&["run", "-d", "--name", "ends", "-v", &mount, "busybox", "sh", "-c", script]);
        let pid = cli.inspect("ends", "{{.State.Pid}}");
        node.kill();
        std::fs::write(node.home().join("go"), "").unwrap();
        until("it ends", || (!std::path::Path::new("/proc").join(&pid).exists()).then_some(()));
        node.start_again();
        until("its end is known", || (cli.inspect("ends", "{{.State.Status}} {{.State.ExitCode}}") == "exited 7").then_some(()));
        assert_eq!(cli.ok(&["logs", "ends"]), "last words");
        assert_eq!(cli.ok(&["wait", "ends"]), "7");
    }

    fn a_terminal_can_be_attached_to_after_the_daemon_was_killed(node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "-i", "--name", "cat", "busybox", "cat"]);
        node.kill();
        node.start_again();
        let mut client = cli.terminal(&["attach", "cat"]);
        client.send("words\r");
        until("the words come back and are logged", || cli.run(&["logs", "cat"]).out.contains("words").then_some(()));
        drop(client);
        cli.ok(&["rm", "-f", "cat"]);
    }

    fn after_a_loss_of_power_policies_start_containers_in_the_order_of_their_creation(node, cli) needs ["busybox"] {
        for (name, policy) in [("first", "always"), ("second", "unless-stopped"), ("stopped", "unless-stopped"), ("none", "no")] {
            cli.ok(&["run", "-d", "--name", name, "--restart", policy, "busybox", "sh", "-c", "echo up; exec sleep 1000"]);
        }
        cli.ok(&["stop", "-t", "0", "stopped"]);
        let address = cli.inspect("first", "{{.NetworkSettings.Networks.bridge.IPAddress}}");
        assert!(!address.is_empty());
        node.lose_power();
        node.start_again();
        until("both run again", || (cli.ok(&["ps", "-q"]).lines().count() == 2).then_some(()));
        let state = |name: &str| cli.inspect(name, "{{.State.Status}}");
        assert_eq!([state("first"), state("second"), state("stopped"), state("none")], ["running", "running", "exited", "exited"]);
        let started = |name: &str| cli.inspect(name, "{{.State.StartedAt}}");
        let (first, second) = (started("first"), started("second"));
        assert!(first < second, "{first} {second}");
        until("they spoke again", || (cli.ok(&["logs", "second"]) == "up\nup").then_some(()));
        assert_eq!(cli.ok(&["exec", "first", "echo", "inside"]), "inside");
    }

    fn after_a_loss_of_power_the_files_are_as_they_were(node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "writes", "busybox", "sh", "-c", "echo kept > /file; sync; exec sleep 1000"]);
        until("the file is there", || (cli.run(&["exec", "writes", "cat", "/file"]).out == "kept\n").then_some(()));
        node.lose_power();
        node.start_again();
        assert_ne!(cli.inspect("writes", "{{.State.Status}}"), "running");
        cli.ok(&["start", "writes"]);
        assert_eq!(cli.ok(&["exec", "writes", "cat", "/file"]), "kept");
    }

    fn a_daemon_that_is_killed_in_the_middle_of_much_work_loses_nothing_acknowledged(node, cli) needs ["busybox"] {
        let mut acknowledged = Vec::new();
        for round in 0..4 {
            let running = cli.spawn(&["run", "-d", "--name", &format!("late{round}"), "busybox", "sleep", "1000"]);
            acknowledged.push(cli.ok(&["create", "--name", &format!("known{round}"), "busybox", "true"]));
            node.kill();
            let _ = running.finish();
            node.start_again();
            let known = cli.ok(&["ps", "-a", "-q", "--no-trunc"]);
            assert!(acknowledged.iter().all(|id| known.contains(id)), "{acknowledged:?} of {known}");
        }
    }
    fn a_start_that_fails_after_a_loss_of_power_is_tried_again(node, cli) needs ["busybox"] {
        let folder = node.home().join("late");
        std::fs::create_dir(&folder).unwrap();
        let mount = format!("type=bind,source={},target=/late", folder.display());
        cli.ok(&["run", "-d", "--name", "needs", "--restart", "always", "--mount", &mount, "busybox", "sleep", "1000"]);
        node.lose_power();
        std::fs::remove_dir(&folder).unwrap();
        node.start_again();
        let state = || cli.inspect("needs", "{{.State.Status}}");
        until("its start has failed", || (state() == "restarting").then_some(()));
        std::fs::create_dir(&folder).unwrap();
        until("it runs", || (state() == "running").then_some(()));
        cli.ok(&["rm", "-f", "needs"]);
    }

    fn an_edge_process_that_is_killed_comes_back(node, cli) needs ["nginx"] {
        if std::fs::read_to_string("/proc/net/if_inet6").is_ok_and(|addresses| !addresses.is_empty()) {
            let port = free_port();
            cli.ok(&["run", "-d", "--name", "web", "-p", &format!("{port}:80"), "nginx"]);
            let url = format!("http://[::1]:{port}/");
            until("nginx answers", || page(&url));
            let pid = edge(&node.exec_root()).expect("one serves");
            assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
            until("another one serves", || edge(&node.exec_root()).filter(|other| *other != pid));
            until("nginx answers again", || page(&url));
        } else {
            blackbox::skip("this machine has no IPv6");
        }
    }

    fn names_are_answered_again_after_the_edge_process_was_killed(node, cli) needs ["busybox"] {
        cli.ok(&["network", "create", "front"]);
        for name in ["web", "asks"] {
            cli.ok(&["run", "-d", "--name", name, "--network", "front", "busybox", "sleep", "1000"]);
        }
        let is_answered = || cli.run(&["exec", "asks", "nslookup", "web.front", "127.0.0.11"]).out.contains("Name:");
        assert!(is_answered());
        let pid = edge(&node.exec_root()).expect("one answers");
        assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        until("another one serves", || edge(&node.exec_root()).filter(|other| *other != pid));
        until("the name is answered again", || is_answered().then_some(()));
        cli.ok(&["rm", "-f", "web", "asks"]);
        cli.ok(&["network", "rm", "front"]);
    }
}

/// The process id of a daemon's edge process.
fn edge(exec_root: &std::path::Path) -> Option<String> {
    let folder = exec_root.join("edge").to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut serving = processes.filter(|process| {
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == folder.as_bytes())
    });
    serving.next().map(|process| process.file_name().to_string_lossy().into_owned())
}
