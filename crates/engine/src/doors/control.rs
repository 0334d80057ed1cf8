//! The Control door.

use super::{Door, blocking, to_the_end};
use crate::container::{Change, Reply, Request};
use crate::registry::{Handle, Snapshot};
use crate::{create, signal, view};
use model::container::{Resources, RestartPolicy};
use model::{ContainerId, Origin, Phase};
use platform::{
    Answer, Container, Control, Created, Error, Event, NewContainer, RemoveOptions, Selection, StopOptions,
    WaitFor,
};
use std::collections::BTreeMap;
use tokio::sync::{broadcast, oneshot};

/// Asks a container's task for something and waits for its answer.
pub(crate) async fn ask<T>(handle: &Handle, make: impl FnOnce(Reply<T>) -> Request) -> Result<T, Error> {
    let gone = || Error::not_found("No such container: it was removed in the meantime");
    let (reply, answer) = oneshot::channel();
    handle.mailbox.send(make(reply)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

fn is_live(phase: &Phase) -> bool {
    matches!(phase, Phase::Running { .. } | Phase::Paused { .. } | Phase::Restarting { .. })
}

/// The exit code that a waiter is told, once its condition holds.
fn met(until: WaitFor, before: u64, snapshot: &Snapshot) -> Option<i64> {
    let code = Some(i64::from(snapshot.last_exit));
    match until {
        _ if snapshot.removed => code,
        WaitFor::NotRunning if !is_live(&snapshot.observed.phase) => code,
        // It did not run for a moment, even if its policy has brought it back since.
        WaitFor::NextExit | WaitFor::NotRunning if snapshot.exits > before => code,
        _ => None,
    }
}

impl Control for Door {
    fn create(&self, new: NewContainer) -> Answer<'_, Created> {
        let shared = self.0.clone();
        Box::pin(to_the_end(async move { create::create(&shared, new).await }))
    }

    fn resolve(&self, name: &str) -> Result<ContainerId, Error> {
        self.0.registry.find(name).map(|(id, _)| id)
    }

    fn inspect<'a>(&'a self, name: &'a str, sizes: bool) -> Answer<'a, Container> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            let (shared, snapshot) = (self.0.clone(), handle.snapshot());
            blocking(move || {
                let lower = view::lower(&shared, &snapshot.intent.image);
                Ok(view::container(&shared, &snapshot, lower, sizes))
            })
            .await
        })
    }

    fn list(&self, selection: Selection) -> Answer<'_, Vec<Container>> {
        Box::pin(async move {
            let shared = self.0.clone();
            blocking(move || {
                let wanted = |snapshot: &Snapshot| selection.all || is_live(&snapshot.observed.phase);
                let all = shared.registry.all().into_iter().filter(wanted);
                // Many containers have few images.
                let mut layers = BTreeMap::new();
                let seen = all.map(|snapshot| {
                    let image = snapshot.intent.image;
                    let lower = layers.entry(image).or_insert_with(|| view::lower(&shared, &image)).clone();
                    view::container(&shared, &snapshot, lower, selection.sizes)
                });
                Ok(seen.collect())
            })
            .await
        })
    }

    fn start<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            ask(&handle, |reply| Request::Start { reply }).await
        })
    }

    fn stop<'a>(&'a self, name: &'a str, options: StopOptions) -> Answer<'a, ()> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            ask(&handle, |reply| Request::Stop { options, then_start: false, reply }).await
        })
    }

    fn restart<'a>(&'a self, name: &'a str, options: StopOptions) -> Answer<'a, ()> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            ask(&handle, |reply| Request::Stop { options, then_start: true, reply }).await
        })
    }

    fn kill<'a>(&'a self, name: &'a str, text: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let number = if text.is_empty() { signal::KILL } else { signal::parse(text)? };
            let (_, handle) = self.0.registry.find(name)?;
            let name = name.to_owned();
            ask(&handle, |reply| Request::Kill { name, signal: number, reply }).await
        })
    }

    fn pause<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            ask(&handle, |reply| Request::Pause { reply }).await
        })
    }

    fn unpause<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            ask(&handle, |reply| Request::Unpause { reply }).await
        })
    }

    fn rename<'a>(&'a self, name: &'a str, new: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            let name = create::checked_name(new)?;
            if handle.snapshot().intent.name == name {
                return Err(Error::invalid("Renaming a container with the same name as its current name"));
            }
            ask(&handle, |reply| Request::Rename { name, reply }).await
        })
    }

    fn update<'a>(
        &'a self,
        name: &'a str,
        resources: Resources,
        restart: Option<RestartPolicy>,
        origin: Option<Origin>,
    ) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            let change = Box::new(Change { resources, restart, origin });
            ask(&handle, |reply| Request::Update { change, reply }).await
        })
    }

    fn remove<'a>(&'a self, name: &'a str, options: RemoveOptions) -> Answer<'a, ()> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            ask(&handle, |reply| Request::Remove { options, reply }).await
        })
    }

    fn wait<'a>(&'a self, name: &'a str, until: WaitFor) -> Answer<'a, Answer<'static, i64>> {
        Box::pin(async move {
            let (_, handle) = self.0.registry.find(name)?;
            let mut seen = handle.seen;
            let before = seen.borrow().exits;
            let end: Answer<'static, i64> = Box::pin(async move {
                loop {
                    if let Some(code) = met(until, before, &seen.borrow_and_update()) {
                        return Ok(code);
                    }
                    if seen.changed().await.is_err() {
                        // The task has gone: what it published last is the last word.
                        return Ok(i64::from(seen.borrow().last_exit));
                    }
                }
            });
            Ok(end)
        })
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.listen()
    }

    fn past_events(&self, since: base::Time, until: base::Time) -> Vec<Event> {
        self.0.events.between(since, until)
    }
}
