//! What happened on a node, as it happened.

use base::Time;
use std::collections::BTreeMap;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// The daemon itself.
    Daemon,
}

/// Who or what an event happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Its id (for an image its name).
    pub id: String,
    /// What is known of it: name, image, labels, exit code.
    pub attributes: BTreeMap<String, String>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Time,
    /// What it is about.
    pub kind: EventKind,
    /// What happened: `create`, `start`, `die`, `destroy`, `exec_start: sh`, `load`, `tag`, …
    pub action: String,
    /// To whom.
    pub actor: Actor,
}
