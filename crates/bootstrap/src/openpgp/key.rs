//! Keys and keyrings: which keys there are, to whom they belong, and which of them may sign (RFC 9580, 5.5 and 10.1).

use super::armor;
use super::packet::{self, Packet, integer, number, take};
use super::signature::{self, Issuer, Signature};
use aws_lc_rs::digest;

/// RSA is believed from so many bits on.
const RSA_BITS_MIN: usize = 2048;
/// The longest numbers that the arithmetic takes: 8192 bits.
const RSA_BYTES_MAX: usize = 1024;
/// Certificates of one keyring.
const CERTIFICATES_MAX: usize = 10_000;
/// The object identifier of Ed25519 in keys of the older encoding (9.2).
const ED25519_LEGACY: [u8; 9] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

/// Hexadecimal digits, as fingerprints are written.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// What a key is made of.
#[derive(Clone, Debug)]
pub(super) enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    Ed25519([u8; 32]),
    /// It is understood and not believed.
    Weak(&'static str),
    Other(u8),
}

/// A key, primary or not.
#[derive(Clone, Debug)]
pub(super) struct PublicKey {
    created: u32,
    pub(super) material: Material,
    fingerprint: Vec<u8>,
    /// What is hashed of it for its fingerprint, and where something is said of it.
    hashed: Vec<u8>,
    is_new: bool,
}

impl PublicKey {
    /// Reads the body of a packet (5.5.2).
    ///
    /// # Errors
    /// It is cut, or of a version without meaning here.
    fn parse(body: &[u8]) -> Result<PublicKey, String> {
        const CUT: &str = "a cut key";
        let mut rest = body;
        let version = number(&mut rest, 1).ok_or(CUT)?;
        let created = number(&mut rest, 4).ok_or(CUT)?;
        let algorithm = number(&mut rest, 1).ok_or(CUT)? as u8;
        // 5.5.4: what a key is called by is a hash of all of it.
        let (head, hash) = match version {
            4 => {
                let length = u16::try_from(body.len()).map_err(|_| CUT)?;
                ([&[0x99], length.to_be_bytes().as_slice()].concat(), &digest::SHA1_FOR_LEGACY_USE_ONLY)
            }
            6 => {
                number(&mut rest, 4).ok_or(CUT)?;
                let length = u32::try_from(body.len()).map_err(|_| CUT)?;
                ([&[0x9b], length.to_be_bytes().as_slice()].concat(), &digest::SHA256)
            }
            other => return Err(format!("a key of version {other}")),
        };
        let hashed = [head.as_slice(), body].concat();
        let fingerprint = digest::digest(hash, &hashed).as_ref().to_vec();
        let material = material(algorithm, rest).ok_or(CUT)?;
        Ok(PublicKey { created, material, fingerprint, hashed, is_new: version == 6 })
    }

    /// The fingerprint, for people.
    pub(super) fn fingerprint_text(&self) -> String {
        hex(&self.fingerprint)
    }

    fn is(&self, issuer: &Issuer) -> bool {
        match issuer {
            Issuer::Fingerprint(fingerprint) => *fingerprint == self.fingerprint,
            // 5.5.4.1 and 5.5.4.3: the end of the one, the beginning of the other.
            Issuer::Id(id) if id.len() == 8 && self.is_new => self.fingerprint.starts_with(id),
            Issuer::Id(id) => id.len() == 8 && self.fingerprint.ends_with(id),
            Issuer::Nobody => false,
        }
    }
}

fn material(algorithm: u8, mut rest: &[u8]) -> Option<Material> {
    Some(match algorithm {
        1 | 3 => {
            let (modulus, exponent) = (integer(&mut rest)?, integer(&mut rest)?);
            match modulus.len() * 8 {
                bits if bits < RSA_BITS_MIN => Material::Weak("RSA of fewer than 2048 bits"),
                _ if modulus.len() > RSA_BYTES_MAX || exponent.len() > 8 => Material::Other(algorithm),
                _ => Material::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() },
            }
        }
        17 => Material::Weak("DSA"),
        22 => {
            let length = number(&mut rest, 1)? as usize;
            let curve = take(&mut rest, length)?;
            let point = integer(&mut rest)?;
            match (curve == ED25519_LEGACY, point.split_first()) {
                (true, Some((0x40, point))) => Material::Ed25519(point.try_into().ok()?),
                _ => Material::Other(algorithm),
            }
        }
        27 => Material::Ed25519(take(&mut rest, 32)?.try_into().ok()?),
        other => Material::Other(other),
    })
}

/// What stands behind a key or a name: the signatures on it.
#[derive(Clone, Debug)]
struct Signed<T> {
    what: T,
    signatures: Vec<Signature>,
}

/// A primary key with what belongs to it (10.1).
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    primary: Signed<PublicKey>,
    /// What is hashed of each name, the name being the end of it.
    users: Vec<Signed<Vec<u8>>>,
    subkeys: Vec<Signed<PublicKey>>,
}

/// How a name begins where it is hashed: a byte and four of its length.
const USER_HEAD_BYTES: usize = 5;

impl Certificate {
    /// To whom it belongs, as it says itself.
    pub(super) fn user(&self) -> String {
        let name = self
            .users
            .first()
            .map(|user| String::from_utf8_lossy(&user.what[USER_HEAD_BYTES..]).into_owned());
        name.unwrap_or_default().chars().filter(|letter| !letter.is_control()).collect()
    }

    /// Whether one of its keys may sign data: it did so at `made`, and counts at `now`.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn may_sign(&self, key: &PublicKey, made: i64, now: i64) -> Result<(), &'static str> {
        let primary = &self.primary.what;
        let by_primary = |one: &Signature, data: &[u8]| {
            one.is_of(primary, data) == Ok(true) && one.expires_at().is_none_or(|end| end >= now)
        };
        // A revocation counts however weak it is: whoever doubts it may say so.
        let revokes = |one: &Signature, kind: u8, data: &[u8]| {
            one.kind == kind && one.is_of(primary, data) != Ok(false)
        };
        if self.primary.signatures.iter().any(|one| revokes(one, signature::KEY_REVOKED, &primary.hashed)) {
            return Err("is revoked");
        }
        // What it says of itself last, be it directly or with a name, counts (5.2.3.10).
        let direct = self
            .primary
            .signatures
            .iter()
            .filter(|one| one.kind == signature::DIRECT && by_primary(one, &primary.hashed));
        let named = self.users.iter().flat_map(|user| {
            let data = [primary.hashed.as_slice(), &user.what].concat();
            user.signatures.iter().filter(move |one| {
                (signature::USER_FIRST..=signature::USER_LAST).contains(&one.kind) && by_primary(one, &data)
            })
        });
        let own = direct.chain(named).max_by_key(|one| one.created);
        let own = own.ok_or("says nothing of itself that is signed with a strong hash")?;
        in_time(primary, own, made, now)?;
        if key.fingerprint == primary.fingerprint {
            return if may(own) { Ok(()) } else { Err("is not meant for signing") };
        }
        let subkey = self.subkeys.iter().find(|subkey| subkey.what.fingerprint == key.fingerprint);
        let subkey = subkey.ok_or("is not of this certificate")?;
        let data = [primary.hashed.as_slice(), &key.hashed].concat();
        if subkey.signatures.iter().any(|one| revokes(one, signature::SUBKEY_REVOKED, &data)) {
            return Err("is revoked");
        }
        let bindings =
            subkey.signatures.iter().filter(|one| one.kind == signature::SUBKEY && by_primary(one, &data));
        let binding = bindings
            .max_by_key(|one| one.created)
            .ok_or("is not bound to its primary key by a strong hash")?;
        if !may(binding) {
            return Err("is not meant for signing");
        }
        // 5.2.1.9: a key that signs says itself to whom it belongs, or anybody could take it for his own.
        let back = binding.embedded.as_deref().and_then(|body| Signature::parse(body).ok());
        if !back.is_some_and(|back| back.kind == signature::PRIMARY_KEY && back.is_of(key, &data) == Ok(true))
        {
            return Err("does not say itself that it belongs to its primary key");
        }
        in_time(key, binding, made, now)
    }
}

/// Whether the key may sign data, as a signature says. One that says nothing allows all.
fn may(own: &Signature) -> bool {
    own.key_flags.is_none_or(|flags| flags & signature::MAY_SIGN != 0)
}

fn in_time(key: &PublicKey, own: &Signature, made: i64, now: i64) -> Result<(), &'static str> {
    if i64::from(key.created) > made {
        return Err("is younger than the signature");
    }
    let end = own.key_expires_after.map(|after| i64::from(key.created) + i64::from(after));
    if end.is_some_and(|end| end < made || end < now) { Err("has expired") } else { Ok(()) }
}

/// Keys that are believed.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    certificates: Vec<Certificate>,
}

/// Why a file is no keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeyring {
    /// It is GnuPG's own kind of store.
    #[error("it is a keybox, which only GnuPG reads; export its keys: gpg --export > FILE")]
    Keybox,
    /// It is something else.
    #[error("it is no keyring: {0}")]
    Broken(String),
    /// There is no key in it that is understood.
    #[error("it has no key that could sign an archive")]
    Empty,
}

impl Keyring {
    /// Reads a file of keys, armored or not.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(file: &[u8]) -> Result<Keyring, NoKeyring> {
        // A keybox begins with a blob of type 1 and version 1 that says so.
        if file.get(8..12) == Some(b"KBXf") {
            return Err(NoKeyring::Keybox);
        }
        let mut keyring = Keyring::default();
        match std::str::from_utf8(file).ok().filter(|text| text.contains("-----BEGIN PGP")) {
            Some(text) => {
                for block in armor::blocks(text, "PUBLIC KEY BLOCK").map_err(NoKeyring::Broken)? {
                    keyring.add(&block)?;
                }
            }
            None => keyring.add(file)?,
        }
        if keyring.certificates.is_empty() { Err(NoKeyring::Empty) } else { Ok(keyring) }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), NoKeyring> {
        let packets = packet::packets(bytes).map_err(|why| NoKeyring::Broken(why.to_owned()))?;
        let mut rest = packets.as_slice();
        while let Some((first, after)) = rest.split_first() {
            if first.kind != packet::PUBLIC_KEY {
                // Markers and padding may stand anywhere; anything else that belongs to no key is of no use.
                rest = after;
                continue;
            }
            let length = after.iter().take_while(|packet| packet.kind != packet::PUBLIC_KEY).count();
            let (own, others) = after.split_at(length);
            rest = others;
            // One key that is not understood does not spoil the others.
            if let Ok(primary) = PublicKey::parse(first.body) {
                self.certificates.push(certificate(primary, own));
            }
            if self.certificates.len() > CERTIFICATES_MAX {
                return Err(NoKeyring::Broken("too many keys".to_owned()));
            }
        }
        Ok(())
    }

    /// Of these keys those whose primary key has one of these fingerprints, in hexadecimal digits.
    #[must_use]
    pub fn only(mut self, fingerprints: &[&str]) -> Keyring {
        self.certificates.retain(|one| fingerprints.contains(&one.primary.what.fingerprint_text().as_str()));
        self
    }

    /// Takes the keys of another keyring in.
    pub fn add_all(&mut self, other: Keyring) {
        self.certificates.extend(other.certificates);
    }

    /// Whether there is no key in it.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// The key that a signature is said to be of.
    pub(super) fn find(&self, signature: &Signature) -> Option<(&Certificate, &PublicKey)> {
        let mut keys = self.certificates.iter().flat_map(|certificate| {
            let subkeys = certificate.subkeys.iter().map(|subkey| &subkey.what);
            std::iter::once(&certificate.primary.what).chain(subkeys).map(move |key| (certificate, key))
        });
        keys.find(|(_, key)| key.is(&signature.issuer))
    }

    /// The fingerprints of all primary keys, in hexadecimal digits.
    pub fn fingerprints(&self) -> Vec<String> {
        self.certificates.iter().map(|certificate| certificate.primary.what.fingerprint_text()).collect()
    }
}

/// Puts together what belongs to a primary key. What is not understood is left out.
fn certificate(primary: PublicKey, packets: &[Packet<'_>]) -> Certificate {
    let signed = |what| Signed { what, signatures: Vec::new() };
    let mut made = Certificate { primary: signed(primary), users: Vec::new(), subkeys: Vec::new() };
    let mut behind = Some(packet::PUBLIC_KEY);
    for packet in packets {
        match packet.kind {
            packet::USER | packet::USER_ATTRIBUTE => {
                behind = Some(packet.kind);
                // 5.2.4
                let mark = if packet.kind == packet::USER { 0xb4 } else { 0xd1 };
                let length = (packet.body.len() as u32).to_be_bytes();
                let hashed = [&[mark], length.as_slice(), packet.body].concat();
                made.users.push(Signed { what: hashed, signatures: Vec::new() });
            }
            packet::PUBLIC_SUBKEY => match PublicKey::parse(packet.body) {
                Ok(key) => {
                    behind = Some(packet.kind);
                    made.subkeys.push(Signed { what: key, signatures: Vec::new() });
                }
                Err(_) => behind = None,
            },
            packet::SIGNATURE => {
                let Ok(signature) = Signature::parse(packet.body) else { continue };
                let signatures = match behind {
                    Some(packet::PUBLIC_KEY) => Some(&mut made.primary.signatures),
                    Some(packet::PUBLIC_SUBKEY) => {
                        made.subkeys.last_mut().map(|subkey| &mut subkey.signatures)
                    }
                    Some(_) => made.users.last_mut().map(|user| &mut user.signatures),
                    None => None,
                };
                signatures.into_iter().for_each(|signatures| signatures.push(signature.clone()));
            }
            _ => {}
        }
    }
    made
}
