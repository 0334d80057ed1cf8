//! Wrong input: each gets a clear message with Docker's exit code and status, and leaves nothing behind.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;

use blackbox::{Client, Node, Options, free_port, image_path, ready, rows, until};
use serde_json::json;

/// How many bytes of files a daemon with nothing in it may keep.
const EMPTY_BYTES_MAX: u64 = 4 << 20;

/// The bytes that files below a folder take on the disk.
fn bytes_below(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_below(&entry.path()),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

rows! {
    fn a_missing_image_is_named(node, cli) needs [] {
        let said = cli.run(&["run", "--pull", "never", "nosuch", "true"]);
        assert!(said.code == 125 && said.err.contains("No such image: nosuch:latest"), "{said:?}");
        let said = cli.run(&["run", "nosuch", "true"]);
        assert!(said.code == 125 && said.err.contains("nosuch"), "{said:?}");
        let answer = node.request("POST", "/v1.51/containers/create", Some(&json!({ "Image": "nosuch" })));
        assert_eq!((answer.status, answer.json()["message"].as_str()), (404, Some("No such image: nosuch:latest")));
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
        assert_eq!(cli.run(&["rmi", "nosuch"]).code, 1);
        assert_eq!(node.request("DELETE", "/v1.51/images/nosuch", None).status, 404);
    }

    fn a_bad_reference_is_refused(node, cli) needs [] {
        for reference in ["UPPER", "a::b", "-a", "a@sha256:123"] {
            let said = cli.run(&["create", "--pull", "never", "--", reference]);
            assert!(said.code == 125 || said.code == 1, "{said:?}");
            assert!(said.err.contains("invalid reference format"), "{reference}: {said:?}");
        }
        let answer = node.request("POST", "/v1.51/containers/create", Some(&json!({ "Image": "UPPER:::" })));
        assert!(answer.status == 400 && answer.text.contains("invalid reference format"), "{answer:?}");
    }

    fn a_taken_name_is_refused_with_the_one_who_has_it(node, cli) needs ["busybox"] {
        let id = cli.ok(&["create", "--name", "taken", "busybox", "true"]);
        let said = cli.run(&["run", "--name", "taken", "busybox", "true"]);
        assert_eq!(said.code, 125);
        for word in ["Conflict", "\"/taken\" is already in use", &id] {
            assert!(said.err.contains(word), "{word} is missing in {said:?}");
        }
        let answer = node.request("POST", "/v1.51/containers/create?name=taken", Some(&json!({ "Image": "busybox" })));
        assert_eq!(answer.status, 409);
        let answer = node.request("POST", "/v1.51/containers/create?name=a%2Fb", Some(&json!({ "Image": "busybox" })));
        assert!(answer.status == 400 && answer.text.contains("Invalid container name"), "{answer:?}");
        assert_eq!(cli.ok(&["ps", "-a", "-q", "--no-trunc"]), id);
    }

    fn a_port_that_another_container_has_is_refused(node, cli) needs ["busybox"] {
        let port = free_port();
        let publish = format!("{port}:80");
        cli.ok(&["run", "-d", "--name", "has", "-p", &publish, "busybox", "sleep", "1000"]);
        let said = cli.run(&["run", "-d", "--name", "wants", "-p", &publish, "busybox", "sleep", "1000"]);
        assert!(said.code == 125 && said.err.contains("port is already allocated"), "{said:?}");
        assert_eq!(cli.inspect("wants", "{{.State.Status}}"), "created", "as Docker leaves it");
        assert_eq!(node.request("POST", "/v1.51/containers/wants/start", None).status, 500);
        cli.ok(&["rm", "-f", "has"]);
        cli.ok(&["start", "wants"]);
        cli.ok(&["rm", "-f", "wants"]);
    }

    fn a_port_that_a_process_of_the_host_has_is_refused(_node, cli) needs ["busybox"] {
        let listener = TcpListener::bind(("0.0.0.0", 0)).unwrap();
        let publish = format!("{}:80", listener.local_addr().unwrap().port());
        let said = cli.run(&["run", "-d", "--name", "wants", "-p", &publish, "busybox", "sleep", "1000"]);
        assert!(said.code == 125 && said.err.contains("address already in use"), "{said:?}");
        drop(listener);
        cli.ok(&["start", "wants"]);
        cli.ok(&["rm", "-f", "wants"]);
    }

    fn a_missing_command_is_127_and_one_that_cannot_be_run_126(node, cli) needs ["busybox"] {
        let said = cli.run(&["run", "--name", "missing", "busybox", "nosuch"]);
        assert_eq!(said.code, 127, "{said:?}");
        assert!(said.err.contains("nosuch") && said.err.contains("executable file not found in $PATH"), "{said:?}");
        assert_eq!(cli.inspect("missing", "{{.State.ExitCode}}"), "127");
        let said = cli.run(&["run", "--name", "file", "busybox", "/etc/passwd"]);
        assert!(said.code == 126 && said.err.to_lowercase().contains("permission denied"), "{said:?}");
        let said = cli.run(&["run", "--rm", "busybox", "/tmp"]);
        assert_eq!(said.code, 126, "{said:?}");
        let answer = node.request("POST", "/v1.51/containers/missing/start", None);
        assert_eq!(answer.status, 400, "{answer:?}");
        cli.ok(&["rm", "missing", "file"]);
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
    }

    fn a_container_that_is_not_there_is_named(node, cli) needs [] {
        for words in [&["start", "nosuch"][..], &["stop", "nosuch"], &["rm", "nosuch"], &["logs", "nosuch"], &["exec", "nosuch", "true"]] {
            let said = cli.run(words);
            assert!(said.code == 1 && said.err.contains("No such container: nosuch"), "{words:?}: {said:?}");
        }
        let answer = node.request("GET", "/v1.51/containers/nosuch/json", None);
        assert_eq!((answer.status, answer.json()["message"].as_str()), (404, Some("No such container: nosuch")));
    }

    fn a_truncated_archive_is_refused_and_nothing_of_it_stays(node, cli) needs ["busybox", "debian"] {
        let whole = fs::metadata(image_path("debian")).unwrap().len();
        for name in ["busybox", "debian"] {
            cli.ok(&["rmi", name]);
        }
        cli.run(&["rmi", "alpine"]);
        let before = bytes_below(&node.data_root());
        for share in [2, 3] {
            let cut = node.home().join("cut.tar");
            fs::copy(image_path("debian"), &cut).unwrap();
            File::options().write(true).open(&cut).unwrap().set_len(whole / share).unwrap();
            let said = cli.run(&["load", "-i", &cut.to_string_lossy()]);
            assert!(said.code == 1 && !said.err.is_empty(), "{said:?}");
        }
        assert_eq!(cli.ok(&["images", "-q"]), "");
        until("what was unpacked is gone", || (bytes_below(&node.data_root()) <= before + EMPTY_BYTES_MAX).then_some(()));
    }

    fn what_is_no_archive_is_refused(node, cli) needs [] {
        let file = node.home().join("words");
        fs::write(&file, "these are no image\n".repeat(100)).unwrap();
        let said = cli.run(&["load", "-i", &file.to_string_lossy()]);
        assert!(said.code == 1 && !said.err.is_empty(), "{said:?}");
        let said = cli.run_with(&["load"], b"");
        assert_eq!(said.code, 1, "{said:?}");
        assert_eq!(cli.ok(&["images", "-q"]), "");
    }

    fn an_image_in_use_is_not_removed(node, cli) needs ["busybox"] {
        let id = cli.ok(&["create", "--name", "uses", "busybox"]);
        let said = cli.run(&["rmi", "busybox", "alpine"]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("conflict") && said.err.contains(&id[..12]), "{said:?}");
        let image = cli.ok(&["inspect", "--format", "{{.Image}}", "uses"]);
        assert_eq!(node.request("DELETE", &format!("/v1.51/images/{image}"), None).status, 409);
        cli.ok(&["rm", "uses"]);
    }

    fn a_body_that_cannot_be_read_is_refused(node, cli) needs [] {
        assert_eq!(node.request("POST", "/v1.51/containers/create", Some(&json!([1, 2]))).status, 400);
        assert_eq!(node.request("GET", "/v1.51/nosuch", None).status, 404);
        assert_eq!(node.request("GET", "/v1.99/_ping", None).status, 400);
        assert_eq!(node.request("GET", "/v1.12/info", None).status, 400);
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
    }

    fn what_is_not_built_yet_is_refused_by_its_name(node, cli) needs ["busybox"] {
        let wish = json!({ "Image": "busybox", "HostConfig": { "BlkioWeight": 300 } });
        let answer = node.request("POST", "/v1.51/containers/create", Some(&wish));
        assert!(answer.status == 501 && answer.text.contains("BlkioWeight"), "{answer:?}");
        assert_eq!(node.request("POST", "/v1.51/swarm/init", Some(&json!({}))).status, 501);
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
    }

    fn limits_that_make_no_sense_are_refused(_node, cli) needs ["busybox"] {
        let said = cli.run(&["create", "--memory", "1m", "busybox"]);
        assert!(said.code == 1 || said.code == 125, "{said:?}");
        assert!(said.err.contains("6MB"), "{said:?}");
        let said = cli.run(&["create", "--net", "container:nosuch", "busybox"]);
        if said.code == 0 {
            assert_ne!(cli.run(&["start", said.out.trim()]).code, 0);
            cli.ok(&["rm", said.out.trim()]);
        }
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_made() {
    if !ready(Client::Bocage, &["busybox", "debian"]) {
        return;
    }
    let node = Node::start_with(Options { data_mib: Some(48), ..Options::default() });
    let cli = node.cli(Client::Bocage);
    let said = node.load(&image_path("debian"));
    assert!(said.code == 1 && said.err.to_lowercase().contains("no space left"), "{said:?}");
    assert_eq!(cli.ok(&["images", "-q"]), "");
    until("what was unpacked is gone", || (bytes_below(&node.data_root()) <= EMPTY_BYTES_MAX).then_some(()));
    // There is room again, and it is used.
    assert_eq!(node.load(&image_path("busybox")).code, 0);
    let fill = ["run", "--name", "fills", "busybox", "dd", "if=/dev/zero", "of=/big", "bs=1M"];
    let said = cli.run(&fill);
    assert!(said.code != 0 && said.err.contains("No space left"), "{said:?}");
    cli.ok(&["rm", "fills"]);
    assert_eq!(cli.ok(&["run", "--rm", "busybox", "echo", "room"]), "room");
    node.stop();
}

#[test]
fn a_disk_that_is_full_already_refuses_and_lets_remove() {
    if !ready(Client::Bocage, &["busybox"]) {
        return;
    }
    let node = Node::start_with(Options { data_mib: Some(32), ..Options::default() });
    let cli = node.cli(Client::Bocage);
    assert_eq!(node.load(&image_path("busybox")).code, 0);
    cli.ok(&["create", "--name", "old", "busybox", "true"]);
    let filler = node.data_root().join("filler");
    let mut file = File::create(&filler).unwrap();
    // Written until the file system has no room: the copy ends with that error.
    let full = std::io::copy(&mut std::io::repeat(7), &mut file);
    assert!(full.is_err());
    drop(file);
    let said = cli.run(&["run", "--rm", "busybox", "echo", "words"]);
    assert!(said.code == 0 || said.err.to_lowercase().contains("no space left"), "{said:?}");
    let said = cli.run(&["rm", "old"]);
    assert!(said.code == 0 || said.err.to_lowercase().contains("no space left"), "{said:?}");
    fs::remove_file(&filler).unwrap();
    cli.run(&["rm", "-f", "old"]);
    assert_eq!(cli.ok(&["run", "--rm", "busybox", "echo", "room"]), "room");
    node.stop();
}
