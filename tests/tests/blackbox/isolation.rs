//! Rows R3, R4, R5, R8, R9: what a container sees of the machine, and what it may do.

use std::fs;

use blackbox::{Cli, rows, until};

/// What a shell line prints in a new container with these flags.
fn inside(cli: &Cli, flags: &[&str], line: &str) -> String {
    cli.ok(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", line]].concat())
}

/// A field of `/proc/self/status`.
fn status(cli: &Cli, flags: &[&str], field: &str) -> String {
    let text = inside(cli, flags, "cat /proc/self/status");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

fn namespace(space: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{space}")).unwrap().to_string_lossy().into_owned()
}

rows! {
    /// R3
    fn a_container_has_loopback_and_one_link_to_the_bridge(_node, cli) needs ["busybox"] {
        let mut terminal = cli.terminal(&["run", "-it", "--rm", "alpine", "ip", "addr", "show"]);
        terminal.expect("lo:");
        terminal.expect("eth0@if");
        terminal.expect("inet ");
        let shown = terminal.shown();
        assert_eq!(terminal.finish(), 0);
        assert!(!shown.contains("boc-"), "{shown}");
        let links = inside(&cli, &[], "ip -o link | wc -l");
        assert_eq!(links, "2");
        assert_eq!(inside(&cli, &["--network", "none"], "ip -o link | wc -l"), "1");
    }

    /// R4
    fn namespaces_of_the_host_are_shared_when_asked_for(_node, cli) needs ["busybox"] {
        for (flag, space) in [("--net=host", "net"), ("--pid=host", "pid"), ("--ipc=host", "ipc"), ("--uts=host", "uts")] {
            let line = format!("readlink /proc/self/ns/{space}");
            assert_eq!(inside(&cli, &[flag], &line), namespace(space), "{flag}");
            assert_ne!(inside(&cli, &[], &line), namespace(space));
        }
        let host = fs::read_dir("/sys/class/net").unwrap().count();
        let seen = inside(&cli, &["--net=host"], "ls /sys/class/net | wc -l");
        // Other tests make and remove links at the same time; a container of its own has two.
        assert!(seen.parse::<usize>().unwrap() > 2 || host <= 2, "{seen} of {host} links");
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(inside(&cli, &["--uts=host"], "hostname"), name.trim());
    }

    /// R5
    fn namespaces_of_another_container_are_shared(_node, cli) needs ["nginx", "busybox"] {
        cli.ok(&["run", "-d", "--name", "http", "nginx"]);
        let page = until("nginx answers on the other's loopback", || {
            let words = ["run", "--rm", "--net=container:http", "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1/"];
            let said = cli.run(&words);
            (said.code == 0).then_some(said.out)
        });
        assert!(page.contains("nginx"), "{page}");
        let seen = inside(&cli, &["--pid=container:http"], "ps -o pid,args");
        assert!(seen.contains("nginx: master"), "{seen}");
        let joined = inside(&cli, &["--net=container:http"], "hostname");
        assert_eq!(joined, cli.inspect("http", "{{.Config.Hostname}}"), "the name belongs to the network's owner");
    }

    /// R8
    fn a_default_container_is_contained(_node, cli) needs ["busybox"] {
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(status(&cli, &[], set), "00000000a80425fb", "{set}: Docker's fourteen");
        }
        assert_eq!(status(&cli, &[], "CapAmb"), "0000000000000000");
        assert_eq!(status(&cli, &[], "Seccomp"), "2");
        // A root made by pivot_root has no mount of the host above or beside it.
        let mounts = inside(&cli, &[], "cat /proc/self/mountinfo");
        let roots: Vec<&str> = mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/")).collect();
        assert_eq!(roots.len(), 1, "nothing lies below the root: {mounts}");
        assert!(roots[0].contains(" / / ") && roots[0].contains(" - overlay "), "{mounts}");
    }

    /// R8
    fn dangerous_paths_are_masked_or_read_only(_node, cli) needs ["busybox"] {
        for masked in ["/proc/kcore", "/proc/keys", "/proc/timer_list"] {
            assert_eq!(inside(&cli, &[], &format!("[ -e {masked} ] && head -c 1 {masked} | wc -c || echo 0")), "0", "{masked}");
        }
        for folder in ["/proc/acpi", "/sys/firmware"] {
            assert_eq!(inside(&cli, &[], &format!("ls -A {folder} 2>/dev/null | wc -l")), "0", "{folder}");
        }
        for path in ["/proc/sys/kernel/domainname", "/proc/sysrq-trigger", "/sys/kernel/mm/ksm/run"] {
            let said = cli.run(&["run", "--rm", "busybox", "sh", "-c", &format!("echo 0 > {path}")]);
            assert_ne!(said.code, 0, "{path} could be written");
            assert!(said.err.contains("Read-only") || said.err.contains("nonexistent"), "{path}: {said:?}");
        }
        let refused = cli.run(&["run", "--rm", "busybox", "mount", "-t", "tmpfs", "none", "/tmp"]);
        assert_ne!(refused.code, 0, "a default container mounts nothing");
        let refused = cli.run(&["run", "--rm", "busybox", "unshare", "-m", "true"]);
        assert_ne!(refused.code, 0, "a default container makes no namespace");
    }

    /// R8
    fn devices_are_the_few_that_docker_makes(_node, cli) needs ["busybox"] {
        let names = inside(&cli, &[], "ls /dev");
        for name in ["null", "zero", "full", "random", "urandom", "tty", "pts", "ptmx", "shm", "fd", "stdin", "stdout", "mqueue"] {
            assert!(names.lines().any(|line| line == name), "{name} is missing in {names}");
        }
        assert!(!names.contains("vda") && !names.contains("sda") && !names.contains("kmsg"), "{names}");
        let made = cli.run(&["run", "--rm", "busybox", "sh", "-c", "mknod /disk b 254 0 && head -c 1 /disk"]);
        assert_ne!(made.code, 0, "the disk of the host can be read");
        assert_eq!(inside(&cli, &[], "echo x > /dev/null && head -c 3 /dev/zero | wc -c"), "3");
    }

    /// R8
    fn names_of_the_container_stand_in_its_files(_node, cli) needs ["busybox"] {
        let flags = ["-h", "field", "--add-host", "oak:10.1.2.3", "--dns", "192.0.2.53", "--dns-search", "bocage.example"];
        let hosts = inside(&cli, &flags, "cat /etc/hosts");
        assert!(hosts.contains("127.0.0.1\tlocalhost") && hosts.contains("10.1.2.3\toak"), "{hosts}");
        assert!(hosts.lines().any(|line| line.ends_with("\tfield")), "{hosts}");
        assert_eq!(inside(&cli, &flags, "cat /etc/hostname; hostname"), "field\nfield");
        let resolver = inside(&cli, &flags, "cat /etc/resolv.conf");
        assert!(resolver.contains("nameserver 192.0.2.53") && resolver.contains("search bocage.example"), "{resolver}");
    }

    /// R9
    fn capabilities_are_added_and_dropped(_node, cli) needs ["busybox"] {
        assert_eq!(status(&cli, &["--cap-add", "NET_ADMIN"], "CapEff"), "00000000a80435fb");
        assert_eq!(status(&cli, &["--cap-drop", "ALL"], "CapEff"), "0000000000000000");
        assert_eq!(status(&cli, &["--cap-drop", "ALL", "--cap-add", "CHOWN"], "CapEff"), "0000000000000001");
        let refused = cli.run(&["run", "--rm", "--cap-add", "FLYING", "busybox", "true"]);
        assert!(refused.code == 125 && refused.err.contains("FLYING"), "{refused:?}");
    }

    /// R9
    fn a_privileged_container_has_it_all(_node, cli) needs ["busybox"] {
        let own = fs::read_to_string("/proc/self/status").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim().to_owned();
        assert_eq!(status(&cli, &["--privileged"], "CapEff"), own, "all that the daemon has");
        assert_eq!(status(&cli, &["--privileged"], "Seccomp"), "0");
        assert_eq!(inside(&cli, &["--privileged"], "mount -t tmpfs none /tmp && echo mounted"), "mounted");
        assert_eq!(inside(&cli, &["--privileged"], "[ -w /proc/sys/kernel/domainname ] && echo yes"), "yes");
    }

    /// R9
    fn security_options_change_what_is_filtered(_node, cli) needs ["busybox"] {
        assert_eq!(status(&cli, &["--security-opt", "seccomp=unconfined"], "Seccomp"), "0");
        assert_eq!(status(&cli, &["--security-opt", "no-new-privileges"], "NoNewPrivs"), "1");
        assert_eq!(status(&cli, &[], "NoNewPrivs"), "0");
    }

    /// R9
    fn a_read_only_root_can_be_written_in_its_tmpfs_only(_node, cli) needs ["busybox"] {
        let flags = ["--read-only", "--tmpfs", "/run:rw,size=1m,mode=1777"];
        let said = cli.run(&[&["run", "--rm"], &flags[..], &["busybox", "touch", "/file"]].concat());
        assert!(said.code != 0 && said.err.contains("Read-only file system"), "{said:?}");
        assert_eq!(inside(&cli, &flags, "touch /run/file && grep ' /run ' /proc/mounts | grep -c size=1024k"), "1");
    }

    /// R9
    fn a_user_is_taken_by_number_and_by_name(_node, cli) needs ["busybox"] {
        assert_eq!(inside(&cli, &["-u", "1234:4321"], "id -u; id -g"), "1234\n4321");
        assert_eq!(inside(&cli, &["-u", "nobody"], "id -u; id -g"), "65534\n65534");
        assert_eq!(inside(&cli, &["-u", "1234", "--group-add", "777"], "id -G"), "0 777");
        assert_eq!(status(&cli, &["-u", "1234"], "CapEff"), "0000000000000000", "an ordinary user has no capability in effect");
        let refused = cli.run(&["run", "--rm", "-u", "nosuch", "busybox", "true"]);
        assert!(refused.code != 0 && refused.err.contains("nosuch"), "{refused:?}");
    }

    /// R9
    fn devices_limits_and_kernel_settings_are_set(_node, cli) needs ["busybox"] {
        assert_eq!(inside(&cli, &["--device", "/dev/null:/dev/nothing"], "[ -c /dev/nothing ] && echo x > /dev/nothing && echo ok"), "ok");
        assert_eq!(inside(&cli, &["--shm-size", "1m"], "df -k /dev/shm | tail -n 1 | awk '{print $2}'"), "1024");
        assert_eq!(inside(&cli, &[], "df -k /dev/shm | tail -n 1 | awk '{print $2}'"), "65536");
        assert_eq!(inside(&cli, &["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward"), "1");
        assert_eq!(inside(&cli, &["--ulimit", "nofile=123:456"], "ulimit -Sn; ulimit -Hn"), "123\n456");
        let refused = cli.run(&["run", "--rm", "--sysctl", "kernel.printk_ratelimit=5", "busybox", "true"]);
        assert_ne!(refused.code, 0, "a setting of the whole machine is refused: {refused:?}");
    }

    /// R9
    fn init_is_process_one(_node, cli) needs ["busybox"] {
        assert_eq!(inside(&cli, &[], "cat /proc/1/comm"), "cat");
        assert_ne!(inside(&cli, &["--init"], "cat /proc/1/comm"), "cat");
        assert_eq!(cli.run(&["run", "--rm", "--init", "busybox", "sh", "-c", "exit 8"]).code, 8);
    }

    fn labels_and_annotations_are_kept_and_shown(_node, cli) needs ["busybox"] {
        cli.ok(&["create", "--name", "marked", "--label", "a=b", "--label", "empty", "busybox"]);
        assert_eq!(cli.inspect("marked", "{{index .Config.Labels \"a\"}}-{{index .Config.Labels \"empty\"}}"), "b-");
    }
}
