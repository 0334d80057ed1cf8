//! Packs with gzip (RFC 1952), by several threads, as pigz does: one stream that every reader reads.
//!
//! Each piece is deflated (RFC 1951) by itself, with the end of the piece before it as its dictionary, and ends with a flush, that is
//! at a whole byte. So the pieces stand behind one another, and an empty block ends them. Checksums of pieces are joined.
//!
//! The same bytes always become the same bytes: nothing of time, place or threads is in them.

use crate::pieces::{PiecePacker, pack_all};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::io::{self, Read, Write};

/// How hard it tries: most of what gzip can do, at several times the speed of all of it.
const LEVEL: u32 = 3;
/// Bytes of a piece.
const PIECE_BYTES: usize = 512 << 10;
/// How far back deflate looks.
const WINDOW_BYTES: usize = 32 << 10;
/// Deflated, no name, no time, no flags, an unknown system (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// The last block, with nothing in it (RFC 1951, 3.2.6).
const LAST_BLOCK: [u8; 2] = [3, 0];
/// By how much room for packed bytes grows at least.
const ROOM_BYTES: usize = 64 << 10;

/// Packs all of `input`.
///
/// # Errors
/// Those of reading and writing.
pub(crate) fn pack(input: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    pack_in(PIECE_BYTES, input, out)
}

fn pack_in(piece_bytes: usize, input: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&HEADER)?;
    let mut whole = Crc::new();
    let packer = || Ok(Deflater(Compress::new(Compression::new(LEVEL), false)));
    pack_all(input, piece_bytes, packer, |bytes, piece: Crc| {
        whole.combine(&piece);
        out.write_all(bytes)
    })?;
    out.write_all(&LAST_BLOCK)?;
    out.write_all(&whole.sum().to_le_bytes())?;
    // The length is told modulo 2^32.
    out.write_all(&whole.amount().to_le_bytes())
}

struct Deflater(Compress);

impl PiecePacker for Deflater {
    type Note = Crc;

    fn pack(&mut self, before: &[u8], piece: &[u8], packed: &mut Vec<u8>) -> io::Result<Crc> {
        self.0.reset();
        let window = &before[before.len().saturating_sub(WINDOW_BYTES)..];
        if !window.is_empty() {
            self.0.set_dictionary(window)?;
        }
        packed.reserve(piece.len() / 2);
        loop {
            packed.reserve(ROOM_BYTES);
            let taken = usize::try_from(self.0.total_in()).unwrap_or(usize::MAX);
            let status = self.0.compress_vec(&piece[taken..], packed, FlushCompress::Sync)?;
            // Room that is left says that nothing is held back (zlib.h, `deflate`).
            if packed.len() < packed.capacity() || status == Status::BufError {
                break;
            }
        }
        let mut crc = Crc::new();
        crc.update(piece);
        Ok(crc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small pieces do for tests.
    const PIECE: usize = 64 << 10;

    /// Bytes that repeat themselves near and far, and some that do not.
    fn bytes(length: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|at| if at % 1000 < 600 { (at % 251) as u8 } else { byte() }).collect()
    }

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        pack_in(PIECE, &mut &plain[..], &mut out).unwrap();
        out
    }

    #[test]
    fn whatever_is_packed_comes_out_again_as_one_stream() {
        for length in [0, 1, WINDOW_BYTES, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 77] {
            let plain = bytes(length);
            let mut back = Vec::new();
            // This reader knows one stream and checks the sum and the length of it.
            flate2::read::GzDecoder::new(&packed(&plain)[..]).read_to_end(&mut back).unwrap();
            assert!(back == plain, "{length} bytes");
        }
    }

    #[test]
    fn bytes_that_cannot_be_packed_grow_by_little() {
        let mut state = 1_u64;
        let plain: Vec<u8> = (0..PIECE + 5)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        let packed = packed(&plain);
        assert!(packed.len() < plain.len() + plain.len() / 100, "{}", packed.len());
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
        assert!(back == plain);
    }

    #[test]
    fn a_piece_knows_what_came_before_it() {
        // Deflate looks back a little less than its window.
        let one = bytes(WINDOW_BYTES / 2);
        let often: Vec<u8> = one.iter().copied().cycle().take(PIECE + WINDOW_BYTES).collect();
        let once = packed(&often[..PIECE]).len();
        let more = packed(&often).len() - once;
        assert!(more < 2000, "the last bytes were there before, and took {more}");
    }

    #[test]
    fn the_same_bytes_become_the_same_bytes() {
        let plain = bytes(4 * PIECE + 3);
        assert_eq!(packed(&plain), packed(&plain));
    }
}
