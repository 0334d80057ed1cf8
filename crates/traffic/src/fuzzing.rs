//! Doors for the fuzzers in `fuzz/`: foreign bytes in, and a panic where something that should hold does not. Whether the
//! bytes were of any use is returned, so that a fuzzer can tell.

use crate::names::message::{Transport, grow_older, look, read, refuse};
use domain::base::Message;
use std::net::{IpAddr, Ipv4Addr};

/// Bytes of a datagram's answer, whatever its asker says.
const DATAGRAM_BYTES_MIN: usize = 512;

/// What a container sends: whatever it is answered can be read, fits, and is about the same question.
pub fn query(bytes: &[u8]) -> bool {
    let mut out = Vec::new();
    let query = match read(bytes) {
        Ok(query) => query,
        Err(unfit) => {
            if refuse(bytes, unfit, &mut out) {
                let answer = Message::from_slice(&out).unwrap_or_else(|_| panic!("a refusal is no message"));
                assert!(answer.header().qr() && answer.question().count() == 0);
            }
            return false;
        }
    };
    assert!(query.name().is_none_or(|name| name.len() < 256));
    for transport in [Transport::Datagram, Transport::Stream] {
        let most = query.bytes_max(transport);
        assert!(most >= DATAGRAM_BYTES_MIN);
        let addresses = (0..300_u32).map(|number| IpAddr::V4(Ipv4Addr::from(number)));
        query.answer_addresses(&mut out, addresses, transport);
        is_sound(&out, most);
        assert!(query.is_answered_by(&out, query.id()));
        query.answer_name(&mut out, query.name().unwrap_or("a.b"));
        is_sound(&out, most);
        // Another server's answer to it, as long as can be.
        out.resize(65_535, 0);
        query.pass_on(&mut out, transport);
        assert!(out.len() <= most.max(65_535) && out[..2] == query.id());
    }
    true
}

/// What we write can be read.
fn is_sound(answer: &[u8], most: usize) {
    assert!(answer.len() <= most, "{} of {most} bytes", answer.len());
    let told = look(answer).unwrap_or_else(|| panic!("an answer of ours is broken"));
    let message = Message::from_slice(answer).unwrap_or_else(|_| panic!("an answer of ours is no message"));
    assert_eq!(told.times.len(), usize::from(message.header_counts().ancount()));
    assert!(message.sole_question().is_ok());
}

/// What another server sends: however old it grows, it says the same.
pub fn answer(bytes: &[u8]) -> bool {
    let Some(told) = look(bytes) else { return false };
    let mut older = bytes.to_vec();
    grow_older(&mut older, &told.times, 1);
    let again = look(&older).unwrap_or_else(|| panic!("it is broken by growing older"));
    assert_eq!((again.rcode, again.times), (told.rcode, told.times));
    // What may not be kept does not grow older.
    if let Some(before) = told.seconds {
        assert!(again.seconds.is_none_or(|seconds| seconds <= before));
    }
    true
}
