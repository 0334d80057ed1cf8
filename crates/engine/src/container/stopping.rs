//! The way to an end: signals, deadlines, the end itself, and what the policy makes of it.

use super::{Reply, State, Stopping, Task};
use crate::shim::End;
use crate::{signal, start};
use model::observed::Exit;
use model::{Desired, Phase};
use plan::life;
use platform::{Error, StopOptions};
use std::time::Duration;
use store::Durability;

/// Seconds between the stop signal and SIGKILL where nobody said otherwise.
const STOP_TIMEOUT_SECONDS: i64 = 10;

impl Task {
    pub(super) fn stop_signal(&self) -> i32 {
        match self.intent.spec.stop_signal.as_str() {
            "" => signal::TERM,
            // Checked when the container was made; an image's nonsense falls back to the default.
            given => signal::parse(given).unwrap_or(signal::TERM),
        }
    }

    pub(super) async fn asked_to_stop(&mut self, options: StopOptions, then_start: bool, reply: Reply<()>) {
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
    pub(super) async fn begin_stop(
        &mut self,
        options: StopOptions,
        mut waiters: Vec<Reply<()>>,
        then_start: bool,
    ) {
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
    pub(super) async fn signal(&mut self, number: i32) {
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

    pub(super) async fn kill(&mut self, name: &str, number: i32) -> Result<(), Error> {
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
    pub(super) async fn deadline(&mut self) {
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
    pub(super) async fn ended(&mut self, end: End) {
        let State::Live(mut live) = std::mem::replace(&mut self.state, State::Resting) else { return };
        self.released = live.watched.take_released();
        let End { exit, finished, is_tidy } = end;
        let endpoints = std::mem::take(&mut self.observed.endpoints);
        self.tell_networks("disconnect", &endpoints);
        start::clean_up(&self.shared, &self.intent, endpoints, is_tidy).await;
        self.observed.finished = finished.unwrap_or_else(|| self.shared.clock.now());
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
    pub(super) async fn leave(&mut self, reply: Reply<()>) {
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
    pub(super) async fn left(&mut self, waiters: Vec<Reply<()>>) {
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
    pub(super) async fn after_exit(&mut self, exit: Exit, ran: bool) {
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
}
