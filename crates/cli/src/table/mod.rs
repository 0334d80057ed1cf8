//! Every command and every flag, as data: what is parsed, and what the help says, are both made of this table.
//!
//! A command is built for the parser only when it is asked for, so that starting up costs the same however many there are.
//!
//! - `flags`: the flags, in the groups under which the help shows them
//! - `commands`: the commands
//! - `later`: `docker`'s commands that there are not yet, each with a reason
//! - `help`: what `--help` prints

pub(crate) mod commands;
mod flags;
pub(crate) mod help;
pub(crate) mod later;

use crate::failure::{Failure, REFUSED};
use clap::{Arg, ArgAction, ArgMatches, Command};

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing: it is there or not. `--flag=false` is understood.
    Nothing,
    /// One value, named so in the help.
    One(&'static str),
    /// A value each time it is given.
    Many(&'static str),
}

/// One flag.
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) takes: Takes,
    pub(crate) help: &'static str,
}

/// Flags that belong together.
pub(crate) struct Group {
    /// The heading in the help.
    pub(crate) heading: &'static str,
    pub(crate) flags: &'static [Flag],
}

/// One command.
pub(crate) struct Entry {
    /// Its words: `run`, `daemon stop`.
    pub(crate) name: &'static str,
    /// Other words for it.
    pub(crate) aliases: &'static [&'static str],
    /// Under which heading `--help` lists it.
    pub(crate) section: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// What follows the flags.
    pub(crate) operands: Operands,
    /// Its flags.
    pub(crate) groups: &'static [Group],
    /// Examples, a line each.
    pub(crate) examples: &'static [&'static str],
}

/// What follows the flags.
#[derive(Clone, Copy)]
pub(crate) enum Operands {
    /// Nothing.
    None,
    /// Exactly these.
    These(&'static [&'static str]),
    /// At least so many of the one name.
    Several(&'static str, usize),
    /// As the usage line shows it, at least and at most so many.
    Between(&'static str, usize, usize),
    /// These, and then a command with its own flags.
    Command(&'static [&'static str]),
}

impl Operands {
    /// The least and the most of them.
    fn bounds(self) -> (usize, usize) {
        match self {
            Operands::None => (0, 0),
            Operands::These(names) => (names.len(), names.len()),
            Operands::Several(_, min) => (min, usize::MAX),
            Operands::Between(_, min, max) => (min, max),
            Operands::Command(names) => (names.len(), usize::MAX),
        }
    }

    /// Why so many are wrong, in `docker`'s words; none if they are not.
    fn wrong(self, given: usize) -> Option<String> {
        let (min, max) = self.bounds();
        let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
        if (min..=max).contains(&given) {
            None
        } else if max == 0 {
            Some("accepts no arguments".to_owned())
        } else if min == max {
            Some(format!("requires {min} {}", plural(min)))
        } else if given < min {
            Some(format!("requires at least {min} {}", plural(min)))
        } else {
            Some(format!("requires at most {max} {}", plural(max)))
        }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Operands::These(names) | Operands::Command(names) => names,
            _ => &[],
        }
    }
}

/// The entry that the first words of a command line mean, and how many words it takes.
pub(crate) fn find(words: &[String]) -> Option<(&'static Entry, usize)> {
    let matches = |name: &str| {
        let parts: Vec<&str> = name.split(' ').collect();
        (words.len() >= parts.len() && parts.iter().zip(words).all(|(part, word)| part == word))
            .then_some(parts.len())
    };
    commands::all()
        .flat_map(|entry| entry.names().map(move |name| (entry, name)))
        .filter_map(|(entry, name)| matches(name).map(|count| (entry, count)))
        .max_by_key(|(_, count)| *count)
}

impl Entry {
    /// All flags, in the order of the help.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.groups.iter().flat_map(|group| group.flags)
    }

    /// Its name and its other names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The command for the parser.
    pub(crate) fn command(&self) -> Command {
        let mut help = Arg::new("help").long("help").action(ArgAction::Help);
        if self.flags().all(|flag| flag.short != Some('h')) {
            help = help.short('h');
        }
        let command = Command::new(self.name).disable_help_flag(true).disable_version_flag(true).arg(help);
        // How many there may be is checked here, in `docker`'s words.
        self.flags()
            .fold(command, |command, flag| command.arg(argument(flag)))
            .arg(Arg::new("operands").num_args(0..).action(ArgAction::Append))
    }

    /// Reads the words behind the command's own.
    ///
    /// # Errors
    /// What the parser has against them; asking for help is such an error.
    pub(crate) fn parse(&'static self, words: &[String]) -> Result<Parsed, Wrong> {
        let words = std::iter::once(self.name.to_owned()).chain(self.fenced(words));
        let matches =
            self.command().try_get_matches_from(words).map_err(|error| Wrong::Flag(Box::new(error)))?;
        let parsed = Parsed { matches, names: self.operands.names() };
        match self.operands.wrong(parsed.operands().len()) {
            Some(why) => Err(Wrong::Count(format!("'bocage {}' {why}", self.name))),
            None => Ok(parsed),
        }
    }

    /// Puts `--` before the first operand of a command that runs another one: from there on everything is the other one's,
    /// whatever it looks like.
    fn fenced(&self, words: &[String]) -> Vec<String> {
        let mut words = words.to_vec();
        if matches!(self.operands, Operands::Command(_)) {
            let mut at = 0;
            while let Some(word) = words.get(at).filter(|word| *word != "--") {
                if !word.starts_with('-') || word == "-" {
                    words.insert(at, "--".to_owned());
                    break;
                }
                at += 1 + usize::from(self.wants_next(word));
            }
        }
        words
    }

    /// Whether the value of a flag is the word behind it.
    fn wants_next(&self, word: &str) -> bool {
        let takes = |flag: &Flag| flag.takes != Takes::Nothing;
        if let Some(long) = word.strip_prefix("--") {
            return self.flags().any(|flag| flag.long == long && takes(flag));
        }
        // Of letters together the first that takes a value takes the rest of the word; where there is none, the next word.
        let letters = &word[1..];
        let taking = |letter: char| self.flags().any(|flag| flag.short == Some(letter) && takes(flag));
        letters.char_indices().find(|(_, letter)| taking(*letter)).is_some_and(|(at, letter)| {
            at + letter.len_utf8() == letters.len() && !letters[..at].contains('=')
        })
    }
}

/// Why a command line makes no sense.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// A flag, or its value; asking for help is told in this way too.
    Flag(Box<clap::Error>),
    /// Too few or too many operands.
    Count(String),
}

fn argument(flag: &Flag) -> Arg {
    let mut argument = Arg::new(flag.long).long(flag.long);
    if let Some(short) = flag.short {
        argument = argument.short(short);
    }
    match flag.takes {
        // `-it`, `--rm`, and `--rm=false`.
        Takes::Nothing => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .action(ArgAction::Set)
            .overrides_with(flag.long),
        Takes::One(name) => argument
            .value_name(name)
            .action(ArgAction::Set)
            .allow_hyphen_values(true)
            .overrides_with(flag.long),
        Takes::Many(name) => argument.value_name(name).action(ArgAction::Append).allow_hyphen_values(true),
    }
}

/// The flags and operands of one command line.
#[derive(Debug)]
pub(crate) struct Parsed {
    matches: ArgMatches,
    /// What the first operands are called.
    names: &'static [&'static str],
}

impl Parsed {
    /// Whether a flag without a value is given, and not as `--flag=false`.
    pub(crate) fn is(&self, long: &str) -> bool {
        self.get(long).is_some_and(|value| !matches!(value, "false" | "0" | "f" | "F" | "FALSE" | "False"))
    }

    /// The value of a flag, or an operand by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        if let Some(at) = self.names.iter().position(|known| *known == name) {
            return self.matches.get_many::<String>("operands")?.nth(at).map(String::as_str);
        }
        self.matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
    }

    /// The value of a flag as a number.
    ///
    /// # Errors
    /// It is none; the flag is named.
    pub(crate) fn number(&self, long: &str) -> Result<Option<i64>, Failure> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                Failure::new(format!("invalid argument {text:?} for \"--{long}\" flag: a number is needed"))
                    .with_code(REFUSED)
                    .with_usage()
            })
        };
        self.get(long).map(parse).transpose()
    }

    /// All values of a flag.
    pub(crate) fn all(&self, long: &str) -> Vec<String> {
        let values = self.matches.try_get_many::<String>(long).ok().flatten();
        values.into_iter().flatten().cloned().collect()
    }

    /// All operands.
    pub(crate) fn operands(&self) -> Vec<String> {
        self.all("operands")
    }

    /// The operands behind those that have names: a command and what is handed to it.
    pub(crate) fn rest(&self) -> Vec<String> {
        self.operands().split_off(self.names.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn parse(text: &str) -> Result<Parsed, Wrong> {
        let words = words(text);
        let (entry, used) = find(&words).unwrap();
        entry.parse(&words[used..])
    }

    #[test]
    fn a_command_is_found_by_its_longest_name() {
        let found = |text: &str| find(&words(text)).map(|(entry, count)| (entry.name, count));
        assert_eq!(found("image ls -q"), Some(("images", 2)));
        assert_eq!(found("daemon stop"), Some(("daemon stop", 2)));
        assert_eq!(found("daemon --x"), Some(("daemon", 1)));
        assert_eq!(found("fly"), None);
    }

    #[test]
    fn no_name_and_no_flag_stands_twice() {
        let mut names = BTreeSet::new();
        for entry in commands::all() {
            entry.command().debug_assert();
            assert!(entry.names().all(|name| names.insert(name)), "{}", entry.name);
        }
        assert!(later::COMMANDS.iter().all(|(name, _)| names.insert(name)));
    }

    #[test]
    fn flags_are_understood_as_docker_understands_them() {
        let parsed =
            parse("run -itp 80:80 --rm --rm -e A=1 -eB --name=x -h host --pids-limit -1 -m=5m busybox")
                .unwrap();
        assert!(parsed.is("interactive") && parsed.is("tty") && parsed.is("rm") && !parsed.is("detach"));
        assert_eq!(parsed.all("env"), ["A=1", "B"]);
        assert_eq!((parsed.get("publish"), parsed.get("name")), (Some("80:80"), Some("x")));
        assert_eq!((parsed.get("hostname"), parsed.number("pids-limit")), (Some("host"), Ok(Some(-1))));
        assert_eq!((parsed.get("memory"), parsed.get("IMAGE")), (Some("5m"), Some("busybox")));
        assert!(!parse("run --rm --rm=false busybox").unwrap().is("rm"));
    }

    #[test]
    fn what_stands_behind_the_image_is_the_containers() {
        let rest = |text: &str| parse(text).unwrap().rest().join(" ");
        assert_eq!(rest("run -d busybox -d --rm --help"), "-d --rm --help");
        assert_eq!(rest("run -dp 80:80 --name x -e A busybox sh -c -x"), "sh -c -x");
        assert_eq!(rest("run -ie=A --memory=5m busybox -it"), "-it");
        assert_eq!(rest("exec -it web ls -l --"), "-l --");
        assert_eq!(rest("top web -o pid"), "-o pid");
        assert_eq!(parse("create -- -a").unwrap().get("IMAGE"), Some("-a"));
        let parsed = parse("rm web -f other").unwrap();
        assert!(parsed.is("force"));
        assert_eq!(parsed.operands(), ["web", "other"]);
    }

    #[test]
    fn too_few_and_too_many_operands_are_counted() {
        for (text, told) in [
            ("run", "'bocage run' requires at least 1 argument"),
            ("exec web", "'bocage exec' requires at least 2 arguments"),
            ("rename a", "'bocage rename' requires 2 arguments"),
            ("ps x", "'bocage ps' accepts no arguments"),
            ("images a b", "'bocage images' requires at most 1 argument"),
        ] {
            assert!(matches!(parse(text), Err(Wrong::Count(why)) if why == told), "{text}");
        }
    }
}
