//! One more process in a container that runs.

use crate::bench::{ALL, bench, pair, read_all, shell};
use runtime::setup::Attached;
use runtime::shim::wire::FailureKind;
use runtime::{Error, exec};
use rustix::fd::AsFd;
use std::fs;
use std::io::Write;
use std::net::Shutdown;

#[test]
fn a_process_joins_everything_that_the_container_has() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("host", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    let script = "for kind in mnt net ipc uts cgroup pid; do readlink /proc/self/ns/$kind; done; hostname; \
        grep -E 'CapEff|Seccomp:' /proc/self/status; cat /proc/1/comm; \
        grep -E ':pids:|^0::' /proc/self/cgroup";
    let (code, output) = bench.exec(&bench.exec_setup(&setup, &started, &shell(script))).unwrap();
    assert_eq!(code, 0, "{output}");
    let lines: Vec<&str> = output.lines().collect();
    for (line, kind) in lines.iter().zip(["mnt", "net", "ipc", "uts", "cgroup", "pid"]) {
        let own = fs::read_link(format!("/proc/{}/ns/{kind}", started.pid)).unwrap();
        assert_eq!(*line, own.to_str().unwrap());
    }
    assert_eq!(lines[6], "host");
    assert!(output.contains("00000000a80425fb") && output.contains("Seccomp:\t2"), "{output}");
    assert!(lines.contains(&"sleep"), "{output}");
    assert!(lines.last().unwrap().ends_with(":/"), "{output}");
    bench.kill(&setup, &started);
}

#[test]
fn users_directories_and_exit_codes_are_the_execs_own() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("own", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    let mut one = bench.exec_setup(&setup, &started, &shell("id -u; pwd; echo $X; exit 9"));
    one.process.user = "web".into();
    one.process.cwd = "/home/web".into();
    one.process.env.push("X=y".into());
    assert_eq!(bench.exec(&one).unwrap(), (9, "33\n/home/web\ny\n".into()));
    for (command, kind) in [("nothing", FailureKind::NotFound), ("/etc/passwd", FailureKind::NotExecutable)] {
        match bench.exec(&bench.exec_setup(&setup, &started, &[command])) {
            Err(Error::Start { failure }) => assert_eq!(failure.kind, kind),
            other => panic!("{other:?}"),
        }
    }
    for number in 0..20 {
        let mut leak = bench.exec_setup(&setup, &started, &["pwd"]);
        leak.process.cwd = format!("/proc/self/fd/{number}").into();
        assert!(bench.exec(&leak).is_err());
    }
    bench.kill(&setup, &started);
}

#[test]
fn sixteen_at_once_all_run() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("parallel", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (bench, setup, started) = (&bench, &setup, &started);
            scope.spawn(move || {
                let script = format!("echo {number}; exit {number}");
                let one = bench.exec_setup(setup, started, &shell(&script));
                assert_eq!(bench.exec(&one).unwrap(), (number, format!("{number}\n")));
            });
        }
    });
    bench.kill(&setup, &started);
}

#[test]
fn a_terminal_and_input_work_as_in_the_container_itself() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("tty", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    let mut one = bench.exec_setup(&setup, &started, &shell("tty; stty size"));
    one.process.terminal = true;
    one.process.size = Some((10, 20));
    assert_eq!(bench.exec(&one).unwrap(), (0, "/dev/pts/0\r\n10 20\r\n".into()));
    let (mut ours, theirs) = pair();
    let mut one = bench.exec_setup(&setup, &started, &["cat"]);
    one.stdio.open_stdin = true;
    one.stdio.stdin_once = true;
    one.stdio.attached = vec![Attached { descriptor: 3, streams: ALL }];
    let running = exec(&bench.host, &one, &[(theirs.as_fd(), 3)]).unwrap();
    drop(theirs);
    ours.write_all(b"hello").unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(ours), b"\x01\0\0\0\0\0\0\x05hello");
    bench.wait_for_shim(&running);
    bench.kill(&setup, &started);
}

#[test]
fn a_container_that_has_ended_takes_no_more_processes_even_if_its_number_is_taken() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("ended", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    let mut one = bench.exec_setup(&setup, &started, &["true"]);
    bench.kill(&setup, &started);
    assert!(bench.exec(&one).unwrap_err().to_string().contains("not running"));
    one.container.pid = std::process::id();
    assert!(bench.exec(&one).unwrap_err().to_string().contains("not running"));
}

#[test]
fn the_program_that_enters_cannot_be_overwritten_from_inside() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("overwrite", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    // A container's own loader would be the shim itself, if a program of the container named it.
    let one = bench.exec_setup(&setup, &started, &["/proc/self/exe"]);
    assert!(bench.exec(&one).is_err() || bench.exec(&one).unwrap().0 != 0);
    bench.kill(&setup, &started);
}
