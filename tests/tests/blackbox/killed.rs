//! The daemon killed in the middle of pulls and pushes: what it had is there, and nothing else.

use std::fs;
use std::path::Path;

use blackbox::{Cli, Client, Node, Registry, rows, skip, until};

/// How often the daemon is killed within pulls, and within pushes, of each client.
const KILLS: usize = 6;
/// Requests of one pull, as far as the client counts them.
const REQUESTS: usize = 4;

/// What of images is on the disk: contents, layers, halves.
fn kept(node: &Node) -> [usize; 3] {
    let images = node.data_root().join("images");
    let count = |part: &str| fs::read_dir(images.join(part)).unwrap().count();
    [count("blobs/sha256"), count("layers"), count("tmp")]
}

/// Does as little as wanted: a moment that grows with the number.
fn moment(number: usize) {
    for _ in 0..number * 40 {
        std::hint::black_box(fs::metadata(Path::new("/proc/self/status")).is_ok());
    }
}

/// Starts a command, kills the daemon once the registry was asked so often, and starts it again.
fn killed(node: &mut Node, cli: &Cli, words: &[&str], registry: &Registry, kill: usize) {
    let before = registry.asked("");
    let mut command = cli.spawn(words);
    until("the registry is asked, or all is done", || {
        (registry.asked("") >= before + 1 + kill % REQUESTS || !command.is_running()).then_some(())
    });
    moment(kill);
    node.kill();
    let _ = command.finish();
    node.start_again();
}

rows! {
    fn a_pull_whose_daemon_is_killed_at_any_moment_leaves_all_of_the_image_or_nothing(node, cli) needs ["busybox"] {
        let registry = Registry::start(None);
        let name = registry.name("tool:1");
        cli.ok(&["tag", "busybox", &name]);
        cli.ok(&["push", &name]);
        cli.ok(&["rmi", &name, "busybox", "alpine"]);
        assert_eq!(kept(node), [0, 0, 0]);
        for kill in 0..KILLS {
            killed(node, &cli, &["pull", &name], &registry, kill);
            if cli.ok(&["images", "-q"]).is_empty() {
                assert_eq!(kept(node), [0, 0, 0], "killed for the {kill}th time");
                cli.ok(&["pull", &name]);
            }
            assert_eq!(cli.ok(&["run", "--rm", &name, "echo", "works"]), "works");
            cli.ok(&["rmi", &name]);
            assert_eq!(kept(node), [0, 0, 0], "removed after the {kill}th kill");
        }
    }

    fn a_pull_goes_on_where_the_daemon_was_killed(node, cli) needs ["busybox"] {
        let registry = Registry::start(None);
        let name = registry.name("large:1");
        cli.ok(&["run", "--name", "box", "busybox", "dd", "if=/dev/urandom", "of=/large", "bs=1M", "count=24"]);
        let sum = cli.ok(&["commit", "box", &name]);
        cli.ok(&["push", &name]);
        cli.ok(&["rm", "box"]);
        cli.ok(&["rmi", &name, "busybox", "alpine"]);
        assert_eq!(kept(node), [0, 0, 0]);
        // Something that is no part's end.
        let end = (8 << 20) + 12_345;
        registry.hold_back_from(end);
        let images = node.data_root().join("images");
        let here = || -> u64 {
            let entries = fs::read_dir(images.join("unfinished")).unwrap().flatten();
            entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
        };
        let mut pulling = cli.spawn(&["pull", &name]);
        until("two parts are here", || (here() >= 8 << 20).then_some(()));
        assert!(pulling.is_running());
        node.kill();
        let _ = pulling.finish();
        node.start_again();
        assert_eq!(kept(node), [0, 0, 0]);
        if node.request("GET", "/v1.51/info", None).json()["Warnings"].to_string().contains("% full") {
            skip("the disk is nearly full: no beginning of a layer is kept");
            return;
        }
        let (before, parts) = (here(), registry.begins().len());
        assert!(before >= 8 << 20);
        registry.give_all();
        cli.ok(&["pull", &name]);
        let begins = registry.begins().split_off(parts);
        assert!(!begins.is_empty() && begins.iter().all(|begin| *begin as u64 >= before), "{before}: {begins:?}");
        assert_eq!(cli.ok(&["inspect", "--format", "{{.Id}}", &name]), sum);
        assert_eq!(here(), 0);
        assert_eq!(cli.ok(&["run", "--rm", &name, "stat", "-c", "%s", "/large"]), (24 << 20).to_string());
        // What a pull left that nobody repeats goes when it is asked to.
        cli.ok(&["rmi", &name]);
        registry.hold_back_from(end);
        let pulling = cli.spawn(&["pull", &name]);
        until("two parts are here again", || (here() >= 8 << 20).then_some(()));
        node.kill();
        let _ = pulling.finish();
        node.start_again();
        assert!(here() > 0);
        let said = cli.ok(&["image", "prune", "-f"]);
        assert_eq!(here(), 0, "{said}");
        // Docker's client tells of room only where an image went.
        assert!(cli.client() == Client::Docker || !said.contains("reclaimed space: 0B"), "{said}");
    }

    fn a_push_whose_daemon_is_killed_at_any_moment_takes_nothing_from_the_image(node, cli) needs ["busybox"] {
        let mut digest = String::new();
        for kill in 0..KILLS {
            // Nothing is there yet, each time.
            let registry = Registry::start(None);
            let name = registry.name("tool:1");
            cli.ok(&["tag", "busybox", &name]);
            let before = kept(node);
            killed(node, &cli, &["push", &name], &registry, kill);
            assert_eq!(kept(node), before, "killed for the {kill}th time");
            let said = cli.ok(&["push", &name]);
            let found = said.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap_or_default().to_owned();
            assert!(digest.is_empty() || digest == found, "it goes out as it did before: {digest}, {found}");
            digest = found;
            assert_eq!(cli.ok(&["run", "--rm", &name, "echo", "works"]), "works");
            cli.ok(&["rmi", &name]);
        }
    }
}
