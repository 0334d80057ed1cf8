//! `run`, `create`, `start -a`, `attach` and `exec`: containers with this terminal joined to them.

use super::registry;
use super::spec::{self, Spec};
use crate::client::{Client, Values, escape, query};
use crate::failure::{Failure, REFUSED};
use crate::keys::Keys;
use crate::names::Name;
use crate::pump::{self, End, Joint, Target};
use crate::table::Parsed;
use crate::{printer, terminal};
use hyper::Method;
use serde_json::{Value, json};
use std::fs;
use tokio::task::JoinHandle;

/// Which exit code a refused start has, by what the daemon says: not found, not to be run, or refused.
fn start_code(message: &str) -> u8 {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["executable file not found", "no such file or directory"]) {
        127
    } else if says(&["permission denied", "is a directory", "exec format error"]) {
        126
    } else {
        REFUSED
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Makes a container, and tells its id.
async fn create_container(client: &Client, parsed: &Parsed, spec: &Spec) -> Result<String, Failure> {
    let file = parsed.get("cidfile");
    if let Some(file) = file.filter(|file| fs::exists(file).unwrap_or(false)) {
        return Err(Failure::new(format!(
            "container ID file found, make sure the other container isn't running or delete {file}"
        )));
    }
    let query = query(&[("name", spec.name.clone()), ("platform", spec.platform.clone())]);
    let path = format!("/containers/create{query}");
    let made = made(client, parsed, spec, &path).await?;
    for warning in made["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        printer::note(&format!("WARNING: {warning}"));
    }
    let id = text(&made, "Id").to_owned();
    if let Some(file) = file {
        fs::write(file, &id).map_err(|error| Failure::new(format!("write {file}: {error}")))?;
    }
    Ok(id)
}

/// Asks for the container, and for its image where that is wanted.
async fn made(client: &Client, parsed: &Parsed, spec: &Spec, path: &str) -> Result<Value, Failure> {
    let (when, quiet) = (parsed.get("pull").unwrap_or("missing"), parsed.is("quiet"));
    let bring = || registry::bring(client, &spec.image, spec.platform.as_deref(), quiet);
    match when {
        "missing" | "never" => {}
        "always" => bring().await?,
        other => {
            return Err(Failure::new(format!(
                "invalid pull option: '{other}': must be one of \"always\", \"missing\" or \"never\""
            )));
        }
    }
    match client.post(path, Some(&spec.body)).await {
        Err(failure)
            if when == "missing"
                && failure.status == Some(404)
                && failure.message.contains("No such image") =>
        {
            if !quiet {
                printer::note(&format!(
                    "Unable to find image '{}' locally",
                    Name::of(&spec.image).familiar()
                ));
            }
            bring().await?;
            client.post(path, Some(&spec.body)).await
        }
        other => other,
    }
}

pub(crate) async fn create(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let spec = spec::build(parsed, false).map_err(|failure| failure.with_code(REFUSED))?;
    let id = create_container(client, parsed, &spec).await?;
    printer::line(&id);
    Ok(())
}

/// What cannot be asked for at once.
fn contradiction(parsed: &Parsed) -> Option<&'static str> {
    if parsed.is("rm") && parsed.get("restart").is_some_and(|policy| !matches!(policy, "" | "no")) {
        return Some("conflicting options: cannot specify both --restart and --rm");
    }
    (parsed.is("detach") && !parsed.all("attach").is_empty())
        .then_some("conflicting options: cannot specify both --attach and --detach")
}

/// A terminal inside that is to be typed into needs one out here.
fn needs_terminal(stdin: bool, tty: bool) -> Result<(), Failure> {
    if stdin && tty && !terminal::is_input() {
        return Err(Failure::new("the input device is not a TTY")
            .with_hint("leave out -t where standard input is a pipe or a file"));
    }
    Ok(())
}

pub(crate) async fn run(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let refused = |failure: Failure| failure.with_code(REFUSED);
    if let Some(why) = contradiction(parsed) {
        return Err(refused(Failure::new(why)));
    }
    let spec = spec::build(parsed, true).map_err(refused)?;
    let is = |name: &str| spec.body.get(name).and_then(Value::as_bool).unwrap_or(false);
    let streams = [is("AttachStdin"), is("AttachStdout"), is("AttachStderr")];
    let tty = is("Tty");
    needs_terminal(streams[0], tty)?;
    let keys = Keys::parse(parsed.get("detach-keys")).map_err(refused)?;
    let id = create_container(client, parsed, &spec).await.map_err(refused)?;
    let removed = parsed.is("rm");
    if streams == [false; 3] {
        started(client, &id, removed).await?;
        printer::line(&id);
        return if parsed.is("timings") { print_timings(client, &id).await } else { Ok(()) };
    }
    let session = Session {
        id: id.clone(),
        streams,
        tty,
        proxied: proxied(parsed, tty),
        until: if removed { "removed" } else { "next-exit" },
        chosen_keys: parsed.get("detach-keys").map(str::to_owned),
    };
    let open = session.open(client).await.map_err(refused)?;
    started(client, &id, removed).await?;
    let ended = session.carry(client, open, keys).await;
    if parsed.is("timings") {
        print_timings(client, &id).await?;
    }
    ended
}

/// Whether signals are passed on. With a terminal the keys are, and what they mean is decided inside.
fn proxied(parsed: &Parsed, tty: bool) -> bool {
    !tty && !parsed.get("sig-proxy").is_some_and(|text| matches!(text, "false" | "0"))
}

/// A container with this terminal joined to it.
struct Session {
    id: String,
    /// Which of stdin, stdout and stderr.
    streams: [bool; 3],
    tty: bool,
    proxied: bool,
    /// What is waited for once the streams have ended.
    until: &'static str,
    chosen_keys: Option<String>,
}

/// What must be there before the container starts, so that nothing is missed: its streams, the news of its end, and signals.
struct Open {
    connection: Box<dyn crate::client::Connection>,
    ended: Values,
    signals: Vec<JoinHandle<()>>,
}

impl Session {
    async fn open(&self, client: &Client) -> Result<Open, Failure> {
        let [stdin, stdout, stderr] = self.streams.map(|on| on.then(|| "1".to_owned()));
        let pairs = [
            ("stream", Some("1".to_owned())),
            ("stdin", stdin),
            ("stdout", stdout),
            ("stderr", stderr),
            ("detachKeys", self.chosen_keys.clone()),
        ];
        let attach = format!("/containers/{}/attach{}", self.id, query(&pairs));
        let connection = client.hijack(&attach, None).await?;
        let wait = format!("/containers/{}/wait?condition={}", self.id, self.until);
        let ended = Values::new(client.stream(Method::POST, &wait, None).await?);
        let signals = if self.proxied { pump::pass_signals(client, &self.id) } else { Vec::new() };
        Ok(Open { connection, ended, signals })
    }

    /// Carries the streams to their end; ends with the container's exit code, or with none if it goes on without us.
    async fn carry(&self, client: &Client, mut open: Open, keys: Keys) -> Result<(), Failure> {
        let target = Target::Container(self.id.clone());
        let sizes = (self.tty && terminal::is_output()).then(|| pump::follow_size(client, &target));
        let joint = Joint { stdin: self.streams[0], terminal: self.tty, keys };
        let end = pump::join(open.connection, joint).await?;
        if let Some(task) = sizes {
            task.abort();
        }
        if end == End::Left {
            return Ok(());
        }
        // Until it has ended, signals are still its.
        let ended = open.ended.next().await?.unwrap_or(Value::Null);
        open.signals.iter().for_each(JoinHandle::abort);
        match ended["StatusCode"].as_i64() {
            Some(0) => Ok(()),
            Some(code) => Err(Failure::silent(u8::try_from(code & 0xff).unwrap_or(REFUSED))),
            None => {
                let why = format!("the daemon did not tell how container {} ended", self.id);
                Err(Failure::new(why).with_code(REFUSED))
            }
        }
    }
}

/// Prints where the time of a start went: each step, and what they come to.
async fn print_timings(client: &Client, id: &str) -> Result<(), Failure> {
    let timings = client.get(&format!("/bocage/v1/containers/{id}/timings")).await?;
    let empty = Vec::new();
    let steps = timings.as_array().unwrap_or(&empty);
    let micros = |ns: u64| format!("{:>9.3} ms", ns as f64 / 1e6);
    let mut total = 0;
    for step in steps {
        let ns = step["ns"].as_u64().unwrap_or(0);
        total += ns;
        printer::note(&format!("{}  {}", micros(ns), text(step, "step")));
    }
    printer::note(&format!("{}  from the request to the program's first instruction", micros(total)));
    Ok(())
}

/// Starts a container; the exit code of a refusal says what kind it is.
async fn started(client: &Client, id: &str, remove: bool) -> Result<(), Failure> {
    let outcome = client.post(&format!("/containers/{id}/start"), None).await;
    let Err(failure) = outcome else { return Ok(()) };
    if remove {
        // The daemon removes it; here it is only made sure that nothing stays behind.
        let _ = client.delete(&format!("/containers/{id}?force=1&v=1")).await;
    }
    let code = start_code(&failure.message);
    Err(failure.with_code(code))
}

pub(crate) async fn start(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let names = parsed.operands();
    let (attach, interactive) = (parsed.is("attach"), parsed.is("interactive"));
    if !attach && !interactive {
        return super::each(&names, 1, async |name| {
            client.post(&format!("/containers/{}/start", escape(name)), None).await?;
            Ok(Some(name.to_owned()))
        })
        .await;
    }
    let [name] = &names[..] else {
        return Err(Failure::new("you cannot start and attach multiple containers at once"));
    };
    let container = super::inspect(client, name).await?;
    let id = text(&container, "Id").to_owned();
    let tty = container["Config"]["Tty"] == json!(true);
    let stdin = interactive && container["Config"]["OpenStdin"] == json!(true);
    let session = Session {
        id: id.clone(),
        streams: [stdin, true, true],
        tty,
        proxied: !tty,
        until: "next-exit",
        chosen_keys: parsed.get("detach-keys").map(str::to_owned),
    };
    let keys = Keys::parse(parsed.get("detach-keys"))?;
    let open = session.open(client).await?;
    started(client, &id, false).await.map_err(|failure| failure.with_code(1))?;
    session.carry(client, open, keys).await
}

pub(crate) async fn attach(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let name = parsed.get("CONTAINER").unwrap_or_default();
    let container = super::inspect(client, name).await?;
    let id = text(&container, "Id").to_owned();
    let state = &container["State"];
    if state["Running"] != json!(true) {
        return Err(Failure::new("You cannot attach to a stopped container, start it first")
            .with_hint(format!("bocage start -a {name}")));
    }
    if state["Paused"] == json!(true) {
        return Err(Failure::new("You cannot attach to a paused container, unpause it first")
            .with_hint(format!("bocage unpause {name}")));
    }
    let tty = container["Config"]["Tty"] == json!(true);
    let stdin = !parsed.is("no-stdin") && container["Config"]["OpenStdin"] == json!(true);
    let session = Session {
        id,
        streams: [stdin, true, true],
        tty,
        proxied: proxied(parsed, tty),
        until: "not-running",
        chosen_keys: parsed.get("detach-keys").map(str::to_owned),
    };
    needs_terminal(stdin, tty)?;
    let keys = Keys::parse(parsed.get("detach-keys"))?;
    let open = session.open(client).await?;
    session.carry(client, open, keys).await
}

pub(crate) async fn exec(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let container = parsed.get("CONTAINER").unwrap_or_default();
    let mut command = vec![parsed.get("COMMAND").unwrap_or_default().to_owned()];
    command.extend(parsed.rest());
    let (detach, tty) = (parsed.is("detach"), parsed.is("tty"));
    let stdin = parsed.is("interactive") && !detach;
    needs_terminal(stdin, tty)?;
    let keys = Keys::parse(parsed.get("detach-keys"))?;
    let body = json!({
        "AttachStdin": stdin, "AttachStdout": !detach, "AttachStderr": !detach, "Tty": tty, "Cmd": command,
        "Env": spec::environment(parsed)?,
        "User": parsed.get("user").unwrap_or_default(),
        "WorkingDir": parsed.get("workdir").unwrap_or_default(),
        "Privileged": parsed.is("privileged"),
        "DetachKeys": parsed.get("detach-keys").unwrap_or_default(),
    });
    let made = client.post(&format!("/containers/{}/exec", escape(container)), Some(&body)).await?;
    let id = text(&made, "Id").to_owned();
    let mut start = json!({ "Detach": detach, "Tty": tty });
    if let Some((rows, columns)) = terminal::size().filter(|_| tty) {
        start["ConsoleSize"] = json!([rows, columns]);
    }
    let path = format!("/exec/{id}/start");
    let refused = |failure: Failure| {
        let code = start_code(&failure.message);
        failure.with_code(code)
    };
    if detach {
        return client.post(&path, Some(&start)).await.map(drop).map_err(refused);
    }
    let connection = client.hijack(&path, Some(&start)).await.map_err(refused)?;
    let sizes = (tty && terminal::is_output()).then(|| pump::follow_size(client, &Target::Exec(id.clone())));
    let end = pump::join(connection, Joint { stdin, terminal: tty, keys }).await?;
    sizes.into_iter().for_each(|task| task.abort());
    if end == End::Left {
        return Ok(());
    }
    let state = client.get(&format!("/exec/{id}/json")).await?;
    match state["ExitCode"].as_i64() {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::silent(u8::try_from(code & 0xff).unwrap_or(REFUSED))),
        None => Err(Failure::new(format!("the daemon did not tell how the process in {container} ended"))),
    }
}
