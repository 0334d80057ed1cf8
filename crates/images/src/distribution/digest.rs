//! Names of content: SHA-256, or SHA-512 where a client wants that (OCI image specification 1.1, `descriptor.md`).
//!
//! The image store knows SHA-256 alone. A registry keeps what clients bring, under the name that they gave it.

use crate::hash::Hasher;
use model::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha512};
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// Bytes that are hashed at a time.
const HASH_BYTES: usize = 256 << 10;

/// The digest of some content, which is also its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentDigest {
    /// What nearly everybody uses.
    Sha256(Digest),
    /// The other algorithm that the specification registers.
    Sha512([u8; 64]),
}

/// Why a text names no content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadContentDigest {
    /// It has another form.
    #[error("{0:?} is no digest: `sha256:` and 64 hexadecimal digits in lower case, or `sha512:` and 128")]
    Format(String),
    /// Its algorithm is none of those that are understood.
    #[error("digest algorithm {0:?} is not supported; sha256 and sha512 are")]
    Algorithm(String),
}

/// A way to name content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha256,
    Sha512,
}

impl FromStr for Algorithm {
    type Err = BadContentDigest;
    fn from_str(text: &str) -> Result<Algorithm, BadContentDigest> {
        match text {
            "sha256" => Ok(Algorithm::Sha256),
            "sha512" => Ok(Algorithm::Sha512),
            other => Err(BadContentDigest::Algorithm(other.to_owned())),
        }
    }
}

impl ContentDigest {
    /// The digits without the algorithm.
    pub fn hex(&self) -> String {
        match self {
            ContentDigest::Sha256(digest) => digest.hex(),
            ContentDigest::Sha512(hash) => hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// As the image store knows it, where that can be.
    pub fn sha256(&self) -> Option<Digest> {
        match self {
            ContentDigest::Sha256(digest) => Some(*digest),
            ContentDigest::Sha512(_) => None,
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            ContentDigest::Sha256(_) => Algorithm::Sha256,
            ContentDigest::Sha512(_) => Algorithm::Sha512,
        }
    }
}

impl From<Digest> for ContentDigest {
    fn from(digest: Digest) -> ContentDigest {
        ContentDigest::Sha256(digest)
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContentDigest::Sha256(digest) => digest.fmt(f),
            ContentDigest::Sha512(_) => write!(f, "sha512:{}", self.hex()),
        }
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentDigest {
    type Err = BadContentDigest;
    fn from_str(text: &str) -> Result<ContentDigest, BadContentDigest> {
        let bad = || BadContentDigest::Format(text.to_owned());
        let (algorithm, digits) = text.split_once(':').ok_or_else(bad)?;
        match algorithm.parse()? {
            Algorithm::Sha256 => text.parse().map(ContentDigest::Sha256).map_err(|_| bad()),
            Algorithm::Sha512 => {
                let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                let mut hash = [0; 64];
                if digits.len() != 2 * hash.len() || !digits.bytes().all(is_digit) {
                    return Err(bad());
                }
                for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
                    *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| bad())?;
                }
                Ok(ContentDigest::Sha512(hash))
            }
        }
    }
}

impl Serialize for ContentDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ContentDigest, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes content as it comes.
#[derive(Clone)]
pub(crate) enum ContentHasher {
    Sha256(Hasher),
    Sha512(Box<Sha512>),
}

impl ContentHasher {
    pub(crate) fn new(algorithm: Algorithm) -> ContentHasher {
        match algorithm {
            Algorithm::Sha256 => ContentHasher::Sha256(Hasher::default()),
            Algorithm::Sha512 => ContentHasher::Sha512(Box::default()),
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            ContentHasher::Sha256(_) => Algorithm::Sha256,
            ContentHasher::Sha512(_) => Algorithm::Sha512,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            ContentHasher::Sha256(hasher) => hasher.update(bytes),
            ContentHasher::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Hashes all that a reader gives.
    pub(crate) fn update_from(&mut self, input: &mut impl Read) -> io::Result<()> {
        let mut buffer = vec![0; HASH_BYTES];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(got) => self.update(&buffer[..got]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn finish(self) -> ContentDigest {
        match self {
            ContentHasher::Sha256(hasher) => ContentDigest::Sha256(hasher.finish()),
            ContentHasher::Sha512(hasher) => ContentDigest::Sha512(hasher.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of nothing, FIPS 180-4.
    const EMPTY: [(Algorithm, &str); 2] = [
        (Algorithm::Sha256, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            Algorithm::Sha512,
            "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
             47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        ),
    ];

    #[test]
    fn a_digest_is_read_back_as_it_was_written() {
        for (algorithm, text) in EMPTY {
            let digest = ContentHasher::new(algorithm).finish();
            assert_eq!(digest.to_string(), text);
            assert_eq!(text.parse(), Ok(digest));
            assert_eq!(digest.algorithm(), algorithm);
        }
    }

    #[test]
    fn what_names_no_content_is_refused_with_the_reason() {
        for bad in ["", "sha256", "sha256:baddigeststring", "sha512:00", &EMPTY[1].1.to_uppercase()] {
            assert!(bad.parse::<ContentDigest>().is_err(), "{bad}");
        }
        let error = "md5:00".parse::<ContentDigest>().unwrap_err();
        assert!(error.to_string().contains("sha256 and sha512"), "{error}");
        let with_signs = format!("sha512:{}", "+1".repeat(64));
        assert!(with_signs.parse::<ContentDigest>().is_err());
    }
}
