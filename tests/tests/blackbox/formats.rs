//! What the clients and the API say about themselves.

use blackbox::{Client, Node, ready, rows};

rows! {
    fn version_and_info_answer(_node, cli) needs ["busybox"] {
        let version = cli.ok(&["version"]);
        assert!(version.contains("Client") && version.contains("Server") && version.contains("API version"), "{version}");
        assert!(!cli.ok(&["version", "--format", "{{.Server.Version}}"]).is_empty());
        cli.ok(&["run", "-d", "busybox", "sleep", "1000"]);
        let info = cli.ok(&["info", "--format", "{{.Containers}} {{.ContainersRunning}} {{.Images}} {{.Driver}} {{.OSType}}"]);
        assert_eq!(info, "1 1 1 overlay2 linux");
        let info = cli.ok(&["info"]);
        assert!(info.contains("Kernel") && info.contains("Cgroup"), "{info}");
    }

    fn formats_are_go_templates_or_json(_node, cli) needs ["busybox"] {
        cli.ok(&["create", "--name", "one", "--label", "a=b", "busybox", "true"]);
        assert_eq!(cli.ok(&["ps", "-a", "--format", "{{.Names}}|{{.Image}}|{{.State}}|{{.Label \"a\"}}"]), "one|busybox|created|b");
        let line: serde_json::Value = serde_json::from_str(&cli.ok(&["ps", "-a", "--format", "json"])).unwrap();
        assert_eq!(line["Names"], "one");
        let table = cli.ok(&["ps", "-a", "--format", "table {{.Names}}\t{{.Status}}"]);
        assert!(table.starts_with("NAMES") && table.contains("STATUS") && table.contains("Created"), "{table}");
        assert_eq!(cli.inspect("one", "{{json .Config.Labels}}"), "{\"a\":\"b\"}");
        assert_eq!(cli.inspect("one", "{{range .Config.Cmd}}<{{.}}>{{end}}"), "<true>");
        let refused = cli.run(&["inspect", "--format", "{{.Nosuch", "one"]);
        assert_ne!(refused.code, 0);
    }

    fn wrong_flags_are_told_with_the_way_to_the_help(_node, cli) needs [] {
        let said = cli.run(&["run", "--nosuch", "busybox"]);
        assert!(said.code == 125 && said.err.contains("unknown flag: --nosuch"), "{said:?}");
        let said = cli.run(&["run"]);
        assert!(said.code != 0 && said.err.contains("run --help"), "{said:?}");
        let said = cli.run(&["nosuch"]);
        assert!(said.code != 0 && said.err.contains("nosuch"), "{said:?}");
    }

    fn help_is_printed_and_ends_well(_node, cli) needs [] {
        let said = cli.run(&["--help"]);
        assert!(said.code == 0 && said.out.contains("run") && said.out.contains("Usage:"), "{said:?}");
        let said = cli.run(&["run", "--help"]);
        assert_eq!(said.code, 0);
        for flag in ["--detach", "--publish", "--volume", "--memory", "--restart", "--entrypoint"] {
            assert!(said.out.contains(flag), "{flag} is missing in {}", said.out);
        }
    }
}

#[test]
fn every_version_of_the_api_is_served_with_the_headers_that_clients_read() {
    if !ready(Client::Bocage, &[]) {
        return;
    }
    let node = Node::start(&[]);
    for prefix in ["", "/v1.24", "/v1.41", "/v1.51"] {
        let answer = node.request("GET", &format!("{prefix}/_ping"), None);
        assert_eq!((answer.status, answer.text.as_str()), (200, "OK"), "{prefix}");
        assert_eq!(node.request("GET", &format!("{prefix}/containers/json"), None).text.trim(), "[]");
    }
    let version = node.request("GET", "/version", None).json();
    assert_eq!(
        (version["ApiVersion"].as_str(), version["MinAPIVersion"].as_str()),
        (Some("1.51"), Some("1.24"))
    );
    let head = std::process::Command::new("curl")
        .args(["--silent", "--head", "--unix-socket"])
        .arg(node.socket())
        .arg("http://localhost/_ping")
        .output()
        .unwrap();
    let head = String::from_utf8_lossy(&head.stdout).to_lowercase();
    for header in [
        "api-version: 1.51",
        "docker-experimental: false",
        "ostype: linux",
        "cache-control: no-cache",
        "server: ",
    ] {
        assert!(head.contains(header), "{header} is missing in {head}");
    }
    node.stop();
}
