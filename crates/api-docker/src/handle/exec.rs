//! Processes added to a container.

use super::container::size;
use crate::detach::DetachKeys;
use crate::hijack::{Session, hijack};
use crate::server::{Answer, Call, empty, json};
use crate::to_model;
use crate::wire::exec::ExecProcess;
use crate::wire::{ExecCreateRequest, ExecInspect, ExecStartRequest, IdAnswer};
use hyper::StatusCode;
use platform::{Error, ExecRequest, Kind, Stream, Streams};
use tokio::io::{AsyncWriteExt, DuplexStream};

/// The first version in which a terminal's first size is said with the request.
const CONSOLE_SIZE_SINCE: u32 = 42;

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

pub(crate) async fn start(mut call: Call) -> Answer {
    let request: ExecStartRequest = call.json().await?.unwrap_or_default();
    let id = &call.parameter;
    let exec = call.doors.node.exec_inspect(id).await?.request;
    let given = request.console_size.filter(|_| exec.terminal && call.version >= CONSOLE_SIZE_SINCE);
    let size = given.filter(|size| *size != (0, 0)).map(to_model::size);
    let session = Session {
        version: call.version,
        terminal: exec.terminal,
        input: exec.streams.stdin && !request.detach,
        keys: DetachKeys::parse(&exec.detach_keys)?,
    };
    match call.doors.node.exec_start(id, !request.detach, size).await {
        Ok(Some(stream)) => hijack(&call.headers, call.upgrade, session, stream),
        Ok(None) => Ok(empty(StatusCode::OK)),
        // Clients learn from the stream why a program could not be run, and from inspection its exit code.
        Err(error) if !request.detach && matches!(error.kind, Kind::Invalid | Kind::Failed) => {
            let stream = told(&error, exec.terminal).await?;
            hijack(&call.headers, call.upgrade, session, stream)
        }
        Err(error) => Err(error),
    }
}

/// A stream that says why there is none.
async fn told(error: &Error, terminal: bool) -> Result<Box<dyn Stream>, Error> {
    let text = format!("{}\r\n", error.message);
    let header = [1, 0, 0, 0, 0, 0, 0, 0];
    let (mut ours, theirs): (DuplexStream, DuplexStream) = tokio::io::duplex(header.len() + text.len());
    let failed = |error: std::io::Error| Error::failed(format!("tell why a program was not run: {error}"));
    if !terminal {
        let mut header = header;
        header[4..].copy_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        ours.write_all(&header).await.map_err(failed)?;
    }
    ours.write_all(text.as_bytes()).await.map_err(failed)?;
    drop(ours);
    Ok(Box::new(theirs))
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
