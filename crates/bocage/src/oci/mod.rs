//! `bocage runtime …`: an OCI runtime with runc's command line, for engines that bring their own bundles.
//!
//! ```text
//! words ── arguments (a table) ──> a verb of [`verbs`] ──> runtime::bundle ──> lines, or one error: on standard error and in `--log`
//! ```
//!
//! No daemon takes part, and nothing is resident: what is known of containers stands beneath `--root`.

mod arguments;
mod changes;
mod report;
mod terminal;
mod verbs;

use arguments::{VERBS, Verb};
use base::{Chain, Clock};
use clap::ArgMatches;
use report::Journal;
use runtime::bundle::state::Store;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where containers are kept where nobody says otherwise.
const ROOT: &str = "/run/bocage-runtime";

/// Everything that verbs share.
pub(crate) struct Context {
    store: Store,
    clock: Clock,
}

/// Why a verb did not do its work: the message, whole.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(Chain(&error).to_string())
    }
}

impl Failure {
    fn new(message: impl Into<String>) -> Failure {
        Failure(message.into())
    }
}

/// How a verb ends: the exit code.
type Outcome = Result<u8, Failure>;

/// Runs the words after `bocage runtime`.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let command = arguments::command();
    let words = std::iter::once(OsString::from("bocage runtime")).chain(arguments.iter().cloned());
    let matches = match command.try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => {
            cli::print_error(error.to_string().trim_end());
            return ExitCode::FAILURE;
        }
        Err(error) => {
            cli::print(&error.to_string());
            return ExitCode::SUCCESS;
        }
    };
    let journal = Journal::new(&matches);
    let Some((name, inner)) = matches.subcommand() else { return ExitCode::FAILURE };
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else { return ExitCode::FAILURE };
    match run(verb, &matches, inner) {
        Ok(code) => ExitCode::from(code),
        Err(Failure(message)) => {
            journal.error(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb, global: &ArgMatches, matches: &ArgMatches) -> Outcome {
    if global.get_flag("systemd-cgroup") {
        return Err(Failure::new(
            "--systemd-cgroup: this runtime makes control groups itself and asks no systemd for them: use the `cgroupfs` manager \
             (podman --cgroup-manager=cgroupfs, or \"native.cgroupdriver=cgroupfs\")",
        ));
    }
    let root = global.get_one::<PathBuf>("root").cloned().unwrap_or_else(|| PathBuf::from(ROOT));
    let context = Context { store: Store::new(root), clock: Clock::system() };
    (verb.run)(&context, matches)
}
