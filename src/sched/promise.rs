//! Deadlines, looked at once more when a batch is about to run: who cannot make it any more, and who
//! could in a smaller batch.
//!
//! Knows what was taken for the batch. Does not decide what is taken, nor who is told.

use super::form::Former;
use super::lane::Lane;
use super::strategy::Choice;
use super::table::ItemSlot;
use super::wish::View;
use crate::policy::OnPredictedMiss;
use crate::types::Time;
use std::time::Duration;

impl View<'_> {
    /// Takes out of a batch whoever cannot meet its deadline though it ran alone and now (into
    /// `former.missed`, where the policy refuses such), and puts back what keeps others from theirs.
    /// Answers whether anything was put back.
    ///
    /// A batch must be predicted to end in time with the cost model's margin; but nobody is given up who
    /// could make it without.
    pub(super) fn keep_promises(&self, lane: &mut Lane, items: &mut Vec<u32>, former: &mut Former) -> bool {
        former.missed.clear();
        let deadline = |slot: u32| self.table.owner(slot).deadline;
        let tightest = items.iter().map(|&slot| deadline(slot)).min().unwrap_or(Time::NEVER);
        let mut shape = Shape::default();
        items.iter().for_each(|&slot| shape = shape.with(self.table.item(slot)));
        if tightest == Time::NEVER || self.ends(shape, self.terms.cost().margin()) <= tightest {
            return false;
        }
        let trial = |slot: u32| self.table.owner(slot).trial;
        let late = |slot: u32| self.ends(Shape::default().with(self.table.item(slot)), 1.0) > deadline(slot);
        let hopeless = |slot: u32| !trial(slot) && late(slot);
        if lane.policy.slo.on_predicted_miss == OnPredictedMiss::Reject {
            former.missed.extend(items.iter().copied().filter(|&slot| hopeless(slot)));
            let of = |slot: u32| self.table.item(slot).request;
            // The rest of their requests goes with them.
            items.retain(|&slot| {
                let stays = former.missed.iter().all(|&missed| of(missed) != of(slot));
                if !stays {
                    lane.put_back(slot, self.grid, self.table);
                }
                stays
            });
        }
        let by_length = !matches!(self.rule.choice, Choice::Arrival | Choice::Alone);
        if !by_length {
            return false;
        }
        let due = |slot: u32| if hopeless(slot) { Time::NEVER } else { deadline(slot) };
        former.by_deadline.clear();
        former.by_deadline.extend(items.iter().zip(0..).skip(1).map(|(&slot, at)| (due(slot), at, slot)));
        former.by_deadline.sort_unstable();
        self.shrink(lane, items, &former.by_deadline, due)
    }

    /// Keeps the most urgent item, and of the others, the tightest first, whatever leaves those before it
    /// in time. Answers whether any had to go back.
    fn shrink(
        &self,
        lane: &mut Lane,
        items: &mut Vec<u32>,
        others: &[(Time, u32, u32)],
        deadline: impl Fn(u32) -> Time,
    ) -> bool {
        let Some(&first) = items.first() else { return false };
        let margin = self.terms.cost().margin();
        let (mut shape, mut tightest) = (Shape::default().with(self.table.item(first)), deadline(first));
        let mut closed = false;
        items.truncate(1);
        for &(own, _, slot) in others {
            let larger = shape.with(self.table.item(slot));
            // Those without a deadline keep their order: where one stays behind, all after it do.
            if !closed && self.ends(larger, margin) <= tightest.min(own) {
                (shape, tightest) = (larger, tightest.min(own));
                items.push(slot);
            } else {
                closed |= own == Time::NEVER;
                lane.put_back(slot, self.grid, self.table);
            }
        }
        items.len() <= others.len()
    }

    /// When a batch that starts now is predicted to end, times a margin.
    fn ends(&self, shape: Shape, margin: f64) -> Time {
        self.now + Duration::from_nanos((self.terms.time(shape.rows, shape.len) * margin) as u64)
    }
}

/// Rows, and tokens of the longest.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    rows: u32,
    len: u32,
}

impl Shape {
    fn with(self, slot: &ItemSlot) -> Self {
        Self { rows: self.rows + slot.rows, len: self.len.max(slot.len) }
    }
}
