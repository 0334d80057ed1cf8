//! The task that owns one container.
//!
//! ```text
//!             Start                     process ends, policy says again
//! Resting ------------> Live ------------------------------------------> Waiting
//!    ^                   | |  Stop: signal, then SIGKILL at the deadline     |
//!    |                   | +--- (Live with `stopping`) ---+                  |
//!    +-------------------+--------------------------------+                  |
//!    +----- Stop --------------------------------------------- time has come: Start
//! ```
//!
//! Requests of users, the end of the process and the passing of time come in through one loop; after each, the pure
//! [`plan::life::next`] says what is missing and one step is made. Nothing else changes the intent or what was
//! observed, and both are published as a [`Snapshot`] after each change. What a user asked for is synced to the table
//! before it is answered; what happened is written without a sync, as the shim's status file can say it again.

mod change;
mod networking;
mod removal;
mod stopping;

use crate::Shared;
use crate::registry::{Handle, Snapshot};
use crate::shim::{End, Released, Watched};
use crate::start;
use model::container::{Resources, RestartPolicy};
use model::observed::Exit;
use model::{Attachment, ContainerIntent, Desired, NetworkId, Observed, Origin, Phase};
use plan::life::{self, Step};
use platform::{Error, RemoveOptions, StopOptions, Streams};
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use store::Durability;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;

/// How long a start or a removal waits for the root of the process before to be free.
const RELEASE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Requests that wait in a container's mailbox.
const MAILBOX_REQUESTS_MAX: usize = 64;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What can be asked of a container.
pub(crate) enum Request {
    Start {
        reply: Reply<()>,
    },
    Stop {
        options: StopOptions,
        then_start: bool,
        reply: Reply<()>,
    },
    /// The daemon is about to end and takes its containers along.
    Leave {
        reply: Reply<()>,
    },
    Kill {
        name: String,
        signal: i32,
        reply: Reply<()>,
    },
    Pause {
        reply: Reply<()>,
    },
    Unpause {
        reply: Reply<()>,
    },
    Rename {
        name: String,
        reply: Reply<()>,
    },
    Update {
        change: Box<Change>,
        reply: Reply<Vec<String>>,
    },
    Remove {
        options: RemoveOptions,
        reply: Reply<()>,
    },
    /// Its files are about to be changed from outside: one that rests does not start until the answer is dropped.
    Hold {
        reply: Reply<oneshot::Sender<()>>,
    },
    Connect {
        attachment: Box<Attachment>,
        reply: Reply<()>,
    },
    Disconnect {
        network: NetworkId,
        reply: Reply<()>,
    },
    Attach {
        streams: Streams,
        reply: Reply<UnixStream>,
    },
    Resize {
        rows: u16,
        columns: u16,
        reply: Reply<()>,
    },
}

/// New limits and policy.
pub(crate) struct Change {
    pub(crate) resources: Resources,
    pub(crate) restart: Option<RestartPolicy>,
    pub(crate) origin: Option<Origin>,
}

/// A process that is asked to end.
struct Stopping {
    /// When it is killed; none waits for ever.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Who waits for its end.
    waiters: Vec<Reply<()>>,
    /// Whether it is started again then.
    then_start: bool,
    /// Whether it is removed then.
    then_remove: Option<RemoveOptions>,
    /// Whether the daemon is about to end: nothing is started any more, and what the policy would start stays wanted.
    leaving: bool,
}

/// A process that runs.
struct Live {
    watched: Watched,
    stopping: Option<Stopping>,
}

enum State {
    Resting,
    Live(Box<Live>),
    Waiting(Pin<Box<Sleep>>),
    Gone,
}

/// What the task is woken by.
enum Woken {
    Request(Option<Request>),
    Ended(End),
    Deadline,
}

struct Task {
    shared: Arc<Shared>,
    intent: ContainerIntent,
    observed: Observed,
    state: State,
    exits: u64,
    last_exit: i32,
    /// Of the process that ended last, until its root is free.
    released: Option<Released>,
    /// Clients that attached before the start.
    clients: Vec<(std::os::unix::net::UnixStream, Streams)>,
    publish: watch::Sender<Snapshot>,
}

/// Starts the task of a container. `live` is the process that an earlier daemon started and this one found; behind a `gate` the
/// task waits for its turn.
pub(crate) fn spawn(
    shared: &Arc<Shared>,
    intent: ContainerIntent,
    observed: Observed,
    live: Option<Watched>,
    gate: Option<oneshot::Receiver<()>>,
) -> Handle {
    let (mailbox, requests) = mpsc::channel(MAILBOX_REQUESTS_MAX);
    let last_exit = observed.exit().map_or(0, |exit| exit.code);
    let snapshot = Snapshot {
        intent: Arc::new(intent.clone()),
        observed: observed.clone(),
        exits: 0,
        last_exit,
        removed: false,
    };
    let (publish, seen) = watch::channel(snapshot);
    let state =
        live.map_or(State::Resting, |watched| State::Live(Box::new(Live { watched, stopping: None })));
    let shared = Arc::clone(shared);
    let task = Task {
        shared,
        intent,
        observed,
        state,
        exits: 0,
        last_exit,
        released: None,
        clients: Vec::new(),
        publish,
    };
    tokio::spawn(async move {
        if let Some(gate) = gate {
            // Opened in its turn; that the other side has gone opens it too.
            let _ = gate.await;
        }
        task.run(requests).await;
    });
    Handle { mailbox, seen }
}

/// Stops every container, all at once, and waits for them; their tasks end. The next daemon starts those again whose policies
/// say so.
pub(crate) async fn stop_all(shared: &Arc<Shared>) {
    let mut answers = Vec::new();
    for handle in shared.registry.handles() {
        let (reply, answer) = oneshot::channel();
        if handle.mailbox.send(Request::Leave { reply }).await.is_ok() {
            answers.push(answer);
        }
    }
    for answer in answers {
        if let Ok(Err(error)) = answer.await {
            tracing::warn!(%error, "a container could not be stopped");
        }
    }
}

impl Task {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        self.converge().await;
        // One that ended while no daemon lived.
        self.remove_if_automatic().await;
        while !matches!(self.state, State::Gone) {
            match self.wake(&mut requests).await {
                Woken::Request(Some(request)) => self.handle(request).await,
                Woken::Request(None) => return,
                Woken::Ended(end) => self.ended(end).await,
                Woken::Deadline => self.deadline().await,
            }
            self.converge().await;
        }
    }

    /// Waits for the next thing that concerns this container.
    async fn wake(&mut self, requests: &mut mpsc::Receiver<Request>) -> Woken {
        match &mut self.state {
            State::Resting | State::Gone => Woken::Request(requests.recv().await),
            State::Waiting(alarm) => tokio::select! {
                request = requests.recv() => Woken::Request(request),
                () = alarm => Woken::Deadline,
            },
            State::Live(live) => {
                let deadline = async {
                    match live.stopping.as_mut().and_then(|stopping| stopping.deadline.as_mut()) {
                        Some(alarm) => alarm.await,
                        None => pending().await,
                    }
                };
                tokio::select! {
                    end = live.watched.ended() => Woken::Ended(end),
                    request = requests.recv() => Woken::Request(request),
                    () = deadline => Woken::Deadline,
                }
            }
        }
    }

    /// Makes the step that is missing between what is wanted and what is seen, if no answer depends on it.
    async fn converge(&mut self) {
        loop {
            match (life::next(self.intent.desired, &self.observed), &self.state) {
                // It then runs, rests, or waits for its next attempt, which is the next step.
                (Some(Step::Start), State::Resting) => self.start_again().await,
                (Some(Step::StartAt(at)), State::Resting) => {
                    let wait = at.since(self.shared.clock.now());
                    self.state = State::Waiting(Box::pin(tokio::time::sleep(wait)));
                    return;
                }
                (Some(Step::Stop), State::Live(live)) if live.stopping.is_none() => {
                    self.begin_stop(StopOptions::default(), Vec::new(), false).await;
                    return;
                }
                _ => return,
            }
        }
    }

    async fn handle(&mut self, request: Request) {
        // A client that went away before its answer is none of our concern: the request is carried out all the same.
        match request {
            Request::Start { reply } => {
                let answer = self.asked_to_start().await;
                let _ = reply.send(answer);
            }
            Request::Stop { options, then_start, reply } => {
                self.asked_to_stop(options, then_start, reply).await;
            }
            Request::Leave { reply } => self.leave(reply).await,
            Request::Kill { name, signal, reply } => {
                let answer = self.kill(&name, signal).await;
                let _ = reply.send(answer);
            }
            Request::Pause { reply } => {
                let answer = self.freeze(true).await;
                let _ = reply.send(answer);
            }
            Request::Unpause { reply } => {
                let answer = self.freeze(false).await;
                let _ = reply.send(answer);
            }
            Request::Rename { name, reply } => {
                let answer = self.rename(name).await;
                let _ = reply.send(answer);
            }
            Request::Update { change, reply } => {
                let answer = self.update(*change).await;
                let _ = reply.send(answer);
            }
            Request::Remove { options, reply } => self.asked_to_remove(options, reply).await,
            Request::Hold { reply } => {
                until_released(self.released.take()).await;
                let (held, free) = oneshot::channel();
                if reply.send(Ok(held)).is_ok() && !matches!(self.state, State::Live(_)) {
                    let _ = free.await;
                }
            }
            Request::Connect { attachment, reply } => {
                let answer = self.connect(*attachment).await;
                let _ = reply.send(answer);
            }
            Request::Disconnect { network, reply } => {
                let answer = self.disconnect(network).await;
                let _ = reply.send(answer);
            }
            Request::Attach { streams, reply } => {
                let answer = self.attach(streams).await;
                let _ = reply.send(answer);
            }
            Request::Resize { rows, columns, reply } => {
                let answer = match &self.state {
                    State::Live(live) => live.watched.shim().resize(rows, columns).await,
                    _ => Err(self.not_running()),
                };
                let _ = reply.send(answer);
            }
        }
    }

    fn not_running(&self) -> Error {
        Error::conflict(format!("container {} is not running", self.intent.id))
    }

    /// Publishes what is known now.
    fn publish(&self) {
        self.publish.send_modify(|snapshot| {
            if *snapshot.intent != self.intent {
                snapshot.intent = Arc::new(self.intent.clone());
            }
            snapshot.observed.clone_from(&self.observed);
            snapshot.exits = self.exits;
            snapshot.last_exit = self.last_exit;
            snapshot.removed = matches!(self.state, State::Gone);
        });
    }

    /// Writes what is known to the table.
    async fn record(&self, durability: Durability) -> Result<(), Error> {
        self.shared.tables.put_container(&self.intent, &self.observed, durability).await
    }

    /// Writes what happened; that it could not be written is told in the log, as no user waits for it.
    async fn record_what_happened(&self) {
        if let Err(error) = self.record(Durability::Lazy).await {
            tracing::error!(container = %self.intent.id, %error, "what happened could not be recorded");
        }
    }

    fn tell(&self, action: &str) {
        self.shared.tell_container(action, &self.intent, &[]);
    }

    async fn asked_to_start(&mut self) -> Result<(), Error> {
        match (&self.state, &self.observed.phase) {
            (State::Live(_), Phase::Paused { .. }) => {
                return Err(Error::conflict("cannot start a paused container, try unpause instead"));
            }
            (State::Live(_), _) => return Err(Error::not_modified("the container runs already")),
            _ => {}
        }
        let before = (self.intent.desired, self.observed.restarts);
        self.intent.desired = Desired::Running;
        (self.observed.restarts, self.observed.attempts) = (0, 0);
        if let Err(error) = self.record(Durability::Synced).await {
            (self.intent.desired, self.observed.restarts) = before;
            return Err(error);
        }
        let started = self.start().await;
        if started.is_err() {
            // The user has the reason in hand; a policy does not repeat what failed before it ever ran.
            self.intent.desired = Desired::Stopped;
            self.publish();
            self.record_what_happened().await;
            self.remove_if_automatic().await;
        }
        started
    }

    /// Starts the process, and says what became of it.
    async fn start(&mut self) -> Result<(), Error> {
        self.state = State::Resting;
        let clients = std::mem::take(&mut self.clients);
        until_released(self.released.take()).await;
        match start::start(&self.shared, &self.intent, clients).await {
            Ok(started) => {
                self.observed.phase = Phase::Running { pid: started.pid };
                self.observed.started = started.at;
                self.observed.error.clear();
                self.observed.endpoints = started.endpoints;
                self.state = State::Live(Box::new(Live { watched: started.watched, stopping: None }));
                self.publish();
                self.tell_networks("connect", &self.observed.endpoints);
                self.tell("start");
                self.record_what_happened().await;
                Ok(())
            }
            Err(failure) => {
                self.observed.phase = Phase::Exited(Exit { code: failure.exit_code, oom_killed: false });
                self.observed.error.clone_from(&failure.error.message);
                self.observed.endpoints.clear();
                self.last_exit = failure.exit_code;
                self.publish();
                Err(failure.error)
            }
        }
    }

    /// A start for which nobody waits: its failure is recorded, and the policy says whether it is tried again.
    async fn start_again(&mut self) {
        if self.start().await.is_err() {
            let exit = self.observed.exit().unwrap_or_default();
            self.after_exit(exit, false).await;
        }
    }
}

/// Waits until nobody has a writable layer mounted any more.
async fn until_released(released: Option<Released>) {
    if let Some(released) = released {
        // Longer than that, and it is mounted a second time, or removed, all the same: nobody uses the old root.
        let _ = tokio::time::timeout(RELEASE_WAIT_MAX, released).await;
    }
}
