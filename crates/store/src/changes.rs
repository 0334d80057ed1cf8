//! A set of changes that is not on disk yet.

use std::collections::BTreeMap;

/// Key (table and key within it) to the new value; `None` removes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.0.insert(key, value);
    }

    /// What is known of `key` here: nothing, that it is removed, or its new value.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&Vec<u8>>> {
        self.0.get(key).map(Option::as_ref)
    }

    /// Lays `later` over this.
    pub(crate) fn merge(&mut self, later: &Changes) {
        for (key, value) in &later.0 {
            self.0.insert(key.clone(), value.clone());
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, Option<&Vec<u8>>)> {
        self.0.iter().map(|(key, value)| (key, value.as_ref()))
    }

    /// The changes whose key begins with `prefix`.
    pub(crate) fn with_prefix<'a>(
        &'a self,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = (&'a Vec<u8>, Option<&'a Vec<u8>>)> {
        self.0
            .range(prefix.to_vec()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key, value.as_ref()))
    }
}
