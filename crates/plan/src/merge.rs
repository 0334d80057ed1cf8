//! An image's defaults under what the user asked for.

use model::{ContainerSpec, PortKey};
use std::collections::{BTreeMap, BTreeSet};

/// The `PATH` of a container whose image and user name none.
pub const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an image says about its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The environment.
    pub env: Vec<String>,
    /// The entry point.
    pub entrypoint: Option<Vec<String>>,
    /// The command.
    pub command: Option<Vec<String>>,
    /// The user.
    pub user: String,
    /// The working directory.
    pub working_dir: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Ports it listens on.
    pub exposed: BTreeSet<PortKey>,
    /// Paths that want a volume.
    pub volumes: BTreeSet<String>,
    /// The signal that asks it to end.
    pub stop_signal: String,
}

/// Completes `spec` with the image's defaults, in place, so that it says by itself what runs.
///
/// An entry point of the user's own drops the image's command, as both belong together; volumes are added by the
/// engine, which knows where they lie.
pub fn complete(spec: &mut ContainerSpec, image: &Defaults) {
    if spec.entrypoint.is_none() {
        if spec.command.is_none() {
            spec.command.clone_from(&image.command);
        }
        spec.entrypoint.clone_from(&image.entrypoint);
    }
    spec.env = environment(&image.env, &spec.env, spec.terminal);
    if spec.user.is_empty() {
        spec.user.clone_from(&image.user);
    }
    if spec.working_dir.is_empty() {
        spec.working_dir.clone_from(&image.working_dir);
    }
    if spec.stop_signal.is_empty() {
        spec.stop_signal.clone_from(&image.stop_signal);
    }
    for (name, value) in &image.labels {
        spec.labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    spec.exposed.extend(image.exposed.iter().copied());
    spec.exposed.extend(spec.ports.iter().map(|binding| binding.inside));
}

/// Program and arguments of a completed spec.
pub fn args(spec: &ContainerSpec) -> Vec<String> {
    spec.entrypoint.iter().chain(&spec.command).flatten().cloned().collect()
}

/// The image's environment with the user's over it. `NAME` without a value takes the variable away.
pub fn environment(image: &[String], wanted: &[String], terminal: bool) -> Vec<String> {
    let mut env: Vec<String> = Vec::with_capacity(image.len() + wanted.len() + 1);
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    for entry in image.iter().chain(wanted) {
        let key = name(entry);
        let place = env.iter().position(|there| name(there) == key);
        match (place, entry.contains('=')) {
            (Some(at), true) => env[at].clone_from(entry),
            (Some(at), false) => drop(env.remove(at)),
            (None, true) => env.push(entry.clone()),
            (None, false) => {}
        }
    }
    if !env.iter().any(|entry| entry.starts_with("PATH=")) {
        env.insert(0, DEFAULT_PATH.to_owned());
    }
    if terminal && !env.iter().any(|entry| entry.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn the_users_command_replaces_the_images_and_keeps_its_entry_point() {
        let image = Defaults { entrypoint: words("/entry"), command: words("serve"), ..Defaults::default() };
        let mut spec = ContainerSpec { command: words("sh -c x"), ..ContainerSpec::default() };
        complete(&mut spec, &image);
        assert_eq!(args(&spec), ["/entry", "sh", "-c", "x"]);
    }

    #[test]
    fn an_entry_point_of_ones_own_drops_the_images_command() {
        let image = Defaults { entrypoint: words("/entry"), command: words("serve"), ..Defaults::default() };
        let mut spec = ContainerSpec { entrypoint: words("/mine"), ..ContainerSpec::default() };
        complete(&mut spec, &image);
        assert_eq!(args(&spec), ["/mine"]);
        let mut spec =
            ContainerSpec { entrypoint: Some(vec![]), command: words("ls"), ..ContainerSpec::default() };
        complete(&mut spec, &image);
        assert_eq!(args(&spec), ["ls"]);
    }

    #[test]
    fn a_variable_can_be_replaced_and_taken_away() {
        let image = ["A=1".to_owned(), "B=2".to_owned(), "PATH=/bin".to_owned()];
        let env = environment(&image, &["B=3".to_owned(), "A".to_owned(), "C=".to_owned()], true);
        assert_eq!(env, ["B=3", "PATH=/bin", "C=", "TERM=xterm"]);
        assert_eq!(environment(&[], &[], false), [DEFAULT_PATH]);
    }
}
