//! A base image out of a distribution's archive of packages: what is downloaded, whom it is believed, and in which form it
//! reaches a daemon. Nothing of the distribution is unpacked or run by this crate.
//!
//! ```text
//!  InRelease -> openpgp: signed by the keyring? -> release -> Packages (by its hash) -> index -> resolve: which packages
//!                                                                                                  |
//!    image <- layer: sorted, tidied <- (a container's export) <- second stage <- rootfs <- .deb (by its hash) <- fetch
//! ```
//!
//! 1. [`archive`] asks the mirror for `InRelease`, believes it if [`openpgp`] finds a signature of a key in the keyring, and reads
//!    the index of packages that it names.
//!    Where this machine has no keyring, [`known`] finds the distribution's keys by their fingerprints.
//! 2. [`resolve`] picks the packages: what the distribution calls essential or required, `apt`, what was asked for, and what those
//!    need.
//! 3. [`rootfs`] writes one archive: the files of the required packages, as they are, and all packages beside them.
//! 4. In a container of that, the script of [`stage`] lets the distribution's own `dpkg` install everything properly.
//! 5. [`layer`] takes what the container has become, drops what belongs to the moment, puts it in order; [`image`] makes an image
//!    archive of it, which any daemon can load.
//!
//! Who talks to the daemon is the command line; this crate talks to the mirror only.
//!
//! Invariants:
//! - Nothing is read out of an index or a package before its hash was seen to be the one that the signed file names.
//! - The same state of the archive and the same wishes give the same image, to the bit.
//! - Every file, field and number of an archive is bounded.
//!
//! Start at [`archive`].

pub mod archive;
pub mod deb;
pub mod deb822;
pub mod distribution;
mod error;
pub mod fetch;
pub mod image;
pub mod index;
pub mod known;
pub mod layer;
pub mod openpgp;
mod packing;
pub mod relation;
pub mod release;
pub mod resolve;
pub mod rootfs;
pub mod stage;
pub mod version;

pub use error::{Error, Result};
