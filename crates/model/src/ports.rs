//! Ports of a container and where the host answers for them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// A port inside a container, written `80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey {
    /// The port number, never 0.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// Why a text is no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a port of the form 80/tcp, 53/udp or 5000/sctp")]
pub struct BadPort(pub String);

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

impl FromStr for PortKey {
    type Err = BadPort;
    fn from_str(text: &str) -> Result<PortKey, BadPort> {
        let bad = || BadPort(text.to_owned());
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let port: u16 = number.parse().map_err(|_| bad())?;
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err(bad()),
        };
        if port == 0 { Err(bad()) } else { Ok(PortKey { port, protocol }) }
    }
}

impl Serialize for PortKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<PortKey, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A port of a container that the host answers for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// The port inside.
    pub inside: PortKey,
    /// The host's address; none is every address of both families.
    pub host: Option<IpAddr>,
    /// The first of the host's ports to choose from; 0 for any free one.
    pub first: u16,
    /// The last of them, `first` for exactly one.
    pub last: u16,
}

/// A port of the host that leads to a container, as the kernel and the edge process are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Its protocol.
    pub protocol: Protocol,
    /// The host's address; none is every address of both families.
    pub host: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The container's address of IPv4, if it has one.
    pub ipv4: Option<Ipv4Addr>,
    /// Its address of IPv6, if it has one.
    pub ipv6: Option<Ipv6Addr>,
    /// The container's port.
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_a_protocol_is_tcp() {
        assert_eq!("80".parse::<PortKey>().unwrap().to_string(), "80/tcp");
        assert_eq!("53/UDP".parse::<PortKey>().unwrap().protocol, Protocol::Udp);
    }

    #[test]
    fn port_zero_and_unknown_protocols_are_refused() {
        for bad in ["0", "80/dccp", "65536", "", "/tcp", "-1/tcp"] {
            assert!(bad.parse::<PortKey>().is_err(), "{bad}");
        }
    }
}
