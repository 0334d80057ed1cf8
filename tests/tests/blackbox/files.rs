//! Files of containers: copied in and out, compared, exported.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use blackbox::{Client, rows};

/// Changes of every kind, then a long sleep.
const CHANGING: &str = "echo hi > /etc/new; rm /bin/ls; mkdir -p /d/e; echo f > /d/f; ln -s /d/f /d/l; chown 7:8 /d/f; touch /ready; exec sleep 1000";

fn text(path: &std::path::Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

rows! {
    fn what_was_changed_is_listed(node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "box", "busybox", "sh", "-c", CHANGING]);
        blackbox::until("it has changed all", || (cli.run(&["exec", "box", "test", "-e", "/ready"]).code == 0).then_some(()));
        let wanted = "C /bin\nD /bin/ls\nA /d\nA /d/e\nA /d/f\nA /d/l\nC /etc\nA /etc/new\nA /ready";
        assert_eq!(cli.ok(&["diff", "box"]), wanted);
        cli.ok(&["kill", "box"]);
        assert_eq!(cli.ok(&["diff", "box"]), wanted, "the same of one that rests");
        cli.ok(&["create", "--name", "fresh", "busybox", "true"]);
        assert_eq!(cli.ok(&["diff", "fresh"]), "");
        assert!(cli.run(&["diff", "nobody"]).err.contains("No such container: nobody"));
        cli.ok(&["rm", "-f", "box", "fresh"]);
        assert!(node.socket_answers());
    }

    fn files_are_copied_out_of_containers_that_run_and_that_rest(node, cli) needs ["busybox"] {
        let home = node.home();
        let at = |name: &str| home.join(name).to_string_lossy().into_owned();
        cli.ok(&["run", "-d", "--name", "box", "busybox", "sh", "-c", CHANGING]);
        blackbox::until("it has changed all", || (cli.run(&["exec", "box", "test", "-e", "/ready"]).code == 0).then_some(()));
        for state in ["runs", "rests"] {
            cli.ok(&["cp", "box:/d", &at(state)]);
            assert_eq!(text(&home.join(state).join("f")), "f\n");
            assert_eq!(fs::read_link(home.join(state).join("l")).unwrap().to_str(), Some("/d/f"));
            assert!(home.join(state).join("e").is_dir());
            cli.ok(&["cp", "box:/d/.", &at(&format!("{state}-contents"))]);
            assert!(home.join(format!("{state}-contents/f")).is_file());
            cli.ok(&["cp", "-L", "box:/d/l", &at(&format!("{state}-followed"))]);
            assert_eq!(text(&home.join(format!("{state}-followed"))), "f\n");
            cli.ok(&["cp", "box:etc/new", &at(state)]);
            assert_eq!(text(&home.join(state).join("new")), "hi\n", "into a directory that is there");
            cli.ok(&["cp", "-a", "box:/d/f", &at("owned")]);
            let owned = fs::metadata(home.join("owned")).unwrap();
            // The docker client takes this word for the other way only.
            let wanted = if cli.client() == Client::Docker { (0, 0) } else { (7, 8) };
            assert_eq!((owned.uid(), owned.gid()), wanted);
            let said = cli.run(&["cp", "box:/nothing", &at("nothing")]);
            assert!(said.code == 1 && said.err.contains("Could not find the file /nothing in container box"), "{said:?}");
            assert!(!home.join("nothing").exists());
            if state == "runs" {
                cli.ok(&["kill", "box"]);
            }
        }
        let left: Vec<_> = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).filter(|name| name.to_string_lossy().contains("bocage-cp")).collect();
        assert!(left.is_empty(), "{left:?}");
        cli.ok(&["rm", "box"]);
    }

    fn files_are_copied_into_containers_that_run_and_that_rest(node, cli) needs ["busybox"] {
        let home = node.home();
        let at = |name: &str| home.join(name).to_string_lossy().into_owned();
        fs::create_dir_all(home.join("site/inner")).unwrap();
        fs::write(home.join("site/page"), "page").unwrap();
        symlink("page", home.join("site/link")).unwrap();
        let given = home.join("given");
        fs::create_dir(&given).unwrap();
        let (volume, sealed) = (format!("{}:/given", given.display()), format!("{}:/sealed:ro", given.display()));
        cli.ok(&["create", "--name", "box", "-v", &volume, "-v", &sealed, "busybox", "sleep", "1000"]);
        for state in ["rests", "runs"] {
            cli.ok(&["cp", &at("site"), &format!("box:/{state}")]);
            cli.ok(&["cp", &at("site"), "box:/tmp"]);
            cli.ok(&["cp", &at("site/."), "box:/tmp"]);
            cli.ok(&["cp", &at("site/page"), &format!("box:/tmp/{state}-page")]);
            let said = cli.run(&["cp", &at("site/page"), "box:/missing/"]);
            assert!(said.code == 1 && said.err.contains("no such directory"), "{said:?}");
            let said = cli.run(&["cp", &at("site"), "box:/etc/passwd"]);
            assert!(said.code == 1 && said.err.contains("cannot copy directory"), "{said:?}");
            let said = cli.run(&["cp", &at("site/page"), "box:/sealed/page"]);
            assert!(said.code == 1 && said.err.contains("read-only"), "{said:?}");
            if state == "rests" {
                cli.ok(&["start", "box"]);
                // What is mounted is there once it has run: before, a file would go beneath it.
                cli.ok(&["cp", &at("site/page"), "box:/given/page"]);
                assert_eq!(text(&given.join("page")), "page");
            }
            let seen = cli.ok(&["exec", "box", "sh", "-c", &format!("cat /{state}/page /tmp/site/link /tmp/page /tmp/{state}-page; ls -d /tmp/inner")]);
            assert_eq!(seen, "pagepagepagepage/tmp/inner");
        }
        cli.ok(&["rm", "-f", "box"]);
    }

    fn archives_go_through_pipes_and_a_container_is_exported(node, cli) needs ["busybox"] {
        let archive = node.home().join("all.tar");
        cli.ok(&["create", "--name", "box", "busybox", "true"]);
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o640);
        header.set_uid(9);
        header.set_gid(9);
        tar.append_data(&mut header, "words", &b"text"[..]).unwrap();
        let sent = cli.run_with(&["cp", "-", "box:/tmp"], &tar.into_inner().unwrap());
        assert_eq!(sent.code, 0, "{sent:?}");
        cli.ok(&["export", "-o", &archive.to_string_lossy(), "box"]);
        let mut found = None;
        let mut names = Vec::new();
        for entry in tar::Archive::new(fs::File::open(&archive).unwrap()).entries().unwrap() {
            let entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            if name == "tmp/words" {
                found = Some((entry.header().mode().unwrap() & 0o777, entry.header().uid().unwrap()));
            }
            names.push(name);
        }
        assert_eq!(found, Some((0o640, 9)));
        for wanted in ["bin/busybox", "etc/passwd", "proc/"] {
            assert!(names.iter().any(|name| name == wanted), "{wanted} is not in {names:?}");
        }
        let made = cli.ok(&["import", &archive.to_string_lossy(), "again"]);
        assert!(made.starts_with("sha256:"));
        assert_eq!(cli.ok(&["run", "--rm", "again", "cat", "/tmp/words"]), "text");
        cli.ok(&["rm", "box"]);
    }
}
