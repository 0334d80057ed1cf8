//! Ways out through files: links of an image, the working folder, open descriptors, names that are exchanged in the middle.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use blackbox::{binary, rows, until};

use super::{digest, image_with_links, is_untouched, probe_volume, victim};

rows! {
    /// CVE-2024-21626: a working folder that is a descriptor which leaked into the container.
    fn a_descriptor_of_the_host_is_no_working_folder(node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "here", "busybox", "sleep", "1000"]);
        let mark = node.home().join("mark");
        fs::write(&mark, "").unwrap();
        for number in 3..16 {
            let folder = format!("/proc/self/fd/{number}");
            for words in [&["run", "--rm", "-w", &folder, "busybox"][..], &["exec", "-w", &folder, "here"]] {
                // Up from the folder to its root, wherever that is, and from there to a file that only the host has.
                let line = format!("cd ../../../../../../../../.. 2>/dev/null; ls .{} && echo outside", mark.display());
                let said = cli.run(&[words, &["sh", "-c", &line]].concat());
                assert!(!said.out.contains("outside"), "{folder}: {said:?}");
            }
        }
        cli.ok(&["rm", "-f", "here"]);
    }

    /// CVE-2024-21626: nothing but the three streams is open in a command.
    fn a_command_has_the_three_streams_and_no_other_descriptor(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "here", "busybox", "sleep", "1000"]);
        // The fourth is the folder that `ls` itself reads.
        for words in [&["run", "--rm", "busybox"][..], &["run", "--rm", "--privileged", "busybox"], &["run", "--rm", "--init", "busybox"], &["exec", "here"]] {
            let open = cli.ok(&[words, &["ls", "/proc/self/fd"]].concat());
            assert_eq!(open.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"], "{words:?}");
        }
        let own = cli.inspect("here", "{{.State.Pid}}");
        let open: Vec<_> = fs::read_dir(format!("/proc/{own}/fd")).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(open.len(), 3, "{open:?}");
        cli.ok(&["rm", "-f", "here"]);
    }

    /// CVE-2019-5736: a command that is the very program which entered the container, opened again to be written.
    fn no_program_of_the_host_can_be_written_from_inside(_node, cli) needs ["busybox"] {
        let before = digest(&binary());
        let script = "printf '#!/proc/self/exe\\n' > /bin/again; chmod 755 /bin/again; echo ready; \
                      for i in $(seq 400); do for exe in /proc/[0-9]*/exe; do \
                      [ $exe = /proc/1/exe ] || (echo overwritten > $exe) 2>/dev/null; done; done; exec sleep 1000";
        cli.ok(&["run", "-d", "--name", "evil", "busybox", "sh", "-c", script]);
        until("the attacker waits", || cli.run(&["logs", "evil"]).out.contains("ready").then_some(()));
        for _ in 0..10 {
            // Ends in a loop of interpreters or runs the shell again: both are as good. It must not reach the host.
            let _ = cli.run(&["exec", "evil", "/bin/again"]);
            assert_ne!(cli.run(&["exec", "evil", "true"]).code, 125);
        }
        assert_eq!(digest(&binary()), before, "the program of the host was overwritten");
        assert_eq!(cli.run(&["run", "--rm", "busybox", "echo", "works"]).out, "works\n");
        cli.ok(&["rm", "-f", "evil"]);
    }

    /// CVE-2021-30465 and its kin: links of the image at the places where the engine mounts and writes.
    fn links_of_an_image_lead_nowhere(node, cli) needs ["busybox"] {
        let home = node.home();
        let (victim, given) = (victim(&home), home.join("given"));
        fs::create_dir(&given).unwrap();
        let links = [("tmp", &*victim), ("data", &*victim), ("up", Path::new("../../../../../../../../..")), ("run-too", Path::new("/run"))];
        image_with_links(&cli, &home, &links);
        let volume = |place: &str| format!("{}:{place}", given.display());
        let below_up = volume(&format!("/up{}", victim.display()));
        let flags: [&[&str]; 5] = [
            &["-v", &volume("/data")],
            &["-v", &volume("/data/deep/er")],
            &["-v", &below_up],
            &["--tmpfs", "/tmp/new"],
            &["-w", "/data/work"],
        ];
        for flags in flags {
            let said = cli.run(&[&["run", "--rm"], flags, &["hostile", "sh", "-c", "echo x > /data/file; true"]].concat());
            is_untouched(&victim);
            assert!(said.code == 0 || !said.err.is_empty(), "{said:?}");
        }
        // A link that stays inside is followed there.
        let mounts = cli.ok(&["run", "--rm", "-v", &volume("/run-too/app"), "hostile", "cat", "/proc/self/mountinfo"]);
        assert!(mounts.contains(" /run/app "), "{mounts}");
    }

    /// The same, where the engine writes its own files.
    fn links_of_an_image_in_place_of_etc_lead_nowhere(node, cli) needs ["busybox"] {
        let home = node.home();
        let victim = victim(&home);
        image_with_links(&cli, &home, &[("etc", &*victim)]);
        let said = cli.run(&["run", "--rm", "hostile", "sh", "-c", "echo x > /etc/file; true"]);
        is_untouched(&victim);
        assert!(said.code == 0 || !said.err.is_empty(), "{said:?}");
    }

    /// CVE-2019-16884: a volume over `/proc`, by name or by a link of the image, would hide what is masked there.
    fn nothing_is_mounted_over_proc(node, cli) needs ["busybox"] {
        let home = node.home();
        let given = home.join("given");
        fs::create_dir(&given).unwrap();
        image_with_links(&cli, &home, &[("mnt", Path::new("/proc"))]);
        for place in ["/proc", "/mnt", "/proc/sys", "/mnt/sys"] {
            let said = cli.run(&["run", "--rm", "-v", &format!("{}:{place}", given.display()), "hostile", "true"]);
            assert!(said.code > 124 && said.err.contains("/proc"), "{place}: {said:?}");
        }
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
    }

    /// CVE-2025-31133 and its kin: `/dev` and `/proc` themselves are links.
    fn an_image_whose_proc_and_dev_are_links_masks_nothing_of_the_host(node, cli) needs ["busybox"] {
        let home = node.home();
        let victim = victim(&home);
        let links = [("dev", &*victim), ("proc", &*victim), ("sys", &*victim)];
        image_with_links(&cli, &home, &links);
        let said = cli.run(&["run", "--rm", "hostile", "echo", "started"]);
        is_untouched(&victim);
        assert!(said.code != 0 || said.out == "started\n", "{said:?}");
        let null = fs::metadata("/dev/null").unwrap();
        assert!(std::os::unix::fs::FileTypeExt::is_char_device(&null.file_type()), "/dev/null of the host is as it was");
    }

    /// CVE-2019-5736: the first command itself is a script whose interpreter is the program that starts it.
    fn a_first_command_that_is_the_program_which_enters_reaches_nothing(node, cli) needs ["busybox"] {
        let home = node.home();
        let before = digest(&binary());
        image_with_links(&cli, &home, &[("entry-link", Path::new("/proc/self/exe"))]);
        let script = home.join("entry");
        fs::write(&script, "#!/proc/self/exe\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let volume = format!("{}:/entry:ro", script.display());
        for flags in [&["-v", &volume, "hostile", "/entry"][..], &["hostile", "/entry-link"], &["hostile", "/proc/self/exe", "daemon"]] {
            let said = cli.run(&[&["run", "--rm"], flags].concat());
            assert_ne!(said.code, 0, "{said:?}");
        }
        assert_eq!(digest(&binary()), before, "the program of the host was overwritten");
        assert_eq!(cli.run(&["run", "--rm", "busybox", "echo", "works"]).out, "works\n");
    }

    /// CVE-2021-30465: one container exchanges, for as long as the others start, the folder in their shared volume that the engine
    /// mounts on with a link to the host.
    fn names_that_are_exchanged_while_a_neighbour_starts_lead_nowhere(node, cli) needs ["busybox"] {
        let home = node.home();
        let (victim, shared, given) = (victim(&home), home.join("shared"), home.join("given"));
        fs::create_dir_all(shared.join("folder")).unwrap();
        fs::create_dir(&given).unwrap();
        symlink(&victim, shared.join("link")).unwrap();
        let (shared, tool) = (format!("{}:/shared", shared.display()), probe_volume());
        cli.ok(&["run", "-d", "--name", "evil", "-v", &shared, "-v", &tool, "busybox", "/probe", "exchange", "/shared/folder", "/shared/link"]);
        let volume = format!("{}:/shared/folder/deep", given.display());
        for _ in 0..10 {
            // A target that is never twice the same thing may be refused; it must not be found outside.
            let said = cli.run(&["run", "--rm", "-v", &shared, "-v", &volume, "--tmpfs", "/shared/link/other", "-w", "/shared/folder/work", "busybox", "true"]);
            assert!(said.code == 0 || !said.err.is_empty(), "{said:?}");
            is_untouched(&victim);
        }
        cli.ok(&["rm", "-f", "evil"]);
    }

    /// CVE-2018-15664: a file is copied out while the container exchanges its folder with a link to the host's.
    fn a_copy_never_leaves_the_container(node, cli) needs ["busybox"] {
        let home = node.home();
        let secrets = home.join("secrets");
        fs::create_dir(&secrets).unwrap();
        fs::write(secrets.join("file"), "the host's").unwrap();
        let script = format!("mkdir /folder; echo own > /folder/file; ln -s {} /link; exec /probe exchange /folder /link", secrets.display());
        cli.ok(&["run", "-d", "--name", "evil", "-v", &probe_volume(), "busybox", "sh", "-c", &script]);
        let outside = format!("evil:{}/file", secrets.display());
        let said = cli.run(&["cp", &outside, &home.join("outside").to_string_lossy()]);
        assert!(said.code == 1 && said.err.contains("Could not find"), "a path of the host was found: {said:?}");
        for turn in 0..20 {
            let got = home.join(format!("got{turn}"));
            // The folder may be the link at this moment, which leads to nothing in the container.
            let _ = cli.run(&["cp", "evil:/folder/file", &got.to_string_lossy()]);
            assert!(fs::read_to_string(&got).map_or(true, |text| !text.contains("host")), "a file of the host was copied");
            let _ = cli.run(&["cp", &probe_file(&home), "evil:/folder/new"]);
            assert_eq!(fs::read_dir(&secrets).unwrap().count(), 1, "a file was copied into a folder of the host");
        }
        cli.ok(&["rm", "-f", "evil"]);
    }

    /// CVE-2025-31133: `/dev/null` of the image is a link, so that what covers a masked file would be something else.
    fn a_null_device_of_the_image_masks_nothing(node, cli) needs ["busybox"] {
        let home = node.home();
        let victim = victim(&home);
        image_with_links(&cli, &home, &[("dev/null", Path::new("/proc/sys/kernel/core_pattern")), ("dev/console", &victim.join("console"))]);
        let line = "stat -c %t:%T /dev/null /proc/keys /proc/timer_list | sort -u; cat /proc/keys; touch /proc/sys/kernel/core_pattern && echo written";
        let said = cli.run(&["run", "--rm", "hostile", "sh", "-c", line]);
        assert_eq!(said.out, "1:3\n", "{said:?}");
        is_untouched(&victim);
    }

    /// CVE-2025-52565: the terminals of the image or of a volume are links to what is masked or read-only.
    fn a_console_is_the_terminal_and_nothing_that_a_link_names(node, cli) needs ["busybox"] {
        let home = node.home();
        let (victim, terminals) = (victim(&home), home.join("terminals"));
        fs::create_dir(&terminals).unwrap();
        for name in ["0", "1", "2", "3", "ptmx"] {
            symlink("/proc/sys/kernel/core_pattern", terminals.join(name)).unwrap();
        }
        let links = [("dev/console", Path::new("/proc/sys/kernel/core_pattern")), ("dev/pts", &*victim), ("dev/ptmx", &*victim)];
        image_with_links(&cli, &home, &links);
        let volume = format!("{}:/dev/pts", terminals.display());
        for flags in [&[][..], &["-v", &volume]] {
            let line = "stat -c console=%t /dev/console; touch /dev/console; echo text > /dev/console; echo end";
            let mut terminal = cli.terminal(&[&["run", "--rm", "-t"], flags, &["hostile", "sh", "-c", line]].concat());
            terminal.expect("end");
            // The major number of terminals is 136.
            assert!(terminal.shown().contains("console=88"), "{}", terminal.shown());
            terminal.finish();
        }
        is_untouched(&victim);
    }

    /// CVE-2025-52881: what the engine writes to `/proc` goes to the kernel, never to a file that stands in its place.
    fn what_is_written_to_proc_is_written_to_the_kernel(node, cli) needs ["busybox"] {
        let home = node.home();
        let victim = victim(&home);
        let (setting, score) = (victim.join("setting"), victim.join("score"));
        let fake = [("proc/sys/net/ipv4/ip_forward", &*setting), ("proc/self/oom_score_adj", &*score), ("proc/self/attr/exec", &*score)];
        image_with_links(&cli, &home, &fake);
        let flags = ["--sysctl", "net.ipv4.ip_forward=1", "--oom-score-adj", "321"];
        let line = "cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj";
        let said = cli.run(&[&["run", "--rm"], &flags[..], &["hostile", "sh", "-c", line]].concat());
        assert_eq!(said.out, "1\n321\n", "{said:?}");
        is_untouched(&victim);
    }
}

/// A file of the host that may be copied.
fn probe_file(home: &Path) -> String {
    let file = home.join("given");
    fs::write(&file, "given").unwrap();
    file.to_string_lossy().into_owned()
}
