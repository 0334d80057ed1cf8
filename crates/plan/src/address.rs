//! Which subnet a node's bridge takes, which address a container gets, which port of the host is tried next.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// A subnet of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet {
    /// Its first address.
    pub base: Ipv4Addr,
    /// The bits of its prefix, at most 32.
    pub prefix: u8,
}

impl Subnet {
    /// The subnet that `address` with this prefix lies in.
    pub fn of(address: Ipv4Addr, prefix: u8) -> Subnet {
        let prefix = prefix.min(32);
        Subnet { base: Ipv4Addr::from_bits(address.to_bits() & Self::mask(prefix)), prefix }
    }

    fn mask(prefix: u8) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Subnet) -> bool {
        let mask = Self::mask(self.prefix.min(other.prefix));
        self.base.to_bits() & mask == other.base.to_bits() & mask
    }

    /// The host's own address in it: the first that can be used.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.to_bits() + 1)
    }

    /// The address that reaches everybody, which no container gets.
    fn broadcast(&self) -> u32 {
        self.base.to_bits() | !Self::mask(self.prefix)
    }
}

/// The subnets that a bridge is given, in the order of preference: the same that Docker's users know.
pub fn pools() -> impl Iterator<Item = Subnet> {
    let large = (17..32).map(|second| Subnet { base: Ipv4Addr::new(172, second, 0, 0), prefix: 16 });
    let small = (0..16).map(|third| Subnet { base: Ipv4Addr::new(192, 168, third * 16, 0), prefix: 20 });
    large.chain(small)
}

/// The first pool that shares no address with what the host uses.
pub fn free_pool(used: &[Subnet]) -> Option<Subnet> {
    pools().find(|pool| used.iter().all(|taken| !taken.overlaps(pool)))
}

/// The next free address after `last`, going round once: an address that was just given back is not the next to be
/// given out, so that what still remembers its last owner does not meet a stranger.
pub fn free_address(subnet: Subnet, used: &BTreeSet<Ipv4Addr>, last: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    let (low, high) = (subnet.gateway().to_bits() + 1, subnet.broadcast().checked_sub(1)?);
    if low > high {
        return None;
    }
    let start = last.map_or(low, |last| last.to_bits().saturating_add(1));
    let start = if (low..=high).contains(&start) { start } else { low };
    (start..=high).chain(low..start).map(Ipv4Addr::from_bits).find(|address| !used.contains(address))
}

/// The hardware address that goes with an IPv4 address: locally administered, unique on the bridge.
pub fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// The host's ports to try for one published port, in order: the wanted range, or every dynamic port going round from
/// just after `last`.
pub fn port_candidates(
    first: u16,
    end: u16,
    dynamic: (u16, u16),
    last: Option<u16>,
) -> Box<dyn Iterator<Item = u16>> {
    if first != 0 {
        return Box::new(first..=end.max(first));
    }
    let (low, high) = dynamic;
    let start = last.map_or(low, |last| last.saturating_add(1));
    let start = if (low..=high).contains(&start) { start } else { low };
    Box::new((start..=high).chain(low..start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pool_that_the_host_uses_is_passed_over() {
        assert_eq!(free_pool(&[]).unwrap().base, Ipv4Addr::new(172, 17, 0, 0));
        let used =
            [Subnet::of(Ipv4Addr::new(172, 17, 3, 4), 24), Subnet::of(Ipv4Addr::new(172, 18, 0, 1), 16)];
        assert_eq!(free_pool(&used).unwrap().base, Ipv4Addr::new(172, 19, 0, 0));
        assert_eq!(free_pool(&[Subnet::of(Ipv4Addr::UNSPECIFIED, 0)]), None);
    }

    #[test]
    fn the_first_container_gets_the_second_address_and_a_freed_one_comes_last() {
        let subnet = Subnet::of(Ipv4Addr::new(10, 0, 0, 0), 29);
        let mut used = BTreeSet::new();
        let first = free_address(subnet, &used, None).unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(free_address(subnet, &used, Some(first)).unwrap(), Ipv4Addr::new(10, 0, 0, 3));
        used.extend((2..7).map(|last| Ipv4Addr::new(10, 0, 0, last)));
        assert_eq!(free_address(subnet, &used, Some(first)), None);
        used.remove(&first);
        assert_eq!(free_address(subnet, &used, Some(first)), Some(first));
    }

    #[test]
    fn a_dynamic_port_follows_the_last_one_and_goes_round() {
        assert_eq!(port_candidates(0, 0, (10, 12), Some(11)).collect::<Vec<_>>(), [12, 10, 11]);
        assert_eq!(port_candidates(80, 82, (10, 12), None).collect::<Vec<_>>(), [80, 81, 82]);
    }

    proptest! {
        #[test]
        fn a_given_address_lies_inside_and_is_neither_gateway_nor_broadcast(bits: u32, prefix in 1u8..31, last: Option<u32>) {
            let subnet = Subnet::of(Ipv4Addr::from_bits(bits), prefix);
            if let Some(address) = free_address(subnet, &BTreeSet::new(), last.map(Ipv4Addr::from_bits)) {
                prop_assert_eq!(Subnet::of(address, prefix), subnet);
                prop_assert_ne!(address, subnet.gateway());
                prop_assert_ne!(address.to_bits(), subnet.broadcast());
            }
        }
    }
}
