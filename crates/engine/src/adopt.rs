//! What a new daemon finds, and what it makes of it.
//!
//! The table says what was asked for and what an earlier daemon last saw; each shim's directory says what is true now.
//! Whether the machine was started in between is told by a marker in the exec root, which a boot empties:
//!
//! | marker | shim's status        | then                                                        |
//! |--------|----------------------|-------------------------------------------------------------|
//! | there  | running, it answers  | adopted: nothing happens to it                              |
//! | there  | ended                | that end is dealt with as if it had been seen               |
//! | there  | running, no answer   | its process died with its shim: an end by SIGKILL           |
//! | gone   | -                    | nothing runs; the restart policies say what starts again    |
//!
//! Whatever lies on disk or in the kernel and belongs to no container of the table is removed.

use crate::registry::Handle;
use crate::shim::{Shim, Watched};
use crate::tables::Record;
use crate::{Shared, container, start};
use base::Chain;
use model::observed::{Endpoint, Exit};
use model::{ContainerId, Phase};
use plan::life;
use platform::Error;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Says that this exec root was used since the machine started.
const MARKER: &str = "adopted";

/// How long the others wait for one container's start.
const TURN_MAX: Duration = Duration::from_secs(30);

/// The end of a process that died with its shim, or with the machine.
const KILLED: Exit = Exit { code: 137, oom_killed: false };

/// What became of a process that the table says runs.
enum Found {
    Live(Watched),
    Ended(Exit, Option<base::Time>),
}

/// Takes over everything that is there.
pub(crate) fn adopt(shared: &Arc<Shared>) -> Result<(), Error> {
    let marker = shared.roots.exec.join(MARKER);
    let booted = !marker.exists();
    let records = shared.tables.containers()?;
    sweep(shared, &records);
    let mut adopted = Vec::with_capacity(records.len());
    for record in records {
        adopted.push(look(shared, record, booted));
    }
    let live: Vec<(&model::ContainerIntent, i32, &[Endpoint])> = adopted
        .iter()
        .filter(|(_, live)| live.is_some())
        .filter_map(|(record, _)| {
            Some((&record.intent, record.observed.pid()?, record.observed.endpoints.as_slice()))
        })
        .collect();
    if let Err(error) = shared.networks.adopt(&live) {
        tracing::error!(%error, "the networks hold leftovers");
    }
    shared.networks.keep_table();
    for (record, live) in &adopted {
        let names: Vec<&str> = crate::volumes::names(&record.intent.spec).collect();
        shared.volumes.adopt(record.intent.id, &names, live.is_some());
    }
    shared.volumes.settle();
    for (record, _) in &adopted {
        // A name that stands twice in the table would be an error of ours; the older container keeps it.
        if let Err(error) = shared.registry.claim(&record.intent.name, record.intent.id) {
            tracing::error!(%error, "a name is taken twice");
        }
    }
    // From here on processes are started: the next daemon must not take them for what a boot has ended.
    fs::write(&marker, b"").map_err(|error| Error::failed(format!("write {}: {error}", marker.display())))?;
    let mut waiting = Vec::new();
    for (record, live) in adopted {
        let Record { intent, observed } = record;
        let id = intent.id;
        let starts = live.is_none() && life::next(intent.desired, &observed).is_some();
        let (open, gate) = oneshot::channel();
        let handle = container::spawn(shared, intent, observed, live, starts.then_some(gate));
        shared.registry.insert(id, handle.clone());
        if starts {
            waiting.push((open, handle));
        }
    }
    tokio::spawn(start_in_turn(waiting));
    shared.collect_images_soon();
    Ok(())
}

/// Lets containers start in the order of their creation, each once the one before has been tried: it may need what that one
/// offers.
async fn start_in_turn(waiting: Vec<(oneshot::Sender<()>, Handle)>) {
    for (open, mut handle) in waiting {
        handle.seen.mark_unchanged();
        let _ = open.send(());
        // One that hangs must not keep the others from starting.
        let _ = tokio::time::timeout(TURN_MAX, handle.seen.changed()).await;
    }
}

/// Finds out what became of one container, and brings what is known of it up to date.
///
/// A status of a start that the table does not know is news: the daemon died between the start and its record.
fn look(shared: &Arc<Shared>, mut record: Record, booted: bool) -> (Record, Option<Watched>) {
    let before = record.clone();
    let shim = Shim::new(shared.roots.shim(record.intent.id));
    let status = if booted { None } else { shim.status() };
    let observed = &mut record.observed;
    let believed_to_run = matches!(observed.phase, Phase::Running { .. } | Phase::Paused { .. });
    let mut found = believed_to_run.then_some(Found::Ended(KILLED, None));
    if let Some(status) = status
        && (believed_to_run || status.started_at != observed.started)
    {
        let pid = start::pid_number(status.pid);
        observed.phase = match observed.phase {
            Phase::Paused { pid: same } if same == pid => Phase::Paused { pid },
            _ => Phase::Running { pid },
        };
        observed.started = status.started_at;
        if let Some(endpoints) = start::read_endpoints(shared, record.intent.id) {
            observed.endpoints = endpoints;
            // It was joining a network, or leaving it, when the daemon was killed: what was asked for holds, and the link is swept.
            let attachments = shared.networks.attachments(&record.intent);
            observed.endpoints.retain(|place| {
                attachments.iter().any(|attachment| attachment.network == place.network.to_string())
            });
        }
        found = Some(find(shim, status.exit));
    }
    let mut live = None;
    match found {
        Some(Found::Live(watched)) => {
            if let Phase::Running { pid } | Phase::Paused { pid } = record.observed.phase {
                shared.users.adopt(record.intent.id, pid);
            }
            if let Phase::Running { .. } = record.observed.phase {
                go_on(shared, &record);
            }
            live = Some(watched);
        }
        Some(Found::Ended(exit, at)) => ended(shared, &mut record, exit, at),
        None => {}
    }
    if booted {
        let policy = record.intent.spec.restart;
        record.intent.desired = life::after_boot(policy, record.intent.desired, &record.observed);
        if let Phase::Restarting { exit, .. } = record.observed.phase {
            record.observed.phase = Phase::Exited(exit);
        }
    }
    if record != before {
        // Synced and at once: what is written here must neither come after what its task writes, nor be found again.
        if let Err(error) = shared.tables.put_record(&record) {
            tracing::error!(container = %record.intent.id, %error, "what was found could not be recorded");
        }
    }
    (record, live)
}

/// Lets go on what an earlier daemon kept still for a moment: nobody asked for a pause.
fn go_on(shared: &Shared, record: &Record) {
    let group = shared.group(&record.intent);
    let thawed = match group.is_frozen() {
        Ok(true) => group.freeze(false),
        other => other.map(drop),
    };
    if let Err(error) = thawed {
        tracing::warn!(container = %record.intent.id, error = %Chain(&error), "it may stand still");
    }
}

/// Whether a process that a status speaks of still runs.
fn find(shim: Shim, exit: Option<runtime::shim::wire::Exit>) -> Found {
    if let Some(exit) = exit {
        return Found::Ended(Exit { code: exit.code, oom_killed: exit.oom_killed }, Some(exit.finished_at));
    }
    let (runtime, again) = (tokio::runtime::Handle::current(), shim.clone());
    match tokio::task::block_in_place(|| runtime.block_on(Watched::adopt(shim))) {
        Ok(watched) => Found::Live(watched),
        Err(error) => match again.status().and_then(|status| status.exit) {
            // It has ended just now.
            Some(exit) => {
                Found::Ended(Exit { code: exit.code, oom_killed: exit.oom_killed }, Some(exit.finished_at))
            }
            None => {
                tracing::warn!(%error, "a process has died with its shim");
                Found::Ended(KILLED, None)
            }
        },
    }
}

/// Deals with an end that nobody saw.
fn ended(shared: &Shared, record: &mut Record, exit: Exit, at: Option<base::Time>) {
    let Record { intent, observed } = record;
    let endpoints = std::mem::take(&mut observed.endpoints);
    start::clean_up_now(shared, intent, &endpoints);
    observed.finished = at.unwrap_or_else(|| shared.clock.now());
    let after = life::after_exit(
        intent.spec.restart,
        intent.desired,
        observed,
        life::End { exit, ran: true, now: shared.clock.now() },
    );
    intent.desired = after.desired;
    observed.phase = after.phase;
    observed.restarts = after.restarts;
    observed.attempts = after.attempts;
}

/// Removes the directories that belong to no container of the table.
fn sweep(shared: &Shared, records: &[Record]) {
    let known: BTreeSet<ContainerId> = records.iter().map(|record| record.intent.id).collect();
    for root in [shared.roots.containers(), shared.roots.shims()] {
        for entry in fs::read_dir(&root).into_iter().flatten().flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<ContainerId>().ok());
            if id.is_none_or(|id| !known.contains(&id)) {
                remove_stray(shared, &entry.path(), id);
            }
        }
    }
}

fn remove_stray(shared: &Shared, path: &Path, id: Option<ContainerId>) {
    if let Some(id) = id {
        let group = shared.host.group(&Path::new(&shared.cgroup_parent).join(id.to_string()));
        if group.exists() {
            // Its processes first: nobody is responsible for them any more.
            let gone = group.kill_all().and_then(|()| group.remove());
            if let Err(error) = gone {
                tracing::warn!(%id, error = %Chain(&error), "a stray control group is left");
            }
        }
    }
    if let Err(error) = base::file::remove_all(path) {
        tracing::warn!(path = %path.display(), %error, "a stray directory is left");
    }
}
