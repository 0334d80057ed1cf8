//! Rows E5, E6, E8, E10, E11, E12: what is running, what it said, and what it is seen as.

use std::fs;

use blackbox::{rows, until, until_within};

/// The words of a table's first line, by two or more blanks.
fn columns(table: &str) -> Vec<&str> {
    let head = table.lines().next().unwrap_or_default();
    head.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect()
}

rows! {
    /// E5
    fn ps_lists_what_runs_in_dockers_columns(_node, cli) needs ["busybox"] {
        let id = cli.ok(&["run", "-d", "busybox", "sleep", "1000"]);
        cli.ok(&["run", "--name", "ended", "busybox", "true"]);
        let said = cli.run(&["run", "busybox", "sh", "-c", "exit 3"]);
        assert_eq!(said.code, 3);
        let table = cli.ok(&["ps"]);
        assert_eq!(columns(&table), ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
        let line = table.lines().nth(1).unwrap();
        assert!(line.starts_with(&id[..12]), "{line}");
        for word in ["busybox", "\"sleep 1000\"", "ago", "Up "] {
            assert!(line.contains(word), "{word} is missing in {line}");
        }
        assert_eq!(table.lines().count(), 2, "what ended is not listed: {table}");
        let all = cli.ok(&["ps", "-a"]);
        assert_eq!(all.lines().count(), 4, "{all}");
        assert!(all.contains("Exited (0) ") && all.contains("Exited (3) ") && all.contains(" ago"), "{all}");
    }

    /// E5
    fn a_container_without_a_name_gets_an_adjective_and_a_surname(_node, cli) needs ["busybox"] {
        cli.ok(&["create", "busybox"]);
        cli.ok(&["create", "busybox"]);
        let names = cli.ok(&["ps", "-a", "--format", "{{.Names}}"]);
        let names: Vec<&str> = names.lines().collect();
        assert_eq!(names.len(), 2);
        assert_ne!(names[0], names[1]);
        for name in names {
            let (adjective, surname) = name.split_once('_').unwrap_or_default();
            let is_word = |word: &str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_lowercase());
            assert!(is_word(adjective) && is_word(surname), "{name}");
        }
    }

    /// E5
    fn ps_filters_and_prints_ids_only(_node, cli) needs ["busybox"] {
        let red = cli.ok(&["run", "-d", "--name", "red", "--label", "colour=red", "busybox", "sleep", "1000"]);
        let blue = cli.ok(&["create", "--name", "blue", "--label", "colour=blue", "busybox", "true"]);
        let ids = |words: &[&str]| cli.ok(&[&["ps", "-a", "-q", "--no-trunc"], words].concat());
        assert_eq!(ids(&["--filter", "label=colour=red"]), red);
        assert_eq!(ids(&["--filter", "name=blu"]), blue);
        assert_eq!(ids(&["--filter", "status=created"]), blue);
        assert_eq!(ids(&["--filter", &format!("id={}", &red[..8])]), red);
        assert_eq!(ids(&["--filter", "ancestor=busybox"]), format!("{blue}\n{red}"), "the newest stands first");
        assert_eq!(ids(&["--filter", "status=exited"]), "");
        assert_eq!(ids(&["-l"]), blue);
        assert_eq!(cli.ok(&["ps", "-q"]), red[..12]);
    }

    /// E6
    fn logs_keep_both_streams_apart_by_name_or_by_the_start_of_the_id(_node, cli) needs ["busybox"] {
        let id = cli.ok(&["run", "-d", "--name", "talks", "busybox", "sh", "-c", "echo out; echo err >&2; echo out2"]);
        cli.ok(&["wait", "talks"]);
        for name in ["talks", &id, &id[..12], &id[..5]] {
            let said = cli.run(&["logs", name]);
            assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "out\nout2\n", "err\n"), "{name}");
        }
    }

    /// E6
    fn logs_begin_where_tail_and_since_say_and_show_times(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "--name", "counts", "busybox", "sh", "-c", "seq 1 5; sleep 1.2; seq 6 10"]);
        assert_eq!(cli.ok(&["logs", "--tail", "2", "counts"]), "9\n10");
        assert_eq!(cli.ok(&["logs", "-n", "0", "counts"]), "");
        let stamped = cli.ok(&["logs", "-t", "counts"]);
        let lines: Vec<&str> = stamped.lines().collect();
        assert_eq!(lines.len(), 10);
        let times: Vec<&str> = lines.iter().map(|line| line.split_once(' ').unwrap().0).collect();
        assert!(times.iter().all(|time| time.len() == 30 && time.ends_with('Z') && time.as_bytes()[10] == b'T'), "{stamped}");
        assert!(lines[5].ends_with(" 6"));
        assert_eq!(cli.ok(&["logs", "--since", times[5], "counts"]), "6\n7\n8\n9\n10");
        assert_eq!(cli.ok(&["logs", "--until", times[4], "counts"]), "1\n2\n3\n4\n5");
        assert_eq!(cli.ok(&["logs", "--since", "1h", "--tail", "1", "counts"]), "10");
    }

    /// E6
    fn logs_are_followed_until_the_container_ends(_node, cli) needs ["busybox"] {
        let script = "echo first; while ! [ -e /go ]; do sleep 0.02; done; echo last";
        cli.ok(&["run", "-d", "--name", "follow", "busybox", "sh", "-c", script]);
        let mut follower = cli.spawn(&["logs", "-f", "follow"]);
        until("the first line is logged", || cli.run(&["logs", "follow"]).out.contains("first").then_some(()));
        assert!(follower.is_running());
        cli.ok(&["exec", "follow", "touch", "/go"]);
        let said = follower.finish();
        assert_eq!((said.code, said.out.as_str()), (0, "first\nlast\n"));
    }

    /// E8
    fn inspect_shows_the_address_as_docker_does(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "here", "busybox", "sleep", "1000"]);
        let shown = cli.ok(&["inspect", "here"]);
        let parsed: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let settings = &parsed[0]["NetworkSettings"];
        let bridge = &settings["Networks"]["bridge"];
        let address = bridge["IPAddress"].as_str().unwrap();
        assert!(address.parse::<std::net::Ipv4Addr>().is_ok(), "{shown}");
        assert!(bridge["Gateway"].as_str().unwrap().parse::<std::net::Ipv4Addr>().is_ok());
        assert!(bridge["IPPrefixLen"].as_u64().is_some_and(|length| (8..=30).contains(&length)));
        assert_eq!(bridge["GlobalIPv6Address"], "");
        assert_eq!(bridge["MacAddress"].as_str().unwrap().len(), 17);
        let inside = cli.ok(&["exec", "here", "ip", "-o", "-4", "addr", "show", "eth0"]);
        assert!(inside.contains(&format!("{address}/{}", bridge["IPPrefixLen"])), "{inside}");
        assert_eq!(cli.inspect("here", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"), address);
        for word in ["\"IPAddress\"", "\"IPPrefixLen\"", "\"Gateway\"", "\"GlobalIPv6Address\""] {
            assert!(shown.contains(word), "{word}");
        }
    }

    /// E10
    fn top_shows_the_hosts_view_of_the_processes(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "busy", "busybox", "sh", "-c", "sleep 4321 & exec sleep 1234"]);
        let pid = cli.inspect("busy", "{{.State.Pid}}");
        let table = until("both processes run", || {
            let table = cli.ok(&["top", "busy"]);
            (table.contains("sleep 4321") && table.contains("sleep 1234")).then_some(table)
        });
        let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(head, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        let line = table.lines().find(|line| line.contains("sleep 1234")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[0], words[1]), ("root", pid.as_str()));
        assert_eq!(table.lines().count(), 3, "{table}");
    }

    /// E11
    fn stats_show_one_line_of_figures(_node, cli) needs ["busybox"] {
        let id = cli.ok(&["run", "-d", "--name", "still", "busybox", "sleep", "1000"]);
        let table = cli.ok(&["stats", "--no-stream"]);
        let head = "CONTAINER ID,NAME,CPU %,MEM USAGE / LIMIT,MEM %,NET I/O,BLOCK I/O,PIDS";
        assert_eq!(columns(&table).join(","), head);
        let line = table.lines().nth(1).unwrap();
        assert!(line.starts_with(&id[..12]) && line.contains("still"), "{line}");
        assert_eq!(line.matches('%').count(), 2, "{line}");
        assert!(line.contains("iB / ") && line.trim_end().ends_with('1'), "one process: {line}");
        let used = cli.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}}|{{.PIDs}}", "still"]);
        assert!(!used.starts_with("0B /"), "{used}");
    }

    /// E11
    fn stats_go_on_until_the_client_is_interrupted(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "still", "busybox", "sleep", "1000"]);
        let mut client = cli.spawn(&["stats", "--format", "{{.Name}}"]);
        assert!(client.is_running());
        client.signal(rustix::process::Signal::INT);
        let _ = client.finish();
    }

    /// E12
    fn a_container_is_an_ordinary_process_of_the_host(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "plain", "-e", "MARK=here", "busybox", "sleep", "31415"]);
        let pid = cli.inspect("plain", "{{.State.Pid}}");
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert_eq!(String::from_utf8_lossy(&words).replace('\0', " ").trim(), "sleep 31415");
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(String::from_utf8_lossy(&environment).split('\0').any(|line| line == "MARK=here"));
        for space in ["pid", "net", "mnt", "ipc", "uts"] {
            let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{space}")).unwrap();
            assert_ne!(of(&pid), of("self"), "the {space} namespace is the host's");
        }
        let user = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
        assert_eq!(user(&pid), user("self"));
    }

    fn inspect_tells_times_and_states_in_order(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "--name", "past", "busybox", "true"]);
        let times = cli.inspect("past", "{{.Created}} {{.State.StartedAt}} {{.State.FinishedAt}}");
        let times: Vec<&str> = times.split(' ').collect();
        assert!(times.len() == 3 && times.is_sorted(), "{times:?}");
        assert_eq!(cli.inspect("past", "{{.Path}} {{.Args}} {{.Config.Image}} {{.State.Pid}}"), "true [] busybox 0");
    }

    fn ps_shows_the_size_of_what_was_written(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "--name", "wrote", "busybox", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=3"]);
        let line = until_within(std::time::Duration::from_secs(10), "the size is shown", || {
            Some(cli.ok(&["ps", "-a", "-s", "--format", "{{.Size}}"]))
        });
        assert!(line.starts_with("3.15MB (virtual "), "{line}");
    }
}
