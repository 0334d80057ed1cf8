//! Processes added to a container.

use super::container::size;
use crate::detach::DetachKeys;
use crate::hijack::{Session, hijack};
use crate::server::{Answer, Call, empty, json};
use crate::to_model;
use crate::wire::exec::ExecProcess;
use crate::wire::{ExecCreateRequest, ExecInspect, ExecStartRequest, IdAnswer};
use hyper::StatusCode;
use platform::{Doors, Error, Event, ExecRequest, Stream, Streams};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// The first version in which a terminal's first size is said with the request.
const CONSOLE_SIZE_SINCE: u32 = 42;
/// How long the end of a session waits for the exit code.
const EXIT_CODE_WAIT: Duration = Duration::from_secs(1);

pub(crate) async fn create(mut call: Call) -> Answer {
    let request: ExecCreateRequest = call.json().await?.unwrap_or_default();
    if request.cmd.0.is_empty() {
        return Err(Error::invalid("No exec command specified"));
    }
    DetachKeys::parse(&request.detach_keys)?;
    let terminal_size = request.console_size.filter(|_| request.tty && call.version >= CONSOLE_SIZE_SINCE);
    let exec = ExecRequest {
        args: request.cmd.0,
        env: request.env.unwrap_or_default(),
        working_dir: request.working_dir,
        user: request.user,
        terminal: request.tty,
        terminal_size: terminal_size.filter(|size| *size != (0, 0)).map(to_model::size),
        streams: Streams {
            stdin: request.attach_stdin,
            stdout: request.attach_stdout,
            stderr: request.attach_stderr,
        },
        privileged: request.privileged,
        detach_keys: request.detach_keys,
    };
    let id = call.doors.node.exec_create(&call.parameter, exec).await?;
    json(StatusCode::CREATED, &IdAnswer { id: id.to_string() })
}

/// The program is started once the client knows that the connection is its own: some clients lose what comes
/// together with the answer's head. Why a program cannot be run is then told in the stream, as dockerd does, and
/// clients learn its exit code from inspection.
pub(crate) async fn start(mut call: Call) -> Answer {
    let request: ExecStartRequest = call.json().await?.unwrap_or_default();
    let id = call.parameter.clone();
    let state = call.doors.node.exec_inspect(&id).await?;
    if state.running {
        return Err(Error::conflict(format!("Error: Exec command {id} is already running")));
    }
    if state.exit_code.is_some() {
        return Err(Error::conflict(format!("Error: Exec command {id} has already run")));
    }
    let exec = state.request;
    let given = request.console_size.filter(|_| exec.terminal && call.version >= CONSOLE_SIZE_SINCE);
    let size = given.filter(|size| *size != (0, 0)).map(to_model::size);
    if request.detach {
        call.doors.node.exec_start(&id, false, size).await?;
        return Ok(empty(StatusCode::OK));
    }
    let session = Session {
        version: call.version,
        terminal: exec.terminal,
        input: exec.streams.stdin,
        keys: DetachKeys::parse(&exec.detach_keys)?,
        ended: Box::pin(ended(call.doors.clone(), id.clone(), call.doors.control.events())),
        open: Box::pin(open(call.doors, id, size)),
    };
    hijack(&call.headers, call.upgrade, session).await
}

async fn open(doors: Doors, id: String, size: Option<(u16, u16)>) -> Result<Box<dyn Stream>, Error> {
    let stream = doors.node.exec_start(&id, true, size).await?;
    stream.ok_or_else(|| Error::failed(format!("the exec {id} was started without its streams")))
}

/// Waits, within a bound, until the exit code is known: clients ask for it as soon as the stream has ended.
async fn ended(doors: Doors, id: String, mut events: broadcast::Receiver<Event>) {
    let known = async {
        while doors.node.exec_inspect(&id).await.is_ok_and(|state| state.running) {
            // Whatever happens is a reason to look again; an exec's end is among it.
            if let Err(RecvError::Closed) = events.recv().await {
                return;
            }
        }
    };
    // A process that closed its streams and goes on is not waited for.
    let _ = tokio::time::timeout(EXIT_CODE_WAIT, known).await;
}

pub(crate) async fn resize(call: Call) -> Answer {
    let (rows, columns) = size(&call)?;
    call.doors.node.exec_resize(&call.parameter, rows, columns).await?;
    Ok(empty(StatusCode::OK))
}

pub(crate) async fn inspect(call: Call) -> Answer {
    let exec = call.doors.node.exec_inspect(&call.parameter).await?;
    let (entrypoint, arguments) = exec
        .request
        .args
        .split_first()
        .map_or_else(Default::default, |(first, rest)| (first.clone(), rest.to_vec()));
    json(
        StatusCode::OK,
        &ExecInspect {
            id: exec.id.to_string(),
            running: exec.running,
            exit_code: exec.exit_code,
            process_config: ExecProcess {
                tty: exec.request.terminal,
                entrypoint,
                arguments,
                privileged: exec.request.privileged,
                user: exec.request.user,
            },
            open_stdin: exec.request.streams.stdin,
            open_stderr: exec.request.streams.stderr,
            open_stdout: exec.request.streams.stdout,
            can_remove: false,
            container_id: exec.container.to_string(),
            detach_keys: exec.request.detach_keys,
            pid: exec.pid,
        },
    )
}
