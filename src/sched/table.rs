//! The requests and items the scheduler knows of, in slots that are reused.

use super::urgency::Entry;
use crate::types::{ModelId, Priority, RequestId, Time};
use hashbrown::HashTable;
use slab::Slab;
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

/// An [`Item`](super::event::Item) that has not ended. One cache line, for nearly each of those that wait is in
/// no cache when it is taken.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct ItemSlot {
    pub(super) rows: u32,
    pub(super) len: u32,
    pub(super) bytes: u32,
    pub(super) request: u32,
    pub(super) index: u32,
    /// Next item of the same request.
    pub(super) next: u32,
    pub(super) seq: u64,
    pub(super) key: u64,
    /// Predicted share of the device, in ns, while it waits.
    pub(super) share: u64,
    pub(super) lane: u32,
    /// Its level of priority under the lane's policy.
    pub(super) level: u8,
    /// Index of its account in the lane.
    pub(super) account: u32,
    /// Index of its class in the lane.
    pub(super) class: u32,
    pub(super) status: Status,
}

/// A request that has not ended. One cache line, as its items.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct RequestSlot {
    pub(super) id: RequestId,
    pub(super) model: ModelId,
    pub(super) tenant: Arc<str>,
    pub(super) priority: Priority,
    pub(super) arrival: Time,
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
    /// Slots of requests, by their ids.
    by_id: HashTable<u32>,
}

impl Table {
    pub(super) fn insert_request(&mut self, request: RequestSlot) -> u32 {
        let id = request.id;
        let slot = self.requests.insert(request) as u32;
        let Self { requests, by_id, .. } = self;
        by_id.insert_unique(place(id), slot, |&slot| place(requests[slot as usize].id));
        slot
    }

    pub(super) fn find(&self, id: RequestId) -> Option<u32> {
        self.by_id.find(place(id), |&slot| self.request(slot).id == id).copied()
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

    /// The request of an item.
    pub(super) fn owner(&self, slot: u32) -> &RequestSlot {
        self.request(self.item(slot).request)
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
            if let Ok(known) = self.by_id.find_entry(place(ended.id), |&slot| slot as usize == request) {
                known.remove();
            }
            let mut next = ended.first;
            while next != NONE {
                next = self.items.remove(next as usize).next;
            }
        }
        last
    }
}

/// Where a request goes in a table by ids. They are counted up, and neighbours stay neighbours, so that new ones share a
/// cache line; the table takes its places from the low bits and tells entries apart by the highest seven.
fn place(id: RequestId) -> u64 {
    const TAG: u64 = 0x7F << 57;
    id.0 & !TAG | id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) & TAG
}
