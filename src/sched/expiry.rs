//! The deadlines of requests, the next one first.
//!
//! Those that come in order, as nearly all do, are a plain run; the rest are a heap. A request that ends
//! leaves its entry behind: it is dropped at the front, or swept once most are stale.

use crate::types::{RequestId, Time};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A request with a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: Time,
    pub(super) request: RequestId,
    pub(super) slot: u32,
}

/// By deadline.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    run: VecDeque<Due>,
    rest: BinaryHeap<Reverse<Due>>,
}

impl Expiry {
    pub(super) fn push(&mut self, due: Due) {
        if self.run.back().is_some_and(|last| *last > due) {
            self.rest.push(Reverse(due));
        } else {
            self.run.push_back(due);
        }
    }

    /// The next for which `live` holds, dropping stale ones before it.
    pub(super) fn next(&mut self, live: impl Fn(&Due) -> bool) -> Option<Due> {
        while let Some(due) = self.front() {
            if live(&due) {
                return Some(due);
            }
            self.pop();
        }
        None
    }

    /// Drops the next one.
    pub(super) fn pop(&mut self) {
        if self.front() == self.run.front().copied() {
            self.run.pop_front();
        } else {
            self.rest.pop();
        }
    }

    /// Drops stale ones if they outnumber the `live_count` live ones by far; amortised O(1). To be called after each
    /// push: it makes room for all that so many may leave, so that the next needs none.
    pub(super) fn sweep(&mut self, live_count: usize, live: impl Fn(&Due) -> bool) {
        let most = 2 * live_count + 64;
        if self.run.len() + self.rest.len() > most {
            self.run.retain(&live);
            self.rest.retain(|Reverse(due)| live(due));
        }
        self.run.reserve((most + 1).saturating_sub(self.run.len()));
        self.rest.reserve((most + 1).saturating_sub(self.rest.len()));
    }

    fn front(&self) -> Option<Due> {
        let rest = self.rest.peek().map(|Reverse(due)| *due);
        self.run.front().copied().into_iter().chain(rest).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn does_as_a_sorted_list_does(ats in proptest::collection::vec(0_u64..100, 0..400), rest in 2_u64..5) {
            let (mut expiry, mut model) = (Expiry::default(), Vec::new());
            let live = |due: &Due| !due.request.0.is_multiple_of(rest);
            for (id, at) in (0..).zip(ats) {
                let due = Due { at: Time(at), request: RequestId(id), slot: 0 };
                expiry.push(due);
                model.push(due);
                model.retain(live);
                model.sort();
                expiry.sweep(model.len(), live);
                prop_assert_eq!(expiry.next(live), model.first().copied());
                if at > 60 && !model.is_empty() {
                    expiry.pop();
                    model.remove(0);
                }
            }
        }
    }
}
