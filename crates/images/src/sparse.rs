//! Files with holes in tar archives: GNU's old format and the three versions of its PAX format.
//!
//! See "Storing Sparse Files" of the GNU tar manual. A map lists the pieces that the archive holds data for; the rest
//! of the file is a hole.

use crate::tarball::{BLOCK_BYTES, TarError, decimal, number};

/// Pieces that one file may have.
const PIECES_MAX: usize = 1 << 16;

/// Where the data of a sparse file belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// Bytes of the file with its holes.
    pub(crate) real_size: u64,
    /// Offset and length of each piece, ascending.
    pub(crate) pieces: Vec<(u64, u64)>,
}

impl Sparse {
    /// Adds the pieces of a header or an extension block of the old format: pairs of twelve bytes.
    pub(crate) fn add_old(&mut self, fields: &[u8]) -> Result<(), TarError> {
        for pair in fields.chunks_exact(24) {
            if pair[0] == 0 || pair[12] == 0 {
                break;
            }
            let offset = number(&pair[..12]).ok_or(TarError::Sparse)?;
            let length = number(&pair[12..]).ok_or(TarError::Sparse)?;
            push(&mut self.pieces, offset, length)?;
        }
        Ok(())
    }

    /// Itself, if its pieces ascend, stay within the file and are as long as the data.
    pub(crate) fn checked(self, data_bytes: u64) -> Result<Sparse, TarError> {
        let mut end = 0u64;
        let mut sum = 0u64;
        for &(offset, length) in &self.pieces {
            if offset < end {
                return Err(TarError::Sparse);
            }
            end = offset.checked_add(length).ok_or(TarError::Sparse)?;
            sum = sum.checked_add(length).ok_or(TarError::Sparse)?;
        }
        let fits = end <= self.real_size && sum == data_bytes && i64::try_from(self.real_size).is_ok();
        if fits { Ok(self) } else { Err(TarError::Sparse) }
    }
}

/// What PAX records say of a sparse file.
pub(crate) struct Records {
    pub(crate) real_size: u64,
    /// The map; `None` when it stands in front of the data (version 1.0).
    pub(crate) map: Option<Vec<(u64, u64)>>,
}

/// Collects the `GNU.sparse.*` records of one entry.
#[derive(Default)]
pub(crate) struct Collected {
    major: u64,
    real_size: Option<u64>,
    offset: Option<u64>,
    pieces: Option<Vec<(u64, u64)>>,
}

impl Collected {
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), TarError> {
        let value_number = || decimal(value).ok_or(TarError::Sparse);
        match name {
            b"major" => self.major = value_number()?,
            b"realsize" | b"size" => self.real_size = Some(value_number()?),
            b"offset" => self.offset = Some(value_number()?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or(TarError::Sparse)?;
                push(self.pieces.get_or_insert_default(), offset, value_number()?)?;
            }
            b"map" => {
                let pieces = self.pieces.get_or_insert_default();
                let numbers: Option<Vec<u64>> = value.split(|&byte| byte == b',').map(decimal).collect();
                let numbers = numbers.ok_or(TarError::Sparse)?;
                if numbers.len() % 2 != 0 {
                    return Err(TarError::Sparse);
                }
                for pair in numbers.chunks_exact(2) {
                    push(pieces, pair[0], pair[1])?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Option<Records>, TarError> {
        let Some(real_size) = self.real_size else { return Ok(None) };
        match (self.major, self.pieces) {
            (1, _) => Ok(Some(Records { real_size, map: None })),
            (0, Some(pieces)) => Ok(Some(Records { real_size, map: Some(pieces) })),
            _ => Err(TarError::Sparse),
        }
    }
}

/// Reads the map of version 1.0: decimal numbers, a line each, filled up to a whole block.
pub(crate) fn read_map(
    mut read_block: impl FnMut(&mut [u8; BLOCK_BYTES]) -> Result<(), TarError>,
) -> Result<Vec<(u64, u64)>, TarError> {
    let mut block = [0; BLOCK_BYTES];
    let mut at = BLOCK_BYTES;
    let mut line = || -> Result<u64, TarError> {
        let mut digits = Vec::new();
        loop {
            if at == BLOCK_BYTES {
                read_block(&mut block)?;
                at = 0;
            }
            let byte = block[at];
            at += 1;
            if byte == b'\n' && !digits.is_empty() {
                return decimal(&digits).ok_or(TarError::Sparse);
            }
            if !byte.is_ascii_digit() || digits.len() >= 20 {
                return Err(TarError::Sparse);
            }
            digits.push(byte);
        }
    };
    let count = line()?;
    let mut pieces = Vec::new();
    for _ in 0..count {
        let (offset, length) = (line()?, line()?);
        push(&mut pieces, offset, length)?;
    }
    Ok(pieces)
}

fn push(pieces: &mut Vec<(u64, u64)>, offset: u64, length: u64) -> Result<(), TarError> {
    if pieces.len() >= PIECES_MAX {
        return Err(TarError::Sparse);
    }
    pieces.push((offset, length));
    Ok(())
}
