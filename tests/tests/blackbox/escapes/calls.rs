//! Ways out through the kernel: calls that it answers, processes that it shows, keys and sockets that are no files.

use std::fs;

use blackbox::{rows, until};

use super::{answer, probe, probe_volume};

rows! {
    /// CVE-2022-0185 and its kin: the calls in which holes were found are not reached, with or without a user namespace.
    fn calls_that_a_container_has_no_business_with_are_refused(_node, cli) needs ["busybox"] {
        let said = probe(&cli, &[], &["calls"]);
        assert_eq!(said.code, 0, "{said:?}");
        let reached: Vec<&str> = said.out.lines().filter(|line| !line.ends_with(" EPERM")).collect();
        assert!(reached.is_empty() && said.out.lines().count() > 40, "{reached:?} of {said:?}");
        let line = "unshare -U -r /probe calls | grep fsopen; unshare -U true && echo made";
        let said = cli.run(&["run", "--rm", "-v", &probe_volume(), "busybox", "sh", "-c", line]);
        assert!(!said.out.contains("made") && !said.out.contains("fsopen"), "{said:?}");
    }

    /// A session keyring is inherited: two containers of one engine would hold each other's keys, and the engine's.
    fn keys_of_one_container_are_not_found_in_another(_node, cli) needs ["busybox"] {
        let refused = probe(&cli, &[], &["add-key", "bocage-test"]);
        assert_eq!(answer(&refused.out, "add-key"), "EPERM", "{refused:?}");
        let open = ["--security-opt", "seccomp=unconfined"];
        cli.ok(&[&["run", "-d", "--name", "one", "-v", &probe_volume()], &open[..], &["busybox", "sh", "-c", "/probe keyring; /probe add-key bocage-test; exec sleep 1000"]].concat());
        let log = until("the key was added", || Some(cli.run(&["logs", "one"]).out).filter(|log| log.contains("add-key")));
        assert!(answer(&log, "add-key").parse::<u32>().is_ok(), "{log}");
        let other = probe(&cli, &open, &["keyring"]);
        assert_ne!(answer(&other.out, "keyring"), answer(&log, "keyring"), "both have one keyring");
        let found = probe(&cli, &open, &["find-key", "bocage-test"]);
        assert_eq!(answer(&found.out, "find-key"), "ENOKEY", "{found:?}");
        // A command that enters has a keyring of its own too.
        let entered = cli.ok(&["exec", "one", "/probe", "keyring"]);
        assert_ne!(answer(&entered, "keyring"), answer(&log, "keyring"));
        cli.ok(&["rm", "-f", "one"]);
    }

    /// Memory of others is neither read nor traced: they are not even seen.
    fn processes_of_the_host_and_of_neighbours_cannot_be_traced(node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "other", "busybox", "sleep", "1000"]);
        let other: u32 = cli.inspect("other", "{{.State.Pid}}").parse().unwrap();
        let own = std::process::id();
        for pid in [other, own, node.pid().unwrap()] {
            let said = probe(&cli, &[], &["attach", &pid.to_string()]);
            assert_eq!(answer(&said.out, "attach"), "ESRCH", "{said:?}");
            let said = probe(&cli, &[], &["peek", &pid.to_string(), "4194304"]);
            assert_eq!((answer(&said.out, "process_vm_readv"), answer(&said.out, "mem")), ("ESRCH", "ENOENT"), "{said:?}");
        }
        // Who shares the host's processes sees them, and still has too few capabilities to trace what is the engine's.
        let shim = parent_of(other).to_string();
        for pid in [own.to_string(), node.pid().unwrap().to_string(), shim] {
            let said = probe(&cli, &["--pid", "host"], &["attach", &pid]);
            assert_eq!(answer(&said.out, "attach"), "EPERM", "{said:?}");
            let said = probe(&cli, &["--pid", "host"], &["peek", &pid, "4194304"]);
            assert_eq!((answer(&said.out, "process_vm_readv"), answer(&said.out, "mem")), ("EPERM", "EACCES"), "{said:?}");
        }
        cli.ok(&["rm", "-f", "other"]);
    }

    /// CVE-2020-15257: sockets without a file are reached by whoever shares the host's network.
    fn nothing_of_the_engine_listens_on_a_socket_without_a_file(node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "here", "--network", "host", "busybox", "sleep", "1000"]);
        let own: u32 = cli.inspect("here", "{{.State.Pid}}").parse().unwrap();
        let mut all = vec![node.pid().unwrap(), own, parent_of(own)];
        all.extend(blackbox::processes_with_file_below(node.exec_root().parent().unwrap()));
        let sockets: Vec<String> = all.iter().flat_map(|pid| sockets_of(*pid)).collect();
        assert!(!sockets.is_empty(), "the daemon has a socket at least");
        let inside = cli.ok(&["exec", "here", "cat", "/proc/net/unix"]);
        assert!(inside.contains("bocage.sock"), "the host's sockets are shown there: {inside}");
        for line in inside.lines().filter(|line| line.contains(" @")) {
            let inode = line.split_whitespace().nth(6).unwrap_or_default();
            assert!(!sockets.iter().any(|socket| socket == inode), "{line}");
        }
        // The files that do stand for sockets are below a folder that no container has.
        let said = cli.run(&["exec", "here", "ls", &node.exec_root().to_string_lossy()]);
        assert_ne!(said.code, 0, "{said:?}");
        cli.ok(&["rm", "-f", "here"]);
    }

    /// A key of the machine's console, as a file.
    fn the_machine_is_not_restarted_from_inside(_node, cli) needs ["busybox"] {
        if !fs::exists("/proc/sysrq-trigger").unwrap() {
            blackbox::skip("this kernel has no /proc/sysrq-trigger");
        }
        // `h` would only print a help text into the kernel's log.
        let said = cli.run(&["run", "--rm", "busybox", "sh", "-c", "echo h > /proc/sysrq-trigger"]);
        assert_ne!(said.code, 0, "{said:?}");
        let said = cli.run(&["run", "--rm", "busybox", "sh", "-c", "echo 1 > /proc/sys/kernel/printk"]);
        assert!(said.code != 0 && said.err.contains("Read-only file system"), "{said:?}");
    }
}

/// The process that started another: of a container's first one, its shim.
fn parent_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in brackets may hold anything; behind it stand the state and the parent.
    stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The inodes of the sockets that a process has open.
fn sockets_of(pid: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = open.filter_map(|entry| fs::read_link(entry.path()).ok()?.to_str().map(str::to_owned));
    links.filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect()
}
