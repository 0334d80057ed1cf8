//! User namespaces of containers, and where the time of a start goes.

use std::fs;
use std::os::unix::fs::MetadataExt;

use blackbox::{Cli, Client, Node, Options, image_path, ready, rows};

/// What the stock client can say.
const AUTO: &str = "bocage.userns=auto";

/// The first number outside, and how many there are.
fn range(cli: &Cli, flags: &[&str]) -> (u32, u32) {
    let map = cli.ok(&[&["run", "--rm"], flags, &["busybox", "cat", "/proc/self/uid_map"]].concat());
    let numbers: Vec<u32> = map.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!((numbers.len(), numbers[0]), (3, 0), "{map}");
    (numbers[1], numbers[2])
}

rows! {
    fn root_inside_is_nobody_outside_and_files_stay_as_they_are(node, cli) needs ["busybox"] {
        let volume = node.home().join("volume");
        fs::create_dir(&volume).unwrap();
        let bind = format!("{}:/v", volume.display());
        for network in ["none", "bridge"] {
            let line = "id -u; touch /v/f /x; stat -c %u /v/f /x /etc/passwd; chown 33:44 /v/f; echo > /dev/null && echo ok";
            let words = ["run", "--rm", "--network", network, "--label", AUTO, "-v", &bind, "busybox", "sh", "-c", line];
            assert_eq!(cli.ok(&words), "0\n0\n0\n0\nok", "{network}");
            let file = fs::metadata(volume.join("f")).unwrap();
            assert_eq!((file.uid(), file.gid()), (33, 44), "on disk are the numbers of the inside");
            fs::remove_file(volume.join("f")).unwrap();
        }
        // The same volume in a container that has none.
        cli.ok(&["run", "--rm", "-v", &bind, "busybox", "sh", "-c", "touch /v/g"]);
        assert_eq!(fs::metadata(volume.join("g")).unwrap().uid(), 0);
    }

    fn each_container_has_a_range_of_its_own_even_after_the_daemon_was_killed(node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "first", "--label", AUTO, "busybox", "sleep", "1000"]);
        let pid = cli.inspect("first", "{{.State.Pid}}");
        let owner = fs::metadata(format!("/proc/{pid}")).unwrap().uid();
        assert!(owner >= 65_536, "{owner} is somebody on the host");
        let second = range(&cli, &["--label", AUTO]);
        assert_eq!(second.1, 65_536);
        assert!(second.0.abs_diff(owner) >= 65_536);
        node.kill();
        node.start_again();
        let third = range(&cli, &["--label", AUTO]);
        assert!(third.0.abs_diff(owner) >= 65_536, "the range of what runs is known again");
        assert_eq!(cli.ok(&["exec", "first", "id", "-u"]), "0");
        assert_eq!(cli.ok(&["exec", "-u", "33", "first", "id", "-u"]), "33");
        cli.ok(&["rm", "-f", "first"]);
    }

    fn what_makes_no_sense_is_refused(node, cli) needs ["busybox"] {
        let said = cli.fails(125, &["run", "--rm", "--label", "bocage.userns=some", "busybox", "true"]);
        assert!(said.contains("invalid USER mode in the label bocage.userns: some"), "{said}");
        let said = cli.fails(125, &["run", "--rm", "--privileged", "--label", AUTO, "busybox", "true"]);
        assert!(said.contains("privileged mode is incompatible with user namespaces"), "{said}");
        let said = cli.fails(125, &["run", "--rm", "--network", "host", "--label", AUTO, "busybox", "true"]);
        assert!(said.contains("use --userns=host"), "{said}");
        let said = cli.fails(125, &["run", "--rm", "--pid", "container:x", "--label", AUTO, "busybox", "true"]);
        assert!(said.contains("its user namespace is shared too"), "{said}");
        let _ = node;
    }

    fn a_container_that_shares_namespaces_shares_the_user_namespace(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "owner", "--label", AUTO, "busybox", "sleep", "1000"]);
        let map = "cat /proc/self/uid_map";
        let own = cli.ok(&["exec", "owner", "sh", "-c", map]);
        let words = ["run", "--rm", "--network", "container:owner", "busybox", "sh", "-c", map];
        assert_eq!(cli.ok(&words), own);
        cli.ok(&["rm", "-f", "owner"]);
    }
}

#[test]
fn the_daemon_has_a_default_and_a_flag_says_otherwise() {
    if !ready(Client::Bocage, &["busybox"]) {
        return;
    }
    let words = ["--userns-default", "auto"].map(str::to_owned).to_vec();
    let node = Node::start_with(Options { words, ..Options::default() });
    assert_eq!(node.load(&image_path("busybox")).code, 0);
    let cli = node.cli(Client::Bocage);
    assert_eq!(range(&cli, &[]).1, 65_536);
    assert_eq!(range(&cli, &["--userns=host"]), (0, u32::MAX));
    assert_eq!(range(&cli, &["--userns=keep"]), (0, u32::MAX));
    assert_eq!(
        range(&cli, &["--network", "host"]),
        (0, u32::MAX),
        "the host's namespaces have the host's numbers"
    );
    assert_eq!(range(&cli, &["--privileged"]), (0, u32::MAX));
    node.stop();
}

#[test]
fn the_time_of_a_start_is_told_step_by_step() {
    if !ready(Client::Bocage, &["busybox"]) {
        return;
    }
    let node = Node::start(&["busybox"]);
    let cli = node.cli(Client::Bocage);
    let said = cli.run(&["run", "--rm", "--timings", "busybox", "true"]);
    assert_eq!(said.code, 0, "{said:?}");
    for step in [
        "network",
        "make the control groups",
        "clone",
        "change the root",
        "load the filter and execute",
        "first instruction",
    ] {
        assert!(said.err.contains(step), "{step}: {}", said.err);
    }
    node.stop();
}
