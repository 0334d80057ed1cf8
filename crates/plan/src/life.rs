//! What a container needs next.
//!
//! [`next`] compares what is wanted with what was seen and names one step; the engine's task for that container carries
//! it out, looks again, and asks again until nothing is left to do. A request of a user, the death of a process, the start
//! of the daemon and the start of the machine all come down to this one function.

use base::Time;
use model::container::RestartPolicy;
use model::observed::Exit;
use model::{Desired, Observed, Phase};
use std::time::Duration;

/// The wait before the first restart.
pub const BACK_OFF_MIN: Duration = Duration::from_millis(100);
/// The longest wait between two restarts.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// A container that ran this long has recovered: its next wait is the shortest again.
pub const RECOVERED_AFTER: Duration = Duration::from_secs(10);

/// One step that brings what is seen closer to what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start its process.
    Start,
    /// Start its process at this time.
    StartAt(Time),
    /// Ask its process to end, and make it end.
    Stop,
}

/// What a container needs next; none if what is seen is what is wanted.
pub fn next(desired: Desired, observed: &Observed) -> Option<Step> {
    match (desired, &observed.phase) {
        (Desired::Running, Phase::Created | Phase::Exited(_)) => Some(Step::Start),
        (Desired::Running, Phase::Restarting { at, .. }) => Some(Step::StartAt(*at)),
        (Desired::Created | Desired::Stopped, Phase::Running { .. } | Phase::Paused { .. }) => {
            Some(Step::Stop)
        }
        _ => None,
    }
}

/// What is wanted, and what is seen, after a process has ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterExit {
    /// Whether it shall run again.
    pub desired: Desired,
    /// Its phase now: waiting for its restart, or at rest.
    pub phase: Phase,
    /// The count of restarts, the coming one included.
    pub restarts: u32,
    /// The count of attempts in a row that did not last, the coming one included.
    pub attempts: u32,
}

/// The end of a process, or of the attempt to start one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub exit: Exit,
    /// Whether a process ran at all.
    pub ran: bool,
    /// When.
    pub now: Time,
}

/// What the restart policy makes of an end.
pub fn after_exit(policy: RestartPolicy, desired: Desired, observed: &Observed, end: End) -> AfterExit {
    let End { exit, ran, now } = end;
    let recovered = ran && observed.started.is_set() && now.since(observed.started) >= RECOVERED_AFTER;
    let attempts = if recovered { 0 } else { observed.attempts };
    let again = desired == Desired::Running
        && match policy {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure { max_retries } => {
                exit.code != 0 && (max_retries == 0 || observed.restarts < max_retries)
            }
        };
    if again {
        AfterExit {
            desired: Desired::Running,
            phase: Phase::Restarting { exit, at: now.plus(back_off(attempts)) },
            restarts: observed.restarts.saturating_add(1),
            attempts: attempts.saturating_add(1),
        }
    } else {
        let phase = Phase::Exited(exit);
        AfterExit { desired: Desired::Stopped, phase, restarts: observed.restarts, attempts: 0 }
    }
}

/// The wait before restart number `restarts` in a row, counted from 0.
pub fn back_off(restarts: u32) -> Duration {
    BACK_OFF_MIN.saturating_mul(1u32.checked_shl(restarts.min(20)).unwrap_or(u32::MAX)).min(BACK_OFF_MAX)
}

/// What is wanted of a container once the machine has started again and nothing of it is left.
///
/// `always` starts again even what was stopped, as long as it ever ran; `unless-stopped` starts what was not stopped.
pub fn after_boot(policy: RestartPolicy, desired: Desired, observed: &Observed) -> Desired {
    let ever_ran = observed.started.is_set();
    match policy {
        RestartPolicy::Always if ever_ran || desired == Desired::Running => Desired::Running,
        RestartPolicy::UnlessStopped if desired == Desired::Running => Desired::Running,
        RestartPolicy::OnFailure { .. } if desired == Desired::Running => Desired::Running,
        _ if desired == Desired::Created && !ever_ran => Desired::Created,
        _ => Desired::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(phase: Phase) -> Observed {
        Observed { phase, started: Time::from_unix_seconds(100), ..Observed::created() }
    }

    fn end(exit: Exit, now: Time) -> End {
        End { exit, ran: true, now }
    }

    const FAILED: Exit = Exit { code: 3, oom_killed: false };

    #[test]
    fn what_is_seen_as_wanted_needs_nothing() {
        assert_eq!(next(Desired::Running, &seen(Phase::Running { pid: 1 })), None);
        assert_eq!(next(Desired::Running, &seen(Phase::Paused { pid: 1 })), None);
        assert_eq!(next(Desired::Stopped, &seen(Phase::Exited(FAILED))), None);
        assert_eq!(next(Desired::Created, &seen(Phase::Created)), None);
    }

    #[test]
    fn a_wanted_container_is_started_and_an_unwanted_one_stopped() {
        assert_eq!(next(Desired::Running, &seen(Phase::Created)), Some(Step::Start));
        assert_eq!(next(Desired::Running, &seen(Phase::Exited(FAILED))), Some(Step::Start));
        assert_eq!(next(Desired::Stopped, &seen(Phase::Running { pid: 1 })), Some(Step::Stop));
    }

    #[test]
    fn without_a_policy_an_ended_container_rests() {
        let now = Time::from_unix_seconds(101);
        let after = after_exit(
            RestartPolicy::No,
            Desired::Running,
            &seen(Phase::Running { pid: 1 }),
            end(FAILED, now),
        );
        assert_eq!((after.desired, after.phase), (Desired::Stopped, Phase::Exited(FAILED)));
    }

    #[test]
    fn on_failure_starts_again_only_after_a_failure_and_only_so_often() {
        let policy = RestartPolicy::OnFailure { max_retries: 2 };
        let now = Time::from_unix_seconds(101);
        let mut observed = seen(Phase::Running { pid: 1 });
        for _ in 0..2 {
            let after = after_exit(policy, Desired::Running, &observed, end(FAILED, now));
            assert!(matches!(after.phase, Phase::Restarting { .. }));
            observed.restarts = after.restarts;
        }
        assert!(matches!(
            after_exit(policy, Desired::Running, &observed, end(FAILED, now)).phase,
            Phase::Exited(_)
        ));
        let fine = Exit::default();
        assert!(matches!(
            after_exit(policy, Desired::Running, &seen(Phase::Running { pid: 1 }), end(fine, now)).phase,
            Phase::Exited(_)
        ));
    }

    #[test]
    fn the_wait_doubles_up_to_a_minute_and_a_recovered_container_waits_shortly_again() {
        assert_eq!(back_off(0), BACK_OFF_MIN);
        assert_eq!(back_off(3), BACK_OFF_MIN * 8);
        assert_eq!(back_off(4_000_000_000), BACK_OFF_MAX);
        let mut observed = seen(Phase::Running { pid: 1 });
        observed.attempts = 9;
        let now = observed.started.plus(RECOVERED_AFTER);
        let after = after_exit(RestartPolicy::Always, Desired::Running, &observed, end(FAILED, now));
        assert_eq!(after.phase, Phase::Restarting { exit: FAILED, at: now.plus(BACK_OFF_MIN) });
        assert_eq!(after.attempts, 1);
    }

    #[test]
    fn an_attempt_that_never_ran_has_not_recovered() {
        let mut observed = seen(Phase::Exited(FAILED));
        observed.attempts = 3;
        let now = observed.started.plus(RECOVERED_AFTER * 2);
        let failed = End { exit: FAILED, ran: false, now };
        let after = after_exit(RestartPolicy::Always, Desired::Running, &observed, failed);
        assert_eq!(after.phase, Phase::Restarting { exit: FAILED, at: now.plus(BACK_OFF_MIN * 8) });
    }

    #[test]
    fn a_container_that_was_stopped_is_not_restarted_by_its_policy() {
        let now = Time::from_unix_seconds(101);
        let after = after_exit(
            RestartPolicy::Always,
            Desired::Stopped,
            &seen(Phase::Running { pid: 1 }),
            end(FAILED, now),
        );
        assert!(matches!(after.phase, Phase::Exited(_)));
    }

    #[test]
    fn after_a_boot_always_starts_what_was_stopped_and_unless_stopped_does_not() {
        let stopped = seen(Phase::Exited(FAILED));
        assert_eq!(after_boot(RestartPolicy::Always, Desired::Stopped, &stopped), Desired::Running);
        assert_eq!(after_boot(RestartPolicy::UnlessStopped, Desired::Stopped, &stopped), Desired::Stopped);
        assert_eq!(after_boot(RestartPolicy::UnlessStopped, Desired::Running, &stopped), Desired::Running);
        assert_eq!(after_boot(RestartPolicy::No, Desired::Running, &stopped), Desired::Stopped);
        let never = Observed::created();
        assert_eq!(after_boot(RestartPolicy::Always, Desired::Created, &never), Desired::Created);
    }
}
