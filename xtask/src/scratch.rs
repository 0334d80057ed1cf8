//! A daemon of the tool's own, on roots of its own, that leaves nothing behind.
//!
//! Invariant: when the value is dropped, its containers and daemon are stopped and its folder is gone, whatever happened before.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::http::Connection;
use crate::{say, shell};

/// The longest that a daemon may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a condition is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits until a question has an answer, and returns the last refusal when time is up.
pub(crate) fn until<T>(limit: Duration, mut question: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match question() {
            Ok(answer) => return Ok(answer),
            Err(error) if start.elapsed() > limit => {
                return Err(error.context(format!("not within {limit:?}")));
            }
            Err(_) => sleep(LOOK_EVERY),
        }
    }
}

/// A daemon on roots of its own.
pub(crate) struct Daemon {
    binary: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// Starts a daemon and waits until it answers. The name tells whose it is.
    pub(crate) fn start(binary: &Path, name: &str) -> Result<Self> {
        let folder = PathBuf::from(format!("/var/tmp/bocage-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut daemon = Self { binary: binary.to_owned(), folder, child: None };
        daemon.start_again()?;
        Ok(daemon)
    }

    /// Starts the daemon on the roots that are there already.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let path = self.folder.join("daemon.log");
        let log = File::options().create(true).append(true).open(&path);
        let log = log.with_context(|| format!("{} cannot be written", path.display()))?;
        let mut command = Command::new(&self.binary);
        command
            .arg("daemon")
            .arg("--data-root")
            .arg(self.data_root())
            .arg("--exec-root")
            .arg(self.exec_root());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir("/");
        self.child =
            Some(command.spawn().with_context(|| format!("{} cannot be started", self.binary.display()))?);
        until(START_TIMEOUT, || self.ping()).with_context(|| {
            let said = fs::read_to_string(&path).unwrap_or_default();
            format!("the daemon does not answer; it said:\n{said}")
        })
    }

    fn ping(&self) -> Result<()> {
        match Connection::unix(&self.socket())?.request("GET", "/_ping", "text/plain", &[])? {
            (200, _) => Ok(()),
            (status, _) => bail!("the daemon answers {status} to a ping"),
        }
    }

    /// Where the daemon keeps what must survive a reboot.
    pub(crate) fn data_root(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where the daemon keeps what ends with a reboot.
    pub(crate) fn exec_root(&self) -> PathBuf {
        self.folder.join("exec")
    }

    /// The socket of the daemon's API.
    pub(crate) fn socket(&self) -> PathBuf {
        self.exec_root().join("bocage.sock")
    }

    /// The daemon's process id.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Runs the command line against this daemon and returns what it printed.
    pub(crate) fn bocage(&self, words: &[&str]) -> Result<String> {
        let host = format!("unix://{}", self.socket().display());
        let all: Vec<&str> = ["-H", &host].into_iter().chain(words.iter().copied()).collect();
        let mut command = shell::command(&self.binary.to_string_lossy(), &all);
        Ok(shell::output(command.env_remove("DOCKER_HOST").env_remove("BOCAGE_HOST"))?.trim_end().to_owned())
    }

    /// Ends the daemon at once, as a crash does (SIGKILL), and waits for its end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("the daemon cannot be killed")?;
            child.wait().context("the daemon cannot be waited for")?;
        }
        Ok(())
    }

    /// Stops the containers and the daemon, and removes the folder.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.clean()
    }

    fn clean(&mut self) -> Result<()> {
        if !self.folder.exists() {
            return Ok(());
        }
        let stopped = self.bocage(&["daemon", "stop", "--containers"]).map(|_| ());
        if let Some(mut child) = self.child.take() {
            let limit = START_TIMEOUT;
            let ended = until(limit, || child.try_wait()?.context("the daemon goes on running").map(|_| ()));
            if ended.is_err() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        unmount_below(&self.folder);
        let removed = fs::remove_dir_all(&self.folder);
        stopped.context("the daemon did not stop its containers")?;
        removed.with_context(|| format!("{} cannot be removed", self.folder.display()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.clean() {
            say::error(&format!("xtask: {error:#}"));
        }
    }
}

/// Takes away the mounts that a daemon left below a folder, the deepest first.
pub(crate) fn unmount_below(folder: &Path) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points: Vec<&str> = table.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    for point in points.iter().rev().filter(|point| Path::new(point).starts_with(folder)) {
        let _ = rustix::mount::unmount(*point, rustix::mount::UnmountFlags::DETACH);
    }
}
