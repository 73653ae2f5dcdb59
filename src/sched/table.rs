//! The requests and items the scheduler knows of, in slots that are reused.

use super::event::Item;
use super::spread::Spread;
use super::urgency::Entry;
use crate::types::{ModelId, Priority, RequestId, Time};
use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;

/// Marks the end of a request's list of items.
pub(super) const NONE: u32 = u32::MAX;

/// One item's place in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// In its lane's queues.
    Waiting,
    /// In a group of a failed batch that is to be run again.
    Pinned,
    /// In a batch that runs.
    Running,
    /// In a group or a batch, but no longer wanted.
    Dead,
    /// Ended; its slot stays until its request ends.
    Done,
}

#[derive(Debug, Clone)]
pub(super) struct ItemSlot {
    pub(super) item: Item,
    pub(super) request: u32,
    pub(super) index: u32,
    /// Next item of the same request.
    pub(super) next: u32,
    pub(super) seq: u64,
    pub(super) key: u64,
    pub(super) arrival: Time,
    /// Predicted share of the device, in ns, while it waits.
    pub(super) share: u64,
    pub(super) lane: u32,
    /// Its level of priority under the lane's policy.
    pub(super) level: u32,
    /// Index of its account in the lane.
    pub(super) account: u32,
    /// Index of its class in the lane.
    pub(super) class: u32,
    pub(super) status: Status,
}

#[derive(Debug, Clone)]
pub(super) struct RequestSlot {
    pub(super) id: RequestId,
    pub(super) model: ModelId,
    pub(super) tenant: Arc<str>,
    pub(super) priority: Priority,
    pub(super) deadline: Time,
    pub(super) first: u32,
    /// Items that have not ended.
    pub(super) open: u32,
    /// Cancelled or failed: what still runs is not wanted.
    pub(super) dead: bool,
    /// Let in against the prediction, to learn whether it still holds.
    pub(super) trial: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) items: Slab<ItemSlot>,
    pub(super) requests: Slab<RequestSlot>,
    by_id: HashMap<RequestId, u32, Spread>,
}

impl Table {
    pub(super) fn insert_request(&mut self, request: RequestSlot) -> u32 {
        let id = request.id;
        let slot = self.requests.insert(request) as u32;
        self.by_id.insert(id, slot);
        slot
    }

    pub(super) fn find(&self, id: RequestId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// Whether a queue entry still stands for a waiting item.
    pub(super) fn is_waiting(&self, entry: &Entry) -> bool {
        self.items.get(entry.slot as usize).is_some_and(|s| s.seq == entry.seq && s.status == Status::Waiting)
    }

    pub(super) fn item(&self, slot: u32) -> &ItemSlot {
        &self.items[slot as usize]
    }

    pub(super) fn item_mut(&mut self, slot: u32) -> &mut ItemSlot {
        &mut self.items[slot as usize]
    }

    pub(super) fn request(&self, slot: u32) -> &RequestSlot {
        &self.requests[slot as usize]
    }

    /// Ends one item; with a request's last item its slots are given back. Answers whether it was.
    pub(super) fn end_item(&mut self, slot: u32) -> bool {
        let item = self.item_mut(slot);
        item.status = Status::Done;
        let request = item.request as usize;
        self.requests[request].open -= 1;
        let last = self.requests[request].open == 0;
        if last {
            let ended = self.requests.remove(request);
            self.by_id.remove(&ended.id);
            let mut next = ended.first;
            while next != NONE {
                next = self.items.remove(next as usize).next;
            }
        }
        last
    }
}
