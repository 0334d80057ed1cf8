//! The node: versions, description, events, and its daemon.

use super::show::moment;
use crate::client::{Address, Client, Values, filters, query};
use crate::failure::Failure;
use crate::format::human;
use crate::format::json::indent;
use crate::format::template::{Template, text};
use crate::printer;
use crate::start::Meant;
use crate::table::Parsed;
use base::{Clock, Time};
use hyper::Method;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};
use std::os::fd::OwnedFd;

/// How long a daemon may take to end.
const STOP_TIMEOUT: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Shows a value by the template that was asked for; false if none was.
fn by_format(parsed: &Parsed, value: &Value) -> Result<bool, Failure> {
    let template = match parsed.get("format") {
        None => return Ok(false),
        Some("json") => "{{json .}}",
        Some(template) => template,
    };
    printer::line(&Template::parse(template)?.render(value)?);
    Ok(true)
}

pub(crate) async fn version(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let own = json!({ "Version": env!("CARGO_PKG_VERSION"), "ApiVersion": "1.51", "Os": "linux", "Arch": std::env::consts::ARCH });
    let server = client.get("/version").await?;
    if by_format(parsed, &json!({ "Client": own, "Server": server }))? {
        return Ok(());
    }
    let line = |name: &str, value: &Value| printer::line(&format!(" {name:<14}{}", text(value)));
    printer::line("Client: Bocage");
    line("Version:", &own["Version"]);
    line("API version:", &own["ApiVersion"]);
    printer::line("\nServer: Bocage");
    for (name, field) in [
        ("Version:", "Version"),
        ("API version:", "ApiVersion"),
        ("Minimum:", "MinAPIVersion"),
        ("Kernel:", "KernelVersion"),
    ] {
        line(name, &server[field]);
    }
    Ok(())
}

pub(crate) async fn info(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let info = client.get("/info").await?;
    if by_format(parsed, &info)? {
        return Ok(());
    }
    let line = |name: &str, value: String| printer::line(&format!("{name:<20}{value}"));
    line("Containers:", text(&info["Containers"]));
    for (name, field) in [
        (" Running:", "ContainersRunning"),
        (" Paused:", "ContainersPaused"),
        (" Stopped:", "ContainersStopped"),
        ("Images:", "Images"),
        ("Server Version:", "ServerVersion"),
        ("Storage Driver:", "Driver"),
        ("Cgroup Version:", "CgroupVersion"),
        ("Kernel Version:", "KernelVersion"),
        ("Operating System:", "OperatingSystem"),
        ("Architecture:", "Architecture"),
        ("CPUs:", "NCPU"),
    ] {
        line(name, text(&info[field]));
    }
    line("Total Memory:", human::binary_bytes(info["MemTotal"].as_u64().unwrap_or_default()));
    line("Name:", text(&info["Name"]));
    line("Docker Root Dir:", text(&info["DockerRootDir"]));
    for warning in info["Warnings"].as_array().into_iter().flatten() {
        printer::note(&format!("WARNING: {}", text(warning)));
    }
    Ok(())
}

pub(crate) async fn events(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let now = Clock::system().now();
    let time = |flag: &str| parsed.get(flag).map(|text| moment(text, now)).transpose();
    let query = query(&[
        ("since", time("since")?),
        ("until", time("until")?),
        ("filters", filters(&parsed.all("filter"))?),
    ]);
    let template = match parsed.get("format") {
        None => None,
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(text) => Some(Template::parse(text)?),
    };
    let mut values = Values::new(client.stream(Method::GET, &format!("/events{query}"), None).await?);
    while let Some(event) = values.next().await? {
        let shown = match &template {
            Some(template) => template.render(&event)?,
            None => event_line(&event),
        };
        printer::line(&shown);
    }
    Ok(())
}

fn event_line(event: &Value) -> String {
    let time = Time::from_unix_nanos(i128::from(event["timeNano"].as_i64().unwrap_or_default()));
    let field = |name: &str| text(&event[name]);
    let attributes = event["Actor"]["Attributes"].as_object().into_iter().flatten();
    let attributes: Vec<String> = attributes.map(|(name, value)| format!("{name}={}", text(value))).collect();
    let id = text(&event["Actor"]["ID"]);
    format!("{} {} {} {id} ({})", time.rfc3339_nine(), field("Type"), field("Action"), attributes.join(", "))
}

pub(crate) async fn daemon_status(meant: &Meant) -> Result<(), Failure> {
    let status = meant.as_it_is().text("/bocage/v1/daemon").await?;
    printer::line(&indent(&status));
    Ok(())
}

/// Ends the daemon, and waits until it has.
pub(crate) async fn daemon_stop(meant: &Meant, parsed: &Parsed) -> Result<(), Failure> {
    let client = meant.as_it_is();
    if !client.answers().await {
        printer::note(&format!("no daemon answers at {}", client.address.text()));
        return Ok(());
    }
    // The process is held before it is asked to end: later its number may be another's. Elsewhere there is none to wait for.
    let process = match &client.address {
        Address::Unix(_) => held(&client.get("/bocage/v1/daemon").await?),
        Address::Tcp(_) => None,
    };
    let path = format!("/bocage/v1/daemon/stop?containers={}", u8::from(parsed.is("containers")));
    client.post(&path, None).await?;
    match process {
        Some(process) => gone(process).await,
        None => Ok(()),
    }
}

/// The daemon's process.
fn held(status: &Value) -> Option<OwnedFd> {
    let pid = i32::try_from(status["pid"].as_i64()?).ok()?;
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Waits for the end of a process that is not ours.
async fn gone(process: OwnedFd) -> Result<(), Failure> {
    let waited = tokio::task::spawn_blocking(move || {
        let mut wanted = [PollFd::new(&process, PollFlags::IN)];
        poll(&mut wanted, Some(&STOP_TIMEOUT))
    });
    match waited.await {
        Ok(Ok(1..)) => Ok(()),
        _ => Err(Failure::new(format!(
            "the daemon was asked to end and has not within {} seconds",
            STOP_TIMEOUT.tv_sec
        ))
        .with_hint("its log says what it waits for")),
    }
}
