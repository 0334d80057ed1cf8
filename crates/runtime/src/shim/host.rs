//! What a shim does for a child that the child cannot do itself: mappings and limits that only the host may set, hooks
//! outside, terminals and listeners that are passed on.

use super::launch::{Inherited, failure};
use super::wire::Failure;
use super::{Order, Task};
use crate::isolate::{self, talk};
use crate::setup::{Hooks, UserNamespace};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Pid;
use serde_json::{Value, json};

/// The name under which a terminal is sent to a console socket.
const CONSOLE_NAME: &[u8] = b"/dev/ptmx";

/// Mappings of a new user namespace, and limits that its root could not raise.
pub(super) fn give_privileges(order: &Order, child: Pid) -> Result<(), Failure> {
    let Task::Run(setup) = &order.task else { return Ok(()) };
    let at = |problem: isolate::Problem| problem.at("take the user namespace");
    if let UserNamespace::New { users, groups } = &setup.namespaces.user {
        isolate::write_maps(child, users, groups).map_err(at)?;
    }
    if let Some(score) = setup.process.oom_score_adj {
        let path = format!("/proc/{}/oom_score_adj", child.as_raw_nonzero());
        std::fs::write(&path, score.to_string())
            .map_err(|error| failure("out-of-memory score", format!("write {score} to {path}: {error}")))?;
    }
    isolate::limit_resources(Some(child), &setup.process).map_err(at)
}

/// The hooks that run in the runtime's own namespaces.
pub(super) fn run_hooks(order: &Order, child: Pid) -> Result<(), Failure> {
    let Task::Run(setup) = &order.task else { return Ok(()) };
    let Hooks { create_runtime, state, env, .. } = &setup.hooks;
    let pid = child.as_raw_nonzero().get().unsigned_abs();
    isolate::run_hooks(create_runtime, "createRuntime", (state, "creating"), pid, env)
        .map_err(|problem| problem.at("hooks outside"))
}

/// Passes a terminal's other end to whoever holds the console socket.
pub(super) fn pass_console(
    order: &Order,
    inherited: &Inherited,
    terminal: BorrowedFd<'_>,
) -> Result<(), Failure> {
    let number = order.task.handover().and_then(|handover| handover.console);
    let socket = number.and_then(|number| inherited.get(&number));
    let Some(socket) = socket else {
        return Err(failure("terminal", "a terminal needs a console socket, and there is none"));
    };
    talk::send_descriptor(socket.as_fd(), CONSOLE_NAME, terminal)
        .map_err(|error| failure("terminal", format!("send it to the console socket: {error}")))
}

/// Passes a filter's listener to the agent that was named, with the container's state: the `ContainerProcessState` of the
/// runtime specification.
pub(super) fn pass_listener(order: &Order, descriptor: &OwnedFd, pid: u32) -> Result<(), Failure> {
    let Some(agent) = &order.listener else {
        return Err(failure("system call filter", "it leaves calls to somebody, and nobody is named"));
    };
    let failed = |error: rustix::io::Errno| {
        failure("system call filter", format!("send the listener to {}: {error}", agent.path.display()))
    };
    let state = order.task.handover().map(|handover| handover.state.as_str()).unwrap_or_default();
    let mut state: Value = serde_json::from_str(state).unwrap_or_else(|_| json!({ "id": order.task.id() }));
    state["pid"] = pid.into();
    state["status"] = if order.task.setup().is_some() { "creating" } else { "running" }.into();
    let told = json!({
        "ociVersion": state["ociVersion"],
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": agent.metadata,
        "state": state,
    });
    let address = SocketAddrUnix::new(&agent.path).map_err(failed)?;
    let connection =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(failed)?;
    rustix::net::connect(&connection, &address).map_err(failed)?;
    talk::send_descriptor(connection.as_fd(), told.to_string().as_bytes(), descriptor.as_fd()).map_err(failed)
}
