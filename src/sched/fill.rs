//! Which items of a chosen segment share its batch.

use super::form::{Former, Segment};
use super::lane::Lane;
use super::urgency::Entry;
use super::wish::View;

impl View<'_> {
    /// The most urgent items of a segment, up to `target` rows; a bucket whose next item does not fit
    /// is closed, so that order within a length is kept.
    pub(super) fn take(
        &self,
        lane: &mut Lane,
        class: usize,
        segment: &Segment,
        target: u32,
        former: &mut Former,
    ) -> Vec<u32> {
        let buckets = &mut lane.classes[class].buckets[segment.low..=segment.high];
        let live = |e: &Entry| self.table.is_waiting(e);
        let fronts = &mut former.fronts;
        fronts.clear();
        fronts.extend(buckets.iter_mut().map(|b| b.queue.peek(live)));
        let (mut items, mut rows) = (Vec::with_capacity(target.min(segment.rows) as usize), 0);
        while rows < target {
            let next = fronts.iter().enumerate().filter_map(|(i, e)| e.map(|e| (e, i))).min();
            let Some((entry, i)) = next else { break };
            let own = self.table.item(entry.slot).item.rows;
            if rows + own > target && !items.is_empty() {
                fronts[i] = None;
                continue;
            }
            rows += own;
            items.push(entry.slot);
            buckets[i].queue.pop();
            fronts[i] = buckets[i].queue.peek(live);
        }
        items
    }
}
