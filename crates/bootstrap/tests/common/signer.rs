//! A key that signs texts, for archives that tests make up: OpenPGP with Ed25519, of version 4 or 6 (RFC 9580, 5.2, 5.5 and 7).

#![allow(
    unreachable_pub,
    dead_code,
    reason = "several crates of tests share this file, and none uses all of it"
)]

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Types of packets and signatures, and numbers of algorithms.
const SIGNATURE: u8 = 2;
const PUBLIC_KEY: u8 = 6;
const USER: u8 = 13;
const OF_TEXT: u8 = 0x01;
const OF_USER: u8 = 0x13;
const ED25519: u8 = 27;
const SHA512: u8 = 10;
/// Bytes of the salt that goes with SHA-512 in version 6.
const SALT_BYTES: u8 = 32;
/// When keys are made, in seconds since 1970: in 2020.
const MADE: u32 = 1_577_836_800;

/// A key that signs.
#[derive(Debug)]
pub struct Signer {
    pair: Ed25519KeyPair,
    version: u8,
}

impl Signer {
    /// A key of version 4 or 6, the same for the same seed.
    ///
    /// # Panics
    /// Never: every seed makes a key.
    #[must_use]
    pub fn new(seed: u8, version: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("every seed makes a key");
        Self { pair, version }
    }

    fn key(&self) -> Vec<u8> {
        let mut body = vec![self.version];
        body.extend(MADE.to_be_bytes());
        body.push(ED25519);
        if self.version == 6 {
            body.extend(32_u32.to_be_bytes());
        }
        body.extend(self.pair.public_key().as_ref());
        body
    }

    /// What is hashed of the key.
    fn hashed_key(&self) -> Vec<u8> {
        let key = self.key();
        let length = (key.len() as u32).to_be_bytes();
        match self.version {
            6 => [&[0x9b], length.as_slice(), &key].concat(),
            _ => [&[0x99], &length[2..], &key].concat(),
        }
    }

    fn fingerprint(&self) -> Vec<u8> {
        let algorithm = if self.version == 6 { &digest::SHA256 } else { &digest::SHA1_FOR_LEGACY_USE_ONLY };
        digest::digest(algorithm, &self.hashed_key()).as_ref().to_vec()
    }

    /// The file with which the signatures of this key are verified.
    #[must_use]
    pub fn keyring(&self) -> Vec<u8> {
        let user = b"A test <test@example>";
        let hashed = [&[0xb4], (user.len() as u32).to_be_bytes().as_slice(), user].concat();
        let own = self.signature(OF_USER, &[self.hashed_key(), hashed].concat(), MADE);
        [packet(PUBLIC_KEY, &self.key()), packet(USER, user), packet(SIGNATURE, &own)].concat()
    }

    /// The body of a signature of some bytes.
    fn signature(&self, kind: u8, data: &[u8], time: u32) -> Vec<u8> {
        let mut hashed = vec![5, 2];
        hashed.extend(time.to_be_bytes());
        let fingerprint = self.fingerprint();
        hashed.extend([fingerprint.len() as u8 + 2, 33, self.version]);
        hashed.extend(fingerprint);
        // The flags of a key that may sign.
        hashed.extend([2, 27, 0x03]);
        let length = |bytes: usize| match self.version {
            6 => (bytes as u32).to_be_bytes().to_vec(),
            _ => (bytes as u16).to_be_bytes().to_vec(),
        };
        let mut body = vec![self.version, kind, ED25519, SHA512];
        body.extend(length(hashed.len()));
        body.extend(hashed);
        let trailer = [&[self.version, 0xff], (body.len() as u32).to_be_bytes().as_slice()].concat();
        let salt = if self.version == 6 { vec![7; usize::from(SALT_BYTES)] } else { Vec::new() };
        let hash = digest::digest(&digest::SHA512, &[&salt, data, &body, &trailer].concat());
        body.extend(length(0));
        body.extend(&hash.as_ref()[..2]);
        if self.version == 6 {
            body.push(SALT_BYTES);
            body.extend(salt);
        }
        body.extend(self.pair.sign(hash.as_ref()).as_ref());
        body
    }

    /// A text with its signature behind it, made at a time. No line of the text may begin with a dash.
    #[must_use]
    pub fn sign(&self, text: &str, time: u32) -> String {
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let signature = packet(SIGNATURE, &self.signature(OF_TEXT, lines.join("\r\n").as_bytes(), time));
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{}\n-----BEGIN PGP SIGNATURE-----\n\n{}\n-----END PGP SIGNATURE-----\n",
            lines.join("\n"),
            STANDARD.encode(signature)
        )
    }
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[0xc0 | kind, 0xff], (body.len() as u32).to_be_bytes().as_slice(), body].concat()
}
