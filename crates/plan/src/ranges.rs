//! Ranges of user and group numbers, one for each container that has a user namespace of its own.
//!
//! What is on disk carries the numbers of the inside; only while a container runs does it have a range outside. So nothing
//! about ranges is kept: a container may have another one at each start.

use std::collections::BTreeSet;

/// Numbers that each container gets: as many as a system has users.
pub const RANGE_IDS: u32 = 65_536;
/// Where ranges are taken from where no file says so: far above what people and programs are given.
pub const DEFAULT: Pool = Pool { first: 0x4000_0000, count: 0x4000_0000 };

/// A block of numbers that ranges are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The first number.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

/// The pools of a user in the text of a subuid or subgid file, subuid(5): `NAME:FIRST:COUNT`.
pub fn pools(text: &str, users: &[&str]) -> Vec<Pool> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let name = fields.next()?;
            let pool = Pool { first: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? };
            users.contains(&name).then_some(pool)
        })
        .collect()
}

/// What users and groups can both be taken from: ranges are the same numbers for both.
pub fn common(users: &[Pool], groups: &[Pool]) -> Vec<Pool> {
    let end = |pool: &Pool| u64::from(pool.first) + u64::from(pool.count);
    let mut all = Vec::new();
    for one in users {
        for other in groups {
            let first = one.first.max(other.first);
            let last = end(one).min(end(other));
            if let Ok(count) = u32::try_from(last.saturating_sub(u64::from(first)))
                && count >= RANGE_IDS
            {
                all.push(Pool { first, count });
            }
        }
    }
    all
}

/// The first number of a range that nobody has.
pub fn free(pools: &[Pool], taken: &BTreeSet<u32>) -> Option<u32> {
    pools.iter().find_map(|pool| {
        (0..pool.count / RANGE_IDS).map(|index| pool.first + index * RANGE_IDS).find(|first| {
            let before = taken.range(..=first).next_back();
            let after = taken.range(first..).next();
            before.is_none_or(|other| first - other >= RANGE_IDS)
                && after.is_none_or(|other| other - first >= RANGE_IDS)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_names_the_pools_of_each_user() {
        let text = "me:100000:65536\ncontainers:200000:131072\nbroken:x\n";
        assert_eq!(pools(text, &["bocage", "containers"]), [Pool { first: 200_000, count: 131_072 }]);
    }

    #[test]
    fn only_what_both_files_have_can_be_given_out() {
        let users = [Pool { first: 100_000, count: 200_000 }];
        let groups = [Pool { first: 150_000, count: 65_536 }, Pool { first: 0, count: 65_536 }];
        assert_eq!(common(&users, &groups), [Pool { first: 150_000, count: 65_536 }]);
    }

    #[test]
    fn when_all_are_taken_there_is_none() {
        let pool = [Pool { first: 10, count: 2 * RANGE_IDS }];
        assert_eq!(free(&pool, &BTreeSet::new()), Some(10));
        assert_eq!(free(&pool, &BTreeSet::from([10])), Some(10 + RANGE_IDS));
        assert_eq!(free(&pool, &BTreeSet::from([10, 10 + RANGE_IDS])), None);
    }

    proptest! {
        #[test]
        fn no_two_ranges_overlap(others in proptest::collection::btree_set(0u32..2_000_000, 0..20)) {
            let pool = [Pool { first: 1000, count: 40 * RANGE_IDS }];
            if let Some(first) = free(&pool, &others) {
                prop_assert!(others.iter().all(|other| first.abs_diff(*other) >= RANGE_IDS));
            }
        }
    }
}
