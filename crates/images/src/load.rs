//! Takes an archive in: a docker-archive, an OCI layout, or both in one, each packed or plain.
//!
//! The archive may come from a pipe, its table of contents last: whatever looks like a layer is unpacked at once, whatever
//! looks like JSON is remembered, and only when the stream has ended is it said which of them make an image.

use crate::contents::{Contents, Found, NewImage};
use crate::hash::digest_of;
use crate::intake::{Intake, with_intake};
use crate::packing::{HEAD_BYTES, is_tar, packing_of, plain, read_head};
use crate::records::{LAYERS, Packing};
use crate::tarball::{Entry, Kind, TarReader};
use crate::{Error, Images, Reference, Result};
use model::{Digest, ImageId};
use std::collections::BTreeMap;
use std::io::Read;

/// Bytes of one JSON file of an archive.
const JSON_BYTES_MAX: u64 = 8 << 20;
/// Bytes of all JSON files of an archive.
const JSON_BYTES_TOTAL_MAX: u64 = 64 << 20;
/// Files of an archive.
const FILES_MAX: usize = 100_000;
/// Progress is told after so many bytes.
const PROGRESS_EVERY_BYTES: u64 = 1 << 20;
/// Where OCI layouts keep everything.
const BLOBS: &str = "blobs/sha256/";

/// How far a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The first digits of the layer's name in the archive.
    pub layer: String,
    /// Bytes of its archive that are read.
    pub current: u64,
    /// Bytes of its archive.
    pub total: u64,
}

/// An image that came out of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The names it got; none leaves it without.
    pub names: Vec<Reference>,
    /// Its id.
    pub id: ImageId,
    /// Names that other images had until now, with the ids of those.
    pub taken: Vec<(Reference, ImageId)>,
}

impl Images {
    /// Takes in every image of an archive, or none. Layers that are here already are not unpacked again.
    ///
    /// # Errors
    /// [`Error::Truncated`] when the archive ends in the middle; what is wrong with it, or with the disk, otherwise.
    /// Nothing is left behind then.
    pub fn load(&self, archive: &mut dyn Read, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Loaded>> {
        let stage = self.home.stage()?;
        // What is here already must stay until the images that need it are in the table.
        let lease = self.lease_layers();
        let head = read_head(archive).map_err(Error::ReadArchive)?;
        if head.is_empty() {
            return Err(Error::Truncated);
        }
        let packing = packing_of(&head, "the archive")?;
        let whole = plain(packing, std::io::Cursor::new(head).chain(archive)).map_err(Error::ReadArchive)?;
        let known = self.store.read(|tx| -> Result<_> {
            let layers = tx.list(&LAYERS)?;
            Ok(layers.into_iter().map(|(diff_id, layer)| (layer.blob, diff_id)).collect())
        })?;
        let mut whole_archive = false;
        let (contents, layers) = with_intake(&stage, &(), |intake| {
            let mut reading = Reading { intake, known: &known, contents: Contents::default(), json_bytes: 0 };
            let mut tar = TarReader::new(whole);
            reading.all(&mut tar, progress)?;
            whole_archive = tar.end_is_marked();
            Ok(reading.contents)
        })?;
        let images = contents.images(&layers).map_err(|error| match error {
            // It was cut where an entry could begin.
            Error::NoManifest | Error::Missing(_) if !whole_archive => Error::Truncated,
            other => other,
        })?;
        let loaded = self.place(&stage, layers.into_values(), &images)?;
        drop(lease);
        // What was removed in the meantime had to stay until now.
        self.sweep(&stage)?;
        Ok(loaded)
    }
}

struct Reading<'r, 's> {
    intake: &'r Intake<'s>,
    /// Layers that are here, by the digest of the archive as it came.
    known: &'r BTreeMap<Digest, Digest>,
    contents: Contents,
    json_bytes: u64,
}

impl Reading<'_, '_> {
    fn all<R: Read>(&mut self, tar: &mut TarReader<R>, progress: &mut dyn FnMut(Progress)) -> Result<()> {
        while let Some(entry) = tar.next()? {
            if self.contents.len() >= FILES_MAX {
                return Err(Error::TooMany { what: "files", max: FILES_MAX as u64 });
            }
            let Some(name) = name_in_archive(&entry.path, "") else { continue };
            match entry.kind {
                Kind::File => {
                    let found = self.file(&name, &entry, tar, progress)?;
                    self.contents.add(name, found);
                }
                // Older archives hold a layer once and link to it.
                Kind::Symlink => {
                    let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
                    if let Some(target) = name_in_archive(&entry.link, directory) {
                        self.contents.add(name, Found::Link(target));
                    }
                }
                Kind::Hardlink => {
                    if let Some(target) = name_in_archive(&entry.link, "") {
                        self.contents.add(name, Found::Link(target));
                    }
                }
                _ => {}
            }
        }
        Ok(tar.drain()?)
    }

    fn file<R: Read>(
        &mut self,
        name: &str,
        entry: &Entry,
        tar: &mut TarReader<R>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Found> {
        let wanted = name.strip_prefix(BLOBS).and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
        if let Some(diff_id) = wanted.and_then(|blob| self.known.get(&blob)) {
            return Ok(Found::Known(*diff_id));
        }
        let mut head = vec![0; HEAD_BYTES];
        let mut length = 0;
        while length < head.len() {
            match tar.read_data(&mut head[length..])? {
                0 => break,
                got => length += got,
            }
        }
        head.truncate(length);
        let (found, digest) = if is_tar(&head) || packing_of(&head, name)? != Packing::Plain {
            let mut telling = Telling::new(name, entry.size, progress);
            let ticket = self.intake.ticket()?;
            let blob = self.intake.layer(ticket, name, &head, |buffer| {
                let got = tar.read_data(buffer)?;
                telling.more(got as u64);
                Ok(got)
            })?;
            telling.done();
            (Found::Layer(ticket), blob)
        } else {
            let Some(bytes) = self.json(head, entry.size, tar)? else { return Ok(Found::Other) };
            let digest = digest_of(&bytes);
            (Found::Json(bytes), digest)
        };
        match wanted {
            Some(wanted) if wanted != digest => {
                Err(Error::Digest { name: name.to_owned(), wanted, found: digest })
            }
            _ => Ok(found),
        }
    }

    /// The rest of a small file; `None` for one that is too big to mean anything.
    fn json<R: Read>(&mut self, head: Vec<u8>, size: u64, tar: &mut TarReader<R>) -> Result<Option<Vec<u8>>> {
        if size > JSON_BYTES_MAX {
            return Ok(None);
        }
        self.json_bytes += size;
        if self.json_bytes > JSON_BYTES_TOTAL_MAX {
            return Err(Error::TooMany { what: "bytes of JSON", max: JSON_BYTES_TOTAL_MAX });
        }
        let mut bytes = head;
        let mut done = bytes.len();
        bytes.resize(size as usize, 0);
        while done < bytes.len() {
            match tar.read_data(&mut bytes[done..])? {
                0 => return Err(Error::Truncated),
                got => done += got,
            }
        }
        Ok(Some(bytes))
    }
}

/// Tells progress, not too often.
struct Telling<'p> {
    tell: &'p mut dyn FnMut(Progress),
    now: Progress,
    told: u64,
}

impl<'p> Telling<'p> {
    fn new(name: &str, total: u64, tell: &'p mut dyn FnMut(Progress)) -> Telling<'p> {
        // `blobs/sha256/<digest>`, or `<id>/layer.tar`.
        let id = name.strip_prefix(BLOBS).or_else(|| name.split('/').next()).unwrap_or(name);
        let layer = id.chars().take(12).collect();
        Telling { tell, now: Progress { layer, current: 0, total }, told: 0 }
    }

    fn more(&mut self, bytes: u64) {
        self.now.current = (self.now.current + bytes).min(self.now.total);
        if self.now.current - self.told >= PROGRESS_EVERY_BYTES {
            self.told = self.now.current;
            (self.tell)(self.now.clone());
        }
    }

    fn done(mut self) {
        self.now.current = self.now.total;
        (self.tell)(self.now);
    }
}

/// The path of a file within the archive, as its table of contents would write it. Links begin at `directory`.
fn name_in_archive(path: &[u8], directory: &str) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// One image with the names that it gets, for those who make images from other things than archives.
pub(crate) fn new_image(config: Vec<u8>, layers: Vec<Digest>, names: Vec<Reference>) -> NewImage {
    NewImage { id: ImageId(digest_of(&config)), config, layers, names, manifest: None }
}
