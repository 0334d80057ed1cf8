//! What the images take on the disk.

use crate::distribution::{self, ContentDigest};
use crate::records::{IMAGES, LAYERS};
use crate::{Images, Result};
use base::disk;
use model::{Digest, ImageId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::PoisonError;

/// Bytes on the disk, as du(1) counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All images: layers unpacked, their archives, configurations, and the beginnings of layers that a pull left.
    pub images: u64,
    /// What a registry keeps here and no image needs, pushes that are not complete included.
    pub registry: u64,
    /// Of each image's size, what other images have as well.
    pub shared: BTreeMap<ImageId, u64>,
}

impl Images {
    /// What the images take on the disk. A layer is walked through once in the life of this value, as it never changes.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn usage(&self) -> Result<Usage> {
        let (images, layers, held) = self.store.read(|tx| -> Result<_> {
            Ok((tx.list(&IMAGES)?, tx.list(&LAYERS)?, distribution::all_held(tx)?))
        })?;
        let mut usage = Usage { images: self.unfinished.taken(), ..Usage::default() };
        let mut contents: BTreeSet<ContentDigest> = images.iter().map(|(id, _)| (*id).into()).collect();
        contents.extend(layers.iter().map(|(_, layer)| ContentDigest::from(layer.blob)));
        for content in &contents {
            usage.images += disk::taken_by(&self.home.content(content));
        }
        for content in held.iter().filter(|content| !contents.contains(content)) {
            usage.registry += disk::taken_by(&self.home.content(content));
        }
        let uploads = std::fs::read_dir(self.home.uploads()).into_iter().flatten().flatten();
        usage.registry += uploads.map(|upload| disk::taken_by(&upload.path())).sum::<u64>();
        usage.images += self.measure(layers.iter().map(|(_, layer)| layer.directory.as_str()));
        let sizes: BTreeMap<Digest, u64> =
            layers.iter().map(|(diff_id, layer)| (*diff_id, layer.bytes)).collect();
        let mut users: HashMap<Digest, u32> = HashMap::new();
        for (_, image) in &images {
            for layer in image.layers.iter().collect::<BTreeSet<_>>() {
                *users.entry(*layer).or_default() += 1;
            }
        }
        let is_shared = |layer: &&Digest| users.get(layer).is_some_and(|users| *users > 1);
        for (id, image) in &images {
            let layers: BTreeSet<&Digest> = image.layers.iter().collect();
            let shared = layers.into_iter().filter(is_shared).filter_map(|layer| sizes.get(layer)).sum();
            usage.shared.insert(ImageId(*id), shared);
        }
        Ok(usage)
    }

    /// The bytes of unpacked layers, by the names of their directories.
    fn measure<'a>(&self, names: impl Iterator<Item = &'a str>) -> u64 {
        // What is in no table any more is forgotten with the old map.
        let before = std::mem::take(&mut *self.measured.lock().unwrap_or_else(PoisonError::into_inner));
        let measured: HashMap<String, u64> = names
            .map(|name| {
                let bytes = before.get(name).copied();
                (name.to_owned(), bytes.unwrap_or_else(|| disk::taken_by(&self.home.layer(name))))
            })
            .collect();
        let bytes = measured.values().sum();
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = measured;
        bytes
    }
}
