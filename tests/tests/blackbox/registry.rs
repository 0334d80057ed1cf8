//! Registries: push, pull, login, and a `run` that brings its image.

use blackbox::{Cli, Registry, rows};

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
}
