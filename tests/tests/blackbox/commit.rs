//! Images made of containers.

use blackbox::{Cli, rows, until};

/// The given part of what an image says.
fn config(cli: &Cli, image: &str, part: &str) -> String {
    cli.ok(&["image", "inspect", "--format", &format!("{{{{json .Config.{part}}}}}"), image])
}

fn history(cli: &Cli, image: &str, field: &str) -> Vec<String> {
    let format = format!("{{{{.{field}}}}}");
    cli.ok(&["history", "--no-trunc", "--format", &format, image]).lines().map(str::to_owned).collect()
}

rows! {
    fn what_a_container_changed_is_in_the_image(_node, cli) needs ["busybox"] {
        let change = "echo new > /etc/new; rm /bin/ls; rm -r /tmp; mkdir /tmp; echo f > /tmp/f; ln /tmp/f /tmp/g; mkfifo /tmp/p; chown 7:8 /tmp/f";
        cli.ok(&["run", "--name", "box", "-e", "A=1", "-w", "/tmp", "busybox", "sh", "-c", change]);
        let id = cli.ok(&["commit", "-m", "a comment", "-a", "Ann", "box", "mine:1"]);
        assert_eq!(cli.ok(&["inspect", "--format", "{{.Id}}", "mine:1"]), id);
        let check = "cat /etc/new; test ! -e /bin/ls && test -p p && stat -c %u:%g:%h f";
        let said = cli.run(&["run", "--rm", "mine:1", "sh", "-c", check]);
        assert!(said.code == 0 && said.out == "new\n7:8:2\n", "{said:?}");
        assert!(config(&cli, "mine:1", "Env").contains("A=1"));
        assert_eq!(config(&cli, "mine:1", "WorkingDir"), "\"/tmp\"");
        assert_eq!(cli.ok(&["inspect", "--format", "{{.Author}} {{.Comment}}", "mine:1"]), "Ann a comment");
        let by = history(&cli, "mine:1", "CreatedBy");
        assert!(by[0].starts_with("sh -c echo new"), "{by:?}");
        assert_eq!(by.len(), history(&cli, "busybox", "CreatedBy").len() + 1);
        // Its image can go: what was made of it has its layers.
        cli.ok(&["rm", "box"]);
        cli.ok(&["rmi", "busybox", "alpine"]);
        assert_eq!(cli.ok(&["run", "--rm", "mine:1", "echo", "works"]), "works");
        cli.ok(&["rmi", "mine:1"]);
        assert_eq!(cli.ok(&["images", "-q"]), "");
    }

    fn changes_are_applied_over_what_the_container_says(_node, cli) needs ["busybox"] {
        cli.ok(&["create", "--name", "box", "--label", "kept=1", "busybox", "sleep", "1000"]);
        cli.ok(&[
            "commit", "-c", "CMD [\"echo\", \"hello\"]", "-c", "ENV B=2", "-c", "EXPOSE 80", "-c", "LABEL more=2",
            "-c", "USER 7:8", "-c", "VOLUME /data", "-c", "STOPSIGNAL SIGQUIT", "box", "mine",
        ]);
        assert_eq!(cli.ok(&["run", "--rm", "mine"]), "hello");
        assert_eq!(cli.ok(&["run", "--rm", "mine", "id", "-u"]), "7");
        for (part, wanted) in [
            ("Labels", r#"{"kept":"1","more":"2"}"#), ("ExposedPorts", r#"{"80/tcp":{}}"#), ("Volumes", r#"{"/data":{}}"#),
            ("StopSignal", "\"SIGQUIT\""), ("User", "\"7:8\""),
        ] {
            assert_eq!(config(&cli, "mine", part), wanted);
        }
        // Nothing was written: the image has the same layers, and one more line of history.
        let layers = |image: &str| cli.ok(&["inspect", "--format", "{{.RootFS.Layers}}", image]);
        assert_eq!(layers("mine"), layers("busybox"));
        let said = cli.run(&["commit", "-c", "RUN x", "box", "bad"]);
        assert!(said.code == 1 && said.err.contains("RUN"), "{said:?}");
        assert!(cli.run(&["commit", "nobody"]).err.contains("No such container: nobody"));
        let said = cli.run(&["commit", "box", "BAD"]);
        assert!(said.code == 1 && said.err.contains("lowercase"), "{said:?}");
        cli.ok(&["rm", "box"]);
    }

    fn a_container_that_runs_stands_still_and_goes_on(node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "box", "busybox", "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=30 2>/dev/null; touch /ready; while true; do date > /now; sleep 0.1; done"]);
        until("it has written", || (cli.run(&["exec", "box", "test", "-e", "/ready"]).code == 0).then_some(()));
        cli.ok(&["commit", "box", "mine"]);
        cli.ok(&["commit", "--pause=false", "box", "other"]);
        assert_eq!(cli.inspect("box", "{{.State.Status}}"), "running");
        cli.ok(&["exec", "box", "rm", "/now"]);
        until("it goes on", || (cli.run(&["exec", "box", "test", "-e", "/now"]).code == 0).then_some(()));
        let sum = |image: &str| cli.ok(&["run", "--rm", image, "md5sum", "/big"]);
        assert_eq!(sum("mine"), cli.ok(&["exec", "box", "md5sum", "/big"]));
        assert_eq!(sum("mine"), sum("other"));
        cli.ok(&["pause", "box"]);
        cli.ok(&["commit", "box", "mine"]);
        assert_eq!(cli.inspect("box", "{{.State.Status}}"), "paused", "whoever paused it wants it so");
        // Without a name it is an image all the same.
        let id = cli.ok(&["commit", "box"]);
        assert_eq!(cli.ok(&["run", "--rm", &id, "echo", "works"]), "works");
        cli.ok(&["rm", "-f", "box"]);
        assert!(node.socket_answers());
    }

    fn a_daemon_that_is_killed_meanwhile_leaves_neither_half_an_image_nor_a_container_that_stands_still(node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "box", "busybox", "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=60 2>/dev/null; touch /ready; while true; do touch /now; sleep 0.1; done"]);
        until("it has written", || (cli.run(&["exec", "box", "test", "-e", "/ready"]).code == 0).then_some(()));
        for pause in [10, 60, 150, 400] {
            let committing = cli.spawn(&["commit", "box", "mine"]);
            // However far it is by then.
            until("the moment has come", {
                let begun = std::time::Instant::now();
                move || (begun.elapsed().as_millis() >= pause).then_some(())
            });
            node.kill();
            let _ = committing.finish();
            node.start_again();
            let cli = node.cli(cli.client());
            assert_eq!(cli.inspect("box", "{{.State.Status}}"), "running");
            cli.ok(&["exec", "box", "rm", "-f", "/now"]);
            until("it goes on", || (cli.run(&["exec", "box", "test", "-e", "/now"]).code == 0).then_some(()));
            // Nothing or all.
            if cli.run(&["image", "inspect", "mine"]).code == 0 {
                assert_eq!(cli.ok(&["run", "--rm", "mine", "stat", "-c", "%s", "/big"]), "62914560");
            }
        }
        node.cli(cli.client()).ok(&["rm", "-f", "box"]);
    }
}
