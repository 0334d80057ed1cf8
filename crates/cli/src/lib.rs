//! The command line: `docker`'s verbs, flags, tables and exit codes, over the Engine API of any daemon.
//!
//! ```text
//! words -> table (which command, which flags) -> start (which daemon) -> commands/* -> client (HTTP) -> printer
//! ```
//!
//! - [`table`]: every command and flag as data; help is made of it
//! - `start`: which daemon is meant, and starting one where none runs
//! - `commands`: what each does; `commands::spec` turns the flags of `run` into a request
//! - `format`: templates, tables, figures in words
//! - `printer`: the only place that prints
//!
//! Nothing here knows how a container is made: whatever `docker` could not ask of a daemon, this cannot either, but for
//! `/bocage/v1`.

mod client;
mod commands;
mod failure;
mod format;
mod printer;
mod pump;
mod start;
mod table;
mod terminal;

use commands::{container, demo, image, list, node, run, show, stats};
use failure::{Failure, REFUSED};
use std::ffi::OsString;
use std::process::ExitCode;
use table::{Entry, Parsed};

/// Prints text on standard output, for the roles of the binary that are no commands.
pub fn print(text: &str) {
    printer::out(text);
}

/// Prints an error on standard error, with the program's name in front.
pub fn print_error(message: &str) {
    printer::error(message);
}

/// Runs one command line; `daemon` runs the node itself in this process.
pub fn main(arguments: &[OsString], daemon: impl FnOnce(&[OsString]) -> ExitCode) -> ExitCode {
    let words: Vec<String> =
        arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let (host, words) = match global(words) {
        Ok(split) => split,
        Err(failure) => return ended(&failure, None),
    };
    match words.first().map(String::as_str) {
        None | Some("--help" | "help") if words.len() <= 1 => {
            printer::out(&table::overview());
            return ExitCode::SUCCESS;
        }
        Some("-v" | "--version") => {
            printer::line(concat!("bocage version ", env!("CARGO_PKG_VERSION")));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    // `help run` is `run --help`.
    let words = if words[0] == "help" {
        words[1..].iter().cloned().chain(["--help".to_owned()]).collect()
    } else {
        words
    };
    let Some((entry, used)) = table::find(&words) else {
        let word = words.first().map(String::as_str).unwrap_or_default();
        return ended(&unknown(word), None);
    };
    if entry.name == "daemon" && !words.iter().any(|word| word == "--help") {
        let own: Vec<OsString> = words[used..].iter().map(OsString::from).collect();
        return daemon(&own);
    }
    let named = std::iter::once("bocage".to_owned()).chain(words[used..].iter().cloned());
    let parsed = match entry.command().try_get_matches_from(named) {
        Ok(matches) => Parsed(matches),
        Err(error) if !error.use_stderr() => {
            printer::out(&error.render().to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => return ended(&bad_line(&error), Some(entry)),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(&Failure::new(format!("start: {error}")), None),
    };
    let kind =
        words.first().map(String::as_str).filter(|word| used == 2 && matches!(*word, "container" | "image"));
    let outcome = runtime.block_on(execute(entry, &parsed, host.as_deref(), kind));
    // A thread may still wait for standard input; nobody waits for it.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ended(&failure, Some(entry)),
    }
}

/// Takes `-H` off the front of a command line.
fn global(mut words: Vec<String>) -> Result<(Option<String>, Vec<String>), Failure> {
    let mut host = None;
    while let Some(word) = words.first().cloned() {
        let joined = word
            .strip_prefix("--host=")
            .or_else(|| word.strip_prefix("-H="))
            .or_else(|| word.strip_prefix("-H").filter(|rest| !rest.is_empty()));
        if let Some(value) = joined {
            host = Some(value.to_owned());
            words.remove(0);
        } else if matches!(word.as_str(), "-H" | "--host") {
            if words.len() < 2 {
                return Err(Failure::new(format!("flag needs an argument: {word}")).with_code(REFUSED));
            }
            host = Some(words.remove(1));
            words.remove(0);
        } else {
            break;
        }
    }
    Ok((host, words))
}

/// A command that there is not, and the one that was perhaps meant.
fn unknown(word: &str) -> Failure {
    let failure = Failure::new(format!("unknown command: bocage {word}"));
    let close = |name: &&str| {
        let common = name.bytes().zip(word.bytes()).take_while(|(a, b)| a == b).count();
        common * 3 >= word.len().max(name.len()) && common > 0
    };
    let names = table::COMMANDS.iter().map(|entry| entry.name);
    match names.filter(|name| !name.contains(' ')).find(close) {
        Some(name) => {
            failure.with_hint(format!("did you mean `bocage {name}`? `bocage --help` lists all commands"))
        }
        None => failure.with_hint("`bocage --help` lists all commands"),
    }
}

/// The parser's refusal as one of ours; an unknown flag in the words that `docker` has for it.
fn bad_line(error: &clap::Error) -> Failure {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
        && flag.starts_with('-')
    {
        let what = if flag.starts_with("--") { "unknown flag" } else { "unknown shorthand flag" };
        return Failure::new(format!("{what}: {flag}")).with_code(REFUSED);
    }
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    let required: Vec<&str> =
        text.lines().skip(1).take_while(|line| line.starts_with("  ")).map(str::trim).collect();
    let message = if required.is_empty() { message } else { format!("{message} {}", required.join(" ")) };
    Failure::new(message).with_code(REFUSED)
}

/// Tells a failure, and gives the exit code.
fn ended(failure: &Failure, entry: Option<&Entry>) -> ExitCode {
    if !failure.message.is_empty() {
        printer::error(&failure.message);
        match (&failure.hint, entry) {
            (Some(hint), _) => printer::note(&format!("hint: {hint}")),
            (None, Some(entry)) if failure.code == REFUSED => {
                printer::note(&format!("\nRun 'bocage {} --help' for more information", entry.name));
            }
            _ => {}
        }
    }
    ExitCode::from(failure.code)
}

async fn execute(
    entry: &Entry,
    parsed: &Parsed,
    host: Option<&str>,
    kind: Option<&str>,
) -> Result<(), Failure> {
    let meant = start::meant(host)?;
    match entry.name {
        "daemon status" => return node::daemon_status(&meant).await,
        "daemon stop" => return node::daemon_stop(&meant, parsed).await,
        _ => {}
    }
    let client = meant.daemon().await.map_err(|failure| match entry.name {
        "run" => failure.with_code(REFUSED),
        _ => failure,
    })?;
    let client = &client;
    match entry.name {
        "run" => run::run(client, parsed).await,
        "create" => run::create(client, parsed).await,
        "start" => run::start(client, parsed).await,
        "attach" => run::attach(client, parsed).await,
        "exec" => run::exec(client, parsed).await,
        "ps" => list::containers(client, parsed).await,
        "images" => list::images(client, parsed).await,
        "history" => list::history(client, parsed).await,
        "stop" | "restart" => container::stop(client, parsed, entry.name).await,
        "kill" => container::kill(client, parsed).await,
        "pause" | "unpause" => container::freeze(client, parsed, entry.name).await,
        "rm" => container::remove(client, parsed).await,
        "rename" => container::rename(client, parsed).await,
        "wait" => container::wait(client, parsed).await,
        "top" => container::top(client, parsed).await,
        "port" => container::port(client, parsed).await,
        "inspect" => show::inspect(client, parsed, kind).await,
        "logs" => show::logs(client, parsed).await,
        "stats" => stats::stats(client, parsed).await,
        "load" => image::load(client, parsed).await,
        "save" => image::save(client, parsed).await,
        "import" => image::import(client, parsed).await,
        "tag" => image::tag(client, parsed).await,
        "rmi" => image::remove(client, parsed).await,
        "info" => node::info(client, parsed).await,
        "version" => node::version(client, parsed).await,
        "events" => node::events(client, parsed).await,
        "demo" => demo::demo(client, parsed).await,
        other => Err(Failure::new(format!("the command {other} has no action"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_taken_off_the_front() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(global(words("-H unix:///x ps -a")), Ok((Some("unix:///x".to_owned()), words("ps -a"))));
        assert_eq!(
            global(words("--host=tcp://y run -H z")),
            Ok((Some("tcp://y".to_owned()), words("run -H z")))
        );
        assert!(global(words("-H")).is_err());
    }

    #[test]
    fn a_mistyped_command_is_told_with_the_one_that_was_meant() {
        assert_eq!(
            unknown("imags").hint.unwrap(),
            "did you mean `bocage images`? `bocage --help` lists all commands"
        );
        assert!(unknown("zzz").hint.unwrap().starts_with("`bocage --help`"));
    }
}
