//! Containers made from the machine's static busybox, each with a root, a group and a directory of its own.
//!
//! Everything a test makes is removed when its `Bench` is dropped, and that nothing else is left is asserted there.

use base::Clock;
use runtime::setup::*;
use runtime::shim::wire::{Reply, Request, SOCKET, STATUS, Status};
use runtime::{Error, Host, ShimProgram, Started};
use rustix::fd::{AsFd, BorrowedFd, RawFd};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long anything here may take before the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The capabilities that a container has by default.
pub(crate) const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) host: Host,
    pub(crate) parent: String,
    execs: std::sync::atomic::AtomicU32,
}

/// A bench that uses v2 alone, where the machine has it.
pub(crate) fn bench_v2() -> Option<Bench> {
    let mut bench = bench()?;
    let layout = runtime::cgroup::Layout { hierarchies: Vec::new(), ..bench.host.layout().clone() };
    if layout.unified.is_none() {
        eprintln!("SKIP: needs cgroup2");
        return None;
    }
    bench.host = Host::with_layout(shim_program(), layout);
    Some(bench)
}

fn shim_program() -> ShimProgram {
    ShimProgram::new(&fs::read(env!("CARGO_BIN_EXE_bocage-shim")).unwrap()).unwrap()
}

/// A bench, or none, with a line that says so, where the machine lacks what the test needs.
pub(crate) fn bench() -> Option<Bench> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIP: needs root");
        return None;
    }
    if !Path::new("/bin/busybox").exists() {
        eprintln!("SKIP: needs a static /bin/busybox (Debian: busybox-static)");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let lower = directory.path().join("lower");
    for name in ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "home/web"] {
        fs::create_dir_all(lower.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", lower.join("bin/busybox")).unwrap();
    for name in [
        "sh", "true", "false", "cat", "echo", "sleep", "id", "ls", "grep", "mount", "touch", "stat",
        "hostname", "ps", "kill", "head", "tail", "dd", "seq", "readlink", "tty", "stty", "mkdir", "chmod",
        "wc", "env", "pwd", "mknod", "unshare", "printf", "ln", "test", "date", "usleep", "yes",
    ] {
        symlink("busybox", lower.join("bin").join(name)).unwrap();
    }
    fs::write(lower.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/home/web:/bin/sh\n")
        .unwrap();
    fs::write(lower.join("etc/group"), "root:x:0:\nwww:x:33:\naudio:x:29:web\n").unwrap();
    let parent = format!("bocage-test-{:016x}", base::random::number());
    Some(Bench { host: Host::new(shim_program()).unwrap(), directory, parent, execs: 0.into() })
}

impl Bench {
    fn make(&self, path: PathBuf) -> PathBuf {
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A container as Docker makes it by default, without a network.
    pub(crate) fn setup(&self, id: &str, command: &[&str]) -> Setup {
        let base = self.directory.path().join(id);
        let mount = |target: &str, kind: MountKind, words: &[&str]| Mount {
            target: PathBuf::from(target),
            kind,
            options: Options::parse(words.iter().copied()),
        };
        let quiet = ["nosuid", "noexec", "nodev"];
        let kernel = ["nosuid", "noexec", "nodev", "ro"];
        let shm = ["noexec", "nosuid", "nodev", "size=64m", "mode=1777"];
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect();
        Setup {
            id: id.to_owned(),
            directory: self.make(base.join("run")),
            root: Root::Overlay {
                lower: vec![self.directory.path().join("lower")],
                upper: self.make(base.join("upper")),
                work: self.make(base.join("work")),
                map_ids: false,
            },
            root_passing: None,
            no_pivot: false,
            root_read_only: false,
            mounts: vec![
                mount("/proc", MountKind::new("proc"), &quiet),
                mount("/dev", MountKind::Dev, &[]),
                mount("/sys", MountKind::new("sysfs"), &kernel),
                mount("/sys/fs/cgroup", MountKind::Cgroup, &kernel),
                mount("/dev/mqueue", MountKind::new("mqueue"), &quiet),
                mount("/dev/shm", MountKind::new("tmpfs"), &shm),
            ],
            namespaces: Namespaces::default(),
            hostname: Some(id.to_owned()),
            domainname: None,
            sysctls: vec![("net.ipv4.ip_unprivileged_port_start".into(), "0".into())],
            devices: Vec::new(),
            nodes: Vec::new(),
            default_nodes: false,
            all_devices: false,
            masked_paths: paths(&[
                "/proc/acpi",
                "/proc/asound",
                "/proc/interrupts",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/proc/scsi",
                "/sys/firmware",
                "/sys/devices/virtual/powercap",
            ]),
            read_only_paths: paths(&[
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ]),
            cgroup: Cgroup { path: Path::new(&self.parent).join(id), resources: Resources::default() },
            init: false,
            process: process(command),
            stdio: Stdio::default(),
            log: Some(Log { directory: self.make(base.join("log")), file_bytes_max: 1 << 20, files_max: 3 }),
            hooks: Hooks::default(),
            watch: Watch::Shim,
            timed: false,
        }
    }

    pub(crate) fn start(&self, setup: &Setup) -> Result<Started, Error> {
        runtime::start(&self.host, setup, &[])
    }

    pub(crate) fn start_with(
        &self,
        setup: &Setup,
        inherited: &[(BorrowedFd<'_>, RawFd)],
    ) -> Result<Started, Error> {
        runtime::start(&self.host, setup, inherited)
    }

    /// Runs to the end: the exit code and what was logged.
    pub(crate) fn run(&self, setup: &Setup) -> (i32, String) {
        let started = self.start(setup).unwrap_or_else(|error| panic!("{error}"));
        let status = self.wait(setup, &started);
        (status.exit.unwrap().code, self.logged(setup))
    }

    /// Waits for the shim's end.
    pub(crate) fn wait(&self, setup: &Setup, started: &Started) -> Status {
        self.wait_for_shim(started);
        assert!(!self.host.group(&setup.cgroup.path).exists(), "the container's group is gone with it");
        assert!(!setup.directory.join(SOCKET).exists(), "so is its socket");
        let status = Status::read(&setup.directory).unwrap().unwrap();
        assert!(status.exit.is_some());
        status
    }

    pub(crate) fn wait_for_shim(&self, started: &Started) {
        let mut set = [rustix::event::PollFd::new(&started.shim.pidfd, rustix::event::PollFlags::IN)];
        let patience = rustix::event::Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        let ready = rustix::event::poll(&mut set, Some(&patience)).unwrap();
        assert_eq!(ready, 1, "the shim ends");
        started.shim.reap().unwrap();
    }

    pub(crate) fn logged(&self, setup: &Setup) -> String {
        let directory = &setup.log.as_ref().unwrap().directory;
        let mut reader = runtime::log::Reader::open(directory, runtime::log::Query::default()).unwrap();
        let mut text = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            text.extend(record.text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(crate) fn exec_setup(&self, setup: &Setup, started: &Started, command: &[&str]) -> ExecSetup {
        let number = self.execs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let id = format!("{}-exec-{number}", setup.id);
        ExecSetup {
            directory: self.make(self.directory.path().join(&id)),
            id,
            container: ContainerProcess { pid: started.pid, start_ticks: started.start_ticks },
            cgroup: setup.cgroup.path.clone(),
            process: process(command),
            stdio: Stdio::default(),
            watch: Watch::Shim,
        }
    }

    /// Runs one more process to its end: its exit code and its output, both streams together.
    pub(crate) fn exec(&self, setup: &ExecSetup) -> Result<(i32, String), Error> {
        let (ours, theirs) = pair();
        let mut setup = setup.clone();
        setup.stdio.attached = vec![Attached { descriptor: 9, streams: OUTPUT }];
        let started = runtime::exec(&self.host, &setup, &[(theirs.as_fd(), 9)])?;
        drop(theirs);
        let (out, error) = split(&read_all(ours), setup.process.terminal);
        self.wait_for_shim(&started);
        let status = Status::read(&setup.directory).unwrap().unwrap();
        Ok((status.exit.unwrap().code, out + &error))
    }

    pub(crate) fn ask(&self, directory: &Path, request: &Request) -> Reply {
        let (_, mut reader) = connect(directory, request);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    pub(crate) fn kill(&self, setup: &Setup, started: &Started) -> Status {
        let reply = self.ask(&setup.directory, &Request::Signal(9));
        assert_eq!(reply, Reply::Ok(true));
        self.wait(setup, started)
    }
}

pub(crate) const OUTPUT: Streams = Streams { stdin: false, stdout: true, stderr: true };
pub(crate) const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true };

pub(crate) fn process(command: &[&str]) -> Process {
    Process {
        args: command.iter().map(|word| (*word).to_owned()).collect(),
        env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
        cwd: "/".into(),
        capabilities: Capabilities::of(CAPABILITIES.iter().map(|name| (*name).to_owned()).collect()),
        ..Process::default()
    }
}

pub(crate) fn shell(script: &str) -> [&str; 3] {
    ["sh", "-c", script]
}

pub(crate) fn connect(directory: &Path, request: &Request) -> (UnixStream, BufReader<UnixStream>) {
    let mut stream = UnixStream::connect(directory.join(SOCKET)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = serde_json::to_vec(request).unwrap();
    line.push(b'\n');
    stream.write_all(&line).unwrap();
    let reader = BufReader::new(stream.try_clone().unwrap());
    (stream, reader)
}

/// Two connected sockets; reading from the first gives up in time.
pub(crate) fn pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    (ours, theirs)
}

pub(crate) fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The two streams of a multiplexed one.
pub(crate) fn split(mut bytes: &[u8], raw: bool) -> (String, String) {
    let mut streams = [Vec::new(), Vec::new()];
    if raw {
        return (String::from_utf8_lossy(bytes).into_owned(), String::new());
    }
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[4..8].try_into().unwrap()) as usize;
        streams[usize::from(bytes[0] - 1)].extend_from_slice(&bytes[8..8 + length]);
        bytes = &bytes[8 + length..];
    }
    streams.map(|stream| String::from_utf8_lossy(&stream).into_owned()).into()
}

/// Asks until the answer is yes.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::system();
    let begin = clock.instant();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let parent = self.host.group(Path::new(&self.parent));
        let _ = parent.kill_all();
        let removed = parent.remove();
        if !std::thread::panicking() {
            removed.unwrap();
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            let name = self.directory.path().file_name().unwrap().to_str().unwrap();
            assert!(!mounts.contains(name), "no mount is left");
            let _ = STATUS;
        }
    }
}
