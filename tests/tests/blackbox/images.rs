//! Images: load, tag, list, look at, save, import, remove.

use std::fs;

use blackbox::{Cli, image_path, rows};

fn names(cli: &Cli) -> Vec<String> {
    let mut names: Vec<String> =
        cli.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).lines().map(str::to_owned).collect();
    names.sort();
    names
}

rows! {
    fn an_archive_is_loaded_from_a_file_and_from_standard_input(_node, cli) needs ["busybox"] {
        assert_eq!(names(&cli), ["alpine:latest", "busybox:latest"]);
        cli.ok(&["rmi", "alpine", "busybox"]);
        assert!(names(&cli).is_empty());
        let said = cli.run_with(&["load"], &fs::read(image_path("busybox")).unwrap());
        assert!(said.code == 0 && said.out.contains("Loaded image: busybox:latest"), "{said:?}");
        assert_eq!(names(&cli), ["alpine:latest", "busybox:latest"]);
        assert_eq!(cli.ok(&["run", "--rm", "busybox", "echo", "works"]), "works");
    }

    fn images_are_listed_in_dockers_columns(_node, cli) needs ["nginx", "busybox"] {
        let table = cli.ok(&["images"]);
        let head = table.lines().next().unwrap();
        for word in ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"] {
            assert!(head.contains(word), "{head}");
        }
        assert!(table.lines().any(|line| line.starts_with("nginx ") && line.contains("MB")), "{table}");
        let id = cli.ok(&["inspect", "--format", "{{.Id}}", "nginx"]);
        assert!(table.contains(&id.trim_start_matches("sha256:")[..12]));
        assert_eq!(cli.ok(&["images", "-q", "--no-trunc", "nginx"]), id);
    }

    fn a_tag_is_another_name_and_removing_it_keeps_the_image(_node, cli) needs ["busybox"] {
        cli.ok(&["tag", "busybox", "registry.example:5000/team/tool:v1"]);
        assert!(names(&cli).contains(&"registry.example:5000/team/tool:v1".to_owned()));
        assert_eq!(cli.ok(&["run", "--rm", "registry.example:5000/team/tool:v1", "echo", "same"]), "same");
        let said = cli.ok(&["rmi", "registry.example:5000/team/tool:v1"]);
        assert_eq!(said, "Untagged: registry.example:5000/team/tool:v1");
        cli.ok(&["rmi", "alpine"]);
        let said = cli.ok(&["rmi", "busybox"]);
        assert!(said.starts_with("Untagged: busybox:latest") && said.contains("Deleted: sha256:"), "{said}");
        assert!(names(&cli).is_empty());
    }

    fn what_is_saved_is_loaded_again(node, cli) needs ["nginx"] {
        let id = cli.ok(&["inspect", "--format", "{{.Id}}", "nginx"]);
        let layers = cli.ok(&["inspect", "--format", "{{.RootFS.Layers}}", "nginx"]);
        let file = node.home().join("saved.tar");
        cli.ok(&["save", "-o", &file.to_string_lossy(), "nginx:latest"]);
        cli.ok(&["rmi", "nginx"]);
        cli.ok(&["load", "-i", &file.to_string_lossy()]);
        assert_eq!(cli.ok(&["inspect", "--format", "{{.Id}}", "nginx"]), id);
        assert_eq!(cli.ok(&["inspect", "--format", "{{.RootFS.Layers}}", "nginx"]), layers);
        assert_eq!(cli.ok(&["run", "--rm", "nginx", "nginx", "-t", "-q"]), "");
    }

    fn a_root_is_imported_as_an_image(node, cli) needs ["busybox"] {
        let root = node.home().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        let copied = cli.ok(&["run", "--rm", "-v", &format!("{}:/out", root.display()), "busybox", "cp", "/bin/busybox", "/out/bin/sh"]);
        assert_eq!(copied, "");
        let file = node.home().join("root.tar");
        let tar = std::process::Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&file).arg(".").status().unwrap();
        assert!(tar.success());
        let id = cli.ok(&["import", "-c", "CMD [\"/bin/sh\", \"-c\", \"echo imported\"]", &file.to_string_lossy(), "mine:v1"]);
        assert!(id.starts_with("sha256:"), "{id}");
        assert_eq!(cli.ok(&["run", "--rm", "mine:v1"]), "imported");
    }

    fn an_image_tells_its_settings_and_its_history(_node, cli) needs ["nginx", "redis"] {
        assert_eq!(cli.ok(&["inspect", "--format", "{{.Config.StopSignal}} {{.Config.Cmd}}", "nginx"]), "SIGQUIT [nginx -g daemon off;]");
        assert_eq!(cli.ok(&["inspect", "--format", "{{.Os}}/{{.Architecture}} {{len .RootFS.Layers}}", "nginx"]), "linux/amd64 2");
        let history = cli.ok(&["history", "nginx"]);
        assert!(history.starts_with("IMAGE") && history.contains("CREATED BY") && history.lines().count() >= 3, "{history}");
        assert_eq!(cli.ok(&["inspect", "--format", "{{.Id}}", "redis:alpine"]), cli.ok(&["inspect", "--format", "{{.Id}}", "redis"]));
    }

    fn redis_keeps_its_data_in_its_volume_and_answers(_node, cli) needs ["redis"] {
        cli.ok(&["run", "-d", "--name", "db", "redis:alpine"]);
        blackbox::until("redis answers", || (cli.run(&["exec", "db", "redis-cli", "ping"]).out.trim() == "PONG").then_some(()));
        assert_eq!(cli.ok(&["exec", "db", "redis-cli", "set", "colour", "blue"]), "OK");
        assert!(cli.ok(&["inspect", "--format", "{{range .Mounts}}{{.Destination}} {{.Type}}{{end}}", "db"]) == "/data volume");
        assert_eq!(cli.ok(&["exec", "db", "redis-cli", "save"]), "OK");
        cli.ok(&["restart", "db"]);
        blackbox::until("redis answers again", || (cli.run(&["exec", "db", "redis-cli", "get", "colour"]).out.trim() == "blue").then_some(()));
        cli.ok(&["rm", "-f", "-v", "db"]);
    }
}
