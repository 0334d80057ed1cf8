//! Subnets of both families, as plain numbers.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A subnet: all addresses that share a prefix, written `172.20.0.0/16` or `fd00::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    base: IpAddr,
    prefix: u8,
}

/// Why a text is no subnet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct BadSubnet(pub String);

/// The bits of an address, aligned to the lower end.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Subnet {
    /// The subnet that an address with this prefix lies in; a prefix that is too long means the address alone.
    pub fn of(address: IpAddr, prefix: u8) -> Subnet {
        let mut subnet = Subnet { base: address, prefix: prefix.min(width(address)) };
        subnet.base = subnet.at(bits(address) & !subnet.host_mask());
        subnet
    }

    /// Its first address.
    pub fn base(&self) -> IpAddr {
        self.base
    }

    /// The bits of its prefix.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.base.is_ipv4()
    }

    /// The bits that tell its addresses apart.
    fn host_mask(&self) -> u128 {
        let bits = u32::from(width(self.base) - self.prefix);
        u128::MAX.checked_shr(128 - bits).unwrap_or(0)
    }

    /// The address of its own family with these bits.
    fn at(&self, bits: u128) -> IpAddr {
        match self.base {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX))),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        }
    }

    /// Its last address: of IPv4, the one that reaches everybody.
    pub fn last(&self) -> IpAddr {
        self.at(bits(self.base) | self.host_mask())
    }

    /// Its address of this number, counted from 0; none beyond its end.
    pub fn nth(&self, number: u128) -> Option<IpAddr> {
        (number <= self.host_mask()).then(|| self.at(bits(self.base) + number))
    }

    /// The number of one of its addresses, counted from 0.
    pub fn number_of(&self, address: IpAddr) -> Option<u128> {
        self.contains(address).then(|| bits(address) - bits(self.base))
    }

    /// How many addresses it has, less one (a subnet of all addresses of IPv6 has more than a number can say).
    pub fn last_number(&self) -> u128 {
        self.host_mask()
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && bits(address) & !self.host_mask() == bits(self.base)
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Subnet) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }

    /// Its parts with a longer prefix, in order.
    pub fn parts(&self, prefix: u8) -> impl Iterator<Item = Subnet> + use<> {
        let (whole, prefix) = (*self, prefix.min(width(self.base)));
        let step = u32::from(width(self.base) - prefix);
        let count = u32::from(prefix.saturating_sub(self.prefix));
        let last = u128::MAX.checked_shr(128 - count).unwrap_or(0);
        let any = prefix >= self.prefix;
        (0..=last).take_while(move |_| any).filter_map(move |number| {
            let base = whole.nth(number.checked_shl(step).unwrap_or(0))?;
            Some(Subnet { base, prefix })
        })
    }
}

/// Bits of an address of its family.
pub fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = BadSubnet;
    fn from_str(text: &str) -> Result<Subnet, BadSubnet> {
        let bad = || BadSubnet(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        if prefix > width(address) { Err(bad()) } else { Ok(Subnet::of(address, prefix)) }
    }
}

impl Serialize for Subnet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Subnet, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn a_subnet_begins_at_its_first_address() {
        assert_eq!(subnet("10.1.2.3/16").to_string(), "10.1.0.0/16");
        assert_eq!(subnet("10.1.2.3/16").last().to_string(), "10.1.255.255");
        assert_eq!(subnet("fd00::7/64").to_string(), "fd00::/64");
        assert_eq!(subnet("0.0.0.0/0").last().to_string(), "255.255.255.255");
        assert_eq!(subnet("::/0").last_number(), u128::MAX);
        assert_eq!(subnet("10.1.2.3/32").last().to_string(), "10.1.2.3");
    }

    #[test]
    fn addresses_are_counted_within_and_no_further() {
        let small = subnet("10.0.0.8/30");
        assert_eq!(small.nth(3).unwrap().to_string(), "10.0.0.11");
        assert_eq!(small.nth(4), None);
        assert_eq!(small.number_of("10.0.0.9".parse().unwrap()), Some(1));
        assert_eq!(small.number_of("10.0.0.12".parse().unwrap()), None);
        assert_eq!(small.number_of("::a".parse().unwrap()), None);
    }

    #[test]
    fn what_overlaps_shares_an_address() {
        assert!(subnet("10.0.0.0/8").overlaps(&subnet("10.3.0.0/16")));
        assert!(subnet("10.3.0.0/16").overlaps(&subnet("10.0.0.0/8")));
        assert!(!subnet("10.0.0.0/16").overlaps(&subnet("10.1.0.0/16")));
        assert!(!subnet("0.0.0.0/0").overlaps(&subnet("::/0")));
    }

    #[test]
    fn the_parts_of_a_subnet_fill_it() {
        let parts: Vec<String> = subnet("172.16.0.0/14").parts(16).map(|part| part.to_string()).collect();
        assert_eq!(parts, ["172.16.0.0/16", "172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16"]);
        assert_eq!(subnet("10.0.0.0/16").parts(8).count(), 0);
        assert_eq!(subnet("fd00::/48").parts(64).nth(65_535).unwrap().to_string(), "fd00:0:0:ffff::/64");
        assert_eq!(subnet("fd00::/48").parts(64).count(), 65_536);
    }

    #[test]
    fn what_is_no_subnet_is_said_in_the_words_that_clients_know() {
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "fd00::/129", "/8", "10.0.0/8"] {
            assert_eq!(
                bad.parse::<Subnet>().unwrap_err().to_string(),
                format!("invalid CIDR address: {bad}")
            );
        }
    }
}
