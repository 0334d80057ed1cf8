//! The doors of a node: what a front-end may ask for, in no dialect's words.
//!
//! [`Control`] takes intents and tells what became of them; [`Node`] works on a container that is there (its
//! output, its processes, its terminal); [`Images`] keeps images and [`Volumes`] volumes. The engine stands behind all of them today. A front-end
//! holds a [`Doors`] and knows nothing else.
//!
//! Every refusal is an [`Error`] with a kind, from which each dialect makes its own status, and a message that
//! says what was wrong in words that a user reads.

mod control;
mod error;
mod events;
mod files;
mod image;
mod network;
mod node;
mod registry;
mod system;
mod volume;

pub use control::{
    Container, ContainerUse, Control, Created, Files, MountSeen, NewContainer, RemoveOptions, Selection,
    Sizes, StopOptions, WaitFor,
};
pub use error::{Error, Kind};
pub use events::{Actor, Event, EventKind};
pub use files::{Archive, Difference, PathStat, PutOptions};
pub use image::{
    Change, CommitRequest, History, Image, ImageDetail, ImageSettings, ImageSource, Images, ImportRequest,
    LoadProgress, Loaded, Removed,
};
pub use network::{CreatedNetwork, Member, Membership, Network, Networks, Rule};
pub use node::{
    AttachRequest, ExecRequest, ExecState, LogLine, LogRequest, LogStream, NetworkFigures, Node,
    ProcessTable, Stats, Stream, Streams, TIMED_LABEL, ThrottledCpu, Timing,
};
pub use registry::{
    Compression, Credentials, Incoming, Outgoing, PublishRequest, PullProgress, PullRequest, PushProgress,
    PushRequest, RemoteManifest, RemotePart, RemotePlatform, SearchRequest, SearchResult,
};
pub use system::{DiskUsage, Measured, System, SystemInfo};
pub use volume::{CopyVolume, NewVolume, Volume, VolumeCopy, Volumes};

use std::pin::Pin;
use std::sync::Arc;

/// A future behind a door. Boxed, so that a door can be an object; one allocation beside a system call is nothing.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// All doors of one node.
#[derive(Clone)]
pub struct Doors {
    /// Intents and what became of them.
    pub control: Arc<dyn Control>,
    /// Running containers.
    pub node: Arc<dyn Node>,
    /// Images.
    pub images: Arc<dyn Images>,
    /// Networks.
    pub networks: Arc<dyn Networks>,
    /// Volumes.
    pub volumes: Arc<dyn Volumes>,
    /// The node itself.
    pub system: Arc<dyn System>,
}
