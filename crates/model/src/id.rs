//! Typed ids.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// The reverse of [`hex`]; none unless exactly `N` bytes in lower case are there.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut out = [0; N];
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id: hexadecimal digits of its full length are wanted")]
pub struct BadId(pub String);

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// From random bytes.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> $name {
                $name(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<$name, BadId> {
                unhex(text).map($name).ok_or_else(|| BadId(text.to_owned()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id! {
    /// A container: 64 digits.
    ContainerId, 32
}
hex_id! {
    /// A process added to a container by exec: 64 digits.
    ExecId, 32
}
hex_id! {
    /// A network: 64 digits.
    NetworkId, 32
}
hex_id! {
    /// A daemon, that is its data root: 8 digits, part of the name of everything it makes in the kernel.
    DaemonId, 4
}

impl ContainerId {
    /// The first twelve digits, as people are shown them and as the container's host name.
    pub fn short(&self) -> String {
        hex(&self.0[..6])
    }
}

impl NetworkId {
    /// The first twelve digits, as people are shown them and as part of the bridge's name.
    pub fn short(&self) -> String {
        hex(&self.0[..6])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_as_it_was_written() {
        let id = ContainerId::from_bytes([0x0f; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.short(), "0f0f0f0f0f0f");
        assert_eq!("1a2b3c4d".parse::<DaemonId>().unwrap().to_string(), "1a2b3c4d");
    }

    #[test]
    fn a_prefix_or_an_upper_case_text_is_no_id() {
        assert!("0f0f".parse::<ContainerId>().is_err());
        assert!("1A2B3C4D".parse::<DaemonId>().is_err());
        assert!("1a2b3c4dé".parse::<DaemonId>().is_err());
    }
}
