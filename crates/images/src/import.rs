//! Makes images from other things than archives of images: from a root file system, and from single files.

use crate::change::Change;
use crate::config::{HistoryEntry, ImageConfig, ImageFile, RootFs};
use crate::contents::NewImage;
use crate::home::{Stage, StagedLayer};
use crate::intake::with_intake;
use crate::load::new_image;
use crate::packing::{is_tar, packing_of, read_head};
use crate::records::Packing;
use crate::tarwrite::TarWriter;
use crate::{Error, Images, Platform, Reference, Result};
use base::Time;
use model::ImageId;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Read};

/// One file or directory of an image that is put together; owned by root. Parents come before what is in them.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    /// Its path, without a leading slash.
    pub path: &'a str,
    /// Its permission bits.
    pub mode: u32,
    /// Its content; `None` for a directory.
    pub bytes: Option<&'a [u8]>,
}

impl Images {
    /// Makes an image of one layer from the archive of a root file system, plain or packed.
    ///
    /// # Errors
    /// [`Error::Change`] for a change that makes no sense; otherwise as [`Images::load`].
    pub fn import(
        &self,
        rootfs: &mut dyn Read,
        reference: Option<Reference>,
        message: &str,
        changes: &[Change],
        platform: &Platform,
    ) -> Result<ImageId> {
        let mut config = ImageConfig::default();
        Change::apply_all(changes, &mut config)?;
        let now = self.clock.now();
        let history =
            HistoryEntry { created: Some(now), comment: message.to_owned(), ..HistoryEntry::default() };
        self.of_one_layer(rootfs, reference, platform, config, history)
    }

    /// Makes an image of one layer from single files. The same pieces, configuration and time give the same image.
    ///
    /// # Errors
    /// As [`Images::load`].
    pub fn assemble(
        &self,
        pieces: &[Piece<'_>],
        config: ImageConfig,
        created: Time,
        created_by: &str,
        reference: Option<Reference>,
    ) -> Result<ImageId> {
        let history = HistoryEntry {
            created: Some(created),
            created_by: created_by.to_owned(),
            ..HistoryEntry::default()
        };
        let mut archive = Parts::of(pieces).map_err(Error::ReadArchive)?;
        self.of_one_layer(&mut archive, reference, &Platform::default(), config, history)
    }

    fn of_one_layer(
        &self,
        rootfs: &mut dyn Read,
        reference: Option<Reference>,
        platform: &Platform,
        config: ImageConfig,
        history: HistoryEntry,
    ) -> Result<ImageId> {
        const WHAT: &str = "the root file system";
        let stage = self.home.stage()?;
        let lease = self.lease_layers();
        let layer = one_layer(&stage, WHAT, rootfs)?;
        let diff_ids = vec![layer.diff_id];
        let file = ImageFile {
            created: history.created,
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            os: platform.os.clone(),
            comment: history.comment.clone(),
            config,
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids },
            history: vec![history],
            ..ImageFile::default()
        };
        let image = made(&file, reference)?;
        let id = image.id;
        self.place(&stage, [layer], &[image])?;
        drop(lease);
        self.sweep(&stage)?;
        Ok(id)
    }
}

/// Takes in the archive of one layer.
pub(crate) fn one_layer(stage: &Stage, what: &str, archive: &mut dyn Read) -> Result<StagedLayer> {
    let head = read_head(archive).map_err(Error::ReadArchive)?;
    if head.is_empty() {
        return Err(Error::Truncated);
    }
    if packing_of(&head, what)? == Packing::Plain && !is_tar(&head) {
        return Err(Error::NotALayer(what.to_owned()));
    }
    let (_, layers) = with_intake(stage, &(), |intake| {
        intake.layer(intake.ticket()?, what, &head, |buffer| archive.read(buffer).map_err(Error::ReadArchive))
    })?;
    layers.into_values().next().ok_or(Error::Truncated)
}

/// The image of a configuration that was put together here.
pub(crate) fn made(file: &ImageFile, reference: Option<Reference>) -> Result<NewImage> {
    let what = "the configuration of an image";
    let config = serde_json::to_vec(file).map_err(|source| Error::Encode { what, source })?;
    let names = reference.map(Reference::with_default_tag).into_iter().collect();
    Ok(new_image(config, file.rootfs.diff_ids.clone(), names))
}

/// An archive put together from headers and borrowed contents, read from the front.
struct Parts<'a> {
    parts: VecDeque<Cow<'a, [u8]>>,
    /// Bytes of the first part that are read.
    at: usize,
}

impl<'a> Parts<'a> {
    fn of(pieces: &[Piece<'a>]) -> io::Result<Parts<'a>> {
        let mut parts = VecDeque::new();
        // Fixed times: the same files always make the same layer.
        let mut tar = TarWriter::new(Vec::new(), 0);
        for piece in pieces {
            let Some(bytes) = piece.bytes else {
                tar.directory(piece.path, piece.mode)?;
                continue;
            };
            tar.begin_file(piece.path, piece.mode, bytes.len() as u64)?;
            parts.push_back(Cow::Owned(std::mem::take(tar.out())));
            parts.push_back(Cow::Borrowed(bytes));
            tar.pad(bytes.len() as u64)?;
        }
        parts.push_back(Cow::Owned(tar.finish()?));
        Ok(Parts { parts, at: 0 })
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(part) = self.parts.front() {
            let rest = &part[self.at..];
            if rest.is_empty() {
                self.parts.pop_front();
                self.at = 0;
                continue;
            }
            let got = rest.len().min(buffer.len());
            buffer[..got].copy_from_slice(&rest[..got]);
            self.at += got;
            return Ok(got);
        }
        Ok(0)
    }
}
