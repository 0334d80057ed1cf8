//! Limits, figures, freezing.

use crate::bench::{bench, bench_v2, shell, until};
use runtime::cgroup::resources::{Cpu, Memory, Resources, Swap};
use runtime::shim::wire::Request;

#[test]
fn limits_stand_in_the_group_and_can_be_changed() {
    let Some(bench) = bench() else { return };
    let mut setup = bench.setup("limits", &["sleep", "1000"]);
    setup.cgroup.resources = Resources {
        memory: Memory {
            limit_bytes: Some(64 << 20),
            swap: Swap::SameAgain,
            reservation_bytes: Some(32 << 20),
            ..Memory::default()
        },
        cpu: Cpu {
            quota_us: Some(50_000),
            period_us: Some(100_000),
            shares: Some(512),
            cpus: Some("0".into()),
            ..Cpu::default()
        },
        pids: Some(50),
        ..Resources::default()
    };
    setup.process.rlimits = vec![("nofile".into(), 100, 200)];
    let started = bench.start(&setup).unwrap();
    let group = bench.host.group(&setup.cgroup.path);
    let figures = group.figures().unwrap();
    assert_eq!(figures.memory.limit, Some(64 << 20));
    assert_eq!((figures.pids, figures.pids_limit), (1, Some(50)));
    assert!(figures.memory.usage > 0 && figures.cpu.total_ns > 0);
    assert!(figures.memory.working_set() <= figures.memory.usage);
    for bytes in [256_i64 << 20, 32 << 20] {
        let memory = Memory { limit_bytes: Some(bytes), swap: Swap::SameAgain, ..Memory::default() };
        group.apply(&Resources { memory, ..Resources::default() }).unwrap();
        assert_eq!(group.figures().unwrap().memory.limit, Some(bytes.cast_unsigned()));
    }
    let inside = "cat /proc/self/limits | grep 'open files'; cat /sys/fs/cgroup/memory/memory.limit_in_bytes \
        /sys/fs/cgroup/memory.max 2> /dev/null; grep Cpus_allowed_list /proc/self/status";
    let mut one = bench.exec_setup(&setup, &started, &shell(inside));
    one.process.rlimits = vec![("nofile".into(), 100, 200)];
    let (_, output) = bench.exec(&one).unwrap();
    assert!(output.contains(&(32 << 20).to_string()), "{output}");
    assert!(output.contains("100                  200"), "{output}");
    assert!(output.ends_with("Cpus_allowed_list:\t0\n"), "{output}");
    bench.kill(&setup, &started);
}

#[test]
fn a_program_that_takes_too_much_memory_is_killed_and_said_to_be() {
    let Some(bench) = bench() else { return };
    let mut setup = bench.setup("hungry", &shell("x=a; while :; do x=$x$x; done"));
    setup.cgroup.resources.memory.limit_bytes = Some(16 << 20);
    setup.cgroup.resources.memory.swap = Swap::SameAgain;
    let started = bench.start(&setup).unwrap();
    let exit = bench.wait(&setup, &started).exit.unwrap();
    assert_eq!((exit.code, exit.oom_killed), (137, true));
}

#[test]
fn a_fork_bomb_ends_at_the_limit() {
    let Some(bench) = bench() else { return };
    let mut setup =
        bench.setup("bomb", &shell("for i in $(seq 1 40); do sleep 1000 & done 2>&1; echo alive"));
    setup.cgroup.resources.pids = Some(20);
    let started = bench.start(&setup).unwrap();
    let group = bench.host.group(&setup.cgroup.path);
    until("it said something or ended", || {
        bench.logged(&setup).contains("fork") || bench.logged(&setup).contains("alive")
    });
    assert!(group.pids().unwrap().len() <= 20);
    // The shell may end because it cannot fork; then the container has ended already.
    let _ = std::os::unix::net::UnixStream::connect(setup.directory.join("shim.sock"))
        .map(|_| group.kill_all().unwrap());
    bench.wait(&setup, &started);
}

#[test]
fn a_frozen_container_stands_still_and_can_be_killed() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("frozen", &shell("while :; do echo x; usleep 1000; done"));
    let started = bench.start(&setup).unwrap();
    let group = bench.host.group(&setup.cgroup.path);
    until("it runs", || !bench.logged(&setup).is_empty());
    group.freeze(true).unwrap();
    let status = bench.ask(&setup.directory, &Request::Status {});
    drop(status);
    let used = group.figures().unwrap().cpu.total_ns;
    assert_eq!(group.figures().unwrap().cpu.total_ns, used, "no time passes for it");
    group.freeze(false).unwrap();
    let before = bench.logged(&setup).len();
    until("it goes on", || bench.logged(&setup).len() > before);
    group.freeze(true).unwrap();
    bench.kill(&setup, &started);
}

#[test]
fn a_limit_that_the_kernel_refuses_is_named_and_nothing_is_left() {
    let Some(bench) = bench() else { return };
    let mut setup = bench.setup("refused", &["true"]);
    setup.cgroup.resources.cpu.cpus = Some("4096".into());
    let message = bench.start(&setup).unwrap_err().to_string();
    assert!(message.contains("cpuset.cpus"), "{message}");
    assert!(!bench.host.group(&setup.cgroup.path).exists());
}

#[test]
fn on_v2_alone_a_container_runs_freezes_and_has_its_devices_denied() {
    let Some(bench) = bench_v2() else { return };
    let script = "mknod /tmp/log c 1 11; head -c1 /tmp/log 2>&1; head -c1 /dev/zero | wc -c; ls /sys/fs/cgroup; \
        grep 0:: /proc/self/cgroup";
    let (_, log) = bench.run(&bench.setup("devices", &shell(script)));
    assert!(log.starts_with("head: /tmp/log: Operation not permitted\n1\n"), "{log}");
    assert!(log.contains("cgroup.procs") && log.ends_with("0::/\n"), "{log}");
    let setup = bench.setup("frozen", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    let group = bench.host.group(&setup.cgroup.path);
    group.freeze(true).unwrap();
    group.freeze(false).unwrap();
    assert_eq!(group.pids().unwrap(), [started.pid]);
    let one = bench.exec_setup(&setup, &started, &shell("grep 0:: /proc/self/cgroup"));
    assert_eq!(bench.exec(&one).unwrap(), (0, "0::/\n".into()));
    bench.kill(&setup, &started);
}
