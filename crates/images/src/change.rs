//! Changes to an image's configuration, in a Dockerfile's words: `docker import --change`.

use crate::config::{Empty, ImageConfig};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// One instruction that changes a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As it was written, for messages.
    text: String,
    instruction: Instruction,
    arguments: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instruction {
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Label,
    OnBuild,
    StopSignal,
    User,
    Volume,
    Workdir,
}

const INSTRUCTIONS: [(&str, Instruction); 10] = [
    ("CMD", Instruction::Cmd),
    ("ENTRYPOINT", Instruction::Entrypoint),
    ("ENV", Instruction::Env),
    ("EXPOSE", Instruction::Expose),
    ("LABEL", Instruction::Label),
    ("ONBUILD", Instruction::OnBuild),
    ("STOPSIGNAL", Instruction::StopSignal),
    ("USER", Instruction::User),
    ("VOLUME", Instruction::Volume),
    ("WORKDIR", Instruction::Workdir),
];

impl Change {
    /// Reads one instruction.
    ///
    /// # Errors
    /// [`Error::Change`] when it is none that may stand here, or has no arguments.
    pub fn parse(text: &str) -> Result<Change> {
        let refuse = |why| Error::Change { change: text.to_owned(), why };
        let trimmed = text.trim();
        let (word, arguments) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
        let upper = word.to_ascii_uppercase();
        let known = INSTRUCTIONS.iter().find(|(name, _)| *name == upper);
        if upper == "HEALTHCHECK" {
            return Err(refuse("HEALTHCHECK is not supported here yet"));
        }
        let (_, instruction) = known.ok_or_else(|| {
            refuse(
                "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR are valid change commands",
            )
        })?;
        let arguments = arguments.trim().to_owned();
        if arguments.is_empty() && !matches!(instruction, Instruction::Cmd | Instruction::Entrypoint) {
            return Err(refuse("it needs an argument"));
        }
        Ok(Change { text: text.to_owned(), instruction: *instruction, arguments })
    }

    /// Makes several changes, one after the other. A command that one of them gives stays whatever entry point another gives.
    ///
    /// # Errors
    /// As [`Change::apply`].
    pub fn apply_all(changes: &[Change], config: &mut ImageConfig) -> Result<()> {
        let mut command = None;
        for change in changes {
            change.apply(config)?;
            match change.instruction {
                Instruction::Cmd => command.clone_from(&config.cmd),
                Instruction::Entrypoint => config.cmd.clone_from(&command),
                _ => {}
            }
        }
        Ok(())
    }

    /// Changes a configuration.
    ///
    /// # Errors
    /// [`Error::Change`] when its arguments make no sense.
    pub fn apply(&self, config: &mut ImageConfig) -> Result<()> {
        self.try_apply(config).map_err(|why| Error::Change { change: self.text.clone(), why })
    }

    fn try_apply(&self, config: &mut ImageConfig) -> Result<(), &'static str> {
        match self.instruction {
            Instruction::Cmd => config.cmd = Some(command(&self.arguments)),
            Instruction::Entrypoint => {
                config.entrypoint = Some(command(&self.arguments));
                // A command that was there for another entry point means nothing to this one.
                config.cmd = None;
            }
            Instruction::OnBuild => config.on_build.push(self.arguments.clone()),
            Instruction::Env => {
                for (name, value) in self.pairs(config)? {
                    let prefix = format!("{name}=");
                    config.env.retain(|old| !old.starts_with(&prefix));
                    config.env.push(prefix + &value);
                }
            }
            Instruction::Label => config.labels.extend(self.pairs(config)?),
            Instruction::StopSignal => config.stop_signal = self.one(config)?,
            Instruction::User => config.user = self.one(config)?,
            Instruction::Workdir => {
                let path = self.one(config)?;
                let below = format!("{}/{path}", config.working_dir.trim_end_matches('/'));
                config.working_dir = if path.starts_with('/') { path } else { below };
            }
            Instruction::Volume => {
                let paths = match json_words(&self.arguments) {
                    Some(paths) => paths,
                    None => words(&self.arguments, config)?,
                };
                if paths.iter().any(|path| path.trim().is_empty()) {
                    return Err("VOLUME specified can not be an empty string");
                }
                config.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
            }
            Instruction::Expose => {
                for word in words(&self.arguments, config)? {
                    config.exposed_ports.extend(ports(&word)?);
                }
            }
        }
        Ok(())
    }

    fn one(&self, config: &ImageConfig) -> Result<String, &'static str> {
        match words(&self.arguments, config)?.as_slice() {
            [word] => Ok(word.clone()),
            _ => Err("it takes exactly one argument"),
        }
    }

    /// `NAME=value …`, or the older `NAME value`.
    fn pairs(&self, config: &ImageConfig) -> Result<BTreeMap<String, String>, &'static str> {
        let first = self.arguments.split(char::is_whitespace).next().unwrap_or_default();
        if !first.contains('=') {
            let (name, value) =
                self.arguments.split_once(char::is_whitespace).ok_or("it takes NAME=VALUE or NAME VALUE")?;
            return Ok(BTreeMap::from([(name.to_owned(), words(value, config)?.join(" "))]));
        }
        let mut pairs = BTreeMap::new();
        for word in words(&self.arguments, config)? {
            let (name, value) = word.split_once('=').ok_or("it takes NAME=VALUE")?;
            if name.is_empty() {
                return Err("a name is empty");
            }
            pairs.insert(name.to_owned(), value.to_owned());
        }
        Ok(pairs)
    }
}

/// A command as a JSON list, or as a text for the shell.
fn command(text: &str) -> Vec<String> {
    json_words(text).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

fn json_words(text: &str) -> Option<Vec<String>> {
    if !text.starts_with('[') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// `80`, `80/udp`, or `8000-8005/tcp`, as the keys of a configuration.
fn ports(word: &str) -> Result<BTreeMap<String, Empty>, &'static str> {
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err("invalid protocol of a port: tcp, udp and sctp are known");
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let port = |text: &str| text.parse::<u16>().map_err(|_| "invalid containerPort");
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err("invalid range of ports");
    }
    Ok((first..=last).map(|port| (format!("{port}/{protocol}"), Empty {})).collect())
}

/// Splits at white space outside of quotes; `\` takes the next character as it is, and `$NAME` and `${NAME}` stand for
/// the environment so far, but not within single quotes.
fn words(text: &str, config: &ImageConfig) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        match (next, quote) {
            ('\'' | '"', None) => {
                quote = Some(next);
                word.get_or_insert_default();
            }
            (_, Some(open)) if next == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            ('$', None | Some('"')) => {
                let name = variable(&mut chars)?;
                let prefix = format!("{name}=");
                let value = config.env.iter().find_map(|pair| pair.strip_prefix(&prefix));
                word.get_or_insert_default().push_str(value.unwrap_or_default());
            }
            (_, None) if next.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(next),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

fn variable(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, &'static str> {
    let braced = chars.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(next) = chars.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
        name.push(next);
    }
    if name.is_empty() || braced && chars.next() != Some('}') {
        return Err("only $NAME and ${NAME} are understood after a dollar sign");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<ImageConfig> {
        let mut config = ImageConfig { cmd: Some(vec!["old".to_owned()]), ..ImageConfig::default() };
        let changes: Result<Vec<_>> = changes.iter().map(|change| Change::parse(change)).collect();
        Change::apply_all(&changes?, &mut config)?;
        Ok(config)
    }

    #[test]
    fn every_instruction_changes_its_part_of_the_configuration() {
        let config = changed(&[
            "ENV PATH=/bin NAME=\"a b\" X='$PATH'",
            "env OLD some  words",
            "ENV PATH=$PATH:/usr/${NAME}",
            "ENTRYPOINT [\"/init\", \"-x\"]",
            "CMD echo $HOME",
            "EXPOSE 80 53/udp 8000-8001",
            "USER me:us",
            "WORKDIR /srv",
            "WORKDIR data",
            "VOLUME [\"/a b\"]",
            "VOLUME /c /d",
            "LABEL one=1 two=\"2 3\"",
            "STOPSIGNAL SIGQUIT",
            "ONBUILD RUN make",
        ])
        .unwrap();
        assert_eq!(config.env, ["NAME=a b", "X=$PATH", "OLD=some words", "PATH=/bin:/usr/a b"]);
        assert_eq!(config.entrypoint.unwrap(), ["/init", "-x"]);
        assert_eq!(config.cmd.unwrap(), ["/bin/sh", "-c", "echo $HOME"]);
        assert_eq!(
            config.exposed_ports.into_keys().collect::<Vec<_>>(),
            ["53/udp", "80/tcp", "8000/tcp", "8001/tcp"]
        );
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("me:us", "/srv/data"));
        assert_eq!(config.volumes.into_keys().collect::<Vec<_>>(), ["/a b", "/c", "/d"]);
        assert_eq!(config.labels["two"], "2 3");
        assert_eq!(
            (config.stop_signal.as_str(), config.on_build.as_slice()),
            ("SIGQUIT", &["RUN make".to_owned()][..])
        );
    }

    #[test]
    fn an_entry_point_takes_the_old_command_away_but_not_one_that_came_with_it() {
        assert_eq!(changed(&["ENTRYPOINT [\"/init\"]"]).unwrap().cmd, None);
        for both in [["CMD [\"x\"]", "ENTRYPOINT [\"/init\"]"], ["ENTRYPOINT [\"/init\"]", "CMD [\"x\"]"]] {
            assert_eq!(changed(&both).unwrap().cmd.unwrap(), ["x"]);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_change_and_the_reason() {
        for bad in [
            "RUN x",
            "ENV",
            "ENV A",
            "ENV A='x",
            "EXPOSE x",
            "EXPOSE 80/icmp",
            "USER a b",
            "HEALTHCHECK NONE",
        ] {
            let error = changed(&[bad]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("change {bad:?}: ")), "{error}");
        }
    }
}
