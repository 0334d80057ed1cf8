//! Which subnet a node's bridge takes, which address a container gets, which port of the host is tried next.

use model::Subnet;
use model::network::Pool;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A space from which subnets are cut for networks that ask for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What is cut up.
    pub base: Subnet,
    /// The bits of a part's prefix.
    pub part: u8,
}

/// The spaces of a node that names none: first those that Docker's users know, thirty-one networks, and then more than anybody makes.
/// `ula` are five random bytes of the node, RFC 4193.
pub fn spaces(ula: [u8; 5]) -> Vec<Space> {
    let ipv4 =
        |a, b, prefix, part| Space { base: Subnet::of(IpAddr::V4(Ipv4Addr::new(a, b, 0, 0)), prefix), part };
    let [a, b, c, d, e] = ula;
    let local = Ipv6Addr::from([0xfd, a, b, c, d, e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    vec![
        ipv4(172, 17, 16, 16),
        ipv4(172, 18, 15, 16),
        ipv4(172, 20, 14, 16),
        ipv4(172, 24, 13, 16),
        ipv4(192, 168, 16, 20),
        ipv4(10, 192, 10, 24),
        Space { base: Subnet::of(IpAddr::V6(local), 48), part: 64 },
    ]
}

/// The spaces that somebody wants, and the usual ones of a family that nobody wants any of.
pub fn chosen_spaces(wanted: &[Space], ula: [u8; 5]) -> Vec<Space> {
    let is_named = |ipv4| wanted.iter().any(|space| space.base.is_ipv4() == ipv4);
    let usual = spaces(ula).into_iter().filter(|space| !is_named(space.base.is_ipv4()));
    wanted.iter().copied().chain(usual).collect()
}

/// The first part of the spaces of one family that shares no address with what is used.
pub fn free_subnet(spaces: &[Space], ipv4: bool, used: &[Subnet]) -> Option<Subnet> {
    let mut used: Vec<&Subnet> = used.iter().filter(|taken| taken.is_ipv4() == ipv4).collect();
    used.sort();
    spaces.iter().filter(|space| space.base.is_ipv4() == ipv4).find_map(|space| free_part(space, &used))
}

/// The first part of a space beside what is used, which is in order: it goes through both once.
fn free_part(space: &Space, used: &[&Subnet]) -> Option<Subnet> {
    let part_at = |address| Subnet::of(address, space.part);
    let mut part = part_at(space.base.base());
    for taken in used {
        while taken.overlaps(&part) {
            let last = if taken.contains(part.last()) { taken.last() } else { part.last() };
            let next = space.base.nth(space.base.number_of(last)?.checked_add(1)?)?;
            part = part_at(next);
        }
    }
    Some(part)
}

/// The addresses of a subnet that nobody gets: its own name, and of IPv4 the one that reaches everybody. Subnets of one or two
/// addresses have neither, RFC 3021.
fn is_special(subnet: &Subnet, address: IpAddr) -> bool {
    if subnet.last_number() < 2 {
        return false;
    }
    address == subnet.base() || subnet.is_ipv4() && address == subnet.last()
}

/// The way out of a pool that names none: its first address.
pub fn gateway(pool: &Pool) -> Option<IpAddr> {
    let taken: BTreeSet<IpAddr> = pool.auxiliary.values().copied().collect();
    free(&pool.subnet, &pool.range.unwrap_or(pool.subnet), &taken, None)
}

/// The next free address of a pool after `last`, going round once: an address that was just given back is not the next to be given
/// out, so that what still remembers its last owner does not meet a stranger.
pub fn free_address(pool: &Pool, used: &BTreeSet<IpAddr>, last: Option<IpAddr>) -> Option<IpAddr> {
    let range = pool.range.unwrap_or(pool.subnet);
    let reserved: BTreeSet<IpAddr> = pool.auxiliary.values().copied().chain(pool.gateway).collect();
    if reserved.is_empty() {
        return free(&pool.subnet, &range, used, last);
    }
    let mut taken = reserved;
    taken.extend(used.iter().filter(|address| range.contains(**address)));
    free(&pool.subnet, &range, &taken, last)
}

fn free(subnet: &Subnet, range: &Subnet, taken: &BTreeSet<IpAddr>, last: Option<IpAddr>) -> Option<IpAddr> {
    let end = range.last_number();
    let start =
        last.and_then(|last| range.number_of(last)).map_or(0, |last| if last == end { 0 } else { last + 1 });
    (start..=end)
        .chain(0..start)
        .filter_map(|number| range.nth(number))
        .find(|address| !is_special(subnet, *address) && !taken.contains(address))
}

/// Why an address that was asked for cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It lies in no subnet of the network.
    Outside,
    /// Somebody has it.
    Taken,
}

/// Whether a container may have the address that it asks for.
///
/// # Errors
/// Why not.
pub fn check_wanted(pools: &[Pool], used: &BTreeSet<IpAddr>, wanted: IpAddr) -> Result<(), Unfit> {
    let pool = pools.iter().find(|pool| pool.subnet.contains(wanted)).ok_or(Unfit::Outside)?;
    let reserved = pool.gateway == Some(wanted) || pool.auxiliary.values().any(|other| *other == wanted);
    if reserved || used.contains(&wanted) || is_special(&pool.subnet, wanted) {
        Err(Unfit::Taken)
    } else {
        Ok(())
    }
}

/// The hardware address that goes with a container's addresses: locally administered, unique on its bridge.
pub fn mac(ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr>) -> [u8; 6] {
    match (ipv4, ipv6) {
        (Some(address), _) => {
            let [a, b, c, d] = address.octets();
            [0x02, 0x42, a, b, c, d]
        }
        (None, Some(address)) => {
            let [.., a, b, c, d] = address.octets();
            [0x02, 0x46, a, b, c, d]
        }
        (None, None) => [0x02, 0x42, 0, 0, 0, 0],
    }
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
    use std::collections::BTreeMap;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    fn pool(text: &str) -> Pool {
        let mut pool = Pool { subnet: subnet(text), range: None, gateway: None, auxiliary: BTreeMap::new() };
        pool.gateway = gateway(&pool);
        pool
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_subnet_that_the_host_uses_is_passed_over() {
        let spaces = spaces([1, 2, 3, 4, 5]);
        let first = |used: &[Subnet], ipv4| free_subnet(&spaces, ipv4, used).map(|found| found.to_string());
        assert_eq!(first(&[], true).unwrap(), "172.17.0.0/16");
        assert_eq!(
            first(&[subnet("172.17.3.4/24"), subnet("172.18.0.1/16")], true).unwrap(),
            "172.19.0.0/16"
        );
        assert_eq!(first(&[subnet("172.16.0.0/12")], true).unwrap(), "192.168.0.0/20");
        assert_eq!(first(&[subnet("0.0.0.0/0")], true), None);
        assert_eq!(first(&[subnet("0.0.0.0/0")], false).unwrap(), "fd01:203:405::/64");
    }

    #[test]
    fn wanted_spaces_take_the_place_of_the_usual_ones_of_their_family() {
        let wanted = [Space { base: subnet("10.9.0.0/16"), part: 24 }];
        let chosen = chosen_spaces(&wanted, [0; 5]);
        assert_eq!(free_subnet(&chosen, true, &[subnet("10.9.0.0/24")]), Some(subnet("10.9.1.0/24")));
        assert_eq!(free_subnet(&chosen, true, &[subnet("10.9.0.0/16")]), None);
        assert!(free_subnet(&chosen, false, &[]).is_some());
    }

    #[test]
    fn there_are_subnets_for_a_thousand_networks() {
        let (spaces, mut used) = (spaces([0; 5]), Vec::new());
        for _ in 0..1000 {
            used.push(free_subnet(&spaces, true, &used).unwrap());
        }
    }

    #[test]
    fn the_first_container_gets_the_second_address_and_a_freed_one_comes_last() {
        let pool = pool("10.0.0.0/29");
        assert_eq!(pool.gateway, Some(address("10.0.0.1")));
        let mut used = BTreeSet::new();
        let first = free_address(&pool, &used, None).unwrap();
        assert_eq!(first, address("10.0.0.2"));
        assert_eq!(free_address(&pool, &used, Some(first)), Some(address("10.0.0.3")));
        used.extend((2..7).map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))));
        assert_eq!(free_address(&pool, &used, Some(first)), None);
        used.remove(&first);
        assert_eq!(free_address(&pool, &used, Some(first)), Some(first));
    }

    #[test]
    fn addresses_come_from_the_range_and_pass_over_what_something_else_has() {
        let mut pool = pool("10.0.0.0/24");
        pool.range = Some(subnet("10.0.0.128/30"));
        pool.auxiliary.insert("router".to_owned(), address("10.0.0.129"));
        assert_eq!(gateway(&pool), Some(address("10.0.0.128")));
        assert_eq!(free_address(&pool, &BTreeSet::new(), None), Some(address("10.0.0.128")));
        assert_eq!(
            free_address(&pool, &BTreeSet::new(), Some(address("10.0.0.128"))),
            Some(address("10.0.0.130"))
        );
        let wanted = |text: &str| check_wanted(std::slice::from_ref(&pool), &BTreeSet::new(), address(text));
        assert_eq!(wanted("10.0.0.5"), Ok(()));
        assert_eq!(wanted("10.0.1.5"), Err(Unfit::Outside));
        assert_eq!(wanted("10.0.0.129"), Err(Unfit::Taken));
        assert_eq!(wanted("10.0.0.255"), Err(Unfit::Taken));
    }

    #[test]
    fn a_pair_of_addresses_is_used_in_full_and_ipv6_has_no_broadcast() {
        let pair = pool("10.0.0.8/31");
        assert_eq!(pair.gateway, Some(address("10.0.0.8")));
        assert_eq!(free_address(&pair, &BTreeSet::new(), None), Some(address("10.0.0.9")));
        let six = pool("fd00::/126");
        assert_eq!(six.gateway, Some(address("fd00::1")));
        assert_eq!(free_address(&six, &BTreeSet::new(), Some(address("fd00::2"))), Some(address("fd00::3")));
    }

    #[test]
    fn a_dynamic_port_follows_the_last_one_and_goes_round() {
        assert_eq!(port_candidates(0, 0, (10, 12), Some(11)).collect::<Vec<_>>(), [12, 10, 11]);
        assert_eq!(port_candidates(80, 82, (10, 12), None).collect::<Vec<_>>(), [80, 81, 82]);
    }

    proptest! {
        #[test]
        fn a_given_address_lies_inside_and_is_neither_gateway_nor_broadcast(bits: u32, prefix in 1u8..31, last: Option<u32>) {
            let subnet = Subnet::of(IpAddr::V4(Ipv4Addr::from_bits(bits)), prefix);
            let pool = pool(&subnet.to_string());
            let last = last.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
            if let Some(address) = free_address(&pool, &BTreeSet::new(), last) {
                prop_assert!(subnet.contains(address));
                prop_assert_ne!(Some(address), pool.gateway);
                prop_assert_ne!(address, subnet.last());
            }
        }
    }
}
