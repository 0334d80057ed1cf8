//! A text that can be read as it is, with its signatures behind it (RFC 9580, 7).

use super::{armor, packet};

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// Signatures of one text.
const SIGNATURES_MAX: usize = 32;

/// A text and its signatures, of which nothing is known yet.
#[derive(Clone, Debug)]
pub struct Cleartext {
    /// The text that was signed, and nothing else: what stands before or behind it is refused.
    pub text: String,
    /// The same, as signatures are made of it (5.2.4): lines without spaces at their end, with a carriage return and a line feed
    /// between them.
    pub(super) canonical: Vec<u8>,
    /// The signatures, each as its packet has it.
    pub(super) signatures: Vec<Vec<u8>>,
}

/// Why a file is no signed text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// It does not begin like one.
    #[error("it is not signed: it does not begin with {BEGIN}")]
    Plain,
    /// It is cut off, or more than one text.
    #[error("{0}")]
    Broken(String),
}

fn broken(what: impl Into<String>) -> NotSigned {
    NotSigned::Broken(what.into())
}

impl Cleartext {
    /// Takes a file apart.
    ///
    /// # Errors
    /// It is no signed text, or holds more than that.
    pub fn parse(file: &str) -> Result<Cleartext, NotSigned> {
        let mut lines = file.lines();
        if lines.next().map(str::trim_end) != Some(BEGIN) {
            return Err(NotSigned::Plain);
        }
        // 6.2.2.3: `Hash:` says again what the signatures say; what else could stand here is none of ours.
        loop {
            match lines.next().map(str::trim_end) {
                Some("") => break,
                Some(header) if header.starts_with("Hash: ") => {}
                Some(header) => {
                    return Err(broken(format!("it has the header {header:?} before the signed text")));
                }
                None => return Err(broken("it ends before the signed text")),
            }
        }
        let mut text: Vec<&str> = Vec::new();
        loop {
            let line = lines.next().ok_or_else(|| broken("it ends before the signature"))?;
            if line.trim_end() == BEGIN_SIGNATURE {
                break;
            }
            // 7.2: dashes at the beginning of a line are escaped.
            let line = match line.strip_prefix("- ") {
                Some(escaped) => escaped,
                None if line.starts_with('-') => {
                    return Err(broken("a line of the signed text begins with a dash"));
                }
                None => line,
            };
            text.push(line.trim_end_matches([' ', '\t', '\r']));
        }
        let mut block = Vec::new();
        loop {
            match lines.next().map(str::trim_end) {
                Some(END_SIGNATURE) => break,
                Some(line) => block.push(line),
                None => return Err(broken("it ends before the end of the signature")),
            }
        }
        if lines.any(|line| !line.trim().is_empty()) {
            return Err(broken("there is text behind the signature, which nobody has signed"));
        }
        let bytes = armor::data(block.into_iter()).map_err(|why| broken(format!("its signature: {why}")))?;
        let packets = packet::packets(&bytes).map_err(|why| broken(format!("its signature: {why}")))?;
        let signatures = packets.iter().filter(|packet| packet.kind == packet::SIGNATURE);
        let signatures: Vec<Vec<u8>> = signatures.map(|packet| packet.body.to_vec()).collect();
        if signatures.is_empty() || signatures.len() > SIGNATURES_MAX {
            return Err(broken(format!("it has {} signatures", signatures.len())));
        }
        Ok(Cleartext { canonical: text.join("\r\n").into_bytes(), text: text.join("\n") + "\n", signatures })
    }
}
