//! Who is called what: the networks with their members, and how one container sees them.
//!
//! A name is looked for on each network of the asking container in its order, first among its own links, then among the
//! members; `web.front` also as `web` on the network `front`. Names are compared without regard to case, RFC 4343.

use model::{ContainerId, Member, NetworkKey, NetworkNames, Resolver};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// One family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

/// A member as one of its names leads to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    id: ContainerId,
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
}

impl Place {
    pub(super) fn ipv4(&self) -> Option<Ipv4Addr> {
        self.ipv4
    }

    pub(super) fn ipv6(&self) -> Option<Ipv6Addr> {
        self.ipv6
    }

    fn has(&self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.ipv4.is_some(),
            Family::Ipv6 => self.ipv6.is_some(),
        }
    }
}

#[derive(Default)]
struct Network {
    name: String,
    shown: String,
    members: BTreeMap<ContainerId, Member>,
    by_name: HashMap<String, Vec<Place>>,
    by_address: HashMap<IpAddr, ContainerId>,
}

fn addresses(member: &Member) -> impl Iterator<Item = IpAddr> {
    member.ipv4.map(IpAddr::V4).into_iter().chain(member.ipv6.map(IpAddr::V6))
}

/// The names of a member, each once, as they are compared.
fn names(member: &Member) -> Vec<String> {
    let every = std::iter::once(&member.name).chain(&member.aliases);
    let mut names: Vec<String> =
        every.filter(|name| !name.is_empty()).map(|name| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl Network {
    fn of(told: NetworkNames) -> Network {
        let mut network =
            Network { name: told.name.to_ascii_lowercase(), shown: told.name, ..Network::default() };
        for (id, member) in told.members {
            network.add(id, member);
        }
        network
    }

    fn add(&mut self, id: ContainerId, member: Member) {
        self.remove(id);
        for name in names(&member) {
            let place = Place { id, ipv4: member.ipv4, ipv6: member.ipv6 };
            self.by_name.entry(name).or_default().push(place);
        }
        self.by_address.extend(addresses(&member).map(|address| (address, id)));
        self.members.insert(id, member);
    }

    fn remove(&mut self, id: ContainerId) {
        let Some(member) = self.members.remove(&id) else { return };
        for name in names(&member) {
            if let Some(places) = self.by_name.get_mut(&name) {
                places.retain(|place| place.id != id);
                if places.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
        for address in addresses(&member) {
            // Another member may have it by now.
            if self.by_address.get(&address) == Some(&id) {
                self.by_address.remove(&address);
            }
        }
    }
}

/// What was found for a name.
pub(super) enum Found<'a> {
    /// Members; some of them have an address of the family.
    Members(&'a [Place]),
    /// The name is known, and has no address of the family.
    Nothing,
}

/// Everything that is known.
#[derive(Default)]
pub(super) struct Book {
    networks: HashMap<NetworkKey, Network>,
    resolvers: HashMap<ContainerId, Arc<Resolver>>,
}

impl Book {
    pub(super) fn set_network(&mut self, key: NetworkKey, told: NetworkNames) {
        self.networks.insert(key, Network::of(told));
    }

    pub(super) fn drop_network(&mut self, key: &str) {
        self.networks.remove(key);
    }

    /// Enters a member; says whether the network is known.
    pub(super) fn set_member(&mut self, key: &str, id: ContainerId, member: Member) -> bool {
        let Some(network) = self.networks.get_mut(key) else { return false };
        network.add(id, member);
        true
    }

    pub(super) fn drop_member(&mut self, key: &str, id: ContainerId) {
        if let Some(network) = self.networks.get_mut(key) {
            network.remove(id);
        }
    }

    pub(super) fn set_resolver(&mut self, id: ContainerId, mut resolver: Resolver) {
        for attachment in &mut resolver.networks {
            let links = std::mem::take(&mut attachment.links);
            let compared =
                |(alias, name): (String, String)| (alias.to_ascii_lowercase(), name.to_ascii_lowercase());
            attachment.links = links.into_iter().map(compared).collect();
        }
        self.resolvers.insert(id, Arc::new(resolver));
    }

    pub(super) fn drop_resolver(&mut self, id: ContainerId) {
        self.resolvers.remove(&id);
    }

    pub(super) fn resolver(&self, id: ContainerId) -> Option<&Arc<Resolver>> {
        self.resolvers.get(&id)
    }

    pub(super) fn replace(
        &mut self,
        networks: BTreeMap<NetworkKey, NetworkNames>,
        resolvers: BTreeMap<ContainerId, Resolver>,
    ) {
        *self = Book::default();
        networks.into_iter().for_each(|(key, told)| self.set_network(key, told));
        resolvers.into_iter().for_each(|(id, resolver)| self.set_resolver(id, resolver));
    }

    /// What a name, in lower case and without the last dot, means to a container.
    pub(super) fn find(&self, resolver: &Resolver, name: &str, family: Family) -> Option<Found<'_>> {
        let whole = std::iter::once((name, None));
        let parts = name.rmatch_indices('.').map(|(at, _)| (&name[..at], Some(&name[at + 1..])));
        for (name, network) in whole.chain(parts) {
            for by_link in [true, false] {
                if let Some(found) = self.find_on(resolver, name, network, by_link, family) {
                    return Some(found);
                }
            }
        }
        None
    }

    fn find_on(
        &self,
        resolver: &Resolver,
        name: &str,
        only: Option<&str>,
        by_link: bool,
        family: Family,
    ) -> Option<Found<'_>> {
        let mut is_known = false;
        for attachment in &resolver.networks {
            let Some(network) = self.networks.get(&attachment.network) else { continue };
            if only.is_some_and(|only| only != network.name) {
                continue;
            }
            let name = match (by_link, attachment.links.get(name)) {
                (true, Some(linked)) => linked,
                (false, None) => name,
                // A name that is a link's is nobody else's on that network.
                _ => continue,
            };
            let Some(places) = network.by_name.get(name) else { continue };
            if places.iter().any(|place| place.has(family)) {
                return Some(Found::Members(places));
            }
            is_known = true;
        }
        is_known.then_some(Found::Nothing)
    }

    /// Who has an address, as `member.network`.
    pub(super) fn name_of(&self, resolver: &Resolver, address: IpAddr) -> Option<String> {
        resolver.networks.iter().find_map(|attachment| {
            let network = self.networks.get(&attachment.network)?;
            let id = network.by_address.get(&address)?;
            let member = network.members.get(id)?;
            Some(format!("{}.{}", member.name, network.shown))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::view::SearchedNetwork;

    const WEB: ContainerId = ContainerId::from_bytes([1; 32]);
    const DB: ContainerId = ContainerId::from_bytes([2; 32]);

    fn member(name: &str, aliases: &[&str], last: u8, ipv6: bool) -> Member {
        Member {
            name: name.to_owned(),
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
            ipv4: Some(Ipv4Addr::new(172, 18, 0, last)),
            ipv6: ipv6.then(|| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into())),
        }
    }

    /// Two networks, `Front` and `back.end`; a resolver on both, front first, which links `data` to `db` at the back.
    fn book() -> (Book, Resolver) {
        let mut book = Book::default();
        let front = NetworkNames { name: "Front".to_owned(), members: BTreeMap::new() };
        let back = NetworkNames { name: "back.end".to_owned(), members: BTreeMap::new() };
        book.set_network("f".to_owned(), front);
        book.set_network("b".to_owned(), back);
        assert!(book.set_member("f", WEB, member("Web", &["www", "WWW", "web"], 2, true)));
        assert!(book.set_member("b", DB, member("db", &["www", "0202"], 3, false)));
        assert!(!book.set_member("nowhere", DB, member("db", &[], 3, false)));
        let links = BTreeMap::from([("Data".to_owned(), "DB".to_owned())]);
        let networks = vec![
            SearchedNetwork { network: "f".to_owned(), links: BTreeMap::new() },
            SearchedNetwork { network: "b".to_owned(), links },
        ];
        book.set_resolver(WEB, Resolver { networks, ..Resolver::default() });
        let resolver = Resolver::clone(book.resolver(WEB).unwrap());
        (book, resolver)
    }

    fn found(book: &Book, resolver: &Resolver, name: &str, family: Family) -> Option<Vec<String>> {
        Some(match book.find(resolver, name, family)? {
            Found::Nothing => Vec::new(),
            Found::Members(places) => {
                let address = |place: &Place| match family {
                    Family::Ipv4 => place.ipv4().map(|address| address.to_string()),
                    Family::Ipv6 => place.ipv6().map(|address| address.to_string()),
                };
                places.iter().filter_map(address).collect()
            }
        })
    }

    #[test]
    fn names_aliases_links_and_names_with_their_network_are_found() {
        let (book, resolver) = book();
        let ipv4 = |name: &str| found(&book, &resolver, name, Family::Ipv4);
        for (name, last) in [
            ("web", 2),
            ("web.front", 2),
            ("www", 2),
            ("www.back.end", 3),
            ("db", 3),
            ("0202", 3),
            ("data", 3),
            ("data.back.end", 3),
        ] {
            assert_eq!(ipv4(name), Some(vec![format!("172.18.0.{last}")]), "{name}");
        }
        for name in ["web.back.end", "nobody", "web.nowhere", "data.front", "", ".", "end", "b.end"] {
            assert_eq!(ipv4(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_without_an_address_of_the_family_is_known_all_the_same() {
        let (book, resolver) = book();
        assert_eq!(found(&book, &resolver, "db", Family::Ipv6), Some(Vec::new()));
        assert_eq!(found(&book, &resolver, "web", Family::Ipv6), Some(vec!["fd00::2".to_owned()]));
        assert_eq!(found(&book, &resolver, "nobody", Family::Ipv6), None);
    }

    #[test]
    fn an_address_leads_to_its_name_while_its_member_is_there() {
        let (mut book, resolver) = book();
        let address = "172.18.0.2".parse().unwrap();
        assert_eq!(book.name_of(&resolver, address).as_deref(), Some("Web.Front"));
        assert_eq!(book.name_of(&resolver, "fd00::2".parse().unwrap()).as_deref(), Some("Web.Front"));
        // The address has gone to another, before the first was taken away.
        book.set_member("f", DB, member("new", &[], 2, false));
        book.drop_member("f", WEB);
        assert_eq!(book.name_of(&resolver, address).as_deref(), Some("new.Front"));
        assert_eq!(found(&book, &resolver, "web", Family::Ipv4), None);
        assert_eq!(book.name_of(&resolver, "fd00::2".parse().unwrap()), None);
    }

    #[test]
    fn members_share_an_alias_until_they_go() {
        let (mut book, resolver) = book();
        book.set_member("f", DB, member("other", &["www"], 4, false));
        let www = |book: &Book| found(book, &resolver, "www", Family::Ipv4).unwrap();
        assert_eq!(www(&book), ["172.18.0.2", "172.18.0.4"]);
        book.set_member("f", DB, member("other", &[], 4, false));
        assert_eq!(www(&book), ["172.18.0.2"]);
        book.drop_network("f");
        assert_eq!(www(&book), ["172.18.0.3"]);
    }
}
