//! Namespaces of users, and mounts and clocks that depend on a namespace.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use blackbox::{Bundle, skip};
use serde_json::{Value, json};

/// What uid and gid 0 are outside.
const OUTSIDE: u32 = 100_000;
/// How many numbers are mapped.
const MAPPED: u32 = 65_536;

/// One mapping of numbers, for users and for groups.
fn mapping() -> Value {
    json!([{ "containerID": 0, "hostID": OUTSIDE, "size": MAPPED }])
}

/// A bundle with a user namespace of its own. Its mount of `/sys` is one that such a user may make.
fn mapped() -> Option<Bundle> {
    let mut bundle = Bundle::new()?;
    bundle.edit("/linux/namespaces/-", json!({ "type": "user" }));
    bundle.edit("/linux/uidMappings", mapping());
    bundle.edit("/linux/gidMappings", mapping());
    Some(bundle)
}

/// The four numbers of users that a process has, as the host sees them.
fn users(pid: u64) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    line.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

#[test]
fn root_inside_is_nobody_special_outside() {
    let Some(mut bundle) = mapped() else { return };
    std::os::unix::fs::chown(bundle.root().join("tmp"), Some(OUTSIDE), Some(OUTSIDE)).unwrap();
    bundle.shell("touch /tmp/file && id -u > /tmp/said; exec sleep 1000");
    bundle.start();
    assert_eq!(bundle.until_written("tmp/said"), "0");
    assert_eq!(users(bundle.pid()), [OUTSIDE; 4]);
    let owner = fs::metadata(bundle.root().join("tmp/file")).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (OUTSIDE, OUTSIDE));
    assert_eq!(bundle.ok(&["exec", "--user", "5:6", bundle.id(), "sh", "-c", "id -u; id -g"]), "5\n6");
    // Files of the host's root cannot be changed by it.
    assert_ne!(bundle.run(&["exec", bundle.id(), "sh", "-c", "echo x > /etc/file"]).code, 0);
    bundle.end();
}

#[test]
fn a_user_namespace_may_be_anothers() {
    let (Some(mut owner), Some(mut guest)) = (mapped(), Bundle::new()) else { return };
    owner.shell("exec sleep 1000");
    owner.start();
    let path = format!("/proc/{}/ns/user", owner.pid());
    guest.edit("/linux/namespaces/-", json!({ "type": "user", "path": path }));
    guest.shell("exec sleep 1000");
    guest.start();
    let namespace = |pid: u64| fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    assert_eq!(namespace(guest.pid()), namespace(owner.pid()));
    assert_ne!(namespace(guest.pid()), fs::read_link("/proc/self/ns/user").unwrap());
    assert_eq!(users(guest.pid()), [OUTSIDE; 4]);
    guest.end();
    owner.end();
}

#[test]
fn a_mapped_mount_shows_owners_as_the_container_has_them() {
    let Some(mut bundle) = mapped() else { return };
    let folder = bundle.path("shared");
    fs::create_dir(&folder).unwrap();
    bundle.edit(
        "/mounts/-",
        json!({ "destination": "/mnt", "type": "bind", "source": folder, "options": ["rbind", "idmap"] }),
    );
    for set in ["bounding", "effective", "permitted"] {
        bundle.edit(&format!("/process/capabilities/{set}"), json!(["CAP_CHOWN"]));
    }
    bundle.shell("stat -c %u:%g /mnt && touch /mnt/file && chown 3:4 /mnt/file && stat -c %u:%g /mnt/file");
    let said = bundle.run(&["run", "--bundle", &bundle.folder(), bundle.id()]);
    if said.err.contains("EINVAL") || said.err.contains("Invalid argument") {
        return skip("the file system of /var/tmp maps no owners");
    }
    assert_eq!((said.code, said.out.as_str()), (0, "0:0\n3:4\n"), "{said:?}");
    let owner = fs::metadata(Path::new(&folder).join("file")).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (3, 4), "on the host it is owned as inside");
    bundle.is_gone();
}

#[test]
fn a_mount_may_bring_a_mapping_of_its_own() {
    let Some(mut bundle) = Bundle::new() else { return };
    let folder = bundle.path("shared");
    fs::create_dir(&folder).unwrap();
    bundle.edit(
        "/mounts/-",
        json!({
            "destination": "/mnt", "type": "bind", "source": folder, "options": ["bind"],
            "uidMappings": [{ "containerID": 0, "hostID": 7000, "size": 100 }],
            "gidMappings": [{ "containerID": 0, "hostID": 8000, "size": 100 }],
        }),
    );
    bundle.shell("stat -c %u:%g /mnt");
    let said = bundle.run(&["run", "--bundle", &bundle.folder(), bundle.id()]);
    if said.err.contains("EINVAL") || said.err.contains("Invalid argument") {
        return skip("the file system of /var/tmp maps no owners");
    }
    assert_eq!((said.code, said.out.as_str()), (0, "7000:8000\n"), "{said:?}");
    bundle.is_gone();
}

#[test]
fn clocks_are_set_off() {
    let Some(mut bundle) = Bundle::new() else { return };
    if !Path::new("/proc/self/ns/time").exists() {
        return skip("the kernel has no namespaces of time");
    }
    let days = |text: &str| text.split('.').next().unwrap().parse::<u64>().unwrap() / 86_400;
    bundle.edit("/linux/namespaces/-", json!({ "type": "time" }));
    bundle.edit("/linux/timeOffsets", json!({ "boottime": { "secs": 86_400_000 } }));
    bundle.shell("cat /proc/uptime");
    let here = days(&fs::read_to_string("/proc/uptime").unwrap());
    let there = days(&bundle.run_through());
    // Midnight may come between the two.
    assert!((1000..=1001).contains(&(there - here)), "{there} days inside, {here} outside");
    bundle.is_gone();
}
