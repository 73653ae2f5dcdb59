//! A lane: the waiting items of one model under one policy, by class, length and urgency.
//!
//! Keeps order and counts. Does not decide what leaves: that is `form` and `strategy`.

use super::event::Grid;
use super::form::Terms;
use super::pace::Pace;
use super::table::Table;
use super::urgency::{Entry, UrgencyQueue};
use crate::policy::Policy;
use crate::script::Fault;
use crate::types::ShapeClass;
use std::collections::HashMap;
use std::sync::Arc;

/// Classes kept while empty; past this an empty one is reused for a new class.
const IDLE_CLASSES: usize = 64;

/// Waiting items of one policy.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) policy: Arc<Policy>,
    pub(super) classes: Vec<Class>,
    class_of: HashMap<ShapeClass, u32>,
    anchor: UrgencyQueue,
    pub(super) items: u32,
    pub(super) rows: u32,
    /// Predicted device time of what waits, in ns.
    pub(super) backlog: u64,
    /// Device time served so far, in ns; lanes take turns by it.
    pub(super) served: f64,
    /// How fast rows arrive.
    pub(super) pace: Pace,
    /// What went wrong in the policy's script at the decision that is being made.
    pub(super) fault: Option<Fault>,
}

/// Waiting items of one class, by length.
#[derive(Debug)]
pub(super) struct Class {
    id: ShapeClass,
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
    pub(super) queue: UrgencyQueue,
    /// By the model's devices.
    pub(super) best: Vec<Best>,
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

impl Lane {
    pub(super) fn new(policy: Arc<Policy>) -> Self {
        Self {
            policy,
            classes: Vec::new(),
            class_of: HashMap::new(),
            anchor: UrgencyQueue::default(),
            items: 0,
            rows: 0,
            backlog: 0,
            served: 0.0,
            pace: Pace::default(),
            fault: None,
        }
    }

    /// Queues a waiting item, whose slot already carries its key; sets the slot's class and share.
    pub(super) fn push(&mut self, slot: u32, grid: Grid, terms: &Terms<'_>, table: &mut Table) {
        let class_index = self.class(table.item(slot).item.class);
        let class = &mut self.classes[class_index as usize];
        let waiting = table.item_mut(slot);
        let (entry, rows) = (Entry { key: waiting.key, seq: waiting.seq, slot }, waiting.item.rows);
        let bucket = class.bucket(edge(grid, waiting.item.len));
        let best = terms.refresh(bucket);
        waiting.class = class_index;
        waiting.share = (best.time / f64::from(best.rows) * f64::from(rows)) as u64;
        bucket.items += 1;
        bucket.rows += rows;
        bucket.queue.push(entry);
        class.items += 1;
        class.rows += rows;
        self.items += 1;
        self.rows += rows;
        self.backlog += waiting.share;
        self.anchor.push(entry);
    }

    /// Takes a waiting item off the counts; its queue entries go stale.
    ///
    /// Called after the slot's status changed, so that a sweep sees it as gone.
    pub(super) fn remove(&mut self, slot: u32, grid: Grid, table: &Table) {
        let taken = table.item(slot);
        let class = &mut self.classes[taken.class as usize];
        class.items -= 1;
        class.rows -= taken.item.rows;
        let bucket = class.bucket(edge(grid, taken.item.len));
        bucket.items -= 1;
        bucket.rows -= taken.item.rows;
        if bucket.items == 0 {
            bucket.queue.clear();
        } else {
            bucket.queue.sweep(bucket.items as usize, |e| table.is_waiting(e));
        }
        self.items -= 1;
        self.rows -= taken.item.rows;
        self.backlog -= taken.share;
        if self.items == 0 {
            self.anchor.clear();
        } else {
            self.anchor.sweep(self.items as usize, |e| table.is_waiting(e));
        }
    }

    /// The most urgent waiting item.
    pub(super) fn anchor(&mut self, table: &Table) -> Option<Entry> {
        self.anchor.peek(|e| table.is_waiting(e))
    }

    /// Takes the most urgent waiting item off the anchor queue alone; the caller puts it back with
    /// [`restore`](Self::restore) if it does not leave.
    pub(super) fn pop_anchor(&mut self, table: &Table) -> Option<Entry> {
        self.anchor.peek(|e| table.is_waiting(e))?;
        self.anchor.pop()
    }

    /// Puts back what [`pop_anchor`](Self::pop_anchor) took.
    pub(super) fn restore(&mut self, entry: Entry) {
        self.anchor.push(entry);
    }

    /// The share of the lane's backlog predicted to be served before an item of urgency `key`.
    pub(super) fn backlog_before(&mut self, key: u64, table: &Table) -> u64 {
        let Some(first) = self.anchor(table) else { return 0 };
        let last = self.anchor.last().map_or(first.key, |e| e.key).max(first.key);
        if key >= last {
            return self.backlog;
        }
        // Between the ends, urgencies are taken to be spread evenly.
        let part = key.saturating_sub(first.key) as f64 / (last - first.key).max(1) as f64;
        (self.backlog as f64 * part) as u64
    }

    fn class(&mut self, id: ShapeClass) -> u32 {
        if let Some(&known) = self.class_of.get(&id) {
            return known;
        }
        let reuse = (self.classes.len() >= IDLE_CLASSES).then(|| self.classes.iter().position(|c| c.items == 0));
        let fresh = Class { id, buckets: Vec::new(), items: 0, rows: 0 };
        let index = if let Some(Some(old)) = reuse {
            self.class_of.remove(&self.classes[old].id);
            self.classes[old] = fresh;
            old
        } else {
            self.classes.push(fresh);
            self.classes.len() - 1
        };
        self.class_of.insert(id, index as u32);
        index as u32
    }
}

impl Class {
    /// The position of the bucket with this edge, if there is one.
    pub(super) fn position(&self, edge: u32) -> Option<usize> {
        self.buckets.binary_search_by_key(&edge, |b| b.edge).ok()
    }

    fn bucket(&mut self, edge: u32) -> &mut Bucket {
        let at = match self.buckets.binary_search_by_key(&edge, |b| b.edge) {
            Ok(at) => at,
            Err(at) => {
                let queue = UrgencyQueue::default();
                self.buckets.insert(at, Bucket { edge, items: 0, rows: 0, queue, best: Vec::new() });
                at
            }
        };
        &mut self.buckets[at]
    }
}

/// The edge a length rounds up to.
///
/// Exact grids keep every length to 512 and then go by 1/64; stepped ones go by 8 to 64, 16 to 128,
/// 32 to 256, 64 to 512, then by about an eighth.
pub(super) fn edge(grid: Grid, len: u32) -> u32 {
    let step = match (grid, len) {
        (Grid::Exact, 0..=512) => 1,
        (Grid::Exact, _) => (len.next_power_of_two() / 128).max(1),
        (Grid::Stepped, 0..=64) => 8,
        (Grid::Stepped, 65..=128) => 16,
        (Grid::Stepped, 129..=256) => 32,
        (Grid::Stepped, 257..=512) => 64,
        (Grid::Stepped, _) => (len.next_power_of_two() / 16).max(64),
    };
    len.max(1).div_ceil(step).saturating_mul(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_never_shrink_a_length_and_stay_few() {
        for grid in [Grid::Exact, Grid::Stepped] {
            let mut edges = std::collections::BTreeSet::new();
            for len in 1..=512 {
                let e = edge(grid, len);
                assert!(e >= len && edge(grid, e) == e, "{grid:?} {len} -> {e}");
                edges.insert(e);
            }
            assert_eq!(edges.len(), if grid == Grid::Exact { 512 } else { 8 + 4 + 4 + 4 });
        }
        for len in [513, 1000, 5000, 100_000] {
            assert!(edge(Grid::Exact, len) as f64 <= len as f64 * 1.02);
            assert!(edge(Grid::Stepped, len) as f64 <= len as f64 * 1.15);
        }
    }
}
