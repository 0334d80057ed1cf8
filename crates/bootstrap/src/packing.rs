//! Unpacks what archives hold: gzip, xz, zstd, or nothing.

use crate::error::Error;
use std::io::{self, BufReader, Read};

/// The most memory that a packed file may ask for, in kB: xz's highest level takes 64 MiB for its dictionary.
const XZ_MEMORY_KB_MAX: u32 = 160 << 10;
/// zstd's window, as a power of two: 128 MiB, as zstd(1) itself allows.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How a file is packed, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    /// By the end of a name: `.xz`, or none.
    pub(crate) fn of_end(end: &str) -> Option<Packing> {
        Some(match end {
            "" => Packing::Plain,
            ".gz" => Packing::Gzip,
            ".xz" => Packing::Xz,
            ".zst" => Packing::Zstd,
            _ => return None,
        })
    }

    /// Reads what is packed.
    pub(crate) fn unpack<'r>(self, input: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
        Ok(match self {
            Packing::Plain => Box::new(input),
            Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
            Packing::Xz => {
                Box::new(lzma_rust2::XzReader::new_mem_limit(BufReader::new(input), true, XZ_MEMORY_KB_MAX))
            }
            Packing::Zstd => {
                let mut reader = zstd::Decoder::new(input)?;
                reader.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(reader)
            }
        })
    }
}

/// Bounds how much comes out of something.
pub(crate) struct Bounded<R> {
    pub(crate) input: R,
    pub(crate) left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.left = self
            .left
            .checked_sub(got as u64)
            .ok_or_else(|| io::Error::other("it is bigger unpacked than anything that makes sense"))?;
        Ok(got)
    }
}

/// An error of reading a package.
pub(crate) fn package_error(path: &std::path::Path) -> impl Fn(io::Error) -> Error + '_ {
    |source| Error::Package { path: path.to_owned(), source }
}
