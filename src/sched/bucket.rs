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
    /// Its items by account.
    shares: Vec<Share>,
    /// The accounts that have any: one bit each, 64 a word.
    holders: Vec<u64>,
    /// By the model's devices.
    pub(super) best: Vec<Best>,
}

/// One account's part of a bucket.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    items: u32,
    /// Its place in the pool, while it has any.
    queue: u32,
}

/// The cheapest batch size at a bucket's edge, as of a version of the cost model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Best {
    pub(super) stamp: u64,
    pub(super) rows: u32,
    pub(super) time: f64,
}

impl Best {
    /// Its time a row, in ns.
    pub(super) fn row(self) -> f64 {
        self.time / f64::from(self.rows)
    }
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
                self.buckets.insert(at, Bucket::new(edge));
                at
            }
        };
        &mut self.buckets[at]
    }
}

impl Bucket {
    fn new(edge: u32) -> Self {
        Self { edge, items: 0, rows: 0, shares: Vec::new(), holders: Vec::new(), best: Vec::new() }
    }

    pub(super) fn push(&mut self, account: u32, entry: Entry, rows: u32, pool: &mut Pool) {
        self.items += 1;
        self.rows += rows;
        let (at, word) = (account as usize, account as usize / 64);
        if self.shares.len() <= at {
            self.shares.resize(at + 1, Share::default());
            self.holders.resize(word + 1, 0);
        }
        let share = &mut self.shares[at];
        if share.items == 0 {
            share.queue = pool.open(account);
            self.holders[word] |= 1 << (at % 64);
        }
        share.items += 1;
        pool.push(share.queue, entry);
    }

    /// The queue of what an account has waiting here.
    pub(super) fn queue(&self, account: u32) -> Option<u32> {
        self.shares.get(account as usize).filter(|share| share.items > 0).map(|share| share.queue)
    }

    /// The queues of all that have anything waiting here.
    pub(super) fn queues(&self) -> impl Iterator<Item = u32> {
        accounts_of(&self.holders).filter_map(|account| self.queue(account))
    }

    /// Adds the accounts that have anything here to a set of them.
    pub(super) fn add_holders(&self, to: &mut Vec<u64>) {
        if to.len() < self.holders.len() {
            to.resize(self.holders.len(), 0);
        }
        to.iter_mut().zip(&self.holders).for_each(|(all, own)| *all |= own);
    }

    /// Takes an item that waits no longer off the counts, and off its queue unless it was taken for a batch.
    pub(super) fn remove(&mut self, slot: u32, pool: &mut Pool, table: &Table) {
        let &ItemSlot { rows, account, status, .. } = table.item(slot);
        self.items -= 1;
        self.rows -= rows;
        let Some(share) = self.shares.get_mut(account as usize) else { return };
        share.items -= 1;
        if share.items == 0 {
            pool.close(share.queue);
            self.holders[account as usize / 64] &= !(1 << (account % 64));
        } else if status != Status::Running {
            pool.forsake(share.queue, slot, table);
        }
    }
}

/// The accounts of a set, ascending.
pub(super) fn accounts_of(holders: &[u64]) -> impl Iterator<Item = u32> {
    let of_word = |(word, &bits): (u32, &u64)| {
        let next = |bits: &u64| Some(bits & (bits - 1)).filter(|rest| *rest != 0);
        std::iter::successors(Some(bits).filter(|bits| *bits != 0), next).map(move |b| word * 64 + b.trailing_zeros())
    };
    (0..).zip(holders).flat_map(of_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_accounts_lists_each_of_them_once_in_order() {
        for accounts in [vec![], vec![0], vec![63], vec![64], vec![0, 1, 62, 63, 64, 127, 128, 300]] {
            let mut holders = vec![0_u64; 5];
            accounts.iter().for_each(|a: &u32| holders[*a as usize / 64] |= 1 << (a % 64));
            assert_eq!(accounts_of(&holders).collect::<Vec<_>>(), accounts);
        }
    }
}
