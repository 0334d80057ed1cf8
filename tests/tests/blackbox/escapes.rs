//! Row R8, further: ways out of a container that were found in other engines do not lead out of this one.
//!
//! Each attack is made as its finder described it; what is asserted is that the host is as it was. A container that does not even
//! start is as good as one that starts and finds nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use blackbox::{Cli, binary, rows, until};

/// The bytes of the program under test, as a number that another program's bytes would not give.
fn digest(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap().to_owned()
}

/// Makes an image `hostile` of the busybox image's files and of links that lead out of it.
fn image_with_links(cli: &Cli, home: &Path, links: &[(&str, &Path)]) {
    let root = home.join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    let mount = format!("{}:/out", root.display());
    cli.ok(&["run", "--rm", "-v", &mount, "busybox", "cp", "-a", "/bin", "/out/"]);
    for (name, target) in links {
        symlink(target, root.join(name)).unwrap();
    }
    let file = home.join("hostile.tar");
    let tar = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&file).arg(".").status().unwrap();
    assert!(tar.success());
    cli.ok(&["import", &file.to_string_lossy(), "hostile:latest"]);
}

/// A folder of the host that no container may touch.
fn victim(home: &Path) -> PathBuf {
    let victim = home.join("victim");
    fs::create_dir(&victim).unwrap();
    victim
}

/// Nothing was made in the folder, and nothing is mounted there.
fn is_untouched(folder: &Path) {
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "something was made in {}", folder.display());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*folder.to_string_lossy()), "something is mounted: {mounts}");
}

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
}
