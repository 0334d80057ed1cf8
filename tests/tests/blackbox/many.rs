//! Much at once: each gets what is its own, and nothing is lost or left.

use std::collections::BTreeSet;

use blackbox::{rows, until};

rows! {
    fn containers_started_at_once_have_addresses_and_ports_of_their_own(_node, cli) needs ["busybox"] {
        let started: Vec<_> = (0..12)
            .map(|number| cli.spawn(&["run", "-d", "--name", &format!("at-once-{number}"), "-p", "80", "busybox", "sh", "-c", "exec sleep 1000"]))
            .collect();
        for said in started.into_iter().map(blackbox::Spawned::finish) {
            assert_eq!(said.code, 0, "{said:?}");
        }
        let names: Vec<String> = (0..12).map(|number| format!("at-once-{number}")).collect();
        let each = |format: &str| {
            let found: BTreeSet<String> = names.iter().map(|name| cli.inspect(name, format)).collect();
            assert!(!found.contains(""), "{format}: {found:?}");
            found.len()
        };
        assert_eq!(each("{{.NetworkSettings.Networks.bridge.IPAddress}}"), 12);
        assert_eq!(each("{{.NetworkSettings.Networks.bridge.MacAddress}}"), 12);
        assert_eq!(each("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}"), 12);
        let mut words = vec!["rm", "-f"];
        words.extend(names.iter().map(String::as_str));
        cli.ok(&words);
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
    }

    fn of_many_who_want_one_name_one_has_it(_node, cli) needs ["busybox"] {
        let asked: Vec<_> = (0..8).map(|_| cli.spawn(&["create", "--name", "wanted", "busybox", "true"])).collect();
        let said: Vec<_> = asked.into_iter().map(blackbox::Spawned::finish).collect();
        assert_eq!(said.iter().filter(|said| said.code == 0).count(), 1, "{said:?}");
        assert!(said.iter().filter(|said| said.code != 0).all(|said| said.err.contains("already in use")), "{said:?}");
        assert_eq!(cli.ok(&["ps", "-a", "-q"]).lines().count(), 1);
    }

    fn removed_while_it_starts_nothing_is_left(_node, cli) needs ["busybox"] {
        for round in 0..10 {
            let name = format!("torn-{round}");
            let mut starts = cli.spawn(&["run", "-d", "--name", &name, "-p", "80", "busybox", "sleep", "1000"]);
            until("it is there, or its client ended", || {
                (!starts.is_running() || cli.run(&["rm", "-f", &name]).code == 0).then_some(())
            });
            let _ = starts.finish();
            let _ = cli.run(&["rm", "-f", &name]);
        }
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
    }

    fn many_commands_run_inside_at_once(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "busy", "busybox", "sh", "-c", "exec sleep 1000"]);
        let commands: Vec<_> = (0..12)
            .map(|number| cli.spawn(&["exec", "busy", "sh", "-c", &format!("seq 1 2000; echo end {number}; exit {number}")]))
            .collect();
        for (number, said) in commands.into_iter().map(blackbox::Spawned::finish).enumerate() {
            assert_eq!(said.code, i32::try_from(number).unwrap(), "{}", said.err);
            assert!(said.out.ends_with(&format!("2000\nend {number}\n")), "{} bytes", said.out.len());
        }
        cli.ok(&["rm", "-f", "busy"]);
    }
}
