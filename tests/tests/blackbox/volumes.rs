//! Row V1: folders of the host inside a container.

use std::fs;

use blackbox::{page, rows, until};

rows! {
    /// V1
    fn a_folder_of_the_host_is_served(node, cli) needs ["nginx"] {
        let folder = node.home().join("html");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("index.html"), "from the host").unwrap();
        let mount = format!("{}:/usr/share/nginx/html", folder.display());
        cli.ok(&["run", "-d", "--name", "web", "-v", &mount, "-P", "nginx"]);
        let port = cli.ok(&["port", "web", "80"]);
        let port = port.lines().next().unwrap().rsplit(':').next().unwrap().to_owned();
        let url = format!("http://127.0.0.1:{port}/");
        until("the folder is served", || (page(&url)? == "from the host").then_some(()));
        fs::write(folder.join("index.html"), "changed").unwrap();
        until("a change is seen", || (page(&url)? == "changed").then_some(()));
        cli.ok(&["rm", "-f", "web"]);
        assert_eq!(fs::read_to_string(folder.join("index.html")).unwrap(), "changed", "the folder stays");
    }

    /// V1
    fn what_is_written_through_a_mount_is_on_the_host(node, cli) needs ["busybox"] {
        let folder = node.home().join("out");
        let mount = format!("{}:/out", folder.display());
        cli.ok(&["run", "--rm", "-v", &mount, "busybox", "sh", "-c", "echo words > /out/file"]);
        assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "words\n", "a missing folder is made for -v");
    }

    fn a_read_only_mount_cannot_be_written(node, cli) needs ["busybox"] {
        let mount = format!("{}:/in:ro", node.home().display());
        let said = cli.run(&["run", "--rm", "-v", &mount, "busybox", "touch", "/in/file"]);
        assert!(said.code != 0 && said.err.contains("Read-only"), "{said:?}");
        let mount = format!("type=bind,source={},target=/in,readonly", node.home().display());
        let said = cli.run(&["run", "--rm", "--mount", &mount, "busybox", "touch", "/in/file"]);
        assert!(said.code != 0 && said.err.contains("Read-only"), "{said:?}");
    }

    fn one_file_is_mounted(node, cli) needs ["busybox"] {
        let file = node.home().join("settings");
        fs::write(&file, "colour=blue").unwrap();
        let mount = format!("{}:/etc/settings", file.display());
        assert_eq!(cli.ok(&["run", "--rm", "-v", &mount, "busybox", "cat", "/etc/settings"]), "colour=blue");
    }

    fn a_missing_source_of_mount_is_refused(node, cli) needs ["busybox"] {
        let mount = format!("type=bind,source={}/missing,target=/in", node.home().display());
        let said = cli.run(&["run", "--rm", "--mount", &mount, "busybox", "true"]);
        assert!(said.code == 125 && said.err.contains("bind source path does not exist"), "{said:?}");
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
    }
}
