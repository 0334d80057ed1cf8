//! What is asked of registries through the Images door, and what is told while it goes on.

/// Who asks. Never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
    /// A token with which others are had, instead of a password.
    pub identity_token: String,
    /// A token that the registry itself takes, instead of everything else.
    pub registry_token: String,
}

impl std::fmt::Debug for Credentials {
    /// Whose they are; never the secret itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What is to be pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullRequest {
    /// The name as a person writes it. One with neither tag nor digest means all tags of the repository.
    pub name: String,
    /// `os[/arch[/variant]]`; the machine's own where empty.
    pub platform: String,
    /// Who asks.
    pub credentials: Credentials,
}

/// How far a layer is on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// It is here already.
    Exists,
    /// It is to be fetched.
    Wanted,
    /// It comes: bytes that are here, and bytes in all.
    Downloading(u64, u64),
    /// All of it is here.
    Downloaded,
    /// It is unpacked: bytes of the archive so far, and in all.
    Extracting(u64, u64),
    /// It is ready.
    Complete,
}

/// How far a pull is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullProgress {
    /// The registry has it.
    Found {
        /// The repository as the registry knows it.
        repository: String,
        /// The tag or digest that was asked for.
        tag: String,
    },
    /// One layer.
    Layer {
        /// The first digits of its digest.
        id: String,
        /// How far it is.
        state: Incoming,
    },
    /// An image is complete.
    Done {
        /// The name, as people write it.
        name: String,
        /// The digest by which the registry knows it.
        digest: String,
        /// Whether the name meant something else before, or nothing.
        newer: bool,
    },
}

/// What is to be pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushRequest {
    /// The repository as a person writes it, with a tag or without: then all tags are meant.
    pub name: String,
    /// Who asks.
    pub credentials: Credentials,
    /// How layers go out that came plain; none for what the engine thinks best.
    pub compression: Option<Compression>,
}

/// How layers go out that came plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// With gzip.
    Gzip,
    /// With zstd.
    Zstd,
    /// As they are.
    None,
}

/// How far a layer is on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// It is looked at.
    Preparing,
    /// The registry has it already.
    Exists,
    /// The registry took it from another of its repositories.
    Mounted(String),
    /// It goes: bytes that are sent, and bytes in all.
    Pushing(u64, u64),
    /// The registry has it now.
    Pushed,
}

/// How far a push is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushProgress {
    /// Where it goes.
    Repository(String),
    /// One layer.
    Layer {
        /// The first digits of its id.
        id: String,
        /// How far it is.
        state: Outgoing,
    },
    /// A tag is complete.
    Done {
        /// The tag.
        tag: String,
        /// The manifest's digest.
        digest: String,
        /// The manifest's bytes.
        size: u64,
    },
}

/// What a registry has under a name: an image, or an index of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteManifest {
    /// Its name, as people write it.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// What it is.
    pub media_type: String,
    /// It, byte for byte.
    pub text: String,
    /// The images of an index.
    pub images: Vec<RemotePart>,
    /// The platforms that it is for.
    pub platforms: Vec<RemotePlatform>,
}

/// An image of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePart {
    /// Its digest.
    pub digest: String,
    /// What it is.
    pub media_type: String,
    /// The bytes of its manifest.
    pub size: u64,
    /// What it is for, where that is told.
    pub platform: Option<RemotePlatform>,
}

/// A platform in Go's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemotePlatform {
    /// The operating system.
    pub os: String,
    /// The processor.
    pub architecture: String,
    /// Its variant.
    pub variant: String,
}

/// What is looked for at a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchRequest {
    /// A word; with a registry and a slash before it where it is not Docker's.
    pub term: String,
    /// Results at most.
    pub limit: usize,
    /// Who asks.
    pub credentials: Credentials,
}

/// A repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchResult {
    /// Its name as it is pulled.
    pub name: String,
    /// What it says of itself.
    pub description: String,
    /// How many people like it.
    pub stars: u64,
    /// Whether the registry vouches for it.
    pub official: bool,
}

/// An index that is to be published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishRequest {
    /// The name that it gets.
    pub name: String,
    /// Its images by name and digest, each with what it is for.
    pub images: Vec<(String, RemotePlatform)>,
    /// Who asks.
    pub credentials: Credentials,
}
