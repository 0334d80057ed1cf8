//! Makes an image of what a container changed: one more layer over those of its image.

use crate::change::Change;
use crate::config::{HistoryEntry, ImageConfig};
use crate::contents::IMAGE_LAYERS_MAX;
use crate::hash::digest_of;
use crate::import::{made, one_layer};
use crate::{Error, Images, Reference, Result};
use model::ImageId;
use std::io::Read;

/// The plain archive of a layer in which nothing is: two blocks of zeros.
const NOTHING: [u8; 1024] = [0; 1024];

/// What becomes of a container's changes.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// What the new image's containers run, before `changes`.
    pub config: ImageConfig,
    /// Changes to that.
    pub changes: Vec<Change>,
    /// What the container ran.
    pub created_by: String,
    /// Who makes it.
    pub author: String,
    /// A comment.
    pub message: String,
    /// The name that it gets.
    pub reference: Option<Reference>,
}

impl Images {
    /// Makes an image of `parent`, which may have been removed while the container uses it, and a layer over it. A layer in
    /// which nothing is only leaves a line in the history.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`] when nothing of the parent is left; otherwise as [`Images::import`].
    pub fn commit(&self, parent: &ImageId, layer: &mut dyn Read, commit: Commit) -> Result<ImageId> {
        let Commit { mut config, changes, created_by, author, message, reference } = commit;
        Change::apply_all(&changes, &mut config)?;
        let stage = self.home.stage()?;
        let lease = self.lease_layers();
        let diff_ids = self.get(parent)?.diff_ids;
        let mut file = self.image_file(parent.0)?;
        let layer = one_layer(&stage, "what the container changed", layer)?;
        let empty_layer = layer.diff_id == digest_of(&NOTHING);
        let now = self.clock.now();
        file.rootfs.diff_ids = diff_ids;
        if !empty_layer {
            file.rootfs.diff_ids.push(layer.diff_id);
        }
        if file.rootfs.diff_ids.len() > IMAGE_LAYERS_MAX {
            return Err(Error::TooMany { what: "layers in one image", max: IMAGE_LAYERS_MAX as u64 });
        }
        file.created = Some(now);
        (file.author, file.comment, file.config) = (author.clone(), message.clone(), config);
        let comment = message;
        file.history.push(HistoryEntry { created: Some(now), created_by, author, comment, empty_layer });
        let image = made(&file, reference)?;
        let id = image.id;
        self.place(&stage, [layer], &[image])?;
        drop(lease);
        self.sweep(&stage)?;
        Ok(id)
    }
}
