//! The nouns: what a person asked for, what was seen, and the ids that tie them together. Plain data.
//!
//! Who writes what: a front-end writes a [`ContainerIntent`] and never changes what the engine saw; the engine
//! writes an [`Observed`] and never changes what was asked for. Neither type knows a dialect: what a client
//! sent beyond the words below travels in [`Origin`], which nothing below a front-end reads.
//!
//! Start with [`container`]; the other modules are its words.

pub mod container;
pub mod digest;
pub mod id;
pub mod network;
pub mod observed;
pub mod ports;
pub mod subnet;
pub mod view;
pub mod volume;

pub use container::{ContainerIntent, ContainerSpec, Desired, Origin};
pub use digest::{Digest, ImageId};
pub use id::{ContainerId, DaemonId, ExecId, NetworkId};
pub use network::{Attachment, NetworkIntent, NetworkSpec};
pub use observed::{Observed, Phase};
pub use ports::{PortBinding, PortKey, Protocol, PublishedPort};
pub use subnet::Subnet;
pub use view::{Member, NetworkKey, NetworkNames, Resolver, View};
pub use volume::{VolumeIntent, VolumeSpec};
