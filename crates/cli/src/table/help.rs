//! What `--help` prints: for the program, for a family of commands, and for a command.

use super::commands::SECTIONS;
use super::{Entry, Flag, Operands, Takes, commands, find};
use std::fmt::Write;

/// Columns of the names in a list of commands.
const NAME_COLUMNS: usize = 18;
/// Columns of a flag; a longer one has its words on the next line.
const FLAG_COLUMNS: usize = 34;

/// Words that head the commands by their long names.
const FAMILIES: [&str; 6] = ["container", "image", "manifest", "network", "system", "volume"];

/// What `bocage --help` says.
pub(crate) fn overview() -> String {
    let mut text = String::from(
        "bocage: containers, images and networks of this machine, in one program\n\n\
         Usage: bocage [-H ADDRESS] COMMAND [ARG...]\n\n\
         Start here:\n  bocage demo                           # see it work, with nothing at hand\n  \
         bocage load -i nginx.tar              # take in an image\n  bocage run -d -p 8080:80 nginx        # run it\n",
    );
    for section in SECTIONS {
        let _ = write!(text, "\n{section}:\n");
        for entry in commands::all().filter(|entry| entry.section == section) {
            line(&mut text, entry.name, entry.about);
        }
    }
    text.push_str(
        "\nFlags:\n  -H, --host ADDRESS   Ask the daemon there: unix:///path or tcp://127.0.0.1:PORT\n  \
         -v, --version        Show the version\n      --help           Show this\n\n\
         The daemon is started when none runs. BOCAGE_HOST and DOCKER_HOST choose another one.\n\
         `bocage COMMAND --help` says more about a command. `bocage container` and `bocage image` know the commands by\n\
         their long names. The `docker` client works with the same daemon.\n",
    );
    text
}

fn line(text: &mut String, name: &str, about: &str) {
    let _ = writeln!(text, "  {name:<NAME_COLUMNS$} {about}");
}

/// What `bocage container --help` says; none where a word heads no family.
pub(crate) fn family(word: &str) -> Option<String> {
    let under = |name: &'static str| name.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '));
    let mut members = commands::all()
        .filter_map(|entry| entry.names().find_map(under).map(|name| (name, entry)))
        .peekable();
    members.peek()?;
    let mut text = format!("Usage: bocage {word} COMMAND [ARG...]\n\nCommands:\n");
    members.for_each(|(name, entry)| line(&mut text, name, entry.about));
    let _ = write!(text, "\n`bocage {word} COMMAND --help` says more about a command.\n");
    Some(text)
}

impl Entry {
    /// How it is written: `bocage rm [FLAGS] CONTAINER [CONTAINER...]`.
    pub(crate) fn usage(&self) -> String {
        let flags = if self.groups.is_empty() { "" } else { " [FLAGS]" };
        let operands = match self.operands {
            Operands::None => String::new(),
            Operands::These(names) => format!(" {}", names.join(" ")),
            Operands::Several(name, 0) => format!(" [{name}...]"),
            Operands::Several(name, _) => format!(" {name} [{name}...]"),
            Operands::Between(shown, ..) => format!(" {shown}"),
            Operands::Command(["IMAGE"]) => " IMAGE [COMMAND] [ARG...]".to_owned(),
            Operands::Command(names) => format!(" {} [ARG...]", names.join(" ")),
        };
        format!("bocage {}{flags}{operands}", self.name)
    }

    /// What `--help` says of it.
    pub(crate) fn help(&self) -> String {
        let mut text = format!("Usage: {}\n\n{}\n", self.usage(), self.about);
        if !self.aliases.is_empty() {
            let aliases: Vec<String> = self.names().map(|name| format!("bocage {name}")).collect();
            let _ = write!(text, "\nAlso known as:\n  {}\n", aliases.join(", "));
        }
        if !self.examples.is_empty() {
            let _ = write!(text, "\nExamples:\n  {}\n", self.examples.join("\n  "));
        }
        let mut heading = "";
        for group in self.groups {
            if group.heading != heading {
                let _ = write!(text, "\n{}:\n", group.heading);
                heading = group.heading;
            }
            group.flags.iter().for_each(|flag| describe(&mut text, flag));
        }
        let members =
            commands::all().filter_map(|entry| entry.name.strip_prefix(self.name)?.strip_prefix(' '));
        let members: Vec<String> = members.map(|name| format!("bocage {} {name}", self.name)).collect();
        if !members.is_empty() {
            let _ = write!(text, "\nSee also:\n  {}\n", members.join(", "));
        }
        text
    }
}

fn describe(text: &mut String, flag: &Flag) {
    let short = flag.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
    let value = match flag.takes {
        Takes::Nothing => String::new(),
        Takes::One(name) => format!(" {name}"),
        Takes::Many(name) => format!(" {name} ..."),
    };
    let shown = format!("{short}--{}{value}", flag.long);
    if shown.chars().count() >= FLAG_COLUMNS {
        let _ = writeln!(text, "  {shown}\n  {:FLAG_COLUMNS$} {}", "", flag.help);
    } else {
        let _ = writeln!(text, "  {shown:<FLAG_COLUMNS$} {}", flag.help);
    }
}

/// The command that was perhaps meant by a word that is none.
pub(crate) fn meant(word: &str) -> Option<&'static str> {
    if word.chars().count() < 2 {
        return None;
    }
    let names = commands::all().map(|entry| entry.name).filter(|name| !name.contains(' ')).chain(FAMILIES);
    let near = names.map(|name| (distance(word, name), name)).min_by_key(|(distance, _)| *distance)?;
    let bound = word.chars().count().div_ceil(3);
    (near.0 <= bound).then_some(near.1).or_else(|| {
        // `docker`'s long names without their family, such as `list` and `remove`.
        FAMILIES
            .iter()
            .find_map(|family| find(&[(*family).to_owned(), word.to_owned()]))
            .map(|(entry, _)| entry.name)
    })
}

/// How many letters must be put in, left out or changed to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> String {
        commands::all().find(|entry| entry.name == name).map(Entry::help).unwrap()
    }

    #[test]
    fn the_overview_is_as_it_was_agreed() {
        insta::assert_snapshot!("overview", overview());
    }

    #[test]
    fn the_help_of_a_command_shows_usage_examples_and_grouped_flags() {
        for name in
            ["run", "exec", "ps", "daemon", "logs", "image bootstrap", "network create", "network connect"]
        {
            insta::assert_snapshot!(format!("help-{}", name.replace(' ', "-")), of(name));
        }
    }

    #[test]
    fn a_family_is_listed_by_its_short_names() {
        insta::assert_snapshot!("family-image", family("image").unwrap());
        insta::assert_snapshot!("family-network", family("network").unwrap());
        assert_eq!(family("fly"), None);
    }

    #[test]
    fn every_command_stands_in_the_overview() {
        let text = overview();
        assert!(commands::all().all(|entry| text.contains(&format!("  {} ", entry.name))));
    }

    #[test]
    fn a_mistyped_word_is_close_to_the_one_that_was_meant() {
        assert_eq!(meant("imags"), Some("images"));
        assert_eq!(meant("strat"), Some("start"));
        assert_eq!((meant("list"), meant("contaner")), (Some("ps"), Some("container")));
        assert_eq!((meant("x"), meant("frobnicate")), (None, None));
    }
}
