//! Volumes with and without names: made, shared, filled, mounted, and removed once nobody has them.

use std::fs;
use std::path::PathBuf;

use blackbox::{Node, rows, until};

/// How often the daemon is killed while it makes a container with a volume.
const KILLS: usize = 8;

/// What lies among the volumes.
fn directories(node: &Node) -> Vec<String> {
    let entries = fs::read_dir(node.data_root().join("volumes")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn data(node: &Node, name: &str) -> PathBuf {
    node.data_root().join("volumes").join(name).join("_data")
}

/// Whether anything is mounted below the volumes.
fn is_mounted(node: &Node) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.contains(&*node.data_root().join("volumes").to_string_lossy())
}

/// Does as little as wanted: a moment that grows with the number.
fn moment(number: usize) {
    for _ in 0..number * 60 {
        std::hint::black_box(fs::metadata("/proc/self/status").is_ok());
    }
}

rows! {
    fn a_volume_is_made_listed_and_removed(_node, cli) needs ["busybox"] {
        assert_eq!(cli.ok(&["volume", "create", "--label", "colour=red", "data"]), "data");
        assert_eq!(cli.ok(&["volume", "create", "data"]), "data", "twice is once");
        let other = cli.run(&["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "data"]);
        assert!(other.code == 1 && other.err.contains("create data: volume name must be unique"), "{other:?}");
        let nameless = cli.ok(&["volume", "create"]);
        assert_eq!(nameless.len(), 64);
        assert_eq!(cli.ok(&["volume", "ls", "-q", "--filter", "label=colour"]), "data");
        assert_eq!(cli.ok(&["volume", "ls", "--format", "{{.Driver}} {{.Name}} {{.Labels}}", "--filter", "name=^data$"]), "local data colour=red");
        assert_eq!(cli.ok(&["volume", "inspect", "-f", "{{.Scope}} {{.Driver}} {{json .Labels}}", "data"]), r#"local local {"colour":"red"}"#);
        assert!(cli.ok(&["volume", "ls"]).starts_with("DRIVER    VOLUME NAME\n"));
        let bad = cli.run(&["volume", "create", "a/b"]);
        assert!(bad.code == 1 && bad.err.contains("includes invalid characters for a local volume name"), "{bad:?}");
        assert_eq!(cli.ok(&["volume", "rm", "data"]), "data");
        let gone = cli.run(&["volume", "rm", "data"]);
        assert!(gone.code == 1 && gone.err.contains("get data: no such volume"), "{gone:?}");
        cli.ok(&["volume", "rm", "-f", "data"]);
        assert!(cli.ok(&["volume", "prune", "-f"]).contains(&nameless));
    }

    fn a_volume_goes_from_one_container_to_the_next_and_is_not_removed_from_under_one(node, cli) needs ["busybox"] {
        cli.ok(&["run", "--rm", "-v", "data:/data", "busybox", "sh", "-c", "echo words > /data/file"]);
        assert_eq!(cli.ok(&["run", "--rm", "-v", "data:/other:ro", "busybox", "cat", "/other/file"]), "words");
        let id = cli.ok(&["create", "-v", "data:/data", "busybox"]);
        for words in [&["volume", "rm", "data"][..], &["volume", "rm", "-f", "data"]] {
            let said = cli.run(words);
            assert!(said.code == 1 && said.err.contains(&format!("remove data: volume is in use - [{id}]")), "{said:?}");
        }
        node.kill();
        node.start_again();
        assert!(cli.run(&["volume", "rm", "data"]).err.contains("is in use"), "the next daemon knows it too");
        assert!(!cli.ok(&["volume", "prune", "-af"]).contains("data"));
        cli.ok(&["rm", "-v", &id]);
        assert_eq!(directories(node), ["data"], "what has a name stays");
        assert!(!cli.ok(&["volume", "prune", "-f"]).contains("data"), "and is not pruned with the others");
        assert!(cli.ok(&["volume", "prune", "-af"]).contains("data"));
        assert_eq!(directories(node), [""; 0]);
    }

    fn volumes_without_a_name_go_with_their_container(node, cli) needs ["busybox"] {
        cli.ok(&["run", "--rm", "-v", "/data", "busybox", "touch", "/data/file"]);
        until("the volume is gone", || directories(node).is_empty().then_some(()));
        cli.ok(&["run", "--name", "first", "-v", "/data", "busybox", "touch", "/data/file"]);
        cli.ok(&["run", "--name", "second", "--volumes-from", "first", "busybox", "test", "-e", "/data/file"]);
        cli.ok(&["rm", "-v", "first"]);
        assert_eq!(directories(node).len(), 1, "the second has it still");
        let said = cli.run(&["run", "--rm", "--volumes-from", "second:ro", "busybox", "touch", "/data/file"]);
        assert!(said.code != 0 && said.err.contains("Read-only"), "{said:?}");
        cli.ok(&["rm", "-v", "second"]);
        assert_eq!(directories(node), [""; 0]);
    }

    fn an_empty_volume_takes_over_what_the_image_has(node, cli) needs ["busybox"] {
        cli.ok(&["create", "--name", "box", "-v", "etc:/etc", "busybox"]);
        let passwd = fs::read_to_string(data(node, "etc").join("passwd")).unwrap();
        assert!(passwd.starts_with("root:"));
        cli.ok(&["rm", "box"]);
        fs::remove_file(data(node, "etc").join("passwd")).unwrap();
        cli.ok(&["run", "--rm", "-v", "etc:/etc", "busybox", "test", "!", "-e", "/etc/passwd"]);
        cli.ok(&["run", "--rm", "-v", "empty:/etc:nocopy", "busybox", "true"]);
        assert_eq!(fs::read_dir(data(node, "empty")).unwrap().count(), 0);
        cli.ok(&["run", "--rm", "-v", "empty:/etc", "busybox", "test", "-e", "/etc/passwd"]);
        cli.ok(&["volume", "rm", "etc", "empty"]);
    }

    fn a_part_of_a_volume_is_mounted(node, cli) needs ["busybox"] {
        cli.ok(&["run", "--rm", "-v", "data:/data", "busybox", "sh", "-c", "mkdir /data/in; echo words > /data/in/file; ln -s ../../../etc /data/out"]);
        let part = |path: &str| format!("type=volume,source=data,target=/x,volume-subpath={path}");
        assert_eq!(cli.ok(&["run", "--rm", "--mount", &part("in"), "busybox", "cat", "/x/file"]), "words");
        let said = cli.run(&["run", "--rm", "--mount", &part("none"), "busybox", "true"]);
        assert!(said.code != 0 && said.err.contains("no such file or directory"), "{said:?}");
        let said = cli.run(&["run", "--rm", "--mount", &part("../data"), "busybox", "true"]);
        assert!(said.code == 125 && said.err.contains("stays in the volume"), "{said:?}");
        // A link that leads out of the volume leads to nothing, be there an /etc on this machine or not.
        assert_ne!(cli.run(&["run", "--rm", "--mount", &part("out"), "busybox", "true"]).code, 0);
        assert_eq!(directories(node), ["data"]);
        cli.ok(&["volume", "rm", "data"]);
    }

    fn an_image_is_mounted_and_stays_while_its_container_does(_node, cli) needs ["busybox"] {
        cli.ok(&["create", "--name", "made", "busybox"]);
        cli.ok(&["commit", "-c", "LABEL own=1", "made", "files"]);
        cli.ok(&["rm", "made"]);
        let whole = "type=image,source=files,target=/files";
        cli.ok(&["run", "--name", "reader", "--mount", whole, "busybox", "test", "-x", "/files/bin/sh"]);
        let said = cli.run(&["run", "--rm", "--mount", whole, "busybox", "touch", "/files/x"]);
        assert!(said.code != 0 && said.err.contains("Read-only"), "{said:?}");
        let part = "type=image,source=files,target=/files,image-subpath=etc";
        assert!(cli.ok(&["run", "--rm", "--mount", part, "busybox", "cat", "/files/passwd"]).starts_with("root:"));
        let said = cli.run(&["rmi", "files"]);
        assert!(said.code != 0, "a container needs it: {said:?}");
        cli.ok(&["rm", "reader"]);
        cli.ok(&["rmi", "files"]);
        let said = cli.run(&["run", "--rm", "--mount", whole, "busybox", "true"]);
        assert!(said.code == 125 && said.err.contains("No such image: files"), "{said:?}");
    }

    fn a_volume_that_is_a_file_system_is_mounted_while_somebody_runs(node, cli) needs ["busybox"] {
        cli.ok(&["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=7", "memory"]);
        assert!(!is_mounted(node));
        cli.ok(&["run", "-d", "--name", "one", "-v", "memory:/m", "busybox", "sleep", "1000"]);
        cli.ok(&["exec", "one", "sh", "-c", "echo words > /m/file"]);
        assert!(is_mounted(node));
        node.kill();
        node.start_again();
        assert_eq!(cli.ok(&["run", "--rm", "-v", "memory:/m", "busybox", "sh", "-c", "stat -c %u /m; cat /m/file"]), "7\nwords");
        assert!(is_mounted(node), "the first still runs");
        cli.ok(&["rm", "-f", "one"]);
        until("it is unmounted", || (!is_mounted(node)).then_some(()));
        // One that ends while there is no daemon.
        cli.ok(&["run", "-d", "--name", "two", "-v", "memory:/m", "busybox", "sleep", "1000"]);
        let pid = cli.ok(&["inspect", "-f", "{{.State.Pid}}", "two"]);
        node.kill();
        let said = std::process::Command::new("kill").args(["-KILL", &pid]).status();
        assert!(said.is_ok_and(|status| status.success()));
        until("its process has ended", || (!fs::exists(format!("/proc/{pid}")).unwrap()).then_some(()));
        assert!(is_mounted(node), "nobody was there to unmount it");
        node.start_again();
        until("it is unmounted", || (!is_mounted(node)).then_some(()));
        cli.ok(&["rm", "two"]);
        let folder = node.home().join("folder");
        fs::create_dir(&folder).unwrap();
        let device = format!("device={}", folder.display());
        cli.ok(&["volume", "create", "-o", "type=none", "-o", &device, "-o", "o=bind", "there"]);
        cli.ok(&["run", "--rm", "-v", "there:/x", "busybox", "touch", "/x/file"]);
        assert!(folder.join("file").exists());
        cli.ok(&["volume", "rm", "memory", "there"]);
        assert!(folder.join("file").exists(), "what was mounted is nobody's to remove");
    }

    fn a_file_system_that_cannot_be_mounted_is_told_at_the_start(node, cli) needs ["busybox"] {
        cli.ok(&["volume", "create", "-o", "type=none", "-o", "device=/does/not/exist", "-o", "o=bind,nocopy", "lost"]);
        let said = cli.run(&["run", "--rm", "--mount", "source=lost,target=/x,volume-nocopy", "busybox", "true"]);
        assert!(said.code == 125 && said.err.contains("failed to mount local volume: mount /does/not/exist:"), "{said:?}");
        cli.ok(&["volume", "create", "-o", "type=nosuchfs", "-o", "device=x", "odd"]);
        let said = cli.run(&["run", "--rm", "-v", "odd:/x", "busybox", "true"]);
        assert!(said.code == 125 && said.err.contains("no file system \"nosuchfs\""), "{said:?}");
        assert!(!is_mounted(node));
        assert_eq!(cli.ok(&["ps", "-aq"]), "");
        cli.ok(&["volume", "rm", "lost", "odd"]);
    }

    fn a_daemon_that_is_killed_while_it_fills_a_volume_leaves_all_of_it_or_nothing(node, cli) needs ["busybox"] {
        cli.ok(&["create", "--name", "whole", "-v", "whole:/bin", "busybox"]);
        let count = |name: &str| fs::read_dir(data(node, name)).unwrap().count();
        let all = count("whole");
        assert!(all > 100);
        let path = data(node, "fresh");
        for kill in 0..KILLS {
            let there = kill % 2 == 1;
            if there {
                cli.ok(&["volume", "create", "fresh"]);
            }
            let mut command = cli.spawn(&["create", "--name", "box", "-v", "fresh:/bin", "busybox"]);
            let volumes = node.data_root().join("volumes");
            until("it has begun, or is done", || {
                let begun = if there { fs::read_dir(volumes.join("fresh")).unwrap().count() > 1 } else { volumes.join(".new-fresh").exists() };
                (begun || !command.is_running()).then_some(())
            });
            moment(kill);
            node.kill();
            let _ = command.finish();
            node.start_again();
            let expected: &[&str] = if path.exists() { &["fresh", "whole"] } else { &["whole"] };
            assert_eq!(directories(node), expected, "killed for the {kill}th time");
            let made = !cli.ok(&["ps", "-aq", "--filter", "name=box"]).is_empty();
            if path.exists() {
                let found = fs::read_dir(&path).unwrap().count();
                assert!(found == all || there && !made && found == 0, "{found} of {all} after the {kill}th kill");
                assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
            } else {
                assert!(!made && !there);
            }
            if made {
                cli.ok(&["rm", "box"]);
            }
            cli.ok(&["volume", "rm", "-f", "fresh"]);
        }
        cli.ok(&["rm", "whole"]);
        cli.ok(&["volume", "rm", "whole"]);
    }
}
