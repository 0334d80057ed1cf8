//! Taking part in a container's streams.

use crate::detach::DetachKeys;
use crate::hijack::{Session, hijack};
use crate::server::{Answer, Call};
use model::Phase;
use platform::{AttachRequest, Error, Streams};

pub(crate) async fn attach(call: Call) -> Answer {
    let keys = DetachKeys::parse(call.query.text("detachKeys"))?;
    let name = &call.parameter;
    let container = call.doors.control.inspect(name, false).await?;
    match container.observed.phase {
        Phase::Paused { .. } => {
            return Err(Error::conflict(format!(
                "container {name} is paused, unpause the container before attach"
            )));
        }
        Phase::Restarting { .. } => {
            return Err(Error::conflict(format!(
                "container {name} is restarting, wait until the container is running"
            )));
        }
        Phase::Created | Phase::Running { .. } | Phase::Exited(_) => {}
    }
    let spec = &container.intent.spec;
    let flag = |name: &str| call.query.flag(name);
    let streams =
        Streams { stdin: flag("stdin") && spec.open_stdin, stdout: flag("stdout"), stderr: flag("stderr") };
    let request = AttachRequest { streams, logs: flag("logs"), stream: flag("stream") };
    // Attached before the answer goes out: a start that follows is not missed.
    let stream = call.doors.node.attach(name, request).await?;
    let session = Session {
        version: call.version,
        terminal: spec.terminal,
        input: streams.stdin,
        keys,
        open: Box::pin(std::future::ready(Ok(stream))),
        ended: Box::pin(std::future::ready(())),
    };
    hijack(&call.headers, call.upgrade, session).await
}
