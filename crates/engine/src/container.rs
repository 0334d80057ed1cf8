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

use crate::Shared;
use crate::registry::{Handle, Snapshot};
use crate::shim::Watched;
use crate::{signal, start};
use model::container::{Resources, RestartPolicy};
use model::observed::Exit;
use model::{ContainerIntent, Desired, Observed, Origin, Phase};
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

/// Requests that wait in a container's mailbox.
const MAILBOX_REQUESTS_MAX: usize = 64;
/// Seconds between the stop signal and SIGKILL where nobody said otherwise.
const STOP_TIMEOUT_SECONDS: i64 = 10;
/// Clients that may wait for a container that does not run.
const WAITING_CLIENTS_MAX: usize = 64;

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
    Ended(Exit),
    Deadline,
}

struct Task {
    shared: Arc<Shared>,
    intent: ContainerIntent,
    observed: Observed,
    state: State,
    exits: u64,
    last_exit: i32,
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
    let task = Task { shared, intent, observed, state, exits: 0, last_exit, clients: Vec::new(), publish };
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
                Woken::Ended(exit) => self.ended(exit).await,
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
                    exit = live.watched.ended() => Woken::Ended(exit),
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

    // Starting.

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
        match start::start(&self.shared, &self.intent, clients).await {
            Ok(started) => {
                self.observed.phase = Phase::Running { pid: started.pid };
                self.observed.started = started.at;
                self.observed.error.clear();
                self.observed.network = started.endpoint;
                self.state = State::Live(Box::new(Live { watched: started.watched, stopping: None }));
                self.publish();
                self.tell("start");
                self.record_what_happened().await;
                Ok(())
            }
            Err(failure) => {
                self.observed.phase = Phase::Exited(Exit { code: failure.exit_code, oom_killed: false });
                self.observed.error.clone_from(&failure.error.message);
                self.observed.network = None;
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

    // Stopping.

    fn stop_signal(&self) -> i32 {
        match self.intent.spec.stop_signal.as_str() {
            "" => signal::TERM,
            // Checked when the container was made; an image's nonsense falls back to the default.
            given => signal::parse(given).unwrap_or(signal::TERM),
        }
    }

    async fn asked_to_stop(&mut self, options: StopOptions, then_start: bool, reply: Reply<()>) {
        let live = matches!(self.state, State::Live(_));
        if !live && then_start {
            let answer = self.asked_to_start().await;
            let _ = reply.send(answer);
            return;
        }
        if let Some(Err(error)) = options.signal.as_deref().map(signal::parse) {
            let _ = reply.send(Err(error));
            return;
        }
        let wanted = if then_start { Desired::Running } else { Desired::Stopped };
        let before = std::mem::replace(&mut self.intent.desired, wanted);
        if before != wanted
            && let Err(error) = self.record(Durability::Synced).await
        {
            self.intent.desired = before;
            let _ = reply.send(Err(error));
            return;
        }
        if live {
            self.begin_stop(options, vec![reply], then_start).await;
        } else {
            if let Phase::Restarting { exit, .. } = self.observed.phase {
                self.observed.phase = Phase::Exited(exit);
                self.state = State::Resting;
                self.record_what_happened().await;
                self.publish();
                let _ = reply.send(Ok(()));
            } else {
                let _ = reply.send(Err(Error::not_modified("the container does not run")));
            }
            self.remove_if_automatic().await;
        }
    }

    /// Sends the stop signal and sets the alarm for SIGKILL. Whoever asks while it lasts waits along.
    async fn begin_stop(&mut self, options: StopOptions, mut waiters: Vec<Reply<()>>, then_start: bool) {
        let timeout =
            options.timeout_seconds.or(self.intent.spec.stop_timeout_seconds).unwrap_or(STOP_TIMEOUT_SECONDS);
        let own_signal = self.stop_signal();
        let number =
            options.signal.as_deref().map_or(own_signal, |text| signal::parse(text).unwrap_or(own_signal));
        let State::Live(live) = &mut self.state else { return };
        let mut deadline =
            u64::try_from(timeout).ok().map(|s| Box::pin(tokio::time::sleep(Duration::from_secs(s))));
        let (mut then_remove, mut leaving) = (None, false);
        if let Some(earlier) = live.stopping.take() {
            waiters.extend(earlier.waiters);
            (then_remove, leaving) = (earlier.then_remove, earlier.leaving);
            // Who asks again does not put off what was asked before.
            deadline = match (deadline, earlier.deadline) {
                (Some(new), Some(old)) if old.deadline() < new.deadline() => Some(old),
                (new, _) => new,
            };
        }
        let then_start = then_start && then_remove.is_none();
        live.stopping = Some(Stopping { deadline, waiters, then_start, then_remove, leaving });
        self.signal(number).await;
    }

    /// Sends a signal to the process. A frozen one is let go on, or it would never see it.
    async fn signal(&mut self, number: i32) {
        let State::Live(live) = &self.state else { return };
        if let Err(error) = live.watched.shim().signal(number).await {
            // Most likely it has just ended, which the loop is about to hear.
            tracing::debug!(container = %self.intent.id, %error, "signal not delivered");
            if number == signal::KILL {
                // Or its shim hangs: then the kernel is asked without it.
                self.shared.kill_group(&self.intent).await;
            }
        }
        if let Phase::Paused { pid } = self.observed.phase
            && self.shared.freeze(&self.intent, false).await.is_ok()
        {
            self.observed.phase = Phase::Running { pid };
            self.publish();
        }
    }

    async fn kill(&mut self, name: &str, number: i32) -> Result<(), Error> {
        if !matches!(self.state, State::Live(_)) {
            return Err(Error::conflict(format!(
                "cannot kill container: {name}: container {} is not running",
                self.intent.id
            )));
        }
        if number == signal::KILL || number == self.stop_signal() {
            // Somebody ends it on purpose: its policy does not bring it back. A signal that it may survive says nothing about
            // what is wanted until it has ended of it.
            if number == signal::KILL {
                self.intent.desired = Desired::Stopped;
                self.record(Durability::Synced).await?;
            }
            if let State::Live(live) = &mut self.state
                && live.stopping.is_none()
            {
                let (waiters, then_remove) = (Vec::new(), None);
                live.stopping = Some(Stopping {
                    deadline: None,
                    waiters,
                    then_start: false,
                    then_remove,
                    leaving: false,
                });
            }
        }
        self.shared.tell_container("kill", &self.intent, &[("signal", number.to_string())]);
        if number == signal::KILL {
            self.signal(number).await;
            return Ok(());
        }
        let State::Live(live) = &self.state else { return Ok(()) };
        live.watched.shim().signal(number).await
    }

    /// A deadline has passed: of a stop, or of the wait before a restart.
    async fn deadline(&mut self) {
        match &mut self.state {
            State::Live(live) => {
                if let Some(stopping) = &mut live.stopping {
                    stopping.deadline = None;
                }
                self.signal(signal::KILL).await;
            }
            State::Waiting(_) => self.start_again().await,
            State::Resting | State::Gone => {}
        }
    }

    /// The process has ended.
    async fn ended(&mut self, exit: Exit) {
        let State::Live(live) = std::mem::replace(&mut self.state, State::Resting) else { return };
        start::clean_up(&self.shared, &self.intent, self.observed.network.take()).await;
        self.observed.finished = live.watched.finished_at().unwrap_or_else(|| self.shared.clock.now());
        self.exits += 1;
        self.last_exit = exit.code;
        let mut attributes = vec![("exitCode", exit.code.to_string())];
        let lived = self.observed.finished.since(self.observed.started);
        attributes.push(("execDuration", lived.as_secs().to_string()));
        if exit.oom_killed {
            self.tell("oom");
        }
        self.shared.tell_container("die", &self.intent, &attributes);
        let Some(stopping) = live.stopping else { return self.after_exit(exit, true).await };
        self.observed.phase = Phase::Exited(exit);
        self.tell("stop");
        if stopping.leaving {
            return self.left(stopping.waiters).await;
        }
        let mut answer = Ok(());
        if stopping.then_start && self.intent.desired == Desired::Running {
            self.publish();
            answer = self.start().await;
            match answer {
                Ok(()) => self.tell("restart"),
                Err(_) => self.intent.desired = Desired::Stopped,
            }
        } else {
            self.intent.desired = Desired::Stopped;
        }
        self.publish();
        self.record_what_happened().await;
        if let Some(options) = stopping.then_remove {
            answer = self.remove(options).await;
        } else {
            self.remove_if_automatic().await;
        }
        for waiter in stopping.waiters {
            let _ = waiter.send(answer.clone());
        }
    }

    /// Ends the process, and then this task, as the daemon is about to end.
    async fn leave(&mut self, reply: Reply<()>) {
        if !matches!(self.state, State::Live(_)) {
            return self.left(vec![reply]).await;
        }
        self.begin_stop(StopOptions::default(), vec![reply], false).await;
        if let State::Live(live) = &mut self.state
            && let Some(stopping) = &mut live.stopping
        {
            stopping.leaving = true;
        }
    }

    /// Records what the next daemon shall do, as after a start of the machine.
    async fn left(&mut self, waiters: Vec<Reply<()>>) {
        if let Phase::Restarting { exit, .. } = self.observed.phase {
            self.observed.phase = Phase::Exited(exit);
        }
        self.intent.desired = life::after_boot(self.intent.spec.restart, self.intent.desired, &self.observed);
        let recorded = self.record(Durability::Synced).await;
        self.publish();
        self.state = State::Gone;
        for waiter in waiters {
            let _ = waiter.send(recorded.clone());
        }
    }

    /// Lets the restart policy decide after an end that nobody asked for.
    async fn after_exit(&mut self, exit: Exit, ran: bool) {
        let now = self.shared.clock.now();
        let after = life::after_exit(
            self.intent.spec.restart,
            self.intent.desired,
            &self.observed,
            life::End { exit, ran, now },
        );
        self.intent.desired = after.desired;
        self.observed.phase = after.phase;
        self.observed.restarts = after.restarts;
        self.observed.attempts = after.attempts;
        self.state = State::Resting;
        self.publish();
        self.record_what_happened().await;
        self.remove_if_automatic().await;
    }

    // Everything else.

    async fn freeze(&mut self, on: bool) -> Result<(), Error> {
        let id = self.intent.id;
        self.observed.phase = match (&self.observed.phase, on) {
            (Phase::Running { pid }, true) | (Phase::Paused { pid }, false) => {
                let pid = *pid;
                self.shared.freeze(&self.intent, on).await?;
                if on { Phase::Paused { pid } } else { Phase::Running { pid } }
            }
            (Phase::Paused { .. }, true) => {
                return Err(Error::conflict(format!("container {id} is already paused")));
            }
            (Phase::Running { .. }, false) => {
                return Err(Error::conflict(format!("container {id} is not paused")));
            }
            _ => return Err(self.not_running()),
        };
        self.publish();
        self.tell(if on { "pause" } else { "unpause" });
        self.record_what_happened().await;
        Ok(())
    }

    async fn rename(&mut self, name: String) -> Result<(), Error> {
        self.shared.registry.claim(&name, self.intent.id)?;
        let old = std::mem::replace(&mut self.intent.name, name);
        if let Err(error) = self.record(Durability::Synced).await {
            let new = std::mem::replace(&mut self.intent.name, old);
            self.shared.registry.release(&new, self.intent.id);
            return Err(error);
        }
        self.shared.registry.release(&old, self.intent.id);
        self.publish();
        self.shared.tell_container("rename", &self.intent, &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    async fn update(&mut self, change: Change) -> Result<Vec<String>, Error> {
        let before = self.intent.clone();
        crate::update::apply(&mut self.intent.spec, &change);
        let warnings = match crate::create::checked_resources(&self.shared, &self.intent.spec.resources) {
            Ok(warnings) => warnings,
            Err(error) => {
                self.intent = before;
                return Err(error);
            }
        };
        let changed = async {
            if matches!(self.state, State::Live(_)) {
                self.shared.set_limits(&self.intent).await?;
            }
            self.record(Durability::Synced).await
        };
        if let Err(error) = changed.await {
            self.intent = before;
            return Err(error);
        }
        self.publish();
        self.tell("update");
        Ok(warnings)
    }

    /// Joins a client to the process; of one that does not run yet, as soon as it does.
    async fn attach(&mut self, streams: Streams) -> Result<UnixStream, Error> {
        self.tell("attach");
        if let State::Live(live) = &self.state {
            return live.watched.shim().attach(streams).await;
        }
        if self.clients.len() == WAITING_CLIENTS_MAX {
            return Err(Error::conflict(format!(
                "{WAITING_CLIENTS_MAX} clients are waiting for container {} to start: no more are taken",
                self.intent.id
            )));
        }
        let failed =
            |error: std::io::Error| Error::failed(format!("make a stream for an attached client: {error}"));
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let ours = UnixStream::from_std(ours).map_err(failed)?;
        self.clients.push((theirs, streams));
        Ok(ours)
    }

    // Removing.

    async fn asked_to_remove(&mut self, options: RemoveOptions, reply: Reply<()>) {
        let paused = matches!(self.observed.phase, Phase::Paused { .. });
        if let State::Live(live) = &mut self.state {
            if !options.force {
                let name = &self.intent.name;
                let _ = reply.send(Err(Error::conflict(if paused {
                    format!("cannot remove container \"/{name}\": container is paused and must be unpaused first")
                } else {
                    format!(
                        "cannot remove container \"/{name}\": container is running: stop the container before removing or \
                         force remove"
                    )
                })));
                return;
            }
            let mut waiters = live.stopping.take().map(|earlier| earlier.waiters).unwrap_or_default();
            waiters.push(reply);
            let then_remove = Some(options);
            live.stopping =
                Some(Stopping { deadline: None, waiters, then_start: false, then_remove, leaving: false });
            self.signal(signal::KILL).await;
            return;
        }
        if !options.force && matches!(self.state, State::Waiting(_)) {
            let _ = reply.send(Err(Error::conflict(format!(
                "cannot remove container \"/{}\": container is restarting: stop the container before removing or force remove",
                self.intent.name
            ))));
            return;
        }
        let answer = self.remove(options).await;
        let _ = reply.send(answer);
    }

    async fn remove_if_automatic(&mut self) {
        let rests = matches!(self.state, State::Resting) && self.intent.desired == Desired::Stopped;
        if self.intent.spec.auto_remove && rests {
            let options = RemoveOptions { force: false, volumes: true };
            if let Err(error) = self.remove(options).await {
                tracing::error!(container = %self.intent.id, %error, "automatic removal failed");
            }
        }
    }

    /// Removes everything that was made for a container that does not run. The table comes first: once it is out of
    /// there it is gone, and what a crash leaves of its files is swept by the next start of the daemon.
    async fn remove(&mut self, options: RemoveOptions) -> Result<(), Error> {
        if options.volumes {
            // Before the entry: without it nobody would know whose they were.
            self.shared.remove_volumes(&self.intent).await?;
        }
        self.shared.tables.remove_container(self.intent.id).await?;
        self.clients.clear();
        self.shared.registry.forget(self.intent.id);
        let swept = self.shared.remove_files(&self.intent).await;
        if let Err(error) = swept {
            tracing::error!(container = %self.intent.id, %error, "files of a removed container are left");
        }
        self.tell("destroy");
        self.shared.collect_images_soon();
        self.state = State::Gone;
        self.publish();
        Ok(())
    }
}
