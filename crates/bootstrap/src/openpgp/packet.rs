//! Packets: a type, a length, a body (RFC 9580, 4).

/// Packets of one file.
const PACKETS_MAX: usize = 100_000;

/// Types of packets (5).
pub(super) const SIGNATURE: u8 = 2;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const USER: u8 = 13;
pub(super) const PUBLIC_SUBKEY: u8 = 14;
pub(super) const USER_ATTRIBUTE: u8 = 17;

/// One packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'b> {
    pub(super) kind: u8,
    pub(super) body: &'b [u8],
}

/// Takes bytes from the front; none if there are not so many.
pub(super) fn take<'b>(rest: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

/// Takes a number of `count` bytes, at most four, the greatest first.
pub(super) fn number(rest: &mut &[u8], count: usize) -> Option<u32> {
    take(rest, count).map(|bytes| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

/// Takes an integer of any size, without zeros in front (3.2).
pub(super) fn integer<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let bits = number(rest, 2)? as usize;
    let bytes = take(rest, bits.div_ceil(8))?;
    Some(&bytes[bytes.iter().take_while(|byte| **byte == 0).count()..])
}

/// The packets of a file.
///
/// # Errors
/// They are none.
pub(super) fn packets(bytes: &[u8]) -> Result<Vec<Packet<'_>>, &'static str> {
    const CUT: &str = "it ends in the middle of a packet";
    let mut rest = bytes;
    let mut packets = Vec::new();
    while let Some(first) = take(&mut rest, 1) {
        let first = first[0];
        let (kind, length) = match first >> 6 {
            // 4.2.1
            0b11 => (first & 0x3f, length(&mut rest).ok_or(CUT)?),
            // 4.2.2: the old form, which most keyrings have.
            0b10 => {
                let octets = match first & 3 {
                    3 => return Err("it has a packet without a length"),
                    size => 1 << size,
                };
                (first >> 2 & 0xf, Some(number(&mut rest, octets).ok_or(CUT)?))
            }
            _ => return Err("it is no OpenPGP"),
        };
        let length = length.ok_or("it has a packet in several parts")?;
        let body = take(&mut rest, length as usize).ok_or(CUT)?;
        packets.push(Packet { kind, body });
        if packets.len() > PACKETS_MAX {
            return Err("it has too many packets");
        }
    }
    Ok(packets)
}

/// A length of the new form; the inner none is a part, after which more would come.
fn length(rest: &mut &[u8]) -> Option<Option<u32>> {
    Some(match number(rest, 1)? {
        short @ ..=191 => Some(short),
        high @ 192..=223 => Some(((high - 192) << 8) + number(rest, 1)? + 192),
        255 => Some(number(rest, 4)?),
        _ => None,
    })
}

/// Takes the length of a subpacket (5.2.3.7), which differs from a packet's: there are no parts.
pub(super) fn subpacket_length(rest: &mut &[u8]) -> Option<usize> {
    Some(match number(rest, 1)? {
        short @ ..=191 => short,
        high @ 192..=254 => ((high - 192) << 8) + number(rest, 1)? + 192,
        _ => number(rest, 4)?,
    } as usize)
}
