//! Images: archives in and out, names, layers unpacked for overlayfs, and what may be removed when.
//!
//! ```text
//!  archive --> load: layers unpacked while they arrive --> placed: blobs, layers, then one transaction
//!  registry --> pull: the same, several layers at once -----^        image --> push --> registry
//!  root fs --> import ------------------------------------^
//!  files   --> assemble ----------------------------------^
//!  container --> commit: its changes, over its image -----^
//!                     names --> image (a configuration by digest) --> layers --> directories for a mount
//! ```
//!
//! Layers are kept by the digest of their plain archive: what a directory of overlayfs holds depends on that alone, so
//! that images share a layer whatever is below it. The archive of each layer is kept as it came, so that it can be
//! given away again bit by bit.
//!
//! Invariants:
//! - An image in the table has all its layers in their places. The table is told last and asked first; what stands in
//!   a place but in no table is removed when the store is next opened.
//! - Neither `kill -9` nor the loss of power loses an image that was acknowledged (see `recover`).
//! - Nothing that is leased, named or used by a container is removed.
//! - An archive cannot write outside of the directory of its layer (see `unpack`), nor fill the disk (see `room`).
//!
//! Deliberately absent: builds, and the layer that a container writes to.
//! Start at [`Images::load`]; for registries at [`registry`].

mod change;
mod commit;
mod compare;
mod config;
mod contents;
pub mod distribution;
mod error;
mod find;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gzip;
mod hash;
mod home;
mod import;
mod intake;
mod load;
pub mod manifest;
mod pack;
mod packing;
mod pieces;
mod place;
mod platform;
mod records;
mod recover;
mod reference;
pub mod registry;
mod remove;
mod room;
mod save;
mod sparse;
mod spool;
mod tarball;
mod tarwrite;
#[cfg(test)]
mod tests;
mod unfinished;
mod unpack;
mod usage;

pub use change::Change;
pub use commit::Commit;
pub use compare::{Difference, compare};
pub use config::{Empty, ImageConfig};
pub use error::{Conflict, Error, ErrorKind, Result};
pub use find::{History, Image, ImageSummary};
pub use import::Piece;
pub use load::{Loaded, Progress};
pub use pack::{Kind as Packed, Owners, pack, pack_one};
pub use platform::{BadPlatform, Platform};
pub use reference::{BadReference, Reference, split_domain};
pub use remove::{ContainerUse, Lease, Removed};
pub use save::Saving;
pub use tarball::TarError;
pub use unfinished::Forget;
pub use unpack::{FilesManner, put};
pub use usage::Usage;

use base::Clock;
use distribution::ContentDigest;
use home::Home;
use records::{IMAGES, LAYERS};
use remove::Pins;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Store;
use unfinished::Unfinished;

/// The images of a node. Share it in an `Arc`; every call blocks.
pub struct Images {
    home: Home,
    store: Arc<Store>,
    clock: Clock,
    /// The kernel's name of this boot.
    boot: String,
    pins: Arc<Mutex<Pins>>,
    /// Bytes of layers on the disk, by the names of their directories.
    measured: Mutex<HashMap<String, u64>>,
    /// Pulls that are under way.
    pulls: registry::Together,
    unfinished: Unfinished,
}

impl Images {
    /// Opens the image store in `root`, and removes what a crash left half-made.
    ///
    /// # Errors
    /// When directories cannot be made or read, or the tables cannot be.
    pub fn open(root: &Path, store: Arc<Store>, clock: Clock) -> Result<Images> {
        Images::open_in_boot(root, store, clock, recover::boot_id()?)
    }

    fn open_in_boot(root: &Path, store: Arc<Store>, clock: Clock, boot: String) -> Result<Images> {
        let images = Images {
            home: Home::open(root)?,
            store,
            clock,
            boot,
            pins: Arc::default(),
            measured: Mutex::default(),
            pulls: registry::Together::default(),
            unfinished: Unfinished::open(root)?,
        };
        let stage = images.home.stage()?;
        images.recover(&stage)?;
        images.sweep(&stage)?;
        let (mut blobs, mut layers) = (HashSet::new(), HashSet::new());
        images.store.read(|tx| -> Result<()> {
            for (_, layer) in tx.list(&LAYERS)? {
                blobs.insert(layer.blob.into());
                layers.insert(layer.directory);
            }
            blobs.extend(tx.list(&IMAGES)?.into_iter().map(|(id, _)| ContentDigest::from(id)));
            blobs.extend(distribution::all_held(tx)?);
            Ok(())
        })?;
        images.home.remove_unknown(&blobs, &layers)?;
        images.forget_unfinished(Forget::Surplus)?;
        Ok(images)
    }

    /// Held while it is decided what is removed, and while something takes its place.
    fn lock_pins(&self) -> MutexGuard<'_, Pins> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The processor of this machine, in the words of image configurations.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
