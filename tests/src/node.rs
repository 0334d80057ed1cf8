//! A daemon of a test's own, on roots of its own.
//!
//! Invariant: when the test ends well, the daemon is stopped with its containers and nothing on the machine carries its id or its
//! folder; when it ends badly, the same is tried and nothing is asserted, so that the first failure is the one that is told.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::cli::Spawned;
use crate::needs::binary;
use crate::{Cli, Client, Said, image_path, left_of, processes_with_file_below, sweep, until, until_within};

/// The longest that a daemon may take to end with its containers.
const STOP_LIMIT: Duration = Duration::from_secs(40);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// What a test wants of its daemon beyond the usual.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Words behind `bocage daemon --data-root … --exec-root …`.
    pub words: Vec<String>,
    /// The data root is a file system in memory of so many MiB.
    pub data_mib: Option<u32>,
}

/// An answer of the API.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

/// A daemon with its folder.
#[derive(Debug)]
pub struct Node {
    folder: PathBuf,
    child: Option<Child>,
    options: Options,
    id: String,
}

impl Node {
    /// Stands for the address of the daemon's own socket among the words of [`Options`].
    pub const OWN_SOCKET: &str = "own socket";

    /// Starts a daemon and loads images into it.
    #[must_use]
    pub fn start(images: &[&str]) -> Self {
        let node = Self::start_with(Options::default());
        for image in images {
            let said = node.load(&image_path(image));
            assert_eq!(said.code, 0, "the image {image} is not taken: {said:?}");
        }
        node
    }

    /// Starts a daemon that is not the usual one.
    #[must_use]
    pub fn start_with(options: Options) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/var/tmp/bocage-test-{}-{number}", std::process::id()));
        fs::create_dir_all(folder.join("home/.docker")).expect("a folder can be made");
        fs::create_dir_all(folder.join("data")).expect("a folder can be made");
        if let Some(mib) = options.data_mib {
            let size = format!("size={mib}m");
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder.join("data"));
            assert!(mount.status().is_ok_and(|status| status.success()), "a tmpfs can be mounted");
        }
        let mut node = Self { folder, child: None, options, id: String::new() };
        node.start_again();
        node
    }

    /// Starts the daemon on the roots that are there, and waits until it answers.
    pub fn start_again(&mut self) {
        let log =
            File::options().create(true).append(true).open(self.log_path()).expect("the log can be written");
        let mut command = Command::new(binary());
        command
            .arg("daemon")
            .arg("--data-root")
            .arg(self.data_root())
            .arg("--exec-root")
            .arg(self.exec_root());
        let own = self.host();
        command
            .args(self.options.words.iter().map(|word| if word == Self::OWN_SOCKET { &own } else { word }));
        command.env_remove("DOCKER_HOST").env_remove("BOCAGE_HOST").current_dir("/");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a descriptor can be copied")).stderr(log);
        let mut child = command.spawn().expect("the daemon can be started");
        until("the daemon answers", || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the daemon ended with {status}; it said:\n{}", self.log());
            }
            (self.socket_answers() && self.request("GET", "/_ping", None).status == 200).then_some(())
        });
        self.child = Some(child);
        self.id = id_in(&self.log());
    }

    /// What the daemon wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The id that everything carries which this daemon makes in the kernel.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The daemon's process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// A folder of the test's own, removed at the end.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Where the daemon keeps what survives a reboot.
    #[must_use]
    pub fn data_root(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where the daemon keeps what ends with a reboot.
    #[must_use]
    pub fn exec_root(&self) -> PathBuf {
        self.folder.join("exec")
    }

    /// The socket of its API.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.exec_root().join("bocage.sock")
    }

    /// Whether somebody listens on the socket.
    #[must_use]
    pub fn socket_answers(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("daemon.log")
    }

    /// How a client names this daemon.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A client's command line on this daemon.
    #[must_use]
    pub fn cli(&self, client: Client) -> Cli {
        Cli::new(client, self.host(), self.home())
    }

    /// Gives the daemon an image archive.
    #[must_use]
    pub fn load(&self, archive: &Path) -> Said {
        self.cli(Client::Bocage).run(&["load", "-i", &archive.to_string_lossy()])
    }

    /// Asks the API through curl(1).
    ///
    /// # Panics
    /// Where curl cannot be started.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code}", "--request", method]);
        command.arg("--unix-socket").arg(self.socket());
        if let Some(body) = body {
            command.args(["--header", "Content-Type: application/json", "--data-binary", &body.to_string()]);
        }
        command.arg(format!("http://localhost{path}")).stdin(Stdio::null());
        let said = Spawned::start(&mut command).finish();
        let (text, status) = said.out.rsplit_once('\n').unwrap_or((&said.out, "0"));
        Answer { status: status.parse().unwrap_or_default(), text: text.to_owned() }
    }

    /// Ends the daemon at once (SIGKILL), as a crash does. Containers go on.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the daemon can be killed");
            child.wait().expect("the daemon can be waited for");
        }
    }

    /// What a loss of power leaves: no process of this daemon, nothing in the exec root, the data root as it was.
    ///
    /// # Panics
    /// Where processes cannot be killed.
    pub fn lose_power(&mut self) {
        self.kill();
        let id = self.id.clone();
        until("every process of the daemon is killed", || {
            let mut all = processes_with_file_below(&self.folder);
            all.extend(group_members(&id));
            for pid in &all {
                if let Some(pid) = i32::try_from(*pid).ok().and_then(rustix::process::Pid::from_raw) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
            all.is_empty().then_some(())
        });
        unmount_below(&self.exec_root());
        unmount_below(&self.data_root().join("overlay"));
        fs::remove_dir_all(self.exec_root()).expect("the exec root can be emptied");
    }

    /// Stops the daemon with its containers.
    ///
    /// # Panics
    /// Where it does not end well, or leaves something behind.
    pub fn stop(mut self) {
        self.kill_containers();
        let said = self.end();
        assert_eq!(said.code, 0, "the daemon does not stop: {said:?}; its log:\n{}", self.log());
        unmount_data(&self);
        let folder = self.folder.to_string_lossy().into_owned();
        let mut left = Vec::new();
        let start = std::time::Instant::now();
        until_within(STOP_LIMIT * 2, "nothing is left of the daemon", || {
            left = left_of(&folder);
            if !self.id.is_empty() {
                left.extend(left_of(&self.id));
            }
            assert!(left.is_empty() || start.elapsed() < STOP_LIMIT, "left of the daemon: {left:#?}");
            left.is_empty().then_some(())
        });
        fs::remove_dir_all(&self.folder).expect("the folder of a test can be removed");
    }

    /// Kills what runs, so that nobody waits ten seconds for a `sleep` that, as process 1, hears no SIGTERM.
    fn kill_containers(&self) {
        let cli = self.cli(Client::Bocage);
        let running = cli.run(&["ps", "-q"]).out;
        let mut words = vec!["kill"];
        words.extend(running.split_whitespace());
        if words.len() > 1 {
            let _ = cli.run(&words);
        }
    }

    fn end(&mut self) -> Said {
        let said = self.cli(Client::Bocage).run(&["-H", &self.host(), "daemon", "stop", "--containers"]);
        if let Some(mut child) = self.child.take() {
            until_within(STOP_LIMIT, "the daemon ends", || {
                child.try_wait().expect("the daemon can be waited for")
            });
        }
        said
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !self.folder.exists() {
            return;
        }
        let _ = self.cli(Client::Bocage).run(&["-H", &self.host(), "daemon", "stop", "--containers"]);
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let mut all = processes_with_file_below(&self.folder);
        all.extend(group_members(&self.id));
        for pid in all {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        unmount_below(&self.folder);
        let _ = fs::remove_dir_all(&self.folder);
        if !self.id.is_empty() {
            sweep(&self.id);
        }
    }
}

fn unmount_data(node: &Node) {
    if node.options.data_mib.is_some() {
        unmount_below(&node.data_root());
    }
}

/// Takes away the mounts at and below a folder, the deepest first.
fn unmount_below(folder: &Path) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points: Vec<&str> = table.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    for point in points.iter().rev().filter(|point| Path::new(point).starts_with(folder)) {
        let _ = rustix::mount::unmount(*point, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Processes in control groups that carry this id.
fn group_members(id: &str) -> Vec<u32> {
    if id.is_empty() {
        return Vec::new();
    }
    let entries = fs::read_dir("/proc").expect("/proc can be read");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|group| group.contains(id)))
        .collect()
}

/// The id in the line that a daemon writes when it is ready: eight digits behind `daemon=`.
fn id_in(log: &str) -> String {
    let found = log.rsplit("daemon=").next().filter(|_| log.contains("daemon="));
    found.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default().to_owned()
}
