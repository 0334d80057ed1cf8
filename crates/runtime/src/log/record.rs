//! One record as bytes: a header of 16, the text, and the whole record's length once more.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | nanoseconds since 1970, little-endian like all numbers here |
//! | 8..12 | length of the text |
//! | 12 | stream: 1 standard output, 2 standard error |
//! | 13 | 1 if the line goes on in the next record of this stream |
//! | 14..16 | the mark `0xb0 0xca` |
//! | 16.. | the text, with its newline if it ends a line |
//! | last 4 | length of the whole record |

use super::LINE_BYTES_MAX;
use crate::shim::wire::Stream;
use base::Time;

const HEADER_BYTES: usize = 16;
const TRAILER_BYTES: usize = 4;
const MARK: [u8; 2] = [0xb0, 0xca];

/// What a record adds to its text, in bytes.
pub(super) const OVERHEAD_BYTES: usize = HEADER_BYTES + TRAILER_BYTES;
/// The longest record, in bytes.
pub(super) const RECORD_BYTES_MAX: usize = LINE_BYTES_MAX + OVERHEAD_BYTES;

/// One line of a log, or a part of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was written.
    pub time: Time,
    /// By which stream.
    pub stream: Stream,
    /// Whether the line goes on in the next record of this stream.
    pub partial: bool,
    /// The bytes as they were written, with the newline if they end a line.
    pub text: Vec<u8>,
}

/// Appends a record. The text must not be longer than [`LINE_BYTES_MAX`].
pub(super) fn encode(out: &mut Vec<u8>, time: Time, stream: Stream, partial: bool, text: &[u8]) {
    debug_assert!(text.len() <= LINE_BYTES_MAX);
    let nanos = u64::try_from(time.unix_nanos()).unwrap_or(0);
    out.extend_from_slice(&nanos.to_le_bytes());
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.push(stream.number());
    out.push(u8::from(partial));
    out.extend_from_slice(&MARK);
    out.extend_from_slice(text);
    out.extend_from_slice(&((text.len() + OVERHEAD_BYTES) as u32).to_le_bytes());
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The record at the beginning of `bytes` and its length. None if it is not whole or is none.
pub(super) fn decode(bytes: &[u8]) -> Option<(Record, usize)> {
    let header = bytes.get(..HEADER_BYTES)?;
    let length = number(header, 8)? as usize;
    if header[14..] != MARK || length > LINE_BYTES_MAX {
        return None;
    }
    let whole = length + OVERHEAD_BYTES;
    if number(bytes, HEADER_BYTES + length)? as usize != whole {
        return None;
    }
    let nanos = u64::from_le_bytes(header[..8].try_into().ok()?);
    let record = Record {
        time: Time::from_unix_nanos(i128::from(nanos)),
        stream: Stream::from_number(header[12])?,
        partial: header[13] != 0,
        text: bytes[HEADER_BYTES..HEADER_BYTES + length].to_vec(),
    };
    Some((record, whole))
}

/// The length of the record that ends where `bytes` end, if one does.
pub(super) fn last_length(bytes: &[u8]) -> Option<usize> {
    let length = number(bytes, bytes.len().checked_sub(TRAILER_BYTES)?)? as usize;
    let start = bytes.len().checked_sub(length)?;
    decode(&bytes[start..]).filter(|(_, whole)| *whole == length).map(|_| length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_from_either_end(
            nanos in 0..i64::MAX, error in any::<bool>(), partial in any::<bool>(),
            text in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let stream = if error { Stream::Stderr } else { Stream::Stdout };
            let time = Time::from_unix_nanos(i128::from(nanos));
            let mut bytes = vec![7; 5];
            encode(&mut bytes, time, stream, partial, &text);
            let (record, length) = decode(&bytes[5..]).unwrap();
            prop_assert_eq!(&record, &Record { time, stream, partial, text });
            prop_assert_eq!(length, bytes.len() - 5);
            prop_assert_eq!(last_length(&bytes), Some(length));
            prop_assert!(decode(&bytes[5..bytes.len() - 1]).is_none());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (decode(&bytes), last_length(&bytes));
        }
    }
}
