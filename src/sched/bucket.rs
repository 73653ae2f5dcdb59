//! Buckets: the waiting items of one class whose lengths round up to one edge, by account and urgency.
//!
//! Keeps order and counts. Does not decide what leaves.

use super::pool::Pool;
use super::table::{ItemSlot, Status, Table};
use super::urgency::Entry;
use crate::types::ShapeClass;

/// Waiting items of one class, by length.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) id: ShapeClass,
    /// Ascending by edge; empty ones stay for reuse.
    pub(super) buckets: Vec<Bucket>,
    /// Their edges, to be searched.
    edges: Vec<u32>,
    pub(super) items: u32,
    pub(super) rows: u32,
}

/// Waiting items of one class whose lengths round up to one edge.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) edge: u32,
    pub(super) items: u32,
    pub(super) rows: u32,
    /// Its items by account, ascending; of those accounts that have any.
    pub(super) shares: Vec<Share>,
    /// By the model's devices.
    pub(super) best: Vec<Best>,
}

/// One account's part of a bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) account: u32,
    items: u32,
    /// Its place in the pool.
    pub(super) queue: u32,
}

/// The cheapest batch size at a bucket's edge, as of a version of the cost model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Best {
    pub(super) stamp: u64,
    pub(super) rows: u32,
    pub(super) time: f64,
}

impl Default for Best {
    fn default() -> Self {
        // One row, so that nothing is ever divided by none.
        Self { stamp: 0, rows: 1, time: 0.0 }
    }
}

impl Class {
    pub(super) fn new(id: ShapeClass) -> Self {
        Self { id, buckets: Vec::new(), edges: Vec::new(), items: 0, rows: 0 }
    }

    /// The position of the bucket with this edge, if there is one.
    pub(super) fn position(&self, edge: u32) -> Option<usize> {
        self.edges.binary_search(&edge).ok()
    }

    /// The bucket with this edge, from when it is first asked for.
    pub(super) fn bucket(&mut self, edge: u32) -> &mut Bucket {
        let at = match self.edges.binary_search(&edge) {
            Ok(at) => at,
            Err(at) => {
                self.edges.insert(at, edge);
                self.buckets.insert(at, Bucket { edge, items: 0, rows: 0, shares: Vec::new(), best: Vec::new() });
                at
            }
        };
        &mut self.buckets[at]
    }
}

impl Bucket {
    pub(super) fn push(&mut self, account: u32, entry: Entry, rows: u32, pool: &mut Pool) {
        self.items += 1;
        self.rows += rows;
        let at = match self.shares.binary_search_by_key(&account, |s| s.account) {
            Ok(at) => at,
            Err(at) => {
                self.shares.insert(at, Share { account, items: 0, queue: pool.open(account) });
                at
            }
        };
        self.shares[at].items += 1;
        pool.push(self.shares[at].queue, entry);
    }

    /// What an account has waiting here.
    pub(super) fn share(&self, account: u32) -> Option<&Share> {
        let at = self.shares.binary_search_by_key(&account, |s| s.account).ok()?;
        self.shares.get(at)
    }

    /// Takes an item that waits no longer off the counts, and off its queue unless it was taken for a batch.
    pub(super) fn remove(&mut self, slot: u32, pool: &mut Pool, table: &Table) {
        let ItemSlot { rows, account, status, .. } = table.item(slot);
        self.items -= 1;
        self.rows -= rows;
        let Ok(at) = self.shares.binary_search_by_key(account, |s| s.account) else { return };
        let share = &mut self.shares[at];
        share.items -= 1;
        if share.items == 0 {
            pool.close(share.queue);
            self.shares.remove(at);
        } else if *status != Status::Running {
            pool.forsake(share.queue, slot, table);
        }
    }
}
