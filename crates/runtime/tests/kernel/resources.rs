//! Everything that a bundle may ask of a control group, read back in the kernel's own words.
//!
//! The groups have no processes, except where a device is opened: a busybox is moved into the group by its number.

use crate::bench::{Bench, bench};
use runtime::cgroup::resources::*;
use runtime::cgroup::{DeviceRule, Group, Resources};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A group of its own beneath the bench's, and where the files of its controllers are.
struct One {
    bench: Bench,
    group: Group,
}

impl One {
    fn new() -> Option<One> {
        let bench = bench()?;
        let group = bench.host.group(&Path::new(&bench.parent).join("one"));
        Some(One { bench, group })
    }

    fn is_v1(&self) -> bool {
        self.bench.host.layout().is_v1()
    }

    fn path(&self, controller: &str, file: &str) -> PathBuf {
        let layout = self.bench.host.layout();
        let root = match layout.hierarchy(controller) {
            Some(hierarchy) => hierarchy.mount.clone(),
            None => layout.unified.clone().unwrap(),
        };
        root.join(&self.bench.parent).join("one").join(file)
    }

    /// What stands in a file of v1 or v2, whichever the machine has.
    fn read(&self, controller: &str, files: [&str; 2]) -> String {
        let file = if self.is_v1() { files[0] } else { files[1] };
        fs::read_to_string(self.path(controller, file)).unwrap().trim().to_owned()
    }
}

#[test]
fn memory_is_limited_in_every_way_and_changed_in_any_order() {
    let Some(one) = One::new() else { return };
    let mut resources = Resources::default();
    resources.memory.limit_bytes = Some(64 << 20);
    resources.memory.reservation_bytes = Some(32 << 20);
    resources.memory.swap = Swap::SameAgain;
    if one.is_v1() {
        resources.memory.swappiness = Some(10);
        resources.memory.kernel_tcp_bytes = Some(16 << 20);
    }
    one.group.create(&resources).unwrap();
    let files = ["memory.soft_limit_in_bytes", "memory.low"];
    assert_eq!(one.read("memory", files), (32 << 20).to_string());
    if one.is_v1() {
        assert_eq!(one.read("memory", ["memory.swappiness", ""]), "10");
        assert_eq!(one.read("memory", ["memory.kmem.tcp.limit_in_bytes", ""]), (16 << 20).to_string());
    }
    // Up, down, and to the end: what bounds the other has to be written first each time.
    for bytes in [512 << 20, 32 << 20, -1] {
        let memory = Memory { limit_bytes: Some(bytes), swap: Swap::Together(bytes), ..Memory::default() };
        one.group.apply(&Resources { memory, ..Resources::default() }).unwrap();
        assert_eq!(one.group.figures().unwrap().memory.limit, u64::try_from(bytes).ok());
    }
}

#[test]
fn a_limit_beneath_what_is_used_is_refused_where_that_was_asked_for() {
    let Some(one) = One::new() else { return };
    if one.is_v1() {
        eprintln!("SKIP: needs control groups v2 (on v1 the kernel looks by itself)");
        return;
    }
    one.group.create(&Resources::default()).unwrap();
    // It ends when its input does, however this test ends.
    let script = "read go; x=$(head -c 1000000 /dev/zero | tr '\\0' a); echo ready; read end";
    let mut shell = Command::new("/bin/busybox")
        .args(["sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    fs::write(one.path("memory", "cgroup.procs"), shell.id().to_string()).unwrap();
    shell.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    let mut line = String::new();
    BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let memory = Memory { limit_bytes: Some(4096), check_before_update: true, ..Memory::default() };
    let message = one.group.apply(&Resources { memory, ..Resources::default() }).unwrap_err().to_string();
    assert!(message.contains("are in use"), "{message}");
    assert_eq!(one.group.figures().unwrap().memory.limit, None);
    drop(shell.stdin.take());
    shell.wait().unwrap();
}

#[test]
fn processor_time_is_limited_in_every_way_and_half_of_it_can_be_changed() {
    let Some(one) = One::new() else { return };
    let cpu = Cpu {
        shares: Some(512),
        quota_us: Some(50_000),
        period_us: Some(100_000),
        burst_us: Some(20_000),
        cpus: Some("0".into()),
        mems: Some("0".into()),
        ..Cpu::default()
    };
    one.group.create(&Resources { cpu, pids: Some(-1), ..Resources::default() }).unwrap();
    assert_eq!(
        one.read("cpu", ["cpu.cfs_quota_us", "cpu.max"]),
        if one.is_v1() { "50000" } else { "50000 100000" }
    );
    assert_eq!(one.read("cpu", ["cpu.cfs_burst_us", "cpu.max.burst"]), "20000");
    assert_eq!(one.read("cpu", ["cpu.shares", "cpu.weight"]), if one.is_v1() { "512" } else { "20" });
    assert_eq!(one.read("cpuset", ["cpuset.cpus", "cpuset.cpus"]), "0");
    assert_eq!(one.read("cpuset", ["cpuset.mems", "cpuset.mems"]), "0");
    assert_eq!(one.read("pids", ["pids.max", "pids.max"]), "max");
    // A quota beneath the burst that stands is refused unless the burst is written first.
    let less = Cpu { quota_us: Some(10_000), burst_us: Some(5_000), ..Cpu::default() };
    one.group.apply(&Resources { cpu: less, ..Resources::default() }).unwrap();
    assert_eq!(one.read("cpu", ["cpu.cfs_burst_us", "cpu.max.burst"]), "5000");
    let period = Cpu { period_us: Some(50_000), ..Cpu::default() };
    one.group.apply(&Resources { cpu: period, ..Resources::default() }).unwrap();
    assert_eq!(
        one.read("cpu", ["cpu.cfs_quota_us", "cpu.max"]),
        if one.is_v1() { "10000" } else { "10000 50000" }
    );
    let idle = Cpu { idle: Some(1), shares: Some(1024), ..Cpu::default() };
    one.group.apply(&Resources { cpu: idle, ..Resources::default() }).unwrap();
    assert_eq!(one.read("cpu", ["cpu.idle", "cpu.idle"]), "1");
}

#[test]
fn rates_of_a_disk_stand_in_the_group_and_can_be_taken_away() {
    let Some(one) = One::new() else { return };
    let disk = fs::read_dir("/sys/block").unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        // What has a device beneath it is a disk and no loop, memory or mapping.
        path.join("device").exists().then(|| fs::read_to_string(path.join("dev")).unwrap())
    });
    let Some(disk) = disk else {
        eprintln!("SKIP: needs a disk");
        return;
    };
    let (major, minor) = disk.trim().split_once(':').unwrap();
    let (major, minor) = (major.parse().unwrap(), minor.parse().unwrap());
    let rates = |rate| Block {
        read_bytes_per_second: vec![Throttle { major, minor, rate }],
        write_bytes_per_second: vec![Throttle { major, minor, rate: rate * 2 }],
        reads_per_second: vec![Throttle { major, minor, rate: rate * 3 }],
        writes_per_second: vec![Throttle { major, minor, rate: rate * 4 }],
        ..Block::default()
    };
    one.group.create(&Resources { block: rates(1 << 20), ..Resources::default() }).unwrap();
    if one.is_v1() {
        let files = ["read_bps", "write_bps", "read_iops", "write_iops"];
        for (file, times) in files.into_iter().zip(1..) {
            let file = format!("blkio.throttle.{file}_device");
            assert_eq!(one.read("blkio", [&file, ""]), format!("{major}:{minor} {}", times << 20));
        }
    } else {
        let line = one.read("io", ["", "io.max"]);
        assert_eq!(line, format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=3145728 wiops=4194304"));
    }
    one.group.apply(&Resources { block: rates(0), ..Resources::default() }).unwrap();
    assert_eq!(one.read("blkio", ["blkio.throttle.read_bps_device", "io.max"]), "");
}

#[test]
fn huge_pages_and_network_marks_are_limited_or_said_to_be_missing() {
    let Some(one) = One::new() else { return };
    let mut pages = Resources::default();
    pages.huge_pages.push(HugePages { size: "2MB".into(), limit_bytes: 4 << 20 });
    let mut network = Resources::default();
    network.network.class_id = Some(0x10_0001);
    network.network.priorities.insert("lo".into(), 5);
    let lists = [
        (pages, "hugetlb", ["hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"], "4194304"),
        (network, "net_cls", ["net_cls.classid", ""], "1048577"),
    ];
    for (resources, controller, files, expected) in lists {
        match one.group.create(&resources) {
            Ok(()) => assert_eq!(one.read(controller, files), expected),
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains(&format!("controller `{controller}`")), "{message}");
                assert!(!one.group.exists(), "nothing is left of it");
            }
        }
        one.group.remove().unwrap();
    }
}

#[test]
fn files_of_v2_are_written_last_or_refused_on_v1() {
    let Some(one) = One::new() else { return };
    let mut resources = Resources { pids: Some(5), ..Resources::default() };
    resources.unified.insert("pids.max".into(), "7".into());
    resources.unified.insert("memory.high".into(), "33554432".into());
    let made = one.group.create(&resources);
    if one.is_v1() {
        let message = made.unwrap_err().to_string();
        assert!(message.contains("memory.high") && !one.group.exists(), "{message}");
        return;
    }
    made.unwrap();
    assert_eq!(one.read("pids", ["", "pids.max"]), "7");
    assert_eq!(one.read("memory", ["", "memory.high"]), "33554432");
    for (key, part) in
        [("nothing.max", "controller `nothing`"), ("memory.nothing", "memory.nothing is not there")]
    {
        let mut resources = Resources::default();
        resources.unified.insert(key.into(), "1".into());
        let message = one.group.apply(&resources).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn the_last_rule_that_fits_decides_who_may_open_a_device() {
    let Some(one) = One::new() else { return };
    let node = |allow, minor, read, write| DeviceEntry {
        allow,
        kind: DeviceKind::Character,
        major: Some(1),
        minor: Some(minor),
        read,
        write,
        make: false,
    };
    let mut devices = vec![DeviceEntry::DENY_ALL];
    devices.extend(DeviceRule::DEFAULT.iter().map(DeviceEntry::from));
    // /dev/null only for writing, /dev/zero not at all, though both are in the list before.
    devices.extend([node(false, 3, true, false), node(false, 5, true, true)]);
    one.group.create(&Resources { devices, ..Resources::default() }).unwrap();
    let procs = one.path("devices", "cgroup.procs");
    let script = "read go; for way in '< /dev/null' '> /dev/null' '< /dev/zero' '< /dev/urandom'; do \
        (eval : \"$way\") 2> /dev/full && echo yes || echo no; done";
    let mut shell = Command::new("/bin/busybox")
        .args(["sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    fs::write(procs, shell.id().to_string()).unwrap();
    drop(shell.stdin.take());
    let output = shell.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "no\nyes\nno\nyes\n");
}
