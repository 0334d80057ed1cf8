//! A bundle of the OCI runtime specification with a busybox in it, and `bocage runtime` to drive it.
//!
//! ```text
//! Bundle::new (a root, what `spec` writes) -> edit -> run / ok / fails / terminal -> end: deleted, nothing may be left
//! ```
//!
//! Each bundle has an id, a folder and a root for containers of its own. No daemon takes part. Words go to files and not
//! into pipes: a container that is left running keeps what it was given open.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::needs::{binary, on_path, skip};
use crate::{Said, Terminal, left_of, processes_with_file_below, until, until_within};

/// The longest that one command may run.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// Folders of the root.
const FOLDERS: [&str; 8] = ["bin", "dev", "etc", "mnt", "proc", "srv", "sys", "tmp"];
/// Bundles that were made in this process.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A bundle. Dropped, its container and its files are gone.
#[derive(Debug)]
pub struct Bundle {
    id: String,
    folder: PathBuf,
    config: Value,
    commands: Cell<u32>,
}

impl Bundle {
    /// A bundle whose root can be written, whose program is a shell that ends at once, and that has no terminal.
    /// Where the machine cannot run it, that is told, and there is none.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn new() -> Option<Bundle> {
        if !rustix::process::geteuid().is_root() {
            skip("not run as root");
            return None;
        }
        let Some(busybox) = on_path("busybox") else {
            skip("no busybox is installed");
            return None;
        };
        // A container that is left to itself becomes this process's child, and its end is taken note of in `is_gone`.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .expect("orphans may come to this process");
        let id = format!("bundle-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(format!("/var/tmp/bocage-{id}"));
        let mut bundle = Bundle { id, folder, config: Value::Null, commands: Cell::new(0) };
        bundle.fill(&busybox);
        bundle.ok(&["spec", "--bundle", &bundle.folder.to_string_lossy()]);
        let text = fs::read(bundle.folder.join("config.json")).expect("spec writes a configuration");
        bundle.config = serde_json::from_slice(&text).expect("a configuration is JSON");
        bundle.edit("/process/terminal", json!(false));
        bundle.edit("/root/readonly", json!(false));
        bundle.shell("true");
        Some(bundle)
    }

    fn fill(&self, busybox: &Path) {
        for name in FOLDERS {
            fs::create_dir_all(self.root().join(name)).expect("a folder can be made");
        }
        let bin = self.root().join("bin");
        fs::copy(busybox, bin.join("busybox")).expect("a program can be copied");
        let list = Command::new(busybox).arg("--list").output().expect("busybox runs");
        for name in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
            symlink("busybox", bin.join(name)).expect("a link can be made");
        }
    }

    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The bundle's folder, as a word.
    #[must_use]
    pub fn folder(&self) -> String {
        self.folder.to_string_lossy().into_owned()
    }

    /// A path in the bundle's folder, as a word.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// The root file system, as the host sees it.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("rootfs")
    }

    /// Where the runtime keeps what it knows of the container.
    #[must_use]
    pub fn kept(&self) -> PathBuf {
        self.folder.join("state").join(&self.id)
    }

    /// Where the control group of the container is: beside others in v2, beneath each controller's own folder in v1.
    #[must_use]
    pub fn group(&self, controller: &str) -> PathBuf {
        let all = Path::new("/sys/fs/cgroup");
        let own = all.join(controller);
        if own.is_dir() { own.join(&self.id) } else { all.join(&self.id) }
    }

    /// Makes a shell with this script the program.
    pub fn shell(&mut self, script: &str) {
        self.edit("/process/args", json!(["sh", "-c", script]));
    }

    /// Sets a field of the configuration by its JSON pointer; `-` at the end of one stands behind a list.
    ///
    /// # Panics
    /// Where there is nothing that could have the field.
    pub fn edit(&mut self, pointer: &str, value: Value) {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer has a slash");
        let parent = self.config.pointer_mut(parent).expect("the field's owner is there");
        match parent {
            Value::Array(items) if name == "-" => items.push(value),
            other => other[name] = value,
        }
    }

    /// Takes a namespace of this kind away.
    pub fn share(&mut self, kind: &str) {
        if let Some(Value::Array(namespaces)) = self.config.pointer_mut("/linux/namespaces") {
            namespaces.retain(|one| one["type"] != kind);
        }
    }

    /// Writes the configuration as it is by now.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write(&self) {
        if !self.config.is_null() {
            let text = self.config.to_string();
            fs::write(self.folder.join("config.json"), text).expect("a configuration can be written");
        }
    }

    /// A command that is not started yet.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        self.write();
        let mut command = Command::new(binary());
        command.arg("runtime").arg("--root").arg(self.folder.join("state")).args(words);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, whatever it leaves behind.
    ///
    /// # Panics
    /// Where it does not end within a minute.
    pub fn finish(&self, command: &mut Command) -> Said {
        let number = self.commands.replace(self.commands.get() + 1);
        let file = |kind: &str| self.folder.join(format!("{kind}.{number}"));
        let create = |kind: &str| File::create(file(kind)).expect("a file can be made");
        let child = command.stdout(create("out")).stderr(create("err")).spawn();
        let code = code(&mut child.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}")));
        let text = |kind: &str| fs::read(file(kind)).map(|text| String::from_utf8_lossy(&text).into_owned());
        Said { code, out: text("out").unwrap_or_default(), err: text("err").unwrap_or_default() }
    }

    /// Runs words to their end.
    pub fn run(&self, words: &[&str]) -> Said {
        self.finish(&mut self.command(words))
    }

    /// Runs words that must end well, and returns what they printed, trimmed.
    ///
    /// # Panics
    /// Where they do not.
    pub fn ok(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, 0, "{words:?} said {said:?}");
        said.out.trim().to_owned()
    }

    /// Runs words that must be refused with such a message, and returns it whole.
    ///
    /// # Panics
    /// Where they are not.
    pub fn refused(&self, words: &[&str], message: &str) -> String {
        let said = self.run(words);
        assert!(
            said.code == 1 && said.err.contains(message),
            "{words:?} is not refused by {message:?}: {said:?}"
        );
        said.err
    }

    /// Creates the container.
    pub fn create(&self) {
        self.ok(&["create", "--bundle", &self.folder(), &self.id]);
    }

    /// Creates the container and starts its program.
    pub fn start(&self) {
        self.create();
        self.ok(&["start", &self.id]);
    }

    /// Runs the container to its end; what it printed.
    pub fn run_through(&self) -> String {
        self.ok(&["run", "--bundle", &self.folder(), &self.id])
    }

    /// Starts words in a terminal.
    #[must_use]
    pub fn terminal(&self, words: &[&str]) -> Terminal {
        Terminal::start(&self.command(words))
    }

    /// The container's state.
    ///
    /// # Panics
    /// Where there is no such container.
    #[must_use]
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.ok(&["state", &self.id])).expect("a state is JSON")
    }

    /// The one word for the container's state.
    #[must_use]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap_or_default().to_owned()
    }

    /// The number of the container's process.
    #[must_use]
    pub fn pid(&self) -> u64 {
        self.state()["pid"].as_u64().unwrap_or_default()
    }

    /// Waits for a status.
    pub fn until_status(&self, status: &str) {
        until(status, || (self.status() == status).then_some(()));
    }

    /// Waits until a file of the root has a whole line, and returns what is in it, trimmed.
    #[must_use]
    pub fn until_written(&self, name: &str) -> String {
        let path = self.root().join(name);
        until(name, || fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))).trim().to_owned()
    }

    /// Ends the container, whatever it is, and looks for what is left of it.
    pub fn end(self) {
        self.ok(&["delete", "--force", &self.id]);
        self.is_gone();
    }

    /// What is left of the container, once those of its processes that have ended are taken note of.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        for pid in processes_with_file_below(Path::new(&self.id)) {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            // Most are no child of this process.
            let _ = rustix::process::waitpid(pid, rustix::process::WaitOptions::NOHANG);
        }
        left_of(&self.id)
    }

    /// Nothing of the container is left: neither processes, mounts, control groups nor what the runtime knew of it.
    ///
    /// # Panics
    /// Where something is.
    pub fn is_gone(&self) {
        assert!(!self.kept().exists(), "the runtime keeps {}", self.kept().display());
        let mut left = Vec::new();
        for _ in 0..LOOKS_MAX {
            left = self.left();
            if left.is_empty() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("left of {}: {left:?}", self.id);
    }
}

/// How often what is left is looked for, as the kernel takes a moment.
const LOOKS_MAX: u32 = 20;

/// The exit code of a child; 128 and the signal's number for one that a signal ended.
fn code(child: &mut Child) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    let status = until_within(COMMAND_LIMIT, "a command ends", || {
        child.try_wait().expect("a child can be waited for")
    });
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self
            .command(&["delete", "--force", &self.id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
