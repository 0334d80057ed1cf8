//! One container: made, looked at, started, stopped, changed, removed.

use crate::body::Body;
use crate::from_model;
use crate::server::{Answer, Call, empty, json, json_line, typed};
use crate::to_model;
use crate::wire::{
    CreateAnswer, CreateRequest, HostConfig, TopAnswer, UpdateAnswer, UpdateRequest, WaitAnswer, WaitError,
};
use futures_util::stream;
use hyper::body::Body as _;
use hyper::{Response, StatusCode};
use platform::{Doors, Error, Kind, NewContainer, RemoveOptions, StopOptions, WaitFor};
use serde_json::Value;

/// The first version in which a stop may name its signal.
const STOP_SIGNAL_SINCE: u32 = 42;

pub(crate) async fn create(mut call: Call) -> Answer {
    let mut request: CreateRequest = call
        .json()
        .await?
        .ok_or_else(|| Error::invalid("invalid JSON: got EOF while reading request body"))?;
    platform_fits(&call).await?;
    name_as_the_mode(&call.doors, &mut request).await;
    let (spec, mut warnings) = to_model::container(request, call.version).map_err(not_the_image)?;
    let name = call.query.given("name").map(str::to_owned);
    let created = call.doors.control.create(NewContainer { name, spec }).await.map_err(not_the_image)?;
    warnings.splice(0..0, created.warnings);
    json(StatusCode::CREATED, &CreateAnswer { id: created.id.to_string(), warnings })
}

/// Calls a network as the mode does where both mean the same by different names: an id, or a part of one.
async fn name_as_the_mode(doors: &Doors, request: &mut CreateRequest) {
    let mode = &request.host_config.network_mode;
    let endpoints = &mut request.networking_config.endpoints_config;
    if !to_model::is_user_defined(mode) || endpoints.is_empty() || endpoints.contains_key(mode) {
        return;
    }
    // What is not there is refused later, by whoever makes the container.
    let Ok(meant) = doors.networks.inspect_network(mode).await else { return };
    for name in endpoints.keys().cloned().collect::<Vec<String>>() {
        let other = doors.networks.inspect_network(&name).await;
        if other.is_ok_and(|other| other.intent.id == meant.intent.id)
            && let Some(settings) = endpoints.remove(&name)
        {
            endpoints.insert(mode.clone(), settings);
            return;
        }
    }
}

/// Clients take a 404 from here for a missing image, and pull it: what else is missing is a conflict.
fn not_the_image(error: Error) -> Error {
    match error.kind {
        Kind::NotFound if !error.message.starts_with("No such image") => Error::conflict(error.message),
        _ => error,
    }
}

/// Refuses a platform that is not this machine's.
async fn platform_fits(call: &Call) -> Result<(), Error> {
    let Some(wanted) = call.query.given("platform") else { return Ok(()) };
    let info = call.doors.system.info().await?;
    let own = go_architecture(&info.machine);
    let mut parts = wanted.split('/');
    let (os, architecture) = (parts.next().unwrap_or_default(), parts.next());
    if os == "linux" && architecture.is_none_or(|wanted| go_architecture(wanted) == own) {
        return Ok(());
    }
    if architecture.is_none() && go_architecture(os) == own {
        return Ok(());
    }
    Err(Error::not_supported(format!(
        "platform {wanted} is not supported yet: this machine runs linux/{own}"
    )))
}

/// A processor in Go's words.
pub(crate) fn go_architecture(machine: &str) -> &str {
    match machine {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub(crate) async fn inspect(call: Call) -> Answer {
    let container = call.doors.control.inspect(&call.parameter, call.query.flag("size")).await?;
    json(StatusCode::OK, &from_model::inspect(&container, call.version))
}

pub(crate) async fn top(call: Call) -> Answer {
    let table = call.doors.node.top(&call.parameter, call.query.text("ps_args")).await?;
    json(StatusCode::OK, &TopAnswer { processes: table.rows, titles: table.titles })
}

/// Rows and columns of a terminal.
pub(crate) fn size(call: &Call) -> Result<(u16, u16), Error> {
    let read = |name: &str, what: &str| {
        let text = call.query.text(name);
        let bad = |why: &str| Error::invalid(format!("invalid resize {what} \"{text}\": {why}"));
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad("invalid syntax"));
        }
        let number: u32 = text.parse().map_err(|_| bad("value out of range"))?;
        Ok(u16::try_from(number).unwrap_or(u16::MAX))
    };
    Ok((read("h", "height")?, read("w", "width")?))
}

pub(crate) async fn resize(call: Call) -> Answer {
    let (rows, columns) = size(&call)?;
    call.doors.node.resize(&call.parameter, rows, columns).await?;
    Ok(empty(StatusCode::OK))
}

/// Bytes that a body without meaning may have, such as `{}` or `null`.
const EMPTY_BODY_BYTES_MAX: u64 = 7;

pub(crate) async fn start(call: Call) -> Answer {
    // A configuration could be sent here once: it must not seem to be taken.
    if !call.body.is_end_stream()
        && call.body.size_hint().exact().is_none_or(|bytes| bytes > EMPTY_BODY_BYTES_MAX)
    {
        return Err(Error::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    call.doors.control.start(&call.parameter).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn stop_options(call: &Call) -> Result<StopOptions, Error> {
    Ok(StopOptions {
        signal: call.query.given("signal").filter(|_| call.version >= STOP_SIGNAL_SINCE).map(str::to_owned),
        timeout_seconds: call.query.number("t")?,
    })
}

pub(crate) async fn stop(call: Call) -> Answer {
    call.doors.control.stop(&call.parameter, stop_options(&call)?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn restart(call: Call) -> Answer {
    call.doors.control.restart(&call.parameter, stop_options(&call)?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn kill(call: Call) -> Answer {
    call.doors.control.kill(&call.parameter, call.query.given("signal").unwrap_or("KILL")).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn pause(call: Call) -> Answer {
    call.doors.control.pause(&call.parameter).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn unpause(call: Call) -> Answer {
    call.doors.control.unpause(&call.parameter).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn rename(call: Call) -> Answer {
    let Some(name) = call.query.given("name") else {
        return Err(Error::invalid("Neither old nor new names may be empty"));
    };
    call.doors.control.rename(&call.parameter, name).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn delete(call: Call) -> Answer {
    let options = RemoveOptions { force: call.query.flag("force"), volumes: call.query.flag("v") };
    call.doors.control.remove(&call.parameter, options).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Lays what is given over what the container has, in the model and in what is shown.
pub(crate) async fn update(mut call: Call) -> Answer {
    let request: UpdateRequest = call.json().await?.unwrap_or_default();
    let given = Value::Object(request.resources.into_iter().collect());
    let new: HostConfig =
        crate::wire::read_value(given).map_err(|error| Error::invalid(format!("invalid JSON: {error}")))?;
    let mut resources = to_model::resources(&new);
    // Here, and here only, a limit of zero or less means that there shall be none.
    resources.pids = new.pids_limit.map(|limit| u64::try_from(limit).unwrap_or(0));
    let restart = match request.restart_policy.name.as_str() {
        "" => None,
        _ => Some(to_model::restart_policy(&request.restart_policy)?),
    };
    let container = call.doors.control.inspect(&call.parameter, false).await?;
    let spec = &container.intent.spec;
    if spec.auto_remove && restart.is_some_and(|policy| policy != model::container::RestartPolicy::No) {
        return Err(Error::invalid(
            "Restart policy cannot be updated because AutoRemove is enabled for the container",
        ));
    }
    let mut sent = to_model::Sent::of(&spec.origin);
    overlay(&mut sent.host, &new);
    if restart.is_some() {
        sent.host.restart_policy = request.restart_policy;
    }
    let origin = Some(sent.origin()?);
    let warnings = call.doors.control.update(&call.parameter, resources, restart, origin).await?;
    json(StatusCode::OK, &UpdateAnswer { warnings: Some(warnings).filter(|warnings| !warnings.is_empty()) })
}

/// What was given replaces what is shown; zero and empty were not given.
fn overlay(shown: &mut HostConfig, new: &HostConfig) {
    for (field, value) in [
        (&mut shown.cpu_shares, new.cpu_shares),
        (&mut shown.memory, new.memory),
        (&mut shown.memory_reservation, new.memory_reservation),
        (&mut shown.memory_swap, new.memory_swap),
        (&mut shown.nano_cpus, new.nano_cpus),
        (&mut shown.cpu_period, new.cpu_period),
        (&mut shown.cpu_quota, new.cpu_quota),
    ] {
        if value != 0 {
            *field = value;
        }
    }
    for (field, value) in
        [(&mut shown.cpuset_cpus, &new.cpuset_cpus), (&mut shown.cpuset_mems, &new.cpuset_mems)]
    {
        if !value.is_empty() {
            field.clone_from(value);
        }
    }
    if let Some(limit) = new.pids_limit {
        shown.pids_limit = Some(limit.max(0));
    }
}

/// The head of the answer goes out as soon as the waiting has begun: `run` starts the container only then.
pub(crate) async fn wait(call: Call) -> Answer {
    let until = match call.query.text("condition") {
        "" | "not-running" => WaitFor::NotRunning,
        "next-exit" => WaitFor::NextExit,
        "removed" => WaitFor::Removed,
        other => return Err(Error::invalid(format!("invalid condition: {other:?}"))),
    };
    let end = call.doors.control.wait(&call.parameter, until).await?;
    let answer = async move {
        let answer = match end.await {
            Ok(status_code) => WaitAnswer { status_code, error: None },
            Err(error) => WaitAnswer { status_code: -1, error: Some(WaitError { message: error.message }) },
        };
        json_line(&answer).map_err(std::io::Error::other)
    };
    Ok(typed(Response::new(Body::parts(stream::once(answer))), "application/json"))
}
