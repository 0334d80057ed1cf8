//! Which daemon is meant, and starting one where none runs.
//!
//! `-H`, then `BOCAGE_HOST`, then `DOCKER_HOST`, then the socket of the default roots (or of `BOCAGE_DATA_ROOT` and
//! `BOCAGE_EXEC_ROOT`). Only there a daemon is started: who names another address means the daemon that is there.

use crate::client::{Address, Client};
use crate::failure::Failure;
use crate::printer;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a new daemon may take until it answers.
const START_ATTEMPTS_MAX: u32 = 1000;
const START_PAUSE: Duration = Duration::from_millis(10);
/// How often it is looked for once the one that was started here has ended.
const OTHER_ATTEMPTS_MAX: u32 = 200;
/// Lines of its log that are shown when it does not.
const LOG_LINES: usize = 5;

/// What is meant by the command line and the environment.
pub(crate) struct Meant {
    address: Address,
    /// The exec root of a daemon that may be started.
    exec_root: Option<PathBuf>,
}

#[expect(clippy::disallowed_methods, reason = "this crate reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where `docker` keeps what it knows of its user: `DOCKER_CONFIG`, or `.docker` at home.
///
/// # Errors
/// There is no home.
pub(crate) fn docker_config() -> Result<PathBuf, Failure> {
    if let Some(chosen) = variable("DOCKER_CONFIG") {
        return Ok(PathBuf::from(chosen));
    }
    let home = variable("HOME").ok_or_else(|| {
        Failure::new("find the configuration: HOME is not set").with_hint("set HOME or DOCKER_CONFIG")
    })?;
    Ok(Path::new(&home).join(".docker"))
}

/// The proxies of the environment.
pub(crate) fn proxies() -> dial::Proxies {
    dial::Proxies::of(variable)
}

/// Where large files lie that are needed for a moment: `TMPDIR`, or where they may be larger than memory.
pub(crate) fn temporary() -> PathBuf {
    PathBuf::from(variable("TMPDIR").unwrap_or_else(|| "/var/tmp".to_owned()))
}

/// Finds out which daemon is meant.
///
/// # Errors
/// An address that is none.
pub(crate) fn meant(host: Option<&str>) -> Result<Meant, Failure> {
    let exec_root = PathBuf::from(variable("BOCAGE_EXEC_ROOT").unwrap_or_else(|| "/run/bocage".to_owned()));
    let own = Address::Unix(exec_root.join("bocage.sock"));
    let chosen =
        host.map(str::to_owned).or_else(|| variable("BOCAGE_HOST")).or_else(|| variable("DOCKER_HOST"));
    let address = match chosen {
        Some(text) => Address::parse(&text)?,
        None => own.clone(),
    };
    let exec_root = (address == own).then_some(exec_root);
    Ok(Meant { address, exec_root })
}

impl Meant {
    /// The daemon, started if need be.
    ///
    /// # Errors
    /// It could not be started; its last words are told.
    pub(crate) async fn daemon(&self) -> Result<Client, Failure> {
        let client = Client::new(self.address.clone());
        let Some(exec_root) = &self.exec_root else { return Ok(client) };
        match client.knock().await {
            // One that is there and refuses says so itself, when it is asked.
            Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => {}
            _ => return Ok(client),
        }
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::new(format!(
                "no daemon answers at {}, and starting one needs root",
                self.address.text()
            ))
            .with_hint("put sudo in front of this command, or start it yourself: sudo bocage daemon"));
        }
        let (log, mut child) = start(exec_root)?;
        printer::note(&format!("bocage: started a daemon; it logs to {}", log.display()));
        let mut attempts = START_ATTEMPTS_MAX;
        while attempts > 0 {
            if client.knock().await.is_ok() {
                return Ok(client);
            }
            // It ends early where it cannot work, or where another one was faster and will answer in a moment.
            if matches!(child.try_wait(), Ok(Some(_))) {
                attempts = attempts.min(OTHER_ATTEMPTS_MAX);
            }
            attempts -= 1;
            tokio::time::sleep(START_PAUSE).await;
        }
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(LOG_LINES).collect();
        let words = lines.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        Err(Failure::new(format!("the daemon that was started does not answer; its log ends:\n  {words}"))
            .with_hint("`bocage daemon` in the foreground shows more"))
    }

    /// The daemon as it is: none is started.
    pub(crate) fn as_it_is(&self) -> Client {
        Client::new(self.address.clone())
    }
}

/// Starts a daemon in a process group of its own. Where two commands do so at once, one of the daemons finds the root taken and
/// ends; both commands then reach the other.
fn start(exec_root: &Path) -> Result<(PathBuf, Child), Failure> {
    let failed = |what: &str, error: std::io::Error| Failure::new(format!("start a daemon: {what}: {error}"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(exec_root)
        .map_err(|error| failed("make the exec root", error))?;
    let log = exec_root.join("daemon.log");
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&log)
        .map_err(|error| failed("open its log", error))?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("bocage")
        .arg("daemon")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file);
    // A process group of its own: what the terminal sends to this command is not meant for the daemon.
    let child = command.process_group(0).spawn().map_err(|error| failed("run it", error))?;
    Ok((log, child))
}
