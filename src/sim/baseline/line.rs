//! What waits of one class, in arrival order.

use crate::sched::Item;
use crate::types::{RequestId, ShapeClass, Time};
use std::collections::VecDeque;

/// An item that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) request: RequestId,
    /// Which of its items.
    pub(super) index: u32,
    pub(super) item: Item,
    pub(super) arrived: Time,
    /// When its answer is late.
    pub(super) due: Time,
    /// Whether its request has other items.
    pub(super) part: bool,
}

/// The waiting items of one class, the oldest first.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) class: ShapeClass,
    pub(super) waiting: VecDeque<Waiting>,
    rows: u64,
    /// Batches cut already, which go first.
    pub(super) cut: VecDeque<Vec<Waiting>>,
}

impl Line {
    pub(super) fn new(class: ShapeClass) -> Self {
        Self { class, waiting: VecDeque::new(), rows: 0, cut: VecDeque::new() }
    }

    /// Rows that wait uncut.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// When the first to go arrived.
    pub(super) fn since(&self) -> Option<Time> {
        let cut = self.cut.front().and_then(|batch| batch.iter().map(|w| w.arrived).min());
        cut.or_else(|| self.waiting.front().map(|w| w.arrived))
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.rows += u64::from(waiting.item.rows);
        self.waiting.push_back(waiting);
    }

    /// How many of the oldest go together while `fits` holds of their rows and longest; at least one of any.
    pub(super) fn count(&self, fits: impl Fn(u64, u32) -> bool) -> usize {
        let (mut rows, mut longest) = (0, 0);
        let fit = self.waiting.iter().take_while(|w| {
            (rows, longest) = (rows + u64::from(w.item.rows), longest.max(w.item.len));
            fits(rows, longest)
        });
        fit.count().max(1).min(self.waiting.len())
    }

    /// Takes so many of the oldest.
    pub(super) fn take(&mut self, count: usize) -> Vec<Waiting> {
        let taken: Vec<_> = self.waiting.drain(..count).collect();
        self.rows -= taken.iter().map(|w| u64::from(w.item.rows)).sum::<u64>();
        taken
    }

    /// Puts what is left of a batch back, to go first.
    pub(super) fn put_back(&mut self, batch: Vec<Waiting>, is_cut: bool) {
        if batch.is_empty() {
            return;
        }
        if is_cut {
            self.cut.push_front(batch);
            return;
        }
        for waiting in batch.into_iter().rev() {
            self.rows += u64::from(waiting.item.rows);
            self.waiting.push_front(waiting);
        }
    }

    /// Lets all items of a request go.
    pub(super) fn forget(&mut self, request: RequestId) {
        self.waiting.retain(|w| w.request != request);
        self.rows = self.waiting.iter().map(|w| u64::from(w.item.rows)).sum();
        self.cut.iter_mut().for_each(|batch| batch.retain(|w| w.request != request));
        self.cut.retain(|batch| !batch.is_empty());
    }
}
