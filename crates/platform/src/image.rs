//! The Images door.

use crate::{
    Answer, Credentials, PublishRequest, PullProgress, PullRequest, PushProgress, PushRequest,
    RemoteManifest, SearchRequest, SearchResult,
};
use base::Time;
use model::ImageId;
use model::PortKey;
use std::collections::{BTreeMap, BTreeSet};
use tokio::io::AsyncRead;

/// Bytes that a client sends: an archive.
pub type ImageSource = Box<dyn AsyncRead + Send + Unpin>;

/// One line of `images`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its names with tags, as people write them (`nginx:latest`).
    pub tags: Vec<String>,
    /// Its names with digests.
    pub digests: Vec<String>,
    /// When it was built.
    pub created: Time,
    /// Bytes of its unpacked layers.
    pub size: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many containers are made from it.
    pub containers: u64,
}

/// Everything about one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageDetail {
    /// The line of `images`.
    pub image: Image,
    /// The parent, where it was built here.
    pub parent: String,
    /// The author's comment.
    pub comment: String,
    /// The author.
    pub author: String,
    /// The processor it is for, in Go's words.
    pub architecture: String,
    /// Its variant.
    pub variant: String,
    /// The operating system.
    pub os: String,
    /// The layers, the bottom one first.
    pub layers: Vec<String>,
    /// The default environment.
    pub env: Vec<String>,
    /// The default command.
    pub command: Option<Vec<String>>,
    /// The entry point.
    pub entrypoint: Option<Vec<String>>,
    /// The user.
    pub user: String,
    /// The working directory.
    pub working_dir: String,
    /// Ports it listens on.
    pub exposed: BTreeSet<PortKey>,
    /// Paths that want a volume.
    pub volumes: BTreeSet<String>,
    /// The signal that asks it to end.
    pub stop_signal: String,
    /// Triggers for builds on top of it.
    pub on_build: Vec<String>,
    /// The shell of its Dockerfile.
    pub shell: Option<Vec<String>>,
    /// The health check as the image states it, in the image specification's JSON.
    pub healthcheck: Option<String>,
    /// When it was last tagged.
    pub last_tagged: Time,
    /// Its writable-layer paths on this host, for `GraphDriver`: the layers' directories, the top one first.
    pub directories: Vec<String>,
}

/// One step of how an image came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The image, where this step has a name here; `<missing>` otherwise.
    pub id: String,
    /// When.
    pub created: Time,
    /// What was run.
    pub created_by: String,
    /// Names of that image.
    pub tags: Vec<String>,
    /// Bytes it added.
    pub size: u64,
    /// The author's comment.
    pub comment: String,
}

/// How far a load is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadProgress {
    /// Bytes of a layer that are unpacked.
    Layer {
        /// The layer, by the first digits of its id.
        id: String,
        /// Bytes so far.
        current: u64,
        /// Bytes in all, 0 where that is not known.
        total: u64,
    },
    /// An image is complete.
    Done(Loaded),
}

/// An image that came out of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its id.
    pub id: ImageId,
    /// The names it got, familiar form; none leaves it without a name.
    pub names: Vec<String>,
}

/// One instruction of `import --change` in a Dockerfile's words.
pub type Change = String;

/// A root file system that becomes an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportRequest {
    /// The name it gets.
    pub reference: Option<String>,
    /// The comment it gets.
    pub message: String,
    /// Changes to its configuration.
    pub changes: Vec<Change>,
    /// `os/arch[/variant]`; the machine's own where empty.
    pub platform: String,
}

/// What an image is to say about its containers, where that is not what the container says itself. What is empty says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageSettings {
    /// `NAME=value`, over the container's.
    pub env: Vec<String>,
    /// The command.
    pub command: Option<Vec<String>>,
    /// The entry point; the container's command goes with the container's.
    pub entrypoint: Option<Vec<String>>,
    /// The user.
    pub user: String,
    /// The working directory.
    pub working_dir: String,
    /// Labels, over the container's.
    pub labels: BTreeMap<String, String>,
    /// Ports, beside the container's.
    pub exposed: BTreeSet<PortKey>,
    /// Paths that want a volume, beside the container's.
    pub volumes: BTreeSet<String>,
    /// The signal that asks it to end.
    pub stop_signal: String,
    /// Triggers for builds on top of it.
    pub on_build: Vec<String>,
    /// The health check in the image specification's JSON.
    pub healthcheck: Option<String>,
    /// The shell of its Dockerfile.
    pub shell: Option<Vec<String>>,
}

/// What becomes of a container's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitRequest {
    /// The name that the image gets.
    pub reference: Option<String>,
    /// The comment it gets.
    pub message: String,
    /// Who makes it.
    pub author: String,
    /// Whether the container's processes stand still meanwhile.
    pub pause: bool,
    /// What it says otherwise than the container.
    pub settings: ImageSettings,
    /// Changes to its configuration, last of all.
    pub changes: Vec<Change>,
}

/// What a removal did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(String),
    /// An image or a layer is gone.
    Deleted(String),
}

/// Images of the node.
pub trait Images: Send + Sync {
    /// All images, the newest first.
    fn images(&self) -> Answer<'_, Vec<Image>>;

    /// One image, by name, digest or prefix of an id. `No such image: x:latest` otherwise.
    fn image<'a>(&'a self, name: &'a str) -> Answer<'a, ImageDetail>;

    /// How it came to be, the last step first.
    fn history<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<History>>;

    /// Takes an archive in; progress is told on the channel.
    fn load(
        &self,
        archive: ImageSource,
        progress: tokio::sync::mpsc::Sender<LoadProgress>,
    ) -> Answer<'_, Vec<Loaded>>;

    /// Makes an image from a root file system.
    fn import(&self, rootfs: ImageSource, request: ImportRequest) -> Answer<'_, ImageId>;

    /// Makes an image of a container and what it changed.
    fn commit<'a>(&'a self, container: &'a str, request: CommitRequest) -> Answer<'a, ImageId>;

    /// Takes an image in from its registry; progress is told on the channel. When nobody reads that any more, it ends.
    fn pull(&self, request: PullRequest, progress: tokio::sync::mpsc::Sender<PullProgress>)
    -> Answer<'_, ()>;

    /// Gives an image to its registry; progress as with [`Images::pull`].
    fn push(&self, request: PushRequest, progress: tokio::sync::mpsc::Sender<PushProgress>)
    -> Answer<'_, ()>;

    /// What the registry of a name has under it.
    fn remote_manifest(&self, request: PullRequest) -> Answer<'_, RemoteManifest>;

    /// Makes one name of several images that a registry has; the digest of the index.
    fn publish(&self, request: PublishRequest) -> Answer<'_, String>;

    /// What the image of a name says of itself at its registry; its size is that of its layers as they would come.
    fn remote_image(&self, request: PullRequest) -> Answer<'_, ImageDetail>;

    /// Repositories of a registry that fit a word.
    fn search(&self, request: SearchRequest) -> Answer<'_, Vec<SearchResult>>;

    /// Shows credentials to the registry of an address. Returns a token that stands for the password from now on, or
    /// nothing where the password is to be kept.
    fn login<'a>(&'a self, address: &'a str, credentials: Credentials) -> Answer<'a, String>;

    /// Writes images as one archive. All names are resolved before the first byte is written.
    fn save<'a>(&'a self, names: &'a [String]) -> Answer<'a, Box<dyn AsyncRead + Send + Unpin>>;

    /// Gives an image one more name.
    fn tag<'a>(&'a self, source: &'a str, target: &'a str) -> Answer<'a, ()>;

    /// Takes a name away, and the image with its last one.
    fn remove<'a>(&'a self, name: &'a str, force: bool) -> Answer<'a, Vec<Removed>>;
}
