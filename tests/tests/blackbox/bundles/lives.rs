//! A container's life by single verbs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use blackbox::{Bundle, until};
use serde_json::{Value, json};

/// A program that runs until it is told to end, once it has said that it runs.
const WAITING: &str = "trap 'exit 7' TERM; echo runs > /said; while :; do sleep 0.1; done";

/// A bundle whose program runs until it is told to end.
fn waiting() -> Option<Bundle> {
    let mut bundle = Bundle::new()?;
    bundle.shell(WAITING);
    Some(bundle)
}

/// What one adds to a container prints.
fn added(bundle: &Bundle, flags: &[&str], script: &str) -> String {
    bundle.ok(&[&["exec"], flags, &[bundle.id(), "sh", "-c", script]].concat())
}

#[test]
fn a_container_is_created_started_signalled_and_deleted() {
    let Some(bundle) = waiting() else { return };
    let id = bundle.id().to_owned();
    bundle.create();
    let state = bundle.state();
    assert_eq!((state["id"].as_str(), state["status"].as_str()), (Some(&*id), Some("created")));
    assert_eq!(state["bundle"].as_str(), Some(&*bundle.folder()));
    assert!(Path::new(&format!("/proc/{}", bundle.pid())).exists());
    assert!(!bundle.root().join("said").exists(), "the program runs before it is started");
    bundle.ok(&["start", &id]);
    assert_eq!(bundle.status(), "running");
    assert_eq!(bundle.until_written("said"), "runs");
    assert_eq!(bundle.ok(&["list", "--quiet"]), id);
    let listed: Value = serde_json::from_str(&bundle.ok(&["list", "--format", "json"])).unwrap();
    assert_eq!(listed[0]["pid"].as_u64(), Some(bundle.pid()));
    bundle.ok(&["kill", &id, "0"]);
    bundle.ok(&["kill", &id]);
    bundle.until_status("stopped");
    assert_eq!(bundle.state()["pid"], 0);
    bundle.refused(&["kill", &id, "KILL"], "it is stopped");
    bundle.ok(&["delete", &id]);
    bundle.refused(&["state", &id], "does not exist");
    bundle.is_gone();
}

#[test]
fn one_that_never_started_is_deleted_too() {
    let Some(bundle) = waiting() else { return };
    bundle.create();
    bundle.ok(&["delete", bundle.id()]);
    bundle.is_gone();
    assert!(!bundle.root().join("said").exists());
}

#[test]
fn one_that_waits_takes_processes_and_starts_all_the_same() {
    let Some(bundle) = waiting() else { return };
    bundle.create();
    assert_eq!(added(&bundle, &[], "echo early"), "early");
    assert_ne!(bundle.run(&["exec", bundle.id(), "/nosuch"]).code, 0);
    assert_eq!(bundle.status(), "created");
    bundle.ok(&["start", bundle.id()]);
    assert_eq!(bundle.until_written("said"), "runs");
    bundle.end();
}

#[test]
fn later_changes_of_the_bundle_change_nothing() {
    let Some(mut bundle) = waiting() else { return };
    bundle.create();
    bundle.shell("echo another > /said; sleep 1000");
    bundle.ok(&["start", bundle.id()]);
    assert_eq!(bundle.until_written("said"), "runs");
    bundle.end();
}

#[test]
fn processes_are_added_as_they_are_described() {
    let Some(bundle) = waiting() else { return };
    bundle.start();
    let id = bundle.id().to_owned();
    assert_eq!(bundle.run(&["exec", &id, "sh", "-c", "exit 9"]).code, 9);
    assert_eq!(bundle.run(&["exec", &id, "sh", "-c", "kill -KILL $$"]).code, 137);
    assert_eq!(added(&bundle, &["--env", "TREE=oak", "--env", "TREE=elm"], "echo $TREE"), "elm");
    assert_eq!(added(&bundle, &["--cwd", "/srv"], "pwd"), "/srv");
    assert_eq!(added(&bundle, &["--user", "7:8", "-g", "9"], "id -u; id -g; id -G"), "7\n8\n8 9");
    let effective = |flags: &[&str]| {
        let mask = added(&bundle, flags, "sed -n 's/^CapEff:.//p' /proc/self/status");
        u64::from_str_radix(&mask, 16).unwrap()
    };
    // CAP_SYS_TIME is 25 in capabilities(7).
    assert_eq!(effective(&["--cap", "CAP_SYS_TIME"]) ^ effective(&[]), 1 << 25);
    assert_eq!(added(&bundle, &["--no-new-privs"], "grep -c 'NoNewPrivs:.1' /proc/self/status"), "1");
    fs::write(
        bundle.path("process.json"),
        r#"{"args":["sh","-c","pwd; echo $A"],"cwd":"/mnt","env":["A=b","PATH=/bin"]}"#,
    )
    .unwrap();
    assert_eq!(bundle.ok(&["exec", "--process", &bundle.path("process.json"), &id]), "/mnt\nb");
    bundle.end();
}

#[test]
fn an_added_process_has_the_descriptors_that_are_passed() {
    let Some(bundle) = waiting() else { return };
    bundle.start();
    fs::write(bundle.path("passed"), "through\n").unwrap();
    let exec = bundle.command(&[
        "exec",
        "--preserve-fds",
        "1",
        bundle.id(),
        "sh",
        "-c",
        "cat <&3; ls /proc/self/fd",
    ]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "exec 3<passed 4<passed; exec \"$@\"", "sh"])
        .arg(exec.get_program())
        .args(exec.get_args());
    let said = bundle.finish(shell.current_dir(bundle.folder()).stdin(Stdio::null()));
    // `ls` has the directory open as the first free one.
    assert_eq!((said.code, said.out.as_str()), (0, "through\n0\n1\n2\n3\n4\n"), "{said:?}");
    bundle.end();
}

#[test]
fn an_added_process_may_be_left_running() {
    let Some(bundle) = waiting() else { return };
    bundle.start();
    let file = bundle.path("pid");
    bundle.ok(&["exec", "--detach", "--pid-file", &file, bundle.id(), "sleep", "1000"]);
    let pid: u64 = fs::read_to_string(file).unwrap().parse().unwrap();
    let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(words, "sleep\x001000\0");
    let listed: Vec<u64> =
        serde_json::from_str(&bundle.ok(&["ps", "--format", "json", bundle.id()])).unwrap();
    assert!(listed.contains(&pid) && listed.contains(&bundle.pid()), "{listed:?}");
    bundle.end();
    assert!(!Path::new(&format!("/proc/{pid}/root/bin")).exists(), "it outlives its container");
}

#[test]
fn all_stands_still_and_goes_on() {
    let Some(bundle) = waiting() else { return };
    bundle.start();
    let id = bundle.id();
    bundle.refused(&["resume", id], "it is running");
    bundle.ok(&["pause", id]);
    assert_eq!(bundle.status(), "paused");
    bundle.refused(&["exec", id, "true"], "it is paused");
    bundle.refused(&["delete", id], "it is paused");
    bundle.refused(&["pause", id], "it is paused");
    bundle.ok(&["resume", id]);
    assert_eq!(bundle.status(), "running");
    bundle.ok(&["exec", id, "true"]);
    bundle.ok(&["pause", id]);
    bundle.ok(&["kill", id, "KILL"]);
    bundle.until_status("stopped");
    bundle.ok(&["delete", id]);
    bundle.is_gone();
}

/// The number in a file of the container's group, by its name in v1 and in v2.
fn limit(bundle: &Bundle, controller: &str, files: [&str; 2]) -> String {
    let group = bundle.group(controller);
    let text = files.iter().find_map(|file| fs::read_to_string(group.join(file)).ok());
    text.unwrap_or_else(|| panic!("{} has none of {files:?}", group.display())).trim().to_owned()
}

#[test]
fn limits_change_while_it_runs() {
    let Some(mut bundle) = waiting() else { return };
    bundle.edit("/linux/resources/pids", json!({ "limit": 50 }));
    bundle.start();
    let id = bundle.id();
    let pids = || limit(&bundle, "pids", ["pids.max", "pids.max"]);
    let memory = || limit(&bundle, "memory", ["memory.limit_in_bytes", "memory.max"]);
    assert_eq!(pids(), "50");
    bundle.ok(&["update", "--pids-limit", "60", "--memory", "67108864", id]);
    assert_eq!((pids(), memory()), ("60".to_owned(), (64 << 20).to_string()));
    fs::write(bundle.path("limits.json"), r#"{"memory":{"limit":134217728}}"#).unwrap();
    bundle.ok(&["update", "--resources", &bundle.path("limits.json"), id]);
    assert_eq!((pids(), memory()), ("60".to_owned(), (128 << 20).to_string()));
    bundle.ok(&["update", "--pids-limit", "-1", id]);
    assert_eq!(pids(), "max");
    bundle.refused(&["update", "--memory", "much", id], "no number that fits");
    bundle.end();
}

#[test]
fn figures_are_told_as_json() {
    let Some(mut bundle) = waiting() else { return };
    bundle.edit("/linux/resources/pids", json!({ "limit": 50 }));
    bundle.start();
    let _ = bundle.until_written("said");
    let line: Value = serde_json::from_str(&bundle.ok(&["events", "--stats", bundle.id()])).unwrap();
    assert_eq!((line["type"].as_str(), line["id"].as_str()), (Some("stats"), Some(bundle.id())));
    let figures = &line["data"];
    assert_eq!(figures["pids"]["limit"], 50);
    assert!(figures["pids"]["current"].as_u64() >= Some(1), "{figures}");
    assert!(figures["cpu"]["usage"]["total"].as_u64() > Some(0), "{figures}");
    assert!(figures["memory"]["usage"]["usage"].as_u64() > Some(0), "{figures}");
    bundle.end();
}

#[test]
fn who_shares_the_hosts_processes_is_killed_with_all_it_made() {
    let Some(mut bundle) = waiting() else { return };
    bundle.share("pid");
    bundle.shell("sleep 1000 & echo $! > /said; exit 0");
    bundle.start();
    let child = bundle.until_written("said");
    bundle.until_status("stopped");
    assert!(Path::new(&format!("/proc/{child}/root/bin")).exists(), "it went with the first process");
    bundle.ok(&["kill", "--all", bundle.id(), "KILL"]);
    until("it is gone", || (!Path::new(&format!("/proc/{child}/root/bin")).exists()).then_some(()));
    bundle.ok(&["delete", bundle.id()]);
    bundle.is_gone();
}

/// Whoever kills the runtime in the middle has a container or none, and can make an end of either.
#[test]
fn a_creation_that_is_killed_leaves_nothing_that_cannot_be_deleted() {
    let Some(bundle) = waiting() else { return };
    let group = bundle.group("pids");
    let moments = [
        None,
        Some(bundle.kept()),
        Some(group),
        Some(bundle.kept().join("start.sock")),
        Some(bundle.kept().join("state.json")),
    ];
    for moment in moments {
        let mut command = bundle.command(&["create", "--bundle", &bundle.folder(), bundle.id()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if let Some(path) = &moment {
            while !path.exists() && child.try_wait().unwrap().is_none() {}
        }
        child.kill().unwrap();
        child.wait().unwrap();
        bundle.ok(&["delete", "--force", bundle.id()]);
        let is_alive = || bundle.left().iter().any(|left| left.starts_with("process"));
        until(&format!("nobody is left of a creation killed at {moment:?}"), || (!is_alive()).then_some(()));
        bundle.is_gone();
    }
    bundle.start();
    bundle.end();
}
