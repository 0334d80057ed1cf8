//! What a container sees and may do.

use crate::bench::{bench, shell};
use runtime::setup::{Device, Mount, MountKind, Namespace, Options, Seccomp, Setup};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn bind(source: &Path, target: &str, words: &[&str]) -> Mount {
    Mount {
        target: target.into(),
        kind: MountKind::Bind { source: source.to_owned(), recursive: true },
        options: Options::parse(words.iter().copied()),
    }
}
fn output(bench: &crate::bench::Bench, setup: &Setup) -> String {
    let (code, log) = bench.run(setup);
    assert_eq!(code, 0, "{log}");
    log
}

#[test]
fn a_container_has_its_own_processes_name_and_loopback_link() {
    let Some(bench) = bench() else { return };
    let script = "echo $$; hostname; cat /sys/class/net/lo/flags; ls /sys/class/net; cat /proc/self/cgroup";
    let log = output(&bench, &bench.setup("own", &shell(script)));
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[..4], ["1", "own", "0x9", "lo"]);
    assert!(
        lines[4..].iter().filter(|line| line.contains("memory")).all(|line| line.ends_with(":/")),
        "{log}"
    );
}

#[test]
fn capabilities_are_dockers_and_the_filter_is_loaded() {
    let Some(bench) = bench() else { return };
    let script = "grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status";
    let log = output(&bench, &bench.setup("caps", &shell(script)));
    let value = |log: &str, name: &str| {
        let line = log.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{log}"));
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    for (name, wanted) in [
        ("CapInh", "0000000000000000"),
        ("CapPrm", "00000000a80425fb"),
        ("CapEff", "00000000a80425fb"),
        ("CapBnd", "00000000a80425fb"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "0"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(value(&log, name), wanted, "{name}");
    }
    let mut user = bench.setup("capsuser", &shell(script));
    user.process.user = "web".into();
    user.process.no_new_privileges = true;
    user.process.seccomp = Seccomp::Unconfined;
    let log = output(&bench, &user);
    assert_eq!(value(&log, "CapEff"), "0000000000000000");
    assert_eq!(value(&log, "CapPrm"), "0000000000000000");
    assert_eq!(value(&log, "CapBnd"), "00000000a80425fb");
    assert_eq!((value(&log, "NoNewPrivs").as_str(), value(&log, "Seccomp").as_str()), ("1", "0"));
}

#[test]
fn the_default_filter_refuses_new_namespaces_and_mounts() {
    let Some(bench) = bench() else { return };
    let script = "unshare -m true 2>&1; mount -t tmpfs none /tmp 2>&1; mknod /tmp/disk b 8 0 && head -c1 /tmp/disk 2>&1; true";
    let log = output(&bench, &bench.setup("refuse", &shell(script)));
    assert_eq!(log.matches("not permitted").count(), 2, "{log}");
    assert!(log.contains("mount: permission denied"), "{log}");
}

#[test]
fn a_profile_of_the_users_own_decides_even_over_what_the_shim_needs() {
    let Some(bench) = bench() else { return };
    let mut setup = bench.setup("profile", &shell("chmod 700 /tmp 2>&1; true"));
    setup.process.seccomp = Seccomp::Profile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["chmod","fchmodat","capset","sendto","sendmsg"],"action":"SCMP_ACT_ERRNO","errnoRet":13}]}"#
            .into(),
    );
    setup.process.no_new_privileges = true;
    assert!(output(&bench, &setup).contains("denied"));
}

#[test]
fn paths_are_masked_and_protected() {
    let Some(bench) = bench() else { return };
    let script = "cat /proc/interrupts /proc/keys 2> /dev/null; ls -A /sys/firmware; touch /proc/sys/kernel/hostname; \
        echo 1 > /proc/irq/default_smp_affinity; echo 1 > /sys/kernel/x; mkdir /sys/fs/cgroup/x; echo h > /proc/sys/kernel/hostname; true";
    let log = output(&bench, &bench.setup("masked", &shell(script)));
    assert_eq!(log.matches("ead-only").count(), 5, "{log}");
    assert_eq!(log.lines().count(), 5, "{log}");
    assert!(!log.contains("ACPI"), "{log}");
}

#[test]
fn a_masked_path_is_never_what_the_image_or_a_volume_puts_at_dev_null() {
    let Some(bench) = bench() else { return };
    let file = bench.directory.path().join("secret");
    fs::write(&file, "secret").unwrap();
    let mut setup = bench.setup("null", &shell("cat /proc/interrupts; stat -c %t:%T /proc/interrupts"));
    setup.mounts.push(bind(&file, "/dev/null", &[]));
    assert_eq!(output(&bench, &setup), "1:3\n");
}

#[test]
fn dev_has_its_nodes_links_and_nothing_else() {
    let Some(bench) = bench() else { return };
    let script = "ls /dev; for link in ptmx fd stdin; do readlink /dev/$link; done; echo x > /dev/null; head -c 4 /dev/zero | wc -c; \
        stat -c %a:%t:%T /dev/null; ls /dev/pts; readlink /proc/self/fd/0; touch /dev/shm/x; stat -c %a /dev/shm";
    let log = output(&bench, &bench.setup("dev", &shell(script)));
    let wanted = "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n\
        pts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n4\n666:1:3\nptmx\n/dev/null\n1777\n";
    assert_eq!(log, wanted);
}

#[test]
fn devices_of_the_host_are_shown_where_they_are_named() {
    let Some(bench) = bench() else { return };
    let mut setup =
        bench.setup("devices", &shell("stat -c %t:%T /dev/mem0; echo ok > /dev/mem0; cat /dev/mem0"));
    setup.devices =
        vec![Device { source: "/dev/null".into(), target: "/dev/mem0".into(), access: "rw".into() }];
    assert_eq!(output(&bench, &setup), "1:3\n");
    let mut setup = bench.setup("same", &["true"]);
    setup.devices =
        vec![Device { source: "/dev/null".into(), target: "/dev/null".into(), access: "rwm".into() }];
    output(&bench, &setup);
    let mut setup = bench.setup("all", &shell("ls /dev | wc -l; test -c /dev/kmsg && echo kmsg"));
    setup.all_devices = true;
    assert!(output(&bench, &setup).contains("kmsg") || !Path::new("/dev/kmsg").exists());
}

#[test]
fn binds_are_made_in_order_with_their_targets_and_read_only_ones_stay_so() {
    let Some(bench) = bench() else { return };
    let volume = bench.directory.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "content\n").unwrap();
    let script = "cat /a/b/file /etc/hosts; touch /a/b/new && echo written; touch /ro/x 2>&1; touch /ro/t/x 2>&1; true";
    let mut setup = bench.setup("binds", &shell(script));
    setup.mounts.push(bind(&volume, "/a/b", &[]));
    setup.mounts.push(bind(&volume.join("file"), "/etc/hosts", &[]));
    setup.mounts.push(bind(&volume, "/ro", &["ro", "rro"]));
    let log = output(&bench, &setup);
    assert!(log.starts_with("content\ncontent\nwritten\n"), "{log}");
    assert!(log.contains("Read-only"), "{log}");
    assert!(volume.join("new").exists());
    let mut wrong = bench.setup("wrong", &["true"]);
    wrong.mounts.push(bind(&volume, "/etc/passwd", &[]));
    let message = bench.start(&wrong).unwrap_err().to_string();
    assert_eq!(message, "cannot mount a directory on /etc/passwd, which is a file");
}

#[test]
fn links_in_the_image_lead_no_mount_and_no_directory_out_of_it() {
    let Some(bench) = bench() else { return };
    let outside = bench.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let lower = bench.directory.path().join("lower");
    symlink(&outside, lower.join("escape")).unwrap();
    symlink("/../../../../../..", lower.join("up")).unwrap();
    symlink("/proc/self/fd", lower.join("magic")).unwrap();
    let file = bench.directory.path().join("one");
    fs::write(&file, "one").unwrap();
    let mut setup = bench.setup("links", &shell("cat /up/x/one"));
    setup.mounts.push(bind(&file, "/escape/one", &[]));
    setup.mounts.push(bind(&file, "/up/x/one", &[]));
    setup.process.cwd = "/escape/work".into();
    assert_eq!(output(&bench, &setup), "one");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    for number in 0..20 {
        for cwd in [format!("/proc/self/fd/{number}"), format!("/magic/{number}")] {
            let mut setup = bench.setup(&format!("cwd{number}{}", cwd.len()), &["pwd"]);
            setup.process.cwd = cwd.into();
            assert!(bench.start(&setup).is_err(), "a descriptor is no working directory");
        }
    }
}

#[test]
fn a_read_only_root_takes_no_writes_but_its_mounts_do() {
    let Some(bench) = bench() else { return };
    let mut setup = bench.setup(
        "readonly",
        &shell("pwd; touch /x 2>&1; touch /run/y && echo ok; touch /dev/shm/z && echo ok"),
    );
    setup.root_read_only = true;
    setup.process.cwd = "/made/here".into();
    setup.mounts.push(Mount {
        target: "/run".into(),
        kind: MountKind::new("tmpfs"),
        options: Options::parse(["size=1m", "mode=755", "noexec"]),
    });
    assert_eq!(output(&bench, &setup), "/made/here\ntouch: /x: Read-only file system\nok\nok\n");
}

#[test]
fn users_and_groups_are_the_images_and_own_their_streams() {
    let Some(bench) = bench() else { return };
    let mut setup =
        bench.setup("user", &shell("id; pwd; echo $HOME; echo again > /dev/stderr; touch /x || true"));
    setup.process.user = "web".into();
    setup.process.groups = vec!["77".into()];
    setup.process.cwd = "/home/web".into();
    let log = output(&bench, &setup);
    assert!(log.starts_with("uid=33(web) gid=33(www) groups=29(audio),77\n/home/web\n/home/web\n"), "{log}");
    assert!(log.contains("again\n") && log.contains("ermission denied"), "{log}");
    let mut setup = bench.setup("number", &shell("id -u; id -g; echo $HOME"));
    setup.process.user = "1234:56".into();
    assert_eq!(output(&bench, &setup), "1234\n56\n/\n");
}

#[test]
fn nothing_of_the_shim_or_the_daemon_is_open_in_the_container() {
    let Some(bench) = bench() else { return };
    let log = output(
        &bench,
        &bench.setup(
            "descriptors",
            &shell("ls /proc/1/fd; echo; cat /proc/1/mountinfo | wc -l; ls -l /proc/1/exe"),
        ),
    );
    let lines: Vec<&str> = log.lines().collect();
    // The shell that lists them has no more open than it was given.
    assert_eq!(lines[..4], ["0", "1", "2", ""], "{log}");
    assert!(lines[4].parse::<u32>().unwrap() < 60, "{log}");
    let own: Vec<&str> = lines.iter().filter(|line| line.contains("memfd")).copied().collect();
    assert!(own.is_empty(), "{log}");
}

#[test]
fn mounts_of_the_host_are_not_seen() {
    let Some(bench) = bench() else { return };
    let log = output(&bench, &bench.setup("mounts", &shell("cat /proc/self/mountinfo")));
    let directory = bench.directory.path().to_str().unwrap();
    for line in log.lines().filter(|line| !line.contains(" - overlay ")) {
        assert!(!line.contains(directory) && !line.contains("/dev/vda"), "{line}");
    }
}

#[test]
fn a_host_network_keeps_the_hosts_links() {
    let Some(bench) = bench() else { return };
    let mut setup = bench.setup("hostnet", &shell("readlink /proc/self/ns/net"));
    setup.namespaces.network = Namespace::Host;
    setup.sysctls.clear();
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(Path::new(output(&bench, &setup).trim()), own);
}

#[test]
fn later_mounts_of_the_host_appear_only_in_a_bind_that_wants_them() {
    let Some(bench) = bench() else { return };
    // A mount namespace of this test's own, in which the volume's directory is a shared mount.
    sys::process::unshare(sys::process::NewNamespaces::MOUNT).unwrap();
    rustix::mount::mount_change(
        "/",
        rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC,
    )
    .unwrap();
    let volume = bench.directory.path().join("shared");
    fs::create_dir_all(volume.join("later")).unwrap();
    rustix::mount::mount_bind(&volume, &volume).unwrap();
    rustix::mount::mount_change(&volume, rustix::mount::MountPropagationFlags::SHARED).unwrap();
    let script =
        "until test -e /slave/later/x; do usleep 1000; done; test -e /private/later/x && exit 1; exit 0";
    let mut setup = bench.setup("slave", &shell(script));
    for (target, propagation) in [("/slave", "rslave"), ("/private", "rprivate")] {
        setup.mounts.push(bind(&volume, target, &[propagation]));
    }
    let started = bench.start(&setup).unwrap();
    rustix::mount::mount(
        "tmpfs",
        volume.join("later"),
        "tmpfs",
        rustix::mount::MountFlags::empty(),
        None::<&std::ffi::CStr>,
    )
    .unwrap();
    fs::write(volume.join("later/x"), "").unwrap();
    assert_eq!(bench.wait(&setup, &started).exit.unwrap().code, 0);
    rustix::mount::unmount(volume.join("later"), rustix::mount::UnmountFlags::DETACH).unwrap();
    rustix::mount::unmount(&volume, rustix::mount::UnmountFlags::DETACH).unwrap();
}
