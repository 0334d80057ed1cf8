//! As much of OpenPGP as believing an archive needs: a signed text, and a keyring to look for its signer in (RFC 9580; what RFC 4880
//! calls by other names is noted where it matters).
//!
//! ```text
//!  InRelease -> cleartext: the text, and its signatures (armor -> packet -> signature)
//!  keyring   -> key: certificates, and which of their keys may sign, at which time
//!                                       \ verify: one good signature at least, and no bad one
//! ```
//!
//! Understood: versions 4 and 6; RSA from 2048 bits, Ed25519 in both encodings; SHA-256, SHA-384 and SHA-512. Everything weaker is
//! refused by its name, everything else is as if it were not there. The arithmetic is aws-lc-rs's. Deliberately absent: encryption,
//! making signatures, and trust between keys. A keyring is believed because of where it lies.

mod armor;
mod cleartext;
mod key;
mod packet;
mod signature;

pub use cleartext::{Cleartext, NotSigned};
pub use key::{Keyring, NoKeyring};

use base::Time;
use signature::{Hash, Signature};
use std::fmt;

/// Whoever signed a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The fingerprint of the key that signed, in hexadecimal digits.
    pub fingerprint: String,
    /// To whom the key belongs, as it says itself.
    pub user: String,
}

/// Why a text is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// A key of the keyring is said to have signed it, and has not signed this.
    #[error("the signature of the key {0} is wrong: the text was changed after it was signed, or on its way")]
    Bad(String),
    /// None of its signatures counts.
    #[error("no signature of a key in the keyring is good: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NoneCounts(Vec<Uncounted>),
}

/// Why one signature does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncounted {
    /// The keyring does not have the key.
    UnknownKey(String),
    /// It uses a hash for which other texts with the same signature can be made.
    Weak(String, &'static str),
    /// It is not understood.
    Unsupported(String),
    /// The key may not sign, or not at this time.
    Key(String, &'static str),
    /// The signature itself is from the future, or has expired.
    Time(String, &'static str),
}

impl fmt::Display for Uncounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uncounted::UnknownKey(key) => write!(f, "the keyring does not have the key {key}"),
            Uncounted::Weak(key, hash) => {
                write!(f, "the signature of the key {key} is made with {hash}, which is too weak")
            }
            Uncounted::Unsupported(what) => write!(f, "a signature with {what} is not understood"),
            Uncounted::Key(key, why) => write!(f, "the key {key} {why}"),
            Uncounted::Time(key, why) => write!(f, "the signature of the key {key} {why}"),
        }
    }
}

impl Keyring {
    /// Looks for a good signature of a key in this keyring. `patient` takes keys that have expired since they signed, for archives of
    /// the past.
    ///
    /// # Errors
    /// There is none, or there is a wrong one.
    pub fn verify(&self, message: &Cleartext, now: Time, patient: bool) -> Result<Signer, Distrust> {
        let mut uncounted = Vec::new();
        let mut good = None;
        for bytes in &message.signatures {
            let outcome = match Signature::parse(bytes) {
                Ok(signature) => self.one(&signature, &message.canonical, now, patient)?,
                Err(what) => Err(Uncounted::Unsupported(what)),
            };
            match outcome {
                Ok(signer) => good = good.or(Some(signer)),
                Err(why) => uncounted.push(why),
            }
        }
        good.ok_or(Distrust::NoneCounts(uncounted))
    }

    fn one(
        &self,
        signature: &Signature,
        text: &[u8],
        now: Time,
        patient: bool,
    ) -> Result<Result<Signer, Uncounted>, Distrust> {
        let issuer = signature.issuer_text();
        if signature.kind != signature::TEXT {
            return Ok(Err(Uncounted::Unsupported(format!("the type {:#04x}", signature.kind))));
        }
        let Some((certificate, key)) = self.find(signature) else {
            return Ok(Err(Uncounted::UnknownKey(issuer)));
        };
        let name = key.fingerprint_text();
        if let Hash::Weak(hash) = signature.hash {
            return Ok(Err(Uncounted::Weak(name, hash)));
        }
        match signature.is_of(key, text) {
            Ok(true) => {}
            Ok(false) => return Err(Distrust::Bad(name)),
            Err(what) => return Ok(Err(Uncounted::Unsupported(what))),
        }
        let made = i64::from(signature.created);
        if made > now.unix_seconds().saturating_add(CLOCK_SKEW_SECONDS) {
            return Ok(Err(Uncounted::Time(name, "is from the future: is this machine's clock right?")));
        }
        if !patient && signature.expires_at().is_some_and(|end| end < now.unix_seconds()) {
            return Ok(Err(Uncounted::Time(name, "has expired")));
        }
        // What has expired since may have signed in its time.
        let at = if patient { made } else { now.unix_seconds() };
        if let Err(why) = certificate.may_sign(key, made, at) {
            return Ok(Err(Uncounted::Key(name, why)));
        }
        Ok(Ok(Signer { fingerprint: name, user: certificate.user() }))
    }
}

/// Clocks that are off by so much are taken for right.
const CLOCK_SKEW_SECONDS: i64 = 24 * 3600;

/// Looks at any bytes as everything that this module reads, for fuzzers.
pub fn look_at(bytes: &[u8]) {
    let keyring = Keyring::parse(bytes);
    let message = Cleartext::parse(&String::from_utf8_lossy(bytes));
    if let (Ok(keyring), Ok(message)) = (&keyring, &message) {
        let _ = keyring.verify(message, Time::default(), false);
    }
    for packet in packet::packets(bytes).unwrap_or_default() {
        let _ = Signature::parse(packet.body);
    }
}

#[cfg(test)]
mod tests;
