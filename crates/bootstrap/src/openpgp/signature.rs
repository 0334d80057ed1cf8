//! Signatures: what they say of themselves, and whether a key has made them (RFC 9580, 5.2).

use super::key::{Material, PublicKey, hex};
use super::packet::{integer, number, subpacket_length, take};
use aws_lc_rs::digest;
use aws_lc_rs::signature as arithmetic;

/// Types of signatures (5.2.1).
pub(super) const TEXT: u8 = 0x01;
pub(super) const USER_FIRST: u8 = 0x10;
pub(super) const USER_LAST: u8 = 0x13;
pub(super) const SUBKEY: u8 = 0x18;
pub(super) const PRIMARY_KEY: u8 = 0x19;
pub(super) const DIRECT: u8 = 0x1f;
pub(super) const KEY_REVOKED: u8 = 0x20;
pub(super) const SUBKEY_REVOKED: u8 = 0x28;

/// The flag of a key that may sign data (5.2.3.29).
pub(super) const MAY_SIGN: u8 = 0x02;

/// Numbers of RSA are at most this long: 16384 bits.
const INTEGER_BYTES_MAX: usize = 2048;

/// A hash (9.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
    /// One for which collisions can be made, by its name.
    Weak(&'static str),
    Unknown(u8),
}

impl Hash {
    fn of(number: u8) -> Hash {
        match number {
            1 => Hash::Weak("MD5"),
            2 => Hash::Weak("SHA-1"),
            3 => Hash::Weak("RIPEMD-160"),
            8 => Hash::Sha256,
            9 => Hash::Sha384,
            10 => Hash::Sha512,
            other => Hash::Unknown(other),
        }
    }

    fn digest(self) -> Option<&'static digest::Algorithm> {
        match self {
            Hash::Sha256 => Some(&digest::SHA256),
            Hash::Sha384 => Some(&digest::SHA384),
            Hash::Sha512 => Some(&digest::SHA512),
            Hash::Weak(_) | Hash::Unknown(_) => None,
        }
    }

    fn rsa(self) -> Option<&'static arithmetic::RsaParameters> {
        match self {
            Hash::Sha256 => Some(&arithmetic::RSA_PKCS1_2048_8192_SHA256),
            Hash::Sha384 => Some(&arithmetic::RSA_PKCS1_2048_8192_SHA384),
            Hash::Sha512 => Some(&arithmetic::RSA_PKCS1_2048_8192_SHA512),
            Hash::Weak(_) | Hash::Unknown(_) => None,
        }
    }
}

/// Who is said to have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Issuer {
    Fingerprint(Vec<u8>),
    Id(Vec<u8>),
    Nobody,
}

/// A signature.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) kind: u8,
    pub(super) hash: Hash,
    pub(super) issuer: Issuer,
    /// When it was made, in seconds since 1970.
    pub(super) created: u32,
    /// After how many seconds it no longer counts.
    expires_after: Option<u32>,
    /// After how many seconds the key of which it speaks no longer counts.
    pub(super) key_expires_after: Option<u32>,
    /// What the key of which it speaks may do.
    pub(super) key_flags: Option<u8>,
    /// The signature within it by which a subkey says that it belongs to the primary key.
    pub(super) embedded: Option<Vec<u8>>,
    /// What is hashed before the data: the salt of version 6.
    salt: Vec<u8>,
    /// What is hashed behind it.
    trailer: Vec<u8>,
    value: Value,
}

/// The signature proper.
#[derive(Clone, Debug)]
enum Value {
    Rsa(Vec<u8>),
    Ed25519([u8; 64]),
}

impl Signature {
    /// Reads the body of a packet.
    ///
    /// # Errors
    /// What it has that is not understood.
    pub(super) fn parse(body: &[u8]) -> Result<Signature, String> {
        const CUT: &str = "a cut body";
        let mut rest = body;
        let version = number(&mut rest, 1).ok_or(CUT)?;
        let wide = match version {
            4 => 2,
            6 => 4,
            other => return Err(format!("the version {other}")),
        };
        let head = take(&mut rest, 3).ok_or(CUT)?;
        let (kind, algorithm, hash) = (head[0], head[1], Hash::of(head[2]));
        let length = number(&mut rest, wide).ok_or(CUT)? as usize;
        let hashed = take(&mut rest, length).ok_or(CUT)?;
        // 5.2.4
        let mut trailer = body[..4 + wide + length].to_vec();
        let bytes = u32::try_from(trailer.len()).map_err(|_| CUT)?;
        trailer.extend([version as u8, 0xff]);
        trailer.extend(bytes.to_be_bytes());
        let length = number(&mut rest, wide).ok_or(CUT)? as usize;
        let unhashed = take(&mut rest, length).ok_or(CUT)?;
        take(&mut rest, 2).ok_or(CUT)?;
        let mut salt = Vec::new();
        if version == 6 {
            let length = number(&mut rest, 1).ok_or(CUT)? as usize;
            salt = take(&mut rest, length).ok_or(CUT)?.to_vec();
        }
        let value = Value::parse(algorithm, rest)?;
        let mut signature = Signature {
            kind,
            hash,
            issuer: Issuer::Nobody,
            created: 0,
            expires_after: None,
            key_expires_after: None,
            key_flags: None,
            embedded: None,
            salt,
            trailer,
            value,
        };
        signature.subpackets(hashed, true)?;
        signature.subpackets(unhashed, false)?;
        if signature.created == 0 {
            return Err("no time".to_owned());
        }
        Ok(signature)
    }

    /// Reads what a signature says (5.2.3.7). Only what is hashed is believed, but for who made it, which is then seen, and for an
    /// embedded signature, which is verified by itself.
    fn subpackets(&mut self, mut rest: &[u8], hashed: bool) -> Result<(), String> {
        const CUT: &str = "a cut subpacket";
        while !rest.is_empty() {
            let length = subpacket_length(&mut rest).ok_or(CUT)?;
            let mut body = take(&mut rest, length).ok_or(CUT)?;
            let kind = number(&mut body, 1).ok_or(CUT)? as u8;
            let (critical, kind) = (kind & 0x80 != 0, kind & 0x7f);
            match (kind, hashed) {
                (16, _) if self.issuer == Issuer::Nobody => self.issuer = Issuer::Id(body.to_vec()),
                (33, _) if !body.is_empty() => self.issuer = Issuer::Fingerprint(body[1..].to_vec()),
                (32, _) => self.embedded = Some(body.to_vec()),
                (2, true) => self.created = number(&mut body, 4).ok_or(CUT)?,
                (3, true) => self.expires_after = number(&mut body, 4).filter(|seconds| *seconds > 0),
                (9, true) => self.key_expires_after = number(&mut body, 4).filter(|seconds| *seconds > 0),
                (27, true) => self.key_flags = Some(body.first().copied().unwrap_or(0)),
                // What changes nothing here: preferences, notes, whether it may be exported or revoked, who else may revoke.
                (3..=9 | 11 | 12 | 16 | 21..=39, _) => {}
                (2, false) => {}
                (other, true) if critical => {
                    return Err(format!("the subpacket {other}, which must be understood,"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Who signed, for people.
    pub(super) fn issuer_text(&self) -> String {
        match &self.issuer {
            Issuer::Fingerprint(bytes) | Issuer::Id(bytes) => hex(bytes),
            Issuer::Nobody => "of nobody in particular".to_owned(),
        }
    }

    /// When it stops to count.
    pub(super) fn expires_at(&self) -> Option<i64> {
        self.expires_after.map(|after| i64::from(self.created) + i64::from(after))
    }

    /// Whether a key has signed these bytes.
    ///
    /// # Errors
    /// It cannot be told: a hash or a kind of key that is not understood.
    pub(super) fn is_of(&self, key: &PublicKey, data: &[u8]) -> Result<bool, String> {
        let algorithm = self.hash.digest().ok_or_else(|| match self.hash {
            Hash::Weak(name) => name.to_owned(),
            _ => format!("the hash {:?}", self.hash),
        })?;
        let message = [self.salt.as_slice(), data, &self.trailer].concat();
        match (&key.material, &self.value) {
            (Material::Rsa { modulus, exponent }, Value::Rsa(value)) => {
                let parameters = self.hash.rsa().ok_or("no hash")?;
                // As long as the modulus: the format leaves zeros out.
                let missing = modulus.len().checked_sub(value.len()).ok_or("a number that is too long")?;
                let value = [vec![0; missing].as_slice(), value].concat();
                let key = arithmetic::RsaPublicKeyComponents { n: modulus, e: exponent };
                Ok(key.verify(parameters, &message, &value).is_ok())
            }
            (Material::Ed25519(point), Value::Ed25519(value)) => {
                let hash = digest::digest(algorithm, &message);
                let key = arithmetic::UnparsedPublicKey::new(&arithmetic::ED25519, point);
                Ok(key.verify(hash.as_ref(), value).is_ok())
            }
            (Material::Weak(what), _) => Err((*what).to_owned()),
            (Material::Other(number), _) => Err(format!("the algorithm {number}")),
            _ => Err("an algorithm that is not its key's".to_owned()),
        }
    }
}

impl Value {
    fn parse(algorithm: u8, mut rest: &[u8]) -> Result<Value, String> {
        const CUT: &str = "a cut value";
        match algorithm {
            1 | 3 => {
                let value = integer(&mut rest).ok_or(CUT)?;
                if value.len() > INTEGER_BYTES_MAX {
                    return Err("a number that is too long".to_owned());
                }
                Ok(Value::Rsa(value.to_vec()))
            }
            // 5.2.3.3.1: two integers, which have lost their zeros.
            22 => {
                let mut value = [0; 64];
                for half in value.chunks_mut(32) {
                    let number = integer(&mut rest).ok_or(CUT)?;
                    let missing = half.len().checked_sub(number.len()).ok_or("a number that is too long")?;
                    half[missing..].copy_from_slice(number);
                }
                Ok(Value::Ed25519(value))
            }
            27 => Ok(Value::Ed25519(take(&mut rest, 64).and_then(|value| value.try_into().ok()).ok_or(CUT)?)),
            other => Err(format!("the algorithm {other}")),
        }
    }
}
