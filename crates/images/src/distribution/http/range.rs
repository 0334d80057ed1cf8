//! Ranges of bytes: what a reader wants of a blob (RFC 9110, section 14), and which piece of one a writer sends
//! (distribution specification 1.1, "Pushing a blob in chunks").

use std::ops::Range;

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: there is no header, or one that is of no use here, as several ranges are.
    All,
    /// These bytes.
    Part(Range<u64>),
    /// None that there are.
    Nothing,
}

/// Reads a `Range` header for content of so many bytes.
pub(super) fn wanted(header: Option<&str>, bytes: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Wanted::All;
    };
    let Some((first, last)) = spec.split_once('-') else { return Wanted::All };
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        // The last bytes.
        (None, Some(count)) if first.is_empty() => match count.min(bytes) {
            0 => Wanted::Nothing,
            count => Wanted::Part(bytes - count..bytes),
        },
        (Some(first), None) if last.is_empty() => part(first, bytes, bytes),
        (Some(first), Some(last)) => part(first, last.saturating_add(1), bytes),
        _ => Wanted::All,
    }
}

fn part(start: u64, end: u64, bytes: u64) -> Wanted {
    let end = end.min(bytes);
    if start < end { Wanted::Part(start..end) } else { Wanted::Nothing }
}

/// Reads the `Content-Range` of a piece: `first-last`, both of them part of it.
pub(super) fn piece(header: &str) -> Option<Range<u64>> {
    let (first, last) = header.trim().split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then(|| first..last.saturating_add(1))
}

/// Digits and nothing else: no sign, no space.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_range_is_cut_to_what_there_is() {
        for (header, expected) in [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=5-", Wanted::Part(5..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=90-1000", Wanted::Part(90..100)),
            ("bytes=99-99", Wanted::Part(99..100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=5-0", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=0-1,5-6", Wanted::All),
            ("lines=0-1", Wanted::All),
        ] {
            assert_eq!(wanted(Some(header), 100), expected, "{header}");
        }
        assert_eq!(wanted(None, 100), Wanted::All);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }

    #[test]
    fn a_piece_has_two_numbers_in_their_order() {
        assert_eq!(piece("0-9"), Some(0..10));
        for bad in ["", "-", "0", "9-0", "+1-2", "bytes 0-9/10", "0-9/10", "0--1"] {
            assert_eq!(piece(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_wanted_lies_within_the_content(header in "bytes=[0-9]{0,20}-[0-9]{0,20}", bytes: u64) {
            if let Wanted::Part(part) = wanted(Some(&header), bytes) {
                prop_assert!(part.start < part.end && part.end <= bytes);
            }
        }

        #[test]
        fn no_header_makes_the_reader_panic(text in "\\PC*", bytes: u64) {
            let _ = (wanted(Some(&text), bytes), piece(&text));
        }
    }
}
