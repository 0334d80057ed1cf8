//! Files of a container: looked at, taken out, put in, compared.

use base::Time;
use tokio::io::AsyncRead;

/// An archive, tar(5), as it is made or sent.
pub type Archive = Box<dyn AsyncRead + Send + Unpin>;

/// What is at a path of a container, inode(7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// The last part of the path.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Kind and permission bits, as stat(2) has them.
    pub mode: u32,
    /// When it was last written.
    pub modified: Time,
    /// Where a link leads, from the container's root; empty for anything else.
    pub link_target: String,
}

/// How a container's path differs from its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It was there and is another.
    Changed,
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
}

/// How an archive is put into a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// A directory does not take the place of something else, nor the other way round.
    pub keep_kinds: bool,
    /// All belongs to the container's user, whatever the archive says.
    pub own_by_user: bool,
}
