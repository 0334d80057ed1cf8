//! Removes names and images by Docker's rules, and layers when nobody needs them.
//!
//! An image that a stopped container uses may be removed by force: it loses its names and is no longer found, and its
//! layers stay until [`Images::collect`] is told that no container uses it any more.

use crate::distribution::{self, ContentDigest};
use crate::find::{find, names_of};
use crate::hash::chain_ids;
use crate::home::Stage;
use crate::records::{IMAGES, ImageRecord, LAYERS, LayerRecord, MANIFESTS, NAMES, PACKED, PACKED_ZSTD};
use crate::{Conflict, Error, Images, Reference, Result};
use model::{Digest, ImageId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use store::{Durability, ReadTx, WriteTx};

/// A container that is made from an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerUse {
    /// The container's short id, as messages show it.
    pub id: String,
    /// Whether it runs.
    pub running: bool,
}

/// One thing that a removal did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(String),
    /// An image, or the chain of layers up to one, is gone.
    Deleted(String),
}

/// Who needs what, while it is in no table.
#[derive(Default)]
pub(crate) struct Pins {
    /// Operations that count on the layers that are here.
    frozen: u32,
    images: BTreeMap<Digest, u32>,
    /// Content that is taking its place.
    content: BTreeMap<ContentDigest, u32>,
    /// Counts the leases of images that ended: whoever had one may have recorded a container.
    released: u64,
}

/// Keeps an image, all layers, or some content from being deleted while it lives.
#[derive(Debug)]
pub struct Lease {
    pins: Arc<Mutex<Pins>>,
    what: Leased,
}

/// What a lease keeps.
#[derive(Clone, Copy, Debug)]
enum Leased {
    Layers,
    Image(Digest),
    Content(ContentDigest),
}

/// Takes one from a count, which goes with its last.
fn count_down<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(counts.remove(key)),
    }
}

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pins").field("frozen", &self.frozen).field("images", &self.images.len()).finish()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        match self.what {
            Leased::Layers => pins.frozen = pins.frozen.saturating_sub(1),
            Leased::Image(id) => {
                pins.released += 1;
                count_down(&mut pins.images, &id);
            }
            Leased::Content(digest) => count_down(&mut pins.content, &digest),
        }
    }
}

/// What a removal found and decided, within its transaction.
struct Removal<'a> {
    id: Digest,
    force: bool,
    uses: &'a [ContainerUse],
    done: Vec<Removed>,
}

impl Images {
    /// Keeps an image until the lease is dropped: between finding it and recording the container that uses it.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`] when it is gone already.
    pub fn lease(&self, id: &ImageId) -> Result<Lease> {
        let mut pins = self.lock_pins();
        let record = self.store.read(|tx| tx.get(&IMAGES, &id.0).map_err(Error::from))?;
        if record.is_none_or(|record| record.removed) {
            return Err(Error::NoSuchImage(id.to_string()));
        }
        *pins.images.entry(id.0).or_default() += 1;
        Ok(Lease { pins: Arc::clone(&self.pins), what: Leased::Image(id.0) })
    }

    pub(crate) fn lease_layers(&self) -> Lease {
        self.lock_pins().frozen += 1;
        Lease { pins: Arc::clone(&self.pins), what: Leased::Layers }
    }

    /// Keeps some content until a table knows it: between its taking its place and that.
    pub(crate) fn lease_content(&self, digest: ContentDigest) -> Lease {
        *self.lock_pins().content.entry(digest).or_default() += 1;
        Lease { pins: Arc::clone(&self.pins), what: Leased::Content(digest) }
    }

    /// Takes some content out of its place, unless a table knows it or it is just taking that place.
    pub(crate) fn discard_content(&self, stage: &Stage, pins: &Pins, digest: ContentDigest) -> Result<()> {
        if pins.content.contains_key(&digest) || self.store.read(|tx| is_known(tx, &digest))? {
            return Ok(());
        }
        stage.discard(&self.home.content(&digest))
    }

    /// Takes a name away, and the image with its last one; or the image with all its names, given its id. `in_use`
    /// tells which containers are made from an image.
    ///
    /// # Errors
    /// [`Error::Conflict`] when something stands against it, in Docker's words; otherwise as [`Images::resolve`].
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        in_use: &dyn Fn(&ImageId) -> Vec<ContainerUse>,
    ) -> Result<Vec<Removed>> {
        let stage = self.home.stage()?;
        loop {
            let released = self.lock_pins().released;
            let (id, _) = self.store.read(|tx| find(tx, name))?;
            // Whoever answers may hold locks of its own, and so is asked while none is held here.
            let uses = in_use(&ImageId(id));
            let pins = self.lock_pins();
            if pins.released != released {
                // A container may have been made since the question.
                continue;
            }
            let done = self.remove_now(&stage, &pins, name, force, (id, uses))?;
            drop(pins);
            if let Some(done) = done {
                // What had to stay during an earlier removal, because an operation counted on it, may go now.
                self.sweep(&stage)?;
                return Ok(done);
            }
        }
    }

    /// Removes `name` if it still means the image that was asked about; `None` otherwise.
    fn remove_now(
        &self,
        stage: &Stage,
        pins: &Pins,
        name: &str,
        force: bool,
        (asked, mut uses): (Digest, Vec<ContainerUse>),
    ) -> Result<Option<Vec<Removed>>> {
        if pins.images.contains_key(&asked) {
            uses.push(ContainerUse { id: "that is being created".to_owned(), running: true });
        }
        let decided = self.store.write(Durability::Synced, |tx| {
            let (id, record) = find(tx, name)?;
            if id != asked {
                return Ok(None);
            }
            let mut removal = Removal { id, force, uses: &uses, done: Vec::new() };
            let gone = removal.decide(tx, name)?;
            let Removal { mut done, .. } = removal;
            let mut layers = Vec::new();
            if gone {
                done.push(Removed::Deleted(id.to_string()));
                layers = delete_or_hide(tx, id, record, !uses.is_empty(), pins.frozen > 0, &mut done)?;
            }
            let config = (gone && uses.is_empty()).then_some(id);
            Ok::<_, Error>(Some((done, layers, config)))
        })?;
        let Some((done, layers, config)) = decided else { return Ok(None) };
        self.discard(stage, pins, &layers)?;
        if let Some(id) = config {
            self.discard_content(stage, pins, id.into())?;
        }
        Ok(Some(done))
    }

    /// Deletes images that were removed while a container still used them, once none does. To be called when a
    /// container is gone, and once at the start.
    ///
    /// # Errors
    /// When the tables cannot be changed or files cannot be moved away.
    pub fn collect(&self, in_use: &dyn Fn(&ImageId) -> bool) -> Result<()> {
        let released = self.lock_pins().released;
        let hidden = self.store.read(|tx| tx.list(&IMAGES).map_err(Error::from))?;
        let hidden = hidden.into_iter().filter(|(_, record)| record.removed).map(|(id, _)| id);
        let unused: Vec<Digest> = hidden.filter(|id| !in_use(&ImageId(*id))).collect();
        if unused.is_empty() {
            return Ok(());
        }
        let stage = self.home.stage()?;
        let pins = self.lock_pins();
        if pins.released != released {
            // A container may have been made since the question; the next call asks again.
            return Ok(());
        }
        // The tables first: a crash must not leave an image without its files.
        let free: Vec<Digest> = self.store.write(Durability::Synced, |tx| {
            let mut free = Vec::new();
            for id in unused {
                // It may have been loaded again in the meantime.
                let hidden = tx.get(&IMAGES, &id)?.is_some_and(|record| record.removed);
                if hidden && !pins.images.contains_key(&id) {
                    forget(tx, id)?;
                    free.push(id);
                }
            }
            Ok::<_, Error>(free)
        })?;
        for id in free {
            self.discard_content(&stage, &pins, id.into())?;
        }
        drop(pins);
        self.sweep(&stage)
    }

    /// Deletes what no image has, as [`Images::open`] does. Operations do it themselves when they end; this is for a disk that
    /// gets full.
    ///
    /// # Errors
    /// As [`Images::collect`].
    pub fn tidy(&self) -> Result<()> {
        self.sweep(&self.home.stage()?)
    }

    /// Deletes layers that no image has, unless an operation counts on them.
    pub(crate) fn sweep(&self, stage: &Stage) -> Result<()> {
        let pins = self.lock_pins();
        if pins.frozen > 0 {
            return Ok(());
        }
        let layers = self.store.write(Durability::Synced, |tx| unreached(tx, None))?;
        self.discard(stage, &pins, &layers)?;
        drop(pins);
        Ok(())
    }

    fn discard(&self, stage: &Stage, pins: &Pins, layers: &[LayerRecord]) -> Result<()> {
        for layer in layers {
            stage.discard(&self.home.layer(&layer.directory))?;
            self.discard_content(stage, pins, layer.blob.into())?;
        }
        Ok(())
    }
}

impl Removal<'_> {
    /// Takes names away as far as may be; whether the image goes as well.
    fn decide(&mut self, tx: &mut WriteTx<'_>, name: &str) -> Result<bool> {
        let names = names_of(tx, self.id)?;
        if !self.is_id(name) {
            return self.by_name(tx, name, &names);
        }
        if is_single(&names) {
            // All names are one repository's: they go together.
            self.check(None)?;
            self.untag(tx, &names);
        } else {
            self.check(Some(&names))?;
            self.untag(tx, &names);
        }
        Ok(true)
    }

    fn by_name(&mut self, tx: &mut WriteTx<'_>, name: &str, names: &[Reference]) -> Result<bool> {
        let wanted = Reference::parse(name)?.with_default_tag();
        if !self.force
            && is_single(names)
            && let Some(user) = self.uses.first()
        {
            return Err(Error::Conflict(Conflict::OnlyName {
                name: name.to_owned(),
                container: user.id.clone(),
                image: self.id.short(),
            }));
        }
        let owned = names.iter().find(|other| **other == wanted || same_digest(other, &wanted));
        let mut going: Vec<Reference> = owned.cloned().into_iter().collect();
        let left: Vec<&Reference> = names.iter().filter(|other| !going.contains(other)).collect();
        let tag_left = left.iter().any(|other| other.digest().is_none() && other.same_repository(&wanted));
        if wanted.digest().is_none() && !tag_left {
            // Digests of a repository are not kept without a tag.
            let digests =
                left.iter().filter(|other| other.digest().is_some() && other.same_repository(&wanted));
            going.extend(digests.map(|other| (*other).clone()).collect::<Vec<_>>());
        }
        self.untag(tx, &going);
        if going.len() < names.len() {
            return Ok(false);
        }
        // The name went by force; an image that runs stays without one.
        Ok(!self.uses.iter().any(|user| user.running))
    }

    fn untag(&mut self, tx: &mut WriteTx<'_>, names: &[Reference]) {
        for name in names {
            tx.remove(&NAMES, name);
            self.done.push(Removed::Untagged(name.familiar()));
        }
    }

    /// What stands against deleting the image; `names` where it has several that would go.
    fn check(&self, names: Option<&[Reference]>) -> Result<(), Conflict> {
        let image = self.id.short();
        if let Some(user) = self.uses.iter().find(|user| user.running) {
            return Err(Conflict::Running { image, container: user.id.clone() });
        }
        if self.force {
            return Ok(());
        }
        if names.is_some() {
            return Err(Conflict::SeveralNames { image });
        }
        match self.uses.first() {
            Some(user) => Err(Conflict::Stopped { image, container: user.id.clone() }),
            None => Ok(()),
        }
    }

    fn is_id(&self, name: &str) -> bool {
        let digits = name.strip_prefix("sha256:").unwrap_or(name);
        self.id.hex().starts_with(digits)
    }
}

fn same_digest(name: &Reference, wanted: &Reference) -> bool {
    wanted.digest().is_some() && name.digest() == wanted.digest() && name.same_repository(wanted)
}

/// Whether the names are one tag, and digests of the same repository.
fn is_single(names: &[Reference]) -> bool {
    let mut tags = names.iter().filter(|name| name.digest().is_none());
    let first = tags.next().or(names.first());
    tags.next().is_none() && first.is_none_or(|first| names.iter().all(|name| name.same_repository(first)))
}

/// Takes an image out of its table, and its manifests out of theirs.
fn forget(tx: &mut WriteTx<'_>, id: Digest) -> Result<()> {
    tx.remove(&IMAGES, &id);
    for (digest, manifest) in tx.list(&MANIFESTS)? {
        if manifest.image == id {
            tx.remove(&MANIFESTS, &digest);
        }
    }
    Ok(())
}

/// Takes the image out of the table, or hides it while a container uses it. Returns the layers that go with it.
fn delete_or_hide(
    tx: &mut WriteTx<'_>,
    id: Digest,
    record: ImageRecord,
    used: bool,
    frozen: bool,
    done: &mut Vec<Removed>,
) -> Result<Vec<LayerRecord>> {
    if used {
        tx.put(&IMAGES, &id, &ImageRecord { removed: true, ..record })?;
        return Ok(Vec::new());
    }
    forget(tx, id)?;
    if frozen {
        return Ok(Vec::new());
    }
    let chain = chain_ids(&record.layers);
    let before: BTreeSet<Digest> = tx.list(&LAYERS)?.into_iter().map(|(diff_id, _)| diff_id).collect();
    let gone = unreached(tx, Some(&record.layers))?;
    let after: BTreeSet<Digest> = tx.list(&LAYERS)?.into_iter().map(|(diff_id, _)| diff_id).collect();
    let is_gone = |diff_id: &Digest| before.contains(diff_id) && !after.contains(diff_id);
    let told = record.layers.iter().zip(&chain).rev().filter(|(diff_id, _)| is_gone(diff_id));
    done.extend(told.map(|(_, chain)| Removed::Deleted(chain.to_string())));
    Ok(gone)
}

/// Whether an image, a layer or a registry's repository needs some content.
pub(crate) fn is_known(tx: &ReadTx<'_>, digest: &ContentDigest) -> Result<bool> {
    if let Some(digest) = digest.sha256()
        && (tx.get(&IMAGES, &digest)?.is_some()
            || tx.list(&LAYERS)?.iter().any(|(_, layer)| layer.blob == digest))
    {
        return Ok(true);
    }
    distribution::is_held(tx, digest)
}

/// Takes layers that no image has out of the table: of those given, or of all.
fn unreached(tx: &mut WriteTx<'_>, of: Option<&[Digest]>) -> Result<Vec<LayerRecord>> {
    let reached: BTreeSet<Digest> =
        tx.list(&IMAGES)?.into_iter().flat_map(|(_, image)| image.layers).collect();
    let mut gone = Vec::new();
    for (diff_id, layer) in tx.list(&LAYERS)? {
        if !reached.contains(&diff_id) && of.is_none_or(|of| of.contains(&diff_id)) {
            tx.remove(&LAYERS, &diff_id);
            tx.remove(&PACKED, &diff_id);
            tx.remove(&PACKED_ZSTD, &diff_id);
            gone.push(layer);
        }
    }
    Ok(gone)
}
