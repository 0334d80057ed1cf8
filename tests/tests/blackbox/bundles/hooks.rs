//! Programs that are run on a container's way, and filters of system calls.

use std::fs;

use blackbox::Bundle;
use serde_json::{Value, json};

/// The kinds, in the order in which they are run; the last but two run when the program is let go, the last when it is deleted.
const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that writes its kind and what it was told into a file of the root, and ends with this code.
fn hook(bundle: &Bundle, kind: &str, code: u8) -> Value {
    // That one kind runs with the container's own root.
    let file = if kind == "startContainer" { "/log".to_owned() } else { bundle.path("rootfs/log") };
    let script = format!("{{ echo -n '{kind} '; cat; echo; }} >> {file}; exit {code}");
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], "timeout": 20 }])
}

/// Who wrote into the file, with what they were told.
fn told(bundle: &Bundle) -> Vec<(String, Value)> {
    let text = fs::read_to_string(bundle.root().join("log")).unwrap_or_default();
    let lines = text.lines().map(|line| {
        let (kind, state) = line.split_once(' ').unwrap();
        (kind.to_owned(), serde_json::from_str(state).unwrap_or_else(|error| panic!("{error}: {line}")))
    });
    lines.collect()
}

fn kinds(bundle: &Bundle) -> Vec<String> {
    told(bundle).into_iter().map(|(kind, _)| kind).collect()
}

/// A bundle with a hook of each kind, of which this one fails.
fn hooked(failing: Option<&str>) -> Option<Bundle> {
    let mut bundle = Bundle::new()?;
    bundle.edit("/hooks", json!({}));
    for kind in KINDS {
        let hook = hook(&bundle, kind, u8::from(failing == Some(kind)));
        bundle.edit(&format!("/hooks/{kind}"), hook);
    }
    bundle.edit("/annotations", json!({ "tree": "oak" }));
    bundle.shell("exec sleep 1000");
    Some(bundle)
}

#[test]
fn hooks_run_in_their_order_and_are_told_the_state() {
    let Some(bundle) = hooked(None) else { return };
    bundle.create();
    assert_eq!(kinds(&bundle), KINDS[..3]);
    let pid = bundle.pid();
    bundle.ok(&["start", bundle.id()]);
    assert_eq!(kinds(&bundle), KINDS[..5]);
    bundle.ok(&["delete", "--force", bundle.id()]);
    bundle.is_gone();
    let told = told(&bundle);
    assert_eq!(told.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), KINDS);
    for (kind, state) in &told {
        assert_eq!(state["id"].as_str(), Some(bundle.id()), "{kind}");
        assert_eq!(state["bundle"].as_str(), Some(&*bundle.folder()), "{kind}");
        assert_eq!(state["annotations"]["tree"], "oak", "{kind}");
        assert!(state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{kind}");
        // The host's number, for whoever runs on the host.
        let number = match kind.as_str() {
            "createContainer" | "startContainer" => state["pid"].as_u64().filter(|number| *number > 0),
            "poststop" => state["pid"].as_u64().or(Some(0)),
            _ => state["pid"].as_u64().filter(|number| *number == pid),
        };
        assert!(number.is_some(), "{kind} is told {state}, and the process is {pid}");
    }
    let status: Vec<&str> =
        told.iter().map(|(_, state)| state["status"].as_str().unwrap_or_default()).collect();
    assert_eq!(status, ["creating", "creating", "creating", "created", "running", "stopped"]);
}

#[test]
fn a_hook_that_fails_ends_the_creation() {
    for (index, failing) in KINDS[..3].iter().enumerate() {
        let Some(bundle) = hooked(Some(failing)) else { return };
        bundle.refused(&["create", "--bundle", &bundle.folder(), bundle.id()], "hook");
        assert_eq!(kinds(&bundle), KINDS[..=index]);
        bundle.is_gone();
    }
}

#[test]
fn a_hook_that_fails_ends_the_start() {
    for (index, failing) in KINDS.iter().enumerate().skip(3).take(2) {
        let Some(bundle) = hooked(Some(failing)) else { return };
        bundle.create();
        bundle.refused(&["start", bundle.id()], "hook");
        assert_eq!(kinds(&bundle), KINDS[..=index]);
        bundle.until_status("stopped");
        bundle.end();
    }
}

#[test]
fn a_hook_that_fails_at_the_end_is_told_and_stops_nothing() {
    let Some(bundle) = hooked(Some("poststop")) else { return };
    bundle.start();
    let said = bundle.run(&["delete", "--force", bundle.id()]);
    assert!(said.code == 0 && said.err.contains("warning") && said.err.contains("poststop"), "{said:?}");
    bundle.is_gone();
}

#[test]
fn a_hook_that_takes_too_long_fails() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.edit(
        "/hooks",
        json!({ "createRuntime": [{ "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 }] }),
    );
    bundle.refused(&["create", "--bundle", &bundle.folder(), bundle.id()], "hook");
    bundle.is_gone();
    bundle.edit("/hooks", json!({ "createRuntime": [{ "path": "sleep" }] }));
    bundle.refused(&["create", "--bundle", &bundle.folder(), bundle.id()], "must be absolute");
}

#[test]
fn a_filter_answers_with_the_error_that_it_names() {
    let Some(mut bundle) = Bundle::new() else { return };
    // 28 is ENOSPC, which nothing else would answer here.
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 });
    bundle.edit("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule] }));
    bundle.edit("/process/noNewPrivileges", json!(false));
    bundle.shell("mkdir /tmp/x 2>&1; touch /tmp/y && echo made");
    let said = bundle.run_through();
    assert!(said.contains("No space left on device") && said.ends_with("made"), "{said}");
    bundle.edit("/process/noNewPrivileges", json!(true));
    assert_eq!(bundle.run_through(), said);
    bundle.edit("/linux/seccomp/defaultAction", json!("SCMP_ACT_NOSUCH"));
    bundle.refused(&["create", "--bundle", &bundle.folder(), bundle.id()], "SCMP_ACT_NOSUCH");
    bundle.is_gone();
}
