//! How far the layers of a pull are, as it is told: while a layer comes, how much of it came; then, how much is unpacked.

use super::locked;
use super::pull::{LayerState, PullStep};
use super::wait::Listener;
use crate::intake::{Ticket, Watch};
use crate::manifest::Descriptor;
use model::Digest;
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::runtime::Handle;

/// How often the progress of a layer is told, and after how many bytes at least.
const TOLD_PARTS: u64 = 100;
const TOLD_BYTES_MIN: u64 = 256 << 10;

/// One layer that comes, as it is told.
struct Coming {
    digest: Digest,
    total: u64,
    told: u64,
    unpacked: u64,
    is_here: bool,
    is_unpacked: bool,
}

/// Tells how far layers are, in an order that makes sense although several threads know something.
pub(super) struct Progress<'a> {
    pub(super) listener: &'a dyn Listener<PullStep>,
    runtime: &'a Handle,
    layers: Mutex<BTreeMap<Ticket, Coming>>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(listener: &'a dyn Listener<PullStep>, runtime: &'a Handle) -> Progress<'a> {
        Progress { listener, runtime, layers: Mutex::default() }
    }

    pub(super) fn tell(&self, digest: Digest, state: LayerState) {
        self.runtime.block_on(self.listener.tell(PullStep::Layer { id: digest.short(), state }));
    }

    pub(super) fn begin(&self, ticket: Ticket, layer: &Descriptor) {
        let (digest, total) = (layer.digest, layer.size);
        let coming = Coming { digest, total, told: 0, unpacked: 0, is_here: false, is_unpacked: false };
        locked(&self.layers).insert(ticket, coming);
    }

    pub(super) fn came(&self, ticket: Ticket, bytes: u64) {
        let told = {
            let mut layers = locked(&self.layers);
            let Some(layer) = layers.get_mut(&ticket) else { return };
            layer.is_worth_telling(bytes).then_some((layer.digest, layer.total))
        };
        if let Some((digest, total)) = told {
            self.tell(digest, LayerState::Downloading { current: bytes, total });
        }
    }

    pub(super) fn downloaded(&self, ticket: Ticket) {
        let (digest, then) = {
            let mut layers = locked(&self.layers);
            let Some(layer) = layers.get_mut(&ticket) else { return };
            layer.is_here = true;
            layer.told = layer.unpacked;
            let then = match layer.is_unpacked {
                true => LayerState::Complete,
                false => LayerState::Extracting { current: layer.unpacked, total: layer.total },
            };
            (layer.digest, then)
        };
        self.tell(digest, LayerState::Downloaded);
        self.tell(digest, then);
    }
}

impl Coming {
    fn is_worth_telling(&mut self, bytes: u64) -> bool {
        let worth = bytes.saturating_sub(self.told) >= (self.total / TOLD_PARTS).max(TOLD_BYTES_MIN);
        if worth {
            self.told = bytes;
        }
        worth
    }
}

impl Watch for Progress<'_> {
    fn unpacked(&self, ticket: Ticket, bytes: u64) {
        let told = {
            let mut layers = locked(&self.layers);
            let Some(layer) = layers.get_mut(&ticket) else { return };
            layer.unpacked = bytes;
            // While it comes, it is told how much of it came.
            (layer.is_here && layer.is_worth_telling(bytes)).then_some((layer.digest, layer.total))
        };
        if let Some((digest, total)) = told {
            self.tell(digest, LayerState::Extracting { current: bytes, total });
        }
    }

    fn done(&self, ticket: Ticket) {
        let told = {
            let mut layers = locked(&self.layers);
            let Some(layer) = layers.get_mut(&ticket) else { return };
            layer.is_unpacked = true;
            layer.is_here.then_some(layer.digest)
        };
        if let Some(digest) = told {
            self.tell(digest, LayerState::Complete);
        }
    }
}
