//! `run`, `create`, `start -a`, `attach` and `exec`: containers with this terminal joined to them.

use super::spec::{self, Spec};
use crate::client::{Client, escape, query};
use crate::failure::{Failure, REFUSED};
use crate::pump::{self, Target};
use crate::table::Parsed;
use crate::{printer, terminal};
use hyper::Method;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// How long after the end of a terminal's stream the end of the container is waited for, before it is taken for one that the
/// user has left running.
const DETACH_GRACE: Duration = Duration::from_millis(300);

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
    if let Some(when) = parsed.get("pull").filter(|when| !matches!(*when, "missing" | "never")) {
        return Err(Failure::new(format!("--pull {when}: there is no registry client yet"))
            .with_hint("load the image from an archive: bocage load -i FILE"));
    }
    let file = parsed.get("cidfile");
    if let Some(file) = file.filter(|file| fs::exists(file).unwrap_or(false)) {
        return Err(Failure::new(format!(
            "container ID file found, make sure the other container isn't running or delete {file}"
        )));
    }
    let query = query(&[("name", spec.name.clone()), ("platform", spec.platform.clone())]);
    let made = client.post(&format!("/containers/create{query}"), Some(&spec.body)).await;
    let made = made.map_err(|failure| match failure.status {
        Some(404) if failure.message.contains("No such image") => failure.with_hint(format!(
            "there is no registry client yet: take the image in from an archive, as in `docker save {0} | bocage load`, or \
             `bocage load -i FILE`; `bocage images` lists what is here",
            spec.image
        )),
        _ => failure,
    })?;
    for warning in made["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        printer::note(&format!("WARNING: {warning}"));
    }
    let id = text(&made, "Id").to_owned();
    if let Some(file) = file {
        fs::write(file, &id).map_err(|error| Failure::new(format!("write {file}: {error}")))?;
    }
    Ok(id)
}

pub(crate) async fn create(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let spec = spec::build(parsed, false).map_err(|failure| failure.with_code(REFUSED))?;
    let id = create_container(client, parsed, &spec).await?;
    printer::line(&id);
    Ok(())
}

pub(crate) async fn run(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let refused = |failure: Failure| failure.with_code(REFUSED);
    let spec = spec::build(parsed, true).map_err(refused)?;
    let is = |name: &str| spec.body.get(name).and_then(Value::as_bool).unwrap_or(false);
    let (stdin, stdout, stderr, tty) = (is("AttachStdin"), is("AttachStdout"), is("AttachStderr"), is("Tty"));
    if parsed.is("detach") && parsed.is("rm") && parsed.get("restart").is_some_and(|policy| policy != "no") {
        return Err(refused(Failure::new("conflicting options: cannot specify both --restart and --rm")));
    }
    if parsed.is("detach") && !parsed.all("attach").is_empty() {
        return Err(refused(Failure::new("conflicting options: cannot specify both --attach and --detach")));
    }
    if stdin && tty && !terminal::is_input() {
        return Err(refused(
            Failure::new("the input device is not a TTY")
                .with_hint("leave out -t where standard input is a pipe or a file"),
        ));
    }
    let id = create_container(client, parsed, &spec).await.map_err(refused)?;
    let attached = stdin || stdout || stderr;
    if !attached {
        started(client, &id, parsed.is("rm")).await?;
        printer::line(&id);
        return Ok(());
    }
    let keys = parsed.get("detach-keys").map(str::to_owned);
    let connection = attach_path(client, &id, [stdin, stdout, stderr], keys).await.map_err(refused)?;
    let until = if parsed.is("rm") { "removed" } else { "next-exit" };
    let wait = client.stream(Method::POST, &format!("/containers/{id}/wait?condition={until}"), None).await?;
    let mut wait = crate::client::Values::new(wait);
    started(client, &id, parsed.is("rm")).await?;
    let target = Target::Container(id.clone());
    let sizes = (tty && terminal::is_output()).then(|| pump::follow_size(client, &target));
    let proxied = parsed.get("sig-proxy").is_none_or(|text| text != "false") && !tty;
    let signals = if proxied { pump::pass_signals(client, &id) } else { Vec::new() };
    pump::join(connection, stdin, tty).await?;
    sizes.into_iter().chain(signals).for_each(|task| task.abort());
    // The stream has ended, or the user has left by the detach keys: then the container goes on.
    finish(client, &id, &mut wait, tty).await
}

/// Opens the streams of a container.
async fn attach_path(
    client: &Client,
    id: &str,
    [stdin, stdout, stderr]: [bool; 3],
    keys: Option<String>,
) -> Result<Box<dyn crate::client::Connection>, Failure> {
    let flag = |on: bool| on.then(|| "1".to_owned());
    let pairs = [
        ("stream", flag(true)),
        ("stdin", flag(stdin)),
        ("stdout", flag(stdout)),
        ("stderr", flag(stderr)),
        ("detachKeys", keys),
    ];
    client.hijack(&format!("/containers/{id}/attach{}", query(&pairs)), None).await
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

/// Ends with the container's exit code, or with none if it goes on without us.
async fn finish(
    client: &Client,
    id: &str,
    wait: &mut crate::client::Values,
    tty: bool,
) -> Result<(), Failure> {
    let runs =
        async || super::inspect(client, id).await.is_ok_and(|state| state["State"]["Running"] == json!(true));
    let ended = match tokio::time::timeout(DETACH_GRACE, wait.next()).await {
        Ok(ended) => ended?,
        Err(_) if tty && runs().await => return Ok(()),
        Err(_) => wait.next().await?,
    };
    let ended = ended.unwrap_or(Value::Null);
    match ended["StatusCode"].as_i64() {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::silent(u8::try_from(code & 0xff).unwrap_or(REFUSED))),
        None => {
            Err(Failure::new(format!("the daemon did not tell how container {id} ended")).with_code(REFUSED))
        }
    }
}

pub(crate) async fn start(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let names = parsed.operands();
    let (attach, interactive) = (parsed.is("attach"), parsed.is("interactive"));
    if !attach && !interactive {
        return super::each(&names, async |name| {
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
    let keys = parsed.get("detach-keys").map(str::to_owned);
    let connection = attach_path(client, &id, [stdin, true, true], keys).await?;
    let wait =
        client.stream(Method::POST, &format!("/containers/{id}/wait?condition=next-exit"), None).await?;
    let mut wait = crate::client::Values::new(wait);
    started(client, &id, false).await.map_err(|failure| failure.with_code(1))?;
    let sizes =
        (tty && terminal::is_output()).then(|| pump::follow_size(client, &Target::Container(id.clone())));
    let signals = if tty { Vec::new() } else { pump::pass_signals(client, &id) };
    pump::join(connection, stdin, tty).await?;
    sizes.into_iter().chain(signals).for_each(|task| task.abort());
    finish(client, &id, &mut wait, tty).await
}

pub(crate) async fn attach(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let name = parsed.get("CONTAINER").unwrap_or_default();
    let container = super::inspect(client, name).await?;
    let id = text(&container, "Id").to_owned();
    let state = &container["State"];
    if state["Running"] != json!(true) {
        return Err(Failure::new("You cannot attach to a stopped container, start it first"));
    }
    if state["Paused"] == json!(true) {
        return Err(Failure::new("You cannot attach to a paused container, unpause it first"));
    }
    let tty = container["Config"]["Tty"] == json!(true);
    let stdin = !parsed.is("no-stdin") && container["Config"]["OpenStdin"] == json!(true);
    let wait =
        client.stream(Method::POST, &format!("/containers/{id}/wait?condition=not-running"), None).await?;
    let mut wait = crate::client::Values::new(wait);
    let keys = parsed.get("detach-keys").map(str::to_owned);
    let connection = attach_path(client, &id, [stdin, true, true], keys).await?;
    let sizes =
        (tty && terminal::is_output()).then(|| pump::follow_size(client, &Target::Container(id.clone())));
    let proxied = parsed.get("sig-proxy").is_none_or(|text| text != "false") && !tty;
    let signals = if proxied { pump::pass_signals(client, &id) } else { Vec::new() };
    pump::join(connection, stdin, tty).await?;
    sizes.into_iter().chain(signals).for_each(|task| task.abort());
    finish(client, &id, &mut wait, tty).await
}

pub(crate) async fn exec(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let container = parsed.get("CONTAINER").unwrap_or_default();
    let mut command = vec![parsed.get("COMMAND").unwrap_or_default().to_owned()];
    command.extend(parsed.rest());
    let (detach, tty) = (parsed.is("detach"), parsed.is("tty"));
    let stdin = parsed.is("interactive") && !detach;
    if stdin && tty && !terminal::is_input() {
        return Err(Failure::new("the input device is not a TTY")
            .with_hint("leave out -t where standard input is a pipe or a file"));
    }
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
    pump::join(connection, stdin, tty).await?;
    sizes.into_iter().for_each(|task| task.abort());
    let state = client.get(&format!("/exec/{id}/json")).await?;
    match state["ExitCode"].as_i64() {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::silent(u8::try_from(code & 0xff).unwrap_or(1))),
        // Left by the detach keys.
        None => Ok(()),
    }
}
