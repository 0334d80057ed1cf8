//! Messages of DNS, RFC 1035: queries are read, answers about members are written, and what other servers say is passed on as
//! it came, after a look at how long it may be kept.
//!
//! Reading is the library's: it never looks behind the end of a message and follows no loop. Writing is ours, as an answer
//! has one form only: the query's own question, and records whose names point at it.

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::name::ToLabelIter;
use domain::base::{Message, ParsedName};
use domain::dep::octseq::Parser;
use std::net::IpAddr;

/// Bytes of a message's header.
const HEADER_BYTES: usize = 12;
/// Bytes of an answer to a datagram whose sender says nothing else, RFC 1035 4.2.1.
const DATAGRAM_BYTES: usize = 512;
/// Bytes of any answer.
pub(crate) const MESSAGE_BYTES_MAX: usize = 65_535;
/// Bytes of a name as text.
const NAME_BYTES_MAX: usize = 255;
/// How long an answer about a member may be kept, as Docker says it.
const MEMBER_SECONDS: u32 = 600;
/// What we say we take in a datagram: what no path needs to cut in pieces.
const OWN_DATAGRAM_BYTES: u16 = 1232;
/// A name that points at the question's.
const QUESTION_NAME: [u8; 2] = [0xc0, HEADER_BYTES as u8];
// Bits of the third and fourth byte.
const RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TRUNCATED: u8 = 0x02;
const RECURSION_DESIRED: u8 = 0x01;
const RECURSION_AVAILABLE: u8 = 0x80;
const CHECKING_DISABLED: u8 = 0x10;
/// `BADVERS`, RFC 6891: its upper bits go into the record of EDNS.
const BAD_VERSION: u8 = 1;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Datagram,
    Stream,
}

/// What a query says of EDNS, RFC 6891.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edns {
    bytes_max: u16,
    dnssec_ok: bool,
    has_options: bool,
}

/// A query that can be answered.
pub(crate) struct Query<'a> {
    bytes: &'a [u8],
    /// Where the question ends.
    question_end: usize,
    rtype: Rtype,
    class: Class,
    name: [u8; NAME_BYTES_MAX],
    name_bytes: usize,
    /// Whether the name is of the form that a member's may have.
    is_plain: bool,
    edns: Option<Edns>,
}

/// What becomes of a message that cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Nothing: it is no query at all.
    Silence,
    /// An error: the header with this code.
    Error(Rcode),
    /// Its EDNS is of a later version.
    Version,
}

/// Reads a query.
pub(crate) fn read(bytes: &[u8]) -> Result<Query<'_>, Unfit> {
    let message = Message::from_slice(bytes).map_err(|_| Unfit::Silence)?;
    let header = message.header();
    if header.qr() {
        return Err(Unfit::Silence);
    }
    if header.opcode() != Opcode::QUERY {
        return Err(Unfit::Error(Rcode::NOTIMP));
    }
    let malformed = Unfit::Error(Rcode::FORMERR);
    let question = message.sole_question().map_err(|_| malformed)?;
    let mut query = Query {
        bytes,
        question_end: 0,
        rtype: question.qtype(),
        class: question.qclass(),
        name: [0; NAME_BYTES_MAX],
        name_bytes: 0,
        is_plain: true,
        edns: None,
    };
    let name = question.qname();
    let mut parser = Parser::from_ref(bytes);
    parser.advance(HEADER_BYTES).map_err(|_| malformed)?;
    ParsedName::skip(&mut parser).map_err(|_| malformed)?;
    // A name that points elsewhere has nowhere to point to, as it is the first one: it has to stand there whole.
    if parser.pos() != HEADER_BYTES + usize::from(name.compose_len()) {
        return Err(malformed);
    }
    query.question_end = parser.pos() + 4;
    for label in name.iter().filter(|label| !label.is_root()) {
        query.push(label.as_slice());
    }
    query.edns = edns(message, malformed)?;
    Ok(query)
}

fn edns(message: &Message<[u8]>, malformed: Unfit) -> Result<Option<Edns>, Unfit> {
    if message.header_counts().arcount() == 0 {
        return Ok(None);
    }
    // Whatever else is in there must be whole, or it would be passed on broken.
    for record in message.additional().map_err(|_| malformed)? {
        record.map_err(|_| malformed)?;
    }
    let Some(opt) = message.opt() else { return Ok(None) };
    if opt.version() != 0 {
        return Err(Unfit::Version);
    }
    Ok(Some(Edns {
        bytes_max: opt.udp_payload_size(),
        dnssec_ok: opt.dnssec_ok(),
        has_options: !opt.opt().is_empty(),
    }))
}

impl Query<'_> {
    fn push(&mut self, label: &[u8]) {
        if self.name_bytes > 0 {
            self.name[self.name_bytes] = b'.';
            self.name_bytes += 1;
        }
        for byte in label {
            self.is_plain &= byte.is_ascii_graphic() && *byte != b'.';
            self.name[self.name_bytes] = byte.to_ascii_lowercase();
            self.name_bytes += 1;
        }
    }

    /// The name in lower case, without the last dot, if it is one that a member could have.
    pub(crate) fn name(&self) -> Option<&str> {
        let name = self.name.get(..self.name_bytes)?;
        std::str::from_utf8(name).ok().filter(|_| self.is_plain && self.class == Class::IN)
    }

    /// What is asked for.
    pub(crate) fn rtype(&self) -> Rtype {
        self.rtype
    }

    /// Its number.
    pub(crate) fn id(&self) -> [u8; 2] {
        [self.bytes[0], self.bytes[1]]
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// The question alone.
    pub(crate) fn question(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..self.question_end]
    }

    /// Bytes that an answer may have.
    pub(crate) fn bytes_max(&self, transport: Transport) -> usize {
        match transport {
            Transport::Stream => MESSAGE_BYTES_MAX,
            Transport::Datagram => {
                self.edns.map_or(DATAGRAM_BYTES, |edns| usize::from(edns.bytes_max).max(DATAGRAM_BYTES))
            }
        }
    }

    /// What an answer depends on, if it depends on nothing else than this: the question in lower case and the flags.
    pub(crate) fn key(&self) -> Option<Vec<u8>> {
        if self.edns.is_some_and(|edns| edns.has_options) {
            return None;
        }
        let mut key = self.question().to_ascii_lowercase();
        key.push(self.bytes[2] & RECURSION_DESIRED);
        // Authentic data and checking, RFC 6840.
        key.push(self.bytes[3] & 0x30);
        key.push(u8::from(self.edns.is_some()) | u8::from(self.edns.is_some_and(|edns| edns.dnssec_ok)) << 1);
        Some(key)
    }

    /// Begins an answer: header and question.
    fn begin(&self, out: &mut Vec<u8>, rcode: Rcode) {
        begin(out, self.bytes, rcode);
        out.extend_from_slice(self.question());
        out[5] = 1;
    }

    /// Ends it: what we say of EDNS, to those who speak it.
    fn finish(&self, out: &mut Vec<u8>, answers: u16) {
        out[6..8].copy_from_slice(&answers.to_be_bytes());
        if let Some(edns) = self.edns {
            push_edns(out, 0, edns.dnssec_ok);
        }
    }

    /// Bytes that [`Query::finish`] adds.
    fn finish_bytes(&self) -> usize {
        if self.edns.is_some() { EDNS_BYTES } else { 0 }
    }

    /// Writes an answer without records.
    pub(crate) fn answer_empty(&self, out: &mut Vec<u8>, rcode: Rcode) {
        self.begin(out, rcode);
        self.finish(out, 0);
    }

    /// Writes an answer with addresses: as many as there is room for, and where there is not for all, it says so.
    pub(crate) fn answer_addresses(
        &self,
        out: &mut Vec<u8>,
        addresses: impl Iterator<Item = IpAddr>,
        transport: Transport,
    ) {
        self.begin(out, Rcode::NOERROR);
        let room = self.bytes_max(transport) - self.finish_bytes();
        let mut answers = 0;
        for address in addresses {
            let bytes = if address.is_ipv4() { 4 } else { 16 };
            if out.len() + RECORD_BYTES + bytes > room {
                out[2] |= TRUNCATED;
                break;
            }
            match address {
                IpAddr::V4(address) => push_record(out, Rtype::A, &address.octets()),
                IpAddr::V6(address) => push_record(out, Rtype::AAAA, &address.octets()),
            }
            answers += 1;
        }
        self.finish(out, answers);
    }

    /// Writes an answer with a name. One that is too long to be a name on the wire, or for a datagram, is no answer.
    pub(crate) fn answer_name(&self, out: &mut Vec<u8>, name: &str) {
        let mut data = Vec::with_capacity(name.len() + 2);
        for label in name.split('.').filter(|label| !label.is_empty()) {
            // The upper bits of a length mean something else.
            data.push(u8::try_from(label.len()).ok().filter(|length| *length < 64).unwrap_or_default());
            data.extend_from_slice(label.as_bytes());
        }
        data.push(0);
        self.begin(out, Rcode::NOERROR);
        let is_name = data.len() <= NAME_BYTES_MAX && name.split('.').all(|label| label.len() < 64);
        let fits = out.len() + RECORD_BYTES + data.len() + self.finish_bytes() <= DATAGRAM_BYTES;
        if !is_name || !fits {
            return self.answer_empty(out, Rcode::NOERROR);
        }
        push_record(out, Rtype::PTR, &data);
        self.finish(out, 1);
    }

    /// Makes another server's answer to this question one to this query: its number, and its question as it was written.
    /// One that is too long is cut down to saying so.
    pub(crate) fn pass_on(&self, answer: &mut Vec<u8>, transport: Transport) {
        if answer.len() > self.bytes_max(transport) {
            let (flags, rcode) = (answer[2], answer[3]);
            self.begin(answer, Rcode::NOERROR);
            answer[2] = flags | TRUNCATED;
            answer[3] = rcode;
            self.finish(answer, 0);
        }
        answer[..2].copy_from_slice(&self.id());
        answer[HEADER_BYTES..self.question_end].copy_from_slice(self.question());
    }

    /// Whether this is another server's answer to this question, under the number that it was asked by.
    pub(crate) fn is_answered_by(&self, answer: &[u8], id: [u8; 2]) -> bool {
        answer.len() >= self.question_end
            && answer[..2] == id
            && answer[2] & RESPONSE != 0
            && answer[4..6] == [0, 1]
            && answer[HEADER_BYTES..self.question_end].eq_ignore_ascii_case(self.question())
    }
}

fn begin(out: &mut Vec<u8>, query: &[u8], rcode: Rcode) {
    out.clear();
    out.extend_from_slice(&query[..2]);
    out.push(RESPONSE | query[2] & (OPCODE | RECURSION_DESIRED));
    out.push(RECURSION_AVAILABLE | query[3] & CHECKING_DISABLED | rcode.to_int());
    out.extend_from_slice(&[0; 8]);
}

/// Bytes of a record before its data.
const RECORD_BYTES: usize = 12;

/// A record whose name is the question's.
fn push_record(out: &mut Vec<u8>, rtype: Rtype, data: &[u8]) {
    out.extend_from_slice(&QUESTION_NAME);
    out.extend_from_slice(&rtype.to_int().to_be_bytes());
    out.extend_from_slice(&Class::IN.to_int().to_be_bytes());
    out.extend_from_slice(&MEMBER_SECONDS.to_be_bytes());
    out.extend_from_slice(&u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(data);
}

/// Bytes of our record of EDNS.
const EDNS_BYTES: usize = 11;

fn push_edns(out: &mut Vec<u8>, upper_rcode: u8, dnssec_ok: bool) {
    out[11] += 1;
    out.push(0);
    out.extend_from_slice(&Rtype::OPT.to_int().to_be_bytes());
    out.extend_from_slice(&OWN_DATAGRAM_BYTES.to_be_bytes());
    out.extend_from_slice(&[upper_rcode, 0, u8::from(dnssec_ok) << 7, 0, 0, 0]);
}

/// Writes what a message gets that cannot be answered; says whether that is anything.
pub(crate) fn refuse(bytes: &[u8], unfit: Unfit, out: &mut Vec<u8>) -> bool {
    if bytes.len() < HEADER_BYTES {
        return false;
    }
    match unfit {
        Unfit::Silence => return false,
        Unfit::Error(rcode) => begin(out, bytes, rcode),
        Unfit::Version => {
            begin(out, bytes, Rcode::NOERROR);
            push_edns(out, BAD_VERSION, false);
        }
    }
    true
}

/// What is to be known of another server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// What it says of its success.
    pub(crate) rcode: Rcode,
    /// Whether it was cut.
    pub(crate) is_truncated: bool,
    /// How long it may be kept; none if not at all.
    pub(crate) seconds: Option<u32>,
    /// Where in it times stand that count down.
    pub(crate) times: Vec<u16>,
}

/// Looks through another server's answer. None if it is broken.
pub(crate) fn look(answer: &[u8]) -> Option<Told> {
    let message = Message::from_slice(answer).ok()?;
    let (header, counts) = (message.header(), message.header_counts());
    let mut told =
        Told { rcode: header.rcode(), is_truncated: header.tc(), seconds: None, times: Vec::new() };
    let mut parser = Parser::from_ref(answer);
    parser.advance(HEADER_BYTES).ok()?;
    for _ in 0..counts.qdcount() {
        ParsedName::skip(&mut parser).ok()?;
        parser.advance(4).ok()?;
    }
    let (mut least, mut negative) = (u32::MAX, None);
    for (count, is_authority) in
        [(counts.ancount(), false), (counts.nscount(), true), (counts.arcount(), false)]
    {
        for _ in 0..count {
            ParsedName::skip(&mut parser).ok()?;
            let rtype = Rtype::from_int(parser.parse_u16_be().ok()?);
            parser.advance(2).ok()?;
            let at = u16::try_from(parser.pos()).ok()?;
            let seconds = parser.parse_u32_be().ok()?;
            let length = usize::from(parser.parse_u16_be().ok()?);
            let data = parser.parse_octets(length).ok()?;
            if rtype == Rtype::OPT {
                continue;
            }
            told.times.push(at);
            // RFC 2181 8: a time with the highest bit set is none.
            let seconds = if seconds > i32::MAX as u32 { 0 } else { seconds };
            least = least.min(seconds);
            if is_authority && rtype == Rtype::SOA {
                // RFC 2308 5: the last number of it is how long it may be kept that there is nothing.
                negative = data.last_chunk().map(|last| u32::from_be_bytes(*last).min(seconds));
            }
        }
    }
    let has_answers = counts.ancount() > 0;
    told.seconds = match told.rcode {
        _ if told.is_truncated => None,
        Rcode::NOERROR if has_answers => Some(least),
        Rcode::NOERROR | Rcode::NXDOMAIN => negative.map(|negative| negative.min(least)),
        _ => None,
    };
    told.seconds = told.seconds.filter(|seconds| *seconds > 0);
    Some(told)
}

/// Lets the times in an answer count down.
pub(crate) fn grow_older(answer: &mut [u8], times: &[u16], seconds: u32) {
    for at in times {
        let at = usize::from(*at);
        if let Some(time) = answer.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) {
            *time = u32::from_be_bytes(*time).saturating_sub(seconds).to_be_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fuzzing;

    #[test]
    fn what_the_fuzzers_begin_with_and_all_that_is_left_when_it_is_cut_is_read_without_harm() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/names");
        let (mut queries, mut answers) = (0, 0);
        for seed in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(seed.unwrap().path()).unwrap();
            queries += usize::from(fuzzing::query(&bytes));
            answers += usize::from(fuzzing::answer(&bytes));
            for length in 0..bytes.len() {
                fuzzing::query(&bytes[..length]);
                fuzzing::answer(&bytes[..length]);
            }
            for at in 0..bytes.len() {
                for changed in [0, 0x3f, 0xc0, 0xff] {
                    let mut bytes = bytes.clone();
                    bytes[at] = changed;
                    fuzzing::query(&bytes);
                    fuzzing::answer(&bytes);
                }
            }
        }
        assert_eq!((queries, answers), (3, 5));
    }

    #[test]
    fn what_may_be_kept_is_what_the_answer_says() {
        let seed = |name: &str| {
            let path = format!("{}/../../fuzz/seeds/names/{name}", env!("CARGO_MANIFEST_DIR"));
            super::look(&std::fs::read(path).unwrap()).unwrap()
        };
        assert_eq!(seed("answer").seconds, Some(300));
        // The last number of the record of authority, which is less than its time.
        assert_eq!(seed("negative").seconds, Some(60));
        assert_eq!(seed("query").seconds, None);
        assert_eq!((seed("negative").times.len(), seed("edns").times.len()), (1, 0));
    }
}
