//! Pulls that want the same layers at the same time: each layer is fetched by one of them.
//!
//! Whoever came first fetches what several want. The others wait until that pull has ended: then the layer is here, or the
//! next one fetches it. Everybody waits only for those who came before, so that nobody waits in a circle.

use super::locked;
use model::Digest;
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use tokio::sync::watch;

/// What pulls want that are under way, the first one first.
pub(crate) struct Together {
    wanted: Mutex<BTreeMap<u64, HashSet<Digest>>>,
    /// How many pulls have begun; changes when one ends as well.
    moved: watch::Sender<u64>,
}

impl Default for Together {
    fn default() -> Together {
        Together { wanted: Mutex::default(), moved: watch::Sender::new(0) }
    }
}

impl Together {
    /// Begins to want layers, by the digests of their archives as they come; ends when the value is dropped.
    pub(crate) fn join(&self, layers: HashSet<Digest>) -> Turn<'_> {
        let mut number = 0;
        let mut wanted = locked(&self.wanted);
        self.moved.send_modify(|begun| {
            *begun += 1;
            number = *begun;
        });
        wanted.insert(number, layers);
        drop(wanted);
        Turn { together: self, number, moved: self.moved.subscribe() }
    }
}

/// One pull's place among the others.
pub(crate) struct Turn<'t> {
    together: &'t Together,
    number: u64,
    moved: watch::Receiver<u64>,
}

impl Turn<'_> {
    /// Of these layers, those that nobody fetches who came before.
    pub(crate) fn mine(&mut self, layers: impl IntoIterator<Item = Digest>) -> HashSet<Digest> {
        self.moved.borrow_and_update();
        let wanted = locked(&self.together.wanted);
        let before: Vec<&HashSet<Digest>> = wanted.range(..self.number).map(|(_, layers)| layers).collect();
        layers.into_iter().filter(|layer| !before.iter().any(|others| others.contains(layer))).collect()
    }

    /// Ends when another pull has ended since [`Turn::mine`] was asked, or one has begun.
    pub(crate) async fn moved(&mut self) {
        // The sender lives as long as this.
        let _ = self.moved.changed().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        locked(&self.together.wanted).remove(&self.number);
        // Seen as a change, although nothing is counted.
        self.together.moved.send_modify(|_| {});
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::digest_of;

    #[test]
    fn the_first_fetches_what_several_want_and_the_next_after_it() {
        let together = Together::default();
        let (one, two, three) = (digest_of(b"1"), digest_of(b"2"), digest_of(b"3"));
        let mut first = together.join(HashSet::from([one, two]));
        let mut second = together.join(HashSet::from([two, three]));
        let mut third = together.join(HashSet::from([one, two, three]));
        assert_eq!(first.mine([one, two]), HashSet::from([one, two]));
        assert_eq!(second.mine([two, three]), HashSet::from([three]));
        assert_eq!(third.mine([one, two, three]), HashSet::new());
        drop(first);
        assert_eq!(second.mine([two]), HashSet::from([two]));
        assert_eq!(third.mine([one, two, three]), HashSet::from([one]));
        drop(second);
        assert_eq!(third.mine([two, three]), HashSet::from([two, three]));
    }
}
