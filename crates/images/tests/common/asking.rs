//! How the small registry is asked, and who listens.

use images::Reference;
use images::registry::{
    Credentials, Doing, Listener, Patience, PullRequest, PullStep, PushRequest, PushStep, Registries,
    Settings,
};
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;

/// Registries that are asked without much patience.
pub fn registries() -> Registries {
    Registries::new(settings())
}

pub fn settings() -> Settings {
    let patience = Patience { first_pause: Duration::from_millis(1), ..Patience::default() };
    Settings { user_agent: "test".to_owned(), patience, ..Settings::default() }
}

/// Remembers what was told; it can go away.
pub struct Ear<Step> {
    pub steps: Mutex<Vec<Step>>,
    pub leave: Notify,
}

impl<Step> Default for Ear<Step> {
    fn default() -> Ear<Step> {
        Ear { steps: Mutex::new(Vec::new()), leave: Notify::new() }
    }
}

impl<Step: Send> Listener<Step> for Ear<Step> {
    fn tell(&self, step: Step) -> Doing<'_> {
        self.steps.lock().unwrap().push(step);
        Box::pin(async {})
    }
    fn gone(&self) -> Doing<'_> {
        Box::pin(async { self.leave.notified().await })
    }
}

pub fn pull_of(reference: Reference) -> PullRequest {
    PullRequest { reference, platform: None, credentials: Credentials::default() }
}

pub fn push_of(reference: Reference) -> PushRequest {
    PushRequest { reference, credentials: Credentials::default(), compression: None }
}

pub type PullEar = Ear<PullStep>;
pub type PushEar = Ear<PushStep>;
