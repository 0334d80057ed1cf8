//! Tells how a stream is compressed by its first bytes, and unpacks it.

use crate::pieces::{PiecePacker, pack_all};
use crate::records::Packing;
use crate::tarball::{self, BLOCK_BYTES};
use crate::{Error, Result};
use std::io::{self, Read, Write};

/// First bytes of compressions that are recognised and refused.
const REFUSED: [(&[u8], &str); 3] = [(b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"\x1f\x9d", "compress")];
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// Bytes that are read to tell what a stream is.
pub(crate) const HEAD_BYTES: usize = BLOCK_BYTES;

/// How `head`, the beginning of `what`, is compressed.
pub(crate) fn packing_of(head: &[u8], what: &str) -> Result<Packing> {
    if let Some((_, name)) = REFUSED.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(Error::Compression { what: what.to_owned(), name });
    }
    Ok(match () {
        () if head.starts_with(GZIP) => Packing::Gzip,
        () if head.starts_with(ZSTD) => Packing::Zstd,
        () => Packing::Plain,
    })
}

/// Whether a stream that begins with `head` is a tar archive, an empty one included.
pub(crate) fn is_tar(head: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK_BYTES]>::try_from(head) else { return false };
    block.iter().all(|&byte| byte == 0) || tarball::checksum_fits(block)
}

/// Reads the plain bytes of a stream.
pub(crate) fn plain<'a>(packing: Packing, packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match packing {
        Packing::Plain => Box::new(packed),
        Packing::Gzip => {
            Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(64 << 10, packed)))
        }
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(packed)?),
    })
}

/// How hard zstd tries: as hard as it does by itself.
const ZSTD_LEVEL: i32 = 3;
/// Bytes of a piece that zstd packs by itself.
const ZSTD_PIECE_BYTES: usize = 4 << 20;

/// Packs all of `input`. The same bytes always become the same bytes.
pub(crate) fn pack_as(packing: Packing, input: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    match packing {
        Packing::Plain => io::copy(input, out).map(drop),
        Packing::Gzip => crate::gzip::pack(input, out),
        Packing::Zstd => {
            let frames = || Ok(Frames(zstd::bulk::Compressor::new(ZSTD_LEVEL)?));
            pack_all(input, ZSTD_PIECE_BYTES, frames, |bytes, ()| out.write_all(bytes))
        }
    }
}

/// Packs each piece as a frame of its own: readers read frames on and on (RFC 8878, 3).
struct Frames(zstd::bulk::Compressor<'static>);

impl PiecePacker for Frames {
    type Note = ();

    fn pack(&mut self, _before: &[u8], piece: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
        *packed = self.0.compress(piece)?;
        Ok(())
    }
}

/// Reads the beginning of a stream, as much as there is of `HEAD_BYTES`.
pub(crate) fn read_head(input: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    input.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}
