//! Programs that are run on the way of a container: each is told its state on standard input, and may end it by failing.

use super::environment::{Child, Outcome, Problem};
use super::talk;
use crate::setup::{Hook, Hooks};
use rustix::fs::MemfdFlags;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// As much of what a hook says of its failure as is told on, in bytes.
const WORDS_BYTES_MAX: u64 = 4096;
/// How often a hook with a time-out is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The shim runs the hooks that belong outside.
pub(super) fn outside(child: &mut Child<'_>) -> Outcome {
    let Some(setup) = child.setup else { return Ok(()) };
    if setup.hooks.create_runtime.is_empty() { Ok(()) } else { child.ask(talk::HOOKS) }
}

/// Hooks in the container's namespaces, before its root changes.
pub(super) fn create_container(child: &mut Child<'_>) -> Outcome {
    let Some(setup) = child.setup else { return Ok(()) };
    let Hooks { create_container, state, env, .. } = &setup.hooks;
    run_all(create_container, "createContainer", (state, "creating"), own_pid(), env)
}

/// Hooks in the container, just before its program.
pub(super) fn start_container(child: &mut Child<'_>) -> Outcome {
    let Some(setup) = child.setup else { return Ok(()) };
    let Hooks { start_container, state, .. } = &setup.hooks;
    // Here whoever runs them is the container's own process.
    run_all(start_container, "startContainer", (state, "created"), own_pid(), &child.process.env)
}

fn own_pid() -> u32 {
    std::process::id()
}

/// Runs hooks in their order until one fails. `state` is the container's as JSON, to which status and process are added;
/// `env` is the environment of those that bring none.
pub(crate) fn run_all(
    hooks: &[Hook],
    kind: &str,
    (state, status): (&str, &str),
    pid: u32,
    env: &[String],
) -> Outcome {
    if hooks.is_empty() {
        return Ok(());
    }
    let mut state: Value = serde_json::from_str(state).unwrap_or_default();
    if let Value::Object(fields) = &mut state {
        fields.insert("status".to_owned(), status.into());
        if pid != 0 {
            fields.insert("pid".to_owned(), pid.into());
        }
    }
    let state = state.to_string();
    for (number, hook) in hooks.iter().enumerate() {
        run(hook, &state, env).map_err(|why| {
            Problem::new(format!("hook {number} of {kind} ({}): {why}", hook.path.display()))
        })?;
    }
    Ok(())
}

fn run(hook: &Hook, state: &str, env: &[String]) -> Result<(), String> {
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    let env = hook.env.as_deref().unwrap_or(env);
    command.env_clear().envs(env.iter().filter_map(|entry| entry.split_once('=')));
    // What it says goes into memory: a pipe would hold up one that says much, and one whose children live on.
    let said = rustix::fs::memfd_create(c"hook", MemfdFlags::CLOEXEC).map(File::from);
    let mut said = said.map_err(|error| error.to_string())?;
    let stderr = said.try_clone().map_err(|error| error.to_string())?;
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(stderr);
    let mut started = sys::process::with_signals(&mut command).spawn().map_err(|error| error.to_string())?;
    if let Some(mut stdin) = started.stdin.take() {
        // A hook that does not read its state is none the worse.
        let _ = stdin.write_all(state.as_bytes());
    }
    // Time is counted in looks, not read from a clock: a suspended machine kills no hook.
    let looks_max = hook.timeout_seconds.map(|seconds| seconds.saturating_mul(1000) / 2);
    let mut looks: u64 = 0;
    let ended = loop {
        let ended = match looks_max {
            None => started.wait().map(Some),
            Some(_) => started.try_wait(),
        };
        match ended.map_err(|error| error.to_string())? {
            Some(ended) => break ended,
            None if looks_max.is_some_and(|max| looks >= max) => {
                let _ = started.kill();
                let _ = started.wait();
                return Err(format!("did not end within {} s", hook.timeout_seconds.unwrap_or_default()));
            }
            None => thread::sleep(LOOK_EVERY),
        }
        looks += 1;
    };
    if ended.success() {
        return Ok(());
    }
    let mut words = String::new();
    if said.rewind().is_ok() {
        let _ = said.take(WORDS_BYTES_MAX).read_to_string(&mut words);
    }
    Err(format!("{ended}: {}", words.trim()).trim_end_matches([':', ' ']).to_owned())
}
