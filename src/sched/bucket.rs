//! Buckets: the waiting items of one class whose lengths round up to one edge, by account and urgency.
//!
//! Keeps order and counts. Does not decide what leaves.

use super::table::Table;
use super::urgency::{Entry, Nodes, UrgencyQueue};
use crate::types::ShapeClass;

/// Waiting items of one class, by length.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) id: ShapeClass,
    /// Ascending by edge; empty ones stay for reuse.
    pub(super) buckets: Vec<Bucket>,
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

/// The queues of a lane's shares, and their memory.
#[derive(Debug, Default)]
pub(super) struct Pool {
    queues: Vec<UrgencyQueue>,
    nodes: Nodes,
    free: Vec<u32>,
}

impl Pool {
    /// The most urgent waiting item of a queue.
    pub(super) fn peek(&mut self, at: u32, table: &Table) -> Option<Entry> {
        self.queues[at as usize].peek(&mut self.nodes, |e| table.is_waiting(e))
    }

    pub(super) fn pop(&mut self, at: u32) {
        self.queues[at as usize].pop(&mut self.nodes);
    }

    fn push(&mut self, at: u32, entry: Entry) {
        self.queues[at as usize].push(entry, &mut self.nodes);
    }

    fn sweep(&mut self, at: u32, live_count: u32, table: &Table) {
        self.queues[at as usize].sweep(live_count as usize, &mut self.nodes, |e| table.is_waiting(e));
    }

    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.queues.push(UrgencyQueue::default());
            self.queues.len() as u32 - 1
        })
    }

    fn give_back(&mut self, at: u32) {
        self.queues[at as usize].clear(&mut self.nodes);
        self.free.push(at);
    }
}

impl Class {
    pub(super) fn new(id: ShapeClass) -> Self {
        Self { id, buckets: Vec::new(), items: 0, rows: 0 }
    }

    /// The position of the bucket with this edge, if there is one.
    pub(super) fn position(&self, edge: u32) -> Option<usize> {
        self.buckets.binary_search_by_key(&edge, |b| b.edge).ok()
    }

    /// The bucket with this edge, from when it is first asked for.
    pub(super) fn bucket(&mut self, edge: u32) -> &mut Bucket {
        let at = match self.buckets.binary_search_by_key(&edge, |b| b.edge) {
            Ok(at) => at,
            Err(at) => {
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
                self.shares.insert(at, Share { account, items: 0, queue: pool.take() });
                at
            }
        };
        self.shares[at].items += 1;
        pool.push(self.shares[at].queue, entry);
    }

    /// Puts back an entry that was taken off its queue alone.
    pub(super) fn put_back(&self, account: u32, entry: Entry, pool: &mut Pool) {
        if let Some(share) = self.share(account) {
            pool.push(share.queue, entry);
        }
    }

    /// What an account has waiting here.
    pub(super) fn share(&self, account: u32) -> Option<&Share> {
        let at = self.shares.binary_search_by_key(&account, |s| s.account).ok()?;
        self.shares.get(at)
    }

    /// Takes an item that waits no longer off the counts; its queue entry goes stale.
    pub(super) fn remove(&mut self, account: u32, rows: u32, pool: &mut Pool, table: &Table) {
        self.items -= 1;
        self.rows -= rows;
        let Ok(at) = self.shares.binary_search_by_key(&account, |s| s.account) else { return };
        let share = &mut self.shares[at];
        share.items -= 1;
        if share.items > 0 {
            pool.sweep(share.queue, share.items, table);
        } else {
            pool.give_back(share.queue);
            self.shares.remove(at);
        }
    }
}
