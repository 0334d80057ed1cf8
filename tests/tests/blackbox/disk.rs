//! What takes room on the disk, and how it is freed.

use std::path::Path;
use std::process::Command;

use blackbox::{Client, Node, rows};
use serde_json::Value;

/// What du(1) says of a directory.
fn du(path: &Path) -> u64 {
    let said = Command::new("du").args(["-s", "-B1"]).arg(path).output().unwrap();
    String::from_utf8(said.stdout).unwrap().split('\t').next().unwrap().parse().unwrap()
}

fn sum(list: &Value, field: impl Fn(&Value) -> &Value) -> u64 {
    list.as_array().unwrap().iter().map(|item| field(item).as_u64().unwrap()).sum()
}

/// Whether two figures are the same to one in a hundred, or to a few empty directories.
fn near(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= (one / 100).max(64 << 10)
}

fn usage(node: &Node) -> Value {
    node.request("GET", "/v1.51/system/df", None).json()
}

rows! {
    fn what_is_told_is_what_du_says(node, cli) needs ["nginx", "busybox"] {
        let write = "dd if=/dev/zero of=/mine bs=1M count=5 2>/dev/null; dd if=/dev/zero of=/data/theirs bs=1M count=3 2>/dev/null";
        cli.ok(&["run", "--name", "box", "-v", "/data", "busybox", "sh", "-c", write]);
        cli.ok(&["create", "--name", "fresh", "nginx"]);
        let usage = usage(node);
        let root = node.data_root();
        let (images, told) = (du(&root.join("images")), usage["LayersSize"].as_u64().unwrap());
        assert!(near(images, told), "du says {images}, told is {told}");
        let (containers, told) = (du(&root.join("containers")), sum(&usage["Containers"], |one| &one["SizeRw"]));
        assert!(near(containers, told) && told > 5 << 20, "du says {containers}, told is {told}");
        let (volumes, told) = (du(&root.join("volumes")), sum(&usage["Volumes"], |one| &one["UsageData"]["Size"]));
        assert!(near(volumes, told) && told >= 3 << 20, "du says {volumes}, told is {told}");
        let table = cli.ok(&["system", "df"]);
        let line = |word: &str| table.lines().find(|line| line.starts_with(word)).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(line("Images")[1..3], ["2", "2"], "{table}");
        assert_eq!(line("Containers")[1..3], ["2", "0"], "{table}");
        assert_eq!(line("Local Volumes")[2..4], ["1", "1"], "{table}");
        let all = cli.ok(&["system", "df", "-v"]);
        for word in ["SHARED SIZE", "UNIQUE SIZE", "box", "fresh", "Local Volumes space usage"] {
            assert!(all.contains(word), "{all}");
        }
        cli.ok(&["rm", "-v", "box", "fresh"]);
    }

    fn images_that_share_layers_say_how_much(node, cli) needs ["busybox"] {
        cli.ok(&["run", "--name", "box", "busybox", "sh", "-c", "dd if=/dev/zero of=/mine bs=1M count=5 2>/dev/null"]);
        cli.ok(&["commit", "box", "mine"]);
        let usage = usage(node);
        let size = |name: &str, field: &str| {
            let image = usage["Images"].as_array().unwrap().iter().find(|image| image["RepoTags"].to_string().contains(name)).unwrap();
            image[field].as_u64().unwrap()
        };
        assert_eq!(size("mine", "SharedSize"), size("busybox", "Size"));
        assert_eq!(size("busybox", "SharedSize"), size("busybox", "Size"));
        assert_eq!(size("mine", "Size") - size("mine", "SharedSize"), 5 << 20);
        if cli.client() == Client::Bocage {
            let tree = cli.ok(&["images", "--tree"]);
            assert!(tree.lines().any(|line| line.starts_with("└─ mine:latest") && line.contains("5.24MB")), "{tree}");
        }
        cli.ok(&["rm", "box"]);
    }

    fn images_that_nobody_uses_are_pruned(node, cli) needs ["nginx", "busybox"] {
        cli.ok(&["create", "--name", "user", "busybox"]);
        cli.ok(&["commit", "-c", "LABEL of=test", "user", "loose"]);
        cli.ok(&["commit", "-c", "LABEL of=other", "user", "loose"]);
        assert_eq!(cli.ok(&["images", "-q", "--filter", "dangling=true"]).lines().count(), 1);
        assert!(cli.ok(&["image", "prune", "-f", "--filter", "label=of=other"]).contains("reclaimed space: 0B"));
        let said = cli.ok(&["image", "prune", "-f"]);
        assert!(said.contains("Deleted Images:\ndeleted: sha256:"), "{said}");
        assert_eq!(cli.ok(&["images", "-q", "--filter", "dangling=true"]), "");
        let said = cli.run_with(&["image", "prune", "-a"], b"n\n");
        assert!((said.out.clone() + &said.err).contains("WARNING! This will remove all images without at least one container"), "{said:?}");
        assert!(cli.ok(&["images"]).contains("nginx"), "whoever says no keeps all");
        let before = du(&node.data_root().join("images"));
        let told = node.request("POST", "/v1.51/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D", None).json();
        let gone = before - du(&node.data_root().join("images"));
        assert!(near(gone, told["SpaceReclaimed"].as_u64().unwrap()), "{gone} and {told}");
        assert_eq!(cli.ok(&["images", "--format", "{{.Repository}}"]).lines().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>(), ["alpine", "busybox"]);
        assert_eq!(node.request("POST", "/v1.51/images/prune?filters=%7B%22no%22%3A%5B%22x%22%5D%7D", None).status, 400);
        cli.ok(&["rm", "user"]);
    }

    fn all_that_nobody_uses_is_pruned_at_once(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "runs", "-v", "/data", "busybox", "sleep", "1000"]);
        cli.ok(&["run", "--name", "rests", "-v", "/data", "busybox", "true"]);
        let said = cli.ok(&["system", "prune", "-f"]);
        assert!(said.contains("Deleted Containers:"), "{said}");
        assert_eq!(cli.ok(&["ps", "-a", "--format", "{{.Names}}"]), "runs");
        let said = cli.ok(&["system", "prune", "-f", "--volumes"]);
        assert!(said.contains("Deleted Volumes:"), "{said}");
        assert!(cli.ok(&["volume", "prune", "-f"]).contains("reclaimed space: 0B"));
        cli.ok(&["exec", "runs", "test", "-d", "/data"]);
        cli.ok(&["rm", "-f", "-v", "runs"]);
        cli.ok(&["system", "prune", "-a", "-f"]);
        assert_eq!(cli.ok(&["images", "-q"]), "");
    }
}
