//! A container from its start to its end.

use crate::bench::{bench, connect, shell, until};
use runtime::Error;
use runtime::setup::{Mount, MountKind, Namespace, Options, Root, Setup};
use runtime::shim::wire::{FailureKind, Reply, Report, Request, Status};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, fsconfig_create, fsconfig_set_string, fsopen};
use std::fs::{self, File};
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

#[test]
fn a_program_runs_and_its_exit_code_is_kept() {
    let Some(bench) = bench() else { return };
    assert_eq!(bench.run(&bench.setup("true", &["true"])), (0, String::new()));
    assert_eq!(bench.run(&bench.setup("false", &["false"])).0, 1);
    let (code, log) = bench.run(&bench.setup("seven", &shell("echo out; echo err >&2; exit 7")));
    assert_eq!(code, 7);
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);
}

#[test]
fn a_program_that_a_signal_ends_has_128_and_its_number() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("killed", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    let title = fs::read(format!("/proc/{}/cmdline", started.shim.pid)).unwrap();
    assert!(title.starts_with(b"bocage-shim killed\0"), "a shim says whose it is");
    let status = bench.kill(&setup, &started);
    assert_eq!(fs::read_dir(&setup.directory).unwrap().count(), 1, "its status is all that is left");
    assert_eq!(status.exit.unwrap().code, 137);
    assert_eq!((status.pid, status.start_ticks), (started.pid, started.start_ticks));
    assert_eq!(status.started_at, started.started_at);
}

#[test]
fn a_running_program_has_a_status_without_an_exit_and_wait_answers_at_its_end() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("waits", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    let status = Status::read(&setup.directory).unwrap().unwrap();
    assert_eq!((status.pid, status.exit.clone()), (started.pid, None));
    assert_eq!(bench.ask(&setup.directory, &Request::Status {}), Reply::Status(status));
    let (_, mut waiting) = connect(&setup.directory, &Request::Wait {});
    let exit = bench.kill(&setup, &started).exit;
    let mut line = String::new();
    waiting.read_line(&mut line).unwrap();
    let Reply::Status(status) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
    assert_eq!(status.exit, exit);
}

fn failure(bench: &crate::bench::Bench, setup: &Setup) -> (FailureKind, String) {
    match bench.start(setup) {
        Err(Error::Start { failure }) => {
            assert!(!bench.host.group(&setup.cgroup.path).exists(), "no group is left");
            assert_eq!(fs::read_dir(&setup.directory).unwrap().count(), 0, "no file is left");
            (failure.kind, failure.message)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_command_that_cannot_run_is_refused_in_dockers_words_and_leaves_nothing() {
    let Some(bench) = bench() else { return };
    let cases = [
        (&["foo"][..], FailureKind::NotFound, r#"exec: "foo": executable file not found in $PATH"#),
        (&["/foo"], FailureKind::NotFound, r#"exec: "/foo": stat /foo: no such file or directory"#),
        (&["/etc/passwd"], FailureKind::NotExecutable, r#"exec: "/etc/passwd": permission denied"#),
        (&["/etc"], FailureKind::NotExecutable, r#"exec: "/etc": is a directory"#),
        (&["/bin/broken"], FailureKind::NotExecutable, "exec /bin/broken: exec format error"),
    ];
    let broken = bench.directory.path().join("lower/bin/broken");
    fs::write(&broken, "no program").unwrap();
    fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (index, (command, kind, message)) in cases.into_iter().enumerate() {
        let setup = bench.setup(&format!("refused{index}"), command);
        assert_eq!(failure(&bench, &setup), (kind, message.to_owned()));
    }
}

#[test]
fn a_setup_that_cannot_be_made_is_refused_with_its_object() {
    let Some(bench) = bench() else { return };
    let refused = |change: &dyn Fn(&mut Setup)| {
        let mut setup = bench.setup(&format!("bad{:x}", base::random::number()), &["true"]);
        change(&mut setup);
        failure(&bench, &setup).1
    };
    let bind = Mount {
        target: "/x".into(),
        kind: MountKind::Bind { source: "/does/not/exist".into(), recursive: true },
        options: Options::default(),
    };
    let message = refused(&|setup| setup.mounts.push(bind.clone()));
    assert_eq!(message, "open the bind source /does/not/exist: no such file or directory");
    let message = refused(&|setup| setup.process.user = "ghost".into());
    assert_eq!(message, "unable to find user ghost: no matching entries in passwd file");
    let message = refused(&|setup| setup.process.cwd = "/etc/passwd/x".into());
    assert!(message.contains("not a directory"), "{message}");
    let message = refused(&|setup| setup.sysctls = vec![("net.no.such".into(), "1".into())]);
    assert!(message.starts_with("set net.no.such to"), "{message}");
    let message = refused(&|setup| setup.namespaces.network = Namespace::Path("/no/net".into()));
    assert!(message.contains("/no/net"), "{message}");
    let message = refused(&|setup| setup.process.rlimits = vec![("speed".into(), 1, 1)]);
    assert_eq!(message, r#""speed" is no resource limit"#);
    let message = refused(&|setup| setup.process.capabilities.bounding = vec!["CAP_FLY".into()]);
    assert_eq!(message, r#""CAP_FLY" is no capability"#);
}

#[test]
fn a_container_dies_with_its_shim_and_its_group_can_be_killed_and_removed() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("orphan", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    let group = bench.host.group(&setup.cgroup.path);
    assert_eq!(group.pids().unwrap(), [started.pid]);
    sys::process::signal_number(i32::try_from(started.shim.pid).unwrap(), 9).unwrap();
    bench.wait_for_shim(&started);
    until("the container has ended", || group.pids().unwrap().is_empty());
    let status = Status::read(&setup.directory).unwrap().unwrap();
    assert_eq!(status.exit, None, "nobody was there to see how it ended");
    group.kill_all().unwrap();
    group.remove().unwrap();
    assert!(!group.exists());
    group.remove().unwrap();
}

#[test]
fn processes_of_a_container_without_its_own_pid_namespace_end_with_it() {
    let Some(bench) = bench() else { return };
    let mut setup = bench.setup("hostpid", &shell("sleep 1000 & echo started"));
    setup.namespaces.pid = Namespace::Host;
    let (code, log) = bench.run(&setup);
    assert_eq!((code, log.as_str()), (0, "started\n"));
}

#[test]
fn the_same_container_starts_again_and_its_log_goes_on() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("again", &shell("echo x >> /kept; wc -l < /kept"));
    assert_eq!(bench.run(&setup), (0, "1\n".into()));
    assert_eq!(bench.run(&setup), (0, "1\n2\n".into()));
}

#[test]
fn sixteen_containers_start_at_once() {
    let Some(bench) = bench() else { return };
    let setups: Vec<Setup> =
        (0..16).map(|number| bench.setup(&format!("many{number}"), &shell("echo $HOSTNAME"))).collect();
    std::thread::scope(|scope| {
        for setup in &setups {
            let bench = &bench;
            scope.spawn(move || assert_eq!(bench.run(setup).0, 0));
        }
    });
}

#[test]
fn a_directory_can_be_the_root_and_namespaces_can_be_another_containers() {
    let Some(bench) = bench() else { return };
    let first = bench.setup("first", &["sleep", "1000"]);
    let started = bench.start(&first).unwrap();
    let of = |kind: &str| Namespace::Path(PathBuf::from(format!("/proc/{}/ns/{kind}", started.pid)));
    let mut second = bench
        .setup("second", &shell("hostname; ps -o args | grep -c 'sleep 1000'; readlink /proc/self/ns/net"));
    second.root = Root::Directory(bench.directory.path().join("lower"));
    second.hostname = None;
    second.namespaces.network = of("net");
    second.namespaces.uts = of("uts");
    second.namespaces.ipc = of("ipc");
    second.namespaces.pid = of("pid");
    let network = fs::read_link(format!("/proc/{}/ns/net", started.pid)).unwrap();
    let (code, log) = bench.run(&second);
    assert_eq!(code, 0, "{log}");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "first");
    assert_ne!(lines[1], "0");
    assert_eq!(Path::new(lines[2]), network);
    bench.kill(&first, &started);
}

#[test]
fn a_small_init_reaps_orphans_passes_signals_on_and_ends_as_the_command() {
    let Some(bench) = bench() else { return };
    let script = "trap 'exit 42' TERM; (sleep 0 & ) ; cat /proc/1/comm; ps -o pid,args; echo ready; while :; do usleep 10000; done";
    let mut setup = bench.setup("init", &shell(script));
    setup.init = true;
    let started = bench.start(&setup).unwrap();
    until("the command is ready", || bench.logged(&setup).contains("ready"));
    assert!(bench.logged(&setup).contains("bocage-init"), "{}", bench.logged(&setup));
    assert_eq!(bench.ask(&setup.directory, &Request::Signal(15)), Reply::Ok(true));
    let status = bench.wait(&setup, &started);
    assert_eq!(status.exit.unwrap().code, 42);
    let mut setup = bench.setup("initfoo", &["foo"]);
    setup.init = true;
    assert_eq!(failure(&bench, &setup).0, FailureKind::NotFound);
}

/// Mounts the container's root once more, detached, as one that does not share its writable layer: `EBUSY` while somebody has it.
fn take_writable_layer(setup: &Setup) -> rustix::io::Result<()> {
    let Root::Overlay { lower, upper, work, .. } = &setup.root else { panic!("not an overlay") };
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, path) in [("lowerdir", &lower[0]), ("upperdir", upper), ("workdir", work)] {
        fsconfig_set_string(context.as_fd(), name, path.as_os_str())?;
    }
    fsconfig_set_string(context.as_fd(), "index", "on")?;
    fsconfig_create(context.as_fd())
}

#[test]
fn the_report_tells_of_the_end_and_closes_once_the_root_is_free() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("word", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    assert_eq!(take_writable_layer(&setup), Err(Errno::BUSY));
    assert_eq!(bench.ask(&setup.directory, &Request::Signal(9)), Reply::Ok(true));
    let mut said = started.ending.read.clone();
    File::from(started.ending.pipe.try_clone().unwrap()).read_to_end(&mut said).unwrap();
    let Report::Ended(exit) = serde_json::from_slice(&said).unwrap() else { panic!("{said:?}") };
    take_writable_layer(&setup).unwrap();
    assert_eq!((exit.code, Some(exit)), (137, bench.wait(&setup, &started).exit));
}
