//! The two clients, each with a home and settings of its own, both told by `DOCKER_HOST` which daemon is meant.

use std::io::{Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::needs::binary;
use crate::{Terminal, until_within};

/// The longest that one command may run.
const COMMAND_LIMIT: Duration = Duration::from_secs(90);

/// Who drives the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The unmodified `docker` client.
    Docker,
    /// Our own command line.
    Bocage,
}

/// A client that is told which daemon it drives.
#[derive(Debug, Clone)]
pub struct Cli {
    client: Client,
    host: String,
    home: PathBuf,
    /// Of its environment, beside what every client gets.
    variables: Vec<(String, String)>,
}

/// What a command said, and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    /// The exit code; 128 and the signal's number for one that a signal ended.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A command that is still running. Dropped, it is killed.
#[derive(Debug)]
pub struct Spawned {
    child: Child,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<String>>,
}

impl Cli {
    pub(crate) fn new(client: Client, host: String, home: PathBuf) -> Self {
        Self { client, host, home, variables: Vec::new() }
    }

    /// The same with a variable in its environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Which client this is.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client
    }

    /// Runs a command to its end.
    pub fn run(&self, words: &[&str]) -> Said {
        self.spawn(words).finish()
    }

    /// Runs a command to its end, with something to read.
    #[must_use]
    pub fn run_with(&self, words: &[&str], input: &[u8]) -> Said {
        let mut command = self.command(words);
        command.stdin(Stdio::piped());
        let mut spawned = Spawned::start(&mut command);
        let mut stdin = spawned.child.stdin.take().expect("the client has an input");
        let input = input.to_vec();
        // A client that refuses early closes its end; what it says then is what the test looks at.
        let writer = thread::spawn(move || stdin.write_all(&input).is_ok());
        let said = spawned.finish();
        let _ = writer.join();
        said
    }

    /// Runs a command that must end well, and returns what it printed, trimmed.
    ///
    /// # Panics
    /// Where it does not.
    pub fn ok(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, 0, "{:?} {words:?} said {said:?}", self.client);
        said.out.trim().to_owned()
    }

    /// Runs a command that must end with this code, and returns what it printed on standard error.
    ///
    /// # Panics
    /// Where it ends otherwise.
    pub fn fails(&self, code: i32, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, code, "{:?} {words:?} said {said:?}", self.client);
        said.err
    }

    /// Starts a command and leaves it running.
    #[must_use]
    pub fn spawn(&self, words: &[&str]) -> Spawned {
        Spawned::start(self.command(words).stdin(Stdio::null()))
    }

    /// Starts a command in a terminal.
    #[must_use]
    pub fn terminal(&self, words: &[&str]) -> Terminal {
        Terminal::start(&self.command(words))
    }

    /// The one value that a Go template gives for a container.
    #[must_use]
    pub fn inspect(&self, name: &str, format: &str) -> String {
        self.ok(&["inspect", "--format", format, name])
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = match self.client {
            Client::Docker => Command::new("docker"),
            Client::Bocage => Command::new(binary()),
        };
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("DOCKER_CONFIG", self.home.join(".docker"))
            .env("DOCKER_HOST", &self.host)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.home);
        command
    }
}

impl Spawned {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let out = child.stdout.take().map(read_all);
        let err = child.stderr.take().map(read_all);
        Self { child, out, err }
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it does not end within 90 seconds.
    #[must_use]
    pub fn finish(mut self) -> Said {
        use std::os::unix::process::ExitStatusExt as _;
        let child = &mut self.child;
        let status = until_within(COMMAND_LIMIT, "a command ends", || {
            child.try_wait().expect("a child can be waited for")
        });
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        let text = |reader: Option<JoinHandle<String>>| {
            reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
        };
        Said { code, out: text(self.out.take()), err: text(self.err.take()) }
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn read_all(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
