//! Puts what an operation made in its place: all of it or nothing.
//!
//! ```text
//!  blobs and layers renamed -> one transaction: layers, images, names -> done
//!      (undone on an error; after a crash, what no table knows is removed)
//! ```

use crate::contents::{NewImage, NewManifest};
use crate::home::{Stage, StagedLayer, fresh_name};
use crate::records::{IMAGES, ImageRecord, LAYERS, LayerRecord, MANIFESTS, ManifestRecord, NAMES};
use crate::{Error, Images, Loaded, Result};
use base::Time;
use model::{Digest, ImageId};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use store::{Durability, WriteTx};

/// What stands in its place now. Whoever pushed the same blob to a registry has it there as well.
enum Moved {
    Blob(Digest),
    Layer(PathBuf),
}

impl Images {
    /// Places layers and the images made of them. Layers that no image uses, or that came in meanwhile, go with the
    /// stage.
    pub(crate) fn place(
        &self,
        stage: &Stage,
        layers: impl IntoIterator<Item = StagedLayer>,
        images: &[NewImage],
    ) -> Result<Vec<Loaded>> {
        let staged: BTreeMap<Digest, StagedLayer> =
            layers.into_iter().map(|layer| (layer.diff_id, layer)).collect();
        // Nobody removes what is here while this looks at it.
        let pins = self.lock_pins();
        let mut moved = Vec::new();
        let placed = self.move_all(stage, &staged, images, &mut moved).and_then(|records| {
            self.store.write(Durability::Synced, |tx| record(tx, &records, images, self.clock.now()))
        });
        if placed.is_err() {
            for one in moved {
                // The stage deletes it; if even that fails, the next opening does.
                let _ = match one {
                    Moved::Blob(digest) => self.discard_content(stage, &pins, digest.into()),
                    Moved::Layer(path) => stage.discard(&path),
                };
            }
        }
        placed
    }

    /// Moves what is needed and not here yet; `moved` tells what was, also when this fails.
    fn move_all(
        &self,
        stage: &Stage,
        staged: &BTreeMap<Digest, StagedLayer>,
        images: &[NewImage],
        moved: &mut Vec<Moved>,
    ) -> Result<Vec<(Digest, LayerRecord)>> {
        let mut records: BTreeMap<Digest, LayerRecord> = BTreeMap::new();
        for image in images {
            for diff_id in &image.layers {
                if records.contains_key(diff_id) || self.store.read(|tx| tx.get(&LAYERS, diff_id))?.is_some()
                {
                    continue;
                }
                let layer = staged.get(diff_id).ok_or(Error::Damaged { id: image.id, layer: *diff_id })?;
                let name = fresh_name();
                let (blob, directory) = (self.home.blob(layer.blob), self.home.layer(&name));
                fs::rename(&layer.blob_path, &blob).map_err(Error::write(&blob))?;
                moved.push(Moved::Blob(layer.blob));
                fs::rename(&layer.directory, &directory).map_err(Error::write(&directory))?;
                moved.push(Moved::Layer(directory));
                records.insert(*diff_id, layer_record(layer, name, &self.boot));
            }
            let blob = self.home.blob(image.id.0);
            if !blob.exists() {
                let half = stage.path();
                write_synced(&half, &image.config).map_err(Error::write(&blob))?;
                fs::rename(&half, &blob).map_err(Error::write(&blob))?;
                moved.push(Moved::Blob(image.id.0));
            }
        }
        self.home.sync_places()?;
        Ok(records.into_iter().collect())
    }
}

pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn layer_record(layer: &StagedLayer, directory: String, boot: &str) -> LayerRecord {
    LayerRecord {
        directory,
        blob: layer.blob,
        blob_bytes: layer.blob_bytes,
        packing: layer.packing,
        bytes: layer.bytes,
        unpacked_in: Some(boot.to_owned()),
    }
}

fn record(
    tx: &mut WriteTx<'_>,
    layers: &[(Digest, LayerRecord)],
    images: &[NewImage],
    now: Time,
) -> Result<Vec<Loaded>> {
    for (diff_id, layer) in layers {
        tx.put(&LAYERS, diff_id, layer)?;
    }
    let mut loaded = Vec::new();
    for image in images {
        let before = tx.get(&IMAGES, &image.id.0)?;
        let last_tagged = match (image.names.is_empty(), before) {
            (true, Some(before)) => before.last_tagged,
            (true, None) => Time::NEVER,
            (false, _) => now,
        };
        let record = ImageRecord { layers: image.layers.clone(), last_tagged, removed: false };
        tx.put(&IMAGES, &image.id.0, &record)?;
        if let Some(NewManifest { digest, media_type, text }) = image.manifest.clone() {
            tx.put(&MANIFESTS, &digest, &ManifestRecord { image: image.id.0, media_type, text })?;
        }
        let mut taken = Vec::new();
        for name in &image.names {
            match tx.get(&NAMES, name)? {
                Some(other) if other != image.id.0 => taken.push((name.clone(), ImageId(other))),
                _ => {}
            }
            tx.put(&NAMES, name, &image.id.0)?;
        }
        loaded.push(Loaded { names: image.names.clone(), id: image.id, taken });
    }
    Ok(loaded)
}
