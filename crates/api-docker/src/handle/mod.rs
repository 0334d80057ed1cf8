//! What answers each operation: reads its parameters, knocks at a door, writes the answer. One file a topic.

pub(crate) mod attach;
pub(crate) mod container;
pub(crate) mod disk;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod files;
pub(crate) mod image;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod network;
pub(crate) mod pattern;
pub(crate) mod progress;
pub(crate) mod registry;
pub(crate) mod stats;
pub(crate) mod system;
pub(crate) mod volume;
