//! Ways out that are tried from inside while the runtime itself is at work in the container.

use crate::bench::{bench, shell, until};
use runtime::setup::{Mount, MountKind, Options};
use rustix::fs::SealFlags;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn volume(source: &Path, target: &str) -> Mount {
    Mount {
        target: target.into(),
        kind: MountKind::Bind { source: source.to_owned(), recursive: true },
        options: Options::default(),
    }
}

/// CVE-2019-5736: the program that enters is in memory, and nobody can change it, whoever gets hold of it.
#[test]
fn the_program_that_enters_is_sealed_memory() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("sealed", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    let program = format!("/proc/{}/exe", started.shim.pid);
    assert!(fs::read_link(&program).unwrap().to_string_lossy().starts_with("/memfd:"));
    let seals = rustix::fs::fcntl_get_seals(fs::File::open(&program).unwrap()).unwrap();
    assert!(seals.contains(SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE));
    bench.kill(&setup, &started);
}

/// CVE-2016-9962: between its arrival in the container and its program, the process that enters holds what the container must not
/// have. A watcher inside sees it and can open nothing of it.
#[test]
fn a_process_that_enters_shows_nothing_of_itself() {
    let Some(bench) = bench() else { return };
    let watch = "while :; do for p in /proc/[0-9]*; do grep -sq bocage $p/comm && \
        { echo seen; for name in exe fd/3 fd/4 fd/5; do readlink $p/$name; done; }; done 2> /dev/null; done";
    let setup = bench.setup("watcher", &shell(watch));
    let started = bench.start(&setup).unwrap();
    let mut one = bench.exec_setup(&setup, &started, &["true"]);
    // Without this the filter's capability, which the watcher lacks, would hide the process too.
    one.process.no_new_privileges = true;
    // A long search for the program keeps the process in the container for a while before it is the container's own.
    one.process.env = vec![format!("PATH={}/bin", "/none:".repeat(20_000))];
    until("the watcher sees processes enter", || {
        assert_eq!(bench.exec(&one).unwrap().0, 0);
        bench.logged(&setup).matches("seen").count() > 5
    });
    let log = bench.logged(&setup);
    // What the watcher looks at may have become the container's own program meanwhile, which has neither.
    assert!(!log.contains("memfd:") && !log.contains("socket:"), "{log}");
    bench.kill(&setup, &started);
}

/// CVE-2025-52565, for a command that enters: what stands at `/dev/pts/ptmx` must be the kernel's.
#[test]
fn a_terminal_is_never_made_by_what_a_volume_puts_in_place_of_the_multiplexer() {
    let Some(bench) = bench() else { return };
    let fake = bench.directory.path().join("fake");
    fs::create_dir(&fake).unwrap();
    fs::write(fake.join("ptmx"), "").unwrap();
    for name in ["0", "1", "2"] {
        symlink("/proc/sys/kernel/core_pattern", fake.join(name)).unwrap();
    }
    let mut setup = bench.setup("fake", &shell("stat -c console=%t /dev/console; exec sleep 1000"));
    setup.mounts.push(volume(&fake, "/dev/pts"));
    setup.process.terminal = true;
    let started = bench.start(&setup).unwrap();
    until("the console was looked at", || bench.logged(&setup).contains("console="));
    assert!(bench.logged(&setup).contains("console=88"), "{}", bench.logged(&setup));
    let mut one = bench.exec_setup(&setup, &started, &["true"]);
    one.process.terminal = true;
    let message = bench.exec(&one).unwrap_err().to_string();
    assert!(message.contains("not a terminal multiplexer"), "{message}");
    assert_eq!(fs::read(fake.join("ptmx")).unwrap(), b"");
    bench.kill(&setup, &started);
}

/// CVE-2025-52881: what the runtime writes to `/proc` is written before anything of the container stands there.
#[test]
fn settings_are_written_to_the_kernel_and_not_to_a_file_of_the_image() {
    let Some(bench) = bench() else { return };
    let fake = bench.directory.path().join("lower/proc");
    for (folder, name) in [("sys/net/ipv4", "ip_forward"), ("self", "oom_score_adj")] {
        fs::create_dir_all(fake.join(folder)).unwrap();
        fs::write(fake.join(folder).join(name), "untouched\n").unwrap();
    }
    let script = "cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj";
    let mut setup = bench.setup("settings", &shell(script));
    setup.sysctls.push(("net.ipv4.ip_forward".into(), "1".into()));
    setup.process.oom_score_adj = Some(321);
    let (code, log) = bench.run(&setup);
    assert_eq!((code, log.as_str()), (0, "1\n321\n"));
    let upper = bench.directory.path().join("settings/upper/proc");
    assert!(
        !upper.exists() || fs::read_dir(upper).unwrap().count() == 0,
        "nothing was written over the image's"
    );
}

/// CVE-2019-19921 and its kin: where `/proc` is a link, what is masked and written there later may be something else.
#[test]
fn the_kernels_file_systems_are_mounted_on_ordinary_directories() {
    let Some(bench) = bench() else { return };
    for name in ["proc", "sys"] {
        let place = bench.directory.path().join("lower").join(name);
        fs::remove_dir(&place).unwrap();
        symlink("/tmp", &place).unwrap();
        let setup = bench.setup(&format!("linked-{name}"), &["true"]);
        let message = bench.start(&setup).unwrap_err().to_string();
        assert!(message.contains("ordinary directory") && message.contains(name), "{message}");
        fs::remove_file(&place).unwrap();
        fs::create_dir(&place).unwrap();
    }
}

/// A device's node may be made, and gives nothing.
#[test]
fn a_device_of_the_host_cannot_be_opened_by_its_number() {
    let Some(bench) = bench() else { return };
    let script =
        "mknod /tmp/log c 1 11; mknod /tmp/memory c 1 1; head -c1 /tmp/log; head -c1 /tmp/memory; true";
    let (_, log) = bench.run(&bench.setup("nodes", &shell(script)));
    assert_eq!(log.matches("Operation not permitted").count(), 2, "{log}");
}
