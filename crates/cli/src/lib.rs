//! The command line: `docker`'s verbs, flags, tables and exit codes, over the Engine API of any daemon.
//!
//! ```text
//! words -> table (which command, which flags) -> start (which daemon) -> commands/* -> client (HTTP) -> printer
//! ```
//!
//! - [`table`]: every command and flag as data; help is made of it
//! - `start`: which daemon is meant, and starting one where none runs
//! - `commands`: what each does; `commands::spec` turns the flags of `run` into a request
//! - `bucket`: objects in buckets, for backups
//! - `names`, `logins`: what a name says of its registry, and who the user is there
//! - `format`: templates, tables, figures in words
//! - `printer`: the only place that prints
//!
//! Nothing here knows how a container is made: whatever `docker` could not ask of a daemon, this cannot either, but for
//! `/bocage/v1`.

mod blocking;
mod bucket;
mod client;
mod commands;
mod failure;
mod format;
mod keys;
mod logins;
mod names;
mod printer;
mod pump;
mod start;
mod table;
mod terminal;

use commands::{
    bootstrap, container, demo, disk, files, image, index, list, network, node, registry, remote, run, show,
    stats, volume,
};
use failure::{Failure, REFUSED};
use std::ffi::OsString;
use std::process::ExitCode;
use table::{Entry, Parsed, Wrong};

/// Prints text on standard output, for the roles of the binary that are no commands.
pub fn print(text: &str) {
    printer::out(text);
}

/// Prints a question on standard error, so that standard output holds answers only.
pub fn print_prompt(text: &str) {
    printer::raw_error(text.as_bytes());
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
            printer::out(&table::help::overview());
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
    let Some((entry, used)) = table::find(&words) else { return no_command(&words) };
    if entry.name == "daemon" && !words.iter().any(|word| word == "--help") {
        let own: Vec<OsString> = words[used..].iter().map(OsString::from).collect();
        return daemon(&own);
    }
    let parsed = match entry.parse(&words[used..]) {
        Ok(parsed) => parsed,
        Err(Wrong::Flag(error)) if !error.use_stderr() => {
            printer::out(&entry.help());
            return ExitCode::SUCCESS;
        }
        Err(wrong) => return ended(&bad_line(&wrong), Some(entry)),
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

/// Words that are no command: a family's name, a command of `docker` that there is not yet, or a slip.
fn no_command(words: &[String]) -> ExitCode {
    let word = words.first().map(String::as_str).unwrap_or_default();
    match table::help::family(word) {
        Some(text) if words.get(1).is_none_or(|next| next == "--help") => {
            printer::out(&text);
            ExitCode::SUCCESS
        }
        _ => ended(&unknown(words), None),
    }
}

/// Why words are no command, and the one that was perhaps meant.
fn unknown(words: &[String]) -> Failure {
    let word = words.first().map(String::as_str).unwrap_or_default();
    if word.starts_with('-') {
        return Failure::new(format!("unknown flag: {word}")).with_code(REFUSED).with_hint(
            "flags of a command stand behind it; `bocage --help` lists those that stand in front",
        );
    }
    if let Some(why) = table::later::why(word) {
        return Failure::new(format!("there is no `bocage {word}` yet")).with_hint(why);
    }
    if table::help::family(word).is_some() {
        return Failure::new(format!("unknown command: bocage {}", words[..2.min(words.len())].join(" ")))
            .with_hint(format!("`bocage {word} --help` lists its commands"));
    }
    let failure = Failure::new(format!("unknown command: bocage {word}"));
    match table::help::meant(word) {
        Some(name) => {
            failure.with_hint(format!("did you mean `bocage {name}`? `bocage --help` lists all commands"))
        }
        None => failure.with_hint("`bocage --help` lists all commands"),
    }
}

/// The parser's refusal as one of ours, in the words that `docker` has for it.
fn bad_line(wrong: &Wrong) -> Failure {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let error = match wrong {
        Wrong::Count(why) => return Failure::new(why).with_usage(),
        Wrong::Flag(error) => error,
    };
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.as_str(),
        _ => "",
    };
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.as_str(),
        _ => "",
    };
    let name = flag.split([' ', '=', '[']).next().unwrap_or_default();
    let message = match error.kind() {
        ErrorKind::UnknownArgument if flag.starts_with("--") => format!("unknown flag: {flag}"),
        ErrorKind::UnknownArgument => {
            format!("unknown shorthand flag: '{}' in {flag}", flag.trim_start_matches('-'))
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("flag needs an argument: {name}"),
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    };
    Failure::new(message).with_code(REFUSED).with_usage()
}

/// Takes out the kernel's numbers of errors: their words stand in front of them.
fn without_numbers(message: &str) -> String {
    let mut text = message.to_owned();
    while let Some(start) = text.find(" (os error ") {
        let Some(length) = text[start..].find(')') else { break };
        text.replace_range(start..=start + length, "");
    }
    text
}

/// Tells a failure, and gives the exit code.
fn ended(failure: &Failure, entry: Option<&Entry>) -> ExitCode {
    if failure.message.is_empty() {
        return ExitCode::from(failure.code);
    }
    // What the daemon says stands alone, as with `docker`; only `run` puts its own name in front.
    let message = without_numbers(&failure.message);
    match entry {
        Some(entry) if failure.status.is_some() && entry.name != "run" => printer::note(&message),
        _ => printer::error(&message),
    }
    if let Some(hint) = &failure.hint {
        printer::note(&format!("hint: {hint}"));
    }
    if let Some(entry) = entry {
        if failure.usage {
            printer::note(&format!("\nUsage: {}", entry.usage()));
        }
        if failure.usage || (entry.name == "run" && failure.hint.is_none()) {
            printer::note(&format!("\nRun 'bocage {} --help' for more information", entry.name));
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
    match entry.name {
        "logout" => return registry::logout(parsed),
        "manifest rm" => return index::remove(parsed),
        _ => {}
    }
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
        "cp" => files::copy(client, parsed).await,
        "diff" => files::diff(client, parsed).await,
        "export" => files::export(client, parsed).await,
        "save" => image::save(client, parsed).await,
        "import" => image::import(client, parsed).await,
        "image bootstrap" => bootstrap::bootstrap(client, parsed).await,
        "tag" => image::tag(client, parsed).await,
        "rmi" => image::remove(client, parsed).await,
        "pull" => registry::pull(client, parsed).await,
        "push" => registry::push(client, parsed).await,
        "search" => remote::search(client, parsed).await,
        "manifest create" => index::create(client, parsed).await,
        "manifest push" => index::push(client, parsed).await,
        "manifest inspect" => remote::manifest(client, parsed).await,
        "login" => registry::login(client, parsed).await,
        "commit" => image::commit(client, parsed).await,
        "container prune" | "image prune" | "network prune" | "volume prune" | "system prune" => {
            disk::prune(client, parsed, entry.name).await
        }
        name if name.starts_with("volume ") => volume::command(client, parsed, name).await,
        name if name.starts_with("network ") => network::command(client, parsed, name).await,
        "system df" => disk::usage(client, parsed).await,
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
    fn the_numbers_of_errors_are_left_out() {
        assert_eq!(without_numbers("open x: No such file (os error 2); hm"), "open x: No such file; hm");
        assert_eq!(without_numbers("plain (os error"), "plain (os error");
    }

    #[test]
    fn a_word_that_is_no_command_is_told_with_what_to_do() {
        let hint = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            unknown(&words).hint.unwrap()
        };
        assert_eq!(hint("imags"), "did you mean `bocage images`? `bocage --help` lists all commands");
        assert!(hint("zzzzzz").starts_with("`bocage --help`"));
        assert!(hint("compose up").contains("bocage run"));
        assert!(hint("container fly").contains("bocage container --help"));
        assert!(hint("--fly").contains("stand behind"));
    }
}
