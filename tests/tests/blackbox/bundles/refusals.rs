//! Wrong input: each gets its message, and nothing is left behind.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use blackbox::Bundle;
use serde_json::{Value, json};

/// A bundle with one field changed is refused by this message, by `create` and by `run`.
fn refused(pointer: &str, value: &Value, message: &str) {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.edit(pointer, value.clone());
    for verb in ["create", "run"] {
        bundle.refused(&[verb, "--bundle", &bundle.folder(), bundle.id()], message);
    }
    bundle.is_gone();
}

#[test]
fn a_missing_bundle_is_named() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.refused(&["create", "--bundle", "/nosuch", bundle.id()], "/nosuch");
    let empty = bundle.path("empty");
    fs::create_dir(&empty).unwrap();
    bundle.refused(&["create", "--bundle", &empty, bundle.id()], "config.json");
    fs::write(Path::new(&empty).join("config.json"), "{").unwrap();
    bundle.refused(&["create", "--bundle", &empty, bundle.id()], "config.json");
    fs::write(Path::new(&empty).join("config.json"), r#"{"ociVersion":"2.0.0"}"#).unwrap();
    bundle.refused(&["create", "--bundle", &empty, bundle.id()], "no version 1");
    bundle.is_gone();
}

#[test]
fn an_id_that_is_no_name_is_refused() {
    let Some(bundle) = Bundle::new() else { return };
    for id in ["", ".", "..", "a/b", "../up", "a b", "ä"] {
        bundle.refused(&["create", "--bundle", &bundle.folder(), id], "invalid container id");
        bundle.refused(&["delete", "--force", id], "invalid container id");
    }
    bundle.is_gone();
}

#[test]
fn an_id_is_taken_once() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.shell("exec sleep 1000");
    bundle.start();
    let pid = bundle.pid();
    for verb in ["create", "run"] {
        bundle.refused(&[verb, "--bundle", &bundle.folder(), bundle.id()], "exists already");
    }
    assert_eq!((bundle.status(), bundle.pid()), ("running".to_owned(), pid));
    bundle.end();
}

#[test]
fn a_verb_at_the_wrong_time_is_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = bundle.id().to_owned();
    for verb in ["start", "state", "kill", "delete", "pause", "resume", "ps"] {
        bundle.refused(&[verb, &id], "does not exist");
    }
    bundle.ok(&["delete", "--force", &id]);
    bundle.shell("exec sleep 1000");
    bundle.start();
    bundle.refused(&["start", &id], "it is running");
    bundle.refused(&["delete", &id], "it is running");
    bundle.refused(&["kill", &id, "NOSUCH"], "unknown signal");
    bundle.ok(&["kill", &id, "SIGKILL"]);
    bundle.until_status("stopped");
    for words in
        [&["start", &id][..], &["exec", &id, "true"], &["pause", &id], &["update", "--pids-limit", "9", &id]]
    {
        bundle.refused(words, "it is stopped");
    }
    bundle.end();
}

#[test]
fn what_this_runtime_does_not_do_is_refused_by_name() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.refused(&["--systemd-cgroup", "create", "--bundle", &bundle.folder(), bundle.id()], "cgroupfs");
    bundle.refused(&["checkpoint", bundle.id()], "not supported");
    bundle.refused(&["restore", bundle.id()], "not supported");
    bundle.refused(&["nosuch"], "nosuch");
    bundle.refused(&["spec"], "exists already");
    bundle.is_gone();
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_its_field() {
    refused("/linux/namespaces/-", &json!({ "type": "nosuch" }), "linux.namespaces");
    refused("/linux/namespaces/-", &json!({ "type": "pid" }), "stands there twice");
    refused("/linux/namespaces/-", &json!({ "type": "user" }), "linux.uidMappings");
    refused("/process/args", &json!([]), "process.args");
    refused("/process/cwd", &json!("relative"), "process.cwd");
    refused("/process/rlimits", &json!([{ "type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1 }]), "RLIMIT_NOSUCH");
    refused("/mounts/-", &json!({ "destination": "/mnt", "type": "bind" }), "a bind mount needs one");
    refused("/mounts/-", &json!({ "destination": "/mnt", "type": "nosuch", "source": "x" }), "nosuch");
    refused("/linux/intelRdt", &json!({ "closID": "x" }), "linux.intelRdt");
    refused("/root/path", &json!("nosuch"), "root.path");
}

#[test]
fn what_would_reach_the_host_is_refused() {
    for (kind, pointer, value, message) in [
        ("network", "/linux/sysctl", json!({ "net.ipv4.ip_forward": "1" }), "a new network namespace"),
        ("ipc", "/linux/sysctl", json!({ "kernel.msgmax": "65536" }), "a new ipc namespace"),
        ("none", "/linux/sysctl", json!({ "kernel.panic": "1" }), "it is in no namespace"),
        ("uts", "/hostname", json!("field"), "it needs a uts namespace"),
        ("mount", "/linux/maskedPaths", json!(["/proc/kcore"]), "need a mount namespace"),
    ] {
        let Some(mut bundle) = Bundle::new() else { return };
        bundle.share(kind);
        bundle.edit(pointer, value);
        bundle.refused(&["create", "--bundle", &bundle.folder(), bundle.id()], message);
        bundle.is_gone();
    }
}

#[test]
fn a_setting_of_its_own_namespace_is_made() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.edit("/linux/sysctl", json!({ "net.ipv4.ip_forward": "1", "kernel.msgmax": "65536" }));
    bundle.shell("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax");
    assert_eq!(bundle.run_through(), "1\n65536");
}

#[test]
fn a_root_that_is_a_link_is_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    symlink("rootfs", bundle.path("link")).unwrap();
    bundle.edit("/root/path", json!("link"));
    bundle.refused(&["create", "--bundle", &bundle.folder(), bundle.id()], "no symbolic link");
    bundle.is_gone();
}
