//! A queue by urgency that is O(1) while urgencies arrive in order, as they nearly always do.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A queued item: its urgency (smaller first), its arrival number (breaks ties), and its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) key: u64,
    pub(super) seq: u64,
    pub(super) slot: u32,
}

/// Entries by (key, seq): a first-in-first-out run for those that arrive in order, a heap for the rest.
///
/// Entries are not removed when their item leaves by another way: the owner recognises stale ones by
/// their arrival number, drops them at the front, and has the queue swept once most are stale.
#[derive(Debug, Clone, Default)]
pub(super) struct UrgencyQueue {
    run: VecDeque<Entry>,
    heap: BinaryHeap<Reverse<Entry>>,
}

impl UrgencyQueue {
    pub(super) fn push(&mut self, entry: Entry) {
        if self.run.back().is_none_or(|last| *last <= entry) {
            self.run.push_back(entry);
        } else {
            self.heap.push(Reverse(entry));
        }
    }

    /// The most urgent entry for which `live` holds, dropping stale ones before it.
    pub(super) fn peek(&mut self, live: impl Fn(&Entry) -> bool) -> Option<Entry> {
        while let Some(entry) = self.front() {
            if live(&entry) {
                return Some(entry);
            }
            self.pop();
        }
        None
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        let front = self.front()?;
        if self.run.front() == Some(&front) { self.run.pop_front() } else { self.heap.pop().map(|Reverse(e)| e) }
    }

    /// The least urgent entry of the in-order run: an estimate of the queue's far end.
    pub(super) fn last(&self) -> Option<&Entry> {
        self.run.back()
    }

    pub(super) fn clear(&mut self) {
        self.run.clear();
        self.heap.clear();
    }

    /// Drops stale entries if they outnumber the `live_count` live ones by far; amortised O(1).
    pub(super) fn sweep(&mut self, live_count: usize, live: impl Fn(&Entry) -> bool) {
        if self.run.len() + self.heap.len() > 2 * live_count + 64 {
            self.run.retain(&live);
            self.heap.retain(|Reverse(e)| live(e));
        }
    }

    fn front(&self) -> Option<Entry> {
        match (self.run.front(), self.heap.peek()) {
            (Some(a), Some(Reverse(b))) => Some(*a.min(b)),
            (Some(a), None) => Some(*a),
            (None, Some(Reverse(b))) => Some(*b),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn leaves_in_urgency_order(keys in proptest::collection::vec(0_u64..50, 0..200)) {
            let mut queue = UrgencyQueue::default();
            let mut expected = Vec::new();
            for (seq, key) in keys.into_iter().enumerate() {
                let entry = Entry { key, seq: seq as u64, slot: 0 };
                queue.push(entry);
                expected.push(entry);
            }
            expected.sort();
            let left: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
            prop_assert_eq!(left, expected);
        }

        #[test]
        fn stale_entries_never_show(keys in proptest::collection::vec(0_u64..50, 1..200), live in 0_u64..5) {
            let mut queue = UrgencyQueue::default();
            for (seq, key) in keys.iter().enumerate() {
                queue.push(Entry { key: *key, seq: seq as u64, slot: 0 });
            }
            let is_live = |e: &Entry| e.seq % 5 == live;
            queue.sweep(0, is_live);
            while let Some(entry) = queue.peek(is_live) {
                prop_assert_eq!(entry.seq % 5, live);
                queue.pop();
            }
        }
    }
}
