//! Programs that the tool runs, packages that it installs, and the way to root.
//!
//! Invariant: a command line that fails is shown as it was run, with the end of what it said.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::say;

/// How much of a failed program's output is shown.
const SHOWN_LINES_MAX: usize = 30;

/// The folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The target folder of the workspace, where everything that is made goes.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// A program with its arguments, to be run in the workspace.
pub(crate) fn command<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace()).stdin(Stdio::null());
    command
}

/// `cargo`, the one that runs this tool where there is one.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = command(&cargo, arguments);
    // What the outer cargo tells this tool about its own crate is not meant for another build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a program to its end, its output going where the tool's goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{} could not be started", shown(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a program to its end and shows what it said only if it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    output(command).map(|_| ())
}

/// Runs a program and returns what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{} could not be started", shown(command)))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let all = text + &String::from_utf8_lossy(&output.stderr);
    // What is said to programs says nothing to people.
    let lines: Vec<&str> = all.lines().filter(|line| !line.starts_with("{\"reason\"")).collect();
    let tail = lines[lines.len().saturating_sub(SHOWN_LINES_MAX)..].join("\n");
    bail!("{} failed: {}\n{tail}", shown(command), output.status)
}

/// Whether a program is found on the PATH or in the folders of the administrator.
pub(crate) fn found(program: &str) -> bool {
    path_of(program).is_some()
}

/// Where a program is, on the PATH or in the folders of the administrator.
pub(crate) fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin:/sbin";
    path.split(':').map(|folder| Path::new(folder).join(program)).find(|file| file.is_file())
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program to be run as root: itself for root, through `sudo` for anybody else.
pub(crate) fn root(program: &str, arguments: &[&str]) -> Command {
    if is_root() {
        return command(program, arguments);
    }
    // `env` hands over what sudo would drop and a build or a client needs.
    let mut words = vec!["env".to_owned()];
    for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR", "BOCAGE_SHARED"] {
        if let Ok(value) = std::env::var(name) {
            words.push(format!("{name}={value}"));
        }
    }
    words.push(program.to_owned());
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    let mut sudo = command("sudo", &words);
    sudo.stdin(Stdio::inherit());
    sudo
}

/// Runs the half of a command that needs root: here for root, in a copy of this tool started by `sudo` for anybody else.
pub(crate) fn as_root(words: &[&str], here: impl FnOnce() -> Result<()>) -> Result<()> {
    if is_root() {
        return here();
    }
    let tool = std::env::current_exe().context("the path of this tool is unknown")?;
    let all: Vec<&str> = std::iter::once("root").chain(words.iter().copied()).collect();
    run(&mut root(&tool.to_string_lossy(), &all))
}

/// Installs the Debian packages whose program is missing, saying which.
///
/// Each wish is a program and the package that brings it.
pub(crate) fn install(wishes: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        wishes.iter().filter(|(program, _)| !found(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !found("apt-get") {
        bail!(
            "these Debian packages are needed and there is no apt-get to install them: {}",
            missing.join(" ")
        );
    }
    say::step(&format!("installing Debian packages: {}", missing.join(" ")));
    let mut words =
        vec!["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qy", "--no-install-recommends"];
    words.extend(&missing);
    if quietly(&mut root("env", &words)).is_ok() {
        return Ok(());
    }
    // The lists may be missing or older than the mirror.
    quietly(&mut root("apt-get", &["update", "-q"]))?;
    quietly(&mut root("env", &words))
}

fn shown(command: &Command) -> String {
    let mut text = format!("`{}", command.get_program().to_string_lossy());
    for word in command.get_args() {
        text.push(' ');
        text.push_str(&word.to_string_lossy());
    }
    text + "`"
}
