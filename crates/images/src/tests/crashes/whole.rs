//! What must hold whenever a store was opened: everything that a table knows is there and is what it says, and nothing else is.

use super::operations::Site;
use crate::Error;
use crate::distribution::ContentDigest;
use crate::distribution::records::{LINKS, MANIFESTS as PUSHED, PARTS, REPOSITORIES, TAGS};
use crate::hash::{Hashing, digest_of};
use crate::packing::plain;
use crate::records::{IMAGES, LAYERS, MANIFESTS, NAMES, PACKED};
use model::Digest;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// What a loss of power may leave of files that are not synced: files of layers without a byte, beginnings of layers with others.
pub(super) fn lose_power(root: &Path) {
    for name in names_in(&root.join("images/unfinished")) {
        let path = root.join("images/unfinished").join(name);
        let length = fs::metadata(&path).unwrap().len() as usize;
        fs::write(&path, vec![0; length]).unwrap();
    }
    let mut open = vec![root.join("images/layers")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                File::create(path).unwrap();
            }
        }
    }
}

pub(super) fn names_in(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Panics where something is missing, wrong or too much.
pub(super) fn check(site: &Site, about: &str) {
    let images = &site.images;
    let root = site.root.join("images");
    let (mut blobs, mut directories) = (BTreeSet::new(), BTreeSet::new());
    let see = |tx: &store::ReadTx<'_>| -> Result<(), Error> {
        let layers: Vec<_> = tx.list(&LAYERS)?;
        for (diff_id, layer) in &layers {
            blobs.insert(ContentDigest::from(layer.blob));
            directories.insert(layer.directory.clone());
            let path = images.home.blob(layer.blob);
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{about}: {diff_id}: {error}"));
            assert_eq!(bytes.len() as u64, layer.blob_bytes, "{about}: {diff_id}");
            let mut hashing = Hashing::new(plain(layer.packing, bytes.as_slice()).unwrap());
            std::io::copy(&mut hashing, &mut std::io::sink()).unwrap();
            assert_eq!(hashing.finish(), *diff_id, "{about}");
            let found = crate::recover::file_bytes(&images.home.layer(&layer.directory));
            assert_eq!(found.unwrap_or_default(), layer.bytes, "{about}: files of {diff_id}");
        }
        let known: BTreeSet<_> = layers.iter().map(|(diff_id, _)| *diff_id).collect();
        let images: BTreeSet<_> = tx
            .list(&IMAGES)?
            .into_iter()
            .map(|(id, image)| {
                assert!(image.layers.iter().all(|layer| known.contains(layer)), "{about}: layers of {id}");
                blobs.insert(ContentDigest::from(id));
                id
            })
            .collect();
        assert!(tx.list(&NAMES)?.iter().all(|(_, id)| images.contains(id)), "{about}: a name of nothing");
        assert!(tx.list(&MANIFESTS)?.iter().all(|(_, manifest)| images.contains(&manifest.image)), "{about}");
        assert!(tx.list(&PACKED)?.iter().all(|(layer, _)| known.contains(layer)), "{about}");
        let links: Vec<_> = tx.list(&LINKS)?.into_iter().map(|(held, _)| held).collect();
        let pushed: Vec<_> = tx.list(&PUSHED)?.into_iter().map(|(held, _)| held).collect();
        let repositories: BTreeSet<_> = tx.list(&REPOSITORIES)?.into_iter().map(|(name, _)| name).collect();
        for held in links.iter().chain(&pushed) {
            blobs.insert(held.digest);
            assert!(repositories.contains(&held.repository), "{about}: {held}");
        }
        for (key, _) in tx.list(&PARTS)? {
            assert!(links.contains(&key.part) || pushed.contains(&key.part), "{about}: {key} is missing");
        }
        for (key, digest) in tx.list(&TAGS)? {
            let stands = pushed.iter().any(|held| held.digest == digest && held.repository == key.repository);
            assert!(stands, "{about}: {key} stands at nothing");
        }
        Ok(())
    };
    images.store.read(see).unwrap();
    for digest in &blobs {
        let bytes = fs::read(images.home.content(digest))
            .unwrap_or_else(|error| panic!("{about}: {digest}: {error}"));
        assert!(digest.sha256().is_none_or(|wanted| digest_of(&bytes) == wanted), "{about}: {digest}");
    }
    let known: BTreeSet<String> =
        blobs.iter().filter(|digest| digest.sha256().is_some()).map(ContentDigest::hex).collect();
    assert_eq!(names_in(&root.join("blobs/sha256")), known, "{about}: contents that no table knows");
    assert_eq!(names_in(&root.join("layers")), directories, "{about}: layers that no table knows");
    assert_eq!(names_in(&root.join("tmp")), BTreeSet::new(), "{about}: halves");
    for name in names_in(&root.join("unfinished")) {
        assert!(
            format!("sha256:{name}").parse::<Digest>().is_ok(),
            "{about}: {name} is no beginning of a layer"
        );
    }
    for upload in names_in(&root.join("uploads")) {
        let mut repository = String::new();
        let file = File::open(root.join("uploads").join(&upload).join("repository"));
        file.unwrap().read_to_string(&mut repository).unwrap();
        assert!(!repository.is_empty(), "{about}: an upload to nowhere");
    }
}
