//! How a daemon begins and ends: by itself, once, beside others, refused where it must be.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use blackbox::{Client, Node, Options, left_of, ready, until};

/// The binary that the harness tests.
fn bocage(folder: &std::path::Path) -> Command {
    let mut command = Command::new(blackbox::binary());
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("BOCAGE_DATA_ROOT", folder.join("data"))
        .env("BOCAGE_EXEC_ROOT", folder.join("exec"))
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

#[test]
fn a_command_that_finds_no_daemon_starts_one_and_says_so_once() {
    if !ready(Client::Bocage, &[]) {
        return;
    }
    let folder = PathBuf::from(format!("/var/tmp/bocage-test-{}-auto", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    // Two at once: one daemon answers both.
    let children: Vec<_> = (0..2)
        .map(|_| bocage(&folder).args(["ps"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let told: Vec<String> =
        outputs.iter().map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).collect();
    for output in &outputs {
        assert!(output.status.success(), "{told:?}");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("CONTAINER ID"));
    }
    assert!(told.iter().any(|text| text.contains("log")), "the path of the log is told: {told:?}");
    let again = bocage(&folder).args(["ps"]).output().unwrap();
    assert!(again.status.success() && again.stderr.is_empty(), "said once only: {again:?}");
    let status = bocage(&folder).args(["daemon", "status"]).output().unwrap();
    assert!(status.status.success(), "{status:?}");
    let stop = bocage(&folder).args(["daemon", "stop", "--containers"]).output().unwrap();
    assert!(stop.status.success(), "{stop:?}");
    until("nothing is left", || left_of(&folder.to_string_lossy()).is_empty().then_some(()));
    let status = bocage(&folder).args(["daemon", "status"]).output().unwrap();
    assert!(!status.status.success(), "status starts no daemon: {status:?}");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_second_daemon_on_the_same_root_is_refused_with_the_firsts_pid() {
    if !ready(Client::Bocage, &[]) {
        return;
    }
    let node = Node::start(&[]);
    let other = node.home().join("other");
    let refused = Command::new(blackbox::binary())
        .arg("daemon")
        .arg("--data-root")
        .arg(node.data_root())
        .arg("--exec-root")
        .arg(&other)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains(&node.pid().unwrap().to_string()), "{told}");
    assert_eq!(node.request("GET", "/_ping", None).status, 200, "the first goes on");
    node.stop();
}

#[test]
fn two_daemons_run_side_by_side_and_see_their_own_only() {
    if !ready(Client::Bocage, &["busybox"]) {
        return;
    }
    let (one, two) = (Node::start(&["busybox"]), Node::start(&["busybox"]));
    assert_ne!(one.id(), two.id());
    for node in [&one, &two] {
        node.cli(Client::Bocage).ok(&["run", "-d", "--name", "same", "-p", "80", "busybox", "sleep", "1000"]);
    }
    for node in [&one, &two] {
        let cli = node.cli(Client::Bocage);
        assert_eq!(cli.ok(&["ps", "-q"]).lines().count(), 1);
        assert_eq!(cli.run(&["exec", "same", "true"]).code, 0);
    }
    one.stop();
    assert_eq!(
        two.cli(Client::Bocage).ok(&["ps", "-q"]).lines().count(),
        1,
        "the other's end changes nothing"
    );
    two.stop();
}

#[test]
fn stopping_the_daemon_leaves_its_containers_running() {
    if !ready(Client::Bocage, &["busybox"]) {
        return;
    }
    let mut node = Node::start(&["busybox"]);
    let cli = node.cli(Client::Bocage);
    cli.ok(&["run", "-d", "--name", "goes-on", "busybox", "sleep", "1000"]);
    let pid = cli.inspect("goes-on", "{{.State.Pid}}");
    cli.ok(&["daemon", "stop"]);
    until("the daemon ended", || (!node.socket_answers()).then_some(()));
    assert!(std::path::Path::new("/proc").join(&pid).exists());
    node.kill();
    node.start_again();
    assert_eq!(cli.inspect("goes-on", "{{.State.Pid}}"), pid);
    node.stop();
}

#[test]
fn stopping_the_daemon_with_its_containers_ends_them_at_ease() {
    if !ready(Client::Bocage, &["busybox"]) {
        return;
    }
    let mut node = Node::start(&["busybox"]);
    let cli = node.cli(Client::Bocage);
    let mount = format!("{}:/out", node.home().display());
    for name in ["one", "two"] {
        let script =
            format!("trap 'echo last > /out/{name}; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
        cli.ok(&[
            "run",
            "-d",
            "--restart",
            "always",
            "--name",
            name,
            "-v",
            &mount,
            "busybox",
            "sh",
            "-c",
            &script,
        ]);
        until("the command is ready", || cli.run(&["logs", name]).out.contains("ready").then_some(()));
    }
    cli.ok(&["daemon", "stop", "--containers"]);
    until("the daemon ended", || (!node.socket_answers()).then_some(()));
    for name in ["one", "two"] {
        assert_eq!(fs::read_to_string(node.home().join(name)).unwrap(), "last\n", "{name} heard SIGTERM");
    }
    assert_eq!(left_of(node.id()), Vec::<String>::new());
    node.kill();
    node.start_again();
    // Ended with the daemon, not by the user's wish for this container alone: the policy starts them with the next daemon.
    until("both run again", || (cli.ok(&["ps", "-q"]).lines().count() == 2).then_some(()));
    node.stop();
}

#[test]
fn the_socket_is_closed_to_strangers() {
    if !ready(Client::Bocage, &[]) {
        return;
    }
    let node = Node::start(&[]);
    let mode = fs::metadata(node.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    node.stop();
}

#[test]
fn a_host_that_everybody_can_reach_is_refused_without_tls() {
    if !ready(Client::Bocage, &[]) {
        return;
    }
    let folder = PathBuf::from(format!("/var/tmp/bocage-test-{}-tcp", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for host in ["tcp://0.0.0.0:2375", "tcp://127.0.0.1:0"] {
        let refused = bocage(&folder).args(["daemon", "--host", host]).output().unwrap();
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains("TLS"), "{host}: {told}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn several_hosts_are_served_by_one_daemon() {
    if !ready(Client::Bocage, &[]) {
        return;
    }
    let port = blackbox::free_port();
    let folder = PathBuf::from(format!("/var/tmp/bocage-test-{}-hosts", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let other = format!("unix://{}/other.sock", folder.display());
    let words = ["--host", &other, "--host", &format!("tcp://127.0.0.1:{port}"), "--tcp-without-tls"];
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    words.extend(["--host".to_owned(), Node::OWN_SOCKET.to_owned()]);
    let node = Node::start_with(Options { words, ..Options::default() });
    assert!(blackbox::page(&format!("http://127.0.0.1:{port}/_ping")).is_some_and(|text| text == "OK"));
    let said = node.cli(Client::Bocage).run(&["-H", &other, "version"]);
    assert_eq!(said.code, 0, "{said:?}");
    node.stop();
    fs::remove_dir_all(&folder).unwrap();
}
