//! The verbs and flags of `bocage runtime`, as data: runc's, by its names.

use super::{Context, Outcome, changes, verbs};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::path::PathBuf;

/// What follows a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing.
    None,
    /// A text.
    Text,
    /// A path.
    Path,
    /// A text, as often as one likes.
    Texts,
    /// A number.
    Number,
}

/// One flag.
pub(super) struct Flag {
    pub(super) long: &'static str,
    short: Option<char>,
    value: Value,
    help: &'static str,
}

const fn flag(long: &'static str, value: Value, help: &'static str) -> Flag {
    Flag { long, short: None, value, help }
}

const fn short(letter: char, long: &'static str, value: Value, help: &'static str) -> Flag {
    Flag { long, short: Some(letter), value, help }
}

/// One verb.
pub(super) struct Verb {
    pub(super) name: &'static str,
    /// What follows its flags: an id, and words behind it.
    words: Words,
    flags: &'static [Flag],
    help: &'static str,
    pub(super) run: fn(&Context, &ArgMatches) -> Outcome,
}

/// What follows a verb's flags.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    None,
    Id,
    /// An id, and words that belong to somebody else: flags among them are not ours.
    IdAndMore,
}

/// Flags before the verb.
pub(super) const GLOBAL: &[Flag] = &[
    flag("root", Value::Path, "where containers are kept [default: /run/bocage-runtime]"),
    flag("log", Value::Path, "write errors to this file too"),
    flag("log-format", Value::Text, "of that file: text or json [default: text]"),
    flag("debug", Value::None, "accepted; this runtime logs nothing but errors"),
    flag("systemd-cgroup", Value::None, "refused: control groups are made by the runtime itself"),
    flag("rootless", Value::Text, "accepted; what the caller may do decides"),
    flag("criu", Value::Text, "accepted; there is no checkpoint that could use it"),
];

const BUNDLE: Flag = short('b', "bundle", Value::Path, "the bundle's directory [default: here]");
const CONSOLE: Flag = flag("console-socket", Value::Path, "send the terminal to this AF_UNIX socket");
const PID_FILE: Flag = flag("pid-file", Value::Path, "write the process's number to this file");
const NO_PIVOT: Flag =
    flag("no-pivot", Value::None, "change the root without pivot_root(2); for an initial RAM disk");
const NO_KEYRING: Flag = flag("no-new-keyring", Value::None, "stay in the caller's session keyring");
const PRESERVE: Flag =
    flag("preserve-fds", Value::Number, "pass so many descriptors, from 3 on, to the program");

/// The verbs.
pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "create",
        words: Words::Id,
        flags: &[BUNDLE, CONSOLE, PID_FILE, NO_PIVOT, NO_KEYRING, PRESERVE],
        help: "make everything of a container but its program",
        run: verbs::create,
    },
    Verb {
        name: "start",
        words: Words::Id,
        flags: &[],
        help: "let the program of a created container run",
        run: verbs::start,
    },
    Verb {
        name: "run",
        words: Words::Id,
        flags: &[
            BUNDLE,
            CONSOLE,
            PID_FILE,
            NO_PIVOT,
            NO_KEYRING,
            PRESERVE,
            short('d', "detach", Value::None, "leave it when it runs"),
            flag("keep", Value::None, "do not delete it when it has ended"),
            flag("no-subreaper", Value::None, "accepted; the program is reaped as this process's own"),
        ],
        help: "create a container, start it, and delete it when it has ended",
        run: verbs::run,
    },
    Verb {
        name: "state",
        words: Words::Id,
        flags: &[],
        help: "print a container's state as JSON",
        run: verbs::state,
    },
    Verb {
        name: "kill",
        words: Words::IdAndMore,
        flags: &[short('a', "all", Value::None, "signal every process of the container")],
        help: "send a signal to a container's first process [default: SIGTERM]",
        run: verbs::kill,
    },
    Verb {
        name: "delete",
        words: Words::Id,
        flags: &[short('f', "force", Value::None, "kill it first if it runs")],
        help: "delete a container that has ended",
        run: verbs::delete,
    },
    Verb {
        name: "exec",
        words: Words::IdAndMore,
        flags: &[
            CONSOLE,
            PID_FILE,
            PRESERVE,
            short('p', "process", Value::Path, "take everything about the process from this file"),
            flag("cwd", Value::Text, "its working directory"),
            short('e', "env", Value::Texts, "NAME=value, for its environment"),
            short('t', "tty", Value::None, "with a terminal"),
            short('u', "user", Value::Text, "UID[:GID]"),
            short('g', "additional-gids", Value::Texts, "groups besides"),
            short('d', "detach", Value::None, "leave it when it runs"),
            flag("process-label", Value::Text, "its SELinux label"),
            flag("apparmor", Value::Text, "its AppArmor profile"),
            flag("no-new-privs", Value::None, "it can gain no privileges"),
            short('c', "cap", Value::Texts, "a capability besides"),
            flag("cgroup", Value::Texts, "a group beneath the container's own"),
            flag("ignore-paused", Value::None, "add it to a paused container too"),
            flag("no-subreaper", Value::None, "accepted; the program is reaped as this process's own"),
        ],
        help: "add a process to a container that runs",
        run: verbs::exec,
    },
    Verb {
        name: "ps",
        words: Words::IdAndMore,
        flags: &[short('f', "format", Value::Text, "table or json [default: table]")],
        help: "list a container's processes; words behind the id are for ps(1)",
        run: changes::ps,
    },
    Verb {
        name: "update",
        words: Words::Id,
        flags: changes::UPDATE_FLAGS,
        help: "change a container's limits",
        run: changes::update,
    },
    Verb {
        name: "pause",
        words: Words::Id,
        flags: &[],
        help: "make all processes of a container stand still",
        run: changes::pause,
    },
    Verb {
        name: "resume",
        words: Words::Id,
        flags: &[],
        help: "let the processes of a paused container go on",
        run: changes::resume,
    },
    Verb {
        name: "list",
        words: Words::None,
        flags: &[
            short('f', "format", Value::Text, "table or json [default: table]"),
            short('q', "quiet", Value::None, "ids only"),
        ],
        help: "list the containers beneath the root",
        run: report::list,
    },
    Verb {
        name: "events",
        words: Words::Id,
        flags: &[
            flag("interval", Value::Text, "between two lines, such as 5s [default: 5s]"),
            flag("stats", Value::None, "one line, then end"),
        ],
        help: "print a container's figures as JSON, until it has ended",
        run: report::events,
    },
    Verb {
        name: "features",
        words: Words::None,
        flags: &[],
        help: "print what this runtime can be asked for, as JSON",
        run: report::features,
    },
    Verb {
        name: "spec",
        words: Words::None,
        flags: &[BUNDLE, flag("rootless", Value::None, "for a user who is not root")],
        help: "write a config.json to begin with",
        run: report::spec,
    },
    Verb {
        name: "checkpoint",
        words: Words::IdAndMore,
        flags: &[],
        help: "refused: there is none yet",
        run: changes::checkpoint,
    },
    Verb {
        name: "restore",
        words: Words::IdAndMore,
        flags: &[],
        help: "refused: there is none yet",
        run: changes::checkpoint,
    },
];

use super::report;

/// For [`changes::UPDATE_FLAGS`].
pub(super) const fn text(long: &'static str, help: &'static str) -> Flag {
    flag(long, Value::Text, help)
}

/// For [`changes::UPDATE_FLAGS`].
pub(super) const fn path(letter: char, long: &'static str, help: &'static str) -> Flag {
    short(letter, long, Value::Path, help)
}

fn argument(flag: &Flag) -> Arg {
    let arg = Arg::new(flag.long).long(flag.long).help(flag.help);
    let arg = match flag.short {
        Some(letter) => arg.short(letter),
        None => arg,
    };
    match flag.value {
        Value::None => arg.action(ArgAction::SetTrue),
        Value::Text => arg.allow_hyphen_values(true),
        Value::Path => arg.value_parser(value_parser!(PathBuf)),
        Value::Texts => arg.action(ArgAction::Append),
        Value::Number => arg.value_parser(value_parser!(u32)),
    }
}

/// The whole command line.
pub(super) fn command() -> Command {
    let version = concat!(env!("CARGO_PKG_VERSION"), "\nspec: 1.2.1");
    let mut command = Command::new("bocage runtime")
        .about("An OCI runtime with runc's command line")
        .version(version)
        .disable_version_flag(false)
        .subcommand_required(true)
        .args(GLOBAL.iter().map(argument));
    for verb in VERBS {
        let mut sub = Command::new(verb.name).about(verb.help).args(verb.flags.iter().map(argument));
        if verb.words != Words::None {
            sub = sub.arg(Arg::new("id").required(true).help("the container's id").value_name("ID"));
        }
        if verb.words == Words::IdAndMore {
            let more = Arg::new("more").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
            sub = sub.arg(more.value_name("WORDS").help("what follows it"));
        }
        command = command.subcommand(sub);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_a_command_line() {
        command().debug_assert();
    }

    #[test]
    fn words_behind_the_id_are_not_ours() {
        let words = ["bocage runtime", "--root", "/x", "exec", "--cwd", "/", "one", "ls", "--root", "-la"];
        let matches = command().try_get_matches_from(words).unwrap();
        let (_, exec) = matches.subcommand().unwrap();
        let more: Vec<&String> = exec.get_many("more").unwrap().collect();
        assert_eq!(more, ["ls", "--root", "-la"]);
    }
}
