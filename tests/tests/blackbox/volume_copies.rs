//! What volumes can do here and not in Docker: kept as they are, copied, renamed, packed up and brought back.

use std::fs;

use blackbox::{Client, Node, ready};

fn with_node(test: impl FnOnce(&mut Node)) {
    if !ready(Client::Bocage, &["busybox"]) {
        return;
    }
    let mut node = Node::start(&["busybox"]);
    test(&mut node);
    node.stop();
}

#[test]
fn a_snapshot_stays_as_it_was_and_a_clone_is_written() {
    with_node(|node| {
        let cli = node.cli(Client::Bocage);
        let read = |volume: &str| {
            cli.ok(&["run", "--rm", "-v", &format!("{volume}:/d:ro"), "busybox", "cat", "/d/file"])
        };
        cli.ok(&[
            "run",
            "-d",
            "--name",
            "writer",
            "-v",
            "data:/d",
            "busybox",
            "sh",
            "-c",
            "echo one > /d/file; sleep 1000",
        ]);
        blackbox::until("it is written", || {
            node.data_root().join("volumes/data/_data/file").exists().then_some(())
        });
        let said = cli.run(&["volume", "snapshot", "data", "kept"]);
        assert!(said.code == 0 && said.err.contains("1 container stood still meanwhile"), "{said:?}");
        assert_eq!(cli.ok(&["ps", "--format", "{{.Status}}"]).split(' ').next(), Some("Up"), "it goes on");
        cli.ok(&["exec", "writer", "sh", "-c", "echo two > /d/file"]);
        assert_eq!((read("data"), read("kept")), ("two".to_owned(), "one".to_owned()));
        let said = cli.run(&["run", "--rm", "-v", "kept:/d", "busybox", "true"]);
        assert!(said.code == 125 && said.err.contains("volume kept is a snapshot of data"), "{said:?}");
        assert_eq!(cli.ok(&["volume", "ls", "-q", "--filter", "label=bocage.snapshot-of=data"]), "kept");
        cli.ok(&["volume", "clone", "kept", "copy"]);
        cli.ok(&["run", "--rm", "-v", "copy:/d", "busybox", "sh", "-c", "echo three > /d/file"]);
        assert_eq!((read("copy"), read("kept")), ("three".to_owned(), "one".to_owned()));
        let said = cli.run(&["volume", "snapshot", "--no-pause", "data"]);
        assert!(
            said.err.contains("WARNING: 1 container ran meanwhile") && said.out.starts_with("data-"),
            "{said:?}"
        );
        let said = cli.run(&["volume", "clone", "data", "copy"]);
        assert!(said.code == 1 && said.err.contains("volume name must be unique"), "{said:?}");
        cli.ok(&["rm", "-f", "writer"]);
        cli.ok(&["volume", "prune", "-af"]);
    });
}

#[test]
fn a_backup_brings_back_all_that_it_was_made_of() {
    with_node(|node| {
        let cli = node.cli(Client::Bocage);
        let make = "chown 7:8 /d; chmod 1750 /d; cd /d; mkdir a; echo words > a/file; ln a/file b; ln -s b c; chmod 4711 b; mkfifo p; chown 5:6 a";
        cli.ok(&["run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", make]);
        let look = |volume: &str| {
            cli.ok(&[
                "run",
                "--rm",
                "-v",
                &format!("{volume}:/d"),
                "busybox",
                "sh",
                "-c",
                "cd /d; stat -c '%n %F %a %u %g %h %Y' . a a/file b c p; cat b; readlink c",
            ])
        };
        let archive = node.home().join("data.tar.zst");
        let archive = archive.to_str().unwrap();
        cli.ok(&["volume", "backup", "-o", archive, "data"]);
        assert_eq!(fs::read(archive).unwrap()[..4], [0x28, 0xb5, 0x2f, 0xfd]);
        assert_eq!(cli.ok(&["volume", "restore", "-i", archive, "--label", "a=1", "again"]), "again");
        assert_eq!(look("again"), look("data"));
        assert_eq!(cli.ok(&["volume", "inspect", "-f", "{{.Labels.a}}", "again"]), "1");
        let said = cli.run(&["volume", "restore", "-i", archive, "again"]);
        assert!(said.code == 1 && said.err.contains("volume name must be unique"), "{said:?}");
        // Half an archive makes no volume.
        let half = node.home().join("half");
        let bytes = fs::read(archive).unwrap();
        fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
        assert_ne!(cli.run(&["volume", "restore", "-i", half.to_str().unwrap(), "half"]).code, 0);
        assert_eq!(cli.ok(&["volume", "ls", "-q"]), "again\ndata");
        cli.ok(&["volume", "rm", "again", "data"]);
    });
}

#[test]
fn a_backup_of_a_volume_in_use_is_made_of_a_copy() {
    with_node(|node| {
        let cli = node.cli(Client::Bocage);
        cli.ok(&[
            "run",
            "-d",
            "--name",
            "user",
            "-v",
            "data:/d",
            "busybox",
            "sh",
            "-c",
            "echo words > /d/file; sleep 1000",
        ]);
        let archive = node.home().join("data.tar.zst");
        let archive = archive.to_str().unwrap();
        cli.ok(&["volume", "backup", "-o", archive, "data"]);
        cli.ok(&["exec", "user", "true"]);
        assert_eq!(fs::read_dir(node.data_root().join("volumes")).unwrap().count(), 1, "the copy is gone");
        cli.ok(&["rm", "-f", "user"]);
        cli.ok(&["volume", "restore", "-i", archive, "again"]);
        assert_eq!(cli.ok(&["run", "--rm", "-v", "again:/d", "busybox", "cat", "/d/file"]), "words");
        cli.ok(&["volume", "rm", "again", "data"]);
    });
}

#[test]
fn a_volume_gets_another_name_and_other_labels() {
    with_node(|node| {
        let cli = node.cli(Client::Bocage);
        cli.ok(&["run", "--rm", "-v", "old:/d", "busybox", "sh", "-c", "echo words > /d/file"]);
        let id = cli.ok(&["create", "-v", "old:/d", "busybox"]);
        let said = cli.run(&["volume", "rename", "old", "new"]);
        assert!(
            said.code == 1 && said.err.contains(&format!("rename old: volume is in use - [{id}]")),
            "{said:?}"
        );
        cli.ok(&["rm", &id]);
        cli.ok(&["volume", "rename", "old", "new"]);
        cli.ok(&["volume", "update", "--label", "a=1", "--label", "b=2", "new"]);
        cli.ok(&["volume", "update", "--label-rm", "a", "new"]);
        node.kill();
        node.start_again();
        assert_eq!(cli.ok(&["volume", "inspect", "-f", "{{json .Labels}}", "new"]), r#"{"b":"2"}"#);
        assert_eq!(cli.ok(&["run", "--rm", "-v", "new:/d", "busybox", "cat", "/d/file"]), "words");
        cli.ok(&["volume", "rm", "new"]);
    });
}
