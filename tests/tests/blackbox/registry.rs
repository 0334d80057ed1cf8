//! Registries: push, pull, login, and a `run` that brings its image.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use blackbox::{Cli, Client, Registry, rows, until};

/// The digest of what was pushed or pulled, as the client told it.
fn digest(said: &str) -> String {
    let found = said.split_whitespace().find(|word| word.starts_with("sha256:"));
    found.unwrap_or_else(|| panic!("no digest in {said}")).to_owned()
}

/// Gives the loaded busybox to the registry under a name and takes it away here; its digest there.
fn give(cli: &Cli, name: &str) -> String {
    cli.ok(&["tag", "busybox", name]);
    let said = cli.ok(&["push", name]);
    cli.ok(&["rmi", name]);
    digest(&said)
}

/// A program that keeps one login in a file, in the protocol of docker-credential-helpers.
const HELPER: &str = r#"#!/bin/sh
case $1 in
    store) cat > KEPT ;;
    get) cat > /dev/null; cat KEPT 2> /dev/null || { echo credentials not found in native keychain; exit 1; } ;;
    erase) rm -f KEPT ;;
    list) echo '{}' ;;
esac
"#;

rows! {
    fn what_is_pushed_is_pulled_as_the_same_image(_node, cli) needs ["busybox"] {
        let registry = Registry::start(None);
        let id = cli.ok(&["inspect", "--format", "{{.Id}}", "busybox"]);
        let (first, second) = (registry.name("team/tool:1"), registry.name("other:2"));
        let pushed = give(&cli, &first);
        cli.ok(&["rmi", "busybox", "alpine"]);
        let said = cli.ok(&["pull", &first]);
        assert!(said.contains("1: Pulling from team/tool") && said.contains("Pull complete"), "{said}");
        assert!(said.contains(&format!("Status: Downloaded newer image for {first}")), "{said}");
        assert_eq!(digest(&said), pushed);
        assert_eq!(cli.ok(&["inspect", "--format", "{{.Id}}", &first]), id);
        assert!(cli.ok(&["images", "--digests"]).contains(&pushed));
        let said = cli.ok(&["pull", &first]);
        assert!(said.contains(&format!("Status: Image is up to date for {first}")), "{said}");
        cli.ok(&["tag", &first, &second]);
        assert_eq!(digest(&cli.ok(&["push", &second])), pushed, "it goes out as it came");
        let by_digest = registry.name(&format!("team/tool@{pushed}"));
        assert_eq!(cli.ok(&["run", "--rm", &by_digest, "echo", "works"]), "works");
    }

    fn a_run_brings_an_image_that_is_missing(_node, cli) needs ["busybox"] {
        let registry = Registry::start(None);
        let name = registry.name("tool:latest");
        give(&cli, &name);
        let asked = registry.asked("GET /v2/tool/manifests/");
        let said = cli.run(&["run", "--rm", &name, "echo", "works"]);
        assert_eq!((said.code, said.out.trim()), (0, "works"), "{said:?}");
        assert!(said.err.contains(&format!("Unable to find image '{name}' locally")), "{said:?}");
        assert_eq!(cli.ok(&["run", "--rm", &name, "echo", "again"]), "again");
        assert_eq!(registry.asked("GET /v2/tool/manifests/"), asked + 1, "what is here is not asked for");
        cli.ok(&["rmi", &name]);
        let said = cli.fails(125, &["run", "--rm", "--pull", "never", &name, "true"]);
        assert!(said.contains("No such image"), "{said}");
    }

    fn what_a_registry_does_not_have_is_told_with_its_name(_node, cli) needs ["busybox"] {
        let registry = Registry::start(None);
        let name = registry.name("nothing:1");
        let said = cli.fails(1, &["pull", &name]);
        assert!(said.contains(&format!("manifest for {name} not found")), "{said}");
        let said = cli.fails(1, &["push", &name]);
        assert!(said.contains(&format!("An image does not exist locally with the tag: {}", registry.name("nothing"))), "{said}");
        let said = cli.fails(1, &["pull", "127.0.0.1:1/nobody:1"]);
        assert!(said.contains("Get \"http://127.0.0.1:1/v2/\"") && said.contains("refused"), "{said}");
    }

    fn a_login_is_kept_and_shown_to_its_registry(node, cli) needs ["busybox"] {
        // me:secret
        let registry = Registry::start(Some("Basic bWU6c2VjcmV0"));
        let (name, address) = (registry.name("tool:1"), registry.address());
        cli.ok(&["tag", "busybox", &name]);
        let said = cli.fails(1, &["push", &name]);
        assert!(said.contains("unauthorized"), "{said}");
        let said = cli.run_with(&["login", "-u", "me", "--password-stdin", &address], b"wrong");
        assert!(said.code == 1 && said.err.contains("unauthorized"), "{said:?}");
        let said = cli.run_with(&["login", "-u", "me", "--password-stdin", &address], b"secret\n");
        assert!(said.code == 0 && said.out.contains("Login Succeeded"), "{said:?}");
        assert!(!node.log().contains("secret"));
        cli.ok(&["push", &name]);
        cli.ok(&["rmi", &name]);
        cli.ok(&["pull", &name]);
        assert!(cli.ok(&["logout", &address]).contains(&format!("Removing login credentials for {address}")));
        cli.fails(1, &["pull", &name]);
    }

    fn a_program_keeps_logins_where_it_is_told_to(node, cli) needs ["busybox"] {
        // me:secret
        let registry = Registry::start(Some("Basic bWU6c2VjcmV0"));
        let (name, address) = (registry.name("tool:1"), registry.address());
        let folder = node.home().join("helpers");
        fs::create_dir(&folder).unwrap();
        let (program, kept, config) = (folder.join("docker-credential-shelf"), folder.join("kept"), node.home().join(".docker/config.json"));
        fs::write(&program, HELPER.replace("KEPT", &kept.to_string_lossy())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        fs::write(&config, r#"{"credsStore":"shelf"}"#).unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let cli = cli.with("PATH", &path);
        // Whoever logged in, both clients push and pull with it.
        let ours = node.cli(Client::Bocage).with("PATH", &path);
        ours.ok(&["tag", "busybox", &name]);
        ours.fails(1, &["push", &name]);
        let said = cli.run_with(&["login", "-u", "me", "--password-stdin", &address], b"secret\n");
        assert!(said.code == 0 && said.out.contains("Login Succeeded"), "{said:?}");
        let written = fs::read_to_string(&config).unwrap();
        assert!(!written.contains("secret") && !written.contains("bWU6c2VjcmV0"), "{written}");
        assert!(fs::read_to_string(&kept).unwrap().contains(r#""Secret":"secret""#));
        ours.ok(&["push", &name]);
        cli.ok(&["rmi", &name]);
        cli.ok(&["pull", &name]);
        cli.ok(&["logout", &address]);
        assert!(!kept.exists());
        cli.fails(1, &["pull", &name]);
        fs::remove_file(&program).unwrap();
        let said = ours.run(&["pull", &name]);
        assert!(said.code != 0 && said.err.contains("docker-credential-shelf"), "{said:?}");
    }

    fn a_daemon_that_is_killed_in_the_middle_of_a_pull_leaves_nothing_of_it(node, cli) needs ["busybox"] {
        let registry = Registry::start(None);
        let name = registry.name("tool:1");
        give(&cli, &name);
        cli.ok(&["rmi", "busybox", "alpine"]);
        registry.hold_layers_back();
        let images = node.data_root().join("images");
        let halves = || -> usize {
            ["blobs/sha256", "layers", "tmp"].iter().map(|part| fs::read_dir(images.join(part)).unwrap().count()).sum()
        };
        assert_eq!(halves(), 0);
        let mut pulling = cli.spawn(&["pull", &name]);
        until("a layer is on its way", || {
            (halves() > 0 && registry.asked("GET /v2/tool/blobs/") >= 2).then_some(())
        });
        assert!(pulling.is_running());
        node.kill();
        let _ = pulling.finish();
        node.start_again();
        assert_eq!(halves(), 0);
        assert_eq!(cli.ok(&["images", "-q"]), "");
    }

    fn a_pull_whose_client_goes_away_ends(node, cli) needs ["busybox"] {
        let registry = Registry::start(None);
        let name = registry.name("tool:1");
        give(&cli, &name);
        cli.ok(&["rmi", "busybox", "alpine"]);
        registry.hold_layers_back();
        let stages = || fs::read_dir(node.data_root().join("images/tmp")).unwrap().count();
        let before = stages();
        let pulling = cli.spawn(&["pull", &name]);
        until("a layer is on its way", || (stages() > before).then_some(()));
        pulling.signal(rustix::process::Signal::INT);
        let _ = pulling.finish();
        until("its half is gone", || (stages() == before).then_some(()));
    }

    fn what_a_registry_has_is_looked_at_without_a_pull(node, cli) needs ["busybox"] {
        let registry = Registry::start(None);
        let name = registry.name("team/tool:1");
        let id = cli.ok(&["inspect", "--format", "{{.Id}}", "busybox"]);
        let pushed = give(&cli, &name);
        // The docker client asks the registry itself, which needs no daemon.
        if cli.client() == Client::Bocage {
            let manifest = cli.ok(&["manifest", "inspect", &name]);
            assert!(manifest.starts_with("{\n    \"schemaVersion\": 2,") && manifest.contains(&id), "{manifest}");
            let all = cli.ok(&["manifest", "inspect", "-v", &name]);
            assert!(all.contains(&pushed) && all.contains("\"architecture\": \"amd64\""), "{all}");
            assert_eq!(cli.ok(&["image", "inspect", "--remote", "--format", "{{.Id}} {{.Config.Cmd}}", &name]), format!("{id} [sh]"));
            let said = cli.fails(1, &["image", "inspect", "--remote", &registry.name("nothing")]);
            assert!(said.contains("not found"), "{said}");
        }
        let told = node.request("GET", &format!("/v1.51/distribution/{name}/json"), None).json();
        assert_eq!((told["Descriptor"]["digest"].as_str(), told["Platforms"][0]["os"].as_str()), (Some(pushed.as_str()), Some("linux")));
        let found = cli.ok(&["search", "--format", "{{.Name}}", &registry.name("too")]);
        assert_eq!(found, registry.name("team/tool"));
        assert_eq!(cli.ok(&["search", "--format", "{{.Name}}", &registry.name("zzz")]), "");
        assert_eq!(cli.ok(&["images", "-q", &name]), "", "nothing was pulled");
        assert_eq!(node.request("GET", "/v1.51/images/search?term=x&limit=101", None).status, 400);
    }
}
