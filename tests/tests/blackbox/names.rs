//! Names of containers on networks of their own: asked for from inside, with the daemon and without.

use blackbox::{rows, until};

/// What a container is told when it asks for a name; empty where there is none.
fn asked(cli: &blackbox::Cli, from: &str, name: &str) -> Vec<String> {
    let said = cli.run(&["exec", from, "nslookup", name]);
    let answers = said.out.lines().skip_while(|line| !line.starts_with("Name:"));
    let mut addresses: Vec<String> = answers
        .filter_map(|line| line.strip_prefix("Address:"))
        .map(|address| address.trim().to_owned())
        .collect();
    addresses.sort();
    addresses
}

rows! {
    fn containers_of_a_network_know_each_other_by_name(node, cli) needs ["busybox"] {
        cli.ok(&["network", "create", "front"]);
        cli.ok(&["network", "create", "back"]);
        cli.ok(&["run", "-d", "--name", "web", "--network", "front", "--network-alias", "www", "busybox", "sleep", "1000"]);
        cli.ok(&["run", "-d", "--name", "db", "--network", "back", "busybox", "sleep", "1000"]);
        cli.ok(&["run", "-d", "--name", "app", "--network", "front", "busybox", "sleep", "1000"]);
        let of = |name: &str, network: &str| cli.inspect(name, &format!("{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}"));
        let six = |name: &str, network: &str| cli.inspect(name, &format!("{{{{.NetworkSettings.Networks.{network}.GlobalIPv6Address}}}}"));
        let web = vec![of("web", "front"), six("web", "front")];
        let id = cli.inspect("web", "{{.Id}}");
        for name in ["web", "www", "web.front", &id[..12]] {
            assert_eq!(asked(&cli, "app", name), web, "{name}");
        }
        assert!(asked(&cli, "app", "db").is_empty(), "it is on another network");
        // It joins while it runs, and is known at once; it leaves, and is not.
        cli.ok(&["network", "connect", "--alias", "store", "front", "db"]);
        let db = vec![of("db", "front"), six("db", "front")];
        assert_eq!(asked(&cli, "app", "db"), db);
        assert_eq!(asked(&cli, "app", "store"), db);
        assert_eq!(asked(&cli, "db", "web"), web);
        assert!(cli.ok(&["exec", "app", "ping", "-c", "1", "-W", "5", "db"]).contains("1 packets received"));
        cli.ok(&["network", "disconnect", "front", "db"]);
        assert!(asked(&cli, "app", "db").is_empty());
        cli.ok(&["rename", "web", "site"]);
        assert_eq!(asked(&cli, "app", "site"), web);
        assert!(asked(&cli, "app", "web").is_empty());
        cli.ok(&["rm", "-f", "site", "app", "db"]);
        cli.ok(&["network", "rm", "front", "back"]);
    }

    fn two_with_one_alias_share_it_and_one_that_ended_is_not_named(node, cli) needs ["busybox"] {
        cli.ok(&["network", "create", "--ipv6=false", "front"]);
        for name in ["one", "two", "asks"] {
            cli.ok(&["run", "-d", "--name", name, "--network", "front", "--network-alias", "both", "busybox", "sleep", "1000"]);
        }
        assert_eq!(asked(&cli, "asks", "both").len(), 3);
        cli.ok(&["kill", "one"]);
        until("it is no longer named", || (asked(&cli, "asks", "both").len() == 2).then_some(()));
        cli.ok(&["rm", "-f", "one", "two", "asks"]);
        cli.ok(&["network", "rm", "front"]);
    }

    fn names_are_answered_without_a_daemon_and_by_the_next(node, cli) needs ["busybox"] {
        cli.ok(&["network", "create", "front"]);
        cli.ok(&["run", "-d", "--name", "web", "--network", "front", "busybox", "sleep", "1000"]);
        let script = "while :; do nslookup web > /tmp/next 2>&1 && mv /tmp/next /tmp/answer; sleep 0.05; done";
        cli.ok(&["run", "-d", "--name", "asks", "--network", "front", "-v", &format!("{}:/tmp", node.home().display()), "busybox", "sh", "-c", script]);
        let address = cli.inspect("web", "{{.NetworkSettings.Networks.front.IPAddress}}");
        let answer = node.home().join("answer");
        let answered = || std::fs::read_to_string(&answer).ok().filter(|text| text.contains(&address)).map(drop);
        until("it is answered", answered);
        node.kill();
        std::fs::remove_file(&answer).unwrap();
        until("it is answered without a daemon", answered);
        node.start_again();
        assert_eq!(cli.inspect("web", "{{.NetworkSettings.Networks.front.IPAddress}}"), address);
        cli.ok(&["run", "-d", "--name", "late", "--network", "front", "busybox", "sleep", "1000"]);
        assert!(!asked(&cli, "asks", "late").is_empty(), "a new name reaches one that was there before");
        assert_ne!(cli.inspect("late", "{{.NetworkSettings.Networks.front.IPAddress}}"), address);
        cli.ok(&["rm", "-f", "late", "asks", "web"]);
        cli.ok(&["network", "rm", "front"]);
    }

    fn a_container_can_be_a_name_server_itself(node, cli) needs ["busybox"] {
        cli.ok(&["network", "create", "front"]);
        cli.ok(&["run", "-d", "--name", "web", "--network", "front", "busybox", "sh", "-c", "nc -l -p 53 & exec sleep 1000"]);
        let held = || cli.ok(&["exec", "web", "sh", "-c", "cat /proc/net/tcp*"]).contains(":0035 ").then_some(());
        until("something of its own has port 53 on every address", held);
        assert!(!asked(&cli, "web", "web").is_empty());
        cli.ok(&["rm", "-f", "web"]);
        cli.ok(&["network", "rm", "front"]);
    }
}
