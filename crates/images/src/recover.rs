//! What the loss of power took, and how it comes back.
//!
//! Archives and configurations are synced before the table knows of them; unpacked files are not, since there are many
//! of them and they can be made again. A layer remembers the boot in which it was unpacked. When the store is next
//! opened in another boot, a layer whose files have not all their bytes is unpacked again from its archive. One whose
//! archive is gone too is taken out of the table: its images say that they are damaged, and loading them again heals
//! them.

use crate::hash::Hashing;
use crate::home::{Stage, fresh_name};
use crate::packing::plain;
use crate::records::{LAYERS, LayerRecord};
use crate::unpack::unpack;
use crate::{Error, Images, Result};
use model::Digest;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use store::Durability;

/// Where the kernel names the boot, see `random(4)`.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The name of this boot.
pub(crate) fn boot_id() -> Result<String> {
    let id = fs::read_to_string(BOOT_ID).map_err(Error::read(Path::new(BOOT_ID)))?;
    Ok(id.trim().to_owned())
}

impl Images {
    /// Looks at layers that were unpacked in another boot and not looked at since.
    pub(crate) fn recover(&self, stage: &Stage) -> Result<()> {
        let layers = self.store.read(|tx| tx.list(&LAYERS).map_err(Error::from))?;
        for (diff_id, mut layer) in layers {
            if layer.unpacked_in.as_ref().is_none_or(|boot| *boot == self.boot) {
                continue;
            }
            let whole =
                file_bytes(&self.home.layer(&layer.directory)).is_ok_and(|bytes| bytes == layer.bytes);
            if whole {
                layer.unpacked_in = None;
                self.store
                    .write(Durability::Lazy, |tx| tx.put(&LAYERS, &diff_id, &layer).map_err(Error::from))?;
                continue;
            }
            match self.unpack_again(stage, diff_id, &layer) {
                Ok(again) => {
                    tracing::info!(layer = %diff_id, "a layer was not whole after a reboot and is unpacked again");
                    let put =
                        |tx: &mut store::WriteTx<'_>| tx.put(&LAYERS, &diff_id, &again).map_err(Error::from);
                    self.store.write(Durability::Synced, put)?;
                }
                // A full disk passes; the layer is looked at again when the store is next opened.
                Err(Error::Unpack { path, source }) if source.kind() == io::ErrorKind::StorageFull => {
                    return Err(Error::Unpack { path, source });
                }
                Err(error) => {
                    let error = base::Chain(&error);
                    tracing::warn!(layer = %diff_id, %error, "a layer is lost: load its images again");
                    self.store.write(Durability::Synced, |tx| {
                        tx.remove(&LAYERS, &diff_id);
                        Ok::<_, Error>(())
                    })?;
                }
            }
        }
        Ok(())
    }

    fn unpack_again(&self, stage: &Stage, diff_id: Digest, layer: &LayerRecord) -> Result<LayerRecord> {
        let blob = self.home.blob(layer.blob);
        let directory = stage.path();
        fs::create_dir(&directory).map_err(Error::write(&directory))?;
        let packed = File::open(&blob).map_err(Error::read(&blob))?;
        let mut archive = Hashing::new(plain(layer.packing, packed).map_err(Error::ReadArchive)?);
        let bytes = unpack(&mut archive, &directory)?;
        let found = archive.finish();
        if found != diff_id {
            return Err(Error::Digest { name: layer.blob.to_string(), wanted: diff_id, found });
        }
        let name = fresh_name();
        let place = self.home.layer(&name);
        fs::rename(&directory, &place).map_err(Error::write(&place))?;
        Ok(LayerRecord { directory: name, bytes, unpacked_in: Some(self.boot.clone()), ..layer.clone() })
    }
}

/// Bytes of all files below a directory, each file once however many names it has.
pub(crate) fn file_bytes(directory: &Path) -> io::Result<u64> {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                open.push(entry.path());
            } else if metadata.is_file() && (metadata.nlink() == 1 || seen.insert(metadata.ino())) {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageConfig, Piece, Reference};
    use base::{Clock, Time};
    use std::sync::Arc;
    use store::Store;

    fn open(root: &Path, boot: &str) -> Images {
        let store = Arc::new(Store::open(&root.join("state.redb")).unwrap());
        Images::open_in_boot(&root.join("images"), store, Clock::system(), boot.to_owned()).unwrap()
    }

    fn assemble(images: &Images) {
        let pieces = [Piece { path: "file", mode: 0o644, bytes: Some(b"content") }];
        let name = Some(Reference::parse("app").unwrap());
        images.assemble(&pieces, ImageConfig::default(), Time::from_unix_seconds(1), "made", name).unwrap();
    }

    #[test]
    fn files_that_lost_their_bytes_with_the_power_come_back_from_the_archive() {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path(), "first");
        assemble(&images);
        let file = images.resolve("app").unwrap().directories[0].join("file");
        drop(images);
        File::create(&file).unwrap();
        // The same boot: nothing can have been lost, and nothing is looked at.
        drop(open(root.path(), "first"));
        assert_eq!(fs::read(&file).unwrap(), b"");
        let images = open(root.path(), "second");
        let file = images.resolve("app").unwrap().directories[0].join("file");
        assert_eq!(fs::read(file).unwrap(), b"content");
    }

    #[test]
    fn a_layer_whose_archive_is_lost_too_is_told_and_healed_by_loading_it_again() {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path(), "first");
        assemble(&images);
        let id = images.resolve("app").unwrap().id;
        let file = images.rootfs(&id).unwrap()[0].join("file");
        drop(images);
        File::create(file).unwrap();
        for entry in fs::read_dir(root.path().join("images/blobs/sha256")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str() != Some(&id.0.hex()) {
                File::create(path).unwrap();
            }
        }
        let images = open(root.path(), "second");
        assert!(matches!(images.rootfs(&id), Err(Error::Damaged { .. })));
        assert_eq!(images.list().unwrap().len(), 1);
        assemble(&images);
        assert_eq!(fs::read(images.rootfs(&id).unwrap()[0].join("file")).unwrap(), b"content");
    }

    #[test]
    fn a_layer_that_is_whole_after_a_reboot_stays_where_it_is() {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path(), "first");
        assemble(&images);
        let before = images.resolve("app").unwrap().directories;
        drop(images);
        assert_eq!(open(root.path(), "second").resolve("app").unwrap().directories, before);
        assert_eq!(open(root.path(), "third").resolve("app").unwrap().directories, before);
    }
}
